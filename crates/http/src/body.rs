//! A body, read to where its framing says that it ends.

use crate::{ChunkPart, Chunks, Framing, Malformed};

/// A body, as far as it has not come yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyDecoder {
    /// The body has ended; what comes now belongs to the next message.
    Done,
    /// That many bytes are still to come.
    Length(u64),
    /// Chunks, up to there.
    Chunks(Chunks),
    /// All that comes until the connection ends.
    UntilClose,
}

impl BodyDecoder {
    /// Nothing has been read yet.
    pub fn new(framing: Framing) -> BodyDecoder {
        match framing {
            Framing::None | Framing::Length(0) => BodyDecoder::Done,
            Framing::Length(length) => BodyDecoder::Length(length),
            Framing::Chunked => BodyDecoder::Chunks(Chunks::new()),
            // HTTP/2 frames its bodies itself: there is nothing left to take apart.
            Framing::UntilClose | Framing::Stream => BodyDecoder::UntilClose,
        }
    }

    /// Whether it has ended.
    pub fn is_done(self) -> bool {
        self == BodyDecoder::Done
    }

    /// The connection has ended: whether that ends the body too, or cuts it off.
    pub fn ends_with_the_connection(self) -> bool {
        matches!(self, BodyDecoder::Done | BodyDecoder::UntilClose)
    }

    /// Takes from `input` up to the end of the next piece of content, and returns that piece and the rest. The piece is empty
    /// when the input or the body has ended; trailers are skipped.
    pub fn take<'i>(&mut self, input: &'i [u8]) -> Result<(&'i [u8], &'i [u8]), Malformed> {
        let mut rest = input;
        loop {
            let part;
            (part, rest) = self.part(rest)?;
            match part {
                ChunkPart::Data(data) => return Ok((data, rest)),
                ChunkPart::Nothing => return Ok((&[], rest)),
                ChunkPart::Trailers(_) => {}
            }
        }
    }

    /// Like [`BodyDecoder::take`], with the trailers.
    pub fn part<'i>(&mut self, input: &'i [u8]) -> Result<(ChunkPart<'i>, &'i [u8]), Malformed> {
        match self {
            _ if input.is_empty() => Ok((ChunkPart::Nothing, input)),
            BodyDecoder::Done => Ok((ChunkPart::Nothing, input)),
            BodyDecoder::UntilClose => Ok((ChunkPart::Data(input), &[])),
            BodyDecoder::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= here as u64;
                if *left == 0 {
                    *self = BodyDecoder::Done;
                }
                let (data, rest) = input.split_at(here);
                Ok((ChunkPart::Data(data), rest))
            }
            BodyDecoder::Chunks(chunks) => {
                let (part, rest) = chunks.part(input)?;
                if chunks.is_over() {
                    *self = BodyDecoder::Done;
                }
                Ok((part, rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, &[u8], BodyDecoder), Malformed> {
        let (mut body, mut content, mut rest) = (BodyDecoder::new(framing), Vec::new(), bytes);
        while !rest.is_empty() && !body.is_done() {
            let (piece, after) = body.take(rest)?;
            content.extend_from_slice(piece);
            rest = after;
        }
        Ok((content, rest, body))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (framing, whole, content) in [
            (Framing::None, "", ""),
            (Framing::Length(0), "", ""),
            (Framing::Length(3), "abc", "abc"),
            (Framing::Chunked, "3\r\nabc\r\n1\r\nd\r\n0\r\nT: t\r\n\r\n", "abcd"),
        ] {
            let bytes = format!("{whole}GET");
            assert_eq!(
                read(framing, bytes.as_bytes()),
                Ok((content.into(), &b"GET"[..], BodyDecoder::Done)),
                "{whole:?}"
            );
            let Some(cut) = whole.len().checked_sub(1) else { continue };
            let (_, rest, body) = read(framing, &whole.as_bytes()[..cut]).unwrap();
            assert!(rest.is_empty() && !body.is_done() && !body.ends_with_the_connection(), "{whole:?}");
        }
        assert_eq!(read(Framing::UntilClose, b"ab"), Ok((b"ab".to_vec(), &b""[..], BodyDecoder::UntilClose)));
        assert_eq!(read(Framing::Chunked, b"x"), Err(Malformed::ChunkSize));
    }
}
