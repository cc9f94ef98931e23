//! What all ways of waiting have in common.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFlags, Timespec};
use rustix::io::Errno;

use crate::io::poller::poll_list::ListEntry;
use crate::wire::Moment;

/// The end of a connection, or of the peer's side. Elsewhere than on Linux the latter alone does not wake a poll.
#[cfg(target_os = "linux")]
pub(crate) const ENDS: PollFlags = PollFlags::HUP.union(PollFlags::RDHUP).union(PollFlags::ERR);
#[cfg(not(target_os = "linux"))]
pub(crate) const ENDS: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Interest {
    /// The poll does not know it yet.
    #[default]
    None,
    Read,
    /// Not its end either: a peer that has shut down its side would wake the poll until all is written.
    Write,
    ReadWrite,
    /// Nothing but its end.
    End,
}

impl Interest {
    /// The events in the form that `poll(2)` takes.
    pub(crate) fn flags(self) -> PollFlags {
        let end = ENDS.difference(PollFlags::ERR);
        match self {
            Interest::None => PollFlags::empty(),
            Interest::Read => PollFlags::IN | end,
            Interest::Write => PollFlags::OUT,
            Interest::ReadWrite => PollFlags::IN | PollFlags::OUT | end,
            Interest::End => end,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReadyEvent {
    pub(crate) token: u64,
    /// The connection, or the peer's side of it, has ended.
    pub(crate) ends: bool,
}

/// What a poller knows of a connection. It goes when the connection is closed: with it, or by [`Watched::default`].
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(super) interest: Interest,
    /// Of a poller that must be informed when the connection is closed.
    pub(super) entry: Option<ListEntry>,
}

impl Watched {
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }
}

/// How a system waits for many descriptors.
pub(super) trait Readiness {
    fn add(&self, source: BorrowedFd, token: u64) -> Result<(), Errno>;
    fn remove(&self, source: BorrowedFd) -> Result<(), Errno>;
    fn watch(&self, connection: BorrowedFd, token: u64, known: &mut Watched, wanted: Interest) -> Result<(), Errno>;
    fn set_alarm(&self, at: Option<Moment>) -> Result<(), Errno>;
    fn wait(&self, events: &mut Vec<ReadyEvent>, timeout: Option<Duration>) -> Result<(), Errno>;
}

/// A duration as the kernel takes it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}
