//! The descriptors that `poll(2)` is asked about.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;

use rustix::event::PollFlags;
use slab::Slab;

/// Shared with the entries, each of which takes itself out.
pub(super) type PollList = Rc<RefCell<Slab<PolledDescriptor>>>;

#[derive(Clone, Copy, Debug)]
pub(super) struct PolledDescriptor {
    pub(super) number: RawFd,
    pub(super) token: u64,
    pub(super) flags: PollFlags,
}

/// A connection's place in the list. Dropping it takes the connection out.
#[derive(Debug)]
pub(crate) struct ListEntry {
    pub(super) key: usize,
    pub(super) list: PollList,
}

impl Drop for ListEntry {
    fn drop(&mut self) {
        self.list.borrow_mut().try_remove(self.key);
    }
}
