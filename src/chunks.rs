//! PURE. The framing of a body in chunks: RFC 9112 section 7.1.

/// Where in the chunks a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunks(Stage);

/// The chunks cannot be told apart: the connection is of no further use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadChunk;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
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
    /// So many bytes of data.
    Data(u64),
    /// The CR after them.
    DataCr,
    /// The LF after them.
    DataLf,
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
    Over,
}

const MAX_DIGITS: u8 = 16;
const MAX_EXTENSION: u16 = 1024;
const MAX_TRAILER: u16 = 16 * 1024;

impl Chunks {
    /// Before the first one.
    pub fn new() -> Chunks {
        Chunks(Stage::Size { size: 0, digits: 0 })
    }

    /// Whether the last chunk and what follows it have come.
    pub fn is_over(self) -> bool {
        self.0 == Stage::Over
    }

    /// Takes from `input` up to the end of the next piece of data, and returns that piece and the rest.
    pub fn take<'i>(&mut self, input: &'i [u8]) -> Result<(&'i [u8], &'i [u8]), BadChunk> {
        let mut rest = input;
        loop {
            match (self.0, rest) {
                (Stage::Over, _) | (_, []) => return Ok((&[], rest)),
                (Stage::Data(left), _) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.0 = match left - here as u64 {
                        0 => Stage::DataCr,
                        left => Stage::Data(left),
                    };
                    return Ok(rest.split_at(here));
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

impl Stage {
    /// One byte of the framing. Lines end with CRLF; a bare LF is refused, because readers differ on it.
    fn next(self, byte: u8) -> Result<Stage, BadChunk> {
        Ok(match (self, byte) {
            (Stage::Size { size, digits: digits @ ..MAX_DIGITS }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                Stage::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Stage::Size { size, digits: 1.. }, b'\r') => Stage::SizeEnd(size),
            (Stage::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Stage::Extension { size, seen: 1 },
            (Stage::Extension { size, .. }, b'\r') => Stage::SizeEnd(size),
            (Stage::Extension { size, seen: seen @ ..MAX_EXTENSION }, _) if byte != b'\n' => {
                Stage::Extension { size, seen: seen + 1 }
            }
            (Stage::SizeEnd(0), b'\n') => Stage::Trailer { seen: 0 },
            (Stage::SizeEnd(size), b'\n') => Stage::Data(size),
            (Stage::DataCr, b'\r') => Stage::DataLf,
            (Stage::DataLf, b'\n') => Stage::Size { size: 0, digits: 0 },
            (Stage::Trailer { .. }, b'\r') => Stage::End,
            (Stage::TrailerLine { seen }, b'\n') => Stage::Trailer { seen },
            (Stage::Trailer { seen } | Stage::TrailerLine { seen }, _) if seen < MAX_TRAILER && byte != b'\n' => {
                Stage::TrailerLine { seen: seen + 1 }
            }
            (Stage::End, b'\n') => Stage::Over,
            _ => return Err(BadChunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data, and what is left after the last chunk; nothing is left of chunks that have not ended.
    fn read(bytes: &[u8]) -> Result<(Vec<u8>, Option<&[u8]>), BadChunk> {
        let (mut chunks, mut data, mut rest) = (Chunks::new(), Vec::new(), bytes);
        while !chunks.is_over() && !rest.is_empty() {
            let (piece, after) = chunks.take(rest)?;
            data.extend(piece);
            rest = after;
        }
        Ok((data, chunks.is_over().then_some(rest)))
    }

    #[test]
    fn chunks_end_where_their_framing_says() {
        for (chunked, data) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("00a;x=y\r\n0123456789\r\nB \r\n0123456789a\r\n0\r\nA: b\r\nC: d\r\n\r\n", "01234567890123456789a"),
        ] {
            let bytes = format!("{chunked}GET");
            assert_eq!(read(bytes.as_bytes()), Ok((data.into(), Some(&b"GET"[..]))), "{chunked:?}");
            assert_eq!(read(&chunked.as_bytes()[..chunked.len() - 1]), Ok((data.into(), None)), "{chunked:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for chunked in
            ["\r\n", ";\r\n", "x\r\n", "3\nabc", "3\r\nabcd", "3\r\nabc\n", "11111111111111111\r\n", "0\r\n\n", "1;\n"]
        {
            assert_eq!(read(chunked.as_bytes()), Err(BadChunk), "{chunked:?}");
        }
        let trailer = format!("0\r\n{}", "A: b\r\n".repeat(4000));
        assert_eq!(read(trailer.as_bytes()), Err(BadChunk));
        let extension = format!("1;{}", "x".repeat(2000));
        assert_eq!(read(extension.as_bytes()), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_end_in_the_same_place(chunks in proptest::collection::vec(1..300usize, 0..5), cuts in proptest::collection::vec(0..900usize, 0..6)) {
            let sum = chunks.iter().sum();
            let mut bytes = Vec::new();
            for size in chunks {
                bytes.extend(format!("{size:x}\r\n{}\r\n", "\n".repeat(size)).into_bytes());
            }
            bytes.extend(b"0\r\n\r\nGET");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut chunks, mut data, mut behind) = (Chunks::new(), Vec::<u8>::new(), Vec::<u8>::new());
            for pair in cuts.windows(2) {
                let mut piece = &bytes[pair[0]..pair[1]];
                while !chunks.is_over() && !piece.is_empty() {
                    let (some, after) = chunks.take(piece).unwrap();
                    data.extend(some);
                    piece = after;
                }
                behind.extend(piece);
            }
            prop_assert!(chunks.is_over());
            prop_assert_eq!(data, vec![b'\n'; sum]);
            prop_assert_eq!(behind, b"GET");
        }
    }
}
