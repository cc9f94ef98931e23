//! What tests share: the program in places of its own, fleets on ports of their own, clients and balancers.
pub mod balancers;
pub mod browser;
pub mod certificates;
mod fleet;
pub mod http;
pub mod nginx;
mod ports;
mod processes;
mod programs;
pub mod yaml;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

pub use fleet::Fleet;
pub use ports::{DefaultPorts, is_free, list, ports, refuses};
pub use processes::{all_processes, children, lives, send};
pub use programs::{Demo, Lines, TemporaryDirectory, after_time, complaints, error_of, in_place, program, run};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_uuid-generator");

/// Everything that tests wait for comes sooner, or never.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Waits until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
