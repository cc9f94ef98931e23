//! Waits until one of many descriptors is ready, or a moment has come. Level-triggered: what is not taken is reported again.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(target_vendor = "apple")]
mod kqueue;
mod poll;
mod poll_list;
mod readiness;

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;

use crate::platform::is_portable;
use crate::wire::Moment;
#[cfg(target_os = "linux")]
use epoll::Epoll as System;
#[cfg(target_vendor = "apple")]
use kqueue::Kqueue as System;
use poll::Poll;
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
use poll::Poll as System;
use readiness::Readiness;
pub(crate) use readiness::{ENDS, Interest, ReadyEvent, Watched, timespec};

/// Waits until one of many descriptors is ready.
pub(crate) struct Poller(Box<dyn Readiness>);

impl Poller {
    pub(crate) fn new() -> Result<Poller, Errno> {
        if is_portable() {
            return Ok(Poller(Box::new(Poll::default())));
        }
        Ok(Poller(Box::new(System::new()?)))
    }

    /// Watches a source of input that is no connection: a listener, a channel. It is removed before it is closed.
    pub(crate) fn add(&self, source: impl AsFd, token: u64) -> Result<(), Errno> {
        self.0.add(source.as_fd(), token)
    }

    /// Forgets a source.
    pub(crate) fn remove(&self, source: impl AsFd) -> Result<(), Errno> {
        self.0.remove(source.as_fd())
    }

    /// Changes what a connection waits for. `known` is what the poll knows, and is changed along with it.
    pub(crate) fn watch(
        &self,
        connection: impl AsFd,
        token: u64,
        known: &mut Watched,
        wanted: Interest,
    ) -> Result<(), Errno> {
        if known.interest == wanted || wanted == Interest::None {
            return Ok(());
        }
        self.0.watch(connection.as_fd(), token, known, wanted)
    }

    /// Ends a wait at that moment, finer than a timeout can: that has whole milliseconds on some systems. Setting it again also silences it.
    pub(crate) fn set_alarm(&self, at: Option<Moment>) {
        // Fails for no time that is one.
        let _ = self.0.set_alarm(at);
    }

    /// Waits until something is ready, for `timeout` at most. A signal ends it early; `events` is then empty, as after an alarm.
    pub(crate) fn wait(&self, events: &mut Vec<ReadyEvent>, timeout: Option<Duration>) -> Result<(), Errno> {
        events.clear();
        match self.0.wait(events, timeout) {
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock;
    use std::os::unix::net::UnixStream;

    /// Of this system, and of every one.
    fn pollers() -> [Poller; 2] {
        [Poller::new().unwrap(), Poller(Box::new(Poll::default()))]
    }

    #[test]
    fn an_alarm_ends_a_wait_at_its_moment_and_is_silent_when_set_anew() {
        for poller in pollers() {
            let mut events = Vec::with_capacity(4);
            let due = clock::now().after(Duration::from_micros(1500));
            poller.set_alarm(Some(due));
            while clock::now() < due {
                poller.wait(&mut events, Some(Duration::from_secs(60))).unwrap();
                assert!(events.is_empty());
            }
            poller.set_alarm(None);
            let before = clock::now();
            poller.wait(&mut events, Some(Duration::from_millis(5))).unwrap();
            assert!(clock::now().since(before) >= Duration::from_millis(5), "it rings once");
        }
    }

    #[test]
    fn a_connection_is_added_once_and_then_changed() {
        for poller in pollers() {
            let (near, far) = UnixStream::pair().unwrap();
            let (mut known, mut events) = (Watched::default(), Vec::with_capacity(4));
            poller.watch(&near, 3, &mut known, Interest::Read).unwrap();
            poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
            poller.watch(&near, 3, &mut known, Interest::ReadWrite).unwrap();
            poller.wait(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert_eq!(events, [ReadyEvent { token: 3, ends: false }]);
            poller.watch(&near, 3, &mut known, Interest::End).unwrap();
            drop(far);
            poller.wait(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert_eq!(events, [ReadyEvent { token: 3, ends: true }]);
            assert_eq!(known.interest(), Interest::End);
        }
    }

    #[test]
    fn a_closed_connection_is_forgotten_and_another_may_have_its_number() {
        for poller in pollers() {
            let mut events = Vec::with_capacity(4);
            let (near, far) = UnixStream::pair().unwrap();
            let mut known = Watched::default();
            poller.watch(&near, 1, &mut known, Interest::ReadWrite).unwrap();
            drop((known, near, far));
            let (near, _far) = UnixStream::pair().unwrap();
            let mut known = Watched::default();
            poller.watch(&near, 2, &mut known, Interest::ReadWrite).unwrap();
            poller.wait(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert_eq!(events, [ReadyEvent { token: 2, ends: false }]);
        }
    }

    #[test]
    fn a_source_is_watched_until_it_is_removed() {
        for poller in pollers() {
            let mut events = Vec::with_capacity(4);
            let (near, far) = UnixStream::pair().unwrap();
            poller.add(&near, 9).unwrap();
            std::io::Write::write_all(&mut &far, b"!").unwrap();
            poller.wait(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert_eq!(events, [ReadyEvent { token: 9, ends: false }]);
            poller.remove(&near).unwrap();
            poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
        }
    }
}
