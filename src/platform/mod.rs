//! What operating systems do each in their own way. `posix` is what every Unix offers, macOS among them; `linux` does better where Linux can.
//! `UUID_GENERATOR_PORTABLE=1` takes the portable means all the same: so tests on Linux run most of what a Mac runs.

pub(crate) mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod means;
mod posix;

use std::sync::LazyLock;

use rustix::net::{RecvFlags, SendFlags};

pub(crate) use means::Means;

/// The variable that takes the portable means on Linux. It is no setting of the fleet.
pub(crate) const PORTABLE: &str = "UUID_GENERATOR_PORTABLE";

/// How bytes are sent: a peer that is gone is an error and no signal. Elsewhere than on Linux that is the process's setting, which Rust makes.
#[cfg(target_os = "linux")]
pub(crate) const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
pub(crate) const SEND: SendFlags = SendFlags::empty();

/// How bytes are sent that more bytes follow at once.
#[cfg(target_os = "linux")]
pub(crate) const SEND_MORE: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::MORE);
#[cfg(not(target_os = "linux"))]
pub(crate) const SEND_MORE: SendFlags = SendFlags::empty();

/// How descriptors are received: a program that this one starts has none of them. Elsewhere than on Linux, [`Means::keep`] does that.
#[cfg(target_os = "linux")]
pub(crate) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
pub(crate) const RECEIVE: RecvFlags = RecvFlags::empty();

/// The longest path of a unix socket: `sun_path`, less the zero at its end.
pub(crate) const LONGEST_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The means of this operating system.
pub(crate) fn means() -> &'static dyn Means {
    #[cfg(target_os = "linux")]
    if !is_portable() {
        return &linux::Linux;
    }
    &posix::Posix
}

/// Whether the means are those of every Unix.
pub(crate) fn is_portable() -> bool {
    static IS_PORTABLE: LazyLock<bool> = LazyLock::new(|| std::env::var_os(PORTABLE).is_some_and(|it| it == "1"));
    *IS_PORTABLE
}

/// What this machine is called, or the container.
pub(crate) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::AddressFamily;
    use socket2::Socket;
    use std::net::{Ipv4Addr, TcpListener};
    use std::process::Command;

    /// Of this system, and of every Unix.
    fn all() -> [&'static dyn Means; 2] {
        [means(), &posix::Posix]
    }

    #[test]
    fn shared_memory_can_be_sized_and_has_no_name() {
        for means in all() {
            let memory = means.shared_memory("of a test").unwrap();
            rustix::fs::ftruncate(&memory, 4096).unwrap();
            assert_eq!(rustix::fs::fstat(&memory).unwrap().st_size, 4096);
            assert_eq!(rustix::fs::fstat(&memory).unwrap().st_nlink, 0);
        }
    }

    #[test]
    fn children_and_ports_are_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        for means in all() {
            assert!(means.children(std::process::id()).contains(&child.id()));
            assert!(means.listens(std::process::id(), port));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(listener);
        assert!(all().iter().all(|means| !means.listens(std::process::id(), port)));
    }

    #[test]
    fn sockets_do_not_block_and_are_not_handed_on() {
        for means in all() {
            let listener = Socket::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
            let address = listener.local_addr().unwrap().as_socket().unwrap();
            let near = means.stream_socket(AddressFamily::INET).unwrap();
            let _ = rustix::net::connect(&near, &address);
            let (far, peer) = means.accept(&listener).unwrap();
            assert!(peer.is_some());
            for socket in [near, far] {
                assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
                assert!(rustix::fs::fcntl_getfl(&socket).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
            }
        }
    }
}
