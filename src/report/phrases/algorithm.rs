//! The phrase of the algorithm: what was expected, what is seen, and what would decide.

use verdict::algorithm::{Algorithm, ExperimentFacts, ExperimentResult, Missing, SkipReason};
use verdict::facts::algorithm;
use verdict::finding::Level;

use super::experiments;
use super::phrase::{Phrase, listed};
use super::selection::selection;
use crate::balancer::Balancer;
use crate::report::hints;

pub(super) fn algorithm(
    facts: &algorithm::AlgorithmFacts,
    level: Level,
    loses_cookies: bool,
    product: Option<Balancer>,
) -> Phrase {
    let (expected, seen) = (facts.expected.name(), selection(&facts.selection));
    let phrase = Phrase::of(match level {
        Level::Pass => format!("the algorithm is {seen}, as expected"),
        Level::Note | Level::Inconclusive if !facts.candidates.is_empty() => {
            format!("{expected} was expected; what was seen also fits {}", listed(&others(facts)))
        }
        Level::Note | Level::Inconclusive => format!("{expected} was expected; seen: {seen}"),
        Level::Fail => format!("{expected} was expected; seen: {seen}"),
    });
    let phrase = if level > Level::Pass { phrase.because(experiments::lines(&facts.experiments)) } else { phrase };
    if level > Level::Note && loses_cookies && facts.expected == Algorithm::Sticky {
        return phrase.try_this("a cookie that was set is never sent back, so it decides nothing: see `cookies` below");
    }
    let gives_cookies = |it: &ExperimentResult| matches!(it.facts, ExperimentFacts::GivenCookies { .. });
    let is_known = level == Level::Fail && !facts.candidates.is_empty();
    match facts.expected {
        Algorithm::Sticky if is_known && !facts.experiments.iter().any(gives_cookies) => {
            let hint = hints::of_no_cookie(product);
            return phrase.try_this(match facts.candidates[..] {
                [Algorithm::Source] => {
                    format!("clients stay with a backend by their addresses, which --expect source requires; {hint}")
                }
                _ => hint,
            });
        }
        Algorithm::Source if is_known && facts.candidates == [Algorithm::One] => {
            return phrase.try_this(hints::of_address_behind_proxy(product));
        }
        _ => {}
    }
    let is_not_ours = |result: &ExperimentResult| {
        matches!(result.facts, ExperimentFacts::NotMade { missing: Missing::Load(SkipReason::NotOurs) })
    };
    if level == Level::Inconclusive && facts.experiments.iter().any(is_not_ours) {
        return phrase.try_this(
            "whether the load of a backend counts shows where one backend takes much longer than others and gets its turns all the same (-c 32 \
             or more), or with backends of ours: rehearse the balancer's file (uuid-generator rehearse), or start a fleet in their place",
        );
    }
    if level == Level::Inconclusive
        && let Some(hint) = name_of_key(facts)
    {
        return phrase.try_this(hint);
    }
    if level == Level::Inconclusive && !facts.candidates.is_empty() {
        return phrase.try_this(
            "what was not tried, or was disturbed, excludes nothing: check with experiments (no --no-experiments, a larger --budget), \
             while the machines have time to spare",
        );
    }
    phrase
}

/// How to say what it goes by, where the usual names were tried alone.
fn name_of_key(facts: &algorithm::AlgorithmFacts) -> Option<&'static str> {
    let is_tried = |is_key: fn(&Missing) -> bool| {
        let is_missing =
            |it: &ExperimentResult| matches!(&it.facts, ExperimentFacts::NotMade { missing } if is_key(missing));
        !facts.experiments.iter().any(is_missing)
    };
    match facts.expected {
        Algorithm::Header if is_tried(|missing| matches!(missing, Missing::Header(_))) => Some(
            "the header that it hashes may be another one than those that were tried, X-User and the like: --key-header NAME tries yours",
        ),
        Algorithm::Cookie if facts.candidates == [Algorithm::Sticky] => Some(
            "whether the cookie that the balancer gives names the backend or is hashed does not show: --expect sticky requires either",
        ),
        Algorithm::Cookie if is_tried(|missing| matches!(missing, Missing::Cookie(_))) => Some(
            "the cookie that it hashes may be another one than those that were tried, session and the like: --key-cookie NAME tries yours",
        ),
        _ => None,
    }
}

fn others(facts: &algorithm::AlgorithmFacts) -> Vec<&str> {
    facts.candidates.iter().filter(|it| **it != facts.expected).map(|it| it.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict::algorithm::Selection;

    #[test]
    fn clients_that_stay_by_their_addresses_are_shown_the_word_for_it() {
        let hint_for = |candidates: Vec<Algorithm>| {
            let facts = algorithm::AlgorithmFacts {
                expected: Algorithm::Sticky,
                candidates,
                selection: Selection::NotExamined,
                experiments: Vec::new(),
            };
            algorithm(&facts, Level::Fail, false, None).hint.unwrap()
        };
        let cookie = hints::of_no_cookie(None);
        assert_eq!(hint_for(vec![Algorithm::RoundRobin]), cookie);
        let by_address = hint_for(vec![Algorithm::Source]);
        assert!(by_address.contains("--expect source") && by_address.ends_with(&cookie), "{by_address}");
    }
}
