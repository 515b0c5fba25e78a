//! Carrying bytes between the two sides of an authorised connection.
//!
//! Content is moved with `splice(2)` through a pipe, so it never enters this process. Only plain HTTP is read
//! on its way out, because each request on a connection that is kept alive names its host anew.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::http::{self, Head, Parsed};
use crate::limits::{self, Deadlines};
use crate::opening::{self, Opening};
use crate::record::Open;
use crate::tcp::Meant;

/// What a pipe holds at first, and when a connection turns out to carry much.
const PIPE: usize = 64 * 1024;
const LARGE_PIPE: usize = 1024 * 1024;
/// Room for one read.
const READ: usize = 16 * 1024;

/// Why a connection ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// One of the sides is gone.
    Io,
    /// The client asked for something that was not authorised.
    Refused { name: Option<String>, rule: String },
    /// Nothing was said for too long.
    Idle,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

/// A client's first bytes.
pub(crate) struct First {
    pub(crate) bytes: Vec<u8>,
    pub(crate) opening: Opening,
    /// Whether the client has said all that it will ever say.
    pub(crate) ended: bool,
}

/// Reads until the first bytes tell what they are. With `patient`, a silent client is waited for without end;
/// otherwise its silence counts as neither TLS nor HTTP.
pub(crate) async fn first_bytes(
    client: &TcpStream,
    patient: bool,
    deadlines: &Deadlines,
) -> io::Result<First> {
    let mut bytes = Vec::new();
    let begun = if patient {
        read_some(client, &mut bytes).await?
    } else {
        match timeout(deadlines.first_byte, read_some(client, &mut bytes)).await {
            Ok(read) => read?,
            Err(_) => return Ok(First { bytes, opening: Opening::Neither, ended: false }),
        }
    };
    let mut ended = begun == 0;
    let mut opening = opening::look(&bytes);
    let complete = async {
        while opening == Opening::More && !ended {
            ended = read_some(client, &mut bytes).await? == 0;
            opening = opening::look(&bytes);
        }
        io::Result::Ok(())
    };
    match timeout(deadlines.message, complete).await {
        Ok(result) => result?,
        Err(_) => opening = Opening::Malformed("its first message never ended"),
    }
    if opening == Opening::More {
        opening = opening::at_end(&bytes);
    }
    Ok(First { bytes, opening, ended })
}

/// Carries bytes both ways until both sides are done; half-closes are passed on.
pub(crate) async fn forward(
    (client, upstream): (&TcpStream, &TcpStream),
    first: Option<First>,
    early: &[u8],
    meant: &Meant,
    open: &Open,
    deadlines: &Deadlines,
) -> Result<(), Stop> {
    let outward = async {
        let first = match first {
            Some(first) => first,
            None => meant.checked(first_bytes(client, true, deadlines).await?)?,
        };
        if matches!(first.opening, Opening::Http(_)) {
            requests((client, upstream), first.bytes, meant, &open.out, deadlines.message).await?;
        } else {
            write_counted(upstream, &first.bytes, &open.out).await?;
            // A connection may live for hours; its first bytes need not.
            drop(first);
            splice_all(client, upstream, &open.out).await?;
        }
        Ok(shut(upstream)?)
    };
    let inward = async {
        write_counted(client, early, &open.into).await?;
        splice_all(upstream, client, &open.into).await?;
        Ok(shut(client)?)
    };
    tokio::select! {
        both = async { tokio::try_join!(outward, inward) } => both.map(|_| ()),
        () = silence(open, deadlines.idle) => Err(Stop::Idle),
    }
}

fn shut(stream: &TcpStream) -> io::Result<()> {
    match rustix::net::shutdown(stream, Shutdown::Write) {
        // The other side has reset the connection already; its own direction reports that.
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends when no byte has moved for a while.
async fn silence(open: &Open, idle: Duration) {
    let moved = || open.out.load(Ordering::Relaxed).wrapping_add(open.into.load(Ordering::Relaxed));
    let mut before = None;
    loop {
        let now = Some(moved());
        if before == now {
            return;
        }
        before = now;
        sleep(idle).await;
    }
}

/// Passes on requests, each of which must be for the host that was authorised.
async fn requests(
    (client, upstream): (&TcpStream, &TcpStream),
    mut bytes: Vec<u8>,
    meant: &Meant,
    out: &AtomicU64,
    most: Duration,
) -> Result<(), Stop> {
    loop {
        if bytes.is_empty() && read_some(client, &mut bytes).await? == 0 {
            return Ok(());
        }
        let head = timeout(most, head(client, &mut bytes, meant)).await;
        let Some(mut head) = head.unwrap_or_else(|_| Err(meant.refused("its HTTP request never ended")))?
        else {
            return Ok(());
        };
        meant.permits(&head)?;
        let mut rest = bytes.split_off(head.length);
        if let (Some(mirror), Some(value)) = (&meant.mirror, head.host_value.take()) {
            bytes.splice(value, mirror.bytes());
        }
        write_counted(upstream, &bytes, out).await?;
        loop {
            let taken = head.body.take(&rest).map_err(|reason| meant.refused(reason))?;
            write_counted(upstream, &rest[..taken], out).await?;
            rest.drain(..taken);
            if head.body.is_done() {
                break;
            }
            if read_some(client, &mut rest).await? == 0 {
                return Ok(());
            }
        }
        bytes = rest;
    }
}

/// Reads until the head of a request is complete; `None` when the client ends before.
async fn head(client: &TcpStream, bytes: &mut Vec<u8>, meant: &Meant) -> Result<Option<Head>, Stop> {
    loop {
        match http::parse_head(bytes) {
            Parsed::Head(head) => return Ok(Some(head)),
            Parsed::More if bytes.len() < limits::LARGEST_MESSAGE => {
                if read_some(client, bytes).await? == 0 {
                    return Ok(None);
                }
            }
            Parsed::More => return Err(meant.refused("its HTTP request is too large")),
            Parsed::Malformed(reason) => return Err(meant.refused(reason)),
            Parsed::NotHttp => return Err(meant.refused("it stopped speaking HTTP after its first request")),
        }
    }
}

/// Moves everything from one socket to the other, until the first has no more.
async fn splice_all(from: &TcpStream, to: &TcpStream, count: &AtomicU64) -> io::Result<()> {
    let (drain, fill): (OwnedFd, OwnedFd) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let mut size = PIPE;
    loop {
        // The pipe is empty here, so "would block" can only mean that the socket has nothing to read.
        let read = || Ok(rustix::pipe::splice(from, None, &fill, None, size, flags)?);
        let mut left = from.async_io(Interest::READABLE, read).await?;
        if left == 0 {
            return Ok(());
        }
        if left == size && size < LARGE_PIPE {
            // Without the right to a larger pipe the present one does as well.
            size = rustix::pipe::fcntl_setpipe_size(&fill, LARGE_PIPE).unwrap_or(size);
        }
        while left > 0 {
            let write = || Ok(rustix::pipe::splice(&drain, None, to, None, left, flags)?);
            let written = to.async_io(Interest::WRITABLE, write).await?;
            left -= written;
            count.fetch_add(written as u64, Ordering::Relaxed);
        }
    }
}

async fn write_counted(stream: &TcpStream, bytes: &[u8], count: &AtomicU64) -> io::Result<()> {
    write_all(stream, bytes).await?;
    count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Writes all of `bytes`.
pub(crate) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Appends what has arrived, at least one byte; 0 at the end. Nothing is lost when it is dropped while waiting.
pub(crate) async fn read_some(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    stream
        .async_io(Interest::READABLE, || {
            // Room is made only for what is there: of a thousand connections, nearly all are waiting.
            let mut block = [0; READ];
            let read = rustix::net::recv(stream, &mut block, RecvFlags::DONTWAIT)?.0;
            bytes.extend_from_slice(&block[..read]);
            Ok(read)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gateway::Ruling;
    use crate::record::Recorder;

    /// The clock stands still and jumps to the next timer when all wait, so that no test does.
    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(future)
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[test]
    fn silence_is_neither_and_half_a_message_is_malformed() {
        block_on(async {
            let (client, served) = pair().await;
            let first = first_bytes(&served, false, &Deadlines::default()).await.unwrap();
            assert_eq!((first.opening, first.ended), (Opening::Neither, false));
            write_all(&client, b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
            let first = first_bytes(&served, false, &Deadlines::default()).await.unwrap();
            assert!(matches!(first.opening, Opening::Malformed(_)), "{:?}", first.opening);
        });
    }

    #[test]
    fn what_ends_early_is_told_apart() {
        for (said, expected) in [
            (&b""[..], Opening::Neither),
            (b"PI", Opening::Neither),
            (b"GET / HTTP/1.1\r\n", Opening::Malformed("its first message is cut short")),
            (&[22, 3, 1], Opening::Malformed("its first message is cut short")),
        ] {
            block_on(async {
                let (client, served) = pair().await;
                write_all(&client, said).await.unwrap();
                drop(client);
                let first = first_bytes(&served, true, &Deadlines::default()).await.unwrap();
                assert_eq!((first.opening, first.ended), (expected, true), "{said:?}");
            });
        }
    }

    #[test]
    fn two_silent_sides_are_not_kept_for_ever() {
        block_on(async {
            let ((_client, served), (upstream, _server)) = (pair().await, pair().await);
            let meant = Meant { name: None, address: [203, 0, 113, 9].into(), port: 22, mirror: None };
            let row = Ruling::refusal("test").row(1, None, None, 22, "tcp");
            let open = Open::new(&Arc::new(Recorder::default()), row);
            let end = forward((&served, &upstream), None, b"", &meant, &open, &Deadlines::default()).await;
            assert!(matches!(end, Err(Stop::Idle)), "{end:?}");
        });
    }
}
