//! `poll(2)`, which every Unix has. Each wait costs as much as there are descriptors.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::io::clock;
use crate::io::poller::poll_list::{ListEntry, PollList, PolledDescriptor};
use crate::io::poller::readiness::{ENDS, Interest, Readiness, ReadyEvent, Watched, timespec};
use crate::wire::Moment;

#[derive(Default)]
pub(super) struct Poll {
    list: PollList,
    alarm: Cell<Option<Moment>>,
    /// Where the next look at what is ready begins: all get their turn when more is ready than is taken at once.
    turn: Cell<usize>,
}

impl Readiness for Poll {
    fn add(&self, source: BorrowedFd, token: u64) -> Result<(), Errno> {
        let source = PolledDescriptor { number: source.as_raw_fd(), token, flags: PollFlags::IN };
        self.list.borrow_mut().insert(source);
        Ok(())
    }

    fn remove(&self, source: BorrowedFd) -> Result<(), Errno> {
        self.list.borrow_mut().retain(|_, it| it.number != source.as_raw_fd());
        Ok(())
    }

    fn watch(&self, connection: BorrowedFd, token: u64, known: &mut Watched, wanted: Interest) -> Result<(), Errno> {
        known.interest = wanted;
        let connection = PolledDescriptor { number: connection.as_raw_fd(), token, flags: wanted.flags() };
        if let Some(entry) = &known.entry {
            self.list.borrow_mut()[entry.key] = connection;
        } else {
            let key = self.list.borrow_mut().insert(connection);
            known.entry = Some(ListEntry { key, list: self.list.clone() });
        }
        Ok(())
    }

    fn set_alarm(&self, at: Option<Moment>) -> Result<(), Errno> {
        self.alarm.set(at);
        Ok(())
    }

    fn wait(&self, events: &mut Vec<ReadyEvent>, timeout: Option<Duration>) -> Result<(), Errno> {
        let alarm = self.alarm.get().map(|at| at.since(clock::now()));
        let timeout = timeout.into_iter().chain(alarm).min();
        let descriptors: Vec<PolledDescriptor> = self.list.borrow().iter().map(|(_, it)| *it).collect();
        let mut asked: Vec<PollFd> = descriptors.iter().map(PolledDescriptor::asked).collect();
        poll(&mut asked, timeout.map(timespec).as_ref())?;
        let (count, first) = (asked.len().max(1), self.turn.get());
        let found = (0..asked.len()).map(|place| (place + first) % count);
        let ready = found.filter(|place| !asked[*place].revents().is_empty()).take(events.capacity());
        let mut last = first;
        for place in ready {
            events.push(ReadyEvent { token: descriptors[place].token, ends: asked[place].revents().intersects(ENDS) });
            last = place + 1;
        }
        self.turn.set(last % count);
        Ok(())
    }
}

impl PolledDescriptor {
    #[allow(unsafe_code)]
    fn asked(&self) -> PollFd<'_> {
        // SAFETY: a source is removed, and an entry dropped, before its descriptor is closed or along with it, and no wait is between.
        PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(self.number) }, self.flags)
    }
}
