//! A body that is written event by event at its times: server-sent events, chunks, or a download of known length. Events
//! are numbered and say when they were written.

use std::io::Write as _;
use std::time::Duration;

use http::RequestHead;
use http::h1::server::Length;
use verdict::life::{Life, LifeEnd, StreamEvent, StreamKind};
use verdict::response::ContentKind;

use crate::wire::{MOST_EVENT_BYTES, Moment, ResponseId, Time};

/// What a request asks for, by its path and query: `/events?count=10&every=100ms&bytes=200`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EventPace {
    pub(crate) kind: StreamKind,
    /// Events that the stream has in all.
    pub(crate) count: u32,
    /// From one to the next; zero: as fast as the client takes them.
    pub(crate) every: Duration,
    /// Length of an event's data, at least.
    pub(crate) bytes: usize,
}

/// Events of a stream for which nobody says a number.
pub(super) const COUNT: u32 = 10;
const EVERY: Duration = Duration::from_millis(100);
pub(super) const MAX_COUNT: u32 = 10_000_000;
pub(crate) const MAX_EVERY: Duration = Duration::from_secs(3600);
const LEAST_EVERY: Duration = Duration::from_millis(1);
/// Written in a turn where nothing paces: about as much as of other long bodies.
pub(super) const TURN_BYTES: usize = 64 * 1024;

/// Which parameter is beyond its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadPace {
    Count,
    Every,
    Bytes,
}

impl BadPace {
    /// The sentence that its sender reads.
    pub(crate) fn why(self) -> &'static str {
        match self {
            BadPace::Count => "count: expected a number of events from 1 to 10000000, such as ?count=100",
            BadPace::Every => "every: expected 0s, or a time from 1ms to 1h with its unit, such as ?every=100ms",
            BadPace::Bytes => "bytes: expected at most 65536 bytes of each event, such as ?bytes=200",
        }
    }
}

impl EventPace {
    /// What the query says, else 10 events in a second.
    pub(crate) fn of(kind: StreamKind, query: Option<&str>) -> Result<EventPace, BadPace> {
        let mut pace = EventPace { kind, count: COUNT, every: EVERY, bytes: 0 };
        if let Some(text) = parameter(query, "count") {
            let count = text.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
            pace.count = count.ok_or(BadPace::Count)?;
        }
        if let Some(text) = parameter(query, "every") {
            pace.every = time(text).filter(|every| every.is_zero() || *every >= LEAST_EVERY).ok_or(BadPace::Every)?;
        }
        if let Some(text) = parameter(query, "bytes") {
            pace.bytes = text.parse().ok().filter(|bytes| *bytes <= MOST_EVENT_BYTES).ok_or(BadPace::Bytes)?;
        }
        if kind == StreamKind::Download {
            // The head tells the whole length: each line has the same.
            pace.bytes = pace.bytes.max(StreamEvent::LONGEST);
        }
        Ok(pace)
    }

    pub(super) fn content(&self) -> ContentKind {
        match self.kind {
            StreamKind::Events => ContentKind::Events,
            StreamKind::Chunks | StreamKind::Download | StreamKind::Websocket => ContentKind::Line,
        }
    }

    pub(super) fn length(&self) -> Length {
        match self.kind {
            StreamKind::Download => Length::Known(u64::from(self.count) * (self.bytes as u64 + 1)),
            StreamKind::Events | StreamKind::Chunks | StreamKind::Websocket => Length::Unknown,
        }
    }

    /// The number of its first event: a client that resumes a stream of events names the last one that it has.
    pub(super) fn first(&self, head: &RequestHead) -> u32 {
        let last = head.fields.first("last-event-id").filter(|_| self.kind == StreamKind::Events);
        let last = last.and_then(|id| str::from_utf8(id).ok()?.trim().parse::<u32>().ok());
        last.map_or(1, |last| last.saturating_add(1))
    }
}

/// The value of a parameter.
pub(crate) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?.split('&').find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}

/// A time with its unit, or zero.
pub(crate) fn time(text: &str) -> Option<Duration> {
    if matches!(text, "0" | "0s" | "0ms") {
        return Some(Duration::ZERO);
    }
    text.parse().ok().map(|Time(time)| time).filter(|time| *time <= MAX_EVERY)
}

/// Numbered events at their times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Schedule {
    /// From one to the next; zero: as fast as the client takes them.
    every: Duration,
    /// Number of the next event.
    next: u32,
    /// Number of the last one.
    last: u32,
    /// When the next one is due.
    due: Moment,
}

impl Schedule {
    /// The first event is due at once.
    pub(super) fn new(every: Duration, first: u32, last: u32, now: Moment) -> Schedule {
        Schedule { every, next: first, last, due: now }
    }

    /// Whether all have been taken.
    pub(super) fn is_done(&self) -> bool {
        self.next > self.last
    }

    /// When the next event is due; none where only the client paces.
    pub(super) fn due(&self) -> Option<Moment> {
        (!self.every.is_zero()).then_some(self.due)
    }

    /// The number of the next event, if it is due.
    pub(super) fn take(&mut self, now: Moment) -> Option<u32> {
        if self.is_done() || (!self.every.is_zero() && now < self.due) {
            return None;
        }
        // What could not be written in time is late, and does not come in a burst.
        self.due = self.due.after(self.every);
        if self.due <= now {
            self.due = now.after(self.every);
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Such a body, as far as it has been written.
pub(super) struct Paced {
    pace: EventPace,
    response: ResponseId,
    schedule: Schedule,
    pub(super) life: Life,
}

impl Paced {
    /// The first event is due at once.
    pub(super) fn new(pace: EventPace, first: u32, response: ResponseId, now: Moment) -> Paced {
        let schedule = Schedule::new(pace.every, first, pace.count, now);
        Paced { pace, response, schedule, life: Life::new(pace.kind, first) }
    }

    /// Whether all has been written.
    pub(super) fn is_done(&self) -> bool {
        self.schedule.is_done()
    }

    /// When the next event is due; none where only the client paces.
    pub(super) fn due(&self) -> Option<Moment> {
        self.schedule.due()
    }

    /// Writes what is due: `put` appends a piece of the body.
    pub(super) fn write(&mut self, now: Moment, mut put: impl FnMut(&[u8])) {
        let mut piece = Vec::new();
        let mut written = 0;
        while written < TURN_BYTES
            && let Some(number) = self.schedule.take(now)
        {
            self.event(&mut piece, number, now);
            written += piece.len();
            put(&piece);
        }
        if self.is_done() {
            self.life.end = LifeEnd::Backend;
        }
    }

    fn event(&mut self, piece: &mut Vec<u8>, number: u32, now: Moment) {
        piece.clear();
        let event = StreamEvent { number, written: now, response: self.response.0 };
        match self.pace.kind {
            StreamKind::Events => {
                // Nothing is wrong with writing into memory.
                let _ = write!(piece, "id: {number}\ndata: ");
                event.write(piece, self.pace.bytes);
                piece.extend_from_slice(b"\n\n");
            }
            StreamKind::Chunks | StreamKind::Download | StreamKind::Websocket => {
                event.write(piece, self.pace.bytes);
                piece.push(b'\n');
            }
        }
        self.life.written += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn pace(kind: StreamKind, query: &str) -> Result<EventPace, BadPace> {
        EventPace::of(kind, Some(query))
    }

    #[test]
    fn the_query_says_how_many_how_often_and_how_long() {
        let usual = EventPace::of(StreamKind::Events, None).unwrap();
        assert_eq!((usual.count, usual.every, usual.bytes), (10, Duration::from_millis(100), 0));
        let own = pace(StreamKind::Chunks, "x=1&count=3&every=2s&bytes=200").unwrap();
        assert_eq!((own.count, own.every, own.bytes), (3, Duration::from_secs(2), 200));
        for (query, bad) in [
            ("count=0", BadPace::Count),
            ("count=x", BadPace::Count),
            ("every=1us", BadPace::Every),
            ("every=2h", BadPace::Every),
            ("bytes=65537", BadPace::Bytes),
        ] {
            assert_eq!(pace(StreamKind::Events, query), Err(bad), "{query}");
        }
    }

    fn write(paced: &mut Paced, now: u64) -> String {
        let mut out = Vec::new();
        paced.write(Moment(now), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_come_at_their_times_and_what_is_late_does_not_come_in_a_burst() {
        let pace = pace(StreamKind::Events, "count=4&every=1ms").unwrap();
        let mut paced = Paced::new(pace, 1, ResponseId(Uuid::nil()), Moment(5));
        assert_eq!(paced.due(), Some(Moment(5)));
        let nil = Uuid::nil();
        let first = format!("id: 1\ndata: {{\"event\":1,\"written\":5,\"response\":\"{nil}\"}}\n\n");
        assert_eq!(write(&mut paced, 5), first);
        assert_eq!((write(&mut paced, 6), paced.due()), (String::new(), Some(Moment(1_000_005))));
        assert!(write(&mut paced, 9_000_000).starts_with("id: 2"));
        assert_eq!(paced.due(), Some(Moment(10_000_000)));
        assert!(write(&mut paced, 10_000_000).starts_with("id: 3") && !paced.is_done());
        assert!(write(&mut paced, 11_000_000).starts_with("id: 4") && paced.is_done());
        assert_eq!((paced.life.written, paced.life.end), (4, LifeEnd::Backend));
    }

    #[test]
    fn a_download_has_the_length_that_its_head_says() {
        for bytes in ["0", "300"] {
            let pace = pace(StreamKind::Download, &format!("count=7&every=0&bytes={bytes}")).unwrap();
            let mut paced = Paced::new(pace, 1, ResponseId(Uuid::nil()), Moment(u64::MAX));
            assert_eq!(Length::Known(write(&mut paced, 1).len() as u64), pace.length());
            assert!(paced.is_done() && paced.due().is_none());
        }
    }
}
