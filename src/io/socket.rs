//! Sockets of a client: how they are opened, and how they end.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{bind, connect, sockopt};

use crate::io::ending::Ending;
use crate::platform::means;

/// A socket that does not block, for a connection to there, from that address if one is given.
pub(crate) fn create(to: SocketAddr, from: Option<IpAddr>) -> Result<OwnedFd, Errno> {
    let family = match to {
        SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
        SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
    };
    let socket = means().stream_socket(family)?;
    if let Some(ip) = from {
        // Else the ports of connections that ended a minute ago could not be used.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddr::new(ip, 0))?;
    }
    Ok(socket)
}

/// Starts a connection; the socket becomes writable when it is established or has failed.
pub(crate) fn start_connecting(socket: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    match connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// How an established connection ended, by the error of a send or receive. The kernel says EPIPE where the other end closed
/// in order and then answered what was sent all the same with a reset.
pub(crate) fn ending(errno: Errno) -> Ending {
    match errno {
        Errno::PIPE => Ending::Closed,
        _ => Ending::Reset,
    }
}
