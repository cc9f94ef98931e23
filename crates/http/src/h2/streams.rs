//! The streams of one connection: which are open, in which states, and which have ended lately.

use std::cell::Cell;
use std::collections::VecDeque;

/// One that is open, at least on one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenStream {
    pub(super) id: u32,
    /// The other end still sends.
    pub(super) receiving: bool,
    /// This end still sends.
    pub(super) sending: bool,
    /// Of a response: the head has come. Of a request it always has.
    pub(super) has_head: bool,
    /// This end's response has begun, or its request has.
    pub(super) has_begun: bool,
    /// Content that must still come, where a length was stated.
    pub(super) expected: Option<u64>,
    /// What may still be sent: less than nothing after a setting has shrunk it.
    pub(super) send_window: i64,
    pub(super) receive_window: i64,
    /// What the request asked, for the framing of its response.
    pub(super) head_only: bool,
}

/// How a stream ended that is not kept any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Past {
    /// This end reset it: what the other had sent by then may still come.
    ResetHere,
    /// It ended in any other way.
    Ended,
}

/// By number. Streams that ended long ago are not remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamTable {
    /// In the order of their numbers, in which they open.
    open: VecDeque<OpenStream>,
    /// Where the last one was found: what is done with a stream is done in several steps.
    found: Cell<usize>,
    /// The highest bit: reset by this end.
    past: VecDeque<u32>,
}

const REMEMBERED: usize = 128;
const RESET_HERE: u32 = 1 << 31;

impl StreamTable {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn place(&self, id: u32) -> Option<usize> {
        let is_at = |place: usize| self.open.get(place).is_some_and(|stream| stream.id == id);
        // Most frames belong to the stream that was opened last, or to the one that was opened first.
        let place = match self.found.get() {
            found if is_at(found) => return Some(found),
            _ if is_at(self.open.len().wrapping_sub(1)) => self.open.len() - 1,
            _ if is_at(0) => 0,
            // It has ended, as streams do most often in the order in which they opened.
            _ if self.open.front().is_none_or(|first| id < first.id) => return None,
            _ => self.open.binary_search_by_key(&id, |stream| stream.id).ok()?,
        };
        self.found.set(place);
        Some(place)
    }

    pub(super) fn get(&self, id: u32) -> Option<&OpenStream> {
        self.place(id).map(|place| &self.open[place])
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut OpenStream> {
        self.place(id).map(|place| &mut self.open[place])
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenStream> {
        self.open.iter_mut()
    }

    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.open.iter().map(|stream| stream.id)
    }

    /// Adds one whose number is higher than all before.
    pub(super) fn open(&mut self, stream: OpenStream) {
        debug_assert!(self.open.back().is_none_or(|last| last.id < stream.id));
        self.open.push_back(stream);
    }

    pub(super) fn remove(&mut self, id: u32, ending: Past) {
        if let Some(place) = self.place(id) {
            self.open.remove(place);
            self.remember(id, ending);
        }
    }

    pub(super) fn remember(&mut self, id: u32, ending: Past) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(if ending == Past::ResetHere { id | RESET_HERE } else { id });
    }

    /// None of one that was passed over or ended too long ago.
    pub(super) fn past(&self, id: u32) -> Option<Past> {
        let known = self.past.iter().rev().find(|it| **it & !RESET_HERE == id)?;
        Some(if known & RESET_HERE == 0 { Past::Ended } else { Past::ResetHere })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: u32) -> OpenStream {
        OpenStream {
            id,
            receiving: true,
            sending: true,
            has_head: true,
            has_begun: false,
            expected: None,
            send_window: 0,
            receive_window: 0,
            head_only: false,
        }
    }

    #[test]
    fn streams_are_found_by_number_while_they_are_open_and_remembered_for_a_while() {
        let mut streams = StreamTable::default();
        (0..300).for_each(|number| streams.open(stream(2 * number + 1)));
        assert!(streams.get(1).is_some() && streams.get(599).is_some() && streams.get(2).is_none());
        let ending = |number| if number % 2 == 0 { Past::ResetHere } else { Past::Ended };
        (0..300).for_each(|number| streams.remove(2 * number + 1, ending(number)));
        assert_eq!((streams.len(), streams.past.len()), (0, REMEMBERED));
        assert_eq!([599, 597, 1].map(|id| streams.past(id)), [Some(Past::Ended), Some(Past::ResetHere), None]);
    }
}
