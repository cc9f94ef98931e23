//! PURE. The framing of a body in chunks: RFC 9112 section 7.1.

/// Where in the chunks a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunks(Stage);

/// The chunks cannot be told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadChunk;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Size { size: u64, digits: u8 },
    Extension { size: u64, seen: u16 },
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailer { seen: u16 },
    TrailerLine { seen: u16 },
    End,
    Over,
}

const MAX_DIGITS: u8 = 16;
const MAX_EXTENSION: u16 = 4096;
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
    /// One byte of the framing. Lines end with CRLF: readers differ on a bare LF.
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
