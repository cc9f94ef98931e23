//! The prose of the rules of TLS between balancer and backends.

use verdict::BadCertificate;
use verdict::facts::tls::{ArrivedConnections, Trial, Untried, Verification};
use verdict::finding::Level;
use verdict::numbers::{count_of, grouped};

use super::phrase::{Phrase, listed};
use crate::balancer::Balancer;
use crate::report::hints;

/// Backends that a line names.
const NAMED: usize = 4;

pub(super) fn with_article(bad: BadCertificate) -> &'static str {
    match bad {
        BadCertificate::Expired => "an expired certificate",
        BadCertificate::Future => "a certificate that is not yet valid",
        BadCertificate::OtherName => "another host's certificate",
        BadCertificate::UnknownCa => "a certificate of an unknown authority",
        BadCertificate::SelfSigned => "a self-signed certificate",
        BadCertificate::ClientOnly => "a certificate that is for clients only",
        BadCertificate::Revoked => "a revoked certificate",
    }
}

pub(super) fn verified(facts: &Verification, level: Level, product: Option<Balancer>) -> Phrase {
    let evidence = trials(&facts.trials);
    let arrived = |bad: BadCertificate| -> u64 {
        facts.trials.iter().filter(|trial| trial.certificate == bad).map(|trial| trial.arrived).sum()
    };
    match level {
        Level::Pass | Level::Note => {
            Phrase::of("the balancer verifies the certificates of its backends").because(evidence)
        }
        Level::Inconclusive => {
            let phrase = match facts.untried {
                Some(Untried::NoFleet) => {
                    Phrase::of("it is unknown whether certificates are verified: no fleet was found")
                        .try_this("start the backends with uuid-generator --tls")
                }
                Some(Untried::NoTls) => {
                    Phrase::of("it is unknown whether certificates are verified: the backends speak no TLS")
                        .try_this("start the fleet with --tls, and let the balancer speak TLS to it")
                }
                Some(Untried::NoAuthority) => {
                    Phrase::of("it is unknown whether certificates are verified: the backends serve one of your own")
                        .try_this(
                            "start the fleet with --tls and without --cert: bad certificates need its own authority",
                        )
                }
                Some(Untried::Unreachable) => {
                    Phrase::of("it is unknown whether certificates are verified: no request reached a backend")
                        .try_this("make the balancer trust the fleet's authority first: its file is printed at start")
                }
                None if facts.open.is_empty() => {
                    Phrase::of(format!("it is unknown whether the certificate of {} is verified", some_of(&facts.open_at)))
                        .try_this("no request got there while it served a bad certificate: send it more of the traffic, and check again")
                }
                None => {
                    let open: Vec<&str> = facts.open.iter().map(|bad| with_article(*bad)).collect();
                    Phrase::of(format!("it is unknown whether the balancer refuses {}", listed(&open)))
                        .try_this("the balancer made no handshake with that backend meanwhile: send it more of the traffic, and check again")
                }
            };
            phrase.because(evidence)
        }
        Level::Fail => {
            let requests: u64 = facts.accepted.iter().map(|bad| arrived(*bad)).sum();
            let went = count_of(requests, "request");
            let summary = match facts.accepted.as_slice() {
                [BadCertificate::OtherName] => {
                    format!("the name is not verified: {went} went to a backend with another host's certificate")
                }
                [BadCertificate::Revoked] => {
                    format!("revocation is not checked: {went} went to a backend with a revoked certificate")
                }
                [one] => format!("verification is OFF: {went} went to a backend with {}", with_article(*one)),
                [one, other] => {
                    let (one, other) = (with_article(*one), with_article(*other));
                    format!("verification is OFF: {went} went to backends with {one} and {other}")
                }
                several => {
                    let kinds: Vec<&str> = several.iter().map(|bad| bad.name()).collect();
                    format!("verification is OFF: {went} went to backends with bad certificates: {}", kinds.join(", "))
                }
            };
            Phrase::of(summary).because(evidence).try_this(hints::of_certificates(&facts.accepted, product))
        }
    }
}

/// A line for each trial, but one for all backends at which a certificate was refused.
fn trials(trials: &[Trial]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut refused: Vec<BadCertificate> = Vec::new();
    for trial in trials {
        let name = trial.certificate.name();
        let sent = count_of(trial.sent, "request");
        match trial.refused {
            Some(true) if refused.contains(&trial.certificate) => {}
            Some(true) => {
                refused.push(trial.certificate);
                let alike = |it: &&Trial| it.certificate == trial.certificate && it.refused == Some(true);
                let alike: Vec<&Trial> = trials.iter().filter(alike).collect();
                let backends: Vec<&str> = alike.iter().map(|it| it.backend.as_str()).collect();
                lines.push(format!("{name} at {}: refused ({})", some_of(&backends), reasons(&alike)));
            }
            Some(false) => {
                let arrived = grouped(trial.arrived);
                lines.push(format!("{name} at {}: accepted, {arrived} of {sent} arrived", trial.backend));
            }
            None => {
                let why = if trial.handshakes.is_empty() { "no handshake".to_owned() } else { reasons(&[trial]) };
                lines.push(format!("{name} at {}: not known ({why}, of {sent})", trial.backend));
            }
        }
    }
    lines
}

/// Backends by name, as many as a line is worth.
fn some_of<T: AsRef<str>>(backends: &[T]) -> String {
    match backends.get(NAMED..) {
        Some(more) if !more.is_empty() => {
            let named: Vec<&str> = backends[..NAMED].iter().map(AsRef::as_ref).collect();
            format!("{} and {} more", named.join(", "), grouped(more.len() as u64))
        }
        _ => listed(backends),
    }
}

/// How handshakes of these trials failed, and how often.
fn reasons(trials: &[&Trial]) -> String {
    let mut counts: Vec<(&str, u64)> = Vec::new();
    for failed in trials.iter().flat_map(|trial| &trial.handshakes) {
        match counts.iter_mut().find(|(reason, _)| *reason == failed.reason.name()) {
            Some((_, count)) => *count += failed.count,
            None => counts.push((failed.reason.name(), failed.count)),
        }
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{} × {reason}", grouped(count))).collect();
    counts.join(", ")
}

pub(super) fn connections(facts: &ArrivedConnections, level: Level, product: Option<Balancer>) -> Phrase {
    let arrived = &facts.arrived;
    let all = arrived.secured;
    let mut evidence = vec![format!(
        "{} of {} with TLS: {} with TLS 1.2, {} on resumed sessions",
        grouped(all),
        count_of(all + arrived.plain, "attempt"),
        grouped(arrived.tls12),
        grouped(arrived.resumed),
    )];
    evidence.extend(
        arrived.bad.iter().map(|(bad, count)| format!("{} to {}", count_of(*count, "request"), with_article(*bad))),
    );
    let some = |count: u64, what: &str, texts: &[String]| match count {
        0 => format!("no {what}"),
        count if count == all => format!("{what} {}", texts.join(", ")),
        count => format!("{what} {} in {} of {}", texts.join(", "), grouped(count), grouped(all)),
    };
    let names = some(arrived.named, "server name (SNI)", &arrived.names);
    let clients = some(arrived.certified, "client certificate", &arrived.clients);
    let is_expected = |what: &str| facts.expected.iter().any(|expected| expected == what);
    let (sni, client) = (is_expected("tls:sni"), is_expected("tls:client-certificate"));
    let is_mixed = client && facts.asks_clients == Some(true) && all > 0 && facts.clients_refused > 0;
    let summary = match (level, all) {
        (Level::Inconclusive, 0) if client && facts.asks_clients != Some(true) || all == 0 => {
            "it is unknown what the balancer presents: no request came with TLS".to_owned()
        }
        (Level::Inconclusive, _) if is_mixed => format!(
            "each request came with a client certificate, and {} without an accepted one failed: whose is not known",
            count_of(facts.clients_refused, "handshake")
        ),
        (Level::Inconclusive, _) => {
            "it is unknown whether the balancer has a certificate: the backends ask for none".to_owned()
        }
        (Level::Fail, _) if sni && arrived.named < all => {
            format!(
                "the balancer does not name the server: {} of {} without SNI",
                grouped(all - arrived.named),
                grouped(all)
            )
        }
        (Level::Fail, _) => format!(
            "the balancer presents no certificate that is accepted: {} refused",
            count_of(facts.clients_refused, "handshake")
        ),
        _ => format!("{} to backends: {names}, {clients}", if arrived.tls12 == all { "TLS 1.2" } else { "TLS" }),
    };
    let phrase = Phrase::of(summary).because(evidence);
    match level {
        Level::Fail if sni && arrived.named < all => phrase.try_this(hints::of_server_name(product)),
        Level::Fail => phrase.try_this(hints::of_client_certificate(product)),
        Level::Inconclusive if is_mixed => phrase.try_this(
            "a health check of the balancer, or whoever else reaches the backends, may have none: check again without them",
        ),
        Level::Inconclusive if client => phrase.try_this("start the fleet with --client-ca FILE"),
        Level::Inconclusive => phrase.try_this("start the fleet with --tls"),
        Level::Pass | Level::Note => phrase,
    }
}
