//! PURE. The records that the supervisor keeps for those who ask, after they have left their journals: the latest ones, each
//! with a number, so that a reader knows what it has missed.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::wire::{BatchHead, Calendar, RECORD_WORDS, Record, RecordsPage, write_batch};

/// 80 MiB when full.
const KEPT: usize = 80 * 1024 * 1024 / (RECORD_WORDS * 8);

/// The latest records, as words: half the size of the parsed ones.
pub struct Records {
    calendar: Calendar,
    kept: VecDeque<[u64; RECORD_WORDS]>,
    /// The number of the first that is kept.
    first: u64,
    lost: u64,
}

/// Which records are wanted. What is not said does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Of requests with an id of this run.
    pub run: Option<u64>,
    /// Kept under this number or a later one.
    pub from: u64,
    /// No more than so many.
    pub limit: Option<usize>,
}

impl Records {
    /// None yet.
    pub fn new(calendar: Calendar) -> Records {
        Records { calendar, kept: VecDeque::new(), first: 0, lost: 0 }
    }

    /// Keeps one more.
    pub fn push(&mut self, record: &Record) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(record.to_words().0);
    }

    /// The number of the next one.
    pub fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Those from a number on.
    pub fn since(&self, number: u64) -> impl Iterator<Item = Record> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.iter().skip(skip).map(Record::from_words)
    }

    /// So many were lost before they came here.
    pub fn lost(&mut self, count: u64) {
        self.lost += count;
    }

    /// Those that match.
    pub fn page(&self, query: &Query, in_flight: impl IntoIterator<Item = Record>) -> RecordsPage {
        let limit = query.limit.unwrap_or(usize::MAX);
        let skip = usize::try_from(query.from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut next = query.from.max(self.first);
        let mut records = Vec::new();
        for words in self.kept.iter().skip(skip) {
            if records.len() == limit {
                break;
            }
            next += 1;
            let record = Record::from_words(words);
            if self.matches(query, &record) {
                records.push(record.view(&self.calendar));
            }
        }
        let in_flight = in_flight.into_iter().filter(|record| self.matches(query, record));
        RecordsPage {
            version: 1,
            next,
            missed: self.first.saturating_sub(query.from),
            lost: self.lost,
            records,
            in_flight: in_flight.map(|record| record.view(&self.calendar)).collect(),
        }
    }

    /// Those from a number on, at most `limit`, as bytes. From a number that is not given out yet on there are none, and `next` says
    /// from where there will be.
    pub fn batch(&self, from: u64, limit: usize, in_flight: &[Record]) -> Vec<u8> {
        let end = self.end();
        let start = from.clamp(self.first, end);
        let count = usize::try_from(end - start).unwrap_or(usize::MAX).min(limit);
        let head = BatchHead {
            next: start + count as u64,
            missed: self.first.saturating_sub(from),
            lost: self.lost,
            calendar: self.calendar,
        };
        let skip = (start - self.first) as usize;
        write_batch(&head, self.kept.range(skip..skip + count), in_flight)
    }

    fn matches(&self, query: &Query, record: &Record) -> bool {
        let received = i128::from(self.calendar.unix(record.received));
        query.since.is_none_or(|since| received >= since.as_nanosecond())
            && query.until.is_none_or(|until| received < until.as_nanosecond())
            && query.run.is_none_or(|run| record.request.is_some_and(|request| request.run == run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AttemptEnd, Clipped, End, Generator, Moment, RequestId};

    fn record(second: u64, run: u64) -> Record {
        Record {
            number: second,
            received: Moment(second * 1_000_000_000),
            answered: Moment(second * 1_000_000_000 + 1),
            generator: Generator(9001),
            answer: None,
            request: (run > 0).then_some(RequestId { run, sequence: second }),
            connection: second,
            request_number: 1,
            peer: End::Unix,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/"),
            status: 200,
            bytes: 1,
            outcome: AttemptEnd::Completed,
            arrived: Default::default(),
        }
    }

    fn connections(page: &RecordsPage) -> Vec<u64> {
        page.records.iter().map(|record| record.connection).collect()
    }

    #[test]
    fn records_are_found_by_time_by_run_and_by_number() {
        let mut records = Records::new(Calendar { moment: Moment(0), unix: 0 });
        for second in 0..10 {
            records.push(&record(second, second % 2));
        }
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let find = |query: Query| records.page(&query, []);
        assert_eq!(connections(&find(Query { since: at(3), until: at(6), ..Query::default() })), [3, 4, 5]);
        assert_eq!(connections(&find(Query { run: Some(1), ..Query::default() })), [1, 3, 5, 7, 9]);
        let page = find(Query { run: Some(1), limit: Some(2), ..Query::default() });
        assert_eq!((connections(&page), page.next), (vec![1, 3], 4));
        let page = find(Query { run: Some(1), from: page.next, ..Query::default() });
        assert_eq!((connections(&page), page.next, page.missed), (vec![5, 7, 9], 10, 0));
        assert!(connections(&find(Query { from: 99, ..Query::default() })).is_empty());
    }

    #[test]
    fn what_is_kept_no_more_is_counted() {
        let mut records = Records::new(Calendar { moment: Moment(0), unix: 0 });
        for second in 0..KEPT as u64 + 5 {
            records.push(&record(second, 0));
        }
        let page = records.page(&Query { from: 2, limit: Some(1), ..Query::default() }, []);
        assert_eq!((connections(&page), page.missed, page.next), (vec![5], 3, 6));
    }
}
