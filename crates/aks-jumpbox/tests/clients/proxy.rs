//! A proxy on the way to an endpoint, with TLS of its own on either side, that does harm to one request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::story::Story;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// An answer with this status and code; the endpoint does not hear of the request.
    Refused(u16, &'static str),
    /// The connection ends before the request is passed on.
    LostBefore,
    /// The endpoint has answered, and the connection ends before the answer is.
    LostAfter,
    /// The connection ends in the middle of the answer's body.
    Truncated,
    /// No token is taken until a new one is asked for.
    Expired,
    /// Nothing happens for so long, then the request is passed on.
    Stalled(Duration),
}

#[derive(Default)]
struct Inside {
    armed: Option<(usize, Harm)>,
    expired: bool,
    names: Vec<String>,
    trusted: Option<Trusted>,
}

/// A token of somebody else's directory, and the secret that the endpoint knows in its place.
#[derive(Clone)]
struct Trusted {
    assertion: String,
    secret: String,
}

/// The proxy; it ends with the test.
pub struct Proxy {
    port: u16,
    certificate: PathBuf,
    inside: Arc<Mutex<Inside>>,
    _alive: Sender<()>,
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    pub fn new(story: &Story) -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let certificate = PathBuf::from(story.write("proxy.pem", &own.cert.pem()));
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let server = Arc::new(server.with_single_cert(vec![own.cert.der().clone()], key).expect("a server"));
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(story.serve.ca()).expect("read");
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("taken");
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().expect("versions");
        let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
        let (_, to) = story.serve.told("endpoint").rsplit_once(':').expect("a port");
        let to: u16 = to.parse().expect("a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let (alive, ended) = channel();
        let ended = Arc::new(Mutex::new(ended));
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let way = Way {
                    client: Arc::clone(&client),
                    to,
                    inside: Arc::clone(&shared),
                    ended: Arc::clone(&ended),
                };
                let server = ServerConnection::new(Arc::clone(&server)).expect("a connection");
                // Whatever goes wrong on a connection that is meant to break is nobody's error.
                std::thread::spawn(move || way.one(StreamOwned::new(server, stream)));
            }
        });
        Self { port, certificate, inside, _alive: alive }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn certificate(&self) -> &std::path::Path {
        &self.certificate
    }

    /// Begins to count anew, with harm to one request; tokens and discovery do not count.
    pub fn arm(&self, armed: Option<(usize, Harm)>) {
        *lock(&self.inside) = Inside { armed, ..Inside::default() };
    }

    /// Plays a directory that trusts a federated token, which the endpoint's own does not: who shows it logs in with a secret.
    pub fn trust(&self, assertion: &str, secret: &str) {
        let (assertion, secret) = (assertion.to_owned(), secret.to_owned());
        lock(&self.inside).trusted = Some(Trusted { assertion, secret });
    }

    /// Requests since the last time it was armed.
    pub fn names(&self) -> Vec<String> {
        lock(&self.inside).names.clone()
    }
}

/// From one connection to the endpoint.
struct Way {
    client: Arc<ClientConfig>,
    to: u16,
    inside: Arc<Mutex<Inside>>,
    ended: Arc<Mutex<Receiver<()>>>,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl Way {
    /// One request and its answer; the connection ends with it.
    fn one(&self, mut stream: Tls) -> Option<()> {
        let mut request = Request::read(&mut stream)?;
        if let Some(trusted) = lock(&self.inside).trusted.clone() {
            request.log_in_with(&trusted);
        }
        let harm = self.harm(&request);
        match harm {
            None => stream.write_all(&self.answer(&request)?).ok()?,
            Some(Harm::Refused(status, code)) => stream.write_all(&refusal(status, code)).ok()?,
            Some(Harm::Expired) => stream.write_all(&refusal(401, "ExpiredAuthenticationToken")).ok()?,
            Some(Harm::LostBefore) => return None,
            Some(Harm::LostAfter) => return self.answer(&request).map(drop),
            Some(Harm::Truncated) => {
                let answer = self.answer(&request)?;
                let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
                stream.write_all(&answer[..head + (answer.len() - head) / 2]).ok()?;
            }
            Some(Harm::Stalled(time)) => {
                // Ends early when the test does.
                let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(time);
                stream.write_all(&self.answer(&request)?).ok()?;
            }
        }
        stream.conn.send_close_notify();
        stream.flush().ok()
    }

    fn harm(&self, request: &Request) -> Option<Harm> {
        let mut inside = lock(&self.inside);
        if request.name.contains("/oauth2/") || request.name.contains("/metadata/") {
            inside.expired = false;
            return None;
        }
        let at = inside.names.len();
        inside.names.push(request.name.clone());
        if inside.expired {
            return Some(Harm::Expired);
        }
        let harm = inside.armed.filter(|(armed, _)| *armed == at).map(|(_, harm)| harm);
        inside.expired = harm == Some(Harm::Expired);
        harm
    }

    /// The endpoint's answer, as it comes.
    fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let name = ServerName::try_from("localhost").ok()?;
        let connection = ClientConnection::new(Arc::clone(&self.client), name).ok()?;
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)).ok()?;
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(&request.bytes).ok()?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => None,
            _ => Some(answer),
        }
    }
}

/// A request, which says that its connection ends with it.
struct Request {
    /// Method and path.
    name: String,
    bytes: Vec<u8>,
}

impl Request {
    fn log_in_with(&mut self, Trusted { assertion, secret }: &Trusted) {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
        if !self.name.contains("/oauth2/") || !body.contains(&format!("client_assertion={assertion}")) {
            return;
        }
        let kept = body.split('&').filter(|field| !field.starts_with("client_assertion"));
        let secret = format!("client_secret={secret}");
        let body: Vec<_> = kept.chain([secret.as_str()]).collect();
        let body = body.join("&");
        let fields = head.lines().filter(|field| !field.to_ascii_lowercase().starts_with("content-length:"));
        let head: Vec<_> = fields.collect();
        let text = format!("{}\r\ncontent-length: {}\r\n\r\n{body}", head.join("\r\n"), body.len());
        self.bytes = text.into_bytes();
    }

    fn read(stream: &mut Tls) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut name, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            let field = line.to_ascii_lowercase();
            if name.is_empty() {
                line.split('?').next()?.trim_end_matches(" HTTP/1.1\r\n").clone_into(&mut name);
            }
            if let Some(told) = field.strip_prefix("content-length:") {
                length = told.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
            if !field.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        head.push_str("connection: close\r\n\r\n");
        let mut bytes = head.into_bytes();
        let from = bytes.len();
        bytes.resize(from + length, 0);
        reader.read_exact(&mut bytes[from..]).ok()?;
        Some(Self { name, bytes })
    }
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!(r#"{{"error":{{"code":"{code}","message":"a fault of the test"}}}}"#);
    format!(
        "HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
