//! PURE. A request's body, read to its end and thrown away.

use crate::backend::request::Body;
use crate::chunks::{BadChunk, Chunks};

/// How far the body of a request has been discarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discard {
    /// To its end.
    Done,
    /// All but so many bytes.
    Length(u64),
    /// Up to there.
    Chunks(Chunks),
}

impl Discard {
    /// Nothing has been read yet.
    pub fn new(body: Body) -> Discard {
        match body {
            Body::None => Discard::Done,
            Body::Length(length) => Discard::Length(length),
            Body::Chunked => Discard::Chunks(Chunks::new()),
        }
    }

    /// Whether the body has ended.
    pub fn is_done(self) -> bool {
        self == Discard::Done
    }

    /// Takes from `input` what belongs to the body and returns the rest.
    pub fn take<'b>(&mut self, mut input: &'b [u8]) -> Result<&'b [u8], BadChunk> {
        while !self.is_done() && !input.is_empty() {
            *self = match *self {
                Discard::Done => Discard::Done,
                Discard::Length(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    input = &input[here..];
                    match left - here as u64 {
                        0 => Discard::Done,
                        left => Discard::Length(left),
                    }
                }
                Discard::Chunks(mut chunks) => {
                    (_, input) = chunks.take(input)?;
                    if chunks.is_over() { Discard::Done } else { Discard::Chunks(chunks) }
                }
            };
        }
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (body, whole) in
            [(Body::None, ""), (Body::Length(3), "abc"), (Body::Chunked, "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")]
        {
            let bytes = format!("{whole}GET");
            let mut discard = Discard::new(body);
            assert_eq!(discard.take(bytes.as_bytes()), Ok(&b"GET"[..]), "{whole:?}");
            assert!(discard.is_done());
            let Some(cut) = whole.len().checked_sub(1) else { continue };
            let mut discard = Discard::new(body);
            assert_eq!(discard.take(&whole.as_bytes()[..cut]), Ok(&b""[..]), "{whole:?}");
            assert!(!discard.is_done());
        }
        assert_eq!(Discard::new(Body::Chunked).take(b"x"), Err(BadChunk));
    }
}
