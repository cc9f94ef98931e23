//! Who is who: the generator number of a backend, the id of a request, the id of a response, and the headers that carry them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Header of every response: the generator number of the backend that gave it.
pub const GENERATOR_HEADER: &str = "Generator-Number";
/// Header of every response of a backend that has a name instead of a generator number.
pub const NAME_HEADER: &str = "Backend-Name";
/// Header of every response: the [`Instance`] of the process that gave it.
pub const INSTANCE_HEADER: &str = "Backend-Instance";
/// Header of every response but health: its [`ResponseId`].
pub const RESPONSE_HEADER: &str = "Response-Id";
/// Header of a request, echoed in its response: its [`RequestId`]. A name of our own, because balancers rewrite `X-Request-ID`.
pub const REQUEST_HEADER: &str = "Check-Request-Id";

/// A backend's identity on the page: its port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Generator(pub u16);

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process of a backend: random, so that two processes with one name are told apart, and a process from the one that replaces it.
///
/// As text 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instance(pub u64);

impl Instance {
    /// The id as 16 hexadecimal digits, for a header.
    pub fn to_bytes(self) -> [u8; 16] {
        http::encode::hexadecimal::<16>(self.0)
    }

    /// What [`Instance::to_bytes`] has written.
    pub fn from_bytes(text: &[u8]) -> Option<Instance> {
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let text = str::from_utf8(text).ok().filter(|text| text.len() == 16 && text.bytes().all(|it| is_digit(&it)))?;
        u64::from_str_radix(text, 16).ok().map(Instance)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Instance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Instance::from_bytes(text.as_bytes())
            .ok_or_else(|| serde::de::Error::custom("expected 16 hexadecimal digits in lower case"))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Instance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instance".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$", "description": "One process of a backend: random." })
    }
}

/// Names one response: the UUID version 4 (RFC 9562) that the backend minted for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ResponseId(#[cfg_attr(feature = "schema", schemars(with = "String"))] pub Uuid);

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Groups the attempts of one request: the run that sent it, never 0, and its number in that run.
///
/// As text 33 characters: both in 16 hexadecimal digits, `00000000000004d2-000000000000002a`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId {
    /// The run of the client that minted it.
    pub run: u64,
    /// Its number in that run.
    pub sequence: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.run, self.sequence)
    }
}

/// A text that is no [`RequestId`].
#[derive(Debug, PartialEq, Eq)]
pub struct NotARequestId;

impl fmt::Display for NotARequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 16 hexadecimal digits of a run that is not 0, a hyphen, and 16 of a number")
    }
}

impl std::error::Error for NotARequestId {}

impl RequestId {
    /// As a header's value, without the machinery of `fmt`.
    pub fn to_bytes(self) -> [u8; 33] {
        let mut text = [b'-'; 33];
        text[..16].copy_from_slice(&http::encode::hexadecimal::<16>(self.run));
        text[17..].copy_from_slice(&http::encode::hexadecimal::<16>(self.sequence));
        text
    }

    /// Reads a header's value.
    pub fn from_bytes(text: &[u8]) -> Result<Self, NotARequestId> {
        let (run, rest) = text.split_at_checked(16).ok_or(NotARequestId)?;
        let sequence = rest.strip_prefix(b"-").filter(|digits| digits.len() == 16).ok_or(NotARequestId)?;
        match (hexadecimal(run)?, hexadecimal(sequence)?) {
            (0, _) => Err(NotARequestId),
            (run, sequence) => Ok(RequestId { run, sequence }),
        }
    }
}

/// Reads the 16 hexadecimal digits of a run's id.
pub fn run_from_text(text: &str) -> Result<u64, NotARequestId> {
    match text.len() {
        16 => hexadecimal(text.as_bytes()),
        _ => Err(NotARequestId),
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u64, NotARequestId> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(NotARequestId)?;
        Ok(value << 4 | u64::from(digit))
    })
}

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        Self::from_bytes(text.as_bytes())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RequestId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RequestId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}-[0-9a-f]{16}$" })
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_id_survives_its_header(run in 1..u64::MAX, sequence: u64) {
            let id = RequestId { run, sequence };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().into_bytes(), id.to_bytes().to_vec());
        }
    }

    #[test]
    fn other_texts_are_no_request_id() {
        for text in [
            "",
            "x",
            "0000000000000000-0000000000000001",
            "00000000000004d2-00000000000002a",
            "00000000000004d2+000000000000002a",
        ] {
            assert_eq!(text.parse::<RequestId>(), Err(NotARequestId), "{text}");
        }
    }
}
