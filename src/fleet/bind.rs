//! Binds the addresses of backends: all of them before any runs, and one again when its backend is started again.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::fleet::StartError;
use crate::topology::Host;
use crate::wire::Generator;

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The addresses that a host stands for on this machine.
pub fn resolve(host: &Host) -> io::Result<Vec<IpAddr>> {
    if let Some(addresses) = host.fixed_addresses() {
        return Ok(addresses);
    }
    let mut addresses: Vec<IpAddr> = (host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Listening sockets of one backend. Of `localhost` one of the two addresses may be missing: not every machine has both.
pub fn listen(addresses: &[IpAddr], generator: Generator) -> Result<Vec<Socket>, (SocketAddr, io::Error)> {
    let mut sockets = Vec::new();
    let mut missing = None;
    for &ip in addresses {
        let address = SocketAddr::new(ip, generator.0);
        match socket(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if addresses.len() > 1 && is_missing(&error) => missing = Some((address, error)),
            Err(error) => return Err((address, error)),
        }
    }
    match missing {
        Some(missing) if sockets.is_empty() => Err(missing),
        _ => Ok(sockets),
    }
}

fn is_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    // Connections of an earlier run may still be closing; this takes no port from a process that listens on it.
    socket.set_reuse_address(true)?;
    // Inherited by every connection.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        // `::` means all addresses of the machine, of either family.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Says which backend cannot have which address.
pub fn explain(error: &mut StartError, generator: Generator, address: SocketAddr, why: &io::Error) {
    let (why, hint) = match why.kind() {
        io::ErrorKind::AddrInUse => (
            "address already in use".to_owned(),
            format!("choose other ports with --ports, or stop the process that holds it (ss -ltnp 'sport = :{generator}')"),
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            "ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE: choose ports from 1024 on with --ports".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine has no such address".to_owned(),
            "choose another host with --host: localhost, or 0.0.0.0 for all addresses".to_owned(),
        ),
        _ => (why.to_string(), "see the message of the operating system".to_owned()),
    };
    error.add(format!("backend {generator} on {address}: {why}"), hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_inherit_that_nothing_is_delayed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = socket(address.parse().unwrap()).unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap().as_socket().unwrap()).unwrap();
            let (connection, _) = listener.accept().unwrap();
            assert!(connection.tcp_nodelay().unwrap());
            drop(client);
        }
    }
}
