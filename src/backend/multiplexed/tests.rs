//! Many requests on one connection as properties: whatever comes, in whatever pieces, each has its one exact record. No socket:
//! bytes go in and out by hand, the journal is a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use http::h2::client::{Client, ClientEvent, FirstLine};
use http::h2::{AnnouncedSettings, Block, ErrorCode};
use http::{Framing, RequestContext, StreamId};
use proptest::collection::vec;
use proptest::prelude::*;

use verdict::life::LifeEnd;

use crate::backend::connection::Waiting;
use crate::backend::speaker::Speaker;
use crate::backend::state::ProcessState;
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
}

impl Http2Conversation {
    fn begin(faults: &[&str]) -> Http2Conversation {
        let file = journal::create("test", Capacity { table: 64, ring: 1024 }).unwrap();
        let limits = ConnectionLimits {
            connections: 1,
            header_bytes: 16 * 1024,
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
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> StreamId {
        let first = FirstLine { method, scheme: "http", authority: "h", path };
        let asked = if method == "HEAD" { RequestContext::Head } else { RequestContext::Other };
        self.asked += 1;
        let id = RequestId { run: 9, sequence: self.asked };
        let stream = self.client.open(&first, asked, body.is_empty(), &mut self.up, |fields| {
            fields.fresh("Check-Request-Id", &id.to_bytes());
        });
        if !body.is_empty() {
            self.client.data(stream, body, true, &mut self.up);
        }
        stream
    }

    /// Moves up to that many bytes in each direction, and has the backend go on where it can.
    fn move_bytes(&mut self, bytes: usize) {
        let up: Vec<u8> = self.up.drain(..bytes.min(self.up.len())).collect();
        if !up.is_empty() {
            self.speaker.receive(&up, self.now, &mut self.state, &mut self.down);
        }
        let down: Vec<u8> = self.down.drain(..bytes.min(self.down.len())).collect();
        self.speaker.wrote(down.len(), self.now, &mut self.state);
        if self.down.is_empty() && matches!(self.speaker.waiting(), Waiting::Streams { more: true, .. }) {
            self.speaker.go_on(self.now, &mut self.state, &mut self.down);
        }
        self.inbox.extend_from_slice(&down);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, &mut self.up) {
            let is_whole = match event {
                ClientEvent::Head(response) => {
                    let framing = response.head(&response.lines()).framing;
                    self.statuses.insert(stream.0, response.status);
                    framing == Framing::None
                }
                ClientEvent::End => true,
                ClientEvent::Reset(code) => {
                    self.resets.push(code);
                    false
                }
                ClientEvent::Broken(why) | ClientEvent::Malformed(why) => panic!("{why}"),
                ClientEvent::Data(_) | ClientEvent::Trailers(_) | ClientEvent::Interim(_) | ClientEvent::GoAway(_) => {
                    false
                }
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
            self.speaker.release(due, &mut self.state, &mut self.down);
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
    for (fault, reset) in [
        ("refuse-stream", ErrorCode::REFUSED_STREAM),
        ("goaway", ErrorCode::REFUSED_STREAM),
        ("reset-stream:ENHANCE_YOUR_CALM", ErrorCode::ENHANCE_YOUR_CALM),
    ] {
        let mut conversation = Http2Conversation::begin(&[fault]);
        conversation.ask("POST", "/", b"abc");
        conversation.settle();
        assert_eq!(conversation.resets, [reset], "{fault}");
        let records = conversation.end();
        assert_eq!(
            records.iter().map(|it| (it.outcome, it.bytes)).collect::<Vec<_>>(),
            [(AttemptEnd::CutOff, 0)],
            "{fault}"
        );
    }
}

#[test]
fn an_idle_connection_says_that_it_ends() {
    let mut conversation = Http2Conversation::begin(&[]);
    conversation.ask("GET", "/", b"");
    conversation.settle();
    assert_eq!((conversation.speaker.waiting(), &conversation.whole[..]), (Waiting::Idle, &[200][..]));
    conversation.speaker.expire(NOW, &mut conversation.state, &mut conversation.down);
    conversation.settle();
    assert!(conversation.client.is_leaving());
    assert_eq!(conversation.speaker.waiting(), Waiting::Over);
}
