//! The content coding of a body, which is undone as it comes.

use std::borrow::Cow;
use std::fmt;
use std::io::{ErrorKind, Read, Result, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{GzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// A content coding, with its decoder.
pub(super) enum Coding {
    Identity,
    Gzip(Box<GzDecoder<Decoded>>),
    Deflate(Box<ZlibDecoder<Decoded>>),
    Brotli(Box<DecompressorWriter<Decoded>>),
    /// What has come, decoded when it is whole.
    Zstd(Vec<u8>),
    /// One that is not undone here.
    Other,
    /// The coded content is malformed.
    Broken,
}

impl fmt::Debug for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coding::Identity => "Identity",
            Coding::Gzip(_) => "Gzip",
            Coding::Deflate(_) => "Deflate",
            Coding::Brotli(_) => "Brotli",
            Coding::Zstd(_) => "Zstd",
            Coding::Other => "Other",
            Coding::Broken => "Broken",
        })
    }
}

/// Bytes that are decoded at once.
const DECODED: usize = 16 * 1024;
/// A few kilobytes may say gigabytes: decoding ends soon after that many bytes of one piece, more than any response may have.
const MOST: usize = 32 << 20;

/// What a piece completes.
#[derive(Default)]
pub(super) struct Decoded(Vec<u8>);

impl Write for Decoded {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        if self.0.len() > MOST {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.0.write(data)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Coding {
    /// The value of a Content-Encoding field.
    pub(super) fn see(&mut self, value: &[u8]) {
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        if is("identity") {
            return;
        }
        *self = match self {
            Coding::Identity if is("gzip") || is("x-gzip") => {
                Coding::Gzip(Box::new(GzDecoder::new(Decoded::default())))
            }
            Coding::Identity if is("deflate") => Coding::Deflate(Box::new(ZlibDecoder::new(Decoded::default()))),
            Coding::Identity if is("br") => {
                Coding::Brotli(Box::new(DecompressorWriter::new(Decoded::default(), DECODED)))
            }
            Coding::Identity if is("zstd") => Coding::Zstd(Vec::new()),
            _ => Coding::Other,
        };
    }

    pub(super) fn is_coded(&self) -> bool {
        !matches!(self, Coding::Identity)
    }

    /// Whether what comes is decoded as it comes, and could be so far.
    pub(super) fn is_readable(&self) -> bool {
        !matches!(self, Coding::Zstd(_) | Coding::Other | Coding::Broken)
    }

    /// All content that a piece of the body completes.
    pub(super) fn decode<'d>(&mut self, data: &'d [u8]) -> Cow<'d, [u8]> {
        // Flushed: a decoder hands out its last piece with the next one otherwise, which may come a minute later.
        let (undone, decoded) = match self {
            Coding::Identity => return Cow::Borrowed(data),
            Coding::Gzip(decoder) => (write(decoder, data), std::mem::take(&mut decoder.get_mut().0)),
            Coding::Deflate(decoder) => (write(decoder, data), std::mem::take(&mut decoder.get_mut().0)),
            Coding::Brotli(decoder) => (write(decoder, data), std::mem::take(&mut decoder.get_mut().0)),
            Coding::Zstd(coded) => {
                coded.extend_from_slice(data);
                return Cow::Borrowed(&[]);
            }
            Coding::Other | Coding::Broken => return Cow::Borrowed(&[]),
        };
        if undone.is_err() {
            *self = Coding::Broken;
        }
        Cow::Owned(decoded)
    }

    /// The body is whole: hands out what remains of the content. `has_body`: an end without one is no end of a coding.
    pub(super) fn end(&mut self, has_body: bool, mut take: impl FnMut(&[u8])) {
        let ended = match self {
            Coding::Gzip(decoder) => {
                let ended = decoder.try_finish();
                take(&std::mem::take(&mut decoder.get_mut().0));
                ended
            }
            Coding::Deflate(decoder) => {
                let ended = decoder.try_finish();
                take(&std::mem::take(&mut decoder.get_mut().0));
                ended
            }
            Coding::Brotli(decoder) => {
                let ended = decoder.close();
                take(&std::mem::take(&mut decoder.get_mut().0));
                ended
            }
            Coding::Zstd(coded) => decode_zstd(coded, take),
            Coding::Identity | Coding::Other | Coding::Broken => Ok(()),
        };
        if ended.is_err() && has_body {
            *self = Coding::Broken;
        }
    }
}

fn write(decoder: &mut impl Write, data: &[u8]) -> Result<()> {
    decoder.write_all(data)?;
    decoder.flush()
}

/// All of a body in Zstandard, a piece at a time.
fn decode_zstd(mut coded: &[u8], mut take: impl FnMut(&[u8])) -> Result<()> {
    let broken = || Err(ErrorKind::InvalidData.into());
    if coded.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let mut decoded = vec![0; DECODED];
    let mut length = 0;
    // A body may consist of several frames (RFC 8878 §3.1).
    while !coded.is_empty() {
        let Ok(mut decoder) = StreamingDecoder::new(&mut coded) else { return broken() };
        loop {
            match decoder.read(&mut decoded)? {
                0 => break,
                piece if length <= MOST => {
                    length += piece;
                    take(&decoded[..piece]);
                }
                _ => return broken(),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_a_piece_completes_is_there_with_it() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut coding = Coding::Identity;
        coding.see(b"gzip");
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let piece = std::mem::take(encoder.get_mut());
            assert_eq!(coding.decode(&piece), event.as_bytes());
        }
        assert!(coding.is_readable());
        coding.decode(b"\xff\xff\xff\xff\xff");
        assert!(!coding.is_readable());
    }

    #[test]
    fn a_few_bytes_that_say_gigabytes_take_no_more_than_the_limit() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..100).for_each(|_| encoder.write_all(&zeros).unwrap());
        let mut coding = Coding::Identity;
        coding.see(b"gzip");
        let decoded = coding.decode(&encoder.finish().unwrap()).len();
        assert!((MOST..MOST + (1 << 20)).contains(&decoded), "{decoded}");
        assert!(!coding.is_readable());
    }

    #[test]
    fn what_cannot_be_undone_is_known() {
        for (value, readable) in [("identity", true), ("GZIP", true), ("br", true), ("zstd", false), ("x", false)] {
            let mut coding = Coding::Identity;
            coding.see(value.as_bytes());
            assert_eq!(coding.is_readable(), readable, "{value}");
        }
    }
}
