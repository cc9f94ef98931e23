//! A WebSocket: each message is echoed, and where the request asks for it numbered events are pushed, pings are sent, and it
//! is closed with a code.

use std::time::Duration;

use http::ws::{
    Closing, FrameReader, Opcode, ReaderRole, WebSocketEvent as Frame, is_close_code, write_close, write_frame,
};
use verdict::life::{Life, LifeEnd, NO_CODE, StreamEvent, StreamKind};

use crate::backend::paced::{MAX_EVERY, parameter, time};
use crate::wire::{MOST_EVENT_BYTES, Moment, ResponseId};

/// What a request asks for: `/ws?push=100ms&count=20&bytes=200&ping=5s&close=1001`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SocketAsk {
    /// From one pushed event to the next; none without pushes.
    pub(crate) push: Option<Duration>,
    /// The number of messages after which the backend closes.
    pub(crate) count: Option<u32>,
    /// Length of an event, at least.
    pub(crate) bytes: usize,
    /// From one ping to the next; none without pings.
    pub(crate) ping: Option<Duration>,
    /// The code with which it closes.
    pub(crate) close: Option<u16>,
}

const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
/// Larger messages are refused with 1009: they are held until they can be echoed.
const MESSAGE_LIMIT: usize = 1 << 20;
/// After its own close frame the backend waits that long for the other side's.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Which parameter is beyond its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadSocket {
    Push,
    Count,
    Bytes,
    Ping,
    Close,
}

impl BadSocket {
    /// The sentence that its sender reads.
    pub(crate) fn why(self) -> &'static str {
        match self {
            BadSocket::Push => "push: expected a time from 1ms to 1h with its unit, such as ?push=100ms",
            BadSocket::Count => "count: expected a number of pushed events, and push, such as ?push=100ms&count=20",
            BadSocket::Bytes => "bytes: expected at most 65536 bytes of each pushed event, such as ?bytes=200",
            BadSocket::Ping => "ping: expected a time from 1ms to 1h with its unit, such as ?ping=5s",
            BadSocket::Close => "close: expected a close code of RFC 6455 section 7.4, such as ?close=1001",
        }
    }
}

impl SocketAsk {
    pub(crate) fn of(query: Option<&str>) -> Result<SocketAsk, BadSocket> {
        let interval = |name: &str, bad: BadSocket| match parameter(query, name) {
            None => Ok(None),
            Some(text) => match time(text).filter(|time| (Duration::from_millis(1)..=MAX_EVERY).contains(time)) {
                Some(time) => Ok(Some(time)),
                None => Err(bad),
            },
        };
        let mut ask = SocketAsk {
            push: interval("push", BadSocket::Push)?,
            ping: interval("ping", BadSocket::Ping)?,
            ..SocketAsk::default()
        };
        if let Some(text) = parameter(query, "count") {
            let count = text.parse().ok().filter(|_| ask.push.is_some());
            ask.count = Some(count.ok_or(BadSocket::Count)?);
        }
        if let Some(text) = parameter(query, "bytes") {
            ask.bytes = text.parse().ok().filter(|bytes| *bytes <= MOST_EVENT_BYTES).ok_or(BadSocket::Bytes)?;
        }
        if let Some(text) = parameter(query, "close") {
            ask.close = Some(text.parse().ok().filter(|code| is_close_code(*code)).ok_or(BadSocket::Close)?);
            // With nothing to wait for it closes at once.
            ask.count = ask.count.or(ask.push.is_none().then_some(0));
        }
        Ok(ask)
    }
}
pub(super) struct Socket {
    receiver: FrameReader,
    ask: SocketAsk,
    response: ResponseId,
    push_at: Option<Moment>,
    ping_at: Option<Moment>,
    /// The backend has sent its close frame; then it waits until here.
    gives_up_at: Option<Moment>,
    is_over: bool,
    pub(super) life: Life,
}

impl Socket {
    pub(super) fn new(ask: SocketAsk, response: ResponseId, now: Moment) -> Socket {
        Socket {
            receiver: FrameReader::new(ReaderRole::Server, MESSAGE_LIMIT),
            ask,
            response,
            // With a count of 0 the close is due at once.
            push_at: ask.push.map(|_| now).or(ask.count.map(|_| now)),
            ping_at: ask.ping.map(|ping| now.after(ping)),
            gives_up_at: None,
            is_over: false,
            life: Life::new(StreamKind::Websocket, 1),
        }
    }

    /// Whether nothing more is read or written.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// When [`Socket::advance`] has something to do.
    pub(super) fn due(&self) -> Option<Moment> {
        match self.gives_up_at {
            Some(at) => Some(at),
            None => self.push_at.into_iter().chain(self.ping_at).min(),
        }
    }

    /// Takes what has come and appends what is to be written.
    pub(super) fn receive(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        let Socket { receiver, life, gives_up_at, is_over, .. } = self;
        while !*is_over {
            match receiver.receive(&mut input) {
                Ok(None) => return,
                // What is sent after a close frame would not be read (§1.4).
                Ok(Some(Frame::Text(text))) => {
                    life.see_message(text.as_bytes());
                    if gives_up_at.is_none() {
                        write_frame(out, Opcode::Text, text.as_bytes(), None);
                    }
                }
                Ok(Some(Frame::Binary(bytes))) => {
                    life.see_message(bytes);
                    if gives_up_at.is_none() {
                        write_frame(out, Opcode::Binary, bytes, None);
                    }
                }
                Ok(Some(Frame::Ping(content))) if gives_up_at.is_none() => {
                    write_frame(out, Opcode::Pong, content, None);
                }
                Ok(Some(Frame::Ping(_) | Frame::Pong(_))) => {}
                Ok(Some(Frame::Close(Closing { code, .. }))) => {
                    life.close_received = Some(code.unwrap_or(NO_CODE));
                    if gives_up_at.is_none() {
                        write_close(out, code, "", None);
                        (life.close_sent, life.end) = (Some(code.unwrap_or(NO_CODE)), LifeEnd::CloseFrame);
                    }
                    *is_over = true;
                }
                Err(why) => {
                    if gives_up_at.is_none() {
                        write_close(out, Some(why.close_code()), why.as_str(), None);
                        life.close_sent = Some(why.close_code());
                    }
                    life.end = LifeEnd::Malformed;
                    *is_over = true;
                }
            }
        }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Moment, out: &mut Vec<u8>) {
        if let Some(at) = self.gives_up_at {
            self.is_over |= now >= at;
            return;
        }
        if let (Some(at), Some(ping)) = (self.ping_at, self.ask.ping)
            && now >= at
        {
            write_frame(out, Opcode::Ping, b"", None);
            self.ping_at = Some(now.after(ping));
        }
        if self.push_at.is_none_or(|at| now < at) {
            return;
        }
        if self.ask.count.is_some_and(|count| self.life.written >= count) {
            return self.close(self.ask.close.unwrap_or(NORMAL), now, out);
        }
        let Some(push) = self.ask.push else { return };
        self.life.written += 1;
        let event = StreamEvent { number: self.life.written, written: now, response: self.response.0 };
        let mut content = Vec::new();
        event.write(&mut content, self.ask.bytes);
        write_frame(out, Opcode::Text, &content, None);
        // What could not be written in time is late, and does not come in a burst.
        let next = self.push_at.map_or(now, |at| at.after(push));
        self.push_at = Some(if next <= now { now.after(push) } else { next });
    }

    /// The backend ends: as much as can be said of it.
    pub(super) fn go_away(&mut self, now: Moment, out: &mut Vec<u8>) {
        if self.gives_up_at.is_none() && !self.is_over {
            self.close(GOING_AWAY, now, out);
        }
    }

    fn close(&mut self, code: u16, now: Moment, out: &mut Vec<u8>) {
        write_close(out, Some(code), "", None);
        (self.life.close_sent, self.life.end) = (Some(code), LifeEnd::Backend);
        self.gives_up_at = Some(now.after(CLOSE_PATIENCE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ask(query: &str) -> Result<SocketAsk, BadSocket> {
        SocketAsk::of(Some(query))
    }

    fn socket(query: &str) -> Socket {
        Socket::new(ask(query).unwrap(), ResponseId(Uuid::nil()), Moment(0))
    }

    /// The frames in the bytes that a socket wrote.
    fn frames(out: &[u8]) -> Vec<String> {
        let mut receiver = FrameReader::new(ReaderRole::Client, 1 << 20);
        let (mut input, mut frames) = (out, Vec::new());
        while let Some(event) = receiver.receive(&mut input).unwrap() {
            frames.push(format!("{event:?}"));
        }
        frames
    }

    fn from_client(write: impl FnOnce(&mut Vec<u8>, Option<[u8; 4]>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, Some([1, 2, 3, 4]));
        bytes
    }

    #[test]
    fn the_query_says_what_is_pushed_and_how_it_ends() {
        let whole = ask("push=100ms&count=20&bytes=9&ping=5s&close=1001").unwrap();
        let expected = SocketAsk {
            push: Some(Duration::from_millis(100)),
            count: Some(20),
            bytes: 9,
            ping: Some(Duration::from_secs(5)),
            close: Some(1001),
        };
        assert_eq!(whole, expected);
        assert_eq!(ask("close=4000").unwrap().count, Some(0));
        assert_eq!(ask("close=4000&push=1s").unwrap().count, None);
        for (query, bad) in [
            ("push=0s", BadSocket::Push),
            ("count=3", BadSocket::Count),
            ("push=1s&count=x", BadSocket::Count),
            ("bytes=65537", BadSocket::Bytes),
            ("ping=2h", BadSocket::Ping),
            ("close=1005", BadSocket::Close),
        ] {
            assert_eq!(ask(query), Err(bad), "{query}");
        }
    }

    #[test]
    fn messages_are_echoed_pings_answered_and_a_close_returned_with_its_code() {
        let mut socket = socket("x");
        let input = from_client(|out, mask| {
            write_frame(out, Opcode::Text, b"hi", mask);
            write_frame(out, Opcode::Ping, b"p", mask);
            write_close(out, Some(4001), "done", mask);
            write_frame(out, Opcode::Text, b"late", mask);
        });
        let mut out = Vec::new();
        input.chunks(3).for_each(|piece| socket.receive(piece, &mut out));
        let [echo, pong, close] = frames(&out).try_into().unwrap();
        assert_eq!((echo.as_str(), pong.as_str()), ("Text(\"hi\")", "Pong([112])"));
        assert_eq!(close, "Close(Closing { code: Some(4001), reason: \"\" })");
        let life = socket.life;
        assert!(socket.is_over());
        assert_eq!((life.received, life.end), (1, LifeEnd::CloseFrame));
        assert_eq!((life.close_received, life.close_sent), (Some(4001), Some(4001)));
    }

    #[test]
    fn events_are_pushed_and_then_it_closes_and_waits_for_the_other_side() {
        let mut socket = socket("push=1ms&count=2&close=1001&ping=1h");
        let mut out = Vec::new();
        for now in [0, 1_000_000, 2_000_000] {
            assert_eq!(socket.due(), Some(Moment(now)));
            socket.advance(Moment(now), &mut out);
        }
        let frames = frames(&out);
        assert!(frames[0].contains("event\\\":1,") && frames[1].contains("event\\\":2,"), "{frames:?}");
        assert_eq!(frames[2], "Close(Closing { code: Some(1001), reason: \"\" })");
        assert_eq!((socket.life.written, socket.life.end, socket.is_over()), (2, LifeEnd::Backend, false));
        out.clear();
        socket.receive(&from_client(|out, mask| write_close(out, Some(1001), "", mask)), &mut out);
        assert!(socket.is_over() && out.is_empty());
        assert_eq!((socket.life.close_received, socket.life.end), (Some(1001), LifeEnd::Backend));
    }

    #[test]
    fn what_breaks_the_protocol_is_closed_with_its_code() {
        let mut socket = socket("x");
        let mut out = Vec::new();
        socket.receive(&[0x81, 0x01, b'a'], &mut out);
        assert!(frames(&out)[0].contains("1002"));
        assert_eq!((socket.life.end, socket.life.close_sent), (LifeEnd::Malformed, Some(1002)));
    }

    #[test]
    fn without_an_answer_to_its_close_it_ends_all_the_same() {
        let mut socket = socket("close=1000");
        let mut out = Vec::new();
        socket.advance(Moment(0), &mut out);
        assert_eq!(socket.due(), Some(Moment(0).after(CLOSE_PATIENCE)));
        socket.advance(socket.due().unwrap(), &mut out);
        assert!(socket.is_over());
    }
}
