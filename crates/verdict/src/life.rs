//! A unit with a life: a stream of events or a WebSocket. What its backend notes of it, and the numbered messages on it, which
//! both ends can read.

use std::io::Write as _;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Moment;

http::named_enum! {
    /// What goes over a unit with a life.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "kebab-case")]
    pub enum StreamKind {
        /// Server-sent events.
        Events => "events",
        /// Lines, each in a chunk of its own.
        Chunks => "chunks",
        /// Lines, of which the head says the whole length.
        Download => "download",
        /// Messages of a WebSocket, both ways.
        Websocket => "ws",
    }

    /// The end of the path at which a backend serves it.
    fn segment;
}

/// How a life ended, as the backend saw it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LifeEnd {
    /// It had not ended; of a backend that is gone, it ended with that.
    Open,
    /// The backend had written all that was asked for, or sent the first close frame.
    Backend,
    /// The other side sent the first close frame.
    CloseFrame,
    /// The other side ended the connection.
    Closed,
    /// The other side reset the connection.
    Reset,
    /// The other side took nothing for too long.
    Stalled,
    /// What came was no WebSocket.
    Malformed,
}

impl LifeEnd {
    /// All of them, in the order of the journal's words.
    pub const ALL: [LifeEnd; 7] = [
        LifeEnd::Open,
        LifeEnd::Backend,
        LifeEnd::CloseFrame,
        LifeEnd::Closed,
        LifeEnd::Reset,
        LifeEnd::Stalled,
        LifeEnd::Malformed,
    ];
}

/// The close code that stands for a close frame without one (RFC 6455 §7.4.1).
pub const NO_CODE: u16 = 1005;

/// What a backend notes of a unit with a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Life {
    /// What goes over it.
    pub kind: StreamKind,
    /// Number of the first event that the backend wrote: above 1 where the client resumed a stream.
    pub first: u32,
    /// Events that the backend wrote, numbered from `first` on; echoes are not among them.
    pub written: u32,
    /// Messages that came from the other side.
    pub received: u32,
    /// Number of the last of them, if it was a check's; else 0.
    pub last_received: u32,
    /// Messages of a check whose number did not follow the one before: lost, repeated or out of order on the way.
    pub misplaced: u16,
    /// Content of the messages that came, in bytes.
    pub received_bytes: u64,
    /// What ended it, as its backend saw it.
    pub end: LifeEnd,
    /// The code of the close frame that the backend sent; null without one.
    pub close_sent: Option<u16>,
    /// The code of the close frame that came; null without one, 1005 for one without a code.
    pub close_received: Option<u16>,
}

impl Life {
    /// A life that begins: nothing was written or received.
    pub fn new(kind: StreamKind, first: u32) -> Life {
        Life {
            kind,
            first,
            written: 0,
            received: 0,
            last_received: 0,
            misplaced: 0,
            received_bytes: 0,
            end: LifeEnd::Open,
            close_sent: None,
            close_received: None,
        }
    }

    /// Number of the last event that was written; none before the first.
    pub fn last_written(&self) -> Option<u32> {
        (self.written > 0).then(|| self.first.saturating_add(self.written - 1))
    }

    /// A message has come.
    pub fn see_message(&mut self, content: &[u8]) {
        self.received = self.received.saturating_add(1);
        self.received_bytes += content.len() as u64;
        if let Some(SentMessage { number, .. }) = SentMessage::read(content) {
            let follows = self.last_received.checked_add(1) == Some(number);
            self.misplaced = self.misplaced.saturating_add(u16::from(!follows));
            self.last_received = number;
        }
    }
}

/// An event as a backend writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamEvent {
    /// Consecutive, from 1 on.
    pub number: u32,
    /// When, on the monotonic clock of the backend's host.
    pub written: Moment,
    /// The id of the response that it belongs to.
    pub response: Uuid,
}

/// A message as a check sends it: a backend echoes it byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SentMessage {
    /// Consecutive, from 1 on.
    pub number: u32,
    /// When, on the monotonic clock of the check's host.
    pub sent: Moment,
}

/// What fills a message up to its length.
const FILL: &str = ",\"fill\":\"\"}";

impl StreamEvent {
    /// Appends it as a line of JSON without its end, filled up to `bytes` bytes where it is shorter by enough.
    pub fn write(&self, out: &mut Vec<u8>, bytes: usize) {
        let start = out.len();
        let StreamEvent { number, written, response } = self;
        // Nothing is wrong with writing into memory.
        let _ =
            write!(out, "{{\"event\":{number},\"written\":{},\"response\":\"{}\"", written.0, response.hyphenated());
        fill(out, start, bytes);
    }

    /// Bytes that every event has room in.
    pub const LONGEST: usize = 128;

    /// Reads what [`StreamEvent::write`] wrote.
    pub fn read(content: &[u8]) -> Option<StreamEvent> {
        let rest = content.strip_prefix(b"{\"event\":")?;
        let (number, rest) = read_number(rest)?;
        let (written, rest) = read_number(rest.strip_prefix(b",\"written\":")?)?;
        let (response, rest) = rest.strip_prefix(b",\"response\":\"")?.split_at_checked(36)?;
        is_filled(rest.strip_prefix(b"\"")?).then_some(StreamEvent {
            number: number.try_into().ok()?,
            written: Moment(written),
            response: Uuid::try_parse_ascii(response).ok()?,
        })
    }
}

impl SentMessage {
    /// Appends it, filled up as an [`StreamEvent`] is.
    pub fn write(&self, out: &mut Vec<u8>, bytes: usize) {
        let start = out.len();
        let _ = write!(out, "{{\"message\":{},\"sent\":{}", self.number, self.sent.0);
        fill(out, start, bytes);
    }

    /// Reads what [`SentMessage::write`] wrote.
    pub fn read(content: &[u8]) -> Option<SentMessage> {
        let rest = content.strip_prefix(b"{\"message\":")?;
        let (number, rest) = read_number(rest)?;
        let (sent, rest) = read_number(rest.strip_prefix(b",\"sent\":")?)?;
        is_filled(rest).then_some(SentMessage { number: number.try_into().ok()?, sent: Moment(sent) })
    }
}

fn fill(out: &mut Vec<u8>, start: usize, bytes: usize) {
    let written = out.len() - start;
    if bytes <= written + 1 {
        return out.push(b'}');
    }
    let (opening, closing) = FILL.split_at(FILL.len() - 2);
    out.extend_from_slice(opening.as_bytes());
    out.resize(out.len() + bytes.saturating_sub(written + FILL.len()), b'x');
    out.extend_from_slice(closing.as_bytes());
}

fn is_filled(rest: &[u8]) -> bool {
    let (opening, closing) = FILL.split_at(FILL.len() - 2);
    let filled = rest.strip_prefix(opening.as_bytes()).and_then(|rest| rest.strip_suffix(closing.as_bytes()));
    rest == b"}" || filled.is_some_and(|fill| fill.iter().all(|byte| *byte == b'x'))
}

fn read_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    Some((str::from_utf8(&bytes[..end]).ok()?.parse().ok()?, &bytes[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written_at_any_length() {
        let event = StreamEvent { number: u32::MAX, written: Moment(u64::MAX), response: Uuid::from_u128(7) };
        for bytes in 0..300 {
            let mut out = Vec::new();
            event.write(&mut out, bytes);
            assert_eq!(StreamEvent::read(&out), Some(event), "{}", String::from_utf8_lossy(&out));
            assert!(out.len() <= bytes.max(StreamEvent::LONGEST));
            assert!(bytes < StreamEvent::LONGEST || out.len() == bytes, "{bytes} {}", out.len());
            let last = out.len() - 2;
            out[last] ^= 1;
            assert_eq!(StreamEvent::read(&out), None, "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn messages_of_a_check_are_counted_with_those_that_do_not_follow() {
        let mut life = Life::new(StreamKind::Websocket, 1);
        for number in [1, 2, 4, 4, 3] {
            let mut content = Vec::new();
            SentMessage { number, sent: Moment(5) }.write(&mut content, 40);
            assert_eq!(content.len(), 40);
            life.see_message(&content);
        }
        life.see_message(b"hello");
        assert_eq!((life.received, life.last_received, life.misplaced, life.received_bytes), (6, 3, 3, 205));
        assert_eq!(life.last_written(), None);
        assert_eq!(Life { written: 3, first: 5, ..life }.last_written(), Some(7));
    }
}
