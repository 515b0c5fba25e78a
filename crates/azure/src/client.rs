//! Requests: who asks, what may be asked again, and what an answer comes to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, RetryOptions, Url,
};
use diagnosis::redact;
use futures::executor::block_on;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::adapter::transport;
use crate::cloud::Cloud;
use crate::credential::{Login, Who, client_options, nobody};
use crate::error::{Error, ErrorKind, ServiceError};
use crate::operation::{Operation, hint};
use crate::wire::{Wire, WireError};

/// How often a request goes out, all told.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(800);
/// The longest hint that is waited for within one request.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Pages of one list.
const MAX_PAGES: usize = 10_000;

type Pause = dyn Fn(Duration) + Send + Sync;

/// A client of one cloud.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "holds tokens")]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    cloud: Cloud,
    login: Login,
    wire: Arc<dyn Wire>,
    access: Mutex<Access>,
    pause: Box<Pause>,
}

/// A source of tokens, and requests that carry them.
#[derive(Clone)]
struct Access {
    credential: Arc<dyn TokenCredential>,
    pipeline: Pipeline,
}

/// What a request that may begin something came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Started<T> {
    /// What the answer holds; nothing where it has no body.
    pub value: Option<T>,
    /// What goes on; nothing when all is done.
    pub operation: Option<Operation>,
    /// The same where its address leads to what it comes to; for [`Client::outcome`].
    pub result: Option<Operation>,
}

/// A request, and whether it may go out again after it has arrived.
struct Ask {
    method: Method,
    url: Url,
    body: Vec<u8>,
    id: String,
    again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Asking twice is asking once.
    Always,
    /// It must not arrive twice, and a service that says to come later has not begun.
    UnlessBegun,
    /// It must not arrive twice.
    UnlessSent,
}

/// An answer, with what an error about it needs.
pub(crate) struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    request: String,
    id: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn error(&self, kind: ErrorKind) -> Error {
        let id = |name| self.header(name).map(str::to_owned);
        Error {
            kind,
            request: self.request.clone(),
            client_request_id: self.id.clone(),
            request_id: id("x-ms-request-id"),
            correlation_id: id("x-ms-correlation-request-id"),
        }
    }

    pub fn refused(&self) -> Error {
        let error = ServiceError::read(self.status, &self.body);
        self.error(ErrorKind::Refused { status: self.status, error })
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let read = serde_json::from_slice(&self.body);
        read.map(Some).map_err(|error| self.error(ErrorKind::Malformed { message: error.to_string() }))
    }

    fn started<T: DeserializeOwned>(&self) -> Result<Started<T>, Error> {
        if !self.is_success() {
            return Err(self.refused());
        }
        Ok(Started {
            value: self.read()?,
            operation: Operation::of(self),
            result: Operation::with_result(self),
        })
    }

    /// Whether all of a document came: a body that was cut off is as good as none.
    fn is_whole(&self) -> bool {
        let is_json = self.header("content-type").is_some_and(|kind| kind.contains("json"));
        !is_json || self.body.is_empty() || serde_json::from_slice::<IgnoredAny>(&self.body).is_ok()
    }
}

impl Client {
    /// A client that asks as somebody. Nothing is sent yet.
    ///
    /// # Errors
    /// When the environment lacks what the login needs.
    pub fn connect(cloud: Cloud, login: &Login, wire: Arc<dyn Wire>) -> Result<Self, Error> {
        Self::with_pause(cloud, login, wire, Box::new(std::thread::sleep))
    }

    /// The same, with another way to let time pass.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn with_pause(
        cloud: Cloud,
        login: &Login,
        wire: Arc<dyn Wire>,
        pause: Box<Pause>,
    ) -> Result<Self, Error> {
        let access = Mutex::new(access(&cloud, login, &wire)?);
        let login = login.clone();
        Ok(Self { inner: Arc::new(Inner { cloud, login, wire, access, pause }) })
    }

    /// The cloud that is asked.
    pub fn cloud(&self) -> &Cloud {
        &self.inner.cloud
    }

    /// Whom requests are made as.
    ///
    /// # Errors
    /// When there is no token.
    pub fn who(&self) -> Result<Who, Error> {
        let scope = scope(&self.inner.cloud);
        let token = block_on(self.access().credential.get_token(&[&scope], None)).map_err(nobody)?;
        Ok(Who::of(token.token.secret()))
    }

    /// Looks at something; none when it is not there.
    ///
    /// # Errors
    /// When it cannot be asked for, or is refused.
    pub fn get<T: DeserializeOwned>(&self, path: &str, version: &str) -> Result<Option<T>, Error> {
        let answer = self.ask(Method::Get, &self.url(path, version)?, Vec::new(), Again::Always)?;
        match answer.status {
            404 => Ok(None),
            _ if answer.is_success() => answer.read(),
            _ => Err(answer.refused()),
        }
    }

    /// Everything that a list holds, page after page. One that is not there is empty.
    ///
    /// # Errors
    /// When a page cannot be had.
    pub fn list<T: DeserializeOwned>(&self, path: &str, version: &str) -> Result<Vec<T>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<T> {
            value: Vec<T>,
            next_link: Option<String>,
        }
        let (mut all, mut next) = (Vec::new(), Some(self.url(path, version)?.to_string()));
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take().filter(|url| !url.is_empty()) else { return Ok(all) };
            let answer = self.get_own(&url)?;
            match answer.status {
                404 => return Ok(all),
                _ if !answer.is_success() => return Err(answer.refused()),
                _ => {}
            }
            if let Some(page) = answer.read::<Page<T>>()? {
                all.extend(page.value);
                next = page.next_link.filter(|link| *link != url);
            }
        }
        Err(Error::local(ErrorKind::Malformed { message: format!("the list {path} does not end") }))
    }

    /// Makes or replaces something.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: &str,
        body: &B,
    ) -> Result<Started<T>, Error> {
        self.ask(Method::Put, &self.url(path, version)?, json(body)?, Again::Always)?.started()
    }

    /// Changes parts of something.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub fn patch<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: &str,
        body: &B,
    ) -> Result<Started<T>, Error> {
        self.ask(Method::Patch, &self.url(path, version)?, json(body)?, Again::Always)?.started()
    }

    /// Asks for an action. It goes out again only when it has not arrived, or the service says to come later.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        version: &str,
        body: Option<&B>,
    ) -> Result<Started<T>, Error> {
        let body = body.map(json).transpose()?.unwrap_or_default();
        self.ask(Method::Post, &self.url(path, version)?, body, Again::UnlessBegun)?.started()
    }

    /// Asks for an action that must not be done twice, under an id of the caller's. It goes out again only when it has not
    /// arrived.
    ///
    /// # Errors
    /// When it is refused, or there is no answer: then whether it was done has to be seen elsewhere.
    pub fn post_once(&self, path: &str, version: &str, id: &str) -> Result<Started<IgnoredAny>, Error> {
        let (method, url) = (Method::Post, self.url(path, version)?);
        self.send(&Ask { method, url, body: Vec::new(), id: id.to_owned(), again: Again::UnlessSent })?
            .started()
    }

    /// Deletes something; none when it is gone with the answer, or was not there.
    ///
    /// # Errors
    /// When it is refused, or there is no answer.
    pub fn delete(&self, path: &str, version: &str) -> Result<Option<Operation>, Error> {
        let answer = self.ask(Method::Delete, &self.url(path, version)?, Vec::new(), Again::Always)?;
        match answer.status {
            404 | 204 => Ok(None),
            _ if answer.is_success() => Ok(Operation::of(&answer)),
            _ => Err(answer.refused()),
        }
    }

    /// Looks at an address that the service gave. A token goes there, so it has to be the service's own.
    pub(crate) fn get_own(&self, url: &str) -> Result<Answer, Error> {
        let foreign = || {
            let host = url.split('/').take(3).collect::<Vec<_>>().join("/");
            let message =
                format!("the service sends to {host}, which is not {}", self.inner.cloud.resource_manager);
            Error::local(ErrorKind::Malformed { message })
        };
        let url = Url::parse(url).map_err(|_| foreign())?;
        let own = Url::parse(&self.inner.cloud.resource_manager).map_err(|_| foreign())?;
        if url.scheme() != "https" || url.origin() != own.origin() {
            return Err(foreign());
        }
        self.ask(Method::Get, &url, Vec::new(), Again::Always)
    }

    fn ask(&self, method: Method, url: &Url, body: Vec<u8>, again: Again) -> Result<Answer, Error> {
        self.send(&Ask { method, url: url.clone(), body, id: Uuid::new_v4().to_string(), again })
    }

    fn url(&self, path: &str, version: &str) -> Result<Url, Error> {
        let wrong = |error: String| {
            Error::local(ErrorKind::Malformed {
                message: format!("{path} is no path of the service: {error}"),
            })
        };
        if !path.starts_with('/') {
            return Err(wrong("it does not start with a slash".to_owned()));
        }
        let text = format!("{}{path}", self.inner.cloud.resource_manager);
        let mut url = Url::parse(&text).map_err(|error| wrong(error.to_string()))?;
        url.query_pairs_mut().append_pair("api-version", version);
        Ok(url)
    }

    fn access(&self) -> Access {
        self.inner.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token that is refused is not asked for again by those that keep it: they are made anew.
    fn renew(&self) -> Result<(), Error> {
        let fresh = access(&self.inner.cloud, &self.inner.login, &self.inner.wire)?;
        *self.inner.access.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn send(&self, ask: &Ask) -> Result<Answer, Error> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let last = attempt == ATTEMPTS;
            let pause = match self.send_once(ask) {
                Ok(answer) if answer.status == 401 && !renewed => {
                    renewed = true;
                    self.renew()?;
                    continue;
                }
                Ok(answer) if !last && may_go_again(ask.again, &answer) => hint(&answer),
                Ok(answer) if !answer.is_whole() => {
                    let cut =
                        answer.error(ErrorKind::Malformed { message: "the answer was cut off".to_owned() });
                    if last || ask.again != Again::Always {
                        return Err(cut);
                    }
                    None
                }
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let may = match error.kind {
                        ErrorKind::Connection { sent, .. } => !sent || ask.again == Again::Always,
                        _ => false,
                    };
                    if last || !may {
                        return Err(error);
                    }
                    None
                }
            };
            (self.inner.pause)(pause.unwrap_or_else(|| backoff(attempt)).min(LONGEST_PAUSE));
            attempt += 1;
        }
    }

    fn send_once(&self, ask: &Ask) -> Result<Answer, Error> {
        let mut request = Request::new(ask.url.clone(), ask.method);
        request.insert_header("accept", "application/json");
        request.insert_header(HeaderName::from_static("x-ms-client-request-id"), ask.id.clone());
        if !ask.body.is_empty() {
            request.insert_header("content-type", "application/json");
            request.set_body(ask.body.clone());
        } else if ask.method == Method::Post {
            request.insert_header("content-length", "0");
        }
        let named = format!("{} {}", ask.method.as_str(), ask.url.path());
        let failed =
            |kind| Error { request: named.clone(), client_request_id: ask.id.clone(), ..Error::local(kind) };
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let sent = block_on(self.access().pipeline.send(&Context::new(), &mut request, Some(options)));
        let answer = sent.map_err(|error| match error.downcast_ref::<WireError>() {
            Some(WireError { message, sent }) => {
                failed(ErrorKind::Connection { message: redact(message), sent: *sent })
            }
            None => nobody(error),
        })?;
        let fields = answer.headers().iter();
        Ok(Answer {
            status: answer.status().into(),
            headers: fields
                .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
            body: answer.body().to_vec(),
            request: named,
            id: ask.id.clone(),
        })
    }

    pub(crate) fn storage(&self) -> (Arc<dyn TokenCredential>, ClientOptions) {
        let mut options = client_options(&self.inner.cloud, &transport(&self.inner.wire));
        options.retry = RetryOptions::none();
        (self.access().credential, options)
    }
}

fn scope(cloud: &Cloud) -> String {
    format!("{}/.default", cloud.audience.trim_end_matches('/'))
}

fn access(cloud: &Cloud, login: &Login, wire: &Arc<dyn Wire>) -> Result<Access, Error> {
    let transport = transport(wire);
    let credential = login.credential(cloud, &transport)?;
    let mut options = client_options(cloud, &transport);
    // The libraries would send anything again, also what starts something.
    options.retry = RetryOptions::none();
    let token = BearerTokenAuthorizationPolicy::new(Arc::clone(&credential), [scope(cloud)]);
    let name = (option_env!("CARGO_PKG_NAME"), option_env!("CARGO_PKG_VERSION"));
    let pipeline = Pipeline::new(name.0, name.1, options, Vec::new(), vec![Arc::new(token)], None);
    Ok(Access { credential, pipeline })
}

/// Statuses that may go better later (azure-clients.md 3, rule 12), as far as the request may go out again.
fn may_go_again(again: Again, answer: &Answer) -> bool {
    match again {
        Again::Always => matches!(answer.status, 408 | 429 | 500 | 502..=504),
        Again::UnlessBegun => matches!(answer.status, 429 | 503),
        Again::UnlessSent => false,
    }
}

/// Twice as long each time, and up to half of it left out by chance, so that many clients do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let whole = FIRST_PAUSE * 2_u32.pow(attempt - 1);
    let chance = f64::from(u32::from(Uuid::new_v4().as_bytes()[0])) / 255.0;
    whole.mul_f64(0.5 + chance / 2.0)
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body)
        .map_err(|error| Error::local(ErrorKind::Malformed { message: format!("a request: {error}") }))
}
