//! How the requests of a run arrived at backends, counted by kind: what rules say of the request as it arrived is said of this.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Moment;
use crate::algorithm::experiments::is_own_forwarded_for;
use crate::attempt::{Arrival, WayNumber};
use crate::facts::requests::ShortenedDeadlines;
use crate::notes::{Note, Notes};
use crate::observation::Backend;
use crate::request::{Differences, FieldMask, MASKED_FIELDS, RequestPart, SentBody, SentDeadline};
use crate::upstream::UpstreamConnections;

/// One attempt as its backend recorded it, texts clipped.
#[derive(Clone, Copy, Debug)]
pub struct ArrivedRequest<'a> {
    /// Of the request in the run; none for requests of others.
    pub sequence: Option<u32>,
    /// Whether it came with the id of another check.
    pub of_another_check: bool,
    /// When its head had been read.
    pub received: Moment,
    /// The backend that received it.
    pub backend: Backend,
    /// Empty if the backend could not read the request.
    pub method: &'a str,
    /// Path and query as they arrived.
    pub target: &'a str,
    /// The Host field as it arrived.
    pub host: &'a str,
    /// The X-Forwarded-For field as it arrived; empty without one.
    pub forwarded_for: &'a str,
    /// The other end of its connection, without the port.
    pub peer: &'a str,
    /// Status of the backend's response.
    pub status: u16,
    /// Parts that differ from what the client says that it sent.
    pub differences: Differences,
    /// Which of the user's own fields do.
    pub fields: FieldMask,
    /// What else was noted.
    pub notes: Notes,
    /// Length and digest of the content that arrived.
    pub body: SentBody,
    /// How long the client of a call waits, as it arrived.
    pub deadline: Option<Duration>,
}

/// All attempts of a run that carried their request's id.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RequestChanges {
    /// Attempts of the run that carried the id of their request.
    pub attempts: u64,
    /// Attempts of which the backend knew what had been sent: of the others nothing is judged.
    pub compared: u64,
    /// Parts that differed in some of those; only those that did.
    pub parts: Vec<PartChange>,
    /// Those of the sample.
    pub own_compared: u64,
    /// How often each of the user's own fields differed in those, by its index among the judged ones; the last stands for all from it on.
    pub fields: [u64; MASKED_FIELDS],
    /// How often each note was made, by its place in [`Note::ALL`].
    pub notes: [u64; Note::ALL.len()],
    /// How often in the sample.
    pub sample_notes: [u64; Note::ALL.len()],
    /// Attempts of the sample.
    pub sample_attempts: u64,
    /// X-Forwarded-For as it arrived.
    pub forwarded_for: TextCounts,
    /// X-Forwarded-For as it arrived in the sample, the empty text where there was none: experiments may ask for paths of their own, which
    /// have routes of their own.
    pub sample_forwarded_for: TextCounts,
    /// Attempts that came with what an experiment sent as X-Forwarded-For, and nothing else in it.
    pub own_forwarded_for: u64,
    /// Clients that PROXY headers name.
    pub proxied: TextCounts,
    /// Host as it arrived.
    pub hosts: TextCounts,
    /// The connections to backends on which they came.
    pub upstream: UpstreamConnections,
    /// Why backends refused requests of the run that they could not or would not read.
    pub refused: TextCounts,
    /// Of these, requests that had spaces in their paths.
    pub with_spaces: u64,
    /// The different ways in which requests were changed, from this one on: experiments vary what arrives.
    pub ways_from: u32,
    /// The first of these ways.
    pub ways: Vec<ChangedWay>,
    /// Paths of the sample as they arrived changed, by backend.
    pub paths: BTreeMap<Backend, TextCounts>,
    /// Host of the sample as it arrived, by backend.
    pub sample_hosts: BTreeMap<Backend, TextCounts>,
    /// The deadline with which calls of the sample were sent.
    pub deadline: Option<SentDeadline>,
    /// By how many microseconds deadlines arrived shorter than that, each that did, or was written in another way: time had passed, or somebody
    /// shortened them.
    pub shortened: Vec<u32>,
}

/// One way in which requests were changed: of the user's own fields some may be lost in one and others in another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangedWay {
    /// The parts that differ.
    pub differences: Differences,
    /// Which of the user's own fields do.
    pub fields: FieldMask,
}

/// A part that did not arrive as it was sent.
#[derive(Clone, PartialEq, Debug)]
pub struct PartChange {
    /// The part that changed.
    pub part: RequestPart,
    /// Attempts in which it differed.
    pub count: u64,
    /// As it arrived, where it is kept: of a method, path, query, Host or the length of a body.
    pub arrived: TextCounts,
    /// The first of them.
    pub examples: Vec<ChangedRequest>,
}

/// An attempt whose request was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedRequest {
    /// Number of the request in the run.
    pub sequence: u32,
    /// The backend where it arrived so.
    pub backend: Backend,
    /// `POST /a?b Host: c`
    pub line: String,
    /// Bytes of content that arrived.
    pub body_length: u64,
}

/// Texts and how often each occurred.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TextCounts {
    /// The first different ones.
    pub counts: Vec<(String, u64)>,
    /// How often any other text occurred.
    pub more: u64,
}

/// Different texts that are kept.
const TEXTS: usize = 8;
/// Requests that are kept of each part.
const EXAMPLES: usize = 3;

impl TextCounts {
    /// Counts one more occurrence of this text.
    pub fn see(&mut self, text: &str) {
        match self.counts.iter().position(|(known, _)| known == text) {
            Some(place) => self.counts[place].1 += 1,
            None if self.counts.len() < TEXTS => self.counts.push((text.to_owned(), 1)),
            None => self.more += 1,
        }
    }

    /// How many were counted, of all texts together.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum::<u64>() + self.more
    }

    /// The most frequent of those that are kept.
    pub fn most(&self) -> Option<&str> {
        self.counts.iter().max_by_key(|(_, count)| *count).map(|(text, _)| text.as_str())
    }

    /// The only one that occurred.
    pub fn only(&self) -> Option<&str> {
        match self.counts.as_slice() {
            [(only, _)] if self.more == 0 => Some(only),
            _ => None,
        }
    }
}

fn place_of(note: Note) -> usize {
    (note as u32).trailing_zeros() as usize
}

/// Whether it is of the user's own fields.
fn is_of_fields(part: RequestPart) -> bool {
    matches!(part, RequestPart::FieldLost | RequestPart::FieldChanged | RequestPart::FieldDoubled)
}

impl RequestChanges {
    /// An attempt of the run without what time changes: of a call whose deadline arrived as a shorter one that is noted.
    pub fn note_deadline<'a>(&mut self, request: ArrivedRequest<'a>) -> ArrivedRequest<'a> {
        let is_own = request.sequence.is_some() && self.has_own_fields(request.sequence);
        let Some((sent, arrived)) = self.deadline.filter(|_| is_own).zip(request.deadline) else { return request };
        let is_changed = sent.place < MASKED_FIELDS - 1
            && request.fields.iter().any(|place| place == sent.place)
            && !request.differences.contains(RequestPart::FieldDoubled);
        let Some(shortened) = sent.shortened_to(arrived).filter(|_| is_changed) else { return request };
        self.shortened.push(u32::try_from(shortened.as_micros()).unwrap_or(u32::MAX));
        let fields = request.fields.without(sent.place);
        let is_all = fields.iter().next().is_none();
        let differences =
            if is_all { request.differences.without(RequestPart::FieldChanged) } else { request.differences };
        ArrivedRequest { differences, fields, ..request }
    }

    /// The deadlines that arrived shorter than the time that a call needs to its backend, `longest` at most, explains; none if none did.
    pub fn shortened_beyond(&self, longest: Duration) -> Option<ShortenedDeadlines> {
        let sent = self.deadline?;
        let longest = longest.saturating_add(sent.rounding()).as_micros();
        let beyond = || self.shortened.iter().copied().filter(|by| u128::from(*by) > longest);
        let arrived = |by: u32| sent.time.saturating_sub(Duration::from_micros(u64::from(by))).as_secs_f64();
        Some(ShortenedDeadlines {
            attempts: beyond().count() as u64,
            sent: sent.time.as_secs_f64(),
            shortest: arrived(beyond().max()?),
            longest: arrived(beyond().min()?),
        })
    }

    /// Counts an attempt of the run. In which way its request was changed, if that is kept.
    pub fn see(&mut self, request: &ArrivedRequest) -> WayNumber {
        self.attempts += 1;
        // What an experiment sent itself was added by nobody.
        let is_own_value = is_own_forwarded_for(request.forwarded_for);
        let forwarded_for = Some(request.forwarded_for).filter(|_| !is_own_value);
        self.own_forwarded_for += u64::from(is_own_value);
        for note in request.notes.iter().filter(|note| *note != Note::ForwardedFor || forwarded_for.is_some()) {
            self.notes[place_of(note)] += 1;
        }
        self.compared += u64::from(request.notes.contains(Note::Compared));
        self.hosts.see(request.host);
        if let Some(value) = forwarded_for.filter(|value| !value.is_empty()) {
            self.forwarded_for.see(value);
        }
        if request.notes.contains(Note::Proxied) {
            self.proxied.see(request.peer);
        }
        let is_own = self.has_own_fields(request.sequence);
        if is_own {
            self.sample_attempts += 1;
            request.notes.iter().for_each(|note| self.sample_notes[place_of(note)] += 1);
            self.sample_forwarded_for.see(forwarded_for.unwrap_or_default());
            self.own_compared += u64::from(request.notes.contains(Note::Compared));
            request.fields.iter().for_each(|field| self.fields[field] += 1);
            if request.differences.contains(RequestPart::Path) {
                let path = request.target.split('?').next().unwrap_or_default();
                self.paths.entry(request.backend).or_default().see(path);
            }
            self.sample_hosts.entry(request.backend).or_default().see(request.host);
        }
        for part in request.differences.iter().filter(|part| is_own || !is_of_fields(*part)) {
            self.see_part(part, request);
        }
        self.number_way(request)
    }

    /// Whether it is a request of the sample: experiments have fields of theirs, which nobody asked about. One without a number came when
    /// this one does.
    fn has_own_fields(&self, sequence: Option<u32>) -> bool {
        sequence.map_or(self.ways_from < u32::MAX, |sequence| sequence >= self.ways_from)
    }

    fn number_way(&mut self, request: &ArrivedRequest) -> WayNumber {
        if request.differences.is_empty() || !self.has_own_fields(request.sequence) {
            return WayNumber::default();
        }
        let way = ChangedWay { differences: request.differences, fields: request.fields };
        let place = self.ways.iter().position(|known| *known == way).or_else(|| {
            (self.ways.len() < WayNumber::MOST).then(|| {
                self.ways.push(way);
                self.ways.len() - 1
            })
        });
        WayNumber(place.map_or(0, |place| (place + 1) as u8))
    }

    /// Whether all ways of the sample are known: beyond what can be numbered they are not distinguished.
    pub fn are_ways_known(&self) -> bool {
        self.ways.len() < WayNumber::MOST
    }

    /// In which way an attempt's request was changed; none if it was not, or if that is not known.
    pub fn way(&self, number: WayNumber) -> Option<&ChangedWay> {
        self.ways.get(usize::from(number.0).checked_sub(1)?).filter(|_| self.are_ways_known())
    }

    /// What is known of a part that differed; none if it always arrived as it was sent.
    pub fn part(&self, part: RequestPart) -> Option<&PartChange> {
        self.parts.iter().find(|change| change.part == part)
    }

    /// Whether one backend got several paths in place of those of the sample.
    pub fn has_several_paths(&self) -> bool {
        self.paths.values().any(|paths| paths.only().is_none())
    }

    /// Whether one backend got several values of Host in the sample, whatever their case.
    pub fn has_several_hosts(&self) -> bool {
        let differ = |hosts: &TextCounts| {
            let mut texts = hosts.counts.iter().map(|(text, _)| text);
            let first = texts.next();
            hosts.more > 0 || texts.any(|text| first.is_some_and(|first| !first.eq_ignore_ascii_case(text)))
        };
        self.sample_hosts.values().any(differ)
    }

    /// How often a note was made.
    pub fn noted(&self, note: Note) -> u64 {
        self.notes[place_of(note)]
    }

    /// How often a note was made in the sample.
    pub fn noted_in_sample(&self, note: Note) -> u64 {
        self.sample_notes[place_of(note)]
    }

    /// Without these, which were counted and turned out to be none of the run's requests.
    pub fn leave_out(&mut self, arrivals: &[Arrival]) {
        let count = arrivals.len() as u64;
        self.attempts = self.attempts.saturating_sub(count);
        self.compared = self.compared.saturating_sub(count);
        let own = arrivals.iter().filter(|it| self.has_own_fields(Some(it.sequence))).count() as u64;
        self.own_compared = self.own_compared.saturating_sub(own);
        for change in &mut self.parts {
            let removed = arrivals.iter().filter(|it| it.differences.contains(change.part)).count() as u64;
            change.count = change.count.saturating_sub(removed);
            change.arrived.counts.retain(|(_, count)| *count != removed);
        }
        self.parts.retain(|change| change.count > 0);
    }

    fn see_part(&mut self, part: RequestPart, request: &ArrivedRequest) {
        let place = self.parts.iter().position(|change| change.part == part).unwrap_or_else(|| {
            self.parts.push(PartChange { part, count: 0, arrived: TextCounts::default(), examples: Vec::new() });
            self.parts.len() - 1
        });
        let change = &mut self.parts[place];
        change.count += 1;
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        match part {
            RequestPart::Method => change.arrived.see(request.method),
            RequestPart::Path => change.arrived.see(path),
            RequestPart::Query => change.arrived.see(query),
            RequestPart::Host => change.arrived.see(request.host),
            RequestPart::BodyLength => change.arrived.see(&request.body.length.to_string()),
            RequestPart::Body
            | RequestPart::FieldLost
            | RequestPart::FieldChanged
            | RequestPart::FieldDoubled
            | RequestPart::Unreadable => {}
        }
        if let (true, Some(sequence)) = (change.examples.len() < EXAMPLES, request.sequence) {
            change.examples.push(ChangedRequest {
                sequence,
                backend: request.backend,
                line: format!("{} {} Host: {}", request.method, request.target, request.host),
                body_length: request.body.length,
            });
        }
    }
}

/// Requests that are not of this run: who sent them, what, and when.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OtherRequests {
    /// The first kinds; in order of their first request.
    pub kinds: Vec<OtherKind>,
    /// Requests of any other kind.
    pub more: u64,
}

/// Requests of others that are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherKind {
    /// The other end of their connections, without ports.
    pub peer: String,
    /// Whether they came with ids of another check.
    pub of_another_check: bool,
    /// Empty if the backend could not read them.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Length of its content in bytes.
    pub body_length: u64,
    /// How many such requests arrived.
    pub count: u64,
    /// How many of them came with [`SENT_HEADER`](crate::request::SENT_HEADER), which only checks send.
    pub of_checks: u64,
    /// When the first arrived.
    pub first: Moment,
    /// When the last arrived.
    pub last: Moment,
}

/// Kinds of requests that are kept.
const KINDS: usize = 16;

impl OtherRequests {
    /// Counts one request that is not the run's own.
    pub fn see(&mut self, request: &ArrivedRequest) {
        let is_alike = |kind: &OtherKind| {
            kind.body_length == request.body.length
                && kind.of_another_check == request.of_another_check
                && kind.method == request.method
                && kind.target == request.target
                && kind.peer == request.peer
        };
        match self.kinds.iter().position(is_alike) {
            Some(place) => {
                let kind = &mut self.kinds[place];
                kind.count += 1;
                kind.of_checks += u64::from(request.notes.contains(Note::Compared));
                kind.first = kind.first.min(request.received);
                kind.last = kind.last.max(request.received);
            }
            None => self.add(OtherKind {
                peer: request.peer.to_owned(),
                of_another_check: request.of_another_check,
                method: request.method.to_owned(),
                target: request.target.to_owned(),
                body_length: request.body.length,
                count: 1,
                of_checks: u64::from(request.notes.contains(Note::Compared)),
                first: request.received,
                last: request.received,
            }),
        }
    }

    /// Copies of the experiments' requests are of many kinds, which never come again: they leave no room for those of the sample otherwise.
    fn add(&mut self, kind: OtherKind) {
        if self.kinds.len() == KINDS {
            self.more += 1;
            let Some(once) = self.kinds.iter().position(|known| known.count == 1) else { return };
            self.kinds.remove(once);
        }
        self.kinds.push(kind);
    }

    /// How many were counted, of all kinds together.
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.count).sum::<u64>() + self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sequence: u32) -> ArrivedRequest<'static> {
        let mut notes = Notes::default();
        notes.add(Note::Compared);
        ArrivedRequest {
            sequence: Some(sequence),
            of_another_check: false,
            received: Moment(u64::from(sequence)),
            backend: Backend(1),
            method: "GET",
            target: "/a?b",
            host: "c",
            forwarded_for: "127.0.0.1",
            peer: "127.0.0.1",
            status: 200,
            differences: Differences::NONE,
            fields: FieldMask(0),
            notes,
            body: SentBody { length: 0, digest: 0 },
            deadline: None,
        }
    }

    #[test]
    fn what_arrives_as_it_was_sent_is_no_change() {
        let mut changes = RequestChanges::default();
        for sequence in 0..5 {
            changes.see(&request(sequence));
        }
        assert_eq!((changes.attempts, changes.compared, changes.parts.len()), (5, 5, 0));
        assert_eq!((changes.hosts.only(), changes.forwarded_for.only()), (Some("c"), Some("127.0.0.1")));
    }

    #[test]
    fn what_an_experiment_sends_as_the_client_was_added_by_nobody() {
        let mut changes = RequestChanges::default();
        for forwarded_for in ["10.1.17.7", "10.1.3.7", "10.1.3.7, 127.0.0.1", "10.1.x.7", ""] {
            let mut one = ArrivedRequest { forwarded_for, ..request(1) };
            one.notes.add(Note::ForwardedFor);
            changes.see(&one);
        }
        assert_eq!(changes.noted(Note::ForwardedFor), 3);
        assert_eq!(changes.forwarded_for.counts, [("10.1.3.7, 127.0.0.1".to_owned(), 1), ("10.1.x.7".to_owned(), 1)]);
    }

    #[test]
    fn each_part_has_its_count_its_texts_and_its_first_requests() {
        let mut changes = RequestChanges::default();
        for sequence in 0..20 {
            let mut one = request(sequence);
            if sequence % 2 == 1 {
                one.differences.add(RequestPart::Path);
                one.target = if sequence == 7 { "/z?b" } else { "/x?b" };
            }
            if sequence == 4 {
                one.differences.add(RequestPart::FieldLost);
                one.fields = FieldMask(0b101);
            }
            changes.see(&one);
        }
        let path = changes.part(RequestPart::Path).unwrap();
        assert_eq!((path.count, path.arrived.total()), (10, 10));
        assert_eq!(path.arrived.counts, [("/x".to_owned(), 9), ("/z".to_owned(), 1)]);
        assert_eq!(path.examples.iter().map(|example| example.sequence).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(path.examples[0].line, "GET /x?b Host: c");
        assert_eq!((changes.fields[0], changes.fields[1], changes.fields[2]), (1, 0, 1));
        assert!(changes.part(RequestPart::Method).is_none());
    }

    #[test]
    fn requests_of_others_are_grouped_by_what_they_are() {
        let mut others = OtherRequests::default();
        for number in 0..40 {
            others.see(&ArrivedRequest { sequence: None, ..request(number) });
        }
        let paths: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
        paths.iter().for_each(|target| others.see(&ArrivedRequest { target, ..request(50) }));
        assert_eq!((others.kinds.len(), others.kinds[0].count, others.more, others.total()), (16, 40, 15, 70));
        assert_eq!((others.kinds[0].first, others.kinds[0].last), (Moment(0), Moment(39)));
        // What comes often has room, however late it comes.
        (60..70).for_each(|number| others.see(&ArrivedRequest { target: "/late", ..request(number) }));
        let late = others.kinds.iter().find(|kind| kind.target == "/late");
        assert_eq!((late.map(|kind| kind.count), others.kinds.len(), others.total()), (Some(10), 16, 80));
    }
}
