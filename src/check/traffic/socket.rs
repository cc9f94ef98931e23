//! Sockets of a client: how they are opened, and what their errors mean.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with, sockopt};

use crate::check::traffic::answer::Ending;
use verdict::observation::ClientOutcome;

/// A connection that could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The other end's doing: an observation.
    ClientOutcome(ClientOutcome),
    /// This machine's: no observation.
    Local(Errno),
}

/// Begins to connect, from that address if one is given.
pub fn open(to: SocketAddr, from: Option<IpAddr>) -> Result<OwnedFd, Failure> {
    let family = match to {
        SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
        SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(Failure::Local)?;
    if let Some(ip) = from {
        // Else the ports of connections that ended a minute ago could not be used.
        sockopt::set_socket_reuseaddr(&socket, true).map_err(Failure::Local)?;
        bind(&socket, &SocketAddr::new(ip, 0)).map_err(Failure::Local)?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(errno) => Err(no_connection(errno)),
    }
}

/// What an error means before a connection is established.
pub fn no_connection(errno: Errno) -> Failure {
    match errno {
        Errno::CONNREFUSED => Failure::ClientOutcome(ClientOutcome::Refused),
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL | Errno::AFNOSUPPORT => {
            Failure::Local(errno)
        }
        _ => Failure::ClientOutcome(ClientOutcome::Unreachable),
    }
}

/// How an established connection ended, by the error of a send or receive. The kernel says EPIPE where the other end closed
/// in order and then answered what was sent all the same with a reset.
pub fn ending(errno: Errno) -> Ending {
    match errno {
        Errno::PIPE => Ending::Closed,
        _ => Ending::Reset,
    }
}

/// Whether a request may be sent on a connection that idles: it has not ended, and nothing came that was not asked for.
pub fn is_usable(socket: &OwnedFd) -> bool {
    matches!(recv(socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(Errno::AGAIN))
}

/// The address of a virtual client: different in the third number first, as far as there are any.
pub fn source(client: u32) -> IpAddr {
    const EACH: u32 = 250;
    let part = |number: u32| (1 + number % EACH) as u8;
    IpAddr::V4(Ipv4Addr::new(127, 0, part(client), part(client / EACH)))
}
