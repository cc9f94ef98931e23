//! The chunked framing: RFC 9112 §7.1. One reading for all: lines end with CRLF, because readers differ on anything else.

use crate::Malformed;
use crate::token::is_token_byte;

/// Where in the chunks a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunks(ChunkState);

/// A piece of a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkPart<'i> {
    /// Content; a chunk's data may come in several parts.
    Data(&'i [u8]),
    /// Of its trailer section: lines as they came, with their ends.
    Trailers(&'i [u8]),
    /// Neither: the input has ended, or the body has.
    Nothing,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkState {
    /// A digit of a chunk's size, or what ends it.
    Size {
        size: u64,
        digits: u8,
    },
    /// After white space behind a size: an extension, or the end of the line.
    SizeSpace {
        size: u64,
        seen: u16,
    },
    /// The rest of an extension, of which that many bytes were seen.
    Extension {
        size: u64,
        seen: u16,
    },
    /// The LF after a chunk's size.
    SizeEnd(u64),
    /// Within a chunk: that many bytes of data are still to come.
    Data(u64),
    /// The CR after them.
    DataCr,
    /// The LF after them.
    DataLf,
    /// The start of a line of the trailer section, of which that many bytes were seen.
    Trailer {
        seen: u16,
    },
    /// The rest of a trailer's name.
    TrailerName {
        seen: u16,
    },
    /// The rest of its value.
    TrailerValue {
        seen: u16,
    },
    /// The LF after it.
    TrailerLf {
        seen: u16,
    },
    /// The LF after the trailer section.
    End,
    Over,
}

const MAX_DIGITS: u8 = 16;
const MAX_EXTENSION: u16 = 1024;
const MAX_TRAILERS: u16 = 16 * 1024;

impl Chunks {
    /// The state before the first chunk.
    pub fn new() -> Chunks {
        Chunks(ChunkState::Size { size: 0, digits: 0 })
    }

    /// Whether the last chunk and what follows it have come.
    pub fn is_over(self) -> bool {
        self.0 == ChunkState::Over
    }

    /// Takes from `input` up to the end of the next piece, and returns that piece and the rest.
    pub fn part<'i>(&mut self, input: &'i [u8]) -> Result<(ChunkPart<'i>, &'i [u8]), Malformed> {
        let mut rest = input;
        loop {
            match (self.0, rest) {
                (ChunkState::Over, _) | (_, []) => return Ok((ChunkPart::Nothing, rest)),
                (ChunkState::Data(left), _) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.0 = match left - here as u64 {
                        0 => ChunkState::DataCr,
                        left => ChunkState::Data(left),
                    };
                    let (data, rest) = rest.split_at(here);
                    return Ok((ChunkPart::Data(data), rest));
                }
                (stage, [byte, after @ ..]) if stage.is_in_trailers(*byte) => {
                    let start = rest;
                    self.0 = stage.next(*byte)?;
                    rest = after;
                    while let [byte, after @ ..] = rest
                        && self.0.is_in_trailers(*byte)
                    {
                        self.0 = self.0.next(*byte)?;
                        rest = after;
                    }
                    return Ok((ChunkPart::Trailers(&start[..start.len() - rest.len()]), rest));
                }
                (stage, [byte, after @ ..]) => {
                    self.0 = stage.next(*byte)?;
                    rest = after;
                }
            }
        }
    }
}

impl Default for Chunks {
    fn default() -> Chunks {
        Chunks::new()
    }
}

impl ChunkState {
    fn is_in_trailers(self, next: u8) -> bool {
        match self {
            ChunkState::Trailer { .. } => next != b'\r',
            ChunkState::TrailerName { .. } | ChunkState::TrailerValue { .. } | ChunkState::TrailerLf { .. } => true,
            _ => false,
        }
    }

    /// One byte of the framing.
    #[expect(clippy::too_many_lines, reason = "the states of the framing, a line for each step")]
    fn next(self, byte: u8) -> Result<ChunkState, Malformed> {
        Ok(match (self, byte) {
            (ChunkState::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(Malformed::ChunkSize);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                ChunkState::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (ChunkState::Size { digits: 0, .. }, _) => return Err(Malformed::ChunkSize),
            (ChunkState::Size { size, .. }, b'\r') => ChunkState::SizeEnd(size),
            (ChunkState::Size { size, .. }, b';') => ChunkState::Extension { size, seen: 1 },
            (ChunkState::Size { size, .. }, b' ' | b'\t') => ChunkState::SizeSpace { size, seen: 1 },
            (ChunkState::SizeSpace { size, .. }, b'\r') => ChunkState::SizeEnd(size),
            (ChunkState::SizeSpace { size, seen }, b';') => ChunkState::Extension { size, seen },
            (ChunkState::SizeSpace { size, seen: seen @ ..MAX_EXTENSION }, b' ' | b'\t') => {
                ChunkState::SizeSpace { size, seen: seen + 1 }
            }
            (ChunkState::Extension { size, .. }, b'\r') => ChunkState::SizeEnd(size),
            (ChunkState::Size { .. } | ChunkState::SizeSpace { .. } | ChunkState::Extension { .. }, b'\n') => {
                return Err(Malformed::BareLineFeed);
            }
            (ChunkState::Size { .. } | ChunkState::SizeSpace { .. }, _) => return Err(Malformed::ChunkSizeJunk),
            (ChunkState::Extension { size, seen: seen @ ..MAX_EXTENSION }, _) if is_text(byte) => {
                ChunkState::Extension { size, seen: seen + 1 }
            }
            (ChunkState::Extension { .. }, _) => return Err(Malformed::ChunkExtension),
            (ChunkState::SizeEnd(0), b'\n') => ChunkState::Trailer { seen: 0 },
            (ChunkState::SizeEnd(size), b'\n') => ChunkState::Data(size),
            (ChunkState::SizeEnd(_), _) => return Err(Malformed::LineEnd),
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataCr, b'\n') => return Err(Malformed::BareLineFeed),
            (ChunkState::DataLf, b'\n') => ChunkState::Size { size: 0, digits: 0 },
            (ChunkState::DataCr | ChunkState::DataLf, _) => return Err(Malformed::ChunkEnd),
            (ChunkState::Trailer { .. }, b'\r') => ChunkState::End,
            (ChunkState::Trailer { .. } | ChunkState::TrailerName { .. } | ChunkState::TrailerValue { .. }, b'\n') => {
                return Err(Malformed::BareLineFeed);
            }
            (ChunkState::TrailerLf { seen }, b'\n') => ChunkState::Trailer { seen },
            (ChunkState::TrailerLf { .. }, _) => return Err(Malformed::LineEnd),
            (ChunkState::TrailerValue { seen }, b'\r') => ChunkState::TrailerLf { seen },
            (
                ChunkState::Trailer { seen } | ChunkState::TrailerName { seen } | ChunkState::TrailerValue { seen },
                _,
            ) if seen == MAX_TRAILERS => {
                let _ = seen;
                return Err(Malformed::TrailersTooLong);
            }
            (ChunkState::TrailerName { seen }, b':') => ChunkState::TrailerValue { seen: seen + 1 },
            (ChunkState::Trailer { seen } | ChunkState::TrailerName { seen }, _) if is_token_byte(byte) => {
                ChunkState::TrailerName { seen: seen + 1 }
            }
            (ChunkState::TrailerValue { seen }, _) if is_text(byte) => ChunkState::TrailerValue { seen: seen + 1 },
            (
                ChunkState::Trailer { .. } | ChunkState::TrailerName { .. } | ChunkState::TrailerValue { .. },
                0..0x20 | 0x7f,
            ) => {
                return Err(Malformed::TrailerControl);
            }
            (ChunkState::Trailer { .. } | ChunkState::TrailerName { .. } | ChunkState::TrailerValue { .. }, _) => {
                return Err(Malformed::Trailer);
            }
            (ChunkState::End, b'\n') => ChunkState::Over,
            (ChunkState::End, _) => return Err(Malformed::LineEnd),
            // Not reached: `part` takes data and ends by itself.
            (ChunkState::Data(_) | ChunkState::Over, _) => self,
        })
    }
}

/// A character of a field's value: RFC 9110 §5.5.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyDecoder, Framing};
    use proptest::prelude::*;

    /// The data, and what is left after the last chunk; nothing is left of chunks that have not ended.
    fn read(bytes: &[u8]) -> Result<(Vec<u8>, Option<&[u8]>), Malformed> {
        let (mut chunks, mut data, mut rest) = (BodyDecoder::new(Framing::Chunked), Vec::new(), bytes);
        while !chunks.is_done() && !rest.is_empty() {
            let (piece, after) = chunks.take(rest)?;
            data.extend(piece);
            rest = after;
        }
        Ok((data, chunks.is_done().then_some(rest)))
    }

    #[test]
    fn chunks_end_where_their_framing_says() {
        for (chunked, data) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("00a;x=y\r\n0123456789\r\nB \r\n0123456789a\r\n0\r\nA: b\r\nC: d\r\n\r\n", "01234567890123456789a"),
            ("1 ;x\r\na\r\n0;\"q\"\r\n\r\n", "a"),
        ] {
            let bytes = format!("{chunked}GET");
            assert_eq!(read(bytes.as_bytes()), Ok((data.into(), Some(&b"GET"[..]))), "{chunked:?}");
            assert_eq!(read(&chunked.as_bytes()[..chunked.len() - 1]), Ok((data.into(), None)), "{chunked:?}");
        }
    }

    #[test]
    fn bad_chunks_have_a_named_reason() {
        use Malformed::*;
        for (chunked, why) in [
            ("\r\n", ChunkSize),
            (";\r\n", ChunkSize),
            ("x\r\n", ChunkSize),
            ("+3\r\n", ChunkSize),
            ("0x3\r\n", ChunkSizeJunk),
            ("11111111111111111\r\n", ChunkSize),
            ("2 erf\r\n", ChunkSizeJunk),
            ("2\0\r\n", ChunkSizeJunk),
            ("3\nabc", BareLineFeed),
            ("3 \nabc", BareLineFeed),
            ("1;\n", BareLineFeed),
            ("1;\0\r\n", ChunkExtension),
            ("3\rabc", LineEnd),
            ("3\r\nabcd", ChunkEnd),
            ("3\r\nabc\n", BareLineFeed),
            ("3\r\nabc\rx", ChunkEnd),
            ("0\r\n\n", BareLineFeed),
            ("0\r\n\rx", LineEnd),
            ("0\r\nX\n\r\n\r\n", BareLineFeed),
            ("0\r\nX: 1\n\r\n", BareLineFeed),
            ("0\r\nX: 1\rY: 2\r\n\r\n", LineEnd),
            ("0\r\nX: \x001\r\n\r\n", TrailerControl),
            ("0\r\n\0\r\n\r\n", TrailerControl),
            ("0\r\nX\r\n\r\n", TrailerControl),
            ("0\r\nX : 1\r\n\r\n", Trailer),
            ("0\r\n: 1\r\n\r\n", Trailer),
            ("0\r\n folded\r\n\r\n", Trailer),
        ] {
            assert_eq!(read(chunked.as_bytes()), Err(why), "{chunked:?}");
        }
        let trailer = format!("0\r\n{}", "A: b\r\n".repeat(6000));
        assert_eq!(read(trailer.as_bytes()), Err(TrailersTooLong));
        let extension = format!("1;{}", "x".repeat(2000));
        assert_eq!(read(extension.as_bytes()), Err(ChunkExtension));
    }

    #[test]
    fn trailers_come_as_they_were_written() {
        let (mut chunks, mut rest, mut trailers) =
            (Chunks::new(), &b"1\r\na\r\n0\r\nA: b\r\nC:d\r\n\r\nGET"[..], vec![]);
        while !chunks.is_over() {
            let (part, after) = chunks.part(rest).unwrap();
            if let ChunkPart::Trailers(lines) = part {
                trailers.extend_from_slice(lines);
            }
            rest = after;
        }
        assert_eq!((trailers, rest), (b"A: b\r\nC:d\r\n".to_vec(), &b"GET"[..]));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_end_in_the_same_place(
            chunks in proptest::collection::vec(1..300usize, 0..5),
            cuts in proptest::collection::vec(0..900usize, 0..6),
        ) {
            let sum = chunks.iter().sum();
            let mut bytes = Vec::new();
            for size in chunks {
                crate::encode::chunk(&mut bytes, "\n".repeat(size).as_bytes());
            }
            crate::encode::last_chunk(&mut bytes);
            bytes.extend(b"GET");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut chunks, mut data, mut behind) =
                (BodyDecoder::new(Framing::Chunked), Vec::<u8>::new(), Vec::<u8>::new());
            for pair in cuts.windows(2) {
                let mut piece = &bytes[pair[0]..pair[1]];
                while !chunks.is_done() && !piece.is_empty() {
                    let (some, after) = chunks.take(piece).unwrap();
                    data.extend(some);
                    piece = after;
                }
                behind.extend(piece);
            }
            prop_assert!(chunks.is_done());
            prop_assert_eq!(data, vec![b'\n'; sum]);
            prop_assert_eq!(behind, b"GET");
        }
    }
}
