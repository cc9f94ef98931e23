//! What crosses a process: header names, paths, ids, the [`Record`] of an attempt, and the messages between
//! supervisor and backend. It knows no socket, no clock and no file.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Header of every answer: the generator number of the backend that gave it.
pub const GENERATOR_HEADER: &str = "Generator-Number";
/// Header of every answer but health: its [`AnswerId`].
pub const ANSWER_HEADER: &str = "Answer-Id";
/// Header of a request, echoed in its answer: its [`RequestId`]. A name of our own, because balancers rewrite `X-Request-ID`.
pub const REQUEST_HEADER: &str = "Check-Request-Id";

/// Paths that answer for the process: 200 as long as it answers at all.
pub const LIVENESS_PATHS: [&str; 3] = ["/livez", "/healthz", "/health"];
/// Paths that answer for the traffic: 503 while the backend drains or was told to be unready.
pub const READINESS_PATHS: [&str; 2] = ["/readyz", "/ready"];

/// A backend's identity on the page: its port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generator(pub u16);

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one answer: the UUID version 4 (RFC 9562) that the backend minted for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerId(pub Uuid);

impl fmt::Display for AnswerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Groups the attempts of one request: the run that sent it, never 0, and its number in that run.
///
/// As text 33 characters: both in 16 hexadecimal digits, `00000000000004d2-000000000000002a`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId {
    /// The run of the client that minted it.
    pub run: u64,
    /// Its number in that run.
    pub sequence: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.run, self.sequence)
    }
}

/// A text that is no [`RequestId`].
#[derive(Debug, PartialEq, Eq)]
pub struct NotARequestId;

impl fmt::Display for NotARequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 16 hexadecimal digits of a run that is not 0, a hyphen, and 16 of a number")
    }
}

impl std::error::Error for NotARequestId {}

impl RequestId {
    /// Reads a header's value.
    pub fn from_bytes(text: &[u8]) -> Result<Self, NotARequestId> {
        let (run, rest) = text.split_at_checked(16).ok_or(NotARequestId)?;
        let sequence = rest.strip_prefix(b"-").filter(|digits| digits.len() == 16).ok_or(NotARequestId)?;
        match (hexadecimal(run)?, hexadecimal(sequence)?) {
            (0, _) => Err(NotARequestId),
            (run, sequence) => Ok(RequestId { run, sequence }),
        }
    }
}

/// Reads the 16 hexadecimal digits of a run's id.
pub fn run_from_text(text: &str) -> Result<u64, NotARequestId> {
    match text.len() {
        16 => hexadecimal(text.as_bytes()),
        _ => Err(NotARequestId),
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u64, NotARequestId> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(NotARequestId)?;
        Ok(value << 4 | u64::from(digit))
    })
}

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        Self::from_bytes(text.as_bytes())
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reading of the machine's monotonic clock, in nanoseconds: one time line for all processes of a machine that never steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds from `earlier` to here, 0 if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment that much later.
    pub fn after(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Ties the monotonic clock to the calendar. The supervisor reads both once and every process of its fleet uses that pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Calendar {
    /// When both were read, on the monotonic clock.
    pub moment: Moment,
    /// When both were read, in nanoseconds since 1970 (UTC).
    pub unix: u64,
}

impl Calendar {
    /// Nanoseconds since 1970 (UTC).
    pub fn unix(&self, moment: Moment) -> u64 {
        (self.unix + moment.0).saturating_sub(self.moment.0)
    }

    /// The moment of a time in nanoseconds since 1970 (UTC).
    pub fn moment(&self, unix: u64) -> Moment {
        Moment((unix.saturating_add(self.moment.0)).saturating_sub(self.unix))
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The request has been read and no answer has been written to its end.
    Received,
    /// The whole answer was handed to the kernel.
    Completed,
    /// The connection or the backend ended before that; `bytes` of the answer were written.
    CutOff,
}

/// What the backend noted about an attempt. As words of the journal it has [`RECORD_WORDS`] × 8 = 256 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Number of the attempt in its backend process, from 1.
    pub number: u64,
    /// When the head of the request had been read.
    pub received: Moment,
    /// When the answer had been written, or given up.
    pub answered: Moment,
    /// The backend.
    pub generator: Generator,
    /// The UUID of its answer; none for health.
    pub answer: Option<AnswerId>,
    /// The client's id for the request, if it sent ours.
    pub request: Option<RequestId>,
    /// Number of the connection in its backend process, from 1.
    pub connection: u64,
    /// Number of the request on that connection, from 1.
    pub request_number: u32,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Empty if the request could not be understood.
    pub method: Clipped<METHOD_BYTES>,
    /// Path and query as received; empty if the request could not be understood.
    pub path: Clipped<PATH_BYTES>,
    /// Status code of the answer.
    pub status: u16,
    /// Bytes of the answer that were written, head and body.
    pub bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Size of a record in words of 8 bytes.
pub const RECORD_WORDS: usize = 32;
/// A record keeps this much of the method.
pub const METHOD_BYTES: usize = 16;
/// A record keeps this much of path and query, with the length that they had.
pub const PATH_BYTES: usize = (RECORD_WORDS - PATH_WORD) * 8;
const METHOD_WORD: usize = 13;
const PATH_WORD: usize = 15;

impl Record {
    /// The words of the journal, and how many of them say something: those after it may hold anything.
    pub fn to_words(&self) -> ([u64; RECORD_WORDS], usize) {
        let mut words = [0; RECORD_WORDS];
        (words[0], words[1], words[2]) = (self.number, self.received.0, self.answered.0);
        (words[3], words[4]) = self.answer.map_or((0, 0), |answer| answer.0.as_u64_pair());
        (words[5], words[6]) = self.request.map_or((0, 0), |request| (request.run, request.sequence));
        words[7] = self.connection;
        words[8] =
            u64::from(self.request_number) << 32 | u64::from(self.generator.0) << 16 | u64::from(self.status);
        words[9] = self.bytes;
        let address = match self.peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        (words[10], words[11]) = ((address >> 64) as u64, address as u64);
        words[12] = u64::from(self.path.length) << 32
            | u64::from(self.peer.port()) << 16
            | u64::from(self.method.length.min(255)) << 8
            | match self.outcome {
                Outcome::Received => 0,
                Outcome::Completed => 1,
                Outcome::CutOff => 2,
            };
        self.method.write(&mut words[METHOD_WORD..PATH_WORD]);
        let used = self.path.write(&mut words[PATH_WORD..]);
        (words, PATH_WORD + used)
    }

    /// The inverse of [`Record::to_words`].
    pub fn from_words(words: &[u64; RECORD_WORDS]) -> Record {
        let address = Ipv6Addr::from_bits(u128::from(words[10]) << 64 | u128::from(words[11]));
        Record {
            number: words[0],
            received: Moment(words[1]),
            answered: Moment(words[2]),
            answer: Some(AnswerId(Uuid::from_u64_pair(words[3], words[4]))).filter(|answer| !answer.0.is_nil()),
            request: Some(RequestId { run: words[5], sequence: words[6] }).filter(|request| request.run != 0),
            connection: words[7],
            request_number: (words[8] >> 32) as u32,
            generator: Generator((words[8] >> 16) as u16),
            status: words[8] as u16,
            bytes: words[9],
            peer: SocketAddr::new(address.to_canonical(), (words[12] >> 16) as u16),
            outcome: match words[12] & 0xff {
                0 => Outcome::Received,
                1 => Outcome::Completed,
                _ => Outcome::CutOff,
            },
            method: Clipped::read(&words[METHOD_WORD..PATH_WORD], (words[12] >> 8 & 0xff) as u32),
            path: Clipped::read(&words[PATH_WORD..], (words[12] >> 32) as u32),
        }
    }
}

/// The first `N` bytes of a text, and the length that it had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Clipped<const N: usize> {
    bytes: [u8; N],
    length: u32,
}

impl<const N: usize> Clipped<N> {
    /// Keeps the first `N` bytes.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; N];
        let kept = text.len().min(N);
        bytes[..kept].copy_from_slice(&text[..kept]);
        Clipped { bytes, length: u32::try_from(text.len()).unwrap_or(u32::MAX) }
    }

    /// What was kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..(self.length as usize).min(N)]
    }

    /// Whether something was cut.
    pub fn is_clipped(&self) -> bool {
        self.length as usize > N
    }

    fn write(&self, words: &mut [u64]) -> usize {
        let kept = self.as_bytes().len().div_ceil(8);
        for (word, bytes) in words.iter_mut().zip(self.bytes.as_chunks::<8>().0).take(kept) {
            *word = u64::from_ne_bytes(*bytes);
        }
        kept
    }

    fn read(words: &[u64], length: u32) -> Self {
        let mut bytes = [0; N];
        for (word, bytes) in words.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *bytes = word.to_ne_bytes();
        }
        bytes[(length as usize).min(N)..].fill(0);
        Clipped { bytes, length }
    }
}

/// Safe to show in a terminal: control characters and bytes that are no UTF-8 are escaped, a cut is shown as `…`.
impl<const N: usize> fmt::Display for Clipped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("-");
        }
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                match character.is_control() {
                    true => write!(f, "{}", character.escape_unicode())?,
                    false => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str(if self.is_clipped() { "…" } else { "" })
    }
}

impl<const N: usize> fmt::Debug for Clipped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bounds that keep a backend alive among careless and hostile clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Connections held at once by one backend; more wait in the kernel's queue.
    pub connections: u32,
    /// Bytes of a request's line and headers.
    pub header_bytes: u32,
    /// Time from the first byte of a request's head to its last, and from the accept of a connection to its first request.
    pub header_time: Duration,
    /// Time that a connection may wait for its next request.
    pub idle_time: Duration,
    /// Time without progress while a body is read or an answer is written.
    pub stall_time: Duration,
}

/// The first message to a backend. With it come, as descriptors, its journal and then its listening sockets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Its number.
    pub generator: Generator,
    /// The fleet's time.
    pub calendar: Calendar,
    /// Its bounds.
    pub limits: Limits,
    /// After SIGTERM, how long requests in flight have to end.
    pub grace: Duration,
}

/// What the supervisor tells a backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Accept nothing more, answer what is in flight for so long at most, then end.
    Drain(Duration),
    /// What readiness answers from now on.
    Ready(bool),
}

/// What a backend tells its supervisor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// It accepts connections.
    Accepting,
    /// It accepts no new connection for now, and says why.
    Starved(Starvation),
    /// It accepts connections again.
    Recovered,
    /// It drains, because of an order or of SIGTERM.
    Draining,
    /// It could not start.
    Failed(String),
}

/// Why a backend accepts no new connection for now. They wait in the kernel's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Starvation {
    /// No file descriptor is left to the process or the machine.
    OutOfFiles,
    /// It holds as many connections as its limit says.
    ConnectionLimit(u32),
}

/// What happened in a fleet: one enum, many readers.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Something about a member.
    Member {
        /// When.
        at: Moment,
        /// Which.
        generator: Generator,
        /// What.
        change: Change,
    },
    /// An attempt has ended.
    Attempt(Record),
    /// So many records of a backend were overwritten before they could be read.
    Lost {
        /// When that was noticed.
        at: Moment,
        /// Whose.
        generator: Generator,
        /// How many.
        count: u64,
    },
}

/// What happened to a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A process with this id was started.
    Starting(u32),
    /// It accepts connections.
    Accepting,
    /// It accepts no new connection for now.
    Starved(Starvation),
    /// It accepts connections again.
    Recovered,
    /// Its readiness was set.
    Readiness(bool),
    /// It was stopped by SIGSTOP; its port still takes connections, nobody answers them.
    Paused,
    /// It goes on after a pause.
    Resumed,
    /// It answers what is in flight and then ends.
    Draining,
    /// Its process is gone.
    Gone(Departure),
    /// It will be started again after that time.
    RestartIn(Duration),
    /// It could not be started again.
    StartFailed(String),
}

/// How a member's process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// Why, as the kernel reports it.
    pub cause: Cause,
    /// Whether it had been asked to drain.
    pub asked: bool,
    /// Attempts that it had received and never answered.
    pub unanswered: usize,
}

/// Why a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It ended by itself with this status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit(status) => write!(f, "exit status {status}"),
            Cause::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal}, {name}"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u16>(), any::<u64>());
        let ids = (proptest::option::of(1..u128::MAX), proptest::option::of((1..u64::MAX, any::<u64>())));
        let peer = (any::<std::net::IpAddr>(), any::<u16>());
        let texts = (proptest::collection::vec(any::<u8>(), 0..40), proptest::collection::vec(any::<u8>(), 0..300));
        let outcome =
            prop_oneof![Just(Outcome::Received), Just(Outcome::Completed), Just(Outcome::CutOff)];
        (numbers, ids, peer, texts, outcome).prop_map(|(numbers, ids, (ip, port), (method, path), outcome)| Record {
            number: numbers.0,
            received: Moment(numbers.1),
            answered: Moment(numbers.2),
            connection: numbers.3,
            request_number: numbers.4,
            status: numbers.5,
            generator: Generator(numbers.5 ^ 1),
            bytes: numbers.6,
            answer: ids.0.map(|bits| AnswerId(Uuid::from_u128(bits))),
            request: ids.1.map(|(run, sequence)| RequestId { run, sequence }),
            peer: SocketAddr::new(ip.to_canonical(), port),
            method: Clipped::new(&method),
            path: Clipped::new(&path),
            outcome,
        })
    }

    proptest! {
        #[test]
        fn a_record_survives_the_journal_even_when_unused_words_hold_anything(record in any_record(), noise: u64) {
            let (mut words, used) = record.to_words();
            words[used..].fill(noise);
            prop_assert_eq!(Record::from_words(&words), record);
        }

        #[test]
        fn a_request_id_survives_its_header(run in 1..u64::MAX, sequence: u64) {
            let id = RequestId { run, sequence };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_bytes_are_safe_in_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = Clipped::<PATH_BYTES>::new(&bytes).to_string();
            prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }

    #[test]
    fn other_texts_are_no_request_id() {
        for text in ["", "x", "0000000000000000-0000000000000001", "00000000000004d2-00000000000002a", "00000000000004d2+000000000000002a"] {
            assert_eq!(text.parse::<RequestId>(), Err(NotARequestId), "{text}");
        }
    }
}
