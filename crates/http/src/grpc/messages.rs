//! Messages with their length before them, in whatever pieces they come.

use std::fmt;

/// Takes messages out of the content of a stream.
#[derive(Clone, Debug)]
pub struct MessageReader {
    limit: u32,
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that have come.
    filled: usize,
    /// What has come of a message that came in pieces.
    content: Vec<u8>,
}

/// A flag and the length.
const PREFIX: usize = 5;

/// A message as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IncomingMessage<'m> {
    /// By what the `grpc-encoding` of its head says.
    pub is_compressed: bool,
    /// The message without its prefix of five bytes.
    pub content: &'m [u8],
}

/// Content that is no message, or one that is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadMessage {
    /// Its first byte is neither 0 nor 1.
    Flag(u8),
    /// The message is longer than the limit.
    TooLarge {
        /// The length that its prefix announces.
        length: u32,
        /// The limit that the reader was made with.
        limit: u32,
    },
}

/// The sentence that its sender reads.
impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadMessage::Flag(flag) => write!(f, "the message begins with {flag:#04x}: expected 0 or 1"),
            BadMessage::TooLarge { length, limit } => {
                write!(f, "the message has {length} bytes: at most {limit} are read")
            }
        }
    }
}

impl MessageReader {
    /// Reads messages of at most `limit` bytes.
    pub fn new(limit: u32) -> MessageReader {
        MessageReader { limit, prefix: [0; PREFIX], filled: 0, content: Vec::new() }
    }

    /// Takes the next message from `input` and moves it on. `None`: more must come, and all of `input` was taken.
    /// After an error nothing else is to be read.
    pub fn next<'m, 'b: 'm>(&'m mut self, input: &mut &'b [u8]) -> Result<Option<IncomingMessage<'m>>, BadMessage> {
        if self.is_whole() {
            self.filled = 0;
            // A message that was large does not hold its memory for the rest of the stream.
            self.content = Vec::new();
        }
        let missing = (PREFIX - self.filled).min(input.len());
        self.prefix[self.filled..][..missing].copy_from_slice(take(input, missing));
        self.filled += missing;
        if self.filled < PREFIX {
            return Ok(None);
        }
        let is_compressed = match self.prefix[0] {
            0 => false,
            1 => true,
            flag => return Err(BadMessage::Flag(flag)),
        };
        let length = self.length();
        if length > self.limit {
            return Err(BadMessage::TooLarge { length, limit: self.limit });
        }
        let left = length as usize - self.content.len();
        if self.content.is_empty() && input.len() >= left {
            self.filled = 0;
            return Ok(Some(IncomingMessage { is_compressed, content: take(input, left) }));
        }
        self.content.extend_from_slice(take(input, left.min(input.len())));
        Ok(self.is_whole().then_some(IncomingMessage { is_compressed, content: &self.content }))
    }

    /// Whether content may end here: no message has begun.
    pub fn is_between_messages(&self) -> bool {
        self.filled == 0 || self.is_whole()
    }

    fn length(&self) -> u32 {
        let [_, a, b, c, d] = self.prefix;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether the message in `content` has been taken.
    fn is_whole(&self) -> bool {
        self.filled == PREFIX && !self.content.is_empty() && self.content.len() == self.length() as usize
    }
}

fn take<'b>(input: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

/// Appends a message that is not compressed: its prefix, and the content that `write` appends.
pub fn write_message(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    write(out);
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    out[start + 1..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn read(reader: &mut MessageReader, mut piece: &[u8]) -> Result<Vec<(bool, Vec<u8>)>, BadMessage> {
        let mut messages = Vec::new();
        while let Some(message) = reader.next(&mut piece)? {
            messages.push((message.is_compressed, message.content.to_vec()));
        }
        assert!(piece.is_empty());
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_whatever_the_pieces(
            contents in vec(vec(any::<u8>(), 0..60), 0..8),
            sizes in vec(1..40usize, 1..10),
        ) {
            let mut bytes = Vec::new();
            for content in &contents {
                write_message(&mut bytes, |out| out.extend_from_slice(content));
            }
            let mut reader = MessageReader::new(60);
            let (mut found, mut rest) = (Vec::new(), &bytes[..]);
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                found.extend(read(&mut reader, piece).unwrap());
                rest = left;
            }
            prop_assert!(reader.is_between_messages());
            let expected: Vec<_> = contents.into_iter().map(|content| (false, content)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_read_without_harm(pieces in vec(vec(any::<u8>(), 0..30), 0..10), limit in 0..200u32) {
            let mut reader = MessageReader::new(limit);
            for piece in &pieces {
                match read(&mut reader, piece) {
                    Ok(messages) => prop_assert!(messages.iter().all(|(_, it)| it.len() <= limit as usize)),
                    Err(_) => break,
                }
                prop_assert!(reader.content.len() <= limit as usize);
            }
        }
    }

    #[test]
    fn what_is_no_message_or_too_large_is_refused_before_it_is_kept() {
        let mut reader = MessageReader::new(4);
        assert_eq!(read(&mut reader, &[0, 0, 0, 0, 5]), Err(BadMessage::TooLarge { length: 5, limit: 4 }));
        assert_eq!(read(&mut MessageReader::new(4), &[2, 0, 0, 0, 0]), Err(BadMessage::Flag(2)));
        let mut reader = MessageReader::new(4);
        assert_eq!(read(&mut reader, &[1, 0, 0, 0, 2, 7, 8]), Ok(vec![(true, vec![7, 8])]));
        assert!(reader.is_between_messages());
        assert_eq!(read(&mut reader, &[0, 0, 0, 0, 2, 7]), Ok(vec![]));
        assert!(!reader.is_between_messages(), "half a message");
    }
}
