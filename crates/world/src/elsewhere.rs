//! Where the system has no namespaces: nothing of a world is made, and whoever asks learns why.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;

use socket2::Socket;

use crate::error::Error;
use crate::world::World;

/// There is none.
pub const FOLDER: &str = "/run/world";
/// There is none.
pub const BACKENDS_NETWORK: &str = "/run/world/backends";
/// There is none.
pub const BALANCER_NETWORK: &str = "/run/world/balancer";
/// Nobody's.
pub const BALANCER: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// Nobody's.
pub const BACKENDS: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// Nobody's.
pub const BALANCER_V6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// Nobody's.
pub const BACKENDS_V6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// No process here is a stage of a world.
pub fn run_stage() -> Option<Result<ExitCode, Error>> {
    None
}

/// Why no world can be entered here.
pub fn refusal() -> Option<String> {
    Some(Error::System.to_string())
}

impl World {
    /// Says why not.
    pub fn enter(&self) -> Error {
        Error::System
    }
}

/// Loopback is this machine's; of others nothing is known.
pub fn is_own(address: IpAddr) -> bool {
    address.is_loopback()
}

/// Whatever is done in a world fails.
macro_rules! fails {
    ($($name:ident($($of:ty),*) -> $result:ty;)*) => {$(
        /// Fails: there is no world.
        pub fn $name($(_: $of),*) -> io::Result<$result> {
            no_world()
        }
    )*};
}

fails! {
    lay(&Path, &[u8]) -> ();
    lay_folder(&Path, &Path) -> ();
    make_missing(&Path) -> ();
    open_folder(&Path) -> ();
    empty_folder(&Path) -> ();
    add_address(IpAddr) -> ();
    add_network(IpAddr, u8) -> ();
    silence(IpAddr) -> ();
    bar(IpAddr) -> ();
    reopen(IpAddr) -> ();
}

/// Fails: there is no network of a world.
pub(crate) fn every_packet() -> io::Result<Socket> {
    no_world()
}

fn no_world<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, Error::System))
}

/// Fails: there is no other network.
pub fn within<T: Send>(_: &Path, _: impl FnOnce() -> T + Send) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, Error::System))
}
