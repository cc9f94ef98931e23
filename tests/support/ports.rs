//! Ports that no other test gets.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;

use crate::support::{LOOPBACK, PATIENCE, eventually};

/// Ports are reserved in blocks of this size: by a lock on a file, so also across test processes.
const BLOCK: u16 = 16;
/// Above the default ports and below the kernel's ephemeral ones, which begin at 32768 by default.
const BLOCKS: std::ops::Range<u16> = 640..2040;

/// Ports, that many, that nobody listens on and that no other test gets while this process lives.
pub fn ports(count: usize) -> Vec<u16> {
    // Start anywhere, so that tests seldom meet.
    let start = std::process::id() as u16 % BLOCKS.len() as u16;
    let mut found = Vec::new();
    for offset in 0..BLOCKS.len() as u16 {
        let block = BLOCKS.start + (start + offset) % BLOCKS.len() as u16;
        if reserve(&format!("ports-{block}")) {
            found.extend((block * BLOCK..(block + 1) * BLOCK).filter(|port| is_free(*port)));
        }
        if found.len() >= count {
            found.truncate(count);
            return found;
        }
    }
    panic!("no {count} free ports below 32768");
}

/// Whether somebody could listen on it, so nobody does. Unlike a connection, it leaves nothing with a server.
pub fn is_free(port: u16) -> bool {
    LOOPBACK.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok())
}

/// Whether connections to it are refused, as they are where nobody listens.
pub fn refuses(port: u16) -> bool {
    LOOPBACK.iter().all(|ip| match TcpStream::connect_timeout(&SocketAddr::new(*ip, port), PATIENCE) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
        Err(other) => panic!("{ip} port {port} neither connects nor refuses: {other}"),
    })
}

/// Holds a lock until this process ends; false if somebody holds it, this process included.
fn reserve(name: &str) -> bool {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let lock = lock_file(name);
    let reserved = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if reserved {
        HELD.lock().unwrap().push(lock);
    }
    reserved
}

fn lock_file(name: &str) -> File {
    let directory = std::env::temp_dir().join(format!("uuid-generator-tests-{}", getuid()));
    fs::create_dir_all(&directory).unwrap();
    OpenOptions::new().create(true).append(true).open(directory.join(name)).unwrap()
}

/// The default ports for one test at a time, as long as the value lives.
pub struct DefaultPorts {
    _lock: File,
}

impl DefaultPorts {
    /// Waits for other tests; what else listens there is an error.
    pub fn wait() -> DefaultPorts {
        let lock = lock_file("default-ports");
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        for port in [9000, 9001, 9002, 9003] {
            eventually(&format!("port {port}, which this test needs, is free: see `ss -ltnp`"), || is_free(port));
        }
        DefaultPorts { _lock: lock }
    }
}

/// As `--ports` takes them.
pub fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}
