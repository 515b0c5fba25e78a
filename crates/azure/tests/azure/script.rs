//! A wire whose answers are written down before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure::{Client, Cloud, Login, Secret, Wire, WireError, WireRequest, WireResponse};

/// What the script's token endpoint gives out, with a number behind it.
pub const TOKEN: &str = "a-token-that-nobody-may-see";
pub const SECRET: &str = "a-secret-that-nobody-may-see";

type Answer = Result<WireResponse, WireError>;

/// Answers in order; tokens are given out beside.
#[derive(Default)]
pub struct Script {
    answers: Mutex<VecDeque<Answer>>,
    /// Requests that are not for a token.
    pub asked: Mutex<Vec<WireRequest>>,
    tokens: Mutex<usize>,
}

impl Wire for Script {
    fn exchange(&self, request: &WireRequest) -> Answer {
        if request.url.starts_with("https://login.example/") {
            let mut tokens = self.tokens.lock().expect("tokens");
            *tokens += 1;
            return Ok(answer(
                200,
                &[],
                &format!(r#"{{"access_token":"{TOKEN}-{tokens}","expires_in":3600,"token_type":"Bearer"}}"#),
            ));
        }
        self.asked.lock().expect("asked").push(request.clone());
        self.answers
            .lock()
            .expect("answers")
            .pop_front()
            .unwrap_or_else(|| panic!("not in the script: {request:?}"))
    }
}

/// An answer with a JSON body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> WireResponse {
    let json = [("content-type", "application/json")];
    let headers = json.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    WireResponse { status, headers: headers.collect(), body: body.as_bytes().to_vec() }
}

/// A refusal in Azure's envelope.
pub fn refusal(status: u16, code: &str) -> Answer {
    let ids = [("x-ms-request-id", "request-1"), ("x-ms-correlation-request-id", "correlation-1")];
    Ok(answer(status, &ids, &format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#)))
}

pub fn lost(sent: bool) -> Answer {
    Err(WireError { message: "the connection was lost".to_owned(), sent })
}

/// A client of a script, and the pauses that it made.
pub struct Told {
    pub client: Client,
    pub script: Arc<Script>,
    pub pauses: Arc<Mutex<Vec<Duration>>>,
}

impl Told {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script =
            Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let cloud = Cloud {
            name: "Script".to_owned(),
            resource_manager: "https://arm.example".to_owned(),
            authority: "https://login.example".to_owned(),
            audience: "https://arm.example/".to_owned(),
            storage_suffix: "example".to_owned(),
        };
        let login = Login::Secret {
            tenant: "11111111-2222-4333-8444-555555555555".to_owned(),
            client_id: "client".to_owned(),
            client_secret: Secret::new(SECRET.to_owned()),
        };
        let kept = Arc::clone(&pauses);
        let pause = move |time| kept.lock().expect("pauses").push(time);
        let wire: Arc<dyn Wire> = Arc::clone(&script) as _;
        let client = Client::with_pause(cloud, &login, wire, Box::new(pause)).expect("a client");
        Self { client, script, pauses }
    }

    /// How often something was asked for.
    pub fn count(&self) -> usize {
        self.script.asked.lock().expect("asked").len()
    }

    /// A header field of each request.
    pub fn fields(&self, name: &str) -> Vec<String> {
        let asked = self.script.asked.lock().expect("asked");
        let field = |request: &WireRequest| {
            let found = request.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        asked.iter().map(field).collect()
    }
}
