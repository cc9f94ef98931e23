//! The rule of the client's address: what backends can learn of it, by X-Forwarded-For or by a PROXY header.

use std::net::{IpAddr, SocketAddr};

use crate::arrived::TextCounts;
use crate::facts::requests::{ClientAddress, ClientAddressConclusion};
use crate::finding::{Facts, Finding, Level};
use crate::ledger::BackendRecords;
use crate::rules::case::Case;
use crate::rules::requirement::Requirement;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let expected =
        case.expectations.required.iter().find(|it| **it == Requirement::ClientAddress).map(ToString::to_string);
    let fields = case.sent.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let claimed: Vec<&str> = fields.map(|(_, value)| value.trim()).collect();
    let claimed = (!claimed.is_empty()).then(|| claimed.join(", "));
    let changes = case.changes;
    let is_asked = claimed.is_some() || expected.is_some();
    if case.ledger.records() != BackendRecords::Kept || changes.attempts == 0 {
        return None;
    }
    let with = changes.forwarded_for.total() + changes.own_forwarded_for;
    let without = changes.attempts.saturating_sub(with);
    let conclusion = conclude(case, claimed.as_deref(), without);
    // What some of like requests lack is worth a word, whoever asks.
    if !is_asked && conclusion != ClientAddressConclusion::Partial {
        return None;
    }
    let level = match (conclusion, &expected) {
        (ClientAddressConclusion::Believed | ClientAddressConclusion::Partial, Some(_)) => Level::Fail,
        (ClientAddressConclusion::Absent | ClientAddressConclusion::Mixed, Some(_)) => Level::Inconclusive,
        // What translates addresses on the way to the balancer does so too.
        (ClientAddressConclusion::Other | ClientAddressConclusion::ProxiedOther, Some(_)) => Level::Inconclusive,
        (ClientAddressConclusion::Appended | ClientAddressConclusion::Replaced, Some(_)) => Level::Pass,
        (ClientAddressConclusion::Proxied, _) => Level::Pass,
        (ClientAddressConclusion::Believed | ClientAddressConclusion::Appended, None) => Level::Note,
        (ClientAddressConclusion::Mixed | ClientAddressConclusion::Partial, None) => Level::Note,
        (ClientAddressConclusion::Other | ClientAddressConclusion::ProxiedOther, None) => Level::Note,
        (ClientAddressConclusion::Absent | ClientAddressConclusion::Replaced, None) => Level::Pass,
    };
    let facts = ClientAddress {
        claimed,
        arrived: changes.forwarded_for.counts.clone(),
        without,
        other: count_others(case, &changes.forwarded_for),
        proxied: changes.proxied.counts.clone(),
        conclusion,
        expected,
    };
    Some(Finding::new(level, Facts::ClientAddress(facts)))
}

fn conclude(case: &Case, claimed: Option<&str>, without: u64) -> ClientAddressConclusion {
    let changes = case.changes;
    let texts = &changes.forwarded_for;
    if texts.total() == 0 {
        let names_others = changes.proxied.counts.iter().any(|(client, _)| is_another(case, client));
        return match changes.proxied.total() {
            all if all < changes.attempts => ClientAddressConclusion::Absent,
            _ if names_others => ClientAddressConclusion::ProxiedOther,
            _ => ClientAddressConclusion::Proxied,
        };
    }
    let has_claim = |text: &str| claimed.is_some_and(|claim| text.starts_with(claim) && text != claim);
    let differing = without + count_others(case, texts);
    let sample = &changes.sample_forwarded_for;
    let is_claim = |(text, _): &(String, u64)| claimed == Some(text);
    if texts.counts.iter().any(is_claim) {
        ClientAddressConclusion::Believed
    } else if (1..sample.total()).contains(&count_others(case, sample)) && is_each_once(case) {
        ClientAddressConclusion::Partial
    } else if changes.own_forwarded_for > 0 && is_each_once(case) {
        // Whoever appends, or writes its own, leaves no claim of an experiment alone.
        ClientAddressConclusion::Believed
    } else if without > 0 {
        ClientAddressConclusion::Mixed
    } else if differing > 0 {
        ClientAddressConclusion::Other
    } else if texts.counts.iter().any(|(text, _)| has_claim(text)) {
        ClientAddressConclusion::Appended
    } else {
        ClientAddressConclusion::Replaced
    }
}

/// How many of these values do not end with an address of this client, the empty ones among them.
fn count_others(case: &Case, texts: &TextCounts) -> u64 {
    let is_other = |text: &str| text.is_empty() || is_another(case, text.rsplit(',').next().unwrap_or_default());
    texts.counts.iter().filter(|(text, _)| is_other(text)).map(|(_, count)| count).sum()
}

/// Whether all of the sample are the same requests: copies of a mirror and requests of a subrequest go other ways, with other fields, and
/// so may the requests to another URL, or with another path.
pub(super) fn is_each_once(case: &Case) -> bool {
    let is_alone = !case.urls.are_several() && !case.varied && case.ledger.subrequests().is_empty();
    is_alone && case.ledger.entries().all(|entry| entry.attempts.len() <= 1)
}

/// Whether that is none of this client's addresses.
fn is_another(case: &Case, address: &str) -> bool {
    let address = address.trim();
    let with_port = || address.parse::<SocketAddr>().map(|address| address.ip());
    let address = address.parse::<IpAddr>().or_else(|_| with_port());
    case.over_loopback && !address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::{As, RuleTrial};

    fn with(claimed: Option<&str>, arrives: &str, client: Option<&'static str>, required: &[Requirement]) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.expectations.required = required.to_vec();
        trial.sent.fields =
            claimed.map(|claimed| ("X-Forwarded-For".to_owned(), claimed.to_owned())).into_iter().collect();
        for turn in 0..30 {
            trial.delivered_as(turn % 3, 200, &As { forwarded_for: arrives, client, ..As::default() });
        }
        trial
    }

    const REQUIRED: [Requirement; 1] = [Requirement::ClientAddress];

    #[test]
    fn a_claimed_client_address_is_judged_by_what_arrives() {
        let level = |arrives: &str, required: &[Requirement]| {
            with(Some("6.6.6.6"), arrives, None, required).level("client-address")
        };
        assert_eq!(level("6.6.6.6", &[]), Some(Level::Note));
        assert_eq!(level("6.6.6.6", &REQUIRED), Some(Level::Fail));
        assert_eq!(level("6.6.6.6, 127.0.0.1", &REQUIRED), Some(Level::Pass));
        assert_eq!(level("127.0.0.1", &[]), Some(Level::Pass));
        assert_eq!(level("", &REQUIRED), Some(Level::Inconclusive));
    }

    #[test]
    fn an_address_that_is_not_the_clients_is_not_taken_for_it() {
        let level = |arrives: &str| with(None, arrives, None, &REQUIRED).level("client-address");
        assert_eq!(level("127.0.0.1"), Some(Level::Pass));
        assert_eq!(level("::ffff:127.0.0.1"), Some(Level::Pass));
        assert_eq!(level("127.0.0.1:50311"), Some(Level::Pass));
        assert_eq!(level("10.9.9.9"), Some(Level::Inconclusive));
        assert_eq!(level("127.0.0.1, 10.9.9.9"), Some(Level::Inconclusive));
        assert_eq!(level("unknown"), Some(Level::Inconclusive));
        assert_eq!(with(Some("6.6.6.6"), "10.9.9.9", None, &[]).level("client-address"), Some(Level::Note));
        // From another machine anything may be the client's address.
        let mut remote = with(None, "10.9.9.9", None, &REQUIRED);
        remote.fleet.over_loopback = false;
        assert_eq!(remote.level("client-address"), Some(Level::Pass));
    }

    #[test]
    fn an_address_that_some_of_like_requests_have_is_missing_in_the_others() {
        let trial = |right: u16, others: &[(u16, &str)], more: &dyn Fn(&mut RuleTrial)| {
            let mut trial = RuleTrial::new();
            trial.expectations.required = REQUIRED.to_vec();
            for (count, arrives) in std::iter::once(&(right, "127.0.0.1")).chain(others) {
                for turn in 0..*count {
                    trial.delivered_as(turn % 3, 200, &As { forwarded_for: arrives, ..As::default() });
                }
            }
            more(&mut trial);
            trial.level("client-address")
        };
        let alone = |_: &mut RuleTrial| {};
        assert_eq!(trial(300, &[(3, "")], &alone), Some(Level::Fail));
        assert_eq!(trial(300, &[(3, "10.9.9.9")], &alone), Some(Level::Fail));
        // What translates addresses does so with all requests.
        assert_eq!(trial(0, &[(3, "10.9.9.9")], &alone), Some(Level::Inconclusive));
        // A copy, or what comes by another URL, may go another way, and so may what an experiment asks for.
        let in_experiments = |trial: &mut RuleTrial| {
            trial.changes.sample_forwarded_for = TextCounts { counts: vec![("127.0.0.1".to_owned(), 300)], more: 0 };
        };
        assert_eq!(trial(300, &[(3, "")], &in_experiments), Some(Level::Inconclusive));
        let several = |trial: &mut RuleTrial| trial.sent.urls = vec!["/".to_owned(), "/a".to_owned()];
        assert_eq!(trial(300, &[(3, "")], &several), Some(Level::Inconclusive));
        let varied = |trial: &mut RuleTrial| trial.varied = true;
        assert_eq!(trial(300, &[(3, "")], &varied), Some(Level::Inconclusive));
    }

    #[test]
    fn what_an_experiment_claims_is_believed_or_not() {
        let level = |arrives: &str| {
            let mut trial = with(None, "127.0.0.1", None, &REQUIRED);
            trial.delivered_as(0, 200, &As { forwarded_for: arrives, ..As::default() });
            trial.level("client-address")
        };
        assert_eq!(level("10.1.5.7, 127.0.0.1"), Some(Level::Pass));
        assert_eq!(level("10.1.5.7"), Some(Level::Fail));
    }

    #[test]
    fn a_proxy_header_names_the_client_where_no_field_does() {
        let level = |client| with(None, "", Some(client), &REQUIRED).level("client-address");
        assert_eq!(level("127.0.0.1"), Some(Level::Pass));
        assert_eq!(level("127.0.7.1"), Some(Level::Pass));
        assert_eq!(level("10.9.9.9"), Some(Level::Inconclusive));
    }
}
