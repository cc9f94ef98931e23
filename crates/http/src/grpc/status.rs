//! How a call ended: its status, and what is said of it.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The status of a call, as `grpc-status` carries it. Unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrpcStatus(pub u32);

impl GrpcStatus {
    /// The call succeeded.
    pub const OK: GrpcStatus = GrpcStatus(0);
    /// The client gave up.
    pub const CANCELLED: GrpcStatus = GrpcStatus(1);
    /// Nothing more is known, for example of a status from elsewhere.
    pub const UNKNOWN: GrpcStatus = GrpcStatus(2);
    /// The message is not what the method takes.
    pub const INVALID_ARGUMENT: GrpcStatus = GrpcStatus(3);
    /// The time that the client allows has passed.
    pub const DEADLINE_EXCEEDED: GrpcStatus = GrpcStatus(4);
    /// There is no such thing.
    pub const NOT_FOUND: GrpcStatus = GrpcStatus(5);
    /// A message over the limit, or a quota that is used up.
    pub const RESOURCE_EXHAUSTED: GrpcStatus = GrpcStatus(8);
    /// No such method, or not in this way.
    pub const UNIMPLEMENTED: GrpcStatus = GrpcStatus(12);
    /// What the protocol promises does not hold.
    pub const INTERNAL: GrpcStatus = GrpcStatus(13);
    /// Cannot be served now; another attempt may succeed.
    pub const UNAVAILABLE: GrpcStatus = GrpcStatus(14);

    const NAMES: [&'static str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// Whether it is the server that failed, as OpenTelemetry has it: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
    /// DATA_LOSS, and what has no name. Of the others the client is the cause.
    pub fn is_failure_of_server(self) -> bool {
        matches!(self.0, 2 | 4 | 12 | 13 | 14 | 15 | 17..)
    }

    /// Reads the value of `grpc-status`: digits alone.
    pub fn of_field(value: &[u8]) -> Option<GrpcStatus> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok().map(GrpcStatus)
    }
}

/// By its name; one without as its number.
impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match GrpcStatus::NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Text that is neither the name of a status nor the number of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownStatus;

/// A name, in any case, with `-` or `_`, or one of the numbers that have a name.
impl FromStr for GrpcStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<GrpcStatus, UnknownStatus> {
        if let Some(status) = GrpcStatus::of_field(text.as_bytes()) {
            return Some(status).filter(|it| (it.0 as usize) < GrpcStatus::NAMES.len()).ok_or(UnknownStatus);
        }
        let text = text.replace('-', "_").to_ascii_uppercase();
        let place = GrpcStatus::NAMES.iter().position(|name| *name == text).ok_or(UnknownStatus)?;
        Ok(GrpcStatus(place as u32))
    }
}

/// A text as `grpc-message` carries it: all but printable ASCII, and the percent sign, as `%` and two digits.
pub fn encode_message(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // Nothing is wrong with writing into memory.
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

/// What [`encode_message`] was given. What is not encoded as it must be stays as it is, and what is no UTF-8 becomes U+FFFD: a
/// message is never lost for how it was written.
pub fn decode_message(value: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let digits = tail.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = digits.and_then(|[high, low]| Some(hexadecimal(*high)? << 4 | hexadecimal(*low)?));
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn statuses_have_their_names_and_numbers() {
        for (text, status) in [
            ("OK", GrpcStatus::OK),
            ("unavailable", GrpcStatus::UNAVAILABLE),
            ("deadline-exceeded", GrpcStatus::DEADLINE_EXCEEDED),
            ("12", GrpcStatus::UNIMPLEMENTED),
            ("UNAUTHENTICATED", GrpcStatus(16)),
        ] {
            assert_eq!(text.parse(), Ok(status), "{text}");
            assert_eq!(status.to_string().parse(), Ok(status), "{text}");
        }
        for text in ["", "17", "-1", "+3", "TEAPOT", "99999999999"] {
            assert_eq!(text.parse::<GrpcStatus>(), Err(UnknownStatus), "{text}");
        }
        assert_eq!((GrpcStatus::of_field(b"99"), GrpcStatus(99).to_string()), (Some(GrpcStatus(99)), "99".to_owned()));
        assert_eq!((GrpcStatus::of_field(b""), GrpcStatus::of_field(b"0 ")), (None, None));
    }

    #[test]
    fn a_client_that_asks_wrongly_is_no_failure_of_the_server() {
        let failures =
            |names: &[&str]| names.iter().filter(|it| it.parse::<GrpcStatus>().unwrap().is_failure_of_server()).count();
        assert_eq!(
            failures(&["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]),
            6
        );
        assert_eq!(failures(&["OK", "CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "ABORTED"]), 0);
    }

    #[test]
    fn what_is_encoded_wrongly_is_kept_as_it_is() {
        assert_eq!(encode_message("5 % of ä\n"), "5 %25 of %C3%A4%0A");
        for (value, text) in [("100%", "100%"), ("%zz%4", "%zz%4"), ("%41%e4", "A\u{fffd}"), ("%c3%A4", "ä")] {
            assert_eq!(decode_message(value.as_bytes()), text, "{value}");
        }
    }

    proptest! {
        #[test]
        fn messages_survive_and_are_field_values(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let encoded = encode_message(&text);
            prop_assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decode_message(encoded.as_bytes()), text);
            decode_message(&bytes);
        }
    }
}
