//! The rules of responses as they came: what is done to all alike is described, what hits some is not.

use std::collections::BTreeMap;

use crate::facts::requests::Extent;
use crate::facts::responses::{Altered, Compression, FieldChanges, TextWitness};
use crate::finding::{Facts, Finding, Level};
use crate::notes::Note;
use crate::observation::{Backend, ClientOutcome, Flaw};
use crate::outcome::Outcome;
use crate::rules::case::Case;
use crate::rules::requirement::Requirement;

const SHOWN: usize = 3;

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    let mut findings: Vec<Finding> = fields(case).into_iter().collect();
    let note = |words: &[String], facts: fn(TextWitness) -> Facts| {
        (!words.is_empty()).then(|| Finding::new(Level::Note, facts(TextWitness { words: words.to_vec() })))
    };
    findings.extend(compressed(case));
    findings.extend(note(&case.received.refused_cookies, Facts::Cookies));
    findings
}

/// Any coding will do for a request without Accept-Encoding (RFC 9110 §12.5.3). But whoever cannot read it is not to get it now and then.
fn compressed(case: &Case) -> Option<Finding> {
    let received = case.received;
    // Backends that are not ours may compress themselves.
    if received.codings.is_empty() || !case.has_records() {
        return None;
    }
    let is_asked = case.sent.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
    let are_alike = !case.urls.are_several() && !case.varied && case.bodies.len() < 2;
    let is_forbidden = !is_asked && case.expectations.required.contains(&Requirement::Intact);
    let level = if is_forbidden && received.coded > 0 {
        Level::Fail
    } else if !is_asked && are_alike && received.coded > 0 && received.plain > 0 {
        Level::Inconclusive
    } else {
        Level::Note
    };
    let (compressed, of) = (received.coded, received.coded + received.plain);
    let facts = Compression { words: received.codings.clone(), compressed, of, is_asked, is_forbidden };
    Some(Finding::new(level, Facts::Compressed(facts)))
}

/// Of each status: responses of the fleet, and those with a field that is not what the backend wrote.
pub(super) fn fields(case: &Case) -> Option<Finding> {
    let mut by_status: BTreeMap<u16, BTreeMap<Backend, (u64, u64)>> = BTreeMap::new();
    let mut by_client: BTreeMap<(u16, u32), (u64, u64)> = BTreeMap::new();
    let mut by_url: BTreeMap<(u16, usize), (u64, u64)> = BTreeMap::new();
    let mut by_body: BTreeMap<(u16, usize), (u64, u64)> = BTreeMap::new();
    let mut examples = Vec::new();
    for entry in case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence)) {
        let observation = entry.observation;
        let whole = matches!(observation.outcome, ClientOutcome::Response);
        if !whole || observation.response_id().is_none() || !observation.backend.is_known() {
            continue;
        }
        let hit = observation.flaw == Some(Flaw::Field);
        if hit && examples.len() < SHOWN {
            examples.push(entry.sequence);
        }
        let status = observation.status;
        let count = |counts: &mut (u64, u64)| *counts = (counts.0 + u64::from(hit), counts.1 + 1);
        count(by_status.entry(status).or_default().entry(observation.backend).or_default());
        count(by_client.entry((status, observation.client)).or_default());
        if case.urls.are_several() {
            count(by_url.entry((status, case.urls.of(entry.sequence))).or_default());
        }
        if case.bodies.len() > 1 {
            count(by_body.entry((status, case.body_of(entry.sequence))).or_default());
        }
    }
    // Statuses that are never hit say nothing: a balancer may set fields of some alone.
    by_status.retain(|_, backends| backends.values().any(|(hit, _)| *hit > 0));
    by_client.retain(|(status, _), _| by_status.contains_key(status));
    by_url.retain(|(status, _), _| by_status.contains_key(status));
    by_body.retain(|(status, _), _| by_status.contains_key(status));
    let sums = by_status.values().flat_map(BTreeMap::values);
    let (changed, of) = sums.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
    if changed == 0 {
        return None;
    }
    let is_whole = |counts: &(u64, u64)| counts.0 == 0 || counts.0 == counts.1;
    let extent = if changed == of {
        Extent::All
    } else if !by_url.is_empty() && by_url.values().all(is_whole) {
        Extent::Urls
    } else if !by_body.is_empty() && by_body.values().all(is_whole) {
        Extent::Bodies
    } else if case.varied && by_client.values().all(is_whole) {
        Extent::Clients
    } else if by_status.values().all(|backends| backends.values().all(is_whole)) {
        Extent::Backends
    } else {
        Extent::Some
    };
    let mut deviations = case.received.deviations.clone();
    deviations.sort_by_key(|it| std::cmp::Reverse(it.count));
    // One that is made to all may be wanted; who reads the report decides.
    let level = match extent {
        _ if case.expectations.required.contains(&Requirement::Intact) => Level::Fail,
        Extent::All | Extent::Urls | Extent::Clients => Level::Note,
        Extent::Bodies | Extent::Ways => Level::Inconclusive,
        Extent::Backends | Extent::Some => Level::Fail,
    };
    let facts = Facts::ResponseFields(FieldChanges { changed, of, extent, deviations });
    Some(Finding::new(level, facts).shown_by(case.witnesses(&examples)))
}

/// In what the altered responses are wrong.
pub(super) fn altered(case: &Case, requests: u64) -> Altered {
    let mut flaws: BTreeMap<Option<Flaw>, u64> = BTreeMap::new();
    let judged = case.ledger.entries().filter(|entry| case.judged.includes(entry));
    for entry in judged.filter(|entry| entry.outcome == Outcome::Altered) {
        // A response that was right for the client differs from the record: in its status.
        let was_right = entry.observation.outcome == ClientOutcome::Response;
        *flaws.entry(entry.observation.flaw.filter(|_| !was_right)).or_default() += 1;
    }
    let is_malformed = |flaw: &Option<Flaw>| matches!(flaw, Some(Flaw::Malformed(why)) if !why.is_limit());
    let is_beyond = |flaw: &Option<Flaw>| matches!(flaw, Some(Flaw::Malformed(why)) if why.is_limit());
    let malformed = flaws.keys().any(is_malformed);
    let beyond_limits = flaws.iter().filter(|(flaw, _)| is_beyond(flaw)).map(|(_, count)| count).sum();
    let count = |flaw| flaws.get(&Some(flaw)).copied().unwrap_or(0);
    let (without_call_status, coded_calls) = (count(Flaw::NoCallStatus), count(Flaw::CodedCall));
    let fields = count(Flaw::Field) + count(Flaw::NoEventStream) + count(Flaw::UnnamedCoding);
    let name = |flaw: Option<Flaw>| flaw.unwrap_or(Flaw::Status).to_string();
    let mut flaws: Vec<(String, u64)> = flaws.into_iter().map(|(flaw, count)| (name(flaw), count)).collect();
    flaws.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let calls_over_http_1 =
        without_call_status > 0 && case.changes.attempts > 0 && case.changes.noted(Note::Http2) == 0;
    Altered {
        requests,
        of: case.tally.sent,
        flaws,
        malformed,
        beyond_limits,
        fields,
        without_call_status,
        calls_over_http_1,
        coded_calls,
        configured: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttemptEnd;
    use crate::facts::responses::Deviation;
    use crate::rules::trial::{As, RuleTrial};
    use http::Malformed;

    fn of_rule(trial: &RuleTrial, wanted: impl Fn(&Facts) -> bool) -> Option<Finding> {
        trial.judge().into_iter().find(|finding| wanted(&finding.facts))
    }

    fn fields_of(trial: &RuleTrial) -> Option<Finding> {
        of_rule(trial, |facts| matches!(facts, Facts::ResponseFields(_)))
    }

    fn with_field_changed(requests: u16, hit: impl Fn(u16) -> bool) -> RuleTrial {
        let mut trial = RuleTrial::new();
        for turn in 0..requests {
            trial.delivered(turn % 3, 200);
            if hit(turn) {
                trial.observations.last_mut().unwrap().flaw = Some(Flaw::Field);
            }
        }
        trial.received.deviations.push(Deviation {
            field: "Cache-Control".to_owned(),
            written: Some("no-store".to_owned()),
            received: vec!["public".to_owned()],
            count: 1,
            first: vec![0],
        });
        trial
    }

    #[test]
    fn a_field_that_is_changed_in_all_responses_is_described_and_in_some_it_fails() {
        assert_eq!(fields_of(&with_field_changed(90, |_| false)), None);
        let all = fields_of(&with_field_changed(90, |_| true)).unwrap();
        assert_eq!(all.level, Level::Note);
        let mut required = with_field_changed(90, |_| true);
        required.expectations.required.push(Requirement::Intact);
        assert_eq!(fields_of(&required).unwrap().level, Level::Fail);
        let some = fields_of(&with_field_changed(90, |turn| turn % 7 == 0)).unwrap();
        let Facts::ResponseFields(facts) = &some.facts else { panic!("{some:?}") };
        assert_eq!((some.level, facts.extent, facts.changed, facts.of), (Level::Fail, Extent::Some, 13, 90));
        assert_eq!((facts.deviations.len(), some.witness.len()), (1, 3));
        let one_backend = fields_of(&with_field_changed(90, |turn| turn % 3 == 1)).unwrap();
        assert_eq!(one_backend.level, Level::Fail);
        // Fields of another status are another matter.
        let mut trial = with_field_changed(90, |_| true);
        (0..9).for_each(|turn| trial.delivered(turn % 3, 404));
        assert_eq!(fields_of(&trial).unwrap().level, Level::Note);
    }

    #[test]
    fn altered_responses_say_in_what_they_are_wrong() {
        let mut trial = RuleTrial::new();
        trial.healthy(90);
        for _ in 0..3 {
            trial.delivered(1, 200);
            let last = trial.observations.last_mut().unwrap();
            (last.outcome, last.flaw) = (ClientOutcome::Altered, Some(Flaw::Malformed(Malformed::Surplus)));
        }
        let finding = of_rule(&trial, |facts| matches!(facts, Facts::Altered(_))).unwrap();
        let Facts::Altered(facts) = &finding.facts else { panic!("{finding:?}") };
        assert_eq!((finding.level, facts.requests, facts.malformed), (Level::Fail, 3, true));
        assert_eq!(facts.flaws, [(Malformed::Surplus.to_string(), 3)]);
        // Another client may read them.
        for observation in &mut trial.observations[90..] {
            observation.flaw = Some(Flaw::Malformed(Malformed::TooManyFields));
        }
        assert_eq!((trial.level("altered"), trial.failures()), (Some(Level::Inconclusive), Vec::new()));
        trial.observations[90].flaw = Some(Flaw::Malformed(Malformed::Surplus));
        assert_eq!(trial.failures(), ["altered"]);
    }

    #[test]
    fn cookies_that_are_not_kept_and_compression_are_notes() {
        let mut trial = RuleTrial::new();
        trial.healthy(30);
        let notes = |trial: &RuleTrial| trial.judge().iter().filter(|finding| finding.level == Level::Note).count();
        let before = notes(&trial);
        trial.received.refused_cookies.push("SRV: it is Secure, and the URL is http://".to_owned());
        trial.received.codings.push("gzip".to_owned());
        assert_eq!(notes(&trial), before + 2);
    }

    #[test]
    fn compression_that_nobody_asked_for_is_to_hit_all_or_none() {
        let level = |coded: u64, plain: u64, more: &dyn Fn(&mut RuleTrial)| {
            let mut trial = RuleTrial::new();
            trial.healthy(30);
            trial.received.codings.push("gzip".to_owned());
            (trial.received.coded, trial.received.plain) = (coded, plain);
            more(&mut trial);
            trial.level("compressed")
        };
        let alone = |_: &mut RuleTrial| {};
        assert_eq!(level(30, 0, &alone), Some(Level::Note));
        assert_eq!(
            level(30, 0, &|trial: &mut RuleTrial| trial.fleet.records = crate::ledger::BackendRecords::None),
            None
        );
        assert_eq!(level(15, 15, &alone), Some(Level::Inconclusive));
        let asked = |trial: &mut RuleTrial| trial.sent.fields = vec![("accept-encoding".to_owned(), "gzip".to_owned())];
        assert_eq!(level(15, 15, &asked), Some(Level::Note));
        let several = |trial: &mut RuleTrial| trial.sent.urls = vec!["/".to_owned(), "/a".to_owned()];
        assert_eq!(level(15, 15, &several), Some(Level::Note));
        let intact = |trial: &mut RuleTrial| trial.expectations.required.push(Requirement::Intact);
        assert_eq!(level(30, 0, &intact), Some(Level::Fail));
        let both = |trial: &mut RuleTrial| {
            asked(trial);
            intact(trial);
        };
        assert_eq!(level(30, 0, &both), Some(Level::Note));
    }

    #[test]
    fn a_call_without_status_ended_where_its_backend_broke_off_or_else_lost_it_on_the_way() {
        let ended = |end| {
            let mut trial = RuleTrial::new();
            trial.delivered(0, 200);
            let last = trial.observations.last_mut().unwrap();
            (last.outcome, last.flaw) = (ClientOutcome::Altered, Some(Flaw::NoCallStatus));
            trial.arrivals.last_mut().unwrap().end = end;
            trial.failures()
        };
        assert_eq!(ended(AttemptEnd::Completed), ["altered"]);
        assert_eq!(ended(AttemptEnd::CutOff), ["truncated"]);
        assert_eq!(ended(AttemptEnd::Received), ["truncated"]);
    }

    #[test]
    fn calls_that_arrive_in_http_1_are_the_reason_why_they_have_no_status() {
        let is_downgraded = |over_http2| {
            let mut trial = RuleTrial::new();
            for turn in 0..30 {
                trial.delivered_as(turn % 3, 200, &As { over_http2, ..As::default() });
                let last = trial.observations.last_mut().unwrap();
                (last.outcome, last.flaw) = (ClientOutcome::Altered, Some(Flaw::NoCallStatus));
            }
            let finding = of_rule(&trial, |facts| matches!(facts, Facts::Altered(_))).unwrap();
            let Facts::Altered(facts) = finding.facts else { panic!() };
            assert_eq!((finding.level, facts.without_call_status), (Level::Fail, 30));
            facts.calls_over_http_1
        };
        assert!(is_downgraded(false));
        assert!(!is_downgraded(true), "its trailers were lost");
    }
}
