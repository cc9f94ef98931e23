//! Why a stream or a connection ends: RFC 9113 §7.

use std::fmt;
use std::str::FromStr;

use crate::Malformed;

/// An error code, as RST_STREAM and GOAWAY carry it. Unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// In order: a connection that ends, a response that needs no more of its request.
    pub const NO_ERROR: ErrorCode = ErrorCode(0);
    /// The other end did what the protocol forbids.
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(1);
    /// An error of this endpoint's own.
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(2);
    /// More data than was allowed, or a window that is too large.
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(3);
    /// A frame on a stream that had ended.
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(5);
    /// A frame of a wrong length.
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(6);
    /// Nothing was done: the request may be sent again.
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(7);
    /// The response is not wanted any more.
    pub const CANCEL: ErrorCode = ErrorCode(8);
    /// The tables of both ends differ.
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(9);
    /// Too much load of a kind that may be an attack.
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(11);

    const NAMES: [&'static str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];

    /// What an end that meets this says to the other.
    pub fn of(why: Malformed) -> ErrorCode {
        match why {
            Malformed::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Malformed::HeaderCompression => ErrorCode::COMPRESSION_ERROR,
            Malformed::WindowExceeded => ErrorCode::FLOW_CONTROL_ERROR,
            Malformed::StreamClosed => ErrorCode::STREAM_CLOSED,
            Malformed::ResetFlood | Malformed::BlockTooLong => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }
}

/// By its name in the RFC; one without as its number.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ErrorCode::NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// Text that is neither the name of an error code nor its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownCode;

/// A name, in any case and with or without `_ERROR`, or a number, as it is written.
impl FromStr for ErrorCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<ErrorCode, UnknownCode> {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => text.parse(),
        };
        if let Ok(number) = number {
            return Ok(ErrorCode(number));
        }
        let text = text.replace('-', "_").to_ascii_uppercase();
        let is_it = |name: &&str| **name == text || name.strip_suffix("_ERROR") == Some(&text);
        let place = ErrorCode::NAMES.iter().position(is_it).ok_or(UnknownCode)?;
        Ok(ErrorCode(place as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_that_the_rfc_gives_them() {
        for (text, code) in [
            ("REFUSED_STREAM", ErrorCode::REFUSED_STREAM),
            ("internal", ErrorCode::INTERNAL_ERROR),
            ("enhance-your-calm", ErrorCode::ENHANCE_YOUR_CALM),
            ("8", ErrorCode::CANCEL),
            ("0x63", ErrorCode(99)),
        ] {
            assert_eq!(text.parse(), Ok(code), "{text}");
        }
        assert_eq!("TEAPOT".parse::<ErrorCode>(), Err(UnknownCode));
        assert_eq!((ErrorCode::CANCEL.to_string(), ErrorCode(99).to_string()), ("CANCEL".into(), "0x63".into()));
    }
}
