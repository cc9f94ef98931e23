//! A connection: a socket, and TLS over it where the target wants that. Without, nothing is added to the socket's calls.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::io::ending::{Ending, Peeked};
use crate::io::socket;
use crate::io::tls::{Tls, TlsFailure, TlsSession};
use crate::platform::SEND;

/// A connection that is open, or being opened.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    tls: Option<Box<TlsSession>>,
    /// Goes before everything else, TLS too, where nothing of it has been sent.
    preamble: Vec<u8>,
}

/// What is found on a connection that should carry nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Idle {
    Nothing,
    Ended,
    /// Bytes have come: the first of them, then zeros.
    Bytes([u8; 12]),
}

impl Stream {
    /// Over a socket that connects or is connected. The preamble is sent before anything else.
    pub(crate) fn over(socket: OwnedFd, tls: Option<&Tls>, preamble: Vec<u8>) -> Stream {
        Stream { socket, tls: tls.map(|tls| Box::new(TlsSession::new(tls))), preamble }
    }

    fn send_preamble(&mut self) -> Result<(), Errno> {
        while !self.preamble.is_empty() {
            let sent = send(&self.socket, &self.preamble, SEND)?;
            self.preamble.drain(..sent);
        }
        Ok(())
    }

    /// How many bytes it took; with TLS only when the handshake is over, with which it goes on. [`Errno::PROTO`] where that has
    /// failed.
    pub(crate) fn send(&mut self, bytes: &[u8], flags: SendFlags) -> Result<usize, Errno> {
        self.send_preamble()?;
        match &mut self.tls {
            None => send(&self.socket, bytes, flags),
            Some(tls) => tls.send(&self.socket, bytes),
        }
    }

    /// Whether the socket has all that was taken; [`Errno::AGAIN`] if not yet.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&self.socket),
        }
    }

    pub(crate) fn receive(&mut self, room: &mut [u8]) -> Peeked {
        match &mut self.tls {
            None => match recv(&self.socket, room, RecvFlags::DONTWAIT) {
                Ok((0, _)) => Peeked::End(Ending::Closed),
                Ok((length, _)) => Peeked::Bytes(length),
                Err(Errno::AGAIN | Errno::INTR) => Peeked::Nothing,
                Err(errno) => Peeked::End(socket::ending(errno)),
            },
            Some(tls) => tls.receive(&self.socket, room),
        }
    }

    /// Looks at a connection that idles: a request may be sent on it if it has not ended and nothing came that was not asked for.
    pub(crate) fn look(&mut self) -> Idle {
        let mut first = [0; 12];
        let received = match &mut self.tls {
            None => match recv(&self.socket, &mut first[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Ok((0, _)) => Peeked::End(Ending::Closed),
                Ok((length, _)) => Peeked::Bytes(length),
                Err(Errno::AGAIN) => Peeked::Nothing,
                Err(errno) => Peeked::End(socket::ending(errno)),
            },
            // What comes in addition to responses, such as tickets for later sessions, does no harm.
            Some(tls) => tls.receive(&self.socket, &mut first),
        };
        match received {
            Peeked::Nothing => Idle::Nothing,
            Peeked::Bytes(_) => Idle::Bytes(first),
            Peeked::End(_) => Idle::Ended,
        }
    }

    /// Whether what has come may already be out of the socket: then the poll does not tell of it.
    pub(crate) fn hides_bytes(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a send that could not go on waits for the socket to take something, not for the other end to say something.
    pub(crate) fn wants_to_send(&self) -> bool {
        !self.preamble.is_empty() || self.tls.as_ref().is_none_or(|tls| tls.wants_to_send())
    }

    /// Whether all that was taken is with the socket.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.wants_to_send())
    }

    /// Whether the connection is established and its TLS is not yet.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking_hands())
    }

    /// Whether there is TLS and it is established.
    pub(crate) fn is_secured(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_established() && tls.failure().is_none())
    }

    /// Why its TLS failed, if it has.
    pub(crate) fn tls_failure(&self) -> Option<&TlsFailure> {
        self.tls.as_ref().and_then(|tls| tls.failure())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&self.socket);
        }
    }
}
