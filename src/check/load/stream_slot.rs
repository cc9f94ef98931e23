//! One stream or WebSocket of the client: it is opened, its events are read and compared with their numbers, messages are sent,
//! and it ends. Nothing here waits.

use std::time::Duration;

use http::h1::client::ResponseEvent as Part;
use http::ws::{self, Closing, Opcode, ReaderRole, WebSocketEvent as Frame};
use http::{EventReader, Malformed, RequestContext, ResponseHead, Room, Strictness};
use rustix::io::Errno;
use rustix::net::sockopt;
use uuid::Uuid;

use crate::check::load::coding::Coding;
use crate::check::load::connect::{self, ConnectFailure};
use crate::check::load::identify::{BackendNames, Identify};
use crate::check::load::request::{ID_BYTES, id};
use crate::check::load::response::HEAD_LIMIT;
use crate::check::load::stream_content::{CONTENT_LIMIT, Content, StreamReader};
use crate::check::load::stream_head::Learned;
use crate::check::load::stream_load::StreamLoad;
use crate::check::load::stream_request::StreamRequest;
use crate::check::load::stream_response::{StreamProgress, StreamResponse};
use crate::check::load::verify::ambiguous_length;
use crate::check::load::{DriveError, Samples};
use crate::io::ending::{Ending, Peeked};
use crate::io::poller::{Interest, Poller, Watched};
use crate::io::stream::Stream;
use crate::platform::SEND;
use crate::wire::Moment;
use verdict::life::{NO_CODE, SentMessage, StreamKind};
use verdict::observation::{ClientOutcome, Flaw, Observation};
use verdict::streams::{ClientEnd, StreamObservation};

/// After its close frame the client waits that long for the other side's.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const NORMAL: u16 = 1000;
const FIELDS: usize = 128;

/// Room for a stream.
pub(super) struct StreamSlot {
    client: u32,
    kind: StreamKind,
    stage: StreamSlotState,
    connection: Option<Stream>,
    watched: Watched,
    outbox: Vec<u8>,
    /// The next opening resumes after that event.
    resumes: Option<u32>,
    who: Identify,
    status: u16,
    flaw: Option<Flaw>,
    sequence: u64,
    begun: Moment,
    /// By when the head must have come.
    opens_by: Moment,
    opened: Option<Moment>,
    reader: Reader,
    content: Content,
    next_message: Moment,
    /// The client has sent its close frame, and waits until here.
    closes_by: Option<Moment>,
    end: ClientEnd,
}

enum StreamSlotState {
    /// It opens then; never again without a moment.
    Resting(Option<Moment>),
    Connecting,
    /// The head of the response is awaited.
    Head,
    Open,
}

/// What reads the bytes of an open stream.
enum Reader {
    Http {
        response: StreamResponse,
        coding: Coding,
        lines: StreamReader,
    },
    /// The head, until it is complete; then frames.
    Socket {
        key: [u8; 24],
        head: Vec<u8>,
        frames: Box<ws::FrameReader>,
    },
}

/// Whether the stream in a slot goes on.
pub(super) enum SlotProgress {
    Waits,
    Over(ClientOutcome),
}

/// A look at the clock.
pub(super) struct Pass<'a> {
    pub(super) now: Moment,
    /// The client ends what has no end of its own.
    pub(super) leaves: bool,
    /// The client ends everything.
    pub(super) gives_up: bool,
    pub(super) load: &'a StreamLoad,
}

fn mask() -> Option<[u8; 4]> {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    Some([a, b, c, d])
}

impl StreamSlot {
    /// The place of a client whose first stream opens at that moment.
    pub(super) fn new(client: u32, kind: StreamKind, at: Moment) -> StreamSlot {
        StreamSlot {
            client,
            kind,
            stage: StreamSlotState::Resting(Some(at)),
            connection: None,
            watched: Watched::default(),
            outbox: Vec::new(),
            resumes: None,
            who: Identify::new([0; ID_BYTES]),
            status: 0,
            flaw: None,
            sequence: 0,
            begun: at,
            opens_by: at,
            opened: None,
            reader: Reader::Http {
                response: StreamResponse::over_http1(),
                coding: Coding::Identity,
                lines: StreamReader::Lines(Vec::new()),
            },
            content: Content::new(None, at),
            next_message: at,
            closes_by: None,
            end: ClientEnd::NotOpened,
        }
    }

    /// Whether a stream is open or being opened.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.stage, StreamSlotState::Resting(_))
    }

    /// When the next one is opened.
    pub(super) fn opens_at(&self) -> Option<Moment> {
        match self.stage {
            StreamSlotState::Resting(at) => at,
            StreamSlotState::Connecting | StreamSlotState::Head | StreamSlotState::Open => None,
        }
    }

    /// None is opened any more.
    pub(super) fn rest(&mut self) {
        self.stage = StreamSlotState::Resting(None);
    }

    pub(super) fn open_later(&mut self, at: Moment, resumes: Option<u32>) {
        self.stage = StreamSlotState::Resting(Some(at));
        self.resumes = resumes;
    }

    /// When something is to be done though nothing has come.
    pub(super) fn wakes_at(&self) -> Option<Moment> {
        match self.stage {
            StreamSlotState::Resting(at) => at,
            StreamSlotState::Connecting | StreamSlotState::Head => Some(self.opens_by),
            StreamSlotState::Open => match (&self.reader, self.closes_by) {
                (Reader::Http { .. }, _) => None,
                (Reader::Socket { .. }, Some(at)) => Some(at),
                (Reader::Socket { .. }, None) => Some(self.next_message),
            },
        }
    }

    /// Begins to open a stream.
    pub(super) fn open(&mut self, load: &StreamLoad, sequence: u64, now: Moment) -> Result<SlotProgress, DriveError> {
        let resumes = self.resumes.take();
        (self.sequence, self.begun, self.opens_by) = (sequence, now, now.after(load.patience));
        self.who = Identify::new(id(load.run, sequence));
        (self.status, self.flaw, self.opened, self.closes_by) = (0, None, None, None);
        self.end = ClientEnd::NotOpened;
        self.content = Content::new(resumes, now);
        let key = ws::key(*Uuid::new_v4().as_bytes());
        let mut request = StreamRequest::new(load, resumes, &key);
        self.outbox.clear();
        self.reader = match load.kind {
            StreamKind::Websocket => Reader::Socket {
                key,
                head: Vec::new(),
                frames: Box::new(ws::FrameReader::new(ReaderRole::Client, CONTENT_LIMIT)),
            },
            StreamKind::Events | StreamKind::Chunks | StreamKind::Download => {
                let lines = match load.kind {
                    StreamKind::Events => StreamReader::Events(Box::new(EventReader::new(CONTENT_LIMIT))),
                    _ => StreamReader::Lines(Vec::new()),
                };
                let response = if load.target.http2 {
                    StreamResponse::over_http2(&request.head(), &id(load.run, sequence), &mut self.outbox)
                } else {
                    StreamResponse::over_http1()
                };
                Reader::Http { response, coding: Coding::Identity, lines }
            }
        };
        if self.outbox.is_empty() {
            self.outbox = request.bytes(sequence);
        }
        match connect::open(load.target.address, None) {
            Ok(socket) => {
                let _ = sockopt::set_tcp_nodelay(&socket, true);
                let preamble = if load.target.haproxy_protocol {
                    connect::proxy_header(&socket, load.target.address)
                } else {
                    Vec::new()
                };
                self.connection = Some(Stream::over(socket, load.target.tls.as_ref(), preamble));
                self.watched = Watched::default();
                self.stage = StreamSlotState::Connecting;
                Ok(self.flush())
            }
            Err(ConnectFailure::Peer(outcome)) => Ok(SlotProgress::Over(outcome)),
            Err(ConnectFailure::Local(errno)) => Err(DriveError::of_socket(errno, None)),
        }
    }

    /// Sends what the kernel takes.
    fn flush(&mut self) -> SlotProgress {
        let Some(connection) = &mut self.connection else { return SlotProgress::Over(ClientOutcome::Unreachable) };
        loop {
            let sent = if self.outbox.is_empty() {
                connection.flush().map(|()| 0)
            } else {
                connection.send(&self.outbox, SEND)
            };
            match sent {
                Ok(_) if self.outbox.is_empty() => {
                    if matches!(self.stage, StreamSlotState::Connecting) {
                        self.stage = StreamSlotState::Head;
                    }
                    return SlotProgress::Waits;
                }
                Ok(sent) => drop(self.outbox.drain(..sent)),
                Err(Errno::AGAIN | Errno::INTR) => return SlotProgress::Waits,
                // What came before the end is still to be read: the end itself is among it.
                Err(_) if !matches!(self.stage, StreamSlotState::Connecting) => {
                    self.outbox.clear();
                    return SlotProgress::Waits;
                }
                Err(_) if connection.tls_failure().is_some() => return SlotProgress::Over(ClientOutcome::TlsFailed),
                Err(Errno::CONNRESET | Errno::PIPE) => return SlotProgress::Over(ClientOutcome::Reset),
                Err(errno) => {
                    return SlotProgress::Over(match connect::failure(errno) {
                        ConnectFailure::Peer(outcome) => outcome,
                        ConnectFailure::Local(_) => ClientOutcome::Unreachable,
                    });
                }
            }
        }
    }

    /// Tells the poll what the stream waits for.
    pub(super) fn watch(&mut self, poller: &Poller, token: u64) -> Result<(), Errno> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let sends = (!self.outbox.is_empty() || !connection.is_flushed()) && connection.wants_to_send();
        let wanted = match (sends, &self.stage) {
            (true, _) => Interest::ReadWrite,
            (false, _) => Interest::Read,
        };
        poller.watch(connection, token, &mut self.watched, wanted)
    }

    /// The connection is ready.
    pub(super) fn serve(
        &mut self,
        load: &StreamLoad,
        backends: &mut BackendNames,
        samples: &mut Samples,
        input: &mut [u8],
        now: Moment,
    ) -> SlotProgress {
        let mut learned = Learned { load, backends, samples, now };
        if let SlotProgress::Over(outcome) = self.flush() {
            return SlotProgress::Over(outcome);
        }
        if matches!(self.stage, StreamSlotState::Connecting) {
            return SlotProgress::Waits;
        }
        loop {
            let Some(connection) = &mut self.connection else { return SlotProgress::Over(ClientOutcome::Closed) };
            let more = connection.hides_bytes();
            match connection.receive(input) {
                Peeked::Bytes(length) => {
                    let ended = self.feed(&input[..length], &mut learned);
                    if let Some(outcome) = ended {
                        let _ = self.flush();
                        return SlotProgress::Over(outcome);
                    }
                    if !more && length < input.len() {
                        return self.flush();
                    }
                }
                Peeked::Nothing => return self.flush(),
                Peeked::End(ending) => return SlotProgress::Over(self.ended(ending)),
            }
        }
    }

    /// Bytes have come: how it ended, if it has.
    fn feed(&mut self, input: &[u8], learned: &mut Learned) -> Option<ClientOutcome> {
        self.content.last_came = learned.now;
        match (&self.reader, self.opened) {
            (Reader::Http { .. }, _) => self.feed_response(input, learned),
            (Reader::Socket { .. }, None) => self.feed_handshake(input, learned),
            (Reader::Socket { .. }, Some(_)) => self.feed_frames(input, learned.now),
        }
    }

    /// Bytes of a response that is a stream.
    fn feed_response(&mut self, input: &[u8], learned: &mut Learned) -> Option<ClientOutcome> {
        let StreamSlot { reader, who, status, flaw, content, opened, stage, outbox, sequence, .. } = self;
        let Reader::Http { response, coding, lines } = reader else { return None };
        let now = learned.now;
        let mut broken = false;
        let progress = response.receive(input, outbox, &mut |part| match part {
            Part::Head(head) => {
                *status = head.status;
                learned.see_head(head.fields, who);
                *flaw = ambiguous_length(&head, who.is_ours()).map(Flaw::Malformed);
                for value in head.fields.elements("content-encoding") {
                    coding.see(value);
                }
                let is_event_stream = http::is_media_type(head.fields.first("content-type"), "text/event-stream");
                if learned.load.kind == StreamKind::Events && head.status == 200 && who.is_ours() && !is_event_stream {
                    *flaw = Some(Flaw::NoEventStream);
                } else if head.status == 200 {
                    (*opened, *stage) = (Some(now), StreamSlotState::Open);
                    if who.is_ours() && learned.compare(head.fields, *sequence) {
                        *flaw = flaw.or(Some(Flaw::Field));
                    }
                }
            }
            Part::Data(data) if opened.is_some() => {
                broken |= lines.see(&coding.decode(data), content, who.response_id, now).is_err();
            }
            Part::Data(_) | Part::Interim(_) | Part::Trailers(_) => {}
        });
        if *status != 0 && opened.is_none() {
            return Some(if flaw.is_some() { ClientOutcome::Altered } else { ClientOutcome::Response });
        }
        match progress {
            StreamProgress::Malformed(why) => {
                (self.flaw, self.end) = (Some(Flaw::Malformed(why)), ClientEnd::Malformed);
                Some(ClientOutcome::Malformed)
            }
            _ if opened.is_some() && !coding.is_readable() => {
                (self.flaw, self.end) = (Some(Flaw::Coding), ClientEnd::Malformed);
                Some(ClientOutcome::Altered)
            }
            _ if broken => {
                (self.flaw, self.end) = (Some(Flaw::Body), ClientEnd::Malformed);
                Some(ClientOutcome::Altered)
            }
            StreamProgress::More => None,
            StreamProgress::Whole => {
                self.end = ClientEnd::Whole;
                Some(self.as_planned())
            }
            StreamProgress::CutOff if self.opened.is_none() => Some(ClientOutcome::StreamReset),
            StreamProgress::CutOff => {
                self.end = ClientEnd::Reset;
                Some(ClientOutcome::Truncated)
            }
        }
    }

    /// Bytes of the response to a handshake, and of frames that came with it.
    fn feed_handshake(&mut self, input: &[u8], learned: &mut Learned) -> Option<ClientOutcome> {
        let Reader::Socket { key, head, .. } = &mut self.reader else { return None };
        head.extend_from_slice(input);
        let mut received = std::mem::take(head);
        // Interim responses may come before it (RFC 9110 section 15.2).
        while let Some(length) = interim_length(&received) {
            received.drain(..length);
        }
        let mut room = Room::new();
        let parsed = match parse_head(&received, &mut room) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                *head = received;
                return None;
            }
            Err(why) => {
                self.flaw = Some(Flaw::Malformed(why));
                return Some(ClientOutcome::Malformed);
            }
        };
        self.status = parsed.status;
        learned.see_head(parsed.fields, &mut self.who);
        if !ws::is_accepted(&parsed, key, learned.load.request.first_header("Sec-WebSocket-Protocol")) {
            let is_broken = parsed.status == 101;
            self.flaw = is_broken.then_some(Flaw::Field);
            return Some(if is_broken { ClientOutcome::Altered } else { ClientOutcome::Response });
        }
        if ws::announces_content(&parsed) {
            self.flaw = Some(Flaw::Malformed(Malformed::UpgradeWithBody));
            return Some(ClientOutcome::Malformed);
        }
        (self.opened, self.stage) = (Some(learned.now), StreamSlotState::Open);
        self.next_message = learned.now;
        self.feed_frames(&received[parsed.length..], learned.now)
    }

    /// Bytes of an open WebSocket.
    fn feed_frames(&mut self, mut input: &[u8], now: Moment) -> Option<ClientOutcome> {
        let StreamSlot { reader: Reader::Socket { frames, .. }, who, content, outbox, .. } = self else { return None };
        loop {
            match frames.receive(&mut input) {
                Ok(None) => return None,
                Ok(Some(Frame::Text(text))) => content.see(text.as_bytes(), who.response_id, now),
                // All that is sent and written is text: its type has been changed on the way.
                Ok(Some(Frame::Binary(_))) => content.foreign = content.foreign.saturating_add(1),
                Ok(Some(Frame::Ping(bytes))) => ws::write_frame(outbox, Opcode::Pong, bytes, mask()),
                Ok(Some(Frame::Pong(_))) => {}
                Ok(Some(Frame::Close(Closing { code, .. }))) => {
                    content.close_received = Some(code.unwrap_or(NO_CODE));
                    if content.close_sent.is_some() {
                        self.end = ClientEnd::Left;
                    } else {
                        ws::write_close(outbox, code, "", mask());
                        content.close_sent = content.close_received;
                        self.end = ClientEnd::Whole;
                    }
                    return Some(ClientOutcome::Response);
                }
                Err(_) => {
                    (self.flaw, self.end) = (Some(Flaw::Frame), ClientEnd::Malformed);
                    return Some(ClientOutcome::Altered);
                }
            }
        }
    }

    /// The connection has ended.
    fn ended(&mut self, ending: Ending) -> ClientOutcome {
        if self.opened.is_none() {
            return connect::outcome(ending);
        }
        if self.closes_by.is_some() {
            // After its own close frame the client has no claim to the other side's.
            self.end = ClientEnd::Left;
            return self.as_planned();
        }
        let is_whole = match &mut self.reader {
            Reader::Http { response, .. } => response.is_ended_by(ending),
            Reader::Socket { .. } => false,
        };
        if is_whole {
            self.end = ClientEnd::Whole;
            return self.as_planned();
        }
        self.end = if ending == Ending::Reset { ClientEnd::Reset } else { ClientEnd::Closed };
        ClientOutcome::Truncated
    }

    /// What has become of a request whose stream ended as it was to end.
    fn as_planned(&self) -> ClientOutcome {
        match self.flaw {
            None => ClientOutcome::Response,
            // A field that a balancer sets is a matter of its configuration: the rules judge it.
            Some(Flaw::Field) if matches!(self.reader, Reader::Http { .. }) => ClientOutcome::Response,
            Some(_) => ClientOutcome::Altered,
        }
    }

    /// Does what is due by now.
    pub(super) fn pass(&mut self, pass: &Pass) -> SlotProgress {
        let now = pass.now;
        match self.stage {
            StreamSlotState::Resting(_) => return SlotProgress::Waits,
            StreamSlotState::Connecting | StreamSlotState::Head if pass.gives_up || now >= self.opens_by => {
                let connected = matches!(self.stage, StreamSlotState::Head);
                return SlotProgress::Over(if connected {
                    ClientOutcome::TimedOut
                } else {
                    ClientOutcome::Unreachable
                });
            }
            StreamSlotState::Connecting | StreamSlotState::Head => return SlotProgress::Waits,
            StreamSlotState::Open => {}
        }
        if pass.gives_up || pass.load.only_opens || self.closes_by.is_some_and(|at| now >= at) {
            self.end = ClientEnd::Left;
            // Nobody waited long enough to say what became of it.
            self.content.close_sent = None;
            return SlotProgress::Over(self.as_planned());
        }
        if matches!(self.reader, Reader::Http { .. }) || self.closes_by.is_some() {
            return SlotProgress::Waits;
        }
        if pass.leaves {
            ws::write_close(&mut self.outbox, Some(NORMAL), "", mask());
            self.content.close_sent = Some(NORMAL);
            self.closes_by = Some(now.after(CLOSE_PATIENCE));
            return self.flush();
        }
        if now >= self.next_message && self.outbox.is_empty() {
            self.content.sent += 1;
            let mut message = Vec::new();
            SentMessage { number: self.content.sent, sent: now }.write(&mut message, 0);
            ws::write_frame(&mut self.outbox, Opcode::Text, &message, mask());
            let next = self.next_message.after(pass.load.every);
            self.next_message = if next <= now { now.after(pass.load.every) } else { next };
            // The balancer's clocks of idleness start over with what is sent, too.
            self.content.last_came = self.content.last_came.max(now);
            return self.flush();
        }
        SlotProgress::Waits
    }

    /// Whether somebody else ended it before its end.
    pub(super) fn was_cut(&self, stream: &StreamObservation) -> bool {
        match stream.end {
            ClientEnd::Closed | ClientEnd::Reset | ClientEnd::NotOpened | ClientEnd::Malformed => true,
            // Closed with a frame, though it was to go on.
            ClientEnd::Whole => stream.kind == StreamKind::Websocket,
            ClientEnd::Left => false,
        }
    }

    /// It is over: what it was.
    pub(super) fn end(&mut self, now: Moment) -> StreamObservation {
        self.connection = None;
        self.watched = Watched::default();
        self.outbox.clear();
        self.stage = StreamSlotState::Resting(None);
        let content = std::mem::replace(&mut self.content, Content::new(None, now));
        StreamObservation {
            sequence: u32::try_from(self.sequence).unwrap_or(u32::MAX),
            kind: self.kind,
            opened: self.opened,
            ended: now,
            last_came: content.last_came,
            events: content.events,
            times: content.times,
            foreign: content.foreign,
            sent: content.sent,
            echoes: content.echoes,
            end: self.end,
            close_sent: content.close_sent,
            close_received: content.close_received,
            resumed_after: content.resumed_after,
        }
    }

    /// Notes what is known of the request that opened the stream.
    pub(super) fn note(&self, observation: &mut Observation) {
        observation.client = self.client;
        observation.status = self.status;
        observation.response = self.who.response_id;
        observation.backend = self.who.backend;
        observation.echo = self.who.echo;
        observation.flaw = self.flaw;
    }
}

/// The head of the response to a handshake, if it is whole.
fn parse_head<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut Room<'b, FIELDS>,
) -> Result<Option<ResponseHead<'h, 'b>>, Malformed> {
    ResponseHead::parse(bytes, room, HEAD_LIMIT, RequestContext::Other, Strictness::Lenient)
}

/// The bytes of the interim response that comes first; none if none does.
fn interim_length(bytes: &[u8]) -> Option<usize> {
    let mut room = Room::new();
    parse_head(bytes, &mut room).ok().flatten().filter(ResponseHead::is_interim).map(|head| head.length)
}
