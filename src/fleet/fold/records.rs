//! The records that the supervisor keeps for those who ask, after they have left their journals: the latest ones, each
//! with a number, so that a reader knows what it has missed.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::wire::{BatchHead, Calendar, FleetNames, Instance, Moment, RECORD_WORDS, Record};

/// A record as it is kept: half the size of the parsed one.
pub(crate) type StoredRecord = [u64; RECORD_WORDS];

/// The latest records of the fleet; older ones are overwritten.
pub(crate) struct RecordStore {
    calendar: Calendar,
    fleet: Instance,
    names: FleetNames,
    kept: VecDeque<StoredRecord>,
    most: usize,
    /// The number of the first that is kept.
    first: u64,
    lost: u64,
}

/// Which records are wanted. What is not given does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Filter {
    /// Received at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Received before this time.
    pub(crate) until: Option<Timestamp>,
    /// Of requests with an id of this run.
    pub(crate) run: Option<u64>,
}

impl Filter {
    /// Whether it is one of them.
    pub(crate) fn matches(&self, record: &Record, calendar: &Calendar) -> bool {
        let received = i128::from(calendar.unix(record.received));
        self.since.is_none_or(|since| received >= since.as_nanosecond())
            && self.until.is_none_or(|until| received < until.as_nanosecond())
            && self.run.is_none_or(|run| record.request.is_some_and(|request| request.run == run))
    }
}

/// Consecutive records.
pub(crate) struct RecordPage {
    /// The number of the first.
    pub(crate) start: u64,
    /// Earlier ones that were asked for and are kept no more.
    pub(crate) missed: u64,
    pub(crate) words: Vec<StoredRecord>,
}

impl RecordStore {
    /// For that number of records at most. Their memory is set aside at once, and is used as they come.
    pub(crate) fn new(calendar: Calendar, fleet: Instance, names: FleetNames, most: usize) -> RecordStore {
        RecordStore { calendar, fleet, names, kept: VecDeque::with_capacity(most), most, first: 0, lost: 0 }
    }

    pub(crate) fn push(&mut self, record: &Record) {
        if self.kept.len() >= self.most {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(record.to_words().0);
    }

    /// The number of the next one.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    pub(crate) fn since(&self, number: u64) -> impl Iterator<Item = Record> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.iter().skip(skip).map(Record::from_words)
    }

    /// How many were lost before they came here.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Counts records that were lost.
    pub(crate) fn lose(&mut self, count: u64) {
        self.lost += count;
    }

    /// The fleet's time, to put records on the calendar.
    pub(crate) fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// What people call its backends.
    pub(crate) fn names(&self) -> FleetNames {
        self.names.clone()
    }

    /// Records from one number on and before another, at most `most`.
    pub(crate) fn window(&self, from: u64, end: u64, most: usize) -> RecordPage {
        let start = from.max(self.first);
        let skip = usize::try_from(start - self.first).unwrap_or(usize::MAX).min(self.kept.len());
        let count =
            usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(self.kept.len() - skip).min(most);
        let words = self.kept.range(skip..skip + count).copied().collect();
        RecordPage { start, missed: self.first.saturating_sub(from), words }
    }

    /// Records from one number on and before another, at most `most`, with the head of a batch. From a number that is not given out yet on there are none, and `next` says from where
    /// there will be.
    pub(crate) fn batch(&self, from: u64, end: u64, most: usize, now: Moment) -> (BatchHead, Vec<StoredRecord>) {
        let RecordPage { start, missed, words } = self.window(from.min(end), end, most);
        let next = start + words.len() as u64;
        let RecordStore { lost, calendar, fleet, .. } = *self;
        (BatchHead { next, missed, lost, calendar, now, fleet }, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AttemptEnd, Clipped, Generator, RequestId};

    fn record(second: u64, run: u64) -> Record {
        Record {
            number: second,
            received: Moment(second * 1_000_000_000),
            responded: Moment(second * 1_000_000_000 + 1),
            generator: Generator(9001),
            request: (run > 0).then_some(RequestId { run, sequence: second }),
            connection: second,
            request_number: 1,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/"),
            status: 200,
            bytes: 1,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        }
    }

    fn store(most: usize) -> RecordStore {
        RecordStore::new(Calendar { moment: Moment(0), unix: 0 }, Instance(1), FleetNames::default(), most)
    }

    fn connections(records: &RecordStore, window: &RecordPage, filter: &Filter) -> Vec<u64> {
        let parsed = window.words.iter().map(Record::from_words);
        parsed.filter(|record| filter.matches(record, &records.calendar())).map(|record| record.connection).collect()
    }

    #[test]
    fn records_are_found_by_time_by_run_and_by_number() {
        let mut records = store(10);
        for second in 0..10 {
            records.push(&record(second, second % 2));
        }
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let all = records.window(0, records.end(), 100);
        let find = |filter: Filter| connections(&records, &all, &filter);
        assert_eq!(find(Filter { since: at(3), until: at(6), ..Filter::default() }), [3, 4, 5]);
        assert_eq!(find(Filter { run: Some(1), ..Filter::default() }), [1, 3, 5, 7, 9]);
        let some = records.window(2, 7, 3);
        assert_eq!((connections(&records, &some, &Filter::default()), some.start, some.missed), (vec![2, 3, 4], 2, 0));
        let none = records.window(99, 10, 3);
        assert_eq!((none.start, none.missed, none.words.len()), (99, 0, 0));
        let (head, words) = records.batch(99, 10, 3, Moment(7));
        assert_eq!((head.next, words.len()), (10, 0));
    }

    #[test]
    fn what_is_kept_no_more_is_counted() {
        let mut records = store(100);
        for second in 0..105 {
            records.push(&record(second, 0));
        }
        let window = records.window(2, records.end(), 1);
        assert_eq!((connections(&records, &window, &Filter::default()), window.missed, window.start), (vec![5], 3, 5));
    }
}
