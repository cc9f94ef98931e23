//! Frames and messages: RFC 6455 §5 to §8.

use std::fmt;

/// Which end reads: a client's frames are masked, a server's are not (§5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReaderRole {
    /// It reads what a server sends.
    Client,
    /// It reads what a client sends.
    Server,
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// A message of UTF-8, or its beginning.
    Text,
    /// A message of bytes, or its beginning.
    Binary,
    /// A close frame.
    Close,
    /// A ping, which the receiver answers with a pong.
    Ping,
    /// An answer to a ping.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What the bytes of the other side mean, one event after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebSocketEvent<'a> {
    /// A whole message of UTF-8.
    Text(&'a str),
    /// A whole message of bytes.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same content.
    Ping(&'a [u8]),
    /// An answer to a ping.
    Pong(&'a [u8]),
    /// The end: nothing is read after it.
    Close(Closing<'a>),
}

/// What a close frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing<'a> {
    /// None of a frame without one, which 1005 stands for (§7.4.1).
    pub code: Option<u16>,
    /// The reason in words, which may be empty.
    pub reason: &'a str,
}

/// Why bytes are no frames: the connection fails (§7.1.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A reserved bit without an extension that uses it (§5.2).
    ReservedBit,
    /// An opcode that is reserved (§5.2).
    Opcode,
    /// A length that is not written in the fewest bytes, or beyond 63 bits (§5.2).
    Length,
    /// A client's frame without a mask (§5.1).
    Unmasked,
    /// A server's frame with a mask (§5.1).
    Masked,
    /// A control frame in pieces (§5.4).
    ControlInPieces,
    /// A control frame with more than 125 bytes (§5.5).
    ControlTooLong,
    /// A continuation of nothing (§5.4).
    NothingToContinue,
    /// A message within a message (§5.4).
    MessageWithin,
    /// A text that is no UTF-8 (§8.1).
    NotUtf8,
    /// A close frame with one byte (§5.5.1).
    CloseTooShort,
    /// A close code that must not be sent (§7.4).
    CloseCode,
    /// A message larger than the reader's limit.
    TooLarge,
}

impl Violation {
    /// The close code that tells the other end (§7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::NotUtf8 => 1007,
            Violation::TooLarge => 1009,
            Violation::ReservedBit
            | Violation::Opcode
            | Violation::Length
            | Violation::Unmasked
            | Violation::Masked
            | Violation::ControlInPieces
            | Violation::ControlTooLong
            | Violation::NothingToContinue
            | Violation::MessageWithin
            | Violation::CloseTooShort
            | Violation::CloseCode => 1002,
        }
    }

    /// A sentence's middle: "a WebSocket with …".
    pub fn as_str(self) -> &'static str {
        match self {
            Violation::ReservedBit => "a reserved bit (RFC 6455 section 5.2)",
            Violation::Opcode => "a reserved opcode (RFC 6455 section 5.2)",
            Violation::Length => "a length that is not as short as can be (RFC 6455 section 5.2)",
            Violation::Unmasked => "a client's frame without a mask (RFC 6455 section 5.1)",
            Violation::Masked => "a server's frame with a mask (RFC 6455 section 5.1)",
            Violation::ControlInPieces => "a control frame in pieces (RFC 6455 section 5.4)",
            Violation::ControlTooLong => "a control frame with more than 125 bytes (RFC 6455 section 5.5)",
            Violation::NothingToContinue => "a continuation of nothing (RFC 6455 section 5.4)",
            Violation::MessageWithin => "a message within a message (RFC 6455 section 5.4)",
            Violation::NotUtf8 => "a text that is no UTF-8 (RFC 6455 section 8.1)",
            Violation::CloseTooShort => "a close frame with one byte (RFC 6455 section 5.5.1)",
            Violation::CloseCode => "a close code that must not be sent (RFC 6455 section 7.4)",
            Violation::TooLarge => "a message larger than the limit",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Violation {}

/// Whether a close frame may carry that code (§7.4; 1012 to 1014 are registered with IANA).
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The longest payload of a control frame (§5.5).
const CONTROL_BYTES: usize = 125;
/// Opcode and length, eight more bytes of length, mask.
const HEAD_BYTES: usize = 14;

/// Reads frames and puts messages together. Bytes are taken as they come, and no more than a message is kept.
#[derive(Debug)]
pub struct FrameReader {
    role: ReaderRole,
    limit: usize,
    stage: FrameState,
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that have come.
    came: usize,
    /// The message at hand, and what it is; none between messages.
    message: Vec<u8>,
    kind: Option<Opcode>,
    control: Vec<u8>,
    /// What the last event was made of is thrown away before the next.
    spent: Option<Opcode>,
}

#[derive(Clone, Copy, Debug)]
enum FrameState {
    Head,
    Payload { opcode: Opcode, is_last: bool, left: u64, mask: Option<[u8; 4]>, at: usize },
    Over,
}

impl FrameReader {
    /// For that end; messages beyond `limit` bytes are a [`Violation::TooLarge`].
    pub fn new(role: ReaderRole, limit: usize) -> FrameReader {
        FrameReader {
            role,
            limit,
            stage: FrameState::Head,
            head: [0; HEAD_BYTES],
            came: 0,
            message: Vec::new(),
            kind: None,
            control: Vec::new(),
            spent: None,
        }
    }

    /// Whether a close frame, or something that breaks the protocol, has come: nothing more is read.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, FrameState::Over)
    }

    /// Whether a frame or a message has begun and not ended.
    pub fn is_midway(&self) -> bool {
        self.kind.is_some() || self.came > 0 || matches!(self.stage, FrameState::Payload { .. })
    }

    /// Takes the next event from `input` and moves it on; `None` if more must come.
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<Option<WebSocketEvent<'_>>, Violation> {
        match self.spent.take() {
            Some(opcode) if opcode.is_control() => self.control.clear(),
            Some(_) => self.message.clear(),
            None => {}
        }
        let event = self.advance(input).inspect_err(|_| self.stage = FrameState::Over)?;
        let Some(opcode) = event else { return Ok(None) };
        self.spent = Some(opcode);
        let violates = |violation: Violation, stage: &mut FrameState| {
            *stage = FrameState::Over;
            violation
        };
        Ok(Some(match opcode {
            Opcode::Ping => WebSocketEvent::Ping(&self.control),
            Opcode::Pong => WebSocketEvent::Pong(&self.control),
            Opcode::Close => {
                self.stage = FrameState::Over;
                WebSocketEvent::Close(closing(&self.control)?)
            }
            Opcode::Text => match str::from_utf8(&self.message) {
                Ok(text) => WebSocketEvent::Text(text),
                Err(_) => return Err(violates(Violation::NotUtf8, &mut self.stage)),
            },
            Opcode::Binary | Opcode::Continuation => WebSocketEvent::Binary(&self.message),
        }))
    }

    /// What is whole; none if more must come.
    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Opcode>, Violation> {
        loop {
            match &mut self.stage {
                FrameState::Over => {
                    *input = &[];
                    return Ok(None);
                }
                FrameState::Head => {
                    // The first two bytes tell how many there are.
                    let length = if self.came < 2 { 2 } else { head_length(self.head[1]) };
                    let (bytes, rest) = input.split_at((length - self.came).min(input.len()));
                    self.head[self.came..][..bytes.len()].copy_from_slice(bytes);
                    self.came += bytes.len();
                    *input = rest;
                    if self.came < length {
                        return Ok(None);
                    }
                    if self.came == head_length(self.head[1]) {
                        self.came = 0;
                        self.begin()?;
                    }
                }
                FrameState::Payload { opcode, is_last, left, mask, at } => {
                    let whole = usize::try_from(*left).unwrap_or(usize::MAX);
                    let (data, rest) = input.split_at(whole.min(input.len()));
                    *input = rest;
                    let into = if opcode.is_control() { &mut self.control } else { &mut self.message };
                    let start = into.len();
                    into.extend_from_slice(data);
                    if let Some(mask) = mask {
                        apply(*mask, *at, &mut into[start..]);
                    }
                    *at = (*at + data.len()) % 4;
                    *left -= data.len() as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    let (opcode, is_last) = (*opcode, *is_last);
                    self.stage = FrameState::Head;
                    if opcode.is_control() {
                        return Ok(Some(opcode));
                    }
                    if is_last && let Some(kind) = self.kind.take() {
                        return Ok(Some(kind));
                    }
                }
            }
        }
    }

    /// The head of a frame is complete.
    fn begin(&mut self) -> Result<(), Violation> {
        let [first, second, ..] = self.head;
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(Violation::Opcode)?;
        let is_last = first & 0x80 != 0;
        let (length, used) = length(&self.head)?;
        let mask = (second & 0x80 != 0).then(|| [0, 1, 2, 3].map(|place| self.head[used + place]));
        match (self.role, mask) {
            (ReaderRole::Server, None) => return Err(Violation::Unmasked),
            (ReaderRole::Client, Some(_)) => return Err(Violation::Masked),
            (ReaderRole::Server, Some(_)) | (ReaderRole::Client, None) => {}
        }
        if opcode.is_control() {
            if !is_last {
                return Err(Violation::ControlInPieces);
            }
            if length > CONTROL_BYTES as u64 {
                return Err(Violation::ControlTooLong);
            }
        } else {
            match (opcode, self.kind) {
                (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
                (Opcode::Continuation, Some(_)) => {}
                (_, Some(_)) => return Err(Violation::MessageWithin),
                (kind, None) => self.kind = Some(kind),
            }
            if length > (self.limit - self.message.len()) as u64 {
                return Err(Violation::TooLarge);
            }
        }
        self.stage = FrameState::Payload { opcode, is_last, left: length, mask, at: 0 };
        Ok(())
    }
}

/// Length of a frame's head, which its second byte tells.
fn head_length(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

/// Of the payload, and where the head's mask begins.
fn length(head: &[u8; HEAD_BYTES]) -> Result<(u64, usize), Violation> {
    let (length, used, least) = match head[1] & 0x7f {
        126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4, 126),
        127 => {
            let length = u64::from_be_bytes([2, 3, 4, 5, 6, 7, 8, 9].map(|place| head[place]));
            (length, 10, 1 << 16)
        }
        short => (u64::from(short), 2, 0),
    };
    if length < least || length >> 63 != 0 { Err(Violation::Length) } else { Ok((length, used)) }
}

fn closing(payload: &[u8]) -> Result<Closing<'_>, Violation> {
    match payload {
        [] => Ok(Closing { code: None, reason: "" }),
        [_] => Err(Violation::CloseTooShort),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code(code) {
                return Err(Violation::CloseCode);
            }
            let reason = str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Closing { code: Some(code), reason })
        }
    }
}

/// §5.3. `at`: how many bytes of the frame came before, modulo 4.
fn apply(mask: [u8; 4], at: usize, data: &mut [u8]) {
    let mut mask = mask;
    mask.rotate_left(at);
    // Words, which the compiler joins to what the processor has.
    let (words, rest) = data.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Appends a frame that is a whole message, or a control frame; a client's with a mask, which should be random.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.push(0x80 | opcode.bits());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..126 => out.push(masked | short as u8),
        medium @ 126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let start = out.len() + if mask.is_some() { 4 } else { 0 };
    out.extend_from_slice(mask.as_ref().map_or(&[][..], |mask| mask));
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply(mask, 0, &mut out[start..]);
    }
}

/// Appends a close frame; without a code it is empty.
pub fn write_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str, mask: Option<[u8; 4]>) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        let end = (0..=reason.len().min(CONTROL_BYTES - 2)).rev().find(|end| reason.is_char_boundary(*end));
        payload.extend_from_slice(&reason.as_bytes()[..end.unwrap_or(0)]);
    }
    write_frame(out, Opcode::Close, &payload, mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes, in the words of a test.
    fn story(role: ReaderRole, pieces: &[&[u8]]) -> Vec<String> {
        let mut receiver = FrameReader::new(role, 1 << 17);
        let mut story = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            loop {
                match receiver.receive(&mut input) {
                    Ok(None) => break,
                    Ok(Some(WebSocketEvent::Text(text))) => story.push(format!("text {text}")),
                    Ok(Some(WebSocketEvent::Binary(bytes))) => story.push(format!("bytes {}", bytes.len())),
                    Ok(Some(WebSocketEvent::Ping(bytes))) => story.push(format!("ping {}", bytes.escape_ascii())),
                    Ok(Some(WebSocketEvent::Pong(bytes))) => story.push(format!("pong {}", bytes.escape_ascii())),
                    Ok(Some(WebSocketEvent::Close(it))) => story.push(format!("close {:?} {}", it.code, it.reason)),
                    Err(why) => {
                        story.push(format!("{why:?}"));
                        break;
                    }
                }
            }
            assert!(input.is_empty() || receiver.is_over());
        }
        story
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(story(ReaderRole::Server, &[&masked]), ["text Hello"]);
        let in_pieces = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(story(ReaderRole::Client, &[&in_pieces]), ["text Hello"]);
        assert_eq!(story(ReaderRole::Client, &[&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]]), ["ping Hello"]);
        let mut long = vec![0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
        long.extend_from_slice(&[0; 0x1_0000]);
        assert_eq!(story(ReaderRole::Client, &[&long]), ["bytes 65536"]);
    }

    #[test]
    fn control_frames_come_between_the_pieces_of_a_message() {
        let bytes = [0x01, 0x01, b'a', 0x89, 0x01, b'p', 0x80, 0x01, b'b', 0x88, 0x02, 0x03, 0xe9];
        assert_eq!(story(ReaderRole::Client, &[&bytes]), ["ping p", "text ab", "close Some(1001) "]);
        // After a close nothing is read.
        assert_eq!(story(ReaderRole::Client, &[&[0x88, 0x00, 0x81, 0x01, b'a']]), ["close None "]);
    }

    #[test]
    fn what_breaks_the_protocol_has_a_name_and_a_close_code() {
        for (role, bytes, why, code) in [
            (ReaderRole::Client, &[0xc1, 0x00][..], Violation::ReservedBit, 1002),
            (ReaderRole::Client, &[0x83, 0x00], Violation::Opcode, 1002),
            (ReaderRole::Client, &[0x82, 126, 0, 125], Violation::Length, 1002),
            (ReaderRole::Client, &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::Length, 1002),
            (ReaderRole::Client, &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0], Violation::Length, 1002),
            (ReaderRole::Server, &[0x81, 0x00], Violation::Unmasked, 1002),
            (ReaderRole::Client, &[0x81, 0x80, 0, 0, 0, 0], Violation::Masked, 1002),
            (ReaderRole::Client, &[0x09, 0x00], Violation::ControlInPieces, 1002),
            (ReaderRole::Client, &[0x89, 126, 0, 126], Violation::ControlTooLong, 1002),
            (ReaderRole::Client, &[0x80, 0x00], Violation::NothingToContinue, 1002),
            (ReaderRole::Client, &[0x01, 0x00, 0x81, 0x00], Violation::MessageWithin, 1002),
            (ReaderRole::Client, &[0x81, 0x01, 0xff], Violation::NotUtf8, 1007),
            (ReaderRole::Client, &[0x88, 0x01, 0x03], Violation::CloseTooShort, 1002),
            (ReaderRole::Client, &[0x88, 0x02, 0x03, 0xed], Violation::CloseCode, 1002),
            (ReaderRole::Client, &[0x88, 0x03, 0x03, 0xe8, 0xff], Violation::NotUtf8, 1007),
            (ReaderRole::Client, &[0x82, 127, 0, 0, 0, 0, 0, 2, 0, 1], Violation::TooLarge, 1009),
        ] {
            assert_eq!(story(role, &[bytes]), [format!("{why:?}")], "{bytes:?}");
            assert_eq!(why.close_code(), code);
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        write_close(&mut out, Some(1001), &"\u{fc}".repeat(100), None);
        assert_eq!(story(ReaderRole::Client, &[&out]), [format!("close Some(1001) {}", "\u{fc}".repeat(61))]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..400)), 1..6),
            mask in proptest::option::of(any::<[u8; 4]>()),
            piece in 1..50usize,
        ) {
            let role = if mask.is_some() { ReaderRole::Server } else { ReaderRole::Client };
            let mut out = Vec::new();
            let mut expected = Vec::new();
            for (is_control, payload) in &messages {
                let payload = if *is_control { &payload[..payload.len().min(CONTROL_BYTES)] } else { payload };
                expected.push(if *is_control {
                    format!("ping {}", payload.escape_ascii())
                } else {
                    format!("bytes {}", payload.len())
                });
                write_frame(&mut out, if *is_control { Opcode::Ping } else { Opcode::Binary }, payload, mask);
            }
            let pieces: Vec<&[u8]> = out.chunks(piece).collect();
            prop_assert_eq!(story(role, &pieces), expected);
        }
    }
}
