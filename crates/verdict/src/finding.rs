//! A finding is data: a rule, what it concludes, the facts, and the smallest witness. Reports make the prose.

use serde::{Deserialize, Serialize};

use crate::AttemptEnd;
use crate::facts::{
    RuleDescription, account, algorithm, backups, connections, copies, fleets, identity, limit, reach, records,
    recovery, requests, resilience, responses, rotation, shares, split, stickiness, streams, tls, unit,
};
use crate::observation::{ClientOutcome, Observation};

/// One rule's result, with its evidence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The rule, and the facts that it judged.
    #[serde(flatten)]
    pub facts: Facts,
    /// Whether the rule passes, fails, or cannot decide.
    pub level: Level,
    /// The fewest requests that show it, six at most; none for what needs no witness.
    pub witness: Vec<Witness>,
    /// The same in sentences; only in a report that has been written.
    #[serde(flatten)]
    pub prose: Option<Prose>,
}

/// What a rule concludes, ordered from best to worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The expectation holds.
    Pass,
    /// Worth knowing; no expectation depends on it.
    Note,
    /// The evidence does not suffice.
    Inconclusive,
    /// The expectation does not hold.
    Fail,
}

/// A finding in sentences.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prose {
    /// What was found, in one sentence.
    pub summary: String,
    /// Figures, and then the witness.
    pub evidence: Vec<EvidenceLine>,
    /// What the reader may try.
    pub hint: Option<String>,
    /// RFC section, documentation, paper.
    pub source: Option<String>,
}

/// A piece of evidence in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EvidenceLine {
    /// A figure, or what a request, a client or a backend shows.
    pub line: String,
    /// What it consists of, such as the attempts of a request; empty if the line says it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

impl EvidenceLine {
    /// A line without parts.
    pub fn of(line: impl Into<String>) -> EvidenceLine {
        EvidenceLine { line: line.into(), parts: Vec::new() }
    }
}

macro_rules! rules {
    ($($variant:ident($facts:ty) = $id:literal from $describe:path,)*) => {
        /// The facts of each rule.
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "rule", content = "facts")]
        pub enum Facts {
            $(
                #[doc = concat!("Of `", $id, "`.")]
                #[serde(rename = $id)]
                $variant($facts),
            )*
        }

        /// Every rule of the check, in the order in which they are documented.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule {
            $(
                #[doc = concat!("`", $id, "`")]
                $variant,
            )*
        }

        impl Rule {
            /// Every rule, in the order of this enum.
            pub const ALL: &[Rule] = &[$(Rule::$variant),*];

            /// As reports name it.
            pub fn id(self) -> &'static str {
                match self { $(Rule::$variant => $id,)* }
            }

            /// What it requires, and why it can be relied on.
            pub fn describe(self) -> RuleDescription {
                match self { $(Rule::$variant => $describe,)* }
            }
        }

        impl Facts {
            /// The rule that judged them.
            pub fn rule(&self) -> Rule {
                match self { $(Facts::$variant(_) => Rule::$variant,)* }
            }
        }
    };
}

// One line a rule. Its facts and its description stand in the file that the path names, its judgement and its tests in `rules`.
rules! {
    Records(records::RecordFacts) = "records" from records::RECORDS,
    Fleets(fleets::FleetFacts) = "fleets" from fleets::FLEETS,
    Identity(identity::IdentityFacts) = "identity" from identity::IDENTITY,
    RateLimit(limit::LimitFacts) = "rate-limit" from limit::RATE_LIMIT,
    Account(account::AccountFacts) = "account" from account::ACCOUNT,
    Retried(account::RetriedRequests) = "retried" from account::RETRIED,
    Duplicated(account::Requests) = "duplicated" from account::DUPLICATED,
    Repeated(account::Repeated) = "repeated" from account::REPEATED,
    Mirrored(account::Mirrored) = "mirrored" from account::MIRRORED,
    Subrequests(account::Subrequests) = "subrequests" from account::SUBREQUESTS,
    Copies(copies::CopyFacts) = "copies" from copies::COPIES,
    Lost(account::Losses) = "lost" from account::LOST,
    NotReached(account::Losses) = "not-reached" from account::NOT_REACHED,
    IdleClose(account::IdleCloses) = "idle-close" from account::IDLE_CLOSE,
    Balancer(account::OwnResponses) = "balancer" from account::BALANCER,
    Refused(account::BackendStatuses) = "refused" from account::REFUSED,
    Statuses(account::BackendStatuses) = "statuses" from account::STATUSES,
    Stale(account::StaleResponses) = "stale" from responses::STALE,
    Swapped(account::Requests) = "swapped" from responses::SWAPPED,
    Truncated(account::TruncatedResponses) = "truncated" from responses::TRUNCATED,
    Altered(responses::Altered) = "altered" from responses::ALTERED,
    ResponseFields(responses::FieldChanges) = "response-fields" from responses::RESPONSE_FIELDS,
    Compressed(responses::Compression) = "compressed" from responses::COMPRESSED,
    Cookies(responses::TextWitness) = "cookies" from responses::COOKIES,
    GivenUp(account::GivenUp) = "given-up" from account::GIVEN_UP,
    ConnectionLimit(connections::ConnectionLimit) = "connection-limit" from connections::CONNECTION_LIMIT,
    LostSyns(connections::LostSyns) = "lost-syns" from connections::LOST_SYNS,
    MethodChanged(requests::RequestChange) = "method-changed" from requests::METHOD_CHANGED,
    PathChanged(requests::RequestChange) = "path-changed" from requests::PATH_CHANGED,
    QueryChanged(requests::RequestChange) = "query-changed" from requests::QUERY_CHANGED,
    HostChanged(requests::RequestChange) = "host-changed" from requests::HOST_CHANGED,
    BodyChanged(requests::RequestChange) = "body-changed" from requests::BODY_CHANGED,
    FieldChanged(requests::RequestChange) = "field-changed" from requests::FIELD_CHANGED,
    ClientAddress(requests::ClientAddress) = "client-address" from requests::CLIENT_ADDRESS,
    WayFields(requests::WayFields) = "way-fields" from requests::WAY_FIELDS,
    Intact(requests::Intact) = "intact" from requests::INTACT,
    Unrecorded(account::UnrecordedResponses) = "unrecorded" from account::UNRECORDED,
    NoResponse(account::Losses) = "no-response" from account::NO_RESPONSE,
    Unsent(account::Requests) = "unsent" from account::UNSENT,
    Shares(shares::ShareFacts) = "shares" from shares::SHARES,
    Split(split::SplitFacts) = "split" from split::SPLIT,
    Reach(reach::ReachFacts) = "reach" from reach::REACH,
    Backups(backups::BackupFacts) = "backups" from backups::BACKUPS,
    Algorithm(algorithm::AlgorithmFacts) = "algorithm" from algorithm::ALGORITHM,
    Rotation(rotation::RotationFacts) = "rotation" from rotation::ROTATION,
    Unit(unit::UnitFacts) = "unit" from unit::UNIT,
    Stickiness(stickiness::StickinessFacts) = "stickiness" from stickiness::STICKINESS,
    Recovery(recovery::RecoveryFacts) = "recovery" from recovery::RECOVERY,
    Resilience(resilience::ResilienceFacts) = "resilience" from resilience::RESILIENCE,
    Streams(streams::Summary) = "streams" from streams::STREAMS,
    Upgrade(streams::Upgrades) = "upgrade" from streams::UPGRADE,
    StreamMessages(streams::Messages) = "stream-messages" from streams::MESSAGES,
    StreamDelay(streams::Delays) = "stream-delay" from streams::DELAYS,
    StreamCut(streams::Cuts) = "stream-cut" from streams::CUT,
    StreamTruncated(streams::Truncations) = "stream-truncated" from streams::STREAM_TRUNCATED,
    CloseCode(streams::CloseCodes) = "close-code" from streams::CLOSE_CODE,
    StreamAlive(streams::Alive) = "stream-alive" from streams::ALIVE,
    TlsVerified(tls::Verification) = "tls-verified" from tls::VERIFIED,
    Tls(tls::ArrivedConnections) = "tls" from tls::CONNECTIONS,
}

impl Finding {
    /// A finding without witness.
    pub fn new(level: Level, facts: Facts) -> Finding {
        Finding { facts, level, witness: Vec::new(), prose: None }
    }

    /// Adds witnesses: the smallest evidence that a reader can check.
    pub fn shown_by(self, witness: Vec<Witness>) -> Finding {
        Finding { witness, ..self }
    }

    /// The rule that made it.
    pub fn rule(&self) -> Rule {
        self.facts.rule()
    }

    /// Its sentence; empty before the report is written.
    pub fn summary(&self) -> &str {
        self.prose.as_ref().map_or("", |prose| &prose.summary)
    }

    /// The first line of its evidence: where the summary says what, it says who and why.
    pub fn cause(&self) -> Option<&EvidenceLine> {
        self.prose.as_ref()?.evidence.first()
    }
}

/// A piece of evidence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Witness {
    /// One request, seen from both ends.
    Request(RequestWitness),
    /// Backends in the order in which they got consecutive requests.
    Order {
        /// Number of the first of these requests in the run.
        first: u32,
        /// Names; null where none got the request.
        backends: Vec<Option<String>>,
    },
    /// Requests on one connection of the client.
    Connection {
        /// Number of the connection in the check.
        number: u32,
        /// Some of its requests, in order.
        requests: Vec<RequestWitness>,
    },
    /// A client that left its backend.
    Moved {
        /// Number of the client in the check.
        client: u32,
        /// Its first request, from which it has its backend.
        first: Box<RequestWitness>,
        /// A later one, which went elsewhere.
        moved: Box<RequestWitness>,
        /// A request that the backend got afterwards: it was there. Null if it was gone, or nothing shows that it was there.
        proof: Option<Box<RequestWitness>>,
    },
}

/// A request, its attempts and its response.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestWitness {
    /// Its id, as in the header and in the records.
    pub id: String,
    /// Its number in the run.
    pub number: u32,
    /// Seconds since the sample began; negative before it.
    pub at: f64,
    /// What the client got.
    pub client: ClientWitness,
    /// What the backends recorded, in order of time.
    pub attempts: Vec<AttemptWitness>,
    /// Whether nobody recorded what backends received: they are not this program's.
    #[serde(default)]
    pub unrecorded: bool,
    /// What the response says beyond its status, where no backend has named itself in it; null if nothing.
    #[serde(default)]
    pub words: Option<String>,
}

/// What the client got.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientWitness {
    /// How the exchange ended for the client.
    pub outcome: ClientOutcome,
    /// Status of the response; null without one.
    pub status: Option<u16>,
    /// The backend that the response names; null if none.
    pub backend: Option<String>,
    /// From when the request was due until it was over.
    pub seconds: f64,
    /// Whether the connection had carried a request before.
    pub reused: bool,
    /// In what the response is wrong; null if in nothing.
    pub flaw: Option<String>,
}

impl ClientWitness {
    /// What an observation says; `backend` is the name of the one that the response names.
    pub fn of(observation: &Observation, backend: Option<String>) -> ClientWitness {
        ClientWitness {
            outcome: observation.outcome,
            status: (observation.status > 0).then_some(observation.status),
            backend,
            seconds: observation.ended.since(observation.due).as_secs_f64(),
            reused: observation.reused,
            flaw: observation.flaw.map(|flaw| flaw.to_string()),
        }
    }
}

/// What a backend recorded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttemptWitness {
    /// Name of the backend.
    pub backend: String,
    /// Seconds since the sample began; negative before it.
    pub at: f64,
    /// Whether its response was written whole.
    pub end: AttemptEnd,
    /// Status that the backend gave; null if it gave none.
    pub status: Option<u16>,
    /// From the request's head until the response had been written.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/rules.md");

    fn list() -> String {
        let mut out = String::from(
            "# Rules of the check\n\nEach finding of a report names its rule. A rule that could accuse a balancer that is right has a stated \
             level; all others hold by construction: what they say is recorded by both ends. What to try \
             where one is not met: [hints](hints.md). Generated from the code.\n\n\
             | rule | requires | why it is sound | source |\n|---|---|---|---|\n",
        );
        for rule in Rule::ALL {
            let RuleDescription { requires, sound, source } = rule.describe();
            out += &format!("| `{}` | {requires} | {sound} | {} |\n", rule.id(), source.unwrap_or("–"));
        }
        out
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test writes the documentation when it is told to")]
    fn the_documented_rules_are_those_of_the_code() {
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            std::fs::write(FILE, list()).unwrap();
        }
        let kept = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(kept == list(), "write it anew: WRITE_SCHEMA=1 cargo test -p uuid-generator-verdict documented");
    }

    #[test]
    fn the_json_of_a_finding_carries_its_rule_and_facts_as_fields() {
        let facts = Facts::Repeated(account::Repeated { requests: 2, method: "POST".to_owned(), unavailable: false });
        let finding = Finding::new(Level::Fail, facts);
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!((&json["rule"], &json["level"]), (&"repeated".into(), &"fail".into()));
        assert_eq!((&json["facts"]["requests"], &json["facts"]["method"]), (&2.into(), &"POST".into()));
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
    }
}
