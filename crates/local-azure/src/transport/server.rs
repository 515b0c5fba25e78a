//! The endpoint on a socket: TLS, HTTP, and a thread for each request that is being answered.

use std::future::poll_fn;
use std::io::{Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as Stream, BodyDataStream, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::serve::Listener;
use futures_core::Stream as _;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::io::ReaderStream;

use super::idle::Idle;
use super::{Body, Content, MAX_BODY, Request, Response};
use crate::error::{ArmError, Error};
use crate::{LocalAzure, blobs, path};

/// How long a client may take to shake hands, and between two parts of a request's body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection may be kept without a request or an answer on its way. Clients keep theirs for minutes.
const IDLE: Duration = Duration::from_mins(5);

/// How much of a body that is too large is read before the connection is closed, in bytes.
const MAX_THROWN_AWAY: usize = 256 * 1024 * 1024;

/// The largest upload, in bytes: the largest disk that Azure takes as an image, 2 TiB.
const MAX_UPLOAD: u64 = 2 << 40;

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    /// Where it listens; the port is the one that was chosen when none was asked for.
    pub address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

/// Serves an endpoint over TLS until the server is stopped.
///
/// # Errors
/// When the address cannot be listened on, or no certificate made.
pub fn serve(azure: Arc<LocalAzure>, address: SocketAddr) -> Result<Server, Error> {
    let listening = |error| Error::Listen(address, error);
    let mut own: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
    if !address.ip().is_unspecified() && !own.contains(&address.ip()) {
        own.push(address.ip());
    }
    let config = azure.authority().server(&own)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(listening)?;
    let socket = runtime.block_on(TcpListener::bind(address)).map_err(listening)?;
    let address = socket.local_addr().map_err(listening)?;
    let (sender, accepted) = mpsc::channel(64);
    runtime.spawn(accept(socket, TlsAcceptor::from(config), sender));
    let (stop, stopped) = oneshot::channel();
    let router = axum::Router::new().fallback(answer).with_state(azure);
    let ended = runtime.spawn(async move {
        let listener = Accepted { streams: accepted, address };
        let stopped = async {
            let _ = stopped.await;
        };
        axum::serve(listener, router).with_graceful_shutdown(stopped).await
    });
    Ok(Server { address, runtime, stop: Some(stop), ended: Some(ended) })
}

impl Server {
    /// Takes no more requests, and gives those under way a moment to end.
    pub fn stop(mut self) {
        drop(self.stop.take());
        if let Some(ended) = self.ended.take() {
            let _ =
                self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), ended).await });
        }
        self.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

/// Accepts connections and shakes hands with each on its own, so that a slow client delays nobody else.
async fn accept(
    socket: TcpListener,
    tls: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok((stream, peer)) = socket.accept().await else {
            // Out of descriptors: others have to end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                let _ = sender.send((stream, peer)).await;
            }
        });
    }
}

/// Connections after their handshake.
struct Accepted {
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Accepted {
    type Io = Idle<TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some((stream, peer)) => (Idle::new(stream, IDLE), peer),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn answer(State(azure): State<Arc<LocalAzure>>, request: http::Request<Stream>) -> impl IntoResponse {
    let spool = path::is_upload(request.method(), request.uri().path());
    let (parts, body) = request.into_parts();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut request = Request {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        origin: format!("https://{host}"),
        headers: parts.headers,
        body: Body::Bytes(Vec::new()),
    };
    if spool {
        let asked = Arc::clone(&azure);
        let admitted = tokio::task::spawn_blocking(move || blobs::admit_upload(&asked, request)).await;
        request = match admitted {
            Ok(Ok(request)) => request,
            Ok(Err(refusal)) => return write(&parts.method, *refusal).await,
            Err(_) => return write(&parts.method, ended()).await,
        };
    }
    let body = if spool { upload(&azure, body).await } else { in_memory(body).await };
    request.body = match body {
        Ok(body) => body,
        Err(error) => return write(&parts.method, crate::refused(&error)).await,
    };
    // What answers reads and writes files, so it must not hold up the connections.
    let answered = tokio::task::spawn_blocking(move || azure.handle(request)).await;
    write(&parts.method, answered.unwrap_or_else(|_| ended())).await
}

fn ended() -> Response {
    crate::refused(&ArmError::internal("the request ended a thread"))
}

/// The next part of a body; none at its end.
async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, ArmError> {
    let next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
    let late =
        || ArmError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the body did not arrive in time");
    match tokio::time::timeout(PATIENCE, next).await {
        Ok(Some(Ok(part))) => Ok(Some(part)),
        Ok(None) => Ok(None),
        _ => Err(late()),
    }
}

/// A body of at most [`MAX_BODY`]. What is too large is read on for a while and thrown away, so that a client that sends
/// before it reads gets the answer.
async fn in_memory(body: Stream) -> Result<Body, ArmError> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut size) = (Vec::new(), 0);
    while let Some(part) = next(&mut stream).await? {
        size += part.len();
        if size <= MAX_BODY {
            bytes.extend_from_slice(&part);
        } else if size > MAX_THROWN_AWAY {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if size > MAX_BODY {
        return Err(ArmError::request_too_large(MAX_BODY as u64));
    }
    Ok(Body::Bytes(bytes))
}

/// Spools a body into a file of the state's folder.
async fn upload(azure: &LocalAzure, body: Stream) -> Result<Body, ArmError> {
    let failed =
        |error: &dyn std::fmt::Display| ArmError::internal(format!("cannot keep the upload: {error}"));
    let mut file = azure.spool().map_err(|error| failed(&error))?;
    let mut stream = body.into_data_stream();
    let mut size = 0;
    while let Some(part) = next(&mut stream).await? {
        size += part.len() as u64;
        if size > MAX_UPLOAD {
            return Err(ArmError::request_too_large(MAX_UPLOAD));
        }
        let written = tokio::task::spawn_blocking(move || file.write_all(&part).map(|()| file)).await;
        file = match written {
            Ok(Ok(file)) => file,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        };
    }
    Ok(Body::File(file))
}

/// The answer as HTTP; to HEAD without its body, but with its length.
async fn write(method: &Method, response: Response) -> http::Response<Stream> {
    let (body, length) = match response.body {
        Content::Bytes(bytes) => {
            let length = bytes.len() as u64;
            (Stream::from(bytes), length)
        }
        Content::Part(mut file, start, length) => {
            let sought =
                tokio::task::spawn_blocking(move || file.seek(SeekFrom::Start(start)).map(|_| file)).await;
            match sought {
                Ok(Ok(file)) => {
                    let reader = tokio::fs::File::from_std(file).take(length);
                    (Stream::from_stream(ReaderStream::with_capacity(reader, 256 * 1024)), length)
                }
                _ => (Stream::empty(), 0),
            }
        }
    };
    let body = if method == Method::HEAD { Stream::empty() } else { body };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    if !answer.headers().contains_key(CONTENT_LENGTH) {
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    answer
}
