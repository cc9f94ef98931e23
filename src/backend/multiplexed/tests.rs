//! Many requests on one connection as properties: whatever comes, in whatever pieces, each has its one exact record. No socket:
//! bytes go in and out by hand, the journal is a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use api::generator::{GenerateResponse, GeneratorMethod, NumberedMessage};
use http::grpc::{GrpcStatus, MessageReader, write_message};
use http::h2::client::{Client, ClientEvent, FirstLine};
use http::h2::{AnnouncedSettings, Block, ErrorCode, Follows};
use http::{Framing, RequestContext, StreamId};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use verdict::Call;
use verdict::life::LifeEnd;

use crate::backend::speaker::Speaker;
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::backend::waiting::Waiting;
use crate::journal::{self, Capacity, JournalReader, Writer};
use crate::wire::{
    AttemptEnd, BackendIdentity, Calendar, ConnectionLimits, End, Generator, Instance, Moment, Record, RequestId,
};

const NOW: Moment = Moment(5_000_000_000);
const CALENDAR: Calendar = Calendar { moment: Moment(0), unix: 1_795_435_200_000_000_000 };

/// A backend's connection and its client.
struct Http2Conversation {
    speaker: Speaker,
    state: ProcessState,
    records: JournalReader,
    client: Client,
    block: Block,
    /// Of the backend, that has not been written; of the client, that has not been read; and what the client cannot read yet.
    down: Vec<u8>,
    up: Vec<u8>,
    inbox: Vec<u8>,
    now: Moment,
    asked: u64,
    /// Responses that came to their end, by status.
    whole: Vec<u16>,
    statuses: BTreeMap<u32, u16>,
    resets: Vec<ErrorCode>,
    /// Of calls, wherever it stood; and the content of responses.
    call_statuses: BTreeMap<u32, GrpcStatus>,
    content: Vec<u8>,
}

impl Http2Conversation {
    fn begin(faults: &[&str]) -> Http2Conversation {
        let file = journal::create("test", Capacity { table: 64, ring: 1024 }).unwrap();
        let limits = ConnectionLimits {
            connections: 1,
            header_bytes: 16 * 1024,
            field_bytes: 16 * 1024,
            header_time: Duration::from_secs(1),
            idle_time: Duration::from_secs(1),
            stall_time: Duration::from_secs(1),
        };
        let identity =
            BackendIdentity { name: "9001".to_owned(), number: Some(Generator(9001)), instance: Instance(7) };
        let mut state = ProcessState::new(identity, Generator(9001), 0, Writer::open(&file).unwrap(), limits, CALENDAR);
        state.misbehave(faults.iter().map(|fault| fault.parse().unwrap()).collect());
        let address = |text: &str| End::Address(text.parse().unwrap());
        let mut up = Vec::new();
        Http2Conversation {
            speaker: Speaker::new(address("127.0.0.1:5000"), address("127.0.0.1:9001"), 7, &state),
            state,
            records: JournalReader::open(&file).unwrap(),
            client: Client::new(AnnouncedSettings { connection_window: 1 << 20, ..AnnouncedSettings::CLIENT }, &mut up),
            block: Block::new(),
            down: Vec::new(),
            up,
            inbox: Vec::new(),
            now: NOW,
            asked: 0,
            whole: Vec::new(),
            statuses: BTreeMap::new(),
            resets: Vec::new(),
            call_statuses: BTreeMap::new(),
            content: Vec::new(),
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> StreamId {
        let first = FirstLine { method, scheme: "http", authority: "h", path };
        let asked = if method == "HEAD" { RequestContext::Head } else { RequestContext::Other };
        self.asked += 1;
        let id = RequestId { run: 9, sequence: self.asked };
        let stream = self.client.open(&first, asked, Follows::after(body.is_empty()), &mut self.up, |fields| {
            fields.fresh("Check-Request-Id", &id.to_bytes());
        });
        if !body.is_empty() {
            self.send(stream, body, true);
        }
        stream
    }

    /// Begins a call; `ends`: with these messages its request is whole.
    fn call(&mut self, path: &str, messages: &[&[u8]], ends: bool) -> StreamId {
        let first = FirstLine { method: "POST", scheme: "http", authority: "h", path };
        self.asked += 1;
        let id = RequestId { run: 9, sequence: self.asked };
        let stream = self.client.open(&first, RequestContext::Other, Follows::More, &mut self.up, |fields| {
            fields.fresh("content-type", b"application/grpc");
            fields.fresh("te", b"trailers");
            fields.fresh("grpc-timeout", b"5S");
            fields.fresh("Check-Request-Id", &id.to_bytes());
        });
        let mut content = Vec::new();
        for message in messages {
            write_message(&mut content, |out| out.extend_from_slice(message));
        }
        self.send(stream, &content, ends);
        stream
    }

    /// What was sent before may have spent the connection's window: then bytes move first.
    fn send(&mut self, stream: StreamId, content: &[u8], ends: bool) {
        for _ in 0..64 {
            if self.client.capacity(stream) >= content.len() {
                break;
            }
            self.move_bytes(usize::MAX);
        }
        self.client.data(stream, content, Follows::after(ends), &mut self.up);
    }

    /// Moves up to that many bytes in each direction, and has the backend go on where it can.
    fn move_bytes(&mut self, bytes: usize) {
        let up: Vec<u8> = self.up.drain(..bytes.min(self.up.len())).collect();
        if !up.is_empty() {
            self.speaker
                .receive(&up, &mut ConnectionTurn { now: self.now, state: &mut self.state, out: &mut self.down });
        }
        let down: Vec<u8> = self.down.drain(..bytes.min(self.down.len())).collect();
        self.speaker.wrote(down.len(), self.now, &mut self.state);
        if self.down.is_empty() && matches!(self.speaker.waiting(), Waiting::Streams { more: true, .. }) {
            self.speaker.go_on(&mut ConnectionTurn { now: self.now, state: &mut self.state, out: &mut self.down });
        }
        self.inbox.extend_from_slice(&down);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, &mut self.up) {
            let is_whole = match event {
                ClientEvent::Head(response) => {
                    let lines = response.lines();
                    let head = response.head(&lines);
                    let framing = head.framing;
                    if let Some(status) = head.fields.first("grpc-status").and_then(GrpcStatus::of_field) {
                        self.call_statuses.insert(stream.0, status);
                    }
                    self.statuses.insert(stream.0, response.status);
                    framing == Framing::None
                }
                ClientEvent::End => true,
                ClientEvent::Reset(code) => {
                    self.resets.push(code);
                    false
                }
                ClientEvent::Broken(why) | ClientEvent::Malformed(why) => panic!("{why}"),
                ClientEvent::Trailers(trailers) => {
                    let status = trailers.iter().find(|field| field.name == "grpc-status");
                    let status = status.and_then(|field| GrpcStatus::of_field(field.value));
                    status.into_iter().for_each(|status| {
                        self.call_statuses.insert(stream.0, status);
                    });
                    false
                }
                ClientEvent::Data(data) => {
                    self.content.extend_from_slice(data);
                    false
                }
                ClientEvent::Interim(_) | ClientEvent::GoAway(_) => false,
            };
            if is_whole {
                self.whole.push(self.statuses[&stream.0]);
            }
        }
        let left = rest.len();
        self.inbox = inbox[inbox.len() - left..].to_vec();
    }

    /// Until nothing moves any more, and nothing is held back.
    fn settle(&mut self) {
        loop {
            while !self.up.is_empty()
                || !self.down.is_empty()
                || matches!(self.speaker.waiting(), Waiting::Streams { more: true, .. })
            {
                self.move_bytes(usize::MAX);
            }
            let Waiting::Streams { due: Some(due), .. } = self.speaker.waiting() else { return };
            self.now = due;
            self.speaker.release(&mut ConnectionTurn { now: due, state: &mut self.state, out: &mut self.down });
        }
    }

    fn end(mut self) -> Vec<Record> {
        self.speaker.end(LifeEnd::Closed, self.now, &mut self.state);
        assert_eq!(self.records.in_flight(), [], "in flight though the connection has ended");
        let mut records = Vec::new();
        assert_eq!(self.records.drain(|record| records.push(record)), 0);
        records
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(&'static str, &'static str, usize),
    Call(GeneratorMethod, Vec<usize>, bool),
    Move(usize),
    Cancel(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let path = prop_oneof![
        4 => Just("/"),
        1 => Just("/bytes/200000"),
        1 => Just("/bytes/0"),
        1 => Just("/?delay=1s"),
        1 => Just("/status/204"),
        1 => Just("/events?count=3&every=10ms"),
        1 => Just("/download?count=2000&every=0s"),
    ];
    let method = prop_oneof![4 => Just("GET"), 1 => Just("HEAD"), 2 => Just("POST")];
    prop_oneof![
        4 => (method, path, 1..20_000usize).prop_map(|(method, path, length)| Step::Ask(method, path, length)),
        2 => (proptest::sample::select(&GeneratorMethod::ALL[..]), vec(0..3000usize, 0..4), any::<bool>())
            .prop_map(|(method, messages, ends)| Step::Call(method, messages, ends)),
        3 => (1..3000usize).prop_map(Step::Move),
        1 => (0..8usize).prop_map(Step::Cancel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_has_one_record_however_streams_are_mixed(steps in vec(any_step(), 1..30), settles: bool) {
        let mut conversation = Http2Conversation::begin(&[]);
        let mut streams = Vec::new();
        for step in steps {
            match step {
                Step::Ask(method, path, length) => {
                    let body = if method == "POST" { vec![b'x'; length] } else { Vec::new() };
                    if conversation.client.can_open() {
                        streams.push(conversation.ask(method, path, &body));
                    }
                }
                Step::Call(method, lengths, ends) => {
                    if conversation.client.can_open() {
                        let messages: Vec<Vec<u8>> = lengths.iter().map(|length| padded(*length)).collect();
                        let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
                        streams.push(conversation.call(method.path(), &messages, ends));
                    }
                }
                Step::Move(bytes) => conversation.move_bytes(bytes),
                Step::Cancel(place) => {
                    if let Some(stream) = streams.get(place) {
                        conversation.client.cancel(*stream, ErrorCode::CANCEL, &mut conversation.up);
                    }
                }
            }
        }
        if settles {
            conversation.settle();
            prop_assert_eq!(conversation.client.streams(), 0);
        }
        let (asked, whole) = (conversation.asked, conversation.whole.len());
        let records = conversation.end();
        let mut sequences: Vec<u64> = records.iter().map(|it| it.request.unwrap().sequence).collect();
        sequences.sort_unstable();
        sequences.dedup();
        prop_assert_eq!(sequences.len(), records.len(), "two records of one request");
        prop_assert!(records.len() as u64 <= asked);
        let completed = records.iter().filter(|it| it.outcome == AttemptEnd::Completed).count();
        prop_assert!(whole <= completed, "{} whole, {} completed", whole, completed);
        if settles {
            prop_assert_eq!(records.len() as u64, asked);
        }
    }
}

#[test]
fn faults_of_streams_have_their_records() {
    for (fault, reset, end) in [
        ("refuse-stream", ErrorCode::REFUSED_STREAM, AttemptEnd::Refused),
        ("goaway", ErrorCode::REFUSED_STREAM, AttemptEnd::Refused),
        ("reset-stream:ENHANCE_YOUR_CALM", ErrorCode::ENHANCE_YOUR_CALM, AttemptEnd::CutOff),
    ] {
        let mut conversation = Http2Conversation::begin(&[fault]);
        conversation.ask("POST", "/", b"abc");
        conversation.settle();
        assert_eq!(conversation.resets, [reset], "{fault}");
        let records = conversation.end();
        assert_eq!(records.iter().map(|it| (it.outcome, it.bytes)).collect::<Vec<_>>(), [(end, 0)], "{fault}");
    }
}

#[test]
fn a_stream_beyond_those_that_may_be_open_has_its_record() {
    let mut conversation = Http2Conversation::begin(&["max-streams:1", "hang"]);
    (0..3).for_each(|_| _ = conversation.ask("GET", "/second?third", b""));
    conversation.settle();
    assert_eq!(conversation.resets, [ErrorCode::REFUSED_STREAM; 2]);
    let mut records = conversation.end();
    records.sort_by_key(|it| it.request.unwrap().sequence);
    let ends: Vec<AttemptEnd> = records.iter().map(|it| it.outcome).collect();
    assert_eq!(ends, [AttemptEnd::CutOff, AttemptEnd::Refused, AttemptEnd::Refused]);
    assert_eq!(records[2].path.to_string(), "/second?third");
}

/// A message of a check, with padding of that length.
fn padded(length: usize) -> Vec<u8> {
    NumberedMessage { number: 1, sent_ns: 1, padding: vec![b'x'; length] }.encode_to_vec()
}

fn one_call(faults: &[&str], messages: &[&[u8]]) -> (Http2Conversation, StreamId) {
    let mut conversation = Http2Conversation::begin(faults);
    let stream = conversation.call(GeneratorMethod::Generate.path(), messages, true);
    conversation.settle();
    (conversation, stream)
}

#[test]
fn a_call_has_its_record() {
    let (conversation, stream) = one_call(&[], &[b""]);
    assert_eq!((conversation.statuses[&stream.0], &conversation.whole[..]), (200, &[200][..]));
    assert_eq!(conversation.call_statuses[&stream.0], GrpcStatus::OK);
    let (mut reader, content) = (MessageReader::new(1000), conversation.content.clone());
    let message = reader.next(&mut &content[..]).unwrap().unwrap();
    let uuid = GenerateResponse::decode(message.content).unwrap().uuid;
    let records = conversation.end();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.status, record.outcome), (200, AttemptEnd::Completed));
    assert_eq!(record.path.to_string(), "/uuid.v1.Generator/Generate");
    assert_eq!(record.response.unwrap().to_string(), uuid);
    let expected = Call {
        status: Some(GrpcStatus::OK),
        timeout: Some(Duration::from_secs(5)),
        received: 1,
        written: 1,
        ..Call::default()
    };
    assert_eq!((record.call, record.arrived.body.length), (Some(expected), 5));
}

#[test]
fn faults_of_calls_have_their_records() {
    let whole = one_call(&[], &[b""]).0.content.len();
    for (fault, status, is_trailers_only, content) in [
        ("grpc-status:NOT_FOUND", Some(GrpcStatus::NOT_FOUND), false, 0),
        ("trailers-only", Some(GrpcStatus::UNAVAILABLE), true, 0),
        ("trailers-only:OK", Some(GrpcStatus::OK), true, 0),
        ("fail-first:1", Some(GrpcStatus::UNAVAILABLE), true, 0),
        ("half-message", Some(GrpcStatus::OK), false, whole / 2),
        ("reset-stream:CANCEL", None, false, 0),
        ("hang", None, false, 0),
        ("close-midway", None, false, whole / 2),
        ("close", None, false, 0),
    ] {
        let (conversation, stream) = one_call(&[fault], &[b""]);
        assert_eq!(conversation.call_statuses.get(&stream.0).copied(), status, "{fault}");
        assert_eq!(conversation.content.len(), content, "{fault}");
        let records = conversation.end();
        let call = records[0].call.unwrap();
        assert_eq!((records.len(), call.status, call.is_trailers_only), (1, status, is_trailers_only), "{fault}");
        let is_whole = records[0].outcome == AttemptEnd::Completed;
        assert_eq!(is_whole, status.is_some() && fault != "half-message", "{fault}");
    }
    let (conversation, stream) = one_call(&["status:503"], &[b""]);
    assert_eq!((conversation.statuses[&stream.0], conversation.call_statuses.len()), (503, 0));
    assert!(conversation.end()[0].call.is_none());
}

#[test]
fn a_call_that_is_cancelled_says_with_what() {
    let mut conversation = Http2Conversation::begin(&["hang"]);
    let stream = conversation.call(GeneratorMethod::Echo.path(), &[b"", b""], false);
    conversation.settle();
    conversation.client.cancel(stream, ErrorCode::CANCEL, &mut conversation.up);
    conversation.settle();
    let records = conversation.end();
    let call = records[0].call.unwrap();
    assert_eq!((records[0].outcome, call.cancelled, call.status), (AttemptEnd::CutOff, Some(ErrorCode::CANCEL), None));
    assert_eq!(call.received, 2);
}

#[test]
fn a_deadline_ends_what_is_held_back() {
    let (conversation, stream) = one_call(&["latency:10s"], &[b""]);
    assert_eq!(conversation.call_statuses[&stream.0], GrpcStatus::DEADLINE_EXCEEDED);
    assert_eq!(conversation.now, NOW.after(Duration::from_secs(5)));
    let call = conversation.end()[0].call.unwrap();
    assert_eq!((call.status, call.is_trailers_only), (Some(GrpcStatus::DEADLINE_EXCEEDED), true));
}

#[test]
fn a_connection_that_ends_at_a_held_call_ends_once() {
    for fault in ["close", "reset"] {
        let (conversation, _) = one_call(&["latency:1s", fault], &[b""]);
        assert_eq!(conversation.end()[0].outcome, AttemptEnd::CutOff, "{fault}");
    }
}

#[test]
fn a_connection_that_begins_while_the_backend_drains_serves_a_request_and_wants_no_more() {
    let mut conversation = Http2Conversation::begin(&[]);
    conversation.state.draining = true;
    conversation.settle();
    assert!(!conversation.client.is_leaving(), "it is open for the request that it was opened for");
    conversation.ask("GET", "/", b"");
    conversation.ask("GET", "/", b"");
    conversation.settle();
    assert_eq!((conversation.client.is_leaving(), &conversation.whole[..]), (true, &[200, 200][..]));
    assert_eq!(conversation.end().len(), 2);
}

#[test]
fn an_idle_connection_says_that_it_ends() {
    let mut conversation = Http2Conversation::begin(&[]);
    conversation.ask("GET", "/", b"");
    conversation.settle();
    assert_eq!((conversation.speaker.waiting(), &conversation.whole[..]), (Waiting::Idle, &[200][..]));
    conversation.speaker.expire(&mut ConnectionTurn {
        now: NOW,
        state: &mut conversation.state,
        out: &mut conversation.down,
    });
    conversation.settle();
    assert!(conversation.client.is_leaving());
    assert_eq!(conversation.speaker.waiting(), Waiting::Over);
}
