//! `epoll`, and a `timerfd` in it: the poll's own timeout has whole milliseconds where `epoll_pwait2` is missing.

use std::cell::{Cell, RefCell};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use crate::io::poller::readiness::{Interest, Readiness, ReadyEvent, Watched, timespec};
use crate::wire::Moment;

/// Closing a descriptor takes it out of the poll.
pub(super) struct Epoll {
    poll: OwnedFd,
    ready: RefCell<Vec<epoll::Event>>,
    timer: OwnedFd,
    alarm: Cell<Option<Moment>>,
}

/// The token of the alarm's event. It means nothing more than to look at the clock.
const ALARM: u64 = u64::MAX - 3;

impl Epoll {
    pub(super) fn new() -> Result<Epoll, Errno> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&poll, &timer, EventData::new_u64(ALARM), EventFlags::IN)?;
        Ok(Epoll { poll, ready: RefCell::default(), timer, alarm: Cell::default() })
    }
}

impl Readiness for Epoll {
    fn add(&self, source: BorrowedFd, token: u64) -> Result<(), Errno> {
        epoll::add(&self.poll, source, EventData::new_u64(token), EventFlags::IN)
    }

    fn remove(&self, source: BorrowedFd) -> Result<(), Errno> {
        epoll::delete(&self.poll, source)
    }

    fn watch(&self, connection: BorrowedFd, token: u64, known: &mut Watched, wanted: Interest) -> Result<(), Errno> {
        let data = EventData::new_u64(token);
        // The same bits as those of `poll`.
        let flags = EventFlags::from_bits_retain(u32::from(wanted.flags().bits()));
        match std::mem::replace(&mut known.interest, wanted) {
            Interest::None => epoll::add(&self.poll, connection, data, flags),
            _ => epoll::modify(&self.poll, connection, data, flags),
        }
    }

    fn set_alarm(&self, at: Option<Moment>) -> Result<(), Errno> {
        if self.alarm.replace(at) == at {
            return Ok(());
        }
        // A value of 0 is none.
        let it_value = timespec(Duration::from_nanos(at.map_or(0, |at| at.0.max(1))));
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once).map(drop)
    }

    fn wait(&self, events: &mut Vec<ReadyEvent>, timeout: Option<Duration>) -> Result<(), Errno> {
        let mut ready = self.ready.borrow_mut();
        ready.clear();
        ready.reserve_exact(events.capacity());
        epoll::wait(&self.poll, spare_capacity(&mut ready), timeout.map(timespec).as_ref())?;
        let ends = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let seen = ready.iter().map(|event| {
            // The kernel packs them.
            let flags = event.flags;
            ReadyEvent { token: event.data.u64(), ends: flags.intersects(ends) }
        });
        events.extend(seen.filter(|event| event.token != ALARM));
        Ok(())
    }
}
