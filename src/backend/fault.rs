//! How this backend misbehaves: what is done to a request, given the faults that are switched on and numbers drawn by the caller.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::num::NonZeroU16;
use std::time::Duration;

use http::grpc::GrpcStatus;
use http::h2::ErrorCode;

use crate::wire::{BadCertificate, Fault, FaultShare, RequestId};

/// The faults that are switched on, and what they must remember.
#[derive(Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
    attempts: AttemptCounts,
}

/// What a request is, as far as faults are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestKind {
    /// A request of HTTP/1.
    Plain,
    /// Of HTTP/2: on a stream of its own.
    Stream,
    /// A gRPC call, on a stream too.
    Call,
}

/// What is done to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Treatment {
    /// How long its response, or what comes instead of it, is held back first.
    pub(crate) delay: Duration,
    /// What happens after the delay.
    pub(crate) effect: Effect,
}

/// What a request gets; the later, the less is left of its response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Effect {
    /// The response is written as without a fault.
    Answer,
    /// A gRPC call gets half of its first message, then its end as if all were well; what is no call gets its response. So with those below.
    HalfMessage,
    /// Headers, then this status, without a message.
    GrpcStatus(GrpcStatus),
    /// The status of a call in its only head (Trailers-Only).
    TrailersOnly(GrpcStatus),
    /// An answer with this status instead.
    Status(u16),
    /// 503, because it is one of the first attempts.
    FirstFailed,
    /// The end of its stream with this code. On HTTP/1, where there are no streams, its answer; so those below.
    ResetStream(ErrorCode),
    /// The head and half of the body, then the end.
    CloseMidway,
    /// The end of the connection.
    Close,
    Reset,
    /// No byte is written; the connection stays open.
    Hang,
    /// REFUSED_STREAM: nothing was done, and the client may send it again.
    RefuseStream,
    /// GOAWAY: the same for it and all later ones on its connection.
    GoAway,
}

impl Treatment {
    /// What all requests get as long as there are no faults.
    pub(crate) const NORMAL: Treatment = Treatment { delay: Duration::ZERO, effect: Effect::Answer };
}

impl Faults {
    /// These, and no others any more.
    pub(crate) fn set(&mut self, list: Vec<Fault>) {
        self.list = list;
        if !self.list.iter().any(|fault| matches!(fault, Fault::FailFirst(_))) {
            self.attempts = AttemptCounts::default();
        }
    }

    /// Whether there is nothing to decide.
    pub(crate) fn are_none(&self) -> bool {
        self.list.is_empty()
    }

    /// What is wrong with the certificate of new connections; none for nothing.
    pub(crate) fn certificate(&self) -> Option<BadCertificate> {
        self.list.iter().find_map(|fault| if let Fault::Certificate(bad) = fault { *bad } else { None })
    }

    /// Whether health is touched.
    pub(crate) fn are_unhealthy(&self) -> bool {
        self.list.contains(&Fault::Unhealthy)
    }

    /// How many streams may be open at once on a connection, if that is limited.
    pub(crate) fn max_streams(&self) -> Option<u32> {
        self.list.iter().find_map(|fault| match fault {
            Fault::MaxStreams(most) => Some(most.get()),
            _ => None,
        })
    }

    /// What is done to a request that is not for health. Each fault draws for itself, uniformly from 0 and below 1; of those that
    /// strike, the one that leaves least of the response wins: goaway, refuse-stream, hang, reset, close, close-midway, reset-stream, fail-first, status,
    /// trailers-only, grpc-status, half-message. Those of streams strike on HTTP/2 alone, those of calls on calls. Latency adds to all.
    pub(crate) fn treat(
        &mut self,
        request: Option<RequestId>,
        kind: RequestKind,
        mut draw: impl FnMut() -> f64,
    ) -> Treatment {
        let mut treatment = Treatment::NORMAL;
        for fault in &self.list {
            let (share, effect) = match *fault {
                Fault::Hang(share) => (share, Effect::Hang),
                Fault::Reset(share) => (share, Effect::Reset),
                Fault::Close(share) => (share, Effect::Close),
                Fault::CloseMidway(share) => (share, Effect::CloseMidway),
                Fault::Status(status, share) => (share, Effect::Status(status)),
                Fault::Latency { time, spread, share } => {
                    if share.includes(draw()) {
                        treatment.delay = (time - spread) + spread.mul_f64(2.0 * draw());
                    }
                    continue;
                }
                Fault::FailFirst(first) => match request {
                    Some(request) if self.attempts.count(request, first) <= first.get() => {
                        (FaultShare::ALL, Effect::FirstFailed)
                    }
                    Some(_) | None => continue,
                },
                Fault::ResetStream(..) | Fault::RefuseStream(_) | Fault::GoAway(_) if kind == RequestKind::Plain => {
                    continue;
                }
                Fault::GrpcStatus(..) | Fault::TrailersOnly(..) | Fault::HalfMessage(_)
                    if kind != RequestKind::Call =>
                {
                    continue;
                }
                Fault::ResetStream(code, share) => (share, Effect::ResetStream(code)),
                Fault::GrpcStatus(status, share) => (share, Effect::GrpcStatus(status)),
                Fault::TrailersOnly(status, share) => (share, Effect::TrailersOnly(status)),
                Fault::HalfMessage(share) => (share, Effect::HalfMessage),
                Fault::RefuseStream(share) => (share, Effect::RefuseStream),
                Fault::GoAway(share) => (share, Effect::GoAway),
                Fault::Unhealthy | Fault::Certificate(_) | Fault::MaxStreams(_) => continue,
            };
            if share.includes(draw()) {
                treatment.effect = treatment.effect.max(effect);
            }
        }
        treatment
    }
}

/// How many of the latest requests have their attempts counted.
#[derive(Default)]
struct AttemptCounts {
    counts: HashMap<RequestId, u16>,
    /// In the order in which they first came.
    known: VecDeque<RequestId>,
}

const REMEMBERED: usize = 65_536;

impl AttemptCounts {
    /// The number of this attempt, from 1; not counted beyond what `first` needs.
    fn count(&mut self, request: RequestId, first: NonZeroU16) -> u16 {
        let count = match self.counts.entry(request) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.known.push_back(request);
                new.insert(0)
            }
        };
        *count = (*count + 1).min(first.get().saturating_add(1));
        let number = *count;
        if self.known.len() > REMEMBERED
            && let Some(oldest) = self.known.pop_front()
        {
            self.counts.remove(&oldest);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(texts: &[&str]) -> Faults {
        let mut faults = Faults::default();
        faults.set(texts.iter().map(|text| text.parse().unwrap()).collect());
        faults
    }

    fn id(sequence: u64) -> Option<RequestId> {
        Some(RequestId { run: 1, sequence })
    }

    #[test]
    fn each_fault_has_its_outcome() {
        for (fault, effect) in [
            ("status:418", Effect::Status(418)),
            ("close-midway", Effect::CloseMidway),
            ("close", Effect::Close),
            ("reset", Effect::Reset),
            ("hang", Effect::Hang),
            ("unhealthy", Effect::Answer),
            ("fail-first:1", Effect::Answer),
        ] {
            assert_eq!(
                faults(&[fault]).treat(None, RequestKind::Plain, || 0.999),
                Treatment { effect, ..Treatment::NORMAL },
                "{fault}"
            );
        }
    }

    #[test]
    fn faults_of_streams_strike_where_there_are_streams() {
        for (fault, effect) in [
            ("reset-stream:CANCEL", Effect::ResetStream(ErrorCode::CANCEL)),
            ("refuse-stream", Effect::RefuseStream),
            ("goaway", Effect::GoAway),
            ("max-streams:1", Effect::Answer),
        ] {
            assert_eq!(
                faults(&[fault, "status:503:0.1%"]).treat(None, RequestKind::Stream, || 0.5).effect,
                effect,
                "{fault}"
            );
            assert_eq!(
                faults(&[fault, "status:503"]).treat(None, RequestKind::Plain, || 0.5).effect,
                Effect::Status(503),
                "{fault}"
            );
        }
        assert_eq!(faults(&["max-streams:7"]).max_streams(), Some(7));
    }

    #[test]
    fn faults_of_calls_strike_calls_alone() {
        for (fault, effect) in [
            ("grpc-status:NOT_FOUND", Effect::GrpcStatus(GrpcStatus::NOT_FOUND)),
            ("trailers-only", Effect::TrailersOnly(GrpcStatus::UNAVAILABLE)),
            ("half-message", Effect::HalfMessage),
        ] {
            let mut faults = faults(&[fault]);
            assert_eq!(faults.treat(None, RequestKind::Call, || 0.5).effect, effect, "{fault}");
            for kind in [RequestKind::Plain, RequestKind::Stream] {
                assert_eq!(faults.treat(None, kind, || 0.5).effect, Effect::Answer, "{fault} {kind:?}");
            }
        }
        let mut all = faults(&["half-message", "grpc-status:3", "trailers-only:5", "reset-stream:8"]);
        assert_eq!(all.treat(None, RequestKind::Call, || 0.5).effect, Effect::ResetStream(ErrorCode::CANCEL));
        assert_eq!(all.treat(None, RequestKind::Plain, || 0.5).effect, Effect::Answer);
    }

    #[test]
    fn a_share_of_the_requests_is_struck() {
        let mut faults = faults(&["status:503:10%"]);
        assert_eq!(faults.treat(None, RequestKind::Plain, || 0.0999).effect, Effect::Status(503));
        assert_eq!(faults.treat(None, RequestKind::Plain, || 0.1).effect, Effect::Answer);
    }

    #[test]
    fn latency_is_uniform_within_its_spread_and_adds_to_what_else_is_done() {
        let mut faults = faults(&["latency:200ms±50ms", "close:50%"]);
        let treated = |draws: [f64; 3], faults: &mut Faults| {
            let mut draws = draws.into_iter();
            faults.treat(None, RequestKind::Plain, || draws.next().unwrap())
        };
        let held = |milliseconds, effect| Treatment { delay: Duration::from_millis(milliseconds), effect };
        assert_eq!(treated([0.9, 0.0, 0.4], &mut faults), held(150, Effect::Close));
        assert_eq!(treated([0.9, 0.5, 0.6], &mut faults), held(200, Effect::Answer));
        assert_eq!(treated([0.9, 0.75, 0.6], &mut faults), held(225, Effect::Answer));
    }

    #[test]
    fn the_first_attempts_of_each_request_fail() {
        let mut faults = faults(&["fail-first:2"]);
        let mut effect = |id| faults.treat(id, RequestKind::Plain, || 0.5).effect;
        assert_eq!(
            [id(1), id(2), id(1), id(1), id(2), id(2), id(1)].map(&mut effect),
            [
                Effect::FirstFailed,
                Effect::FirstFailed,
                Effect::FirstFailed,
                Effect::Answer,
                Effect::FirstFailed,
                Effect::Answer,
                Effect::Answer,
            ]
        );
        assert_eq!(effect(None), Effect::Answer);
    }

    #[test]
    fn attempts_are_remembered_of_the_latest_requests_while_the_fault_stays() {
        let mut faults = faults(&["fail-first:1"]);
        for sequence in 0..=REMEMBERED as u64 {
            assert_eq!(faults.treat(id(sequence), RequestKind::Plain, || 0.5).effect, Effect::FirstFailed);
        }
        assert_eq!(faults.attempts.counts.len(), REMEMBERED);
        assert_eq!(faults.treat(id(1), RequestKind::Plain, || 0.5).effect, Effect::Answer);
        faults.set(vec!["fail-first:1".parse().unwrap(), "hang:1%".parse().unwrap()]);
        assert_eq!(faults.treat(id(1), RequestKind::Plain, || 0.5).effect, Effect::Answer);
        // The oldest was forgotten.
        assert_eq!(faults.treat(id(0), RequestKind::Plain, || 0.5).effect, Effect::FirstFailed);
        faults.set(vec!["hang:1%".parse().unwrap()]);
        assert_eq!(faults.attempts.counts.len(), 0);
    }

    proptest! {
        #[test]
        fn of_those_that_strike_the_one_that_leaves_least_of_the_answer_wins(
            order in Just(vec!["status:503", "fail-first:1", "close-midway", "close", "reset", "hang"]).prop_shuffle(),
            count in 0..=6usize,
        ) {
            let chosen = &order[..count];
            let effect = faults(chosen).treat(id(1), RequestKind::Plain, || 0.5).effect;
            let has = |fault| chosen.contains(&fault);
            let expected = match () {
                () if has("hang") => Effect::Hang,
                () if has("reset") => Effect::Reset,
                () if has("close") => Effect::Close,
                () if has("close-midway") => Effect::CloseMidway,
                () if has("fail-first:1") => Effect::FirstFailed,
                () if has("status:503") => Effect::Status(503),
                () => Effect::Answer,
            };
            prop_assert_eq!(effect, expected);
        }

        #[test]
        fn latency_stays_within_its_spread(time in 1..300_000_000_000u64, part in 0.0..=1.0f64, draw in 0.0..1.0f64) {
            let (time, spread) = (Duration::from_nanos(time), Duration::from_nanos((time as f64 * part) as u64));
            let mut faults = Faults::default();
            faults.set(vec![Fault::Latency { time, spread, share: FaultShare::ALL }]);
            let delay = faults.treat(None, RequestKind::Plain, || draw).delay;
            prop_assert!(delay >= time - spread && delay <= time + spread, "{:?}", delay);
        }
    }
}
