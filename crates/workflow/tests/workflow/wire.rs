//! The way to an endpoint in this process, with a fault where a test wants one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure::{Wire, WireError, WireRequest, WireResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use local_azure::{Body, Content, LocalAzure, Request};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this status and code; the endpoint does not hear of the request.
    Refused(u16, &'static str),
    /// The connection is lost before the request is sent.
    LostBefore,
    /// The endpoint has done it, and the answer is lost: a connection that breaks, or one that stalls until time is up.
    LostAfter,
    /// The answer is cut off.
    Truncated,
    /// The token is not taken any more, until a new one is asked for.
    Expired,
    /// The process is killed before the request is sent.
    KilledBefore,
    /// The process is killed when the endpoint has done it.
    KilledAfter,
}

/// What unwinds when the process is killed.
pub struct Killed;

#[derive(Default)]
struct Inside {
    armed: Option<(usize, Fault)>,
    requests: usize,
    /// Statuses of requests that start a run.
    runs: usize,
    expired: bool,
    /// Method and part of a request's name, the answer, and how often it is still given.
    refused: Option<(&'static str, &'static str, u16, &'static str, usize)>,
    names: Vec<String>,
    secrets: Vec<String>,
}

/// The way.
pub struct Faulty {
    azure: Arc<LocalAzure>,
    inside: Mutex<Inside>,
}

pub const ORIGIN: &str = "https://localhost";

impl Faulty {
    pub fn new(azure: Arc<LocalAzure>) -> Self {
        Self { azure, inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count anew, with a fault at one request.
    pub fn arm(&self, at: usize, fault: Fault) {
        *self.inside() = Inside { armed: Some((at, fault)), ..Inside::default() };
    }

    /// Refuses to write what is named so, a number of times.
    pub fn refuse_writes(&self, part: &'static str, status: u16, code: &'static str, times: usize) {
        self.inside().refused = Some(("PUT ", part, status, code, times));
    }

    /// Refuses to delete what is named so, once.
    pub fn refuse_deletion(&self, part: &'static str, status: u16, code: &'static str) {
        self.inside().refused = Some(("DELETE ", part, status, code, 1));
    }

    pub fn disarm(&self) {
        self.inside().armed = None;
    }

    /// Requests since the last time it was armed.
    pub fn names(&self) -> Vec<String> {
        self.inside().names.clone()
    }

    /// Runs that the endpoint has begun.
    pub fn runs(&self) -> usize {
        self.inside().runs
    }

    /// Tokens that went by.
    pub fn secrets(&self) -> Vec<String> {
        self.inside().secrets.clone()
    }

    fn answer(&self, request: &WireRequest) -> WireResponse {
        let uri: Uri = request.url.parse().expect("an address");
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        let response = self.azure.handle(Request {
            method: Method::from_bytes(request.method.as_bytes()).expect("a method"),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
            origin: ORIGIN.to_owned(),
            body: Body::Bytes(request.body.clone()),
        });
        let Content::Bytes(body) = response.body else { panic!("no request of a deployment has a file") };
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = response.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        WireResponse { status: response.status.as_u16(), headers: headers.collect(), body }
    }

    /// What the endpoint does is noted.
    fn done(&self, request: &WireRequest) -> WireResponse {
        let answer = self.answer(request);
        if request.method == "POST" && request.url.contains("/run?") && answer.status == 202 {
            self.inside().runs += 1;
        }
        answer
    }
}

fn refusal(status: u16, code: &str) -> WireResponse {
    let body = format!(r#"{{"error":{{"code":"{code}","message":"a fault of the test"}}}}"#);
    let headers = [("content-type", "application/json"), ("retry-after", "2")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    WireResponse { status, headers, body: body.into_bytes() }
}

impl Wire for Faulty {
    fn exchange(&self, request: &WireRequest) -> Result<WireResponse, WireError> {
        if request.url.contains("/oauth2/") || request.url.contains("/metadata/") {
            self.inside().expired = false;
            return Ok(self.answer(request));
        }
        let fault = {
            let mut inside = self.inside();
            let at = inside.requests;
            inside.requests += 1;
            let name = format!("{} {}", request.method, request.url.split('?').next().unwrap_or_default());
            if let Some((method, part, status, code, times)) =
                inside.refused.filter(|(method, part, ..)| name.starts_with(method) && name.contains(part))
                && times > 0
            {
                inside.refused = Some((method, part, status, code, times - 1));
                inside.names.push(name);
                return Ok(refusal(status, code));
            }
            inside.names.push(name);
            let token = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            if let Some(token) = token.and_then(|(_, value)| value.strip_prefix("Bearer ")) {
                inside.secrets.push(token.to_owned());
            }
            if inside.expired {
                return Ok(refusal(401, "ExpiredAuthenticationToken"));
            }
            inside.armed.filter(|(armed, _)| *armed == at).map(|(_, fault)| fault)
        };
        let lost = |sent| Err(WireError { message: "a fault of the test".to_owned(), sent });
        match fault {
            None => Ok(self.done(request)),
            Some(Fault::Refused(status, code)) => Ok(refusal(status, code)),
            Some(Fault::LostBefore) => lost(false),
            Some(Fault::LostAfter) => {
                self.done(request);
                lost(true)
            }
            Some(Fault::Truncated) => {
                let mut answer = self.done(request);
                answer.body.truncate(answer.body.len() / 2);
                Ok(answer)
            }
            Some(Fault::Expired) => {
                self.inside().expired = true;
                Ok(refusal(401, "ExpiredAuthenticationToken"))
            }
            Some(Fault::KilledBefore) => std::panic::resume_unwind(Box::new(Killed)),
            Some(Fault::KilledAfter) => {
                self.done(request);
                std::panic::resume_unwind(Box::new(Killed))
            }
        }
    }
}
