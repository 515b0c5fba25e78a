//! A connection that ends when nothing comes or goes for too long, so that those who only hold one use up nobody's
//! descriptors.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream, how long it may be idle, and since when it is.
pub(super) struct Idle<S> {
    stream: S,
    patience: Duration,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    pub fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, since: Instant::now(), alarm: Box::pin(sleep(patience)) }
    }

    /// What became of an attempt: something moved, or it is waited for, and not for ever.
    fn watched<T>(&mut self, context: &mut Context<'_>, attempt: Poll<Result<T>>) -> Poll<Result<T>> {
        if attempt.is_ready() {
            self.since = Instant::now();
            return attempt;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.since + self.patience;
            if end <= Instant::now() {
                return Poll::Ready(Err(Error::new(
                    ErrorKind::TimedOut,
                    "nothing came or went for too long",
                )));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(context, attempt)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let attempt = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, attempt)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn who_says_nothing_is_given_up_and_who_goes_on_is_not() {
        let (near, mut far) = duplex(64);
        let mut near = Idle::new(near, Duration::from_millis(20));
        for _ in 0..3 {
            far.write_all(b"x").await.expect("written");
            assert_eq!(near.read_u8().await.expect("read"), b'x');
        }
        let error = near.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
