//! Frames of RFC 9113 §4 and §6, as far as they are alike for everyone: their heads, and those that are written.

use crate::h2::code::ErrorCode;
use crate::h2::follows::Follows;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const HEAD: usize = 9;
/// RFC 9113 §4.2: what every end must take, and what this one takes at most.
pub(super) const LARGEST: u32 = 16_384;
pub(super) const LARGEST_WINDOW: i64 = (1 << 31) - 1;
pub(super) const USUAL_WINDOW: u32 = 65_535;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(super) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The nine bytes before each payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Option<Head> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        Some(Head {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // The first bit is reserved and ignored.
            stream: number(stream) & 0x7fff_ffff,
        })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags, d, e, f, g]);
    }
}

pub(super) fn number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes)
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    Head { length: payload.len() as u32, kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    Head { length: 6 * settings.len() as u32, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    frame(out, kind::SETTINGS, ACK, 0, &[]);
}

pub(super) fn write_ping_ack(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, kind::PING, ACK, 0, payload);
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    frame(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    frame(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

pub(super) fn write_go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&code.0.to_be_bytes());
    frame(out, kind::GOAWAY, 0, 0, &payload);
}

/// Appends a frame whose payload `write` appends.
pub(super) fn write_with(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    stream: u32,
    write: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let start = out.len();
    Head { length: 0, kind, flags, stream }.write(out);
    write(out);
    let length = out.len() - start - HEAD;
    set_length(&mut out[start..], length);
    length
}

fn set_length(frame: &mut [u8], length: usize) {
    frame[..3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
}

/// The flag that says it.
pub(super) fn end_stream(follows: Follows) -> u8 {
    match follows {
        Follows::Nothing => END_STREAM,
        Follows::More => 0,
    }
}

/// Appends HEADERS, and CONTINUATION where the other end takes no frame as long as the block.
pub(super) fn write_block(
    out: &mut Vec<u8>,
    stream: u32,
    follows: Follows,
    largest: usize,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let flags = end_stream(follows);
    let start = out.len();
    let length = write_with(out, kind::HEADERS, flags | END_HEADERS, stream, write);
    if length <= largest {
        return;
    }
    let block = out.split_off(start + HEAD);
    let mut pieces = block.chunks(largest).peekable();
    out.truncate(start);
    let (mut kind, mut flags) = (kind::HEADERS, flags);
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        frame(out, kind, flags | last, stream, piece);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
}
