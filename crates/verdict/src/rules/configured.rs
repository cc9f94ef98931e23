//! What the balancer is configured to do to responses itself. A status that a line of its configuration gives may come from that line or from
//! a fault: nothing is proven. Bodies that are all rewritten, by a configuration that rewrites bodies, are described.

use std::collections::BTreeMap;

use crate::finding::{Facts, Finding, Level};
use crate::ledger::Entry;
use crate::observation::Flaw;
use crate::outcome::Outcome;
use crate::rules::case::Case;
use crate::rules::requirement::Requirement;

/// Takes it off what other rules hold against the balancer.
pub(super) fn soften(case: &Case, findings: &mut [Finding]) {
    let configured = &case.expectations.configured;
    let is_allowed = case.expectations.allowed.contains(&Outcome::Balancer);
    // What an outage would excuse the file may have done.
    let is_excused =
        |facts: &Facts| matches!(facts, Facts::Balancer(own) if own.excused == own.requests && !is_allowed);
    let is_held = |it: &&mut Finding| it.level > Level::Note || it.level == Level::Note && is_excused(&it.facts);
    for finding in findings.iter_mut().filter(is_held) {
        match &mut finding.facts {
            // One that a backend had received is not the file's.
            Facts::Balancer(own) if own.received == 0 && own.unprocessed == 0 => {
                let places = own.statuses.keys().map(|status| configured.statuses.get(status));
                let Some(places) = places.collect::<Option<Vec<_>>>() else { continue };
                own.configured = places.into_iter().flatten().cloned().collect();
                finding.level = Level::Inconclusive;
            }
            Facts::Altered(altered) if !configured.bodies.is_empty() => {
                let is_altered = |entry: &Entry| entry.outcome == Outcome::Altered;
                let of_bodies = |entry: &Entry| entry.observation.flaw == Some(Flaw::Body);
                let mut judged = case.ledger.entries().filter(|entry| case.judged.includes(entry));
                let is_expected = !case.expectations.required.contains(&Requirement::Intact);
                if is_expected && judged.all(|entry| !is_altered(&entry) || of_bodies(&entry)) {
                    altered.configured.clone_from(&configured.bodies);
                    let is_whole = hits_whole_urls(case, &is_altered);
                    finding.level = finding.level.min(if is_whole { Level::Note } else { Level::Inconclusive });
                }
            }
            // Who stores a response that is not to be stored does what the file says.
            Facts::Stale(stale) if !configured.stored.is_empty() => {
                stale.configured.clone_from(&configured.stored);
                finding.level = finding.level.min(Level::Inconclusive);
            }
            _ => {}
        }
    }
}

/// Whether each URL of the sample has it with all of its requests or with none.
fn hits_whole_urls(case: &Case, is_hit: &dyn Fn(&Entry) -> bool) -> bool {
    let mut urls: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    let sample = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    for entry in sample {
        let counts = urls.entry(case.urls.of(entry.sequence)).or_default();
        *counts = (counts.0 + u64::from(is_hit(&entry)), counts.1 + 1);
    }
    urls.values().all(|(hit, all)| *hit == 0 || hit == all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Backend, ClientOutcome};
    use crate::rules::Drill;
    use crate::rules::trial::RuleTrial;
    use crate::timeline::OutageWindow;

    /// The balancer responds with that status to some requests.
    fn responding(status: u16, configured: &[u16]) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.healthy(90);
        for _ in 0..9 {
            trial.balancer(status);
        }
        let line = |status: &u16| (*status, vec![format!("nginx.conf, line 7: return {status}")]);
        trial.expectations.configured.statuses = configured.iter().map(line).collect();
        trial
    }

    #[test]
    fn a_status_that_the_file_gives_proves_nothing_and_any_other_fails() {
        for status in [301, 403, 503] {
            let trial = responding(status, &[301, 403, 503]);
            assert_eq!((trial.level("balancer"), trial.failures()), (Some(Level::Inconclusive), vec![]), "{status}");
            let Facts::Balancer(own) = trial.facts("balancer") else { panic!() };
            assert_eq!(own.configured, [format!("nginx.conf, line 7: return {status}")]);
        }
        assert_eq!(responding(502, &[503, 403]).level("balancer"), Some(Level::Fail));
        assert_eq!(responding(403, &[]).level("balancer"), Some(Level::Fail));
    }

    #[test]
    fn what_an_outage_would_excuse_may_be_the_files_doing() {
        let seen = |status: u16, allowed: &[Outcome]| {
            let mut trial = responding(status, &[503]);
            let (broken, mended) = (RuleTrial::due(0), Some(RuleTrial::due(200)));
            trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended, is_restarted: false }];
            trial.drill.kind = Drill::Rough;
            trial.expectations.allowed = allowed.to_vec();
            trial.level("balancer")
        };
        assert_eq!(seen(503, &[]), Some(Level::Inconclusive));
        assert_eq!((seen(502, &[]), seen(503, &[Outcome::Balancer])), (Some(Level::Note), Some(Level::Note)));
    }

    #[test]
    fn a_cache_that_the_file_has_keep_what_is_not_to_be_kept_is_no_fault_that_is_proven() {
        let stale = |stored: &[&str]| {
            let mut trial = RuleTrial::new();
            trial.healthy(90);
            let given = trial.observations[0].response;
            trial.failed(ClientOutcome::Response, true);
            trial.answered(given, 0, 200);
            trial.expectations.configured.stored = stored.iter().map(|it| (*it).to_owned()).collect();
            trial
        };
        assert_eq!(stale(&[]).level("stale"), Some(Level::Fail));
        let line = "nginx.conf, line 3: proxy_ignore_headers Cache-Control";
        let kept = stale(&[line]);
        assert_eq!((kept.level("stale"), kept.failures()), (Some(Level::Inconclusive), vec![]));
        assert!(matches!(kept.facts("stale"), Facts::Stale(it) if it.configured == [line]));
    }

    fn altered(flaw: Flaw, every: u16) -> RuleTrial {
        let mut trial = RuleTrial::new();
        for turn in 0..90 {
            trial.delivered(turn % 3, 200);
            if turn % every == 0 {
                let last = trial.observations.last_mut().unwrap();
                (last.outcome, last.flaw) = (ClientOutcome::Altered, Some(flaw));
            }
        }
        trial.expectations.configured.bodies.push("nginx.conf, line 9: sub_filter a b".to_owned());
        trial
    }

    #[test]
    fn bodies_that_the_file_rewrites_are_described_unless_some_are_not_or_they_must_be_intact() {
        assert_eq!(
            (altered(Flaw::Body, 1).level("altered"), altered(Flaw::Body, 1).failures()),
            (Some(Level::Note), vec![])
        );
        assert_eq!(altered(Flaw::Body, 5).level("altered"), Some(Level::Inconclusive));
        assert_eq!(altered(Flaw::Identity, 1).level("altered"), Some(Level::Fail));
        let mut intact = altered(Flaw::Body, 1);
        intact.expectations.required.push(Requirement::Intact);
        assert_eq!(intact.level("altered"), Some(Level::Fail));
    }
}
