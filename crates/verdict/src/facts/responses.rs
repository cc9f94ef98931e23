//! The rules of the response: what comes back is what the backend wrote, to the request that it was written for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::facts::connections::ConnectionLimit;
use crate::facts::requests::Extent;
use crate::observation::Backend;
use crate::{Instance, Moment};

pub(crate) const STALE: RuleDescription = RuleDescription {
    requires: "no request gets a response that was given before",
    sound: "by construction: each response has an id of its own, minted when it is written; backends send Cache-Control: no-store",
    source: Some("RFC 9111 §5.2.2.5"),
};

pub(crate) const SWAPPED: RuleDescription = RuleDescription {
    requires: "every response comes back to the request that it was written for",
    sound: "by construction: the response names the request that the backend received",
    source: Some("RFC 9112 §9.3.2"),
};

pub(crate) const TRUNCATED: RuleDescription = RuleDescription {
    requires: "responses come back whole",
    sound: "by construction: framing says where a response ends; where the record of its backend ends early too, that backend is named",
    source: Some("RFC 9112 §8"),
};

pub(crate) const ALTERED: RuleDescription = RuleDescription {
    requires: "responses come back as the backend wrote them",
    sound: "by construction: the id in the body, the id in the head and the status are compared with the record",
    source: Some("RFC 9110 §7.7"),
};

pub(crate) const RESPONSE_FIELDS: RuleDescription = RuleDescription {
    requires: "the fields that a backend writes come back alike in all responses of a status; what is changed in all of them is described",
    sound: "by construction: each response carries a digest of its status and fields, and what backends write is known; Date is compared \
            by its time, for a balancer may write its own: it is another one where it is more than five minutes off",
    source: Some("RFC 9110 §7.7"),
};

pub(crate) const COMPRESSED: RuleDescription = RuleDescription {
    requires: "nothing of responses that are all compressed on the way, unless --expect intact forbids what no request asks for; where \
               some of like responses are, and no request asks for it, it is inconclusive",
    sound: "by construction: backends write no content coding, and what is decompressed is compared with the digest; responses are alike \
            where there is one URL and one body and nothing is varied",
    source: Some("RFC 9110 §8.4"),
};

pub(crate) const COOKIES: RuleDescription = RuleDescription {
    requires: "nothing: says which cookies a browser does not keep, and by which attribute",
    sound: "by construction: the rules of RFC 6265bis for Secure, Domain, Path, SameSite and prefixes of names",
    source: Some("RFC 6265 §5.3"),
};

/// What the client noted of responses beside what became of each request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReceivedResponses {
    /// Fields that are not what the backend wrote.
    pub deviations: Vec<Deviation>,
    /// Values of Server, which no backend of this program writes.
    pub servers: Vec<String>,
    /// Values of Via in responses.
    pub vias: Vec<String>,
    /// Content codings of responses of the fleet.
    pub codings: Vec<String>,
    /// Whole responses of the sample with content, and with such a coding.
    pub coded: u64,
    /// Those without one.
    pub plain: u64,
    /// Cookies that a browser does not keep or never sends back, each with the reason.
    pub refused_cookies: Vec<String>,
    /// Connections that the balancer serves at once, where that is fewer than the check was to use.
    pub connection_limit: Option<ConnectionLimit>,
    /// Connections whose first segment the kernel had to send again, by the whole seconds that they took to open.
    pub slow_openings: BTreeMap<u64, u64>,
    /// Clients of the sample for which a backend opened a session, where the user says where its id stands.
    pub sessions: u64,
    /// Names of the cookies that responses set instead.
    pub other_cookies: Vec<String>,
    /// Numbers of requests before which a cookie of their client had expired, in order.
    pub lapsed: Vec<u32>,
    /// The name of the first of these cookies.
    pub lapsed_cookie: Option<String>,
    /// What responses say, beyond their status, in which no backend has named itself.
    pub words: Vec<ResponseWords>,
    /// Processes of backends that responded, from the first request on.
    pub processes: Vec<ObservedProcess>,
}

/// What some responses of a status say beyond it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseWords {
    /// Their status.
    pub status: u16,
    /// What they say.
    pub text: String,
    /// Numbers of the first of them.
    pub first: Vec<u64>,
}

impl ReceivedResponses {
    /// What the response to that request says, if it is known: all of its status do, or it was looked at.
    pub(crate) fn words(&self, request: u32, status: u16) -> Option<&str> {
        let of_status = || self.words.iter().filter(|it| it.status == status);
        let own = of_status().find(|it| it.first.contains(&u64::from(request)));
        own.or_else(|| of_status().next().filter(|_| of_status().count() == 1)).map(|it| it.text.as_str())
    }
}

/// A process of a backend, as its responses show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObservedProcess {
    /// The instance id that its responses carried.
    pub instance: Instance,
    /// The backend whose name it gave.
    pub backend: Backend,
    /// How many responses carried it.
    pub responses: u64,
    /// When the first had come.
    pub first: Moment,
    /// When the last had.
    pub last: Moment,
}

/// A field, or the status, that is not what the backend wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deviation {
    /// Its name; `status` for the status.
    pub field: String,
    /// Its value as the backend wrote it; null where it wrote none.
    pub written: Option<String>,
    /// Its values as they came, in order; none where it did not come.
    pub received: Vec<String>,
    /// Responses with this deviation.
    pub count: u64,
    /// Numbers of the first of them.
    pub first: Vec<u64>,
}

/// Responses with fields that are not what the backend wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldChanges {
    /// How many responses were changed in this field.
    pub changed: u64,
    /// Of how many of the fleet, with the same statuses.
    pub of: u64,
    /// Whether it hits all responses or some.
    pub extent: Extent,
    /// What differs, the most frequent first.
    pub deviations: Vec<Deviation>,
}

/// A piece of evidence that is text alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TextWitness {
    /// One statement each.
    pub words: Vec<String>,
}

/// Responses that were compressed on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compression {
    /// The content codings.
    pub words: Vec<String>,
    /// Responses of the sample with one of them.
    #[serde(default)]
    pub compressed: u64,
    /// Responses of the sample with content.
    #[serde(default)]
    pub of: u64,
    /// Whether requests have Accept-Encoding.
    #[serde(default)]
    pub is_asked: bool,
    /// Whether `--expect intact` forbids it.
    #[serde(default)]
    pub is_forbidden: bool,
}

/// Responses that are not what the backend wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Altered {
    /// How many responses were altered.
    pub requests: u64,
    /// Requests that were sent, all together.
    pub of: u64,
    /// In what they are wrong, with the number of responses, the most frequent first.
    pub flaws: Vec<(String, u64)>,
    /// Whether one of them breaks HTTP itself: it is framed wrongly.
    pub malformed: bool,
    /// Responses that may be right, but are beyond what this client reads.
    #[serde(default)]
    pub beyond_limits: u64,
    /// Responses in whose head a field is wrong, and nothing else is known to be.
    #[serde(default)]
    pub fields: u64,
    /// Responses to calls of gRPC that ended without a grpc-status.
    #[serde(default)]
    pub without_call_status: u64,
    /// Whether the calls of those arrived in HTTP/1, which has no gRPC.
    #[serde(default)]
    pub calls_over_http_1: bool,
    /// Responses to calls of gRPC with a content coding, which their clients do not undo.
    #[serde(default)]
    pub coded_calls: u64,
    /// Lines of the balancer's configuration that rewrite bodies, where nothing but bodies is altered.
    #[serde(default)]
    pub configured: Vec<String>,
}
