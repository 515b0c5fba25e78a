//! The local Azure in this process, as a client reaches it: the same requests, without a socket.

use std::io::Read;
use std::sync::Arc;

use azure::{Wire, WireError, WireRequest, WireResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use local_azure::{Body, Content, LocalAzure, Request};

/// Where the endpoint seems to be. Nothing listens there.
pub const ORIGIN: &str = "https://localhost";

/// The way to an endpoint in this process.
pub struct InProcess(pub Arc<LocalAzure>);

impl Wire for InProcess {
    fn exchange(&self, request: &WireRequest) -> Result<WireResponse, WireError> {
        let failed = |message: String| WireError { message, sent: false };
        let uri: Uri = request.url.parse().map_err(|error| failed(format!("{}: {error}", request.url)))?;
        let method =
            Method::from_bytes(request.method.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed(error.to_string()))?;
            let value = HeaderValue::from_str(value).map_err(|error| failed(error.to_string()))?;
            headers.insert(name, value);
        }
        let response = self.0.handle(Request {
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
            origin: ORIGIN.to_owned(),
            body: Body::Bytes(request.body.clone()),
        });
        let body = match response.body {
            Content::Bytes(bytes) => bytes,
            Content::Part(file, from, length) => read(file, from, length)
                .map_err(|error| WireError { message: error.to_string(), sent: true })?,
        };
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers =
            response.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Ok(WireResponse { status: response.status.as_u16(), headers, body })
    }
}

fn read(mut file: std::fs::File, from: u64, length: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
