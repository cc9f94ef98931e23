//! What the balancer does to a request, as it is: described, not judged.

use crate::arrived::PartChange;
use crate::notes::Note;
use crate::report::{Added, Forwarding, HeldConnections, Rewrite};
use crate::request::RequestPart;
use crate::rules::case::Case;
use crate::rules::extent::{path_of, query_of};
use crate::rules::requests::{arrived_queries, changed_body, changed_target};
use crate::upstream::UpstreamUse;

/// None if no backend of ours recorded a request.
pub fn describe(case: &Case) -> Option<Forwarding> {
    let changes = case.changes;
    if changes.attempts == 0 {
        return None;
    }
    Some(Forwarding {
        attempts: changes.attempts,
        compared: changes.compared,
        rewrites: list_rewrites(case),
        added: list_added(case),
        leaked: list_leaked(case),
        http_1_0: changes.noted(Note::Http10),
        http_2: changes.noted(Note::Http2),
        client_http_2: case.over_http2,
        proxied: changes.proxied.counts.clone(),
        upstream: list_held(case),
        vias: case.received.vias.clone(),
        servers: case.received.servers.clone(),
    })
}

/// What arrived otherwise than it was sent.
fn list_rewrites(case: &Case) -> Vec<Rewrite> {
    let changes = case.changes;
    let sent = |part: RequestPart| match part {
        RequestPart::Method => Some(case.sent.method.to_owned()),
        RequestPart::Path => changed_target(case, part, path_of),
        RequestPart::Query => changed_target(case, part, query_of),
        RequestPart::Host => case.sent.host.map(str::to_owned),
        RequestPart::BodyLength => changed_body(case, |it| it.contains(part)),
        RequestPart::Body
        | RequestPart::FieldLost
        | RequestPart::FieldChanged
        | RequestPart::FieldDoubled
        | RequestPart::Unreadable => None,
    };
    // Experiments add fields of theirs, which nobody asked about: what becomes of those is left out.
    let names = case.sent.judged_fields();
    let fields: Vec<(&str, u64)> = names.into_iter().zip(changes.fields).filter(|(_, count)| *count > 0).collect();
    let of_fields = |part: RequestPart| {
        matches!(part, RequestPart::FieldLost | RequestPart::FieldChanged | RequestPart::FieldDoubled)
    };
    let described = changes.parts.iter().filter(|change| !of_fields(change.part) || !fields.is_empty());
    let most = fields.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let rewrite = |change: &PartChange| Rewrite {
        part: change.part.name().to_owned(),
        sent: sent(change.part),
        arrived: match change.part {
            RequestPart::Query => arrived_queries(case),
            _ => change.arrived.counts.clone(),
        },
        attempts: if of_fields(change.part) { change.count.min(most) } else { change.count },
        fields: if of_fields(change.part) {
            fields.iter().map(|(name, _)| (*name).to_owned()).collect()
        } else {
            Vec::new()
        },
    };
    described.map(rewrite).collect()
}

/// Fields about the client and the way that the user did not send.
fn list_added(case: &Case) -> Vec<Added> {
    let changes = case.changes;
    let own = |name: &str| case.sent.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    let notes = [Note::ForwardedFor, Note::ForwardedProto, Note::ForwardedHost, Note::Forwarded, Note::Via];
    let added = notes.into_iter().filter(|note| changes.noted(*note) > 0 && !own(note.name()));
    let own_values = |note: Note| if note == Note::ForwardedFor { changes.own_forwarded_for } else { 0 };
    let describe = |note: Note| Added {
        name: note.name().to_owned(),
        value: changes.forwarded_for.only().filter(|_| note == Note::ForwardedFor).map(str::to_owned),
        attempts: changes.noted(note),
        missing: changes.attempts.saturating_sub(changes.noted(note) + own_values(note)),
        twice: note.twice().map_or(0, |twice| changes.noted(twice)),
    };
    added.map(describe).collect()
}

/// Fields of one connection that arrived on the next.
fn list_leaked(case: &Case) -> Vec<(String, u64)> {
    // A balancer that passes a handshake on asks for the upgrade itself (RFC 9110 §7.8).
    let is_asked_for = |note: Note| note == Note::Upgrade && case.streams.is_some();
    // gRPC has TE: trailers arrive at backends, as HTTP/2 allows (RFC 9113 §8.2.2).
    let is_of_calls = |note: Note| note == Note::Te && case.are_calls();
    let leaks = |note: &Note| note.is_hop_by_hop() && !is_asked_for(*note) && !is_of_calls(*note);
    let counted = Note::ALL.into_iter().filter(leaks).map(|note| (note.name().to_owned(), case.changes.noted(note)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// What it held to each backend. One that was started again counts its connections anew.
fn list_held(case: &Case) -> Vec<HeldConnections> {
    if !case.steps.is_empty() {
        return Vec::new();
    }
    let held = |it: UpstreamUse| {
        let backend = case.names.get(usize::from(it.backend.0))?.clone();
        Some(HeldConnections { backend, connections: it.connections, at_once: it.at_once })
    };
    case.changes.upstream.each().into_iter().filter_map(held).collect()
}
