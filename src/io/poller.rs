//! One `epoll`, level-triggered, and a timer in it that is finer than the poll's own timeout.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use crate::wire::Moment;

pub(crate) use rustix::event::epoll::{Event, EventFlags};

/// Waits until one of many descriptors is ready.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

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
    fn flags(self) -> EventFlags {
        let read = EventFlags::IN | EventFlags::RDHUP;
        match self {
            Interest::None => EventFlags::empty(),
            Interest::Read => read,
            Interest::Write => EventFlags::OUT,
            Interest::ReadWrite => read | EventFlags::OUT,
            Interest::End => EventFlags::RDHUP,
        }
    }
}

impl Poller {
    pub(crate) fn new() -> Result<Poller, Errno> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Poller)
    }

    /// Watches a source of input that is no connection: a listener, a channel, a timer.
    pub(crate) fn add(&self, source: impl AsFd, token: u64) -> Result<(), Errno> {
        epoll::add(&self.0, source, epoll::EventData::new_u64(token), EventFlags::IN)
    }

    /// Forgets a source. A connection is forgotten when it is closed.
    pub(crate) fn remove(&self, source: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.0, source)
    }

    /// Changes what a connection waits for. `known` is what the poll knows, and is changed along with it.
    pub(crate) fn watch(
        &self,
        connection: impl AsFd,
        token: u64,
        known: &mut Interest,
        wanted: Interest,
    ) -> Result<(), Errno> {
        if *known == wanted || wanted == Interest::None {
            return Ok(());
        }
        let data = epoll::EventData::new_u64(token);
        let earlier = std::mem::replace(known, wanted);
        if earlier == Interest::None {
            epoll::add(&self.0, connection, data, wanted.flags())
        } else {
            epoll::modify(&self.0, connection, data, wanted.flags())
        }
    }

    /// Waits until something is ready, for `timeout` at most. A signal ends it early; `events` is then empty.
    pub(crate) fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<(), Errno> {
        events.clear();
        match epoll::wait(&self.0, spare_capacity(events), timeout.map(timespec).as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Wakes a poll at a moment: the poll's own timeout has whole milliseconds where `epoll_pwait2` is missing.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    at: Option<Moment>,
}

impl Alarm {
    /// Its event has this token, and means nothing more than to look at the clock.
    pub(crate) fn new(poller: &Poller, token: u64) -> Result<Alarm, Errno> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        poller.add(&timer, token)?;
        Ok(Alarm { timer, at: None })
    }

    /// Setting it anew also silences it.
    pub(crate) fn set(&mut self, at: Option<Moment>) {
        if self.at == at {
            return;
        }
        self.at = at;
        // A value of 0 is none.
        let it_value = timespec(Duration::from_nanos(at.map_or(0, |at| at.0.max(1))));
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value };
        // Fails for no time that is one.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
    }
}

/// A duration as the kernel takes it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock;

    #[test]
    fn an_alarm_wakes_the_poll_at_its_moment_and_is_silent_when_set_anew() {
        let poller = Poller::new().unwrap();
        let mut alarm = Alarm::new(&poller, 7).unwrap();
        let mut events = Vec::with_capacity(4);
        let due = clock::now().after(Duration::from_micros(1500));
        alarm.set(Some(due));
        poller.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(events.iter().map(|event| event.data.u64()).collect::<Vec<_>>(), [7]);
        assert!(clock::now() >= due);
        alarm.set(None);
        poller.wait(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty(), "it rings once");
    }

    #[test]
    fn a_connection_is_added_once_and_then_changed() {
        let poller = Poller::new().unwrap();
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (mut known, mut events) = (Interest::None, Vec::with_capacity(4));
        poller.watch(&near, 3, &mut known, Interest::Read).unwrap();
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
        poller.watch(&near, 3, &mut known, Interest::ReadWrite).unwrap();
        poller.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert_eq!(events.len(), 1);
        poller.watch(&near, 3, &mut known, Interest::End).unwrap();
        drop(far);
        poller.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
        let flags = events[0].flags;
        assert!(flags.contains(EventFlags::RDHUP));
        assert_eq!(known, Interest::End);
    }
}
