//! The load of the sample, from what the plan says and what the experiments found.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::check::figures::duration_of;
use crate::check::load::{Load, Pacing, Reuse, SessionPlace, Vary};
use crate::check::session::CheckSession;
use crate::check::subject::{other_query, template};
use crate::check::target;
use verdict::algorithm::{Algorithm, Inference, Key};
use verdict::rules::{ExpectedGroup, FALSE_ALARM, needed_of_rotation};
use verdict::statistics::needs;

/// A sample whose length nobody gave ends then at the latest.
const LONGEST: Duration = Duration::from_secs(60);
/// The same of the only rotation, which went round without an exception before: that its shares are right shows in fewer requests, if they fit.
const LONGEST_OF_ROTATION: Duration = Duration::from_secs(20);
pub(crate) const BODY_LIMIT: u64 = 16 * 1024 * 1024;
/// Clients of a sample in which they differ.
const CLIENTS: u32 = 1024;
/// Each of them holds a connection of its own.
const SOURCES: u32 = 256;

pub(crate) fn load(session: &CheckSession, inference: &Inference, first: u64) -> Result<Load> {
    let plan = session.plan;
    let has_scenario = !plan.scenario.steps.is_empty();
    let rate = plan.sample_rate();
    let shares = plan.expectations.shares(&session.ready()).unwrap_or_default();
    // Of what is judged: the groups of a split, or the backends.
    let judged = match plan.expectations.groups.as_slice() {
        [] => shares.clone(),
        groups => ExpectedGroup::shares(groups),
    };
    let needed = match judged.len() {
        0 | 1 => 10_000,
        _ => needs(plan.expectations.tolerance_of(&judged) - plan.expectations.margin, &judged, FALSE_ALARM / 2.0),
    };
    // Who waits for each response sends no faster than those come.
    let fastest = || {
        let usual = session.client.with(|prober, _| prober.usual_time())?;
        Some(session.connections_at_once() as f64 / usual.as_secs_f64())
    };
    let (requests, duration) = match (plan.load.requests, plan.load.duration, has_scenario) {
        (None, None, true) => (None, Some(duration_of(&plan.scenario))),
        (None, None, false) => {
            (Some(needed), Some(longest(inference, plan.expectations.tolerance_of(&judged), rate.or_else(fastest))))
        }
        (requests, duration, _) => (requests, duration),
    };
    let left = plan.load.budget.map(|budget| budget.saturating_sub(first).max(1));
    let requests = requests.into_iter().chain(left).min();
    let in_time = duration.zip(rate.or_else(fastest)).map(|(time, rate)| (time.as_secs_f64() * rate) as u64);
    let expected = requests.into_iter().chain(in_time).min();
    let further = plan.target.further_urls.iter().map(|url| target::resolve(url, plan));
    let targets = std::iter::once(Ok(session.client.target().clone())).chain(further).collect::<Result<_>>()?;
    let vary = vary(&session.client.target().path, plan.affinity.session.as_ref(), inference, expected);
    // A rotation is judged otherwise, and a size that the user gave is kept.
    let is_draw = !matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    let is_open_ended = plan.load.requests.is_none() && plan.load.duration.is_none() && !has_scenario;
    let is_required = plan.expectations.shares.is_some() && plan.expectations.margin == 0.0;
    let ends_early = is_draw && is_open_ended && is_required && matches!(vary, Vary::Nothing);
    let reuse = if plan.load.new_connections || inference.per_connection { Reuse::New } else { Reuse::Kept };
    // Where each connection is one request's or one client's, requests do not share any.
    let shares_connections = reuse == Reuse::Kept && !matches!(vary, Vary::Source { .. });
    Ok(Load {
        targets,
        run: session.run,
        first,
        request: Arc::new(plan.request.spec()),
        connections: session.connections_at_once(),
        streams: if shares_connections { plan.load.multiplex } else { 1 },
        first_connection: session.client.with(|prober, _| prober.opened()),
        reuse,
        pacing: rate.map_or(Pacing::Closed, |rate| Pacing::Open { rate }),
        requests,
        duration,
        timeout: plan.load.timeout,
        body_limit: BODY_LIMIT,
        vary,
        session: plan.affinity.session.clone(),
        identity: session.identity.clone(),
        required: ends_early.then_some(shares),
    })
}

/// How long a sample takes at most whose length nobody gave. `rate`: requests a second, as far as that is known.
fn longest(inference: &Inference, tolerance: f64, rate: Option<f64>) -> Duration {
    let rotates = matches!(inference.certain(), Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    let is_only = inference.rotations == Some(1) && inference.exceptions == 0;
    let needed = needed_of_rotation(inference, tolerance);
    let fits = rate.is_some_and(|rate| rate * LONGEST_OF_ROTATION.as_secs_f64() >= needed);
    if rotates && is_only && fits { LONGEST_OF_ROTATION } else { LONGEST }
}

/// What the balancer keys on is varied, so that all backends get something.
fn vary(path: &str, session: Option<&SessionPlace>, inference: &Inference, requests: Option<u64>) -> Vary {
    // Each must come back a few times.
    let clients = requests.map_or(CLIENTS, |requests| (requests / 16).clamp(16, u64::from(CLIENTS)) as u32);
    match session {
        Some(SessionPlace::Cookie(_)) => return Vary::Jar { clients },
        Some(place @ (SessionPlace::Header(_) | SessionPlace::Json { .. })) => {
            return Vary::Session { place: place.clone(), clients };
        }
        None => {}
    }
    match (inference.kind, &inference.key) {
        (Some(Algorithm::Sticky), _) => Vary::Jar { clients },
        (_, Some(Key::Network | Key::Host)) => Vary::Source { clients: clients.min(SOURCES) },
        (_, Some(Key::Query)) => Vary::Path { clients, template: other_query(path, "client-{}") },
        (_, Some(Key::Path)) => Vary::Path { clients, template: template(path) },
        (_, Some(Key::Header(name))) => Vary::Header { name: name.clone(), clients },
        (_, Some(Key::Cookie(name))) => Vary::Cookie { name: name.clone(), clients },
        // Bodies stay the user's own, and another beginning of the path may be no path of the backends.
        (_, None | Some(Key::Body | Key::PathFront)) => Vary::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict::algorithm::{Evidence, Pick};
    use verdict::observation::Backend;

    /// Turns of which one in a number is left out.
    fn rotation(skips: u32) -> Inference {
        let picks = |numbers: std::ops::Range<u32>| -> Vec<Pick> {
            let backend = |number: u32| Backend(((number + number / skips) % 3) as u16);
            numbers.map(|sequence| Pick { sequence, backend: backend(sequence) }).collect()
        };
        Evidence { fresh: picks(0..600), kept: picks(600..750), ..Evidence::default() }.infer(&[])
    }

    #[test]
    fn a_rotation_takes_no_minute_where_fewer_requests_show_its_shares() {
        let seen = rotation(1_000);
        let open = Inference { or: vec![Algorithm::LeastConnections], ..seen.clone() };
        let certain = Inference { or: Vec::new(), ..seen };
        assert_eq!(longest(&certain, 0.02, Some(480.0)), LONGEST_OF_ROTATION);
        // Too slow, or not known; and what is not certain, or was left, takes its time.
        for (inference, rate) in
            [(&certain, Some(100.0)), (&certain, None), (&open, Some(480.0)), (&rotation(97), Some(480.0))]
        {
            assert_eq!(longest(inference, 0.02, rate), LONGEST);
        }
    }
}
