//! The conversation on a connection as properties: whatever comes, in whatever pieces, each response has its one exact record.
//! No socket: bytes go in and out by hand, the journal is a real one.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use http::Malformed;
use verdict::life::LifeEnd;
use verdict::notes::Note;
use verdict::request::{Sent, SentBody};
use verdict::response::{ReceivedHead, of_body, read_digest_value};

use super::{Connection, Waiting};
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::journal::{self, Capacity, JournalReader, Writer};
use crate::wire::{
    AttemptEnd, BackendIdentity, Calendar, Clipped, ConnectionLimits, End, Generator, Instance, Moment, Record,
    Refusal, RequestId, ResponseId,
};

const HEADER_BYTES: u32 = 2048;
const NOW: Moment = Moment(5_000_000_000);
const CALENDAR: Calendar = Calendar { moment: Moment(0), unix: 1_795_435_200_000_000_000 };
const DATE: &str = "Mon, 23 Nov 2026 12:00:05 GMT";

/// A conversation whose client reads as much as it is told to.
pub(super) struct Conversation {
    connection: Connection,
    state: ProcessState,
    pub(super) answered: Vec<u8>,
    written: usize,
    records: JournalReader,
    in_flight: JournalReader,
}

/// What has become of a conversation.
struct Story {
    answered: Vec<u8>,
    written: usize,
    /// In the order in which they ended.
    records: Vec<Record>,
    /// Just before the end, in the order in which they came.
    in_flight: Vec<Record>,
    unread: bool,
}

impl Conversation {
    pub(super) fn begin() -> Conversation {
        Conversation::begin_where(false)
    }

    /// Where a PROXY header may come first, or not.
    fn begin_where(proxy_protocol: bool) -> Conversation {
        let file = journal::create("test", Capacity { table: 512, ring: 1024 }).unwrap();
        let limits = ConnectionLimits {
            connections: 1,
            header_bytes: HEADER_BYTES,
            field_bytes: HEADER_BYTES,
            header_time: Duration::from_secs(1),
            idle_time: Duration::from_secs(1),
            stall_time: Duration::from_secs(1),
        };
        let identity =
            BackendIdentity { name: "9001".to_owned(), number: Some(Generator(9001)), instance: Instance(7) };
        let mut state = ProcessState::new(identity, Generator(9001), 0, Writer::open(&file).unwrap(), limits, CALENDAR);
        state.proxy_protocol = proxy_protocol;
        let address = |text: &str| End::Address(text.parse().unwrap());
        Conversation {
            connection: Connection::new(address("127.0.0.1:5000"), address("127.0.0.1:9001"), 7, &state),
            state,
            answered: Vec::new(),
            written: 0,
            records: JournalReader::open(&file).unwrap(),
            in_flight: JournalReader::open(&file).unwrap(),
        }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.connection
            .receive(bytes, &mut ConnectionTurn { now: NOW, state: &mut self.state, out: &mut self.answered });
    }

    fn write(&mut self, bytes: usize) {
        let bytes = bytes.min(self.answered.len() - self.written);
        self.written += bytes;
        self.connection.wrote(bytes, NOW, &mut self.state);
    }

    /// Lets time go by until the next thing is due, and that thing happen; false if there is none.
    pub(super) fn pass(&mut self) -> bool {
        match self.connection.waiting() {
            Waiting::Moment(at) | Waiting::Upgraded(Some(at)) => {
                self.connection.release(&mut ConnectionTurn {
                    now: at,
                    state: &mut self.state,
                    out: &mut self.answered,
                });
                true
            }
            Waiting::Room => {
                self.write_all();
                self.connection.go_on(&mut ConnectionTurn {
                    now: NOW,
                    state: &mut self.state,
                    out: &mut self.answered,
                });
                true
            }
            _ => false,
        }
    }

    pub(super) fn misbehave(&mut self, fault: &str) {
        self.state.misbehave(vec![fault.parse().unwrap()]);
    }

    /// What the client has got so far.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.answered).into_owned()
    }

    /// The records of what is in flight.
    pub(super) fn open(&self) -> Vec<Record> {
        self.in_flight.in_flight()
    }

    /// The records, once the connection has ended in that way.
    pub(super) fn end_by(mut self, how: LifeEnd) -> Vec<Record> {
        self.connection.end(how, NOW, &mut self.state);
        let mut records = Vec::new();
        assert_eq!(self.records.drain(|record| records.push(record)), 0);
        records
    }

    pub(super) fn write_all(&mut self) {
        self.write(usize::MAX);
    }

    fn end(mut self) -> Story {
        let mut in_flight = self.in_flight.in_flight();
        in_flight.sort_by_key(|record| record.number);
        self.connection.end(LifeEnd::Closed, NOW, &mut self.state);
        assert_eq!(self.in_flight.in_flight(), [], "in flight though the connection has ended");
        let mut records = Vec::new();
        assert_eq!(self.records.drain(|record| records.push(record)), 0);
        Story {
            answered: self.answered,
            written: self.written,
            records,
            in_flight,
            unread: self.connection.left_something_unread(),
        }
    }
}

/// What a client made of the bytes of one response.
#[derive(Debug)]
struct ReadResponse {
    status: u16,
    headers: Vec<(String, String)>,
    bytes: usize,
}

impl ReadResponse {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| &**value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice: {self:?}");
        value
    }

    fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }

    fn check_digest(&self, body: &[u8], head_only: bool) {
        let mut received = ReceivedHead::default();
        self.headers.iter().for_each(|(name, value)| received.see(name, value.as_bytes()));
        let value = self.header("Response-Digest").expect("a digest");
        let (head, of_the_body) = read_digest_value(value.as_bytes()).expect("digits");
        assert_eq!(received.digest(self.status), head, "{self:?}");
        assert!(head_only || of_body(body) == of_the_body, "{self:?}");
    }

    /// Reads one response from the start of `bytes`, as the client of a request that has a response without a body or with one.
    fn read(bytes: &[u8], head_only: bool) -> ReadResponse {
        let mut room = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Response::new(&mut room);
        let shown = String::from_utf8_lossy(bytes);
        let Ok(httparse::Status::Complete(head)) = parsed.parse(bytes) else {
            panic!("no answer starts here: {shown}")
        };
        let headers = parsed
            .headers
            .iter()
            .map(|it| (it.name.to_owned(), String::from_utf8(it.value.to_vec()).unwrap()))
            .collect();
        let mut answer = ReadResponse { status: parsed.code.unwrap(), headers, bytes: head };
        if answer.status != 100 {
            let length: usize = answer.header("Content-Length").expect("a length").parse().unwrap();
            answer.bytes += if head_only { 0 } else { length };
            assert!(length > 0 && answer.bytes <= bytes.len(), "an answer cut short: {shown}");
            answer.check_digest(&bytes[head..answer.bytes], head_only);
        }
        answer
    }
}

impl Story {
    /// All answers but `100 Continue`, each held against its record; what was not written must be recorded as cut off.
    fn check(&self) -> Vec<ReadResponse> {
        let mut answers: Vec<ReadResponse> = Vec::new();
        let mut position = 0;
        while position < self.answered.len() {
            let record = self.records.get(answers.len()).expect("a record for each answer");
            let answer = ReadResponse::read(&self.answered[position..], record.method.as_bytes() == b"HEAD");
            let start = position;
            position += answer.bytes;
            if answer.status == 100 {
                continue;
            }
            assert_eq!((record.status, record.generator), (answer.status, Generator(9001)));
            assert_eq!(answer.header("Generator-Number"), Some("9001"));
            assert_eq!(answer.header("Backend-Instance"), Some("0000000000000007"));
            assert_eq!(answer.header("Date"), Some(DATE));
            assert_eq!(answer.header("Cache-Control"), Some("no-store"));
            assert_eq!(answer.header("Response-Id"), record.response.map(|id| id.to_string()).as_deref());
            assert_eq!(answer.header("Check-Request-Id"), record.request.map(|id| id.to_string()).as_deref());
            let (bytes, outcome) = if position <= self.written {
                (answer.bytes, AttemptEnd::Completed)
            } else {
                (self.written.saturating_sub(start), AttemptEnd::CutOff)
            };
            assert_eq!((record.bytes, record.outcome), (bytes as u64, outcome), "{record:?}");
            assert!(answers.last().is_none_or(|earlier| !earlier.closes()), "an answer after the last one");
            answers.push(answer);
        }
        if let [held, more @ ..] = &self.records[answers.len()..] {
            assert_eq!(
                (held.bytes, held.outcome),
                (0, AttemptEnd::CutOff),
                "a request whose body did not end: {held:?}"
            );
            assert_eq!(more, [], "two requests wait for the end of their bodies");
        }
        self.check_numbers();
        answers
    }

    fn check_numbers(&self) {
        for (record, number) in self.records.iter().zip(1..) {
            assert_eq!((record.number, record.request_number, record.connection), (number, number as u32, 7));
            assert_eq!((record.received, record.responded), (NOW, NOW));
        }
        let cut_off = self.records.iter().filter(|record| record.outcome == AttemptEnd::CutOff);
        assert!(
            cut_off.map(|record| record.number).eq(self.in_flight.iter().map(|record| record.number)),
            "what was in flight before the end: {:?}",
            self.in_flight
        );
        let ids: Vec<ResponseId> = self.records.iter().filter_map(|record| record.response).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "a UUID was used twice");
        assert!(ids.iter().all(|id| id.0.get_version_num() == 4));
    }

    /// With the UUIDs made alike: what must not depend on the pieces in which a stream comes.
    fn masked(self) -> (String, Vec<Record>, bool) {
        let mut text = String::from_utf8(self.answered).unwrap();
        let records = self.records.into_iter().map(|record| {
            if let Some(answer) = record.response {
                text = text.replace(&answer.to_string(), "UUID");
            }
            Record { response: record.response.map(|_| ResponseId(uuid::Uuid::nil())), ..record }
        });
        let mut records: Vec<Record> = records.collect();
        // The id of a head that cannot be read is found if it has come by then.
        if let Some(refused) =
            records.last_mut().filter(|record| record.refusal.is_some() && record.path == Clipped::new(b""))
        {
            refused.request = None;
            let last = ["HTTP/1.1 4", "HTTP/1.1 5"].iter().filter_map(|start| text.rfind(start)).max().unwrap();
            if let Some(id) = text[last..].find("Check-Request-Id") {
                let end = text[last + id..].find("\r\n").unwrap() + 2;
                text.replace_range(last + id..last + id + end, "");
                refused.bytes -= end as u64;
            }
        }
        // Digests of bodies that hold a UUID differ with it.
        for (start, _) in text.clone().match_indices("Response-Digest: ") {
            let digits = start + "Response-Digest: ".len();
            text.replace_range(digits..digits + 16, "DIGEST of a body");
        }
        (text, records, self.unread)
    }
}

/// A request that must be served.
#[derive(Clone, Debug)]
struct ServedRequest {
    method: &'static str,
    target: &'static str,
    status: u16,
    /// It was sent in HTTP/1.0.
    old: bool,
    connection: Option<&'static str>,
    body: RequestBody,
}

#[derive(Clone, Debug)]
enum RequestBody {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl ServedRequest {
    fn closes(&self) -> bool {
        match self.connection {
            Some(option) => option != "Keep-Alive",
            None => self.old,
        }
    }

    fn write(&self, sequence: u64, out: &mut Vec<u8>) {
        let version = if self.old { "1.0" } else { "1.1" };
        let id = RequestId { run: 1, sequence };
        write!(out, "{} {} HTTP/{version}\r\nHost: h\r\nCheck-Request-Id: {id}\r\n", self.method, self.target).unwrap();
        if let Some(option) = self.connection {
            write!(out, "Connection: {option}\r\n").unwrap();
        }
        match &self.body {
            RequestBody::None => out.extend(b"\r\n"),
            RequestBody::Length(body) => {
                write!(out, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
                out.extend(body);
            }
            RequestBody::Chunked(chunks) => {
                out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    write!(out, "{:x}\r\n", chunk.len()).unwrap();
                    out.extend(chunk);
                    out.extend(b"\r\n");
                }
                out.extend(b"0\r\nTrailer: t\r\n\r\n");
            }
        }
    }
}

/// Bytes that are shown as text when a case fails.
#[derive(Clone)]
struct ShownBytes(Vec<u8>);

impl fmt::Debug for ShownBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn stream(requests: &[ServedRequest]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (request, sequence) in requests.iter().zip(0..) {
        request.write(sequence, &mut bytes);
    }
    bytes
}

const METHODS: &[&str] = &["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"];
/// With the status that each is answered with.
const TARGETS: &[(&str, u16)] = &[
    ("/", 200),
    ("/uuid?a=b", 200),
    ("/?format=json", 200),
    ("/?format=text", 200),
    ("/?format=xml", 400),
    ("http://a:1/", 200),
    ("/x/status/503", 503),
    ("/livez", 200),
    ("/readyz", 200),
];

fn any_body() -> impl Strategy<Value = RequestBody> {
    // A body may look like a request.
    let bytes = || prop_oneof![vec(any::<u8>(), 1..80), Just(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec())];
    prop_oneof![
        5 => Just(RequestBody::None),
        2 => prop_oneof![Just(Vec::new()), bytes()].prop_map(RequestBody::Length),
        2 => vec(bytes(), 0..4).prop_map(RequestBody::Chunked),
    ]
}

fn any_request() -> impl Strategy<Value = ServedRequest> {
    let old = prop_oneof![4 => Just(false), 1 => Just(true)];
    let connection = prop_oneof![12 => Just(None), 3 => Just(Some("Keep-Alive")), 1 => Just(Some("close"))];
    (select(METHODS), select(TARGETS), old, connection, any_body()).prop_map(
        |(method, (target, status), old, connection, body)| {
            let body = match body {
                RequestBody::Chunked(chunks) if old => RequestBody::Length(chunks.concat()),
                body => body,
            };
            ServedRequest { method, target, status, old, connection, body }
        },
    )
}

fn any_pipeline() -> impl Strategy<Value = Vec<ServedRequest>> {
    vec(any_request(), 1..24)
}

#[derive(Clone, Debug)]
enum Mutation {
    Put(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Repeat(Index, usize),
    Cut(Index),
}

/// Valid requests with a few defects.
fn any_mutated_stream() -> impl Strategy<Value = ShownBytes> {
    let byte = || prop_oneof![any::<u8>(), select(&b"\r\n :;,0f\0"[..])];
    let mutation = prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Put(at, byte)),
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        4 => any::<Index>().prop_map(Mutation::Remove),
        4 => (any::<Index>(), 1..200usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ];
    (vec(any_request(), 1..8), vec(mutation, 0..4)).prop_map(|(requests, mutations)| {
        let mut bytes = stream(&requests);
        for mutation in mutations {
            match mutation {
                _ if bytes.is_empty() => break,
                Mutation::Put(at, byte) => *at.get_mut(&mut bytes) = byte,
                Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), byte),
                Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
                Mutation::Repeat(at, length) => {
                    let start = at.index(bytes.len());
                    let end = bytes.len().min(start + length);
                    let part = bytes[start..end].to_vec();
                    bytes.splice(end..end, part);
                }
                Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
            }
        }
        ShownBytes(bytes)
    })
}

fn any_stream() -> impl Strategy<Value = ShownBytes> {
    prop_oneof![
        4 => any_mutated_stream(),
        2 => any_pipeline().prop_map(|requests| ShownBytes(stream(&requests))),
        1 => vec(any::<u8>(), 0..4000).prop_map(ShownBytes),
        1 => vec(select(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\nA:0 \t;"[..]), 0..4000).prop_map(ShownBytes),
    ]
}

/// Something that happens to a conversation.
#[derive(Clone, Debug)]
enum DialogueStep {
    Hear(usize),
    Write(usize),
    Expire,
    Drain,
    Unready,
}

fn any_steps() -> impl Strategy<Value = Vec<DialogueStep>> {
    let step = prop_oneof![
        20 => (1..400usize).prop_map(DialogueStep::Hear),
        10 => (1..20usize).prop_map(DialogueStep::Hear),
        20 => (1..900usize).prop_map(DialogueStep::Write),
        1 => Just(DialogueStep::Expire),
        1 => Just(DialogueStep::Drain),
        1 => Just(DialogueStep::Unready),
    ];
    vec(step, 0..60)
}

/// Something that happens to a conversation with a backend that misbehaves.
#[derive(Clone, Debug)]
enum FaultyStep {
    Misbehave(Vec<&'static str>),
    Hear(usize),
    Write(usize),
    /// Time passes, or there is room to write.
    GoOn,
}

fn any_faulty_step() -> impl Strategy<Value = FaultyStep> {
    let faults = [
        "status:503:50%",
        "latency:50ms±50ms:50%",
        "fail-first:1",
        "unhealthy",
        "close-midway:10%",
        "close:10%",
        "reset:10%",
        "hang:10%",
    ];
    prop_oneof![
        1 => proptest::sample::subsequence(faults.to_vec(), 0..4).prop_map(FaultyStep::Misbehave),
        6 => (1..400usize).prop_map(FaultyStep::Hear),
        6 => (1..900usize).prop_map(FaultyStep::Write),
        2 => Just(FaultyStep::Write(usize::MAX)),
        6 => Just(FaultyStep::GoOn),
    ]
}

fn converse(mut bytes: &[u8], steps: Vec<DialogueStep>) -> Conversation {
    let mut conversation = Conversation::begin();
    for step in steps {
        match step {
            DialogueStep::Hear(length) => {
                let (piece, rest) = bytes.split_at(length.min(bytes.len()));
                conversation.hear(piece);
                bytes = rest;
            }
            DialogueStep::Write(length) => conversation.write(length),
            DialogueStep::Expire => {
                let Conversation { connection, state, answered, .. } = &mut conversation;
                connection.expire(&mut ConnectionTurn { now: NOW, state, out: answered });
            }
            DialogueStep::Drain => conversation.state.draining = true,
            DialogueStep::Unready => conversation.state.health.ready = false,
        }
    }
    conversation
}

/// The story of these pieces, told to a client that reads everything.
fn heard<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Story {
    heard_by(Conversation::begin(), pieces)
}

fn heard_by<'b>(mut conversation: Conversation, pieces: impl IntoIterator<Item = &'b [u8]>) -> Story {
    for piece in pieces {
        conversation.hear(piece);
        conversation.write_all();
    }
    conversation.end()
}

fn heard_in_pieces(bytes: &[u8], cuts: &[Index]) -> Story {
    heard(pieces(bytes, cuts))
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

fn config() -> ProptestConfig {
    // A failing case is shown; it becomes a test of its own rather than a file of seeds.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_are_answered_alike_in_whatever_pieces_they_come(
        requests in any_pipeline(), cuts in vec(any::<Index>(), 0..40)
    ) {
        let bytes = stream(&requests);
        prop_assert_eq!(heard_in_pieces(&bytes, &cuts).masked(), heard([&bytes[..]]).masked());
    }

    #[test]
    fn defects_are_answered_alike_in_whatever_pieces_they_come(
        ShownBytes(mut bytes) in any_mutated_stream(), cuts in vec(any::<Index>(), 0..40)
    ) {
        // A head that comes in pieces is looked at when a line has ended, so let the last one end.
        bytes.extend(b"\r\n");
        prop_assert_eq!(heard_in_pieces(&bytes, &cuts).masked(), heard([&bytes[..]]).masked());
    }

    #[test]
    fn a_proxy_header_in_whatever_pieces_changes_who_is_told_of_and_nothing_else(
        requests in any_pipeline(), binary: bool, cuts in vec(any::<Index>(), 0..40)
    ) {
        // It holds ends of lines.
        const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\n\r\n\n\n\r\n\r\n\r\r\n\x04\0\x01\n";
        const TEXT: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
        let (before, client) = if binary { (BINARY, "10.13.10.10:2573") } else { (TEXT, "192.0.2.1:56324") };
        let requests: Vec<ServedRequest> =
            requests.into_iter().filter(|request| !request.target.contains("format=")).collect();
        let bytes = stream(&requests);
        let whole = [before, &bytes].concat();
        let (answers, records, unread) = heard_by(Conversation::begin_where(true), pieces(&whole, &cuts)).masked();
        let (expected_answers, expected_records, expected_unread) = heard([&bytes[..]]).masked();
        prop_assert_eq!((answers, unread), (expected_answers, expected_unread));
        let peer = End::Address(client.parse().unwrap());
        let named = |record: Record| {
            let mut arrived = record.arrived;
            arrived.notes.add(Note::Proxied);
            Record { peer, arrived, ..record }
        };
        let expected: Vec<Record> = expected_records.into_iter().map(named).collect();
        prop_assert_eq!(records, expected);
    }

    #[test]
    fn where_a_proxy_header_may_come_everything_else_is_answered_as_elsewhere(
        ShownBytes(mut bytes) in any_stream(), cuts in vec(any::<Index>(), 0..40)
    ) {
        bytes.extend(b"\r\n");
        let told = heard_by(Conversation::begin_where(true), pieces(&bytes, &cuts));
        prop_assert_eq!(told.masked(), heard([&bytes[..]]).masked());
    }

    #[test]
    fn a_pipeline_gets_its_answers_in_order_up_to_the_first_that_closes(
        requests in any_pipeline(), cuts in vec(any::<Index>(), 0..10)
    ) {
        let story = heard_in_pieces(&stream(&requests), &cuts);
        let answers = story.check();
        let served = requests.iter().position(ServedRequest::closes).map_or(requests.len(), |last| last + 1);
        prop_assert_eq!((answers.len(), story.records.len()), (served, served));
        for ((answer, request), sequence) in answers.iter().zip(&requests).zip(0..) {
            let id = RequestId { run: 1, sequence }.to_string();
            prop_assert_eq!(answer.header("Check-Request-Id"), Some(id.as_str()));
            prop_assert_eq!(answer.status, request.status);
            let connection = match (request.closes(), request.old) {
                (true, _) => Some("close"),
                (false, true) => Some("keep-alive"),
                (false, false) => None,
            };
            prop_assert_eq!(answer.header("Connection"), connection);
        }
    }

    #[test]
    fn after_an_answer_that_closes_nothing_more_is_answered(
        before in vec(any_request(), 0..6), ShownBytes(after) in any_stream(), draining: bool
    ) {
        let mut requests = before;
        requests.retain(|request| !request.closes());
        let kept = requests.len();
        let last = ServedRequest { method: "GET", target: "/", status: 200, old: false, connection: None, body: RequestBody::None };
        requests.push(ServedRequest { connection: (!draining).then_some("close"), ..last });
        let mut conversation = Conversation::begin();
        conversation.hear(&stream(&requests[..kept]));
        conversation.state.draining = draining;
        conversation.hear(&stream(&requests[kept..]));
        prop_assert_eq!(conversation.connection.waiting(), Waiting::Over);
        prop_assert!(!conversation.connection.left_something_unread());
        conversation.hear(&after);
        conversation.write_all();
        let story = conversation.end();
        prop_assert_eq!(story.unread, !after.is_empty());
        let answers = story.check();
        prop_assert_eq!(answers.len(), kept + 1);
        prop_assert!(answers[kept].closes());
    }

    #[test]
    fn under_any_faults_each_byte_that_was_written_belongs_to_one_record(
        mut requests in any_pipeline(), steps in vec(any_faulty_step(), 0..80)
    ) {
        for request in requests.iter_mut().step_by(3) {
            request.target = "/bytes/100001?delay=20ms";
        }
        let bytes = stream(&requests);
        let mut rest = &bytes[..];
        let mut conversation = Conversation::begin();
        let mut now = NOW;
        for step in steps {
            match step {
                FaultyStep::Misbehave(faults) => {
                    conversation.state.misbehave(faults.iter().map(|fault| fault.parse().unwrap()).collect());
                }
                FaultyStep::Hear(length) => {
                    let (piece, after) = rest.split_at(length.min(rest.len()));
                    conversation.hear(piece);
                    rest = after;
                }
                FaultyStep::Write(length) => conversation.write(length),
                FaultyStep::GoOn => {
                    now = now.after(Duration::from_millis(30));
                    let all_is_written = conversation.written == conversation.answered.len();
                    let Conversation { connection, state, answered, .. } = &mut conversation;
                    let before = answered.len();
                    match connection.waiting() {
                        Waiting::Moment(moment) => {
                            connection.release(&mut ConnectionTurn { now, state, out: answered });
                            prop_assert!(now >= moment || answered.len() == before, "said before its moment");
                        }
                        Waiting::Room if all_is_written => connection.go_on(&mut ConnectionTurn { now, state, out: answered }),
                        _ => {}
                    }
                    prop_assert!(answered.len() - before < 128 * 1024, "more than it needs in memory");
                }
            }
            let silent = conversation.answered.len();
            if let Waiting::Moment(_) | Waiting::End | Waiting::Reset | Waiting::Over = conversation.connection.waiting() {
                conversation.hear(b"");
                prop_assert_eq!(conversation.answered.len(), silent);
            }
        }
        let written = conversation.written as u64;
        let story = conversation.end();
        let continues = story.answered.windows(12).filter(|bytes| *bytes == b"HTTP/1.1 100").count() as u64;
        let recorded: u64 = story.records.iter().map(|record| record.bytes).sum();
        prop_assert!(recorded <= written && written <= recorded + continues * 25, "{} of {}", recorded, written);
        for (record, number) in story.records.iter().zip(1..) {
            prop_assert_eq!((record.number, record.request_number), (number, number as u32));
            prop_assert!(record.outcome != AttemptEnd::Received);
        }
        let last = story.records.iter().position(|record| record.outcome == AttemptEnd::CutOff);
        let after_last = last.map_or(&[][..], |last| &story.records[last..]);
        prop_assert!(after_last.iter().all(|record| record.outcome == AttemptEnd::CutOff), "answered after one that was cut off");
    }

    #[test]
    fn whatever_comes_each_answer_has_one_exact_record(ShownBytes(bytes) in any_stream(), steps in any_steps()) {
        let mut conversation = converse(&bytes, steps);
        conversation.write_all();
        conversation.end().check();
    }

    #[test]
    fn what_was_not_written_is_recorded_as_cut_off_after_its_exact_bytes(ShownBytes(bytes) in any_stream(), steps in any_steps()) {
        converse(&bytes, steps).end().check();
    }
}

#[test]
fn until_the_end_in_flight_is_what_has_not_been_written() {
    let mut conversation = Conversation::begin();
    conversation.hear(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    let in_flight = |conversation: &Conversation| -> Vec<u64> {
        conversation.in_flight.in_flight().iter().map(|record| record.number).collect()
    };
    assert_eq!(in_flight(&conversation), [1, 2, 3]);
    conversation.write(conversation.answered.len() / 2 - 1);
    assert_eq!(in_flight(&conversation), [1, 2, 3]);
    conversation.write(1);
    assert_eq!(in_flight(&conversation), [2, 3]);
    let story = conversation.end();
    let outcomes: Vec<_> = story.records.iter().map(|record| (record.number, record.outcome)).collect();
    assert_eq!(outcomes, [(1, AttemptEnd::Completed), (2, AttemptEnd::CutOff), (3, AttemptEnd::CutOff)]);
    assert_eq!(story.check().len(), 2);
}

#[test]
fn a_head_that_takes_too_long_is_refused_once_and_an_idle_connection_is_not() {
    let mut conversation = converse(
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        vec![DialogueStep::Expire, DialogueStep::Hear(99), DialogueStep::Expire],
    );
    assert_eq!(conversation.connection.waiting(), Waiting::Idle);
    conversation.hear(b"GET / HT");
    assert_eq!(conversation.connection.waiting(), Waiting::Head);
    let Conversation { connection, state, answered, .. } = &mut conversation;
    connection.expire(&mut ConnectionTurn { now: NOW, state, out: answered });
    connection.expire(&mut ConnectionTurn { now: NOW, state, out: answered });
    conversation.hear(b"TP/1.1\r\nHost: h\r\n\r\n");
    conversation.write_all();
    let story = conversation.end();
    let statuses: Vec<u16> = story.check().iter().map(|answer| answer.status).collect();
    assert_eq!((statuses, story.records.len()), (vec![200, 408], 2));
}

#[test]
fn a_proxy_header_that_takes_too_long_is_refused_and_one_after_which_nothing_comes_is_an_idle_connection() {
    let mut conversation = Conversation::begin_where(true);
    assert_eq!(conversation.connection.waiting(), Waiting::Idle);
    conversation.hear(b"PROXY UNKNOWN\r\n");
    assert_eq!(conversation.connection.waiting(), Waiting::Idle);
    assert!(!conversation.connection.has_begun());
    let mut conversation = Conversation::begin_where(true);
    conversation.hear(b"\r\n\r\n\0\r\nQUIT\n\x21");
    assert_eq!(conversation.connection.waiting(), Waiting::Opening);
    let Conversation { connection, state, answered, .. } = &mut conversation;
    connection.expire(&mut ConnectionTurn { now: NOW, state, out: answered });
    conversation.write_all();
    let story = conversation.end();
    assert_eq!(story.check()[0].status, 408);
}

#[test]
fn a_client_that_expects_it_is_told_to_continue_unless_the_body_has_come() {
    const HEAD: &str = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut conversation = Conversation::begin();
    conversation.hear(HEAD.as_bytes());
    assert_eq!(conversation.answered, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(conversation.connection.waiting(), Waiting::Body);
    conversation.hear(format!("abc{HEAD}abc").as_bytes());
    conversation.write_all();
    let story = conversation.end();
    assert_eq!(story.check().len(), 2);
    let interim = String::from_utf8(story.answered).unwrap().matches("100 Continue").count();
    assert_eq!(interim, 1);
}

#[test]
fn a_head_is_served_up_to_the_limit_and_refused_beyond_it_in_whatever_pieces_it_comes() {
    const LIMIT: usize = HEADER_BYTES as usize;
    let filled = |before: &str, after: &str, length: usize| {
        format!("{before}{}{after}", "x".repeat(length - before.len() - after.len()))
    };
    let line = |length| filled("GET /", " HTTP/1.1\r\nHost: h\r\n\r\n", length);
    let header = |length| filled("GET / HTTP/1.1\r\nHost: h\r\nA: ", "\r\n\r\n", length);
    for (head, status) in [
        (line(LIMIT), 200),
        (line(LIMIT + 1), 431),
        // Its first line, with its end, is longer than the limit.
        (line(LIMIT + 12), 414),
        (header(LIMIT), 200),
        (header(LIMIT + 1), 431),
    ] {
        let byte_by_byte = heard(head.as_bytes().chunks(1));
        assert_eq!(byte_by_byte.check()[0].status, status, "{} bytes", head.len());
        assert_eq!(byte_by_byte.masked(), heard([head.as_bytes()]).masked());
    }
}

/// RFC 9110 section 9.3.2.
#[test]
fn no_answer_to_head_has_a_body_not_even_a_refusal() {
    let story = heard([&b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"[..]]);
    let [refusal] = story.check().try_into().unwrap();
    assert_eq!((refusal.status, refusal.closes()), (400, true));
}

/// What the client says that it sent, as the value of its header.
fn sent(method: &str, target: &str, body: Option<&[u8]>) -> String {
    let mut value = Vec::new();
    Sent { method, target, host: Some("h"), body: body.map(SentBody::of), fields: &[] }.write(&mut value);
    String::from_utf8(value).unwrap()
}

#[test]
fn a_record_says_in_what_its_request_was_changed_on_the_way() {
    let post = sent("POST", "/a?b", Some(b"hello"));
    let get = sent("GET", "/a?b", None);
    for (line, said, framing, body, differences) in [
        ("POST /a?b", &post, "Content-Length: 5", "hello", ""),
        ("POST /a?b", &post, "Transfer-Encoding: chunked", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", ""),
        ("POST /a?b", &post, "Content-Length: 5", "hellO", "body"),
        ("POST /a?b", &post, "Content-Length: 4", "hell", "body-length"),
        ("POST /a?b", &post, "Content-Length: 0", "", "body-length"),
        ("POST /a?b", &post, "A: b", "", "body-length"),
        ("PUT /A?b", &post, "Transfer-Encoding: chunked", "0\r\n\r\n", "method, path, body-length"),
        ("GET /a?b", &get, "A: b", "", ""),
        ("GET /a", &get, "A: b", "", "query"),
        ("GET /a?b", &get, "Content-Length: 1", "x", "body-length"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\nCheck-Request-Sent: {said}\r\n{framing}\r\n\r\n{body}");
        for pieces in [request.len(), 1, 7] {
            let story = heard(request.as_bytes().chunks(pieces));
            let [record] = &story.records[..] else { panic!("{request}: {:?}", story.records) };
            assert_eq!(record.arrived.differences.to_string(), differences, "{request}");
            assert!(record.arrived.notes.contains(Note::Compared) && record.refusal.is_none(), "{request}");
        }
    }
}

#[test]
fn a_record_keeps_length_and_digest_of_whatever_body_came() {
    let body = "x".repeat(100_000);
    let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{body}");
    for pieces in [request.len(), 999] {
        let story = heard(request.as_bytes().chunks(pieces));
        let arrived = &story.records[0].arrived;
        assert_eq!(arrived.body, SentBody::of(body.as_bytes()));
        assert!(arrived.differences.is_empty() && !arrived.notes.contains(Note::Compared));
    }
}

#[test]
fn a_refused_request_is_recorded_with_its_id_and_the_reason() {
    let id = RequestId { run: 1, sequence: 2 };
    let heads = [
        ("Host: a\r\nHost: b", Malformed::HostTwice, 400),
        ("Transfer-Encoding: gzip, chunked\r\nHost: h", Malformed::EncodingUnknown, 501),
        (&format!("Host: h\r\nA: {}", "x".repeat(3000)), Malformed::HeadTooLarge, 431),
    ];
    for (fields, why, status) in heads {
        let story = heard([format!("GET / HTTP/1.1\r\nCheck-Request-Id: {id}\r\n{fields}\r\n\r\n").as_bytes()]);
        let record = &story.records[0];
        assert_eq!((record.refusal, record.request), (Some(Refusal::Malformed(why)), Some(id)));
        let [answer] = story.check().try_into().unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("Check-Request-Id"), Some(&*id.to_string()));
    }
    let chunks = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2 erf\r\n";
    let record = heard([chunks.as_bytes()]).records.remove(0);
    assert_eq!((record.refusal, record.status), (Some(Refusal::Malformed(Malformed::ChunkSizeJunk)), 400));
    assert_eq!((record.method.as_bytes(), record.arrived.body.length), (&b"POST"[..], 3));
}
