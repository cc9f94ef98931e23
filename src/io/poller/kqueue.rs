//! `kqueue`, of macOS. A filter is a half of a connection: each is added, changed and deleted alone.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::io::clock;
use crate::io::poller::readiness::{Interest, Readiness, ReadyEvent, Watched};
use crate::wire::Moment;

/// Closing a descriptor deletes its filters.
pub(super) struct Kqueue {
    queue: OwnedFd,
    ready: RefCell<Vec<Event>>,
    alarm: Cell<Option<Moment>>,
}

/// What a filter is added with, if an interest needs it. A filter that is added again is changed.
struct Filters {
    read: Option<EventFlags>,
    write: Option<EventFlags>,
}

impl Filters {
    fn of(interest: Interest) -> Filters {
        let (read, write) = match interest {
            Interest::None => (None, None),
            Interest::Read => (Some(EventFlags::ADD), None),
            Interest::Write => (None, Some(EventFlags::ADD)),
            Interest::ReadWrite => (Some(EventFlags::ADD), Some(EventFlags::ADD)),
            // Nothing reads, so bytes that wait would be reported for ever: they are reported once, and passed over.
            Interest::End => (Some(EventFlags::ADD | EventFlags::CLEAR), None),
        };
        Filters { read, write }
    }
}

impl Kqueue {
    pub(super) fn new() -> Result<Kqueue, Errno> {
        let queue = kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        Ok(Kqueue { queue, ready: RefCell::default(), alarm: Cell::default() })
    }

    #[allow(unsafe_code)]
    fn change(&self, changes: &[Event]) -> Result<(), Errno> {
        let mut none: [Event; 0] = [];
        // SAFETY: whoever asks for a change borrows the descriptor, and its filters go when it is closed.
        unsafe { kevent(&self.queue, changes, &mut none, Some(Duration::ZERO)) }.map(drop)
    }
}

impl Readiness for Kqueue {
    fn add(&self, source: BorrowedFd, token: u64) -> Result<(), Errno> {
        self.change(&[event(EventFilter::Read(source.as_raw_fd()), EventFlags::ADD, token)])
    }

    fn remove(&self, source: BorrowedFd) -> Result<(), Errno> {
        self.change(&[event(EventFilter::Read(source.as_raw_fd()), EventFlags::DELETE, 0)])
    }

    fn watch(&self, connection: BorrowedFd, token: u64, known: &mut Watched, wanted: Interest) -> Result<(), Errno> {
        let number = connection.as_raw_fd();
        let (old, new) = (Filters::of(std::mem::replace(&mut known.interest, wanted)), Filters::of(wanted));
        let halves =
            [(EventFilter::Read(number), old.read, new.read), (EventFilter::Write(number), old.write, new.write)];
        let changes = halves.into_iter().filter_map(|(filter, old, new)| {
            let deleted = old.map(|_| EventFlags::DELETE);
            Some(event(filter, new.or(deleted)?, token))
        });
        self.change(&changes.collect::<Vec<_>>())
    }

    fn set_alarm(&self, at: Option<Moment>) -> Result<(), Errno> {
        self.alarm.set(at);
        Ok(())
    }

    fn wait(&self, events: &mut Vec<ReadyEvent>, timeout: Option<Duration>) -> Result<(), Errno> {
        let alarm = self.alarm.get().map(|at| at.since(clock::now()));
        let timeout = timeout.into_iter().chain(alarm).min();
        let mut ready = self.ready.borrow_mut();
        ready.clear();
        ready.reserve_exact(events.capacity());
        #[allow(unsafe_code)]
        // SAFETY: nothing is changed.
        unsafe {
            kevent(&self.queue, &[], spare_capacity(&mut ready), timeout)?;
        }
        let awaited = ready.iter().filter(|it| !it.flags().contains(EventFlags::CLEAR) || ends(it));
        events.extend(awaited.map(|it| ReadyEvent { token: it.udata().addr() as u64, ends: ends(it) }));
        // Both halves of a connection are one event.
        events.sort_by_key(|it| it.token);
        events.dedup_by(|second, first| {
            let is_same = first.token == second.token;
            first.ends |= is_same && second.ends;
            is_same
        });
        Ok(())
    }
}

fn event(filter: EventFilter, flags: EventFlags, token: u64) -> Event {
    Event::new(filter, flags, ptr::without_provenance_mut(token as usize))
}

/// Whether the connection, or the peer's side of it, has ended.
fn ends(event: &Event) -> bool {
    event.flags().contains(EventFlags::EOF)
}
