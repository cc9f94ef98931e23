//! PURE. How a balancer is told to pick a backend. The names are those that a check knows it by.

use std::fmt;
use std::str::FromStr;

use verdict::algorithm::Algorithm as Kind;

/// How a balancer is told to pick a backend.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Algorithm {
    /// Each in turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// The one that answers soonest, by the time of its latest answers and its requests in flight.
    LeastTime,
    /// By chance.
    Random,
    /// The less loaded of two that chance picks.
    TwoChoices,
    /// By the client's address.
    Source,
    /// By path and query.
    Uri,
    /// By a header of the request.
    Header(Name),
    /// By a cookie that the client brings.
    Cookie(Name),
    /// By a cookie of that name that the balancer gives.
    Sticky(Name),
}

impl Algorithm {
    /// One of each.
    pub(crate) fn examples() -> [Algorithm; 10] {
        use Algorithm::*;
        let name = |text: &str| Name(text.to_owned());
        [
            RoundRobin,
            LeastConnections,
            LeastTime,
            Random,
            TwoChoices,
            Source,
            Uri,
            Header(name("X-User")),
            Cookie(name("session")),
            Sticky(name(STICKY)),
        ]
    }

    /// What a check sees of it, where all weights are alike or not.
    pub(crate) fn kind(&self, weighted: bool) -> Kind {
        match self {
            Algorithm::RoundRobin if weighted => Kind::WeightedRoundRobin,
            Algorithm::RoundRobin => Kind::RoundRobin,
            Algorithm::LeastConnections => Kind::LeastConnections,
            Algorithm::LeastTime => Kind::LeastTime,
            Algorithm::Random => Kind::Random,
            Algorithm::TwoChoices => Kind::TwoChoices,
            Algorithm::Source => Kind::Source,
            Algorithm::Uri => Kind::Uri,
            Algorithm::Header(_) => Kind::Header,
            Algorithm::Cookie(_) => Kind::Cookie,
            Algorithm::Sticky(_) => Kind::Sticky,
        }
    }

    /// The word for it, without what it keys on.
    pub(crate) fn word(&self) -> &'static str {
        self.kind(false).name()
    }
}

/// As it can be read again.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Algorithm::Header(name) | Algorithm::Cookie(name) | Algorithm::Sticky(name) => write!(f, ":{name}"),
            Algorithm::RoundRobin | Algorithm::LeastConnections | Algorithm::LeastTime => Ok(()),
            Algorithm::Random | Algorithm::TwoChoices | Algorithm::Source | Algorithm::Uri => Ok(()),
        }
    }
}

/// The cookie of a balancer, where none is named.
const STICKY: &str = "backend";

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Algorithm, String> {
        let (word, name) = text.split_once(':').map_or((text, None), |(word, name)| (word, Some(name)));
        let named = |what: &str| match name {
            Some(name) => name.parse::<Name>(),
            None => Err(format!(
                "expected the name of the {what}, such as {word}:{}",
                if what == "header" { "X-User" } else { "session" }
            )),
        };
        let plain = match word {
            "header" => return named("header").map(Algorithm::Header),
            "cookie" => return named("cookie").map(Algorithm::Cookie),
            "sticky" => return name.unwrap_or(STICKY).parse().map(Algorithm::Sticky),
            _ => Algorithm::examples().into_iter().find(|algorithm| algorithm.word() == word),
        };
        plain.filter(|_| name.is_none()).ok_or_else(|| {
            "expected round-robin, least-connections, least-time, random, two-choices, source, uri, header:NAME, cookie:NAME, sticky or sticky:NAME"
                .to_owned()
        })
    }
}

/// Of a header or a cookie: a token of HTTP (RFC 9110, section 5.6.2) without what configuration languages give a meaning to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Name(String);

impl Name {
    /// As it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// It is made of what balancers allow in the names of their variables: letters, digits and `_`; also `-` for a header.
    pub(crate) fn is_plain(&self, also: &[u8]) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || also.contains(&byte))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let token = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match token && (1..=64).contains(&text.len()) {
            true => Ok(Name(text.to_owned())),
            false => Err("expected a name of up to 64 letters, digits, `-`, `_` and `.`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_read_as_it_is_written() {
        for algorithm in Algorithm::examples() {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("sticky".parse(), Ok(Algorithm::Sticky(Name("backend".to_owned()))));
        for text in
            ["", "header", "cookie", "header:", "header:a b", "header:a;", "round-robin:x", "uri:", "wrr", "sticky:"]
        {
            assert!(text.parse::<Algorithm>().is_err(), "{text}");
        }
    }
}
