//! One exchange with a server, and the way over TLS.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use crate::error::{Error, ErrorKind};

const CONNECT: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_mins(2);
/// The largest answer that is taken, in bytes: a log of a build, many times over.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Takes a request to a server and brings its answer.
pub trait Wire: Send + Sync {
    /// Exchanges one request and one answer. Redirections are answers.
    ///
    /// # Errors
    /// When there is no whole answer.
    fn exchange(&self, request: &WireRequest) -> Result<WireResponse, WireError>;
}

/// A request.
#[derive(Clone)]
pub struct WireRequest {
    /// Such as `PUT`.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for WireRequest {
    /// Header fields and queries hold tokens and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("WireRequest").field("method", &self.method).field("url", &url).finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct WireResponse {
    /// How it went.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// What happened.
    pub message: String,
    /// Whether the server may have got the request.
    pub sent: bool,
}

/// The way over TLS, verified, through the proxy that the environment names.
#[derive(Debug)]
pub struct Tls {
    agent: ureq::Agent,
}

impl Tls {
    /// A way that trusts the authorities of this machine (`SSL_CERT_FILE` names others) and those in PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or holds no certificate.
    pub fn new(extra_roots: &[PathBuf]) -> Result<Self, Error> {
        let mut roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        for file in extra_roots {
            let failed = |why: String| {
                Error::local(ErrorKind::Malformed { message: format!("{}: {why}", file.display()) })
            };
            let pem = fs::read(file).map_err(|error| failed(error.to_string()))?;
            let before = roots.len();
            let items = ureq::tls::parse_pem(&pem).flatten();
            roots.extend(items.filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            }));
            if roots.len() == before {
                return Err(failed("it holds no certificate".to_owned()));
            }
        }
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A token goes to the server it is for, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE))
            .build()
            .new_agent();
        Ok(Self { agent })
    }
}

impl Wire for Tls {
    fn exchange(&self, request: &WireRequest) -> Result<WireResponse, WireError> {
        let mut builder =
            ureq::http::Request::builder().method(request.method.as_str()).uri(request.url.as_str());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let built = builder
            .body(request.body.as_slice())
            .map_err(|error| WireError { message: error.to_string(), sent: false })?;
        let mut answer = self.agent.run(built).map_err(|error| failed(&error))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|error| WireError { message: error.to_string(), sent: true })?;
        let field = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = answer.headers().iter().filter_map(field).collect();
        Ok(WireResponse { status: answer.status().as_u16(), headers, body })
    }
}

/// What certainly happened before anything was sent is known as such; everything else may have been after.
fn failed(error: &ureq::Error) -> WireError {
    use std::io::ErrorKind::ConnectionRefused;
    use ureq::Error::{
        BadUri, ConnectProxyFailed, ConnectionFailed, HostNotFound, InvalidProxyUrl, Io, Timeout, Tls,
    };
    let sent = match error {
        HostNotFound | ConnectionFailed | BadUri(_) | InvalidProxyUrl | ConnectProxyFailed(_) | Tls(_) => {
            false
        }
        Timeout(when) => !matches!(when, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        Io(error) => error.kind() != ConnectionRefused,
        _ => true,
    };
    WireError { message: error.to_string(), sent }
}
