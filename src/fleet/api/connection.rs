//! A connection to the API and its bounds: who is cut off when there are too many, and when one that does not read is given up.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

#[derive(Default)]
pub(super) struct ApiConnection {
    /// Requests that are being answered: one at most in HTTP/1.1.
    answering: AtomicUsize,
    /// Whether a request with the token came over it.
    owners: AtomicBool,
    ended: Notify,
}

impl ApiConnection {
    /// A request with the token came over it.
    pub(super) fn is_owners(&self) {
        self.owners.store(true, Ordering::Relaxed);
    }

    /// How much would be lost if it were closed, the least first: none may be closed at 2.
    pub(super) fn worth(&self) -> u8 {
        match (self.answering.load(Ordering::Relaxed) > 0, self.owners.load(Ordering::Relaxed)) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }

    pub(super) fn end(&self) {
        self.ended.notify_one();
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    pub(super) fn begins_to_answer(self: std::sync::Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }
}

/// A request is being answered as long as this lives.
pub(super) struct Answering(std::sync::Arc<ApiConnection>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that takes nothing of its response for this long has gone or is hostile.
const STALL: Duration = Duration::from_secs(10);

/// A stream whose writes fail when the other end does not read.
pub(super) struct Impatient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    pub(super) fn new(stream: TcpStream) -> Impatient {
        Impatient { stream, stalled: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
