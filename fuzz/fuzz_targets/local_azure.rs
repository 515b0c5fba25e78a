//! What clients of the local Azure send: requests, one after the other, with the first principal's token or another.
//!
//! An input is requests between lines of `---`: a method and an address, header fields, an empty line, a body. A method
//! in lower case uploads its body. Nothing is built: that is the fuzzers' of templates and the engine's own tests.
#![no_main]

use std::io::Write;
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use local_azure::{Body, Content, LocalAzure, Options, Request};

struct Place {
    azure: Arc<LocalAzure>,
    token: String,
    folder: tempfile::TempDir,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let options = Options { state: path("state"), cache: path("cache"), outbound: Default::default(), subscription: None, azurite: None };
    let azure = LocalAzure::open(options, Box::new(|_| ())).expect("it opens");
    let secrets = azure.secrets();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        secrets.client_id, secrets.client_secret
    );
    let answer = azure.handle(Request {
        method: Method::POST,
        path: "/adfs/oauth2/token".to_owned(),
        query: String::new(),
        headers: HeaderMap::new(),
        origin: "https://localhost".to_owned(),
        body: Body::Bytes(form.into_bytes()),
    });
    let Content::Bytes(bytes) = answer.body else { panic!("no token") };
    let answer: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let token = answer["access_token"].as_str().expect("a token").to_owned();
    Place { azure, token, folder: folder }
});

libfuzzer_sys::fuzz_target!(|text: &str| {
    for text in text.split("\n---\n").take(16) {
        let Some(request) = request(text) else { continue };
        let answer = PLACE.azure.handle(request);
        let internal = answer.status == StatusCode::INTERNAL_SERVER_ERROR;
        assert!(!internal, "the endpoint failed: {text}");
        assert!(answer.headers.contains_key("x-ms-request-id"), "no id: {text}");
    }
});

fn request(text: &str) -> Option<Request> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    // A build would download and start programs.
    if text.to_ascii_lowercase().contains("run") {
        return None;
    }
    let mut lines = head.lines();
    let (word, address) = lines.next()?.split_once(' ')?;
    let address = address.replace("{sub}", &PLACE.azure.secrets().subscription);
    let body_text = body.replace("{sub}", &PLACE.azure.secrets().subscription);
    let (path, query) = address.split_once('?').unwrap_or((&address, ""));
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {}", PLACE.token)).ok()?);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    let body = if word.starts_with(|c: char| c.is_ascii_lowercase()) {
        let mut file = tempfile::NamedTempFile::new_in(PLACE.folder.path()).ok()?;
        file.write_all(body_text.as_bytes()).ok()?;
        Body::File(file)
    } else {
        Body::Bytes(body_text.into_bytes())
    };
    Some(Request {
        method: word.to_ascii_uppercase().parse().ok()?,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        origin: "https://localhost".to_owned(),
        body,
    })
}
