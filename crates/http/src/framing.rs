//! Where a message ends: the one table of RFC 9112 §6.3.

use crate::token::{list, trim};
use crate::{HttpVersion, Malformed};

/// How a reader takes what the RFC leaves open or forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// A server or a proxy: what two readers could understand in two ways is refused.
    Strict,
    /// A client: reads what can be read the way that the RFC prefers, and does not use the connection again.
    /// Whatever is read strictly is read alike.
    Lenient,
}

/// What follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The message has no body.
    None,
    /// A body of that many bytes.
    Length(u64),
    /// A chunked body (§7.1).
    Chunked,
    /// Everything until the connection ends: of responses alone.
    UntilClose,
    /// Frames until one ends the stream: of HTTP/2 without a Content-Length.
    Stream,
}

/// What a response answers, as far as its framing depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestContext {
    /// Any method but these.
    Other,
    /// HEAD: no body follows, whatever the head says of it.
    Head,
    /// CONNECT: after a 2xx comes no HTTP any more.
    Connect,
}

/// The fields that frame a message, gathered one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FramingFields {
    length: Option<u64>,
    codings: Codings,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Codings {
    #[default]
    Absent,
    Chunked,
    /// Other codings and chunked as the last.
    OthersThenChunked,
    /// The last is not chunked.
    NotLast,
    Twice,
}

impl FramingFields {
    /// Takes a Content-Length: a number, or a list of equal ones, as recipients may fold them (RFC 9110 §8.6).
    pub fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for part in value.split(|byte| *byte == b',') {
            let length = decimal(trim(part)).ok_or(Malformed::LengthInvalid)?;
            if self.length.replace(length).is_some_and(|earlier| earlier != length) {
                return Err(Malformed::LengthsDiffer);
            }
        }
        Ok(())
    }

    /// Takes a Transfer-Encoding: several of them are one list.
    pub fn transfer_encoding(&mut self, value: &[u8]) {
        // One that names none is nothing to be relied on, unless another does.
        if self.codings == Codings::Absent && list(value).next().is_none() {
            self.codings = Codings::NotLast;
        }
        for part in list(value) {
            let chunked = part.eq_ignore_ascii_case(b"chunked");
            self.codings = match (self.codings, chunked) {
                (Codings::Absent, true) => Codings::Chunked,
                (Codings::Absent | Codings::NotLast, false) => Codings::NotLast,
                (Codings::NotLast, true) => Codings::OthersThenChunked,
                (Codings::Chunked | Codings::OthersThenChunked, true) | (Codings::Twice, _) => Codings::Twice,
                // Nobody can say where a body ends that was encoded after it was cut into chunks.
                (Codings::Chunked | Codings::OthersThenChunked, false) => Codings::NotLast,
            };
        }
    }

    /// The length that was stated.
    pub fn stated_length(self) -> Option<u64> {
        self.length
    }

    /// What follows the head of a request, and whether the connection can carry another request after it.
    pub fn of_request(self, version: HttpVersion, mode: Strictness) -> Result<(Framing, bool), Malformed> {
        match (self.codings, mode) {
            (Codings::Absent, _) => Ok((self.by_length().unwrap_or(Framing::None), true)),
            (_, Strictness::Strict) if self.length.is_some() => Err(Malformed::LengthAndEncoding),
            (_, Strictness::Strict) if version == HttpVersion::Http10 => Err(Malformed::EncodingInHttp10),
            (Codings::Chunked, _) => Ok((Framing::Chunked, self.is_plainly_chunked(version))),
            (Codings::OthersThenChunked, Strictness::Lenient) => Ok((Framing::Chunked, false)),
            (Codings::OthersThenChunked, Strictness::Strict) => Err(Malformed::EncodingUnknown),
            (Codings::Twice, _) => Err(Malformed::EncodingTwice),
            (Codings::NotLast, _) => Err(Malformed::EncodingNotLast),
        }
    }

    /// What follows the head of a response, and whether its framing allows another one after it.
    pub fn of_response(
        self,
        status: u16,
        version: HttpVersion,
        asked: RequestContext,
        mode: Strictness,
    ) -> Result<(Framing, bool), Malformed> {
        let by_method =
            asked == RequestContext::Head || (asked == RequestContext::Connect && matches!(status, 200..300));
        if by_method || matches!(status, 100..200 | 204 | 304) {
            return Ok((Framing::None, true));
        }
        match (self.codings, mode) {
            (Codings::Absent, _) => Ok(self.by_length().map_or((Framing::UntilClose, false), |by| (by, true))),
            (_, Strictness::Strict) if self.length.is_some() => Err(Malformed::LengthAndEncoding),
            (_, Strictness::Strict) if version == HttpVersion::Http10 => Err(Malformed::EncodingInHttp10),
            (Codings::Chunked, _) => Ok((Framing::Chunked, self.is_plainly_chunked(version))),
            (Codings::OthersThenChunked, _) => Ok((Framing::Chunked, false)),
            (Codings::Twice, _) => Err(Malformed::EncodingTwice),
            (Codings::NotLast, _) => Ok((Framing::UntilClose, false)),
        }
    }

    fn by_length(self) -> Option<Framing> {
        self.length.map(|length| if length == 0 { Framing::None } else { Framing::Length(length) })
    }

    /// Both fields, or chunks in HTTP/1.0, are read and not trusted for what follows (§6.1).
    fn is_plainly_chunked(self, version: HttpVersion) -> bool {
        self.length.is_none() && version == HttpVersion::Http11
    }
}

/// Digits alone: no sign, no space, nothing beyond 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Malformed::{
        EncodingInHttp10, EncodingNotLast, EncodingTwice, EncodingUnknown, LengthAndEncoding, LengthInvalid,
        LengthsDiffer,
    };

    fn fields(lengths: &[&str], encodings: &[&str]) -> Result<FramingFields, Malformed> {
        let mut fields = FramingFields::default();
        for length in lengths {
            fields.content_length(length.as_bytes())?;
        }
        encodings.iter().for_each(|encoding| fields.transfer_encoding(encoding.as_bytes()));
        Ok(fields)
    }

    /// Content-Length lines, Transfer-Encoding lines, version; then what each mode makes of a request.
    type Row = (&'static [&'static str], &'static [&'static str], HttpVersion, Reading, Reading);
    type Reading = Result<(Framing, bool), Malformed>;

    const V0: HttpVersion = HttpVersion::Http10;
    const V1: HttpVersion = HttpVersion::Http11;
    const FIVE: Reading = Ok((Framing::Length(5), true));

    #[test]
    fn requests_are_framed_as_the_table_says() {
        let rows: [Row; 25] = [
            (&[], &[], V1, Ok((Framing::None, true)), Ok((Framing::None, true))),
            (&["0"], &[], V1, Ok((Framing::None, true)), Ok((Framing::None, true))),
            (&["5"], &[], V1, FIVE, FIVE),
            (&["5, 5"], &[], V1, FIVE, FIVE),
            (&["5", "5"], &[], V1, FIVE, FIVE),
            (&["5 ,\t5"], &[], V0, FIVE, FIVE),
            (&["+5"], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&["-5"], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&["5,"], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&["0x5"], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&[""], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&["18446744073709551616"], &[], V1, Err(LengthInvalid), Err(LengthInvalid)),
            (&["5, 6"], &[], V1, Err(LengthsDiffer), Err(LengthsDiffer)),
            (&["5", "6"], &[], V1, Err(LengthsDiffer), Err(LengthsDiffer)),
            (&[], &["chunked"], V1, Ok((Framing::Chunked, true)), Ok((Framing::Chunked, true))),
            (&[], &["chunked"], V0, Err(EncodingInHttp10), Ok((Framing::Chunked, false))),
            (&["5"], &["Chunked"], V1, Err(LengthAndEncoding), Ok((Framing::Chunked, false))),
            (&[], &["gzip, chunked"], V1, Err(EncodingUnknown), Ok((Framing::Chunked, false))),
            (&[], &["gzip", "chunked"], V1, Err(EncodingUnknown), Ok((Framing::Chunked, false))),
            (&[], &["chunked, gzip"], V1, Err(EncodingNotLast), Err(EncodingNotLast)),
            (&[], &["gzip"], V1, Err(EncodingNotLast), Err(EncodingNotLast)),
            (&[], &["chunked", "chunked"], V1, Err(EncodingTwice), Err(EncodingTwice)),
            (&[], &[", chunked,", ""], V1, Ok((Framing::Chunked, true)), Ok((Framing::Chunked, true))),
            (&["5"], &[""], V1, Err(LengthAndEncoding), Err(EncodingNotLast)),
            (&[], &["", "chunked"], V1, Err(EncodingUnknown), Ok((Framing::Chunked, false))),
        ];
        for (lengths, encodings, version, strict, lenient) in rows {
            let read = |mode| fields(lengths, encodings).and_then(|fields| fields.of_request(version, mode));
            assert_eq!(read(Strictness::Strict), strict, "{lengths:?} {encodings:?} {version:?}");
            assert_eq!(read(Strictness::Lenient), lenient, "{lengths:?} {encodings:?} {version:?}");
        }
    }

    #[test]
    fn responses_are_framed_as_the_table_says() {
        let close = Ok((Framing::UntilClose, false));
        let rows: [Row; 8] = [
            (&[], &[], V1, close, close),
            (&["5, 5"], &[], V1, FIVE, FIVE),
            (&["5", "6"], &[], V1, Err(LengthsDiffer), Err(LengthsDiffer)),
            (&[], &["chunked"], V1, Ok((Framing::Chunked, true)), Ok((Framing::Chunked, true))),
            (&["5"], &["chunked"], V1, Err(LengthAndEncoding), Ok((Framing::Chunked, false))),
            (&[], &["chunked"], V0, Err(EncodingInHttp10), Ok((Framing::Chunked, false))),
            (&[], &["gzip"], V1, close, close),
            (&[], &["chunked", "chunked"], V1, Err(EncodingTwice), Err(EncodingTwice)),
        ];
        for (lengths, encodings, version, strict, lenient) in rows {
            let read = |mode| fields(lengths, encodings)?.of_response(200, version, RequestContext::Other, mode);
            assert_eq!(read(Strictness::Strict), strict, "{lengths:?} {encodings:?} {version:?}");
            assert_eq!(read(Strictness::Lenient), lenient, "{lengths:?} {encodings:?} {version:?}");
        }
        let five = fields(&["5"], &[]).unwrap();
        for (status, asked) in [
            (200, RequestContext::Head),
            (204, RequestContext::Other),
            (304, RequestContext::Other),
            (200, RequestContext::Connect),
            (103, RequestContext::Other),
        ] {
            assert_eq!(five.of_response(status, V1, asked, Strictness::Strict), Ok((Framing::None, true)), "{status}");
        }
        assert_eq!(five.of_response(407, V1, RequestContext::Connect, Strictness::Strict), FIVE);
    }
}
