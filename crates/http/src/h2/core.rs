//! What both ends of HTTP/2 have in common: frames in, what happened out; windows, settings, the tables of HPACK, and the limits
//! that keep another end from making this one work for nothing. Nothing of a body is kept.
//!
//! Long: the states of RFC 9113 §5.1 and the frames that change them stand together.

use std::collections::VecDeque;

use crate::Malformed;
use crate::h2::code::ErrorCode;
use crate::h2::follows::Follows;
use crate::h2::frame::{self, ACK, END_HEADERS, END_STREAM, HEAD, LARGEST, LARGEST_WINDOW, PADDED, PREFACE, kind};
use crate::h2::hpack::{Block, Decoder, Encoder, TABLE_SIZE};
use crate::h2::settings::{AnnouncedSettings, ConnectionSide, PeerSettings};
use crate::h2::streams::{OpenStream, Past, StreamTable};

/// What has come. Stream 0 is the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Happened<'b> {
    /// A head: it is in the block.
    Head(Follows),
    /// A head that would open more streams than were announced: it is in the block, and its stream has been reset as refused.
    Refused(Follows),
    /// Trailers: they are in the block. The end follows.
    Trailers,
    Data(&'b [u8]),
    End,
    /// The other end reset the stream.
    Reset(ErrorCode),
    /// The message is not as it must be; unless it is only too large, the stream has been reset for it.
    Malformed(Malformed),
    /// The other end takes no streams above that number.
    GoAway(u32, ErrorCode),
    /// The connection cannot go on: GOAWAY is in the output.
    Broken(Malformed),
}

#[derive(Clone, Debug)]
pub(super) struct Core {
    role: ConnectionSide,
    reading: Reading,
    own: AnnouncedSettings,
    pub(super) peer: PeerSettings,
    decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) streams: StreamTable,
    /// The highest number that was opened, by whoever opens them.
    pub(super) last: u32,
    /// What GOAWAY has announced in either direction: streams above it are not opened.
    pub(super) limit: Option<u32>,
    send_window: i64,
    receive_window: i64,
    assembling: Option<Assembling>,
    /// Found together with something else, and said after it.
    next: VecDeque<(u32, Next)>,
    resets: Budget,
    unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    Preface,
    FirstSettings,
    Frame,
    Data { stream: u32, left: u32, padding: u32, ends: bool, kept: bool },
    Over,
}

/// A block that CONTINUATION goes on with.
#[derive(Clone, Debug)]
struct Assembling {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    frames: u32,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    End,
    Reset(ErrorCode),
}

/// How often something may happen: a hundred times at once, and then a hundred times a second.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: u32,
    since: u64,
}

impl Budget {
    const MOST: u32 = 100;
    const EACH: u64 = 10_000_000;

    fn spend(&mut self, now: u64) -> bool {
        let gained = now.saturating_sub(self.since) / Budget::EACH;
        if gained > 0 {
            self.left = Budget::MOST.min(self.left.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)));
            self.since = now;
        }
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there
    }
}

/// More frames than this make no head that is allowed.
const MOST_CONTINUATIONS: u32 = 16;

impl Core {
    pub(super) fn new(role: ConnectionSide, own: AnnouncedSettings) -> Core {
        Core {
            role,
            reading: if role == ConnectionSide::Server { Reading::Preface } else { Reading::FirstSettings },
            own,
            peer: PeerSettings::default(),
            decoder: Decoder::new(TABLE_SIZE),
            encoder: Encoder::default(),
            streams: StreamTable::default(),
            last: 0,
            limit: None,
            send_window: i64::from(frame::USUAL_WINDOW),
            receive_window: i64::from(own.connection_window),
            assembling: None,
            next: VecDeque::new(),
            resets: Budget { left: Budget::MOST, since: 0 },
            unread: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.reading == Reading::Over
    }

    /// Whether something came that nobody will read.
    pub(super) fn left_something_unread(&self) -> bool {
        self.unread
    }

    /// Whether the other end has said what it is.
    pub(super) fn has_settings(&self) -> bool {
        !matches!(self.reading, Reading::Preface | Reading::FirstSettings)
    }

    /// Whether nothing is half read.
    pub(super) fn is_between_frames(&self) -> bool {
        self.reading == Reading::Frame && self.assembling.is_none()
    }

    /// Takes what comes next from `input`. `None` if more must come; what is left of `input` is to be given again then.
    pub(super) fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        block: &mut Block,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Option<(u32, Happened<'b>)> {
        loop {
            if let Some((stream, next)) = self.next.pop_front() {
                match next {
                    Next::End => match self.end(stream, out) {
                        Some(happened) => return Some((stream, happened)),
                        None => continue,
                    },
                    Next::Reset(code) => return Some((stream, Happened::Reset(code))),
                }
            }
            let step = match self.reading {
                Reading::Over => {
                    self.unread |= !input.is_empty();
                    *input = &[];
                    return None;
                }
                Reading::Preface => self.read_preface(input)?.map(|()| None),
                Reading::Data { .. } => match self.read_data(input) {
                    Some(happened) => Ok(Some(happened)),
                    None if matches!(self.reading, Reading::Data { .. }) => return None,
                    None => Ok(None),
                },
                Reading::FirstSettings | Reading::Frame => self.read_frame(input, block, now, out)?,
            };
            let step = match step {
                // Who has streams reset by breaking their rules makes as much work as who resets them.
                Ok(Some((_, Happened::Malformed(_)))) if !self.may_reset(now) => Err(Malformed::ResetFlood),
                step => step,
            };
            match step {
                Ok(Some(happened)) => return Some(happened),
                Ok(None) => {}
                Err(why) => {
                    self.fail(why, out);
                    *input = &[];
                    return Some((0, Happened::Broken(why)));
                }
            }
        }
    }

    /// `None` if more of it must come.
    fn read_preface(&mut self, input: &mut &[u8]) -> Option<Result<(), Malformed>> {
        let length = input.len().min(PREFACE.len());
        if input[..length] != PREFACE[..length] {
            return Some(Err(Malformed::Http2Preface));
        }
        if length < PREFACE.len() {
            return None;
        }
        *input = &input[length..];
        self.reading = Reading::FirstSettings;
        Some(Ok(()))
    }

    /// A whole frame, or the head of DATA. `None` if more of it must come.
    fn read_frame<'b>(
        &mut self,
        input: &mut &'b [u8],
        block: &mut Block,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Option<Result<Option<(u32, Happened<'b>)>, Malformed>> {
        let head = frame::Head::read(input)?;
        if let Err(why) = self.check_order(head, input) {
            return Some(Err(why));
        }
        if head.kind == kind::DATA {
            let begun = self.begin_data(head, input, out)?;
            return Some(begun.map(|happened| happened.map(|it| (head.stream, it))));
        }
        let end = HEAD + head.length as usize;
        let payload = input.get(HEAD..end)?;
        *input = &input[end..];
        self.reading = Reading::Frame;
        Some(self.take(head, payload, block, now, out))
    }

    /// Whether such a frame may come now, whatever it holds.
    fn check_order(&self, head: frame::Head, input: &[u8]) -> Result<(), Malformed> {
        let is_first = self.reading == Reading::FirstSettings;
        if is_first && input.starts_with(b"HTTP/") {
            // It speaks HTTP/1: its status line would be read as a very long frame.
            return Err(Malformed::Http2Preface);
        }
        if head.length > LARGEST {
            return Err(Malformed::FrameSize);
        }
        if is_first && (head.kind != kind::SETTINGS || head.has(ACK)) {
            return Err(Malformed::SettingsMissing);
        }
        let block = self.assembling.as_ref();
        if block.is_some_and(|it| (head.kind, head.stream) != (kind::CONTINUATION, it.stream)) {
            return Err(Malformed::BlockInterrupted);
        }
        Ok(())
    }

    /// Ends the connection for that reason.
    fn fail(&mut self, why: Malformed, out: &mut Vec<u8>) {
        let last = if self.role == ConnectionSide::Server { self.last.min(self.limit.unwrap_or(self.last)) } else { 0 };
        frame::write_go_away(out, last, ErrorCode::of(why));
        self.reading = Reading::Over;
        self.unread = true;
    }

    /// Nothing is read any more.
    pub(super) fn stop(&mut self) {
        self.reading = Reading::Over;
    }

    // Content.

    fn read_data<'b>(&mut self, input: &mut &'b [u8]) -> Option<(u32, Happened<'b>)> {
        let Reading::Data { stream, left, kept, .. } = &mut self.reading else { return None };
        let (stream, kept) = (*stream, *kept);
        if *left > 0 {
            let here = (*left as usize).min(input.len());
            let (data, rest) = input.split_at(here);
            *input = rest;
            *left -= here as u32;
            if kept && here > 0 {
                // A stream that this end has reset meanwhile gives nothing any more.
                if let Some(it) = self.streams.get_mut(stream).filter(|it| it.receiving) {
                    it.expected = it.expected.map(|expected| expected.wrapping_sub(here as u64));
                    return Some((stream, Happened::Data(data)));
                }
            }
        }
        if let Reading::Data { left: 0, padding, .. } = &mut self.reading {
            let here = (*padding as usize).min(input.len());
            *input = &input[here..];
            *padding -= here as u32;
        }
        if let Reading::Data { left: 0, padding: 0, ends, .. } = self.reading {
            self.reading = Reading::Frame;
            if ends && kept {
                self.next.push_back((stream, Next::End));
            }
        }
        None
    }

    /// The head of DATA, with which its bytes count as received. `None` if more must come first.
    fn begin_data<'b>(
        &mut self,
        head: frame::Head,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Result<Option<Happened<'b>>, Malformed>> {
        let (mut left, mut padding, mut length) = (head.length, 0, HEAD);
        if head.stream == 0 {
            return Some(Err(Malformed::FrameStream));
        }
        if head.has(PADDED) {
            if left == 0 {
                return Some(Err(Malformed::FrameSize));
            }
            padding = u32::from(*input.get(HEAD)?);
            length += 1;
            if padding >= left {
                return Some(Err(Malformed::FramePadding));
            }
            left -= 1 + padding;
        }
        *input = &input[length..];
        let cost = i64::from(head.length);
        if let Err(why) = self.spend_window(cost, out) {
            return Some(Err(why));
        }
        let ends = head.has(END_STREAM);
        let mut kept = false;
        let mut wrong = None;
        let is_idle = self.is_idle(head.stream);
        match self.streams.get_mut(head.stream) {
            Some(stream) if stream.receiving && stream.has_head => {
                if cost > stream.receive_window {
                    wrong = Some(Malformed::WindowExceeded);
                } else {
                    kept = true;
                    stream.receive_window -= cost;
                    let full = i64::from(self.own.stream_window);
                    if !ends && stream.receive_window < full / 2 {
                        frame::write_window_update(out, head.stream, (full - stream.receive_window) as u32);
                        stream.receive_window = full;
                    }
                }
            }
            // A response whose head has not come.
            Some(stream) if stream.receiving => wrong = Some(Malformed::FrameUnexpected),
            Some(_) => wrong = Some(Malformed::StreamClosed),
            None if is_idle => return Some(Err(Malformed::FrameUnexpected)),
            None => {
                if self.streams.past(head.stream) == Some(Past::Ended) {
                    return Some(Err(Malformed::StreamClosed));
                }
            }
        }
        self.reading = Reading::Data { stream: head.stream, left, padding, ends, kept };
        Some(Ok(wrong.map(|why| {
            self.reset(head.stream, ErrorCode::of(why), out);
            Happened::Malformed(why)
        })))
    }

    /// Takes that much from the connection's window, and opens it anew when half of it is spent.
    fn spend_window(&mut self, cost: i64, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if cost > self.receive_window {
            return Err(Malformed::WindowExceeded);
        }
        self.receive_window -= cost;
        let full = i64::from(self.own.connection_window);
        if self.receive_window < full / 2 {
            frame::write_window_update(out, 0, (full - self.receive_window) as u32);
            self.receive_window = full;
        }
        Ok(())
    }

    /// A message has ended. `None` if the stream is not there any more.
    fn end<'b>(&mut self, id: u32, out: &mut Vec<u8>) -> Option<Happened<'b>> {
        let stream = self.streams.get_mut(id)?;
        if let Some(missing) = stream.expected.filter(|missing| *missing != 0) {
            // More content than expected has wrapped it round.
            let is_short = missing <= u64::MAX / 2;
            self.reset(id, ErrorCode::PROTOCOL_ERROR, out);
            let why = if is_short { Malformed::ContentMissing } else { Malformed::LengthMismatch };
            return Some(Happened::Malformed(why));
        }
        stream.receiving = false;
        if !stream.sending {
            self.streams.remove(id, Past::Ended);
        }
        Some(Happened::End)
    }

    // Frames that come in one piece.

    /// Whether nobody has opened that stream yet.
    fn is_idle(&self, stream: u32) -> bool {
        stream > self.last || stream.is_multiple_of(2)
    }

    fn take<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        block: &mut Block,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        match head.kind {
            kind::HEADERS => self.take_headers(head, payload, block, out),
            kind::CONTINUATION => self.take_continuation(head, payload, block, out),
            kind::PRIORITY => self.take_priority(head, payload, out),
            kind::RST_STREAM => self.take_reset(head, payload, now),
            kind::SETTINGS => self.take_settings(head, payload, out).map(|()| None),
            // Nobody may push: no server is told that it may, and no client can.
            kind::PUSH_PROMISE => Err(Malformed::PushUnasked),
            kind::PING => match (head.stream, payload.len()) {
                (0, 8) => {
                    if !head.has(ACK) {
                        frame::write_ping_ack(out, payload);
                    }
                    Ok(None)
                }
                (0, _) => Err(Malformed::FrameSize),
                _ => Err(Malformed::FrameStream),
            },
            kind::GOAWAY => self.take_go_away(head, payload),
            kind::WINDOW_UPDATE => self.take_window_update(head, payload, out),
            // RFC 9113 §5.5: unknown ones are ignored.
            _ => Ok(None),
        }
    }

    fn take_headers<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        block: &mut Block,
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        if head.stream == 0 {
            return Err(Malformed::FrameStream);
        }
        let fragment = without_padding(head, payload)?;
        let fragment = if head.has(frame::PRIORITY) {
            let (priority, fragment) = fragment.split_first_chunk::<5>().ok_or(Malformed::FrameSize)?;
            if depends_on_itself(head.stream, priority) {
                // RFC 7540 §5.3.1. What priorities say is ignored, as RFC 9113 §5.3.2 allows.
                return Err(Malformed::FrameStream);
            }
            fragment
        } else {
            fragment
        };
        let ends = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.take_block(head.stream, ends, fragment, block, out);
        }
        self.assembling = Some(Assembling { stream: head.stream, ends, bytes: fragment.to_vec(), frames: 1 });
        Ok(None)
    }

    fn take_continuation<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        block: &mut Block,
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        let Some(assembling) = &mut self.assembling else { return Err(Malformed::FrameUnexpected) };
        assembling.bytes.extend_from_slice(payload);
        assembling.frames += 1;
        // A block is hardly longer than what it encodes.
        if assembling.bytes.len() > self.own.max_head as usize + LARGEST as usize
            || assembling.frames > MOST_CONTINUATIONS
        {
            return Err(Malformed::BlockTooLong);
        }
        if !head.has(END_HEADERS) {
            return Ok(None);
        }
        let Some(Assembling { stream, ends, bytes, .. }) = self.assembling.take() else { return Ok(None) };
        self.take_block(stream, ends, &bytes, block, out)
    }

    /// A whole block. It is decoded even if nobody wants it: the tables of both ends must stay the same.
    fn take_block<'b>(
        &mut self,
        id: u32,
        ends: bool,
        fragment: &[u8],
        block: &mut Block,
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        self.decoder.decode(fragment, self.own.max_head as usize, block)?;
        if let Some(stream) = self.streams.get_mut(id) {
            if !stream.receiving {
                self.reset(id, ErrorCode::STREAM_CLOSED, out);
                return Ok(Some((id, Happened::Malformed(Malformed::StreamClosed))));
            }
            if !stream.has_head {
                return Ok(Some((id, Happened::Head(Follows::after(ends)))));
            }
            let is_pseudo = block.iter().any(|(name, _)| name.starts_with(b":"));
            if !ends || is_pseudo {
                // RFC 9113 §8.1: a second head that ends nothing.
                let why = if is_pseudo { Malformed::PseudoField } else { Malformed::FrameUnexpected };
                self.reset(id, ErrorCode::PROTOCOL_ERROR, out);
                return Ok(Some((id, Happened::Malformed(why))));
            }
            self.next.push_back((id, Next::End));
            return Ok(Some((id, Happened::Trailers)));
        }
        if self.role == ConnectionSide::Client {
            // Of a request that was given up; none is ever opened by a server.
            return if self.is_idle(id) { Err(Malformed::FrameStream) } else { Ok(None) };
        }
        if id.is_multiple_of(2) {
            return Err(Malformed::FrameStream);
        }
        if id <= self.last {
            return match self.streams.past(id) {
                Some(Past::ResetHere) => Ok(None),
                Some(Past::Ended) => Err(Malformed::StreamClosed),
                None => Err(Malformed::FrameStream),
            };
        }
        self.last = id;
        if self.limit.is_some_and(|limit| id > limit) {
            // After GOAWAY: it knows that nothing is done with it.
            self.streams.remember(id, Past::ResetHere);
            return Ok(None);
        }
        if self.streams.len() >= self.own.max_streams as usize {
            frame::write_reset(out, id, ErrorCode::REFUSED_STREAM);
            self.streams.remember(id, Past::ResetHere);
            return Ok(Some((id, Happened::Refused(Follows::after(ends)))));
        }
        self.streams.open(OpenStream {
            id,
            receiving: !ends,
            sending: true,
            has_head: true,
            has_begun: false,
            expected: None,
            send_window: i64::from(self.peer.stream_window),
            receive_window: i64::from(self.own.stream_window),
            head_only: false,
        });
        Ok(Some((id, Happened::Head(Follows::after(ends)))))
    }

    fn take_priority<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        if head.stream == 0 {
            return Err(Malformed::FrameStream);
        }
        let why = match payload.first_chunk::<5>() {
            Some(priority) if payload.len() == 5 && !depends_on_itself(head.stream, priority) => return Ok(None),
            Some(_) if payload.len() == 5 => Malformed::FrameStream,
            Some(_) | None => Malformed::FrameSize,
        };
        if self.streams.get(head.stream).is_none() {
            // A stream that is not open cannot be reset.
            return Err(why);
        }
        self.reset(head.stream, ErrorCode::of(why), out);
        Ok(Some((head.stream, Happened::Malformed(why))))
    }

    /// Whether the other end may have one more stream reset.
    fn may_reset(&mut self, now: u64) -> bool {
        self.role == ConnectionSide::Client || self.resets.spend(now)
    }

    fn take_reset<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        now: u64,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        let Ok(code) = payload.try_into().map(frame::number) else { return Err(Malformed::FrameSize) };
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(if head.stream == 0 { Malformed::FrameStream } else { Malformed::FrameUnexpected });
        }
        if !self.may_reset(now) {
            return Err(Malformed::ResetFlood);
        }
        if self.streams.get(head.stream).is_none() {
            return Ok(None);
        }
        self.streams.remove(head.stream, Past::Ended);
        Ok(Some((head.stream, Happened::Reset(ErrorCode(code)))))
    }

    fn take_settings(&mut self, head: frame::Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if head.stream != 0 {
            return Err(Malformed::FrameStream);
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() || (head.has(ACK) && !settings.is_empty()) {
            return Err(Malformed::FrameSize);
        }
        if head.has(ACK) {
            return Ok(());
        }
        for [a, b, value @ ..] in settings {
            let before = self.peer.stream_window;
            self.peer.take(u16::from_be_bytes([*a, *b]), frame::number(*value), self.role)?;
            let change = i64::from(self.peer.stream_window) - i64::from(before);
            if change != 0 {
                for stream in self.streams.iter_mut() {
                    stream.send_window += change;
                    if stream.send_window > LARGEST_WINDOW {
                        return Err(Malformed::WindowExceeded);
                    }
                }
            }
            self.encoder.allow(self.peer.header_table_size);
        }
        frame::write_settings_ack(out);
        Ok(())
    }

    fn take_go_away<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        let (Some(last), Some(code)) = (payload.first_chunk::<4>(), payload.get(4..8)) else {
            return Err(Malformed::FrameSize);
        };
        if head.stream != 0 {
            return Err(Malformed::FrameStream);
        }
        let last = frame::number(*last) & 0x7fff_ffff;
        let code = ErrorCode(frame::number(code.try_into().unwrap_or_default()));
        if self.role == ConnectionSide::Client {
            self.limit = Some(self.limit.unwrap_or(last).min(last));
            // Nothing was done with these: whoever asked may ask elsewhere.
            let undone: Vec<u32> = self.streams.ids().filter(|id| *id > last).collect();
            for id in undone {
                self.streams.remove(id, Past::ResetHere);
                self.next.push_back((id, Next::Reset(ErrorCode::REFUSED_STREAM)));
            }
        }
        Ok(Some((0, Happened::GoAway(last, code))))
    }

    fn take_window_update<'b>(
        &mut self,
        head: frame::Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(u32, Happened<'b>)>, Malformed> {
        let Ok(increment) = payload.try_into().map(frame::number) else { return Err(Malformed::FrameSize) };
        let increment = i64::from(increment & 0x7fff_ffff);
        if head.stream == 0 {
            self.send_window += increment;
            return match increment {
                0 => Err(Malformed::WindowIncrement),
                _ if self.send_window > LARGEST_WINDOW => Err(Malformed::WindowExceeded),
                _ => Ok(None),
            };
        }
        let is_idle = self.is_idle(head.stream);
        let Some(stream) = self.streams.get_mut(head.stream) else {
            return if is_idle { Err(Malformed::FrameUnexpected) } else { Ok(None) };
        };
        stream.send_window += increment;
        let why = match increment {
            0 => Malformed::WindowIncrement,
            _ if stream.send_window > LARGEST_WINDOW => Malformed::WindowExceeded,
            _ => return Ok(None),
        };
        self.reset(head.stream, ErrorCode::of(why), out);
        Ok(Some((head.stream, Happened::Malformed(why))))
    }

    // What this end sends.

    /// What may come on a new stream.
    pub(super) fn stream_window(&self) -> u32 {
        self.own.stream_window
    }

    /// Bytes of content that may be sent on a stream now.
    pub(super) fn capacity(&self, id: u32) -> usize {
        let Some(stream) = self.streams.get(id).filter(|stream| stream.sending) else { return 0 };
        usize::try_from(stream.send_window.min(self.send_window)).unwrap_or(0)
    }

    /// Appends HEADERS: a head, or trailers.
    pub(super) fn send_block(
        &mut self,
        id: u32,
        follows: Follows,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let encoder = &mut self.encoder;
        frame::write_block(out, id, follows, self.peer.max_frame_size as usize, |out| {
            encoder.begin(out);
            write(encoder, out);
        });
        if follows == Follows::Nothing {
            self.sent_all(id);
        }
    }

    /// Appends content of at most [`Core::capacity`] bytes, in frames as large as the other end takes.
    pub(super) fn send_data(&mut self, id: u32, data: &[u8], follows: Follows, out: &mut Vec<u8>) {
        debug_assert!(data.len() <= self.capacity(id));
        // Larger frames would hold up other streams.
        let mut pieces = data.chunks(LARGEST as usize).peekable();
        if pieces.peek().is_none() && follows == Follows::Nothing {
            frame::write_with(out, kind::DATA, END_STREAM, id, |_| {});
        }
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { frame::end_stream(follows) } else { 0 };
            frame::write_with(out, kind::DATA, flags, id, |out| out.extend_from_slice(piece));
        }
        self.send_window -= data.len() as i64;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.send_window -= data.len() as i64;
        }
        if follows == Follows::Nothing {
            self.sent_all(id);
        }
    }

    fn sent_all(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.sending = false;
        if !stream.receiving {
            self.streams.remove(id, Past::Ended);
        }
    }

    /// Ends a stream at once, if it is open.
    pub(super) fn reset(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>) {
        if self.streams.get(id).is_some() {
            frame::write_reset(out, id, code);
            self.streams.remove(id, Past::ResetHere);
        }
    }

    /// Announces another limit of streams.
    pub(super) fn limit_streams(&mut self, most: u32, out: &mut Vec<u8>) {
        if self.own.max_streams != most {
            self.own.max_streams = most;
            frame::write_settings(out, &[(frame::setting::MAX_CONCURRENT_STREAMS, most)]);
        }
    }
}

fn without_padding(head: frame::Head, payload: &[u8]) -> Result<&[u8], Malformed> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Malformed::FrameSize)?;
    let length = rest.len().checked_sub(usize::from(*padding)).ok_or(Malformed::FramePadding)?;
    Ok(&rest[..length])
}

fn depends_on_itself(stream: u32, priority: &[u8; 5]) -> bool {
    let [a, b, c, d, _] = *priority;
    frame::number([a, b, c, d]) & 0x7fff_ffff == stream
}
