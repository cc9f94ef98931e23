//! What all experiments share: the subject, what its requests take, and how many of them go one after the other or side by side.

use std::time::Duration;

use super::evidence::Evidence;
use super::missing::SkipReason;
use super::subject::{Pace, ProbeReply, ProbeRequest, Setting, Subject};
use crate::observation::Backend;

/// Requests of all experiments one after the other, roughly.
const SERIAL: f64 = 2_000.0;
/// In flight at most, where requests go side by side.
const WIDTH: usize = 96;
/// From one to the next: a balancer that is not starved has picked by then.
const GAP: Duration = Duration::from_millis(2);
/// No backend is asked to wait longer, whatever is known of the balancer.
const LONGEST_DELAY: Duration = Duration::from_secs(1);
pub(super) const VALUES: u32 = 24;
pub(super) const TIMES: usize = 3;

pub(super) struct Lab<'a> {
    pub(super) subject: &'a mut dyn Subject,
    pub(super) setting: &'a Setting,
    pub(super) evidence: Evidence,
    pub(super) chance: u64,
    /// What a request takes, smoothed.
    pub(super) usual: Duration,
    /// By how much that varies, most times.
    pub(super) varies: Duration,
    pub(super) sent: u64,
    /// Requests of clients that bring back what they were given, one a client.
    pub(super) clients: Vec<ProbeRequest>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(subject: &'a mut dyn Subject, setting: &'a Setting, evidence: Evidence) -> Lab<'a> {
        let (usual, varies) = (Duration::ZERO, Duration::ZERO);
        Lab { subject, setting, evidence, chance: 0x2545_f491_4f6c_dd1d, usual, varies, sent: 0, clients: Vec::new() }
    }

    /// The longest time for which a backend is asked to wait: no balancer may take it for dead.
    pub(super) fn longest_delay(&self) -> Duration {
        self.setting.patience.map_or(LONGEST_DELAY, |patience| LONGEST_DELAY.min(patience / 2))
    }

    /// Whether the rest fits into the time one request after the other.
    pub(super) fn is_serial(&self) -> bool {
        self.setting.rate.is_none()
            && self.setting.requests.is_none()
            && self.usual.as_secs_f64() * SERIAL < self.setting.budget.as_secs_f64() * 0.75
    }

    /// Whether this number of requests fits one after the other, where not all does: a busy machine cannot change their order then.
    pub(super) fn fits_in_turn(&self, wanted: usize) -> bool {
        let left = self.setting.budget.mul_f64(0.35).saturating_sub(self.subject.elapsed());
        let each = self.setting.rate.map_or(self.usual, |_| self.usual.max(self.gap()));
        self.setting.requests.is_none() && each.as_secs_f64() * (wanted as f64) < left.as_secs_f64()
    }

    /// Requests one after the other, at the rate if there is one, until that share of the time is over.
    pub(super) fn in_turn(&mut self, requests: &[ProbeRequest], share: f64) -> Vec<ProbeReply> {
        let until = self.setting.budget.mul_f64(share);
        if self.setting.rate.is_some() {
            let replies = self.subject.send_all(requests, &Pace { width: 1, gap: self.gap(), until });
            self.sent += replies.len() as u64;
            return replies;
        }
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            if self.subject.elapsed() > until {
                break;
            }
            replies.push(self.one(request));
        }
        replies
    }

    pub(super) fn gap(&self) -> Duration {
        self.setting.rate.map_or(GAP, |rate| GAP.max(Duration::from_secs_f64(1.0 / rate.max(0.01))))
    }

    /// Whether that many connections may be open at once, besides one on which a request is sent.
    pub(super) fn may_open(&self, connections: usize) -> bool {
        self.setting.connections.is_none_or(|most| connections < most)
    }

    pub(super) fn left(&self) -> Duration {
        self.setting.budget.saturating_sub(self.subject.elapsed())
    }

    pub(super) fn requests_left(&self) -> usize {
        self.setting.requests.map_or(usize::MAX, |most| most.saturating_sub(self.sent) as usize)
    }

    /// Why as many requests as are wanted do not fit.
    pub(super) fn why_not(&self, wanted: usize) -> SkipReason {
        if self.requests_left() < wanted { SkipReason::NoRequests } else { SkipReason::NoTime }
    }

    /// How many of a number of requests fit into that share of the time, less what is gone.
    pub(super) fn affordable(&self, wanted: usize, share: f64) -> usize {
        let left = self.setting.budget.mul_f64(share).saturating_sub(self.subject.elapsed()).as_secs_f64();
        let usual = self.usual.as_secs_f64().max(5e-5);
        let fits = if self.is_serial() {
            left / usual
        } else {
            // They end together, one response after the last was sent.
            (left - usual).max(0.0) / (usual / WIDTH as f64).max(self.gap().as_secs_f64())
        };
        wanted.min(fits as usize).min(self.requests_left())
    }

    /// Requests one after the other, or side by side where that takes too long; fewer if the time is over.
    pub(super) fn series(&mut self, requests: &[ProbeRequest], share: f64) -> Vec<ProbeReply> {
        let until = self.setting.budget.mul_f64(share);
        let mut replies = Vec::with_capacity(requests.len());
        if self.is_serial() {
            for request in requests {
                if self.subject.elapsed() > until {
                    break;
                }
                replies.push(self.one(request));
                // It has become slow.
                if !self.is_serial() {
                    break;
                }
            }
        }
        let rest = &requests[replies.len()..];
        if !rest.is_empty() && !self.is_serial() {
            let fitting = rest.len().min(self.requests_left());
            let pace = Pace { width: WIDTH, gap: self.gap(), until };
            let more = self.subject.send_all(&rest[..fitting], &pace);
            self.sent += more.len() as u64;
            replies.extend(more);
        }
        replies
    }

    pub(super) fn one(&mut self, request: &ProbeRequest) -> ProbeReply {
        let reply = self.subject.send(request);
        self.sent += 1;
        self.usual = (self.usual * 31 + reply.took) / 32;
        reply
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        // xorshift64*: any order will do that has nothing to do with the balancer's.
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        ((u128::from(self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d)) * bound as u128) >> 64) as usize
    }

    /// Each once, in an order that no rotation has.
    pub(super) fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            places.swap(place, self.below(place + 1));
        }
        places
    }
}

/// By how much four in five of them take longer than the shortest of the same backend at most: that one backend is slower than another is known
/// to their clients, and to the balancer.
pub(super) fn variation<'r>(replies: impl Iterator<Item = &'r ProbeReply>) -> Duration {
    let mut took: Vec<(Option<Backend>, Duration)> =
        replies.map(|reply| (reply.pick.map(|pick| pick.backend), reply.took)).collect();
    took.sort_unstable();
    let apart = |backends: &[(Option<Backend>, Duration)]| -> Vec<Duration> {
        backends.iter().map(|(_, took)| *took - backends[0].1).collect()
    };
    let mut longer: Vec<Duration> = took.chunk_by(|one, next| one.0 == next.0).flat_map(apart).collect();
    longer.sort_unstable();
    longer.get(longer.len() * 4 / 5).copied().unwrap_or_default()
}
