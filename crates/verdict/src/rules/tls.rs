//! The rules of TLS between balancer and backends.

use crate::BadCertificate;
use crate::facts::tls::{ArrivedConnections, CertificateTrial, Trial, Verification};
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;
use crate::rules::requirement::{Requirement, TlsRequirement};

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    let required: Vec<TlsRequirement> = case.expectations.required.iter().filter_map(Requirement::tls).collect();
    let mut verification = case.tls.verification.clone();
    let total: u64 = case.tally.by_backend.iter().sum();
    for trial in &mut verification.trials {
        let place = case.names.iter().position(|name| *name == trial.backend);
        let got = place.and_then(|place| case.tally.by_backend.get(place)).copied().unwrap_or(0);
        trial.share = if total > 0 { got as f64 / total as f64 } else { 0.0 };
        trial.refused = is_refused(trial, case.limit.is_some());
    }
    let sampled = case.names.iter().zip(&case.tally.firsts).filter(|(_, got)| **got > 0).map(|(name, _)| name.as_str());
    let found = judge_verification(&required, &verification, sampled);
    found.into_iter().chain(connections(&required, &case.tls.connections)).collect()
}

/// How likely a balancer that accepts the certificate would, by chance, have sent the backend none of the requests of a trial, while its
/// health check made a handshake.
const CHANCE: f64 = 1e-6;

/// Whether a certificate was refused; none if that is not known.
fn is_refused(trial: &Trial, is_limited: bool) -> Option<bool> {
    match trial.shows() {
        CertificateTrial::Accepted => Some(false),
        CertificateTrial::Alert => Some(true),
        // What a rate limit refuses would not have arrived either.
        CertificateTrial::Left => (!is_limited && (1.0 - trial.share).powf(trial.sent as f64) < CHANCE).then_some(true),
        CertificateTrial::Nothing => None,
    }
}

fn judge_verification<'a>(
    required: &[TlsRequirement],
    known: &Verification,
    sampled: impl Iterator<Item = &'a str>,
) -> Option<Finding> {
    let is_required = |bad: &BadCertificate| required.contains(&TlsRequirement::of(*bad));
    let wanted: Vec<BadCertificate> = BadCertificate::ALL.into_iter().filter(is_required).collect();
    if wanted.is_empty() {
        return None;
    }
    // Of a kind that was tried twice, one request that arrived decides.
    let outcome = |bad: &BadCertificate| {
        let trials = known.trials.iter().filter(|trial| trial.certificate == *bad).map(|trial| trial.refused);
        trials.fold(None, |known, new| match (known, new) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (known, new) => known.or(new),
        })
    };
    let of = |wanted_outcome| wanted.iter().copied().filter(|bad| outcome(bad) == wanted_outcome).collect::<Vec<_>>();
    let (accepted, open) = (of(Some(false)), of(None));
    let is_open_at = |backend: &&str| {
        let is_known = |bad: BadCertificate| {
            let of_both = |it: &&Trial| it.certificate == bad && it.backend == *backend;
            known.trials.iter().filter(of_both).any(|it| it.refused.is_some())
        };
        BadCertificate::AT_EACH_BACKEND.iter().any(|bad| is_required(bad) && !is_known(*bad))
    };
    let open_at: Vec<String> = sampled.filter(is_open_at).map(str::to_owned).collect();
    let level = match accepted.as_slice() {
        [] if open.is_empty() && open_at.is_empty() => Level::Pass,
        [] => Level::Inconclusive,
        _ => Level::Fail,
    };
    let expected = required.iter().filter(|it| it.is_about_certificates()).map(ToString::to_string).collect();
    let facts = Verification { expected, accepted, open, open_at, ..known.clone() };
    Some(Finding::new(level, finding::Facts::TlsVerified(facts)))
}

fn connections(required: &[TlsRequirement], known: &ArrivedConnections) -> Option<Finding> {
    let (name, certificate) = (TlsRequirement::ServerName, TlsRequirement::ClientCertificate);
    let arrived = &known.arrived;
    let levels = [
        required.contains(&name).then_some(match (arrived.secured, arrived.named) {
            (0, _) => Level::Inconclusive,
            (secured, named) if secured == named => Level::Pass,
            _ => Level::Fail,
        }),
        required.contains(&certificate).then_some(match (arrived.secured, arrived.certified) {
            _ if known.asks_clients != Some(true) => Level::Inconclusive,
            (0, _) if known.clients_refused > 0 => Level::Fail,
            (0, _) => Level::Inconclusive,
            (secured, certified) if secured != certified => Level::Fail,
            // All requests came with one. Whose handshakes those were is not known: anybody who reaches the port may fail one.
            _ if known.clients_refused > 0 => Level::Inconclusive,
            _ => Level::Pass,
        }),
    ];
    // Worth knowing where there is TLS at all.
    let noted = (arrived.secured > 0).then_some(Level::Note);
    let level = levels.into_iter().flatten().max().or(noted)?;
    let expected = required.iter().filter(|it| !it.is_about_certificates()).map(ToString::to_string).collect();
    Some(Finding::new(level, finding::Facts::Tls(ArrivedConnections { expected, ..known.clone() })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HandshakeFailure;
    use crate::facts::tls::{ArrivedByTls, ArrivedTls, Refused};

    fn trial(certificate: BadCertificate, arrived: u64, failed: u64, reason: Option<HandshakeFailure>) -> Trial {
        let handshakes = reason.map(|reason| Refused { reason, count: 2 }).into_iter().collect();
        let (backend, sent, share) = ("9001".to_owned(), 48, 1.0 / 3.0);
        let mut trial = Trial { certificate, backend, sent, arrived, failed, share, refused: None, handshakes };
        trial.refused = is_refused(&trial, false);
        trial
    }

    fn level(required: &[TlsRequirement], trials: Vec<Trial>) -> Option<(Level, Verification)> {
        let known = Verification { trials, ..Verification::default() };
        let finding = judge_verification(required, &known, ["9001"].into_iter())?;
        match finding.facts {
            finding::Facts::TlsVerified(facts) => Some((finding.level, facts)),
            _ => unreachable!(),
        }
    }

    /// A balancer that verifies.
    fn verifying() -> Vec<Trial> {
        BadCertificate::ALL.map(|bad| trial(bad, 0, 4, Some(HandshakeFailure::AlertUnknownCa))).to_vec()
    }

    #[test]
    fn a_balancer_that_refuses_all_passes_and_one_request_that_arrives_is_enough_to_fail() {
        let verified = [TlsRequirement::Verified];
        assert_eq!(level(&verified, verifying()).unwrap().0, Level::Pass);
        for bad in BadCertificate::ALL {
            let mut trials = verifying();
            // Another trial of the same kind was refused: some of its workers verify.
            trials.push(trial(bad, 1, 0, Some(HandshakeFailure::AlertBadCertificate)));
            let (level, facts) = level(&verified, trials).unwrap();
            match bad {
                // A revocation list is an expectation of its own.
                BadCertificate::Revoked => assert_eq!(level, Level::Pass),
                _ => assert_eq!((level, facts.accepted), (Level::Fail, vec![bad])),
            }
        }
    }

    #[test]
    fn what_was_not_tried_is_not_known() {
        let verified = [TlsRequirement::Verified];
        let (untried, facts) = level(&verified, Vec::new()).unwrap();
        assert_eq!((untried, facts.open.len()), (Level::Inconclusive, 6));
        // The balancer avoided the backend, or had no need of it: nobody looked at the certificate.
        let mut trials = verifying();
        trials[2] = trial(BadCertificate::OtherName, 0, 9, Some(HandshakeFailure::AlertProtocolVersion));
        assert_eq!(level(&verified, trials.clone()).unwrap().0, Level::Inconclusive, "it is not about the certificate");
        trials[2] = trial(BadCertificate::OtherName, 0, 0, None);
        assert_eq!(level(&verified, trials.clone()).unwrap().1.open, [BadCertificate::OtherName]);
        // Who verifies after the handshake, and asks another backend then.
        trials[2] = trial(BadCertificate::OtherName, 0, 0, Some(HandshakeFailure::ClosedAfter));
        assert_eq!(level(&verified, trials).unwrap().0, Level::Pass);
    }

    #[test]
    fn a_backend_that_was_not_tried_may_be_the_one_that_is_not_verified() {
        let verified = [TlsRequirement::Verified];
        let at = |trials: Vec<Trial>| {
            let known = Verification { trials, ..Verification::default() };
            let finding = judge_verification(&verified, &known, ["9001", "9002"].into_iter()).unwrap();
            let finding::Facts::TlsVerified(facts) = finding.facts else { unreachable!() };
            (finding.level, facts.open_at)
        };
        let of = |certificate, arrived, reason| {
            let mut of = trial(certificate, arrived, 0, reason);
            of.backend = "9002".to_owned();
            of
        };
        let alert = Some(HandshakeFailure::AlertBadCertificate);
        let with = |more: Trial| at(verifying().into_iter().chain([more]).collect());
        assert_eq!(at(verifying()), (Level::Inconclusive, vec!["9002".to_owned()]));
        // It would be refused by who verifies no name, too.
        assert_eq!(with(of(BadCertificate::Expired, 0, alert)).0, Level::Inconclusive);
        assert_eq!(with(of(BadCertificate::OtherName, 0, None)).0, Level::Inconclusive, "no request got there");
        assert_eq!(with(of(BadCertificate::OtherName, 0, alert)), (Level::Pass, Vec::new()));
        assert_eq!(with(of(BadCertificate::OtherName, 1, None)).0, Level::Fail);
    }

    #[test]
    fn a_health_check_that_makes_a_handshake_and_asks_nothing_proves_nothing() {
        let left = trial(BadCertificate::OtherName, 0, 3, Some(HandshakeFailure::ClosedAfter));
        assert_eq!(is_refused(&left, false), Some(true));
        assert_eq!(is_refused(&left, true), None, "a rate limit refused the requests");
        assert_eq!(is_refused(&Trial { sent: 12, ..left.clone() }, false), None, "too few requests");
        assert_eq!(is_refused(&Trial { share: 0.01, ..left }, false), None, "a backend that seldom gets any");
    }

    #[test]
    fn a_revocation_list_is_required_only_where_it_is_expected() {
        let both = [TlsRequirement::Verified, TlsRequirement::Revocation];
        let mut trials = verifying();
        assert_eq!(level(&both, trials.clone()).unwrap().0, Level::Pass);
        trials[6] = trial(BadCertificate::Revoked, 3, 0, None);
        let (level_of, facts) = level(&both, trials).unwrap();
        assert_eq!((level_of, facts.accepted), (Level::Fail, vec![BadCertificate::Revoked]));
        assert!(level(&[], verifying()).is_none(), "nothing is required");
    }

    #[test]
    fn names_and_client_certificates_are_required_of_all_requests() {
        let of = |required: &[TlsRequirement], asks, refused, seen: &[Option<ArrivedTls>]| {
            let mut arrived = ArrivedByTls::default();
            seen.iter().for_each(|tls| arrived.add(tls.as_ref()));
            let known = ArrivedConnections {
                asks_clients: asks,
                clients_refused: refused,
                arrived,
                ..ArrivedConnections::default()
            };
            connections(required, &known).map(|finding| finding.level)
        };
        let plain = ArrivedTls { is_tls12: false, resumed: false, name: None, client: None, bad: None };
        let named = ArrivedTls { name: Some("localhost"), ..plain };
        let certified = ArrivedTls { client: Some("balancer"), ..plain };
        let (sni, client) = ([TlsRequirement::ServerName], [TlsRequirement::ClientCertificate]);
        assert_eq!(of(&sni, None, 0, &[Some(named), Some(named)]), Some(Level::Pass));
        assert_eq!(of(&sni, None, 0, &[Some(named), Some(plain)]), Some(Level::Fail));
        assert_eq!(of(&sni, None, 0, &[None]), Some(Level::Inconclusive), "the backends speak no TLS");
        assert_eq!(of(&client, Some(true), 0, &[Some(certified)]), Some(Level::Pass));
        assert_eq!(of(&client, Some(true), 5, &[]), Some(Level::Fail));
        assert_eq!(of(&client, Some(true), 5, &[Some(certified)]), Some(Level::Inconclusive), "a probe without one");
        assert_eq!(of(&client, Some(false), 0, &[Some(plain)]), Some(Level::Inconclusive), "nobody asks for one");
        assert_eq!(of(&[], None, 0, &[Some(plain)]), Some(Level::Note));
        assert_eq!(of(&[], None, 0, &[None]), None);
    }
}
