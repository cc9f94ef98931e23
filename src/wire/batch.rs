//! Records as bytes, for programs that want millions of them: the words of the journal, little-endian, behind a head.
//!
//! | words | |
//! |---|---|
//! | 0 | version: `uuid-rb4` |
//! | 1 | ask from this number on for what comes after |
//! | 2 | records that were asked for by number and are kept no more |
//! | 3 | records that the fleet lost since it began |
//! | 4, 5 | the fleet's calendar: a moment, and the nanoseconds since 1970 then |
//! | 6 | the fleet's monotonic clock now |
//! | 7 | which run of a supervisor it is, at random |
//! | 8, 9 | records that have ended, records in flight |
//! | from 10 | 40 words a record: first those that have ended, in the order in which they ended, then those in flight |

use crate::wire::{Calendar, Instance, Moment, RECORD_WORDS, Record};

const VERSION: u64 = u64::from_le_bytes(*b"uuid-rb4");
const HEAD_WORDS: usize = 10;
/// Records of one batch: 5 MiB. There may be more to ask for.
pub(crate) const MOST_IN_BATCH: usize = 16 * 1024;

/// The head of a batch of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHead {
    /// Ask from this number on for what comes after.
    pub(crate) next: u64,
    /// Records that were asked for by number and are kept no more.
    pub(crate) missed: u64,
    /// Records that the fleet lost since it began.
    pub(crate) lost: u64,
    /// The fleet's time, to put records on the calendar.
    pub(crate) calendar: Calendar,
    /// Its monotonic clock as the batch was made.
    pub(crate) now: Moment,
    /// Which run of a supervisor it is.
    pub(crate) fleet: Instance,
}

/// Bytes that are no batch of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotABatch;

/// Writes what a reader asked for: the head, then the records as they are.
pub(crate) fn write_batch<'a>(
    head: &BatchHead,
    ended: impl ExactSizeIterator<Item = &'a [u64; RECORD_WORDS]>,
    in_flight: &[Record],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((HEAD_WORDS + (ended.len() + in_flight.len()) * RECORD_WORDS) * 8);
    let rest = [head.now.0, head.fleet.0, ended.len() as u64, in_flight.len() as u64];
    let told = [VERSION, head.next, head.missed, head.lost, head.calendar.moment.0, head.calendar.unix];
    let mut put = |words: &[u64]| words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    put(&told);
    put(&rest);
    ended.for_each(|words| put(words));
    in_flight.iter().for_each(|record| put(&record.to_words().0));
    bytes
}

/// Reads a batch: its head, and each record with whether it has ended.
pub(crate) fn read_batch(bytes: &[u8]) -> Result<(BatchHead, impl Iterator<Item = (Record, bool)>), NotABatch> {
    let (words, rest) = bytes.as_chunks::<8>();
    let (head, words) = words.split_at_checked(HEAD_WORDS).ok_or(NotABatch)?;
    let head: Vec<u64> = head.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let [version, next, missed, lost, moment, unix, now, fleet, ended, in_flight] = head[..] else {
        return Err(NotABatch);
    };
    let (records, torn) = words.as_chunks::<RECORD_WORDS>();
    let whole = rest.is_empty() && torn.is_empty() && records.len() as u64 == ended.saturating_add(in_flight);
    if version != VERSION || !whole {
        return Err(NotABatch);
    }
    let records = records
        .iter()
        .enumerate()
        .map(move |(index, words)| (Record::from_words(&words.map(u64::from_le_bytes)), (index as u64) < ended));
    let (calendar, now, fleet) = (Calendar { moment: Moment(moment), unix }, Moment(now), Instance(fleet));
    Ok((BatchHead { next, missed, lost, calendar, now, fleet }, records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AttemptEnd, Clipped, Generator, RequestId};

    fn record(number: u64) -> Record {
        Record {
            number,
            received: Moment(number),
            responded: Moment(number + 1),
            generator: Generator(9001),
            request: Some(RequestId { run: 7, sequence: number }),
            connection: 1,
            request_number: 1,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/uuid"),
            status: 200,
            bytes: 9,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        }
    }

    #[test]
    fn a_batch_is_read_as_it_was_written_and_nothing_else_is() {
        let calendar = Calendar { moment: Moment(5), unix: 6 };
        let head = BatchHead { next: 2, missed: 3, lost: 4, calendar, now: Moment(8), fleet: Instance(9) };
        let ended = [record(1).to_words().0, record(2).to_words().0];
        let bytes = write_batch(&head, ended.iter(), &[record(3)]);
        let (read, records) = read_batch(&bytes).unwrap();
        assert_eq!(read, head);
        assert_eq!(records.collect::<Vec<_>>(), [(record(1), true), (record(2), true), (record(3), false)]);
        for cut in [0, 8, 79, 80, bytes.len() - 1] {
            assert!(read_batch(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
