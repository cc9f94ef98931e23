//! How a balancer is configured to select a backend: an algorithm, and the header or cookie that it goes by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use verdict::algorithm::Algorithm;

/// What a balancer is configured to do. Apart from `Algorithm`, which names what a check finds: here a header has a name, weights are the
/// topology's, and nobody configures what is only ever found.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Each in turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// The one that answers soonest, by the time of its latest responses and its requests in flight.
    LeastTime,
    /// An independent draw for each request.
    Random,
    /// The less loaded of two that chance picks.
    TwoChoices,
    /// By the client's address.
    Source,
    /// By path and query.
    Uri,
    /// By a header of the request.
    Header(FieldName),
    /// By a cookie that the client brings.
    Cookie(FieldName),
    /// By a cookie of that name that the balancer gives.
    Sticky(FieldName),
}

impl Policy {
    /// Those that need no name of a field.
    pub const WITHOUT_FIELD: [Policy; 7] = [
        Policy::RoundRobin,
        Policy::LeastConnections,
        Policy::LeastTime,
        Policy::Random,
        Policy::TwoChoices,
        Policy::Source,
        Policy::Uri,
    ];

    /// One value of each variant: of those with a field, one with an example.
    pub fn examples() -> Vec<Policy> {
        let name = |text: &str| FieldName(text.to_owned());
        let of_fields = [Policy::Header(name("X-User")), Policy::Cookie(name("session")), Policy::Sticky(name(STICKY))];
        Policy::WITHOUT_FIELD.into_iter().chain(of_fields).collect()
    }

    /// The one of that algorithm, if it needs no field and can be configured.
    fn of(algorithm: Algorithm) -> Option<Policy> {
        Policy::WITHOUT_FIELD
            .into_iter()
            .find(|policy| [false, true].map(|weighted| policy.algorithm(weighted)).contains(&algorithm))
    }

    /// The algorithm that a check is to find, where weights differ or do not.
    pub fn algorithm(&self, weighted: bool) -> Algorithm {
        match self {
            Policy::RoundRobin if weighted => Algorithm::WeightedRoundRobin,
            Policy::RoundRobin => Algorithm::RoundRobin,
            Policy::LeastConnections => Algorithm::LeastConnections,
            Policy::LeastTime => Algorithm::LeastTime,
            Policy::Random => Algorithm::Random,
            Policy::TwoChoices => Algorithm::TwoChoices,
            Policy::Source => Algorithm::Source,
            Policy::Uri => Algorithm::Uri,
            Policy::Header(_) => Algorithm::Header,
            Policy::Cookie(_) => Algorithm::Cookie,
            Policy::Sticky(_) => Algorithm::Sticky,
        }
    }

    /// The algorithm's name, without what it goes by.
    pub fn name(&self) -> &'static str {
        self.algorithm(false).name()
    }
}

/// The form that can be parsed again.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Policy::Sticky(name) if name.as_str() == STICKY => Ok(()),
            Policy::Header(name) | Policy::Cookie(name) | Policy::Sticky(name) => write!(f, ":{name}"),
            Policy::RoundRobin | Policy::LeastConnections | Policy::LeastTime => Ok(()),
            Policy::Random | Policy::TwoChoices | Policy::Source | Policy::Uri => Ok(()),
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|why| serde::de::Error::custom(format!("{why}, found {text:?}")))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Policy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Policy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "As `--algorithm` takes it, such as `round-robin` or `header:X-User`." })
    }
}

/// The cookie of a balancer, where none is named.
const STICKY: &str = "backend";

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Policy, String> {
        let (word, name) = text.split_once(':').map_or((text, None), |(word, name)| (word, Some(name)));
        let named = |what: &str| match name {
            Some(name) => name.parse::<FieldName>(),
            None => Err(format!(
                "expected the name of the {what}, such as {word}:{}",
                if what == "header" { "X-User" } else { "session" }
            )),
        };
        let plain = match word {
            "header" => return named("header").map(Policy::Header),
            "cookie" => return named("cookie").map(Policy::Cookie),
            "sticky" => return name.unwrap_or(STICKY).parse().map(Policy::Sticky),
            _ => word.parse().ok().and_then(Policy::of),
        };
        plain.filter(|_| name.is_none()).ok_or_else(|| {
            "expected round-robin, least-connections, least-time, random, two-choices, source, uri, header:NAME, cookie:NAME, sticky or sticky:NAME"
                .to_owned()
        })
    }
}

/// Of a header or a cookie: a token of HTTP (RFC 9110, section 5.6.2) without what configuration languages give a meaning to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FieldName(String);

impl FieldName {
    /// The name in the case in which it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It is made of what balancers allow in the names of their variables: letters, digits and `_`; also `-` for a header.
    pub fn is_plain(&self, also: &[u8]) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || also.contains(&byte))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<FieldName, String> {
        let token = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if token && (1..=64).contains(&text.len()) {
            Ok(FieldName(text.to_owned()))
        } else {
            Err("expected a name of up to 64 letters, digits, `-`, `_` and `.`".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for policy in Policy::examples() {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("sticky".parse(), Ok(Policy::Sticky(FieldName("backend".to_owned()))));
        for text in
            ["", "header", "cookie", "header:", "header:a b", "header:a;", "round-robin:x", "uri:", "rounds", "sticky:"]
        {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_balancers_own_word_for_an_algorithm_is_understood() {
        for (word, policy) in [
            ("roundrobin", Policy::RoundRobin),
            ("wrr", Policy::RoundRobin),
            ("least_conn", Policy::LeastConnections),
            ("leastconn", Policy::LeastConnections),
            ("LEAST_REQUEST", Policy::TwoChoices),
            ("p2c", Policy::TwoChoices),
            ("ip_hash", Policy::Source),
            ("uri_hash", Policy::Uri),
        ] {
            assert_eq!(word.parse(), Ok(policy), "{word}");
        }
    }
}
