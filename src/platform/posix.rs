//! What every Unix offers.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, acceptfrom, socket};
use rustix::process::{Signal, getpid, getppid, kill_process};
use rustix::shm;
use socket2::Socket;

use crate::platform::means::Means;

pub(super) struct Posix;

/// How often it is seen whether the parent lives.
const GLANCE: Duration = Duration::from_millis(50);

impl Means for Posix {
    fn shared_memory(&self, _: &str) -> io::Result<OwnedFd> {
        // A Mac takes 31 bytes at most.
        let name = format!("/ug-{:.20}", uuid::Uuid::new_v4().simple());
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let memory = shm::open(&name, flags, Mode::RUSR | Mode::WUSR)?;
        // Nobody finds it from now on: it ends with the last process that holds it.
        shm::unlink(&name)?;
        Ok(memory)
    }

    fn file_in_memory(&self, _: &str) -> io::Result<OwnedFd> {
        // Nothing lists the open files of another process.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn this_program(&self) -> io::Result<PathBuf> {
        std::env::current_exe()
    }

    fn signal_at_end_of_parent(&self, _: Signal) -> Result<(), Errno> {
        Ok(())
    }

    fn end_with_parent(&self, parent: u32) -> Result<(), Errno> {
        std::thread::spawn(move || {
            while is_parent(parent) {
                std::thread::sleep(GLANCE);
            }
            let _ = kill_process(getpid(), Signal::TERM);
        });
        Ok(())
    }

    fn adopt_orphans(&self) -> Result<(), Errno> {
        // They go to the first process of the machine.
        Ok(())
    }

    fn children(&self, process: u32) -> Vec<u32> {
        let mut ps = Command::new("ps");
        ps.args(["-A", "-o", "pid=", "-o", "ppid="]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(ps) = ps.spawn() else { return Vec::new() };
        // It lists itself.
        let own = ps.id();
        let listing = ps.wait_with_output().map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        let listing = listing.unwrap_or_default();
        let child = |line: &str| {
            let mut words = line.split_whitespace().map(str::parse::<u32>);
            let (child, parent) = (words.next()?.ok()?, words.next()?.ok()?);
            (parent == process && child != own).then_some(child)
        };
        listing.lines().filter_map(child).collect()
    }

    fn listening(&self, _: u32) -> Vec<u16> {
        Vec::new()
    }

    fn listens(&self, _: u32, port: u16) -> bool {
        // A bind would take the port from the balancer that is about to have it.
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    fn cover(&self, _: &Path, _: &[&Path]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux can cover a file"))
    }

    fn stream_socket(&self, family: AddressFamily) -> Result<OwnedFd, Errno> {
        let socket = socket(family, SocketType::STREAM, None)?;
        self.keep(&socket)?;
        ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }

    fn accept(&self, listener: &Socket) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
        let (socket, peer) = acceptfrom(listener)?;
        self.keep(&socket)?;
        ioctl_fionbio(&socket, true)?;
        Ok((socket, peer))
    }

    fn keep(&self, descriptor: &OwnedFd) -> Result<(), Errno> {
        fcntl_setfd(descriptor.as_fd(), FdFlags::CLOEXEC)
    }

    fn limit_unsent(&self, _: &OwnedFd, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn refuse_silently(&self, _: &Socket) -> io::Result<()> {
        // Who asks while the port closes may be reset.
        Ok(())
    }

    fn who_listens(&self, ports: &[u16]) -> String {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("lsof -nP -iTCP:{} -sTCP:LISTEN", ports.join(","))
    }

    fn who_listens_on_file(&self, file: &Path) -> String {
        format!("lsof {}", file.display())
    }
}

/// An orphan gets another parent.
fn is_parent(parent: u32) -> bool {
    getppid().is_some_and(|now| now.as_raw_pid() as u32 == parent)
}
