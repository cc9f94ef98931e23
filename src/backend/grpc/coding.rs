//! How the messages of a request are compressed, and what they hold.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::grpc::GrpcStatus;

use crate::backend::grpc::facts::CallEnd;

/// The codings that are read, as `grpc-accept-encoding` lists them.
pub(crate) const READ: &str = "identity,deflate,gzip";

/// What the head of a call says of its compressed messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MessageCoding {
    /// Nothing: no message may be compressed.
    Identity,
    Deflate,
    Gzip,
    /// One that is not read.
    Unknown,
}

impl MessageCoding {
    /// By the value of `grpc-encoding`.
    pub(super) fn of(value: &[u8]) -> MessageCoding {
        match value.trim_ascii() {
            b"" | b"identity" => MessageCoding::Identity,
            b"deflate" => MessageCoding::Deflate,
            b"gzip" => MessageCoding::Gzip,
            _ => MessageCoding::Unknown,
        }
    }

    /// What a compressed message of at most `limit` bytes holds. No more than that is decompressed.
    pub(super) fn decompress(self, content: &[u8], limit: u32) -> Result<Vec<u8>, CallEnd> {
        match self {
            MessageCoding::Identity => {
                Err(CallEnd::new(GrpcStatus::INTERNAL, "a message is compressed, and grpc-encoding does not say how"))
            }
            MessageCoding::Unknown => Err(CallEnd::new(
                GrpcStatus::UNIMPLEMENTED,
                format!("grpc-encoding: messages are read as {}", READ.replace(',', ", ")),
            )),
            MessageCoding::Deflate => read(ZlibDecoder::new(content), limit),
            MessageCoding::Gzip => read(MultiGzDecoder::new(content), limit),
        }
    }
}

fn read(decoder: impl Read, limit: u32) -> Result<Vec<u8>, CallEnd> {
    let mut message = Vec::new();
    let most = u64::from(limit);
    decoder
        .take(most + 1)
        .read_to_end(&mut message)
        .map_err(|why| CallEnd::new(GrpcStatus::INTERNAL, format!("the message cannot be decompressed: {why}")))?;
    if message.len() as u64 > most {
        let why = format!("the message has more than {limit} bytes when it is decompressed: at most {limit} are read");
        return Err(CallEnd::new(GrpcStatus::RESOURCE_EXHAUSTED, why));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn status(read: Result<Vec<u8>, CallEnd>) -> GrpcStatus {
        read.unwrap_err().status
    }

    #[test]
    fn what_was_compressed_comes_back_up_to_the_limit() {
        let content = [7; 1000];
        assert_eq!(MessageCoding::Gzip.decompress(&gzip(&content), 1000).unwrap(), content);
        assert_eq!(status(MessageCoding::Gzip.decompress(&gzip(&content), 999)), GrpcStatus::RESOURCE_EXHAUSTED);
        let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflated.write_all(&content).unwrap();
        assert_eq!(MessageCoding::Deflate.decompress(&deflated.finish().unwrap(), 1000).unwrap(), content);
    }

    #[test]
    fn of_a_bomb_no_more_is_decompressed_than_the_limit() {
        // A gigabyte in a megabyte: one megabyte in many members, which are one content.
        let bomb = gzip(&vec![0; 1 << 20]).repeat(1024);
        assert!(bomb.len() < 4 << 20, "{} bytes", bomb.len());
        let read = MessageCoding::Gzip.decompress(&bomb, 4 << 20);
        assert_eq!(status(read), GrpcStatus::RESOURCE_EXHAUSTED);
    }

    #[test]
    fn what_cannot_be_decompressed_has_its_status() {
        let whole = gzip(b"message");
        for broken in [&b""[..], b"not compressed", &whole[..whole.len() - 1]] {
            assert_eq!(status(MessageCoding::Gzip.decompress(broken, 100)), GrpcStatus::INTERNAL, "{broken:?}");
        }
        for (value, expected) in [
            (&b""[..], GrpcStatus::INTERNAL),
            (b"identity", GrpcStatus::INTERNAL),
            (b"snappy", GrpcStatus::UNIMPLEMENTED),
            (b"gzip, deflate", GrpcStatus::UNIMPLEMENTED),
        ] {
            assert_eq!(status(MessageCoding::of(value).decompress(&whole, 100)), expected, "{value:?}");
        }
        assert_eq!(MessageCoding::of(b" gzip "), MessageCoding::Gzip);
    }
}
