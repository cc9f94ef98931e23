//! What Linux does better than every Unix.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with, socket_with};
use rustix::process::{Signal, getpid, set_child_subreaper, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use socket2::{SockFilter, SockRef, Socket};

use crate::platform::means::Means;

pub(super) struct Linux;

/// Of every socket that is opened or taken.
const NEW: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

impl Means for Linux {
    fn shared_memory(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(memfd_create(name, MemfdFlags::CLOEXEC)?)
    }

    fn file_in_memory(&self, name: &str) -> io::Result<OwnedFd> {
        self.shared_memory(name)
    }

    fn this_program(&self) -> io::Result<PathBuf> {
        // Also when the file has been replaced, or removed, since this process was started.
        Ok("/proc/self/exe".into())
    }

    fn signal_at_end_of_parent(&self, signal: Signal) -> Result<(), Errno> {
        set_parent_process_death_signal(Some(signal))
    }

    fn end_with_parent(&self, _: u32) -> Result<(), Errno> {
        self.signal_at_end_of_parent(Signal::TERM)
    }

    fn adopt_orphans(&self) -> Result<(), Errno> {
        set_child_subreaper(Some(getpid()))
    }

    fn children(&self, process: u32) -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let numbers =
            |line: String| line.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>();
        children.flat_map(numbers).collect()
    }

    fn listening(&self, process: u32) -> Vec<u16> {
        let sockets = sockets(process);
        let port = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, LISTENING, _, _, _, _, _, socket, ..] = fields.as_slice() else { return None };
            let (_, port) = local.rsplit_once(':').filter(|_| sockets.iter().any(|it| it == socket))?;
            u16::from_str_radix(port, 16).ok()
        };
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        tables.iter().flat_map(|table| table.lines()).filter_map(port).collect()
    }

    fn listens(&self, process: u32, port: u16) -> bool {
        self.listening(process).contains(&port)
    }

    fn cover(&self, scratch: &Path, files: &[&Path]) -> io::Result<()> {
        // Deprecated for threads that share descriptors: this process has one thread, and shares none.
        #[allow(deprecated)]
        rustix::thread::unshare(UnshareFlags::NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        for (number, file) in files.iter().enumerate() {
            let own = scratch.join(format!("covers-{number}"));
            fs::write(&own, "")?;
            mount_bind(&own, *file)?;
        }
        Ok(())
    }

    fn stream_socket(&self, family: AddressFamily) -> Result<OwnedFd, Errno> {
        socket_with(family, SocketType::STREAM, NEW, None)
    }

    fn accept(&self, listener: &Socket) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
        acceptfrom_with(listener, NEW)
    }

    fn keep(&self, _: &OwnedFd) -> Result<(), Errno> {
        // It was received so.
        Ok(())
    }

    fn limit_unsent(&self, connection: &OwnedFd, bytes: u32) -> io::Result<()> {
        SockRef::from(connection).set_tcp_notsent_lowat(bytes)
    }

    fn refuse_silently(&self, listener: &Socket) -> io::Result<()> {
        listener.attach_filter(&drop_syn())
    }

    fn who_listens(&self, ports: &[u16]) -> String {
        let ports: Vec<String> = ports.iter().map(|port| format!("sport = :{port}")).collect();
        format!("ss -ltnp '{}'", ports.join(" or "))
    }

    fn who_listens_on_file(&self, file: &Path) -> String {
        format!("ss -lxp src {}", file.display())
    }
}

/// The state of a socket in the kernel's table of connections.
const LISTENING: &str = "0A";

/// The numbers of a process's sockets, as the kernel's tables have them.
fn sockets(process: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let number = |link: PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    open.filter_map(|file| number(fs::read_link(file.path()).ok()?)).collect()
}

/// A classic BPF program that drops a TCP segment with SYN and without ACK, and passes every other.
fn drop_syn() -> [SockFilter; 5] {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}
