//! Whom a change of requests hits: all that are alike, those of some URLs, bodies, clients or backends, or some and not others.

use std::collections::BTreeMap;

use crate::facts::requests::Extent;
use crate::ledger::Arrival;
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::request::{Differences, MASKED_FIELDS, RequestPart};
use crate::rules::case::Case;
use crate::rules::requirement::Requirement;

/// Fields that proxies append to: what becomes of them is no change of the user's own.
const APPENDED: [&str; 3] = ["x-forwarded-for", "forwarded", "via"];

/// Fields that a proxy replaces with what it knows itself: another value for all is as it should be.
const REPLACED: [&str; 4] = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"];

/// What becomes of fields.
const FIELD_MARKS: u16 =
    RequestPart::FieldLost as u16 | RequestPart::FieldChanged as u16 | RequestPart::FieldDoubled as u16;

/// Which requests a change hits.
pub(super) struct Hits {
    pub(super) extent: Extent,
    pub(super) changed: u64,
    pub(super) of: u64,
    /// The places of the URLs that it hits, of several.
    urls: Vec<usize>,
    /// The places of the bodies that it hits, of several.
    bodies: Vec<usize>,
}

impl Hits {
    /// Path and query of the URLs that it hits; none if there is one URL.
    pub(super) fn targets(&self, case: &Case) -> Vec<String> {
        self.urls.iter().filter_map(|place| case.urls.targets.get(*place).cloned()).collect()
    }

    /// Bytes of the bodies that it hits, each once; none without a body.
    pub(super) fn lengths(&self, case: &Case) -> Vec<u64> {
        let mut lengths: Vec<u64> = self.bodies.iter().filter_map(|place| case.bodies.get(*place).copied()).collect();
        if lengths.is_empty() {
            lengths.extend(case.bodies);
        }
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// That part of what was sent to each URL that it hits, each once; none where it is missing.
    pub(super) fn sent<'c>(&self, case: &Case<'c>, part: fn(&str) -> Option<&str>) -> Vec<Option<&'c str>> {
        let several: Vec<&str> =
            self.urls.iter().filter_map(|place| case.urls.targets.get(*place)).map(String::as_str).collect();
        let mut parts = Vec::new();
        for target in if several.is_empty() { vec![case.sent.target] } else { several } {
            if !parts.contains(&part(target)) {
                parts.push(part(target));
            }
        }
        parts
    }
}

/// The path of a target.
pub(super) fn path_of(target: &str) -> Option<&str> {
    target.split('?').next()
}

/// Its query.
pub(super) fn query_of(target: &str) -> Option<&str> {
    target.split_once('?').map(|(_, query)| query)
}

/// All of them; none where each is missing.
pub(super) fn listed(parts: &[Option<&str>]) -> Option<String> {
    let texts: Vec<&str> = parts.iter().map(|part| part.unwrap_or("none")).collect();
    parts.iter().any(Option::is_some).then(|| texts.join(", "))
}

/// How requests that have something in common arrived: how many in which way; none is as they were sent.
#[derive(Clone, Default)]
struct Ways(BTreeMap<Option<u64>, u64>);

impl Ways {
    fn add(&mut self, way: Option<u64>) {
        *self.0.entry(way).or_default() += 1;
    }

    fn hit(&self) -> u64 {
        self.0.iter().filter(|(way, _)| way.is_some()).map(|(_, count)| count).sum()
    }

    fn of(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether all were treated alike.
    fn is_whole(&self) -> bool {
        self.0.len() <= 1
    }
}

/// Whom a change hits, by the attempts of the sample: the first of each request, for a retry may go another way.
pub(super) fn extent(case: &Case, way_of: impl Fn(&Arrival) -> Option<u64>) -> Option<Hits> {
    let mut by_url: BTreeMap<usize, Ways> = BTreeMap::new();
    let mut by_body: BTreeMap<usize, Ways> = BTreeMap::new();
    let mut by_backend: BTreeMap<Backend, Ways> = BTreeMap::new();
    let mut by_client: BTreeMap<u32, Ways> = BTreeMap::new();
    let mut all = Ways::default();
    for entry in case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence)) {
        let mut attempts = entry.attempts.iter().filter(|attempt| !case.ledger.is_mirror(attempt.backend));
        let Some(first) = attempts.next().filter(|attempt| is_read(attempt)) else { continue };
        let way = way_of(first);
        // Of one that was executed twice nobody knows which is the copy, and whether that was changed alone.
        if entry.outcome == Outcome::Duplicated && attempts.any(|other| way_of(other) != way) {
            continue;
        }
        all.add(way);
        by_backend.entry(first.backend).or_default().add(way);
        by_client.entry(entry.observation.client).or_default().add(way);
        if case.urls.are_several() {
            by_url.entry(case.urls.of(entry.sequence)).or_default().add(way);
        }
        if case.bodies.len() > 1 {
            by_body.entry(case.body_of(entry.sequence)).or_default().add(way);
        }
    }
    let (hit, of) = (all.hit(), all.of());
    let extent = if hit == 0 {
        return None;
    } else if all.is_whole() {
        Extent::All
    } else if case.changes.compared < case.changes.attempts {
        // Of some it is not known: whom it hits is not either.
        Extent::Clients
    } else if !by_url.is_empty() && by_url.values().all(Ways::is_whole) {
        Extent::Urls
    } else if !by_body.is_empty() && by_body.values().all(Ways::is_whole) {
        Extent::Bodies
    } else if case.varied && by_client.values().all(Ways::is_whole) {
        Extent::Clients
    } else if by_backend.values().all(Ways::is_whole) {
        // Each backend may have a rewrite of its own.
        if hit == of { Extent::All } else { Extent::Backends }
    } else {
        Extent::Some
    };
    Some(Hits { extent, changed: hit, of, urls: places_hit(by_url), bodies: places_hit(by_body) })
}

fn places_hit(by_place: BTreeMap<usize, Ways>) -> Vec<usize> {
    by_place.into_iter().filter(|(_, ways)| ways.hit() > 0).map(|(place, _)| place).collect()
}

/// Whether requests differ so.
pub(super) fn way_of(differs: impl Fn(Differences) -> bool) -> impl Fn(&Arrival) -> Option<u64> {
    move |attempt| differs(attempt.differences).then_some(0)
}

/// Whether a part was changed. How it arrived tells nothing: gateways have a Host, or a route, for each server, and for each tier.
pub(super) fn way_of_part(part: RequestPart) -> impl Fn(&Arrival) -> Option<u64> {
    way_of(move |differences| differences.contains(part))
}

/// A backend that refuses a request has compared nothing.
pub(super) fn is_read(attempt: &Arrival) -> bool {
    !attempt.is_refusal()
}

/// Whether the field at that place is one that proxies append to, or one of those that the last place stands for: unless the user
/// requires that one.
pub(super) fn is_forwarding(case: &Case, names: &[&str], place: usize) -> bool {
    let end = if place + 1 == MASKED_FIELDS { names.len() } else { place + 1 };
    let is_required = |name: &str| {
        case.expectations.required.iter().any(|it| match it {
            Requirement::HeaderPreserved(required) => required.eq_ignore_ascii_case(name),
            _ => false,
        })
    };
    names[place..end].iter().any(|name| APPENDED.iter().any(|it| name.eq_ignore_ascii_case(it)) && !is_required(name))
}

/// Whether proxies replace that field.
pub(super) fn is_replaced(name: &str) -> bool {
    REPLACED.iter().any(|it| name.eq_ignore_ascii_case(it))
}

/// What tells one change of the user's own fields from another; none if all arrived as they were sent.
pub(super) fn way_of_fields<'c>(case: &'c Case, names: &[&str]) -> impl Fn(&Arrival) -> Option<u64> + 'c {
    let forwarding: Vec<usize> =
        (0..names.len().min(MASKED_FIELDS)).filter(|place| is_forwarding(case, names, *place)).collect();
    move |attempt| {
        let way = case.changes.way(attempt.way)?;
        let own: Vec<usize> = way.fields.iter().filter(|place| !forwarding.contains(place)).collect();
        let which = own.iter().fold(0, |which, place| which | 1 << place);
        // Forwarding fields make the same marks, of lost, changed and doubled.
        let how = if forwarding.is_empty() { u64::from(way.differences.bits() & FIELD_MARKS) << 16 } else { 0 };
        (which != 0).then_some(which | how)
    }
}
