//! What the account says: every request has one outcome, and outcomes are what a balancer owes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::tls::Refused;
use crate::facts::{RuleDescription, by_number};

/// All requests of the run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountFacts {
    /// Requests that the client sent.
    pub requests: u64,
    /// Requests with one attempt whose response came back.
    pub delivered: u64,
    /// Client errors that an outage excuses.
    pub excused: u64,
    /// Whether the backends' side is known.
    pub has_records: bool,
}

/// Requests with one outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requests {
    /// How many requests the rule is about.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
}

/// Responses that had been given before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StaleResponses {
    /// How many requests got one.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// Lines of the balancer's configuration that have it keep responses which are not to be kept; empty without any.
    #[serde(default)]
    pub configured: Vec<String>,
}

/// Responses of which it is not known who gave them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnrecordedResponses {
    /// How many requests got one.
    pub requests: u64,
    /// Of all that were sent.
    pub of: u64,
    /// Where the names of backends that are not this program's stand in responses; null with a fleet.
    #[serde(default)]
    pub place: Option<String>,
}

/// Requests without a whole response.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Losses {
    /// How many requests had no response.
    pub requests: u64,
    /// Requests that an outage excuses: in its time, and of a backend that it hit.
    pub excused: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// Requests without a response that backends refused before they did anything with them (REFUSED_STREAM, or a GOAWAY that leaves them out).
    #[serde(default)]
    pub unprocessed: u64,
    /// Requests without a response that backends had begun and not finished: nobody knows whether they were executed.
    #[serde(default)]
    pub unfinished: u64,
    /// Requests for whose response the client waited until its own timeout, or until the deadline of the call.
    #[serde(default)]
    pub timed_out: u64,
    /// Those of them on which a backend was still at work, or had only just responded: there was nothing to pass on yet.
    #[serde(default)]
    pub at_work: u64,
    /// Requests that reached no backend while backends were at work on those before them: the balancer may have kept them in a queue.
    #[serde(default)]
    pub queued: u64,
}

/// Responses that ended too early.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TruncatedResponses {
    /// How many.
    pub requests: u64,
    /// Responses that an outage excuses: in its time, and of a backend that it hit.
    pub excused: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// Responses that ended too early at their backend already, and where, by backend.
    #[serde(default)]
    pub at_backend: BTreeMap<String, u64>,
}

/// Responses of the balancer itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnResponses {
    /// How many requests got one.
    pub requests: u64,
    /// Responses that an outage excuses.
    pub excused: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// How many of each status.
    #[serde(with = "by_number")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<u16, u64>"))]
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that a backend had received, and did not refuse before it did anything, though the balancer itself responded.
    pub received: u64,
    /// Requests that backends refused before they did anything with them, and to which the balancer itself responded.
    #[serde(default)]
    pub unprocessed: u64,
    /// At which backends those arrived that a backend had received; what an outage excuses is left out.
    #[serde(default)]
    pub backends: BTreeMap<String, u64>,
    /// Where requests that are sent one after another reach no backend in their turn, though each backend has turns of its own: those turns, and
    /// all of a round. Null where that is not so.
    #[serde(default)]
    pub dead_turns: Option<(u32, u32)>,
    /// Requests of the whole run, the warm-up included, at one of whose backends the balancer left before the response. It may take that backend
    /// for failed afterwards.
    #[serde(default)]
    pub given_up: u64,
    /// Why TLS handshakes of the balancer with backends failed, most of them; null unless that may be why requests reached none.
    #[serde(default)]
    pub handshakes: Option<Refused>,
    /// Whether the balancer keeps connections to backends: they may close one as it is used again.
    #[serde(default)]
    pub kept: bool,
    /// Lines of the balancer's configuration that give these statuses; empty unless each has one.
    #[serde(default)]
    pub configured: Vec<String>,
}

impl OwnResponses {
    /// Whether all are successes or redirects of requests that no backend of the fleet received: another backend may have given them.
    pub fn may_be_foreign(&self) -> bool {
        self.received == 0
            && !self.statuses.is_empty()
            && self.statuses.keys().all(|status| matches!(status, 200..=299 | 301..=303 | 307 | 308))
    }
}

/// Statuses that backends gave.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackendStatuses {
    /// How many requests got one that is not expected.
    pub requests: u64,
    /// Responses that an outage excuses.
    pub excused: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// How many of each status, excused ones left out.
    #[serde(with = "by_number")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<u16, u64>"))]
    pub statuses: BTreeMap<u16, u64>,
    /// How many of them the balancer itself gave.
    #[serde(default)]
    pub by_balancer: u64,
    /// How many each backend refused; excused ones are left out.
    pub backends: BTreeMap<String, u64>,
    /// Why backends refused to read requests, in their own words.
    pub reasons: Vec<(String, u64)>,
    /// Requests that they refused for spaces in the path.
    #[serde(default)]
    pub with_spaces: u64,
    /// Bytes of the head that the check itself sent, where it was refused for its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_head: Option<u64>,
    /// The expectation, as it is typed; null for the default, below 400.
    pub expected: Option<String>,
}

/// Requests that must not be repeated.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repeated {
    /// How many reached backends more than once.
    pub requests: u64,
    /// The requests' method; `call` for calls of gRPC.
    pub method: String,
    /// Whether these are calls of which each earlier attempt ended with UNAVAILABLE: gRPC lets such calls be repeated where their method allows it.
    #[serde(default)]
    pub unavailable: bool,
}

/// Requests that were tried again after a failed attempt.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RetriedRequests {
    /// How many requests were retried.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// Retried requests that got an error all the same.
    pub failed: u64,
    /// Requests that were retried at the backend that had just failed.
    pub same_backend: u64,
    /// Retried requests whose first backend had begun to work: an application may have executed them twice.
    pub begun: u64,
}

/// Requests that were copied to backends whose responses no client gets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mirrored {
    /// How many requests were copied.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// The backends that get copies.
    pub mirrors: Vec<String>,
    /// Requests that were executed twice by backends whose responses clients get: which of the two is a copy is not known.
    #[serde(default)]
    pub duplicated: u64,
    /// Whether the mirrors refused all copies, with a status from 400 to 499: they may be asked first, and lack what others have.
    #[serde(default)]
    pub refused: bool,
    /// Copies that arrived as another request: with another method, path or query.
    pub other_requests: u64,
    /// The share that `--expect mirrored:…` asks for, 0 to 1; null without.
    pub expected: Option<f64>,
    /// Seconds that a copy takes, and seconds that requests take longer than their own backend; null unless these go together.
    pub held: Option<(f64, f64)>,
}

/// Requests before which the balancer sent one of its own to a backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subrequests {
    /// How many it sent.
    pub requests: u64,
    /// The backends that got them.
    pub backends: Vec<String>,
}

/// Requests that their clients gave up while backends were at work on them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GivenUp {
    /// How many.
    pub requests: u64,
    /// Those on which the backend stopped working, for its connection or stream ended.
    pub stopped: u64,
    /// Seconds from when the client left until then: the median and the most.
    pub after: Option<(f64, f64)>,
    /// Those that backends executed to the end all the same.
    pub executed: u64,
}

/// Kept connections that were closed at the moment of use.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IdleCloses {
    /// Requests that met one.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// The number that the race with an idle timeout may explain.
    pub usual: u64,
    /// Those that met it so late that only a busy machine explains it.
    #[serde(default)]
    pub late: u64,
    /// Whether a client may send such a request again by itself.
    pub may_be_repeated: bool,
}

pub(crate) const ACCOUNT: RuleDescription = RuleDescription {
    requires: "both ends explain every request",
    sound: "by construction: it passes where no other rule of the account objects",
    source: None,
};

pub(crate) const RETRIED: RuleDescription = RuleDescription {
    requires: "nothing: retries that succeeded are described",
    sound: "by construction: it is a note",
    source: None,
};

pub(crate) const DUPLICATED: RuleDescription = RuleDescription {
    requires: "no request is executed by more than one attempt",
    sound: "by construction: two backends recorded that they completed the same request with a status below 500, and no error of the first was mended by the second",
    source: Some("RFC 9110 §9.2.2"),
};

pub(crate) const REPEATED: RuleDescription = RuleDescription {
    requires: "a request whose method is not idempotent reaches one backend once",
    sound: "by construction: two backends recorded the same request, and neither refused its stream (RFC 9113 §8.7)",
    source: Some("RFC 9110 §9.2.2"),
};

pub(crate) const MIRRORED: RuleDescription = RuleDescription {
    requires: "copies whose responses no client gets are the same request, and one that may be repeated; with --expect mirrored:20% as \
               many are made",
    sound: "by construction: a backend executed twenty requests or more and never responded to a client; faithful copies of \
            idempotent requests are a note",
    source: None,
};

pub(crate) const SUBREQUESTS: RuleDescription = RuleDescription {
    requires: "nothing: says that the balancer asks a backend before it passes requests on, as for authentication",
    sound: "by construction: nearly every request has an attempt with another method or path that was over before its own began; such \
            attempts are none of the request's",
    source: None,
};

pub(crate) const GIVEN_UP: RuleDescription = RuleDescription {
    requires: "nothing: says how soon backends learn that a client gave up its request, or that they do not",
    sound: "by construction: the client notes when it left, and the record when the attempt ended; backends on other hosts are left out",
    source: None,
};

pub(crate) const LOST: RuleDescription = RuleDescription {
    requires: "a request that a backend received gets its response",
    sound: "by construction: a backend recorded the request and the client got nothing; what an outage excuses is left out; where a client \
            gave up while backends were still at work, it is inconclusive",
    source: None,
};

pub(crate) const NOT_REACHED: RuleDescription = RuleDescription {
    requires: "every request reaches a backend or gets a response",
    sound: "by construction: no backend recorded the request and the client got nothing; where a client gave up while backends were at work \
            on requests before its own, and hardly any later one came before it, it is inconclusive: a balancer may keep a queue",
    source: None,
};

pub(crate) const IDLE_CLOSE: RuleDescription = RuleDescription {
    requires: "kept connections are not closed at the moment of use, apart from the few that an idle timeout explains",
    sound: "a few are a note if the method may be repeated; more are inconclusive, and so is a close later than 50 ms, where the \
            machine is so busy that responses took as long on the way; it fails only for many requests that must not be repeated",
    source: Some("RFC 9112 §9.5"),
};

pub(crate) const BALANCER: RuleDescription = RuleDescription {
    requires: "backends respond, not the balancer itself",
    sound: "by construction: the response carries no mark of a backend; successes and redirects alone are inconclusive, for a backend \
            that is none of the fleet's may have given them",
    source: Some("RFC 9110 §15.6"),
};

pub(crate) const STATUSES: RuleDescription = RuleDescription {
    requires: "backends respond with a status below 400, or with one of --expect status:…, outages apart",
    sound: "by construction: the client got that status from a backend",
    source: None,
};

pub(crate) const REFUSED: RuleDescription = RuleDescription {
    requires: "backends can read the requests that arrive",
    sound: "by construction: the backend recorded why it could not read the request, and its response came back",
    source: Some("RFC 9112 §3.2"),
};

pub(crate) const UNRECORDED: RuleDescription = RuleDescription {
    requires: "every response comes from a backend of the fleet",
    sound: "by construction: it never fails a balancer, an unknown backend is inconclusive",
    source: None,
};

pub(crate) const UNSENT: RuleDescription = RuleDescription {
    requires: "every request is sent that the schedule says",
    sound: "by construction: it never fails a balancer; the client had no free connection for the request until the end",
    source: None,
};

pub(crate) const NO_RESPONSE: RuleDescription = RuleDescription {
    requires: "every request gets a response",
    sound: "by construction: the client got nothing",
    source: None,
};
