//! Binds the addresses and unix sockets of backends: all of them before any runs, and those of one again when it is started again.

use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::fleet::start_error::StartError;
use crate::platform::means;
use crate::runfile::{Runfile, Whereabouts};
use crate::topology::{Address, Host, Sockets};

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The addresses that a host stands for on this machine.
pub(crate) fn resolve(host: &Host) -> io::Result<Vec<IpAddr>> {
    if let Some(addresses) = host.fixed_addresses() {
        return Ok(addresses);
    }
    let mut addresses: Vec<IpAddr> = (host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The listening sockets of one backend, and the files of those among them that are unix sockets.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) sockets: Vec<Socket>,
    pub(crate) files: Vec<SocketFile>,
}

/// Why a backend cannot listen somewhere.
pub(crate) enum Unbound {
    Tcp(SocketAddr, io::Error),
    Unix(PathBuf, NoSocket),
    /// The host does not resolve.
    Host(Host, io::Error),
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unbound::Tcp(address, why) => write!(f, "{address}: {why}"),
            Unbound::Unix(path, why) => write!(f, "{}: {why}", path.display()),
            Unbound::Host(host, why) => write!(f, "host {host}: it does not resolve ({why})"),
        }
    }
}

/// Listens on all of these. `resolved` are the addresses of hosts that are known already. In a rehearsal all other addresses than this
/// network's own belong to `network`.
pub(crate) fn listen_on(
    addresses: &[Address],
    resolved: &[(Host, Vec<IpAddr>)],
    network: Option<&Path>,
) -> Result<Listeners, Unbound> {
    let mut listeners = Listeners::default();
    for address in addresses {
        match address {
            Address::Tcp(host, port) => {
                let known = resolved.iter().find(|(known, _)| known == host).map(|(_, addresses)| addresses.clone());
                let ips = known.map_or_else(|| resolve(host), Ok).map_err(|why| Unbound::Host(host.clone(), why))?;
                let sockets = listen(&ips, *port, network);
                listeners.sockets.extend(sockets.map_err(|(address, why)| Unbound::Tcp(address, why))?);
            }
            Address::Unix(path) => {
                let (socket, file) = listen_unix(path).map_err(|why| Unbound::Unix(path.clone(), why))?;
                listeners.sockets.push(socket);
                listeners.files.push(file);
            }
        }
    }
    Ok(listeners)
}

/// Listening sockets on one port. Of `localhost` one of the two addresses may be missing: not every machine has both.
fn listen(addresses: &[IpAddr], port: u16, network: Option<&Path>) -> Result<Vec<Socket>, (SocketAddr, io::Error)> {
    let mut sockets = Vec::new();
    let mut missing = None;
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        let bound = match network.filter(|_| !world::is_own(ip)) {
            Some(network) => world::within(network, || socket(address)).and_then(|bound| bound),
            None => socket(address),
        };
        match bound {
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

/// The file of a listening unix socket. It goes when this does, unless somebody else has put another there.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: FileIdentity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The number of a file is soon given to another one; the time at which it was made is not known of every file system.
type FileIdentity = (u64, u64, Option<SystemTime>);

fn identity(file: &Metadata) -> FileIdentity {
    (file.dev(), file.ino(), file.created().ok())
}

/// Why a backend cannot listen on a unix socket.
#[derive(Debug)]
pub(crate) enum NoSocket {
    /// Something else has this name.
    OtherFile,
    /// The operating system says so.
    Refused(io::Error),
}

impl From<io::Error> for NoSocket {
    fn from(error: io::Error) -> NoSocket {
        NoSocket::Refused(error)
    }
}

impl fmt::Display for NoSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSocket::OtherFile => f.write_str("this file is no socket"),
            NoSocket::Refused(why) => match why.kind() {
                io::ErrorKind::AddrInUse => f.write_str("address already in use"),
                io::ErrorKind::PermissionDenied => f.write_str("permission denied"),
                io::ErrorKind::NotFound => f.write_str("its folder is missing"),
                _ => why.fmt(f),
            },
        }
    }
}

/// A listening unix socket, open to every user who may enter its folder, as a port is to all. What a process that has ended left
/// there is replaced.
fn listen_unix(path: &Path) -> Result<(Socket, SocketFile), NoSocket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error.into());
        }
        make_way(path, &address)?;
        socket.bind(&address)?;
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) };
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Removes a socket on which nobody listens any more, and nothing else.
fn make_way(path: &Path, address: &SockAddr) -> Result<(), NoSocket> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(NoSocket::OtherFile);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        // Somebody listens there, also if it takes nobody now, or speaks in datagrams.
        Ok(()) | Err(_) => Err(io::Error::from(io::ErrorKind::AddrInUse).into()),
    }
}

fn is_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
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

/// Says which backend cannot listen where, and what to try.
pub(crate) fn explain(error: &mut StartError, backend: &str, unbound: &Unbound) {
    match unbound {
        Unbound::Tcp(address, why) => explain_tcp(error, backend, *address, why),
        Unbound::Unix(path, why) => explain_unix(error, backend, path, why),
        Unbound::Host(..) => error.add(
            format!("backend {backend}: {unbound}"),
            "name an address instead of the host, or add it to /etc/hosts",
        ),
    }
}

fn explain_tcp(error: &mut StartError, backend: &str, address: SocketAddr, why: &io::Error) {
    let (why, hint) = match why.kind() {
        io::ErrorKind::AddrInUse => {
            error.taken.push(address.port());
            return error.problems.push(format!("backend {backend} on {address}: address already in use"));
        }
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
    error.add(format!("backend {backend} on {address}: {why}"), hint);
}

/// Says once what to try about all ports that are in use. `option` is where they are chosen.
pub(crate) fn explain_taken(error: &mut StartError, option: &str) {
    if error.taken.is_empty() {
        return;
    }
    error.taken.dedup();
    let is_ours = |port: &u16, fleet: &Whereabouts| fleet.backends.contains(&port.to_string());
    let fleets = Runfile::find_all();
    let holder = fleets.iter().find(|fleet| error.taken.iter().all(|port| is_ours(port, fleet)));
    let stop = match holder {
        Some(fleet) => format!("stop your fleet that has them: kill {}", fleet.pid),
        None => {
            format!("stop what holds them: {} shows it", means().who_listens(&error.taken))
        }
    };
    error.hints.push(format!("choose other ports with {option}, or {stop}"));
}

fn explain_unix(error: &mut StartError, backend: &str, path: &Path, why: &NoSocket) {
    let shown = path.display();
    let hint = match why {
        NoSocket::OtherFile => "move it away, or choose another folder with --sockets".to_owned(),
        NoSocket::Refused(why) => match why.kind() {
            io::ErrorKind::AddrInUse => {
                let show = means().who_listens_on_file(path);
                format!("choose another folder with --sockets, or stop what listens there: {show} shows it")
            }
            io::ErrorKind::PermissionDenied => {
                "choose a folder in which you may write, with --sockets, such as one in $XDG_RUNTIME_DIR".to_owned()
            }
            _ => "see the message of the operating system".to_owned(),
        },
    };
    error.add(format!("backend {backend} on {shown}: {why}"), hint);
}

/// Says that the folder of the sockets is missing, if it is: once, and not for each of them.
pub(crate) fn find_folder(error: &mut StartError, sockets: &Sockets) -> bool {
    let folder = sockets.folder();
    let why = match fs::metadata(folder) {
        Ok(there) if there.is_dir() => return true,
        Ok(_) => "this is no folder",
        Err(why) if why.kind() == io::ErrorKind::NotFound => "no such folder",
        // What is wrong is found out at each of them.
        Err(_) => return true,
    };
    let shown = folder.display();
    error.add(
        format!("sockets in {shown}: {why}"),
        format!("make it (mkdir -p {shown}), or choose another with --sockets"),
    );
    false
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
