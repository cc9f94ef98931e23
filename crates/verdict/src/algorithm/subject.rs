//! A balancer under experiment: what can be sent through it, and what comes back.

use std::net::IpAddr;
use std::time::Duration;

use crate::Moment;
use crate::algorithm::Algorithm;
use crate::algorithm::evidence::Pick;
use crate::algorithm::missing::SkipReason;
use crate::observation::Backend;

/// What is sent through the balancer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProbeRequest {
    /// From this address instead of the usual one.
    pub source: Option<IpAddr>,
    /// What is appended to path and query to make it another one.
    pub path: Option<u32>,
    /// What is put before the path to make it another one from its beginning on.
    pub front: Option<u32>,
    /// Makes the body another one of the same length, where the user's requests have one.
    pub body: Option<u32>,
    /// Makes the values of the parameters in the user's query others.
    pub query: Option<u32>,
    /// Headers besides the usual ones; the user's own of these names prevail.
    pub headers: Vec<(String, String)>,
    /// Headers in place of the user's own of these names.
    pub replaced: Vec<(String, String)>,
    /// On a connection that is kept under this number, or on a new one.
    pub connection: Option<usize>,
    /// The backend is asked to take that much longer.
    pub delay: Option<Duration>,
}

/// What came back for one request of an experiment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProbeReply {
    /// The request, and who responded. None if nothing was sent, or if the response came out of a cache.
    pub pick: Option<Pick>,
    /// Cookies that were set: name and value.
    pub cookies: Vec<(String, String)>,
    /// The header that brings back the session that a backend opened, and its value.
    pub session: Option<(String, String)>,
    /// When it was sent.
    pub sent: Moment,
    /// The time until its response had come.
    pub took: Duration,
    /// Whether its connection had carried a request before.
    pub reused: bool,
}

/// A request that was held, when it is over.
#[derive(Clone, PartialEq, Debug)]
pub struct Released {
    /// What came back.
    pub reply: ProbeReply,
    /// Whether it was surely in flight until it was waited for.
    pub outlasted: bool,
}

impl Released {
    /// Who responded, if anybody did.
    pub fn backend(&self) -> Option<Backend> {
        self.reply.pick.map(|pick| pick.backend).filter(|backend| backend.is_known())
    }

    /// From when until when its backend was surely busy with it, if it was asked to wait that long: it answers no sooner than after that
    /// delay, so it had the request that long before the response had come.
    pub(super) fn window(&self, delay: Duration) -> (Moment, Moment) {
        let since = self.reply.sent.after(self.reply.took.saturating_sub(delay));
        (since, if self.reply.took < delay { since } else { self.reply.sent.after(delay) })
    }

    /// The backend that was busy with it for that long.
    pub(super) fn busy_with(&self, delay: Duration) -> Option<Backend> {
        self.backend().filter(|_| self.reply.took >= delay)
    }

    /// The backend that was surely busy with it until it was waited for.
    pub(super) fn busy(&self) -> Option<Backend> {
        self.backend().filter(|_| self.outlasted)
    }
}

/// Requests side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The most requests in flight.
    pub width: usize,
    /// The time from the start of one request to that of the next.
    pub gap: Duration,
    /// Nothing more is sent when the experiments have lasted that long.
    pub until: Duration,
}

/// A balancer under experiment.
pub trait Subject {
    /// Sends one request and waits for its response.
    fn send(&mut self, request: &ProbeRequest) -> ProbeReply;
    /// Sends these side by side and waits for all; a reply for each that was sent.
    fn send_all(&mut self, requests: &[ProbeRequest], pace: &Pace) -> Vec<ProbeReply>;
    /// Sends a request that its backend answers only after that time, if it can be asked to, and does not wait.
    fn hold(&mut self, delay: Duration) -> bool;
    /// Waits for all that are held.
    fn release(&mut self) -> Vec<Released>;
    /// Whether source addresses can be chosen: the balancer is on this machine.
    fn has_sources(&self) -> bool;
    /// How long the experiments have lasted.
    fn elapsed(&self) -> Duration;
}

/// What is known before.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Setting {
    /// Backends that are ready and take part, if that is known.
    pub backends: Option<usize>,
    /// Whether backends can be asked to take their time.
    pub can_hold: bool,
    /// How long the balancer waits for a response, if that is known: one that takes longer may have it take the backend for dead.
    pub patience: Option<Duration>,
    /// Why requests keep the user's path, if they do: backends that are not ours may do anything at another one.
    pub keeps_path: Option<SkipReason>,
    /// Headers that the balancer might key on, besides the usual ones.
    pub headers: Vec<String>,
    /// Cookies that the balancer might hash.
    pub cookies: Vec<String>,
    /// Headers of the user's own whose values can be varied.
    pub own_headers: Vec<String>,
    /// Headers of the user's own whose values are kept: credentials, cookies, Host.
    pub kept_headers: Vec<String>,
    /// Whether the user's query has parameters.
    pub has_query: bool,
    /// Whether the user's requests have a body that can be varied.
    pub has_body: bool,
    /// Requests a second at most.
    pub rate: Option<f64>,
    /// Connections that may be open at once, if that is known to be few.
    pub connections: Option<usize>,
    /// The most requests that all experiments together may send.
    pub requests: Option<u64>,
    /// Whether nothing is broken or varied in the sample that follows, so that it is evidence too.
    pub is_followed: bool,
    /// What all of it may take; zero for no experiments.
    pub budget: Duration,
}

impl Setting {
    /// What goes by a header or a cookie whose name is not known.
    pub(super) fn unnamed(&self) -> Vec<Algorithm> {
        let header = (self.headers.is_empty() && self.own_headers.is_empty()).then_some(Algorithm::Header);
        header.into_iter().chain(self.cookies.is_empty().then_some(Algorithm::Cookie)).collect()
    }
}
