//! What is done in another way on another system.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny};
use rustix::process::Signal;
use socket2::Socket;

/// What is done in another way on another system.
pub(crate) trait Means: Sync {
    /// Memory that processes share: an empty file without a name in any folder.
    fn shared_memory(&self, name: &str) -> io::Result<OwnedFd>;

    /// A file in memory that other processes of the same user find among the open files of this one.
    fn file_in_memory(&self, name: &str) -> io::Result<OwnedFd>;

    /// Where this executable is, to start it again.
    fn this_program(&self) -> io::Result<PathBuf>;

    /// Has this process get a signal when its parent ends, also a program that it becomes. Where the kernel does not do that, it
    /// has to learn by the end of a channel.
    fn signal_at_end_of_parent(&self, signal: Signal) -> Result<(), Errno>;

    /// Has this process end with SIGTERM when that parent ends.
    fn end_with_parent(&self, parent: u32) -> Result<(), Errno>;

    /// Processes that lose their parent, below this one, become its children.
    fn adopt_orphans(&self) -> Result<(), Errno>;

    /// The processes that this one has started, or adopted.
    fn children(&self, process: u32) -> Vec<u32>;

    /// The ports that a process listens on; none where the system does not say whose a port is.
    fn listening(&self, process: u32) -> Vec<u16>;

    /// Whether that process listens on a port; where the system does not say whose a port is, whether anybody does.
    fn listens(&self, process: u32, port: u16) -> bool;

    /// Gives this process and its children a view of the files in which those are empty ones, made in `scratch`.
    fn cover(&self, scratch: &Path, files: &[&Path]) -> io::Result<()>;

    /// A socket that does not block and that no program has which this one starts.
    fn stream_socket(&self, family: AddressFamily) -> Result<OwnedFd, Errno>;

    /// Takes a connection, as such a socket.
    fn accept(&self, listener: &Socket) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno>;

    /// Has a descriptor that was received stay with this program.
    fn keep(&self, descriptor: &OwnedFd) -> Result<(), Errno>;

    /// A connection takes no more from this program than the kernel can send soon, and that many bytes.
    fn limit_unsent(&self, connection: &OwnedFd, bytes: u32) -> io::Result<()>;

    /// Has the kernel drop what asks a listening socket for a new connection, and go on with what has been asked.
    fn refuse_silently(&self, listener: &Socket) -> io::Result<()>;

    /// A command that shows who listens on these ports.
    fn who_listens(&self, ports: &[u16]) -> String;

    /// A command that shows who listens on a unix socket.
    fn who_listens_on_file(&self, file: &Path) -> String;
}
