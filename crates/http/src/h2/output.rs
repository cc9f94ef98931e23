//! Which bytes of the output belong to which response, so that each is known to have left when its last byte has.

use std::collections::VecDeque;

use crate::h2::follows::Follows;
use crate::stream::{StreamId, Written};

/// What one connection has to write.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionOutput {
    queued: u64,
    written: u64,
    segments: VecDeque<BodySegment>,
    /// Of responses that have begun to leave, and have not left to their end: the bytes that did.
    begun: Vec<(u32, u64)>,
}

/// Bytes of one response, one after the other.
#[derive(Clone, Copy, Debug)]
struct BodySegment {
    stream: u32,
    start: u64,
    end: u64,
    follows: Follows,
}

impl ConnectionOutput {
    /// Bytes that belong to no response.
    pub(super) fn add(&mut self, bytes: usize) {
        self.queued += bytes as u64;
    }

    /// Bytes of a response.
    pub(super) fn add_of(&mut self, stream: u32, bytes: usize, follows: Follows) {
        let start = self.queued;
        self.queued += bytes as u64;
        match self
            .segments
            .back_mut()
            .filter(|it| it.stream == stream && it.end == start && it.follows == Follows::More)
        {
            Some(segment) => (segment.end, segment.follows) = (self.queued, follows),
            None => self.segments.push_back(BodySegment { stream, start, end: self.queued, follows }),
        }
    }

    /// Yields the responses that have left with this number of further bytes.
    pub(super) fn wrote(&mut self, bytes: usize) -> impl Iterator<Item = Written> {
        self.written += bytes as u64;
        std::iter::from_fn(|| {
            loop {
                let segment = self.segments.front_mut()?;
                let left = segment.end.min(self.written).saturating_sub(segment.start);
                let BodySegment { stream, end, follows, .. } = *segment;
                segment.start += left;
                if end > self.written {
                    self.see(stream, left);
                    return None;
                }
                self.segments.pop_front();
                if follows == Follows::Nothing {
                    return Some(Written { stream: StreamId(stream), bytes: left + self.take(stream) });
                }
                self.see(stream, left);
            }
        })
    }

    fn see(&mut self, stream: u32, bytes: u64) {
        match self.begun.iter_mut().find(|(it, _)| *it == stream) {
            Some((_, before)) => *before += bytes,
            None => self.begun.push((stream, bytes)),
        }
    }

    fn take(&mut self, stream: u32) -> u64 {
        let place = self.begun.iter().position(|(it, _)| *it == stream);
        place.map_or(0, |place| self.begun.swap_remove(place).1)
    }

    /// A response will not go on: the bytes of it that have left. Those that have not are nobody's.
    pub(super) fn cut_off(&mut self, stream: u32) -> u64 {
        self.segments.retain(|segment| segment.stream != stream);
        self.take(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_leave_when_their_last_byte_does_however_they_are_mixed() {
        let mut output = ConnectionOutput::default();
        output.add(10);
        output.add_of(1, 5, Follows::More);
        output.add_of(1, 5, Follows::More);
        output.add_of(3, 4, Follows::Nothing);
        output.add(1);
        output.add_of(1, 2, Follows::Nothing);
        let wrote = |output: &mut ConnectionOutput, bytes| -> Vec<(u32, u64)> {
            output.wrote(bytes).map(|it| (it.stream.0, it.bytes)).collect()
        };
        assert_eq!(wrote(&mut output, 19), []);
        assert_eq!(wrote(&mut output, 5), [(3, 4)]);
        assert_eq!(wrote(&mut output, 2), []);
        assert_eq!(wrote(&mut output, 1), [(1, 12)]);
        assert!(output.begun.is_empty() && output.segments.is_empty());
    }

    #[test]
    fn a_response_that_is_cut_off_has_the_bytes_that_left() {
        let mut output = ConnectionOutput::default();
        output.add_of(1, 5, Follows::More);
        output.add_of(3, 5, Follows::Nothing);
        output.add_of(1, 5, Follows::More);
        assert_eq!(output.wrote(12).map(|it| it.stream.0).collect::<Vec<_>>(), [3]);
        assert_eq!((output.cut_off(1), output.cut_off(5)), (7, 0));
        assert_eq!(output.wrote(3).count(), 0);
    }
}
