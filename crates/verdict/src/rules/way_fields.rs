//! The rule of fields that say how a request came to the balancer: what arrives with some of like requests only, or twice, leads backends to
//! other links and redirects than the client can follow.

use crate::facts::requests::{WayField, WayFields};
use crate::finding::{Facts, Finding, Level};
use crate::ledger::BackendRecords;
use crate::notes::Note;
use crate::rules::case::Case;
use crate::rules::client_address::is_each_once;

/// A note, whatever is expected: nobody has to send these fields, and a chain of proxies may write each its own.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    if case.ledger.records() != BackendRecords::Kept {
        return None;
    }
    let own = |name: &str| case.sent.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    let of = case.changes.sample_attempts;
    let describe = |note: Note| {
        let attempts = case.changes.noted_in_sample(note);
        let twice = note.twice().map_or(0, |twice| case.changes.noted_in_sample(twice));
        let are_alike = is_each_once(case);
        let is_partial = (1..of).contains(&attempts) && are_alike;
        let other = note.other().map_or(0, |other| case.changes.noted_in_sample(other));
        let other = if (1..attempts).contains(&other) && are_alike { other } else { 0 };
        (is_partial || twice > 0 || other > 0).then(|| WayField {
            name: note.name().to_owned(),
            attempts,
            of,
            twice,
            other,
        })
    };
    let notes = [Note::ForwardedProto, Note::ForwardedHost];
    let fields: Vec<WayField> = notes.into_iter().filter(|note| !own(note.name())).filter_map(describe).collect();
    (!fields.is_empty()).then(|| Finding::new(Level::Note, Facts::WayFields(WayFields { fields })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::{As, RuleTrial};

    /// A hundred requests, those of the second kind as often as it says.
    fn fields(
        often: u16,
        first: &'static [Note],
        second: &'static [Note],
        more: &dyn Fn(&mut RuleTrial),
    ) -> Vec<WayField> {
        let mut trial = RuleTrial::new();
        for turn in 0..100 {
            let notes = if turn % 10 < often { second } else { first };
            trial.delivered_as(turn % 3, 200, &As { notes, ..As::default() });
        }
        more(&mut trial);
        let found = trial.judge_by(judge);
        assert!(found.as_ref().is_none_or(|found| found.level == Level::Note));
        match found.map(|found| found.facts) {
            Some(Facts::WayFields(facts)) => facts.fields,
            _ => Vec::new(),
        }
    }

    const PROTO: &[Note] = &[Note::ForwardedProto];
    const TWICE: &[Note] = &[Note::ForwardedProto, Note::ForwardedProtoTwice];

    #[test]
    fn a_field_that_all_have_once_or_none_is_nothing_to_say() {
        let alone = |_: &mut RuleTrial| {};
        assert_eq!((fields(0, PROTO, PROTO, &alone), fields(0, &[], &[], &alone)), (vec![], vec![]));
    }

    #[test]
    fn a_field_that_some_have_or_that_comes_twice_is_named() {
        let alone = |_: &mut RuleTrial| {};
        let named =
            |attempts, twice| WayField { name: "x-forwarded-proto".to_owned(), attempts, of: 100, twice, other: 0 };
        assert_eq!(fields(2, PROTO, &[], &alone), [named(80, 0)]);
        assert_eq!(fields(2, PROTO, TWICE, &alone), [named(100, 20)]);
        assert_eq!(fields(10, PROTO, TWICE, &alone), [named(100, 100)]);
    }

    #[test]
    fn a_value_that_some_have_and_others_have_not_is_named_and_one_of_all_is_not() {
        const HOST: &[Note] = &[Note::ForwardedHost];
        const OTHER: &[Note] = &[Note::ForwardedHost, Note::ForwardedHostOther];
        let alone = |_: &mut RuleTrial| {};
        let others = |often, more| fields(often, HOST, OTHER, more).iter().map(|field| field.other).collect::<Vec<_>>();
        assert_eq!((others(0, &alone), others(1, &alone), others(10, &alone)), (vec![], vec![10], vec![]));
        let several = |trial: &mut RuleTrial| trial.sent.urls = vec!["/".to_owned(), "/a".to_owned()];
        assert_eq!(others(1, &several), [] as [u64; 0]);
    }

    #[test]
    fn requests_that_differ_may_differ_in_it_and_the_users_own_is_not_the_balancers() {
        let several = |trial: &mut RuleTrial| trial.sent.urls = vec!["/".to_owned(), "/a".to_owned()];
        assert_eq!(fields(2, PROTO, &[], &several), []);
        let own = |trial: &mut RuleTrial| trial.sent.fields = vec![("X-Forwarded-Proto".to_owned(), "a, b".to_owned())];
        assert_eq!(fields(10, PROTO, TWICE, &own), []);
    }
}
