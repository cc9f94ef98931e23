//! A connection that was accepted: a socket, and TLS over it where the backend speaks it. Without, nothing is added to the socket's
//! calls.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, send};

use crate::io::tls_server::Served;
use crate::platform::SEND;

/// A connection of a server.
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    tls: Option<Box<Served>>,
}

impl Accepted {
    pub(crate) fn new(socket: OwnedFd, tls: Option<Box<Served>>) -> Accepted {
        Accepted { socket, tls }
    }

    /// Bytes as they came, those of TLS too.
    pub(crate) fn receive(&self, room: &mut [u8]) -> Result<usize, Errno> {
        recv(&self.socket, room, RecvFlags::empty()).map(|(length, _)| length)
    }

    /// How many bytes the socket has: with TLS, of those whose records it has whole. After [`Errno::AGAIN`] the same bytes are to be
    /// sent again.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match &mut self.tls {
            None => send(&self.socket, bytes, SEND),
            Some(tls) => tls.send(&self.socket, bytes),
        }
    }

    /// Writes what TLS itself has to send: a handshake, tickets. An error says that the socket has not taken it all.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(&self.socket))
    }

    /// Writes what is due, and leaves what may as well leave later.
    pub(crate) fn flush_what_is_due(&mut self) -> Result<(), Errno> {
        if self.tls.as_ref().is_some_and(|tls| tls.owes_only_tickets()) { Ok(()) } else { self.flush() }
    }

    pub(crate) fn tls(&mut self) -> Option<&mut Served> {
        self.tls.as_deref_mut()
    }

    /// Whether it has TLS whose handshake has not ended.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking_hands())
    }

    /// Goes on without TLS: what the client speaks is none.
    pub(crate) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    /// Announces that nothing more will be sent.
    pub(crate) fn announce_end(&mut self) {
        if let Some(mut tls) = self.tls.take() {
            tls.close(&self.socket);
        }
    }
}

impl AsFd for Accepted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.announce_end();
    }
}
