//! The rule of hidden copies: a balancer that sends requests twice may leave out our header the second time.

use std::time::Duration;

use crate::Moment;
use crate::arrived::OtherKind;
use crate::facts::copies::CopyFacts;
use crate::finding::{self, Finding, Level};
use crate::ledger::{Arrival, BackendRecords, Entry, UNNUMBERED};
use crate::request::RequestPart;
use crate::rules::case::Case;

/// Fewer are no pattern.
const ENOUGH: u64 = 50;
/// A copy may come that much later than its request's end.
const LATE: Duration = Duration::from_millis(100);
/// No balancer checks the health of a backend as often: HAProxy, Envoy and others ask every few seconds.
const CHECKS_A_SECOND: f64 = 100.0;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    if case.ledger.records() != BackendRecords::Kept {
        return None;
    }
    let kinds = alike(case);
    let kind = kinds.iter().map(|(kind, _)| *kind).max_by_key(|kind| kind.count)?;
    // Of several URLs a mirror may copy the requests of some.
    let urls: Option<Vec<usize>> = kinds.iter().map(|(_, url)| *url).collect();
    let is_of_these = |entry: &Entry| urls.as_ref().is_none_or(|urls| urls.contains(&case.urls.of(entry.sequence)));
    let entries = case.ledger.entries().filter(|entry| case.judged.includes(entry) && !entry.attempts.is_empty());
    let entries = entries.filter(is_of_these);
    let spans: Vec<(Moment, Moment)> =
        entries.map(|entry| (entry.observation.sent(), entry.observation.ended.after(LATE))).collect();
    // What arrived without an id before is the warm-up's, if the balancer takes ids away.
    let takes_ids = !case.ledger.unidentified().is_empty();
    let first = spans.iter().map(|(sent, _)| *sent).min().unwrap_or_default();
    let last = spans.iter().map(|(_, end)| *end).max().unwrap_or_default();
    let begin = if takes_ids { first } else { Moment::default() };
    let arrived: Vec<&Arrival> =
        case.ledger.others().iter().filter(|it| it.sequence == UNNUMBERED && it.received >= begin).collect();
    let alike = kinds.iter().map(|(kind, _)| kind.count).sum::<u64>().min(arrived.len() as u64);
    if alike == 0 {
        return None;
    }
    let (paired, of) = (count_paired(&spans, &arrived), spans.len() as u64);
    let one_to_one = of >= ENOUGH && paired * 100 >= of * 95 && arrived.len() as u64 * 100 <= of * 115;
    let of_checks = kinds.iter().map(|(kind, _)| kind.of_checks).sum();
    let of_checks = if case.others.kinds.iter().any(|it| it.of_another_check) { 0 } else { of_checks };
    // A health check may look like a GET of the same path without a body, but for what a check says of its requests; and nothing else does.
    let is_of_a_health_check = matches!(case.sent.method, "GET" | "HEAD" | "OPTIONS");
    let is_telling = !is_of_a_health_check || kinds.iter().any(|(kind, _)| kind.body_length > 0) || of_checks > 0;
    // Health checks may keep the pace of a check that sends few requests.
    let most_checks = CHECKS_A_SECOND * case.names.len() as f64 * last.since(first).as_secs_f64();
    let is_frequent = arrived.len() as f64 > most_checks;
    // One of the check's own that lost its id and got no response looks like a copy.
    let level = if case.own_fleet && (one_to_one && is_frequent || is_telling && !takes_ids) {
        Level::Fail
    } else if one_to_one || is_telling {
        // So may another client, which may be as fast as the check is, too.
        Level::Inconclusive
    } else {
        Level::Note
    };
    let facts = CopyFacts {
        alike,
        paired,
        of,
        of_checks,
        request: format!("{} {}", kind.method, kind.target),
        body_length: kind.body_length,
        own_fleet: case.own_fleet,
    };
    Some(Finding::new(level, finding::Facts::Copies(facts)))
}

/// The kinds of others' requests that look like ours, as ours arrive, each with the place of the URL of which it is, if that is known. What
/// has the id of another check is that check's.
fn alike<'a>(case: &'a Case) -> Vec<(&'a OtherKind, Option<usize>)> {
    // Of several URLs some may be rewritten, and others not.
    let is_mixed = case.urls.are_several();
    let arrives = |part: RequestPart, sent: &[String]| {
        let change = case.changes.part(part);
        let arrived = change.into_iter().flat_map(|it| &it.arrived.counts).map(|(text, _)| text.clone());
        let sent = if is_mixed || change.is_none() { sent } else { &[] };
        arrived.chain(sent.iter().cloned()).collect::<Vec<String>>()
    };
    let single = [case.sent.target.to_owned()];
    let targets = if is_mixed { case.urls.targets } else { &single };
    let split = |target: &str| match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (target.to_owned(), String::new()),
    };
    let (sent_paths, sent_queries): (Vec<String>, Vec<String>) = targets.iter().map(|it| split(it)).unzip();
    let methods = arrives(RequestPart::Method, &[case.sent.method.to_owned()]);
    let paths = arrives(RequestPart::Path, &sent_paths);
    let queries = arrives(RequestPart::Query, &sent_queries);
    let lengths = if case.bodies.is_empty() { &[0] } else { case.bodies };
    let lengths = arrives(RequestPart::BodyLength, &lengths.iter().map(u64::to_string).collect::<Vec<_>>());
    let is_ours = |kind: &&OtherKind| {
        let (path, query) = split(&kind.target);
        !kind.of_another_check
            && methods.contains(&kind.method)
            && paths.contains(&path)
            && queries.contains(&query)
            && lengths.contains(&kind.body_length.to_string())
    };
    let url_of = |kind: &OtherKind| targets.iter().position(|target| *target == kind.target).filter(|_| is_mixed);
    case.others.kinds.iter().filter(is_ours).map(|kind| (kind, url_of(kind))).collect()
}

/// How many of our requests can each be given one of the others' that arrived in its time: the earliest that ends first, as both are
/// in order of time.
fn count_paired(spans: &[(Moment, Moment)], arrived: &[&Arrival]) -> u64 {
    let mut spans = spans.to_vec();
    spans.sort_unstable_by_key(|(_, end)| *end);
    let mut times: Vec<Moment> = arrived.iter().map(|arrival| arrival.received).collect();
    times.sort_unstable();
    let mut used = vec![false; times.len()];
    let mut paired = 0;
    for (start, end) in spans {
        let first = times.partition_point(|time| *time < start);
        let free = (first..times.len()).take_while(|place| times[*place] <= end).find(|place| !used[*place]);
        if let Some(place) = free {
            used[place] = true;
            paired += 1;
        }
    }
    paired
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::RuleTrial;

    #[test]
    fn a_copy_of_each_request_without_its_id_fails_where_nobody_else_can_send_it() {
        for (is_own, method, body, level) in [
            (true, "POST", Some(20), Level::Fail),
            (true, "GET", None, Level::Fail),
            (false, "POST", Some(20), Level::Inconclusive),
            (false, "GET", None, Level::Inconclusive),
        ] {
            let mut trial = RuleTrial::new();
            (trial.sent.method, trial.sent.body, trial.fleet.is_own) = (method, body, is_own);
            for turn in 0..100 {
                trial.delivered(turn % 3, 200);
                trial.other((turn + 1) % 3);
            }
            assert_eq!(trial.level("copies"), Some(level), "{method}, own fleet: {is_own}");
        }
    }

    #[test]
    fn copies_of_the_requests_to_one_of_several_urls_are_found() {
        for (is_own, level) in [(true, Level::Fail), (false, Level::Inconclusive)] {
            let mut trial = RuleTrial::new();
            trial.fleet.is_own = is_own;
            trial.sent.urls = vec!["/".to_owned(), "/two?z=1".to_owned()];
            for turn in 0..200 {
                trial.delivered(turn % 3, 200);
                trial.sent.url_of.push((turn % 2) as u8);
                if turn % 2 == 1 {
                    trial.sent.target = "/two?z=1";
                    trial.other((turn + 1) % 3);
                    trial.sent.target = "/";
                }
            }
            assert_eq!(trial.level("copies"), Some(level), "own fleet: {is_own}");
        }
    }

    #[test]
    fn health_checks_that_keep_the_pace_of_a_slow_check_are_no_copies() {
        let mut trial = RuleTrial::new();
        trial.fleet.is_own = true;
        for turn in 0..100 {
            trial.delivered(turn % 3, 200);
            trial.other((turn + 1) % 3);
        }
        assert_eq!(trial.level("copies"), Some(Level::Fail));
        // Fifty a second.
        trial.observations.iter_mut().for_each(|it| (it.due.0, it.ended.0) = (it.due.0 * 20, it.ended.0 * 20));
        trial.arrivals.iter_mut().for_each(|it| it.received.0 *= 20);
        assert_eq!(trial.level("copies"), Some(Level::Inconclusive));
    }

    #[test]
    fn requests_of_another_check_are_no_copies() {
        for is_own in [true, false] {
            let mut trial = RuleTrial::new();
            (trial.sent.method, trial.sent.body, trial.fleet.is_own) = ("POST", Some(20), is_own);
            for turn in 0..100 {
                trial.delivered(turn % 3, 200);
                trial.of_another_check((turn + 1) % 3);
            }
            assert_eq!(trial.level("copies"), None);
        }
    }

    #[test]
    fn a_few_copies_fail_on_a_fleet_of_its_own_and_are_inconclusive_elsewhere() {
        for (own_fleet, level) in [(true, Level::Fail), (false, Level::Inconclusive)] {
            for (method, body) in [("POST", Some(20)), ("DELETE", None)] {
                let mut trial = RuleTrial::new();
                (trial.sent.method, trial.sent.body, trial.fleet.is_own) = (method, body, own_fleet);
                trial.healthy(300);
                trial.other(1);
                assert_eq!(trial.level("copies"), Some(level), "{method}");
            }
        }
    }

    #[test]
    fn a_copy_that_says_what_a_check_sent_is_of_no_health_check() {
        for (is_own, is_of_a_check, level) in [
            (false, false, Level::Note),
            (false, true, Level::Inconclusive),
            (true, false, Level::Note),
            (true, true, Level::Fail),
        ] {
            let mut trial = RuleTrial::new();
            trial.fleet.is_own = is_own;
            trial.healthy(300);
            if is_of_a_check {
                trial.copy_without_id(1)
            } else {
                trial.other(1)
            };
            assert_eq!(trial.level("copies"), Some(level));
            // Another check has a balancer of its own, which may take ids away.
            trial.of_another_check(2);
            assert_ne!(trial.level("copies"), Some(Level::Fail));
        }
    }

    #[test]
    fn requests_whose_ids_the_balancer_takes_away_are_no_copies() {
        for every in [1, 20] {
            let mut trial = RuleTrial::new();
            (trial.sent.method, trial.sent.body, trial.fleet.is_own) = ("POST", Some(20), true);
            for turn in 0..300 {
                if turn % every == 0 { trial.delivered_without_id(turn % 3) } else { trial.delivered(turn % 3, 200) }
            }
            assert_eq!(trial.level("copies"), None, "one of {every}");
        }
    }

    #[test]
    fn health_checks_of_the_same_path_and_requests_of_others_are_left_in_peace() {
        let mut trial = RuleTrial::new();
        for turn in 0..3000 {
            trial.delivered(turn % 3, 200);
            if turn % 100 == 0 {
                trial.other(turn / 100 % 3);
            }
        }
        assert_eq!((trial.level("copies"), trial.failures()), (Some(Level::Note), vec![]));
        // Those of another path are nobody's copies.
        let mut trial = RuleTrial::new();
        trial.healthy(100);
        trial.sent.target = "/other";
        trial.other(1);
        trial.sent.target = "/";
        assert_eq!(trial.level("copies"), None);
    }
}
