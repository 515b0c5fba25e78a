//! Requests and answers without a socket: what the endpoint takes and gives, in this process or over TLS.

mod idle;
mod server;
mod tls;

use std::fs::File;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS};
use serde_json::Value;
use tempfile::NamedTempFile;

pub use server::{Server, serve};
pub(crate) use tls::Authority;

/// The largest body of a request to the resource manager, in bytes: Azure's limit for a deployment's request.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// A request.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// The path as the client sent it, still percent-encoded.
    pub path: String,
    /// What follows the question mark, still percent-encoded; empty when there is none.
    pub query: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// Where the client believes to be, such as `https://localhost:8443`: what addresses in answers begin with.
    pub origin: String,
    /// The body.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// In memory, at most [`MAX_BODY`] bytes.
    Bytes(Vec<u8>),
    /// Spooled into a file of the state's folder: what is uploaded into a container.
    File(NamedTempFile),
}

/// What an id may hold and a path may not.
const IN_PATH: AsciiSet = CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

impl Request {
    /// The request that writes a resource.
    pub(crate) fn put(id: &str, api_version: &str, body: &Value, origin: &str) -> Self {
        Self {
            method: Method::PUT,
            path: percent_encoding::utf8_percent_encode(id, &IN_PATH).to_string(),
            query: format!("api-version={api_version}"),
            headers: HeaderMap::new(),
            origin: origin.to_owned(),
            body: Body::Bytes(body.to_string().into_bytes()),
        }
    }

    /// A header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body in memory; empty where it is a file.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Bytes(bytes) => bytes,
            Body::File(_) => &[],
        }
    }

    /// The value of a parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameters(&self.query)
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// The parameters of a query, or of a form, decoded.
pub(crate) fn parameters(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// How it went.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// A part of a file: where it starts and how many bytes it has.
    Part(File, u64, u64),
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Content::Bytes(Vec::new()) }
    }

    /// A JSON document.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        let mut response = Self::empty(status);
        response.body = Content::Bytes(value.to_string().into_bytes());
        response.with(CONTENT_TYPE, "application/json; charset=utf-8")
    }

    /// With one more header field. A value that no header may have is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same, for the field names of Azure.
    #[must_use]
    pub(crate) fn with_field(self, name: &'static str, value: &str) -> Self {
        self.with(HeaderName::from_static(name), value)
    }
}
