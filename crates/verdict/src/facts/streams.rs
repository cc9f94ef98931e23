//! What streams and WebSockets show: how they ended, what came of their events, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::life::StreamKind;

/// All streams of the run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// What goes over them.
    pub kind: StreamKind,
    /// Streams that were open.
    pub streams: u64,
    /// Requests that were to open one.
    pub of: u64,
    /// Streams to whose end nothing is missing: the backend ended them, or the client when its time was up.
    pub ended: u64,
    /// Events that backends wrote.
    pub written: u64,
    /// Events of backends that reached the client.
    pub came: u64,
    /// Messages that the client sent.
    pub sent: u64,
    /// Messages of the client that backends echoed and that came back.
    pub echoed: u64,
    /// From the moment at which a backend wrote an event until the client had it; null without events.
    pub delay: Option<Delay>,
    /// Streams that resumed another one, and missed nothing in between.
    pub resumed: u64,
}

/// A distribution of seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delay {
    /// Events whose delay was measured.
    pub events: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// The largest delay.
    pub max: f64,
    /// How late the client itself was, or the backends with what they pace: the 90th percentile of whoever was later.
    pub lateness: f64,
}

/// Requests that were to open a WebSocket and did not arrive as such.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Upgrades {
    /// Handshakes that backends received without what makes one.
    pub stripped: u64,
    /// Handshakes that the balancer itself refused.
    pub refused: u64,
    /// With which status; null where it refused none.
    pub status: Option<u16>,
    /// Handshakes that were sent.
    pub of: u64,
}

/// Events and messages that did not come once and in order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Messages {
    /// Streams that it happened to.
    pub streams: u64,
    /// Streams that were open.
    pub of: u64,
    /// From the backend: never came, though later ones did.
    pub lost: u64,
    /// From the backend: came more than once.
    pub doubled: u64,
    /// From the backend: came after a later one.
    pub misordered: u64,
    /// From the backend: of another stream, or not as a backend writes it.
    pub foreign: u64,
    /// From the client: never reached the backend.
    pub unreceived: u64,
    /// From the client: reached the backend more than once, or not in order.
    pub misplaced: u64,
}

/// Events that came late.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delays {
    /// What goes over them.
    pub websockets: bool,
    /// The delays of the events that came.
    pub delay: Delay,
    /// Written, and not come until the client left.
    pub withheld: u64,
    /// The limit of `--expect unbuffered:…`, in seconds; null without.
    pub limit: Option<f64>,
    /// Events beyond it, those withheld among them.
    pub beyond: u64,
    /// Streams of which more than half of the events were beyond it.
    #[serde(default)]
    pub streams: u64,
    /// Whether events came more slowly than they were written, or were written as fast as they were taken: they wait for those before them.
    #[serde(default)]
    pub is_backlog: bool,
}

/// Streams that ended before their end.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cuts {
    /// What goes over them.
    pub websockets: bool,
    /// How many, excused ones left out.
    pub streams: u64,
    /// Streams that the balancer ended too early: the backend saw the other side go.
    pub by_balancer: u64,
    /// Streams that the backend itself ended too early.
    pub by_backend: u64,
    /// Streams that were closed with a close frame that no backend sent, by code.
    #[serde(with = "super::by_number")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<u16, u64>"))]
    pub closed: BTreeMap<u16, u64>,
    /// How many of them an outage excuses.
    pub excused: u64,
    /// Streams that were open.
    pub of: u64,
    /// The last event of the median one.
    pub event: u32,
    /// Seconds that they had lived: the least and the most.
    pub age: (f64, f64),
    /// Seconds that they had been silent: the least and the most.
    pub idle: (f64, f64),
    /// Streams that ended too early within two seconds after a step of the scenario.
    pub at_step: u64,
    /// Streams that resumed one that was cut, and missed nothing in between.
    pub resumed: u64,
    /// Whether `--expect uncut` asks for it.
    pub is_expected: bool,
}

impl Cuts {
    /// All those that were closed with a frame.
    pub fn closed_properly(&self) -> u64 {
        self.closed.values().sum()
    }
}

/// Streams that look whole and are not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Truncations {
    /// How many, excused ones left out.
    pub streams: u64,
    /// How many of them an outage excuses.
    pub excused: u64,
    /// Streams that were open.
    pub of: u64,
    /// Seconds that they had lived: the least and the most.
    pub age: (f64, f64),
    /// Seconds that they had been silent: the least and the most.
    pub idle: (f64, f64),
}

/// Close frames that are not as they were sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseCodes {
    /// WebSockets that ended with a close frame.
    pub streams: u64,
    /// Those whose close frame is known at both ends.
    pub of: u64,
    /// As backends sent it, as it came (null: the connection ended without one), and how often.
    pub changed: Vec<(u16, Option<u16>, u64)>,
    /// As the client sent it, as it reached the backend (null: it did not), and how often.
    pub changed_upwards: Vec<(u16, Option<u16>, u64)>,
}

/// Streams that were alive at once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alive {
    /// Streams of each backend when all were open.
    pub first: Vec<(String, u64)>,
    /// By backend, before the first was ended as planned; null where nothing was done to the fleet.
    pub last: Option<Vec<(String, u64)>>,
    /// Whether `--expect alive:even` asks for it.
    pub is_expected: bool,
}

pub(crate) const STREAMS: RuleDescription = RuleDescription {
    requires: "nothing: what came of all streams is described",
    sound: "by construction: it is a note",
    source: None,
};

pub(crate) const UPGRADE: RuleDescription = RuleDescription {
    requires: "the opening handshake of a WebSocket reaches the backend as one",
    sound: "by construction: a backend recorded the request without it and responded with 426, or the balancer itself refused it with 400, \
            403, 405, 426 or 501",
    source: Some("RFC 9110 §7.8"),
};

pub(crate) const MESSAGES: RuleDescription = RuleDescription {
    requires: "every event and message comes once, in order and unaltered",
    sound: "by construction: they are numbered by who writes them; what an end cuts off is not counted here, nor what an outage excuses; \
            what does not come counts 3 s after its backend ended the stream, if nothing else came meanwhile",
    source: None,
};

pub(crate) const DELAYS: RuleDescription = RuleDescription {
    requires: "with --expect unbuffered:100ms nine of ten events come within that time, and half of those of each stream; \
               messages of a WebSocket are not held back",
    sound: "both times are of one clock, or only their differences are used; what the client and the backends were late themselves, one time in \
            forty, is taken off four times: where that decides it is inconclusive; a stream counts alone only with ten events and three seconds, and apart from drills; without the expectation it \
            is a note, or inconclusive where a tenth of the messages of WebSockets had not come when the client left",
    source: None,
};

pub(crate) const CUT: RuleDescription = RuleDescription {
    requires: "the balancer ends no stream before its end; with --expect uncut not with a close frame during a drill either",
    sound: "by construction: the client saw no end, and the record says who ended it; what a backend ends itself, and a close frame during \
            a reload, is a note; where no record says who, it is inconclusive; what an outage excuses is left out",
    source: Some("RFC 9112 §8"),
};

pub(crate) const STREAM_TRUNCATED: RuleDescription = RuleDescription {
    requires: "a stream that looks whole is whole",
    sound: "by construction: the response ended as its framing says, and its backend had not ended it, or had written later events",
    source: Some("RFC 9112 §8"),
};

pub(crate) const CLOSE_CODE: RuleDescription = RuleDescription {
    requires: "the code of a close frame arrives as it was sent",
    sound: "by construction: both ends noted the code of the same close frame; where none came when the client ended the stream, or no \
            reply to it, it is inconclusive",
    source: Some("RFC 6455 §7.4"),
};

pub(crate) const ALIVE: RuleDescription = RuleDescription {
    requires: "with --expect alive:even the streams that are alive are spread evenly over the backends",
    sound: "it passes within two streams or a tenth, fails where even a fair draw for each stream would differ less, at the level of \
            shares, and is inconclusive in between",
    source: None,
};
