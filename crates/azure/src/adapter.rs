//! Our way to a server, as the libraries of Azure take it.

use std::fmt;
use std::sync::Arc;

use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode, Transport};

use crate::wire::{Wire, WireRequest};

struct Adapter(Arc<dyn Wire>);

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapter")
    }
}

/// A transport of the libraries over a wire.
pub(crate) fn transport(wire: &Arc<dyn Wire>) -> Transport {
    Transport::new(Arc::new(Adapter(Arc::clone(wire))))
}

#[async_trait::async_trait]
impl HttpClient for Adapter {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let headers = request.headers().iter();
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::SeekableStream(_) => {
                return Err(azure_core::Error::with_message(ErrorKind::Other, "streams are not sent"));
            }
        };
        let request = WireRequest {
            method: request.method().as_str().to_owned(),
            url: request.url().as_str().to_owned(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
            body,
        };
        let answer =
            self.0.exchange(&request).map_err(|error| azure_core::Error::new(ErrorKind::Io, error))?;
        let mut headers = Headers::new();
        for (name, value) in answer.headers {
            headers.insert(name.to_ascii_lowercase(), value);
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status), headers, answer.body))
    }
}
