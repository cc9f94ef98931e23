//! Witnesses in words: a request from both ends, an order of backends.

use crate::escape::harmless;
use verdict::AttemptEnd;
use verdict::finding::{AttemptWitness, ClientWitness, EvidenceLine, RequestWitness, Witness};
use verdict::observation::ClientOutcome;

/// What a witness shows; its parts are the attempts of a request if there are several, or the requests of a client.
pub(crate) fn describe(witness: &Witness) -> EvidenceLine {
    match witness {
        Witness::Request(request) => self::request(request),
        Witness::Order { first, backends } => {
            let names: Vec<&str> = backends.iter().map(|name| name.as_deref().unwrap_or("–")).collect();
            EvidenceLine::of(format!("requests from {first} on: {}", names.join(" ")))
        }
        Witness::Connection { number, requests } => {
            EvidenceLine { line: format!("connection {number}:"), parts: requests.iter().map(destination).collect() }
        }
        Witness::Moved { client, first, moved, proof } => {
            let backend = first.client.backend.as_deref().unwrap_or("?");
            let proof = proof.as_ref().map_or_else(
                || format!("no later request at {backend} shows that it was there"),
                |it| format!("{backend} was there: {}", destination(it)),
            );
            let parts = vec![destination(first), format!("then {}", destination(moved)), proof];
            EvidenceLine { line: format!("client {client}:"), parts }
        }
    }
}

/// Where a request went, and no more. What the client got names no backend where its trailers were lost.
fn destination(request: &RequestWitness) -> String {
    let status = request.client.status.unwrap_or_default();
    let recorded = || request.attempts.first().map(|it| it.backend.as_str());
    let backend = request.client.backend.as_deref().or_else(recorded).unwrap_or("?");
    format!("request {}{}: {status} from {backend}", request.number, when(request.at))
}

fn request(request: &RequestWitness) -> EvidenceLine {
    let (came, took) = (came(&request.client, !request.unrecorded), brief(request.client.seconds));
    if request.client.outcome == ClientOutcome::Unsent {
        return EvidenceLine::of(format!(
            "request {}{}: due, and {came} within {took}",
            request.number,
            when(request.at)
        ));
    }
    let words = request.words.as_deref().map_or_else(String::new, |words| format!(": \"{}\"", harmless(words)));
    let head = format!("request {}{}: {came} after {took}{words}", request.number, when(request.at));
    if request.unrecorded {
        return EvidenceLine::of(head);
    }
    match request.attempts.as_slice() {
        // A backend has responded: what is missing is the record.
        [] if request.client.backend.is_some() => EvidenceLine::of(format!("{head}; no record of it")),
        [] => EvidenceLine::of(format!("{head}; reached no backend")),
        [only] => EvidenceLine::of(format!("{head}; {}", attempt(only))),
        several => EvidenceLine { line: head, parts: several.iter().map(attempt).collect() },
    }
}

/// What the client got of backends that are this program's.
pub(crate) fn what_came(client: &ClientWitness) -> String {
    came(client, true)
}

/// Who gave a response without a name is only known where backends are this program's, and would have written one.
fn came(client: &ClientWitness, are_named: bool) -> String {
    let from = match &client.backend {
        Some(name) => format!("from {name}"),
        None if are_named => "from the balancer itself".to_owned(),
        None => "without a backend's name".to_owned(),
    };
    let status = client.status.unwrap_or_default();
    let connection = if client.reused { "kept connection" } else { "new connection" };
    match client.outcome {
        ClientOutcome::Response => format!("{status} {from}"),
        ClientOutcome::Altered => match &client.flaw {
            Some(flaw) => format!("{status} {from}, with {flaw},"),
            None => format!("{status} {from}, altered,"),
        },
        ClientOutcome::Truncated if status == 0 => "a head that was cut off".to_owned(),
        ClientOutcome::Truncated => match &client.flaw {
            Some(flaw) => format!("{status} {from}, cut off: {flaw},"),
            None => format!("{status} {from}, cut off"),
        },
        ClientOutcome::TooLarge => format!("{status} {from}, larger than the limit,"),
        ClientOutcome::Malformed => match &client.flaw {
            Some(flaw) => format!("malformed response: {flaw}"),
            None => "malformed response".to_owned(),
        },
        ClientOutcome::Closed => format!("{connection} closed without a response"),
        ClientOutcome::Reset => format!("{connection} reset without a response"),
        ClientOutcome::StreamReset => format!("stream of a {connection} reset without a response"),
        ClientOutcome::TimedOut if status > 0 => format!("{status} {from}, not complete"),
        ClientOutcome::TimedOut => "no response".to_owned(),
        ClientOutcome::Refused => "connection refused".to_owned(),
        ClientOutcome::Unreachable => "no connection".to_owned(),
        ClientOutcome::TlsFailed => "TLS handshake failed".to_owned(),
        ClientOutcome::Unsent => "not sent".to_owned(),
    }
}

/// Describes an attempt as a backend recorded it.
pub(crate) fn attempt(attempt: &AttemptWitness) -> String {
    let AttemptWitness { backend, .. } = attempt;
    let at = when(attempt.at);
    let after = brief(attempt.seconds);
    match attempt.end {
        AttemptEnd::Completed => {
            format!("{backend}{at}: responded {} in {after}", attempt.status.unwrap_or_default())
        }
        AttemptEnd::CutOff => format!("{backend}{at}: cut off after {after}"),
        AttemptEnd::Refused => format!("{backend}{at}: refused the stream after {after}"),
        AttemptEnd::Received => format!("{backend}{at}: received, no response written"),
    }
}

/// Seconds of the sample, as the steps of an outage are timed.
fn when(at: f64) -> String {
    if at < 0.0 { format!(", {:.3} s before the sample", -at) } else { format!(" at {at:.3} s") }
}

fn brief(seconds: f64) -> String {
    match seconds.max(0.0) {
        // What would be rounded to a thousand of the smaller unit is one of the larger.
        seconds @ 0.999_95.. => format!("{seconds:.1} s"),
        seconds @ 0.000_999_5.. => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.0} µs", seconds * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_sent_is_not_looked_for_at_backends() {
        let client = ClientWitness {
            outcome: ClientOutcome::Unsent,
            status: None,
            backend: None,
            seconds: 12.1,
            reused: false,
            flaw: None,
        };
        let unsent = RequestWitness {
            id: String::new(),
            number: 1479,
            at: 2.88,
            client,
            attempts: Vec::new(),
            unrecorded: false,
            words: None,
        };
        let line = EvidenceLine::of("request 1479 at 2.880 s: due, and not sent within 12.1 s".to_owned());
        assert_eq!(request(&unsent), line);
    }

    #[test]
    fn times_are_those_of_the_sample_as_the_steps_of_an_outage_are() {
        let attempt = |at| AttemptWitness {
            backend: "9002".to_owned(),
            at,
            end: AttemptEnd::CutOff,
            status: None,
            seconds: 0.000_009,
        };
        assert_eq!(super::attempt(&attempt(1.0061)), "9002 at 1.006 s: cut off after 9 µs");
        assert_eq!([0.999_96, 0.000_999_7, 0.000_4].map(super::brief), ["1.0 s", "1.0 ms", "400 µs"]);
        assert_eq!(super::attempt(&attempt(-0.25)), "9002, 0.250 s before the sample: cut off after 9 µs");
    }
}
