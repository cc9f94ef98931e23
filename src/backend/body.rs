//! PURE. A request's body, read to its end and thrown away.

use crate::backend::request::Body;

/// How far the body of a request has been discarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discard(Stage);

/// Each stage says what it waits for; the chunked ones follow the grammar of RFC 9112 §7.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Done,
    /// So many bytes of a body of known length.
    Length(u64),
    /// A digit of a chunk's size, or what ends it.
    Size {
        size: u64,
        digits: u8,
    },
    /// The rest of an extension after a chunk's size, of which so many bytes were seen.
    Extension {
        size: u64,
        seen: u16,
    },
    /// The LF after a chunk's size.
    SizeEnd(u64),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The CR after a chunk.
    ChunkCr,
    /// The LF after a chunk.
    ChunkLf,
    /// The start of a line of the trailer section, of which so many bytes were seen.
    Trailer {
        seen: u16,
    },
    /// The rest of such a line.
    TrailerLine {
        seen: u16,
    },
    /// The LF after the trailer section.
    End,
}

/// The chunks cannot be told apart: the connection is of no further use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadChunk;

const FIRST_DIGIT: Stage = Stage::Size { size: 0, digits: 0 };
const MAX_DIGITS: u8 = 16;
const MAX_EXTENSION_BYTES: u16 = 1024;
const MAX_TRAILER_BYTES: u16 = 16 * 1024;

impl Discard {
    /// Nothing has been read yet.
    pub fn new(body: Body) -> Discard {
        Discard(match body {
            Body::None => Stage::Done,
            Body::Length(length) => Stage::Length(length),
            Body::Chunked => FIRST_DIGIT,
        })
    }

    /// Whether the body has ended.
    pub fn is_done(self) -> bool {
        self.0 == Stage::Done
    }

    /// Takes from `input` what belongs to the body and returns the rest.
    pub fn take<'b>(&mut self, mut input: &'b [u8]) -> Result<&'b [u8], BadChunk> {
        while let (false, [byte, rest @ ..]) = (self.is_done(), input) {
            self.0 = match self.0 {
                Stage::Length(left) => match skip(&mut input, left) {
                    0 => Stage::Done,
                    left => Stage::Length(left),
                },
                Stage::Chunk(left) => match skip(&mut input, left) {
                    0 => Stage::ChunkCr,
                    left => Stage::Chunk(left),
                },
                stage => {
                    input = rest;
                    stage.next(*byte)?
                }
            };
        }
        Ok(input)
    }
}

fn skip(input: &mut &[u8], left: u64) -> u64 {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    *input = &input[here..];
    left - here as u64
}

impl Stage {
    /// One byte of the framing around chunks. Lines end with CRLF; a bare LF is refused, because readers differ on it.
    fn next(self, byte: u8) -> Result<Stage, BadChunk> {
        Ok(match (self, byte) {
            (Stage::Size { size, digits: digits @ ..MAX_DIGITS }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                Stage::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Stage::Size { size, digits: 1.. }, b'\r') => Stage::SizeEnd(size),
            (Stage::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Stage::Extension { size, seen: 1 },
            (Stage::Extension { size, .. }, b'\r') => Stage::SizeEnd(size),
            (Stage::Extension { size, seen: seen @ ..MAX_EXTENSION_BYTES }, _) if byte != b'\n' => {
                Stage::Extension { size, seen: seen + 1 }
            }
            (Stage::SizeEnd(0), b'\n') => Stage::Trailer { seen: 0 },
            (Stage::SizeEnd(size), b'\n') => Stage::Chunk(size),
            (Stage::ChunkCr, b'\r') => Stage::ChunkLf,
            (Stage::ChunkLf, b'\n') => FIRST_DIGIT,
            (Stage::Trailer { .. }, b'\r') => Stage::End,
            (Stage::TrailerLine { seen }, b'\n') => Stage::Trailer { seen },
            (Stage::Trailer { seen } | Stage::TrailerLine { seen }, _) if seen < MAX_TRAILER_BYTES && byte != b'\n' => {
                Stage::TrailerLine { seen: seen + 1 }
            }
            (Stage::End, b'\n') => Stage::Done,
            _ => return Err(BadChunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is left after the body, or that it is bad; `None` while it has not ended.
    fn discard(body: Body, bytes: &[u8]) -> Result<Option<&[u8]>, BadChunk> {
        let mut discard = Discard::new(body);
        let rest = discard.take(bytes)?;
        Ok(discard.is_done().then_some(rest))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        assert_eq!(discard(Body::None, b"GET"), Ok(Some(&b"GET"[..])));
        assert_eq!(discard(Body::Length(3), b"abcGET"), Ok(Some(&b"GET"[..])));
        assert_eq!(discard(Body::Length(3), b"ab"), Ok(None));
        for chunked in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "00a;x=y\r\n0123456789\r\nB \r\n0123456789a\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        ] {
            let bytes = format!("{chunked}GET");
            assert_eq!(discard(Body::Chunked, bytes.as_bytes()), Ok(Some(&b"GET"[..])), "{chunked:?}");
            assert_eq!(discard(Body::Chunked, &chunked.as_bytes()[..chunked.len() - 1]), Ok(None), "{chunked:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for chunked in
            ["\r\n", ";\r\n", "x\r\n", "3\nabc", "3\r\nabcd", "3\r\nabc\n", "11111111111111111\r\n", "0\r\n\n", "1;\n"]
        {
            assert_eq!(discard(Body::Chunked, chunked.as_bytes()), Err(BadChunk), "{chunked:?}");
        }
        let trailer = format!("0\r\n{}", "A: b\r\n".repeat(4000));
        assert_eq!(discard(Body::Chunked, trailer.as_bytes()), Err(BadChunk));
        let extension = format!("1;{}", "x".repeat(2000));
        assert_eq!(discard(Body::Chunked, extension.as_bytes()), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_end_in_the_same_place(chunks in proptest::collection::vec(1..300usize, 0..5), cuts in proptest::collection::vec(0..900usize, 0..6)) {
            let mut bytes = Vec::new();
            for size in chunks {
                bytes.extend(format!("{size:x}\r\n{}\r\n", "\n".repeat(size)).into_bytes());
            }
            bytes.extend(b"0\r\n\r\nGET");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut discard = Discard::new(Body::Chunked);
            let mut rest: Vec<u8> = Vec::new();
            for pair in cuts.windows(2) {
                rest.extend(discard.take(&bytes[pair[0]..pair[1]]).unwrap());
            }
            prop_assert!(discard.is_done());
            prop_assert_eq!(rest, b"GET");
        }
    }
}
