//! What a balancer keys on: addresses, paths, headers, cookies, bodies, connections.

use super::Algorithm;
use super::evidence::{Evidence, Keeping, Key};
use super::inference::Inference;
use super::result::{ExperimentFacts, KeySpread};
use super::selection::{CookieGiver, Selection};

impl Evidence {
    /// Names what decides, if anything that was varied does.
    pub(super) fn infer_key(&self, inference: &mut Inference) -> bool {
        let Some((kind, selection, key)) = self.key() else {
            self.describe_keys(None, inference);
            return false;
        };
        self.describe_keys(Some(&key), inference);
        (inference.kind, inference.selection, inference.key) = (Some(kind), selection, Some(key));
        self.find_bound(inference);
        true
    }

    /// What decides, all else alike.
    fn key(&self) -> Option<(Algorithm, Selection, Key)> {
        let decides = |wanted: &dyn Fn(&Key) -> bool| {
            self.keys.iter().find(|(key, trial)| wanted(key) && trial.decides()).map(|(key, _)| key.clone())
        };
        let network = decides(&|key| *key == Key::Network);
        let host = decides(&|key| *key == Key::Host);
        let others: [fn(&Key) -> Option<Algorithm>; 4] = [
            |key| matches!(key, Key::Path | Key::PathFront | Key::Query).then_some(Algorithm::Uri),
            |key| (*key == Key::Body).then_some(Algorithm::Body),
            |key| matches!(key, Key::Header(_)).then_some(Algorithm::Header),
            |key| matches!(key, Key::Cookie(_)).then_some(Algorithm::Cookie),
        ];
        match (network, host) {
            (Some(key), None) => Some((Algorithm::Source, Selection::ByNetwork, key)),
            (Some(key), Some(_)) | (None, Some(key)) => Some((Algorithm::Source, Selection::by(&key), key)),
            (None, None) => others.iter().find_map(|kind_of| {
                let key = decides(&|key| kind_of(key).is_some())?;
                let kind = kind_of(&key)?;
                Some((kind, Selection::by(&key), key))
            }),
        }
    }

    /// `decisive`: the one that decides, if one does.
    fn describe_keys(&self, decisive: Option<&Key>, inference: &mut Inference) {
        for (key, trial) in &self.keys {
            let requests = trial.rows.iter().map(Vec::len).max().unwrap_or(0) as u64;
            let (key, values, spread) = (key.clone(), trial.rows.len() as u64, KeySpread::of(trial));
            let excludes = if decisive == Some(&key) { Algorithm::ALL.as_slice() } else { &[] };
            inference.exclude(ExperimentFacts::Key { key, values, requests, spread }, excludes);
        }
    }

    /// How cookies that the client is given select its backend, and what they are called: they name it, or their value is hashed.
    pub(super) fn sticky(&self, inference: &mut Inference) -> Option<(Algorithm, Selection)> {
        let (given, trial) = self.jar.as_ref()?;
        inference.note(ExperimentFacts::GivenCookies {
            given: given.list(),
            clients: trial.rows.len() as u64,
            requests: trial.rows.iter().map(Vec::len).min().unwrap_or(0) as u64,
            spread: KeySpread::of(trial),
        });
        let is_session = given.session.is_some();
        let given_by = if is_session { CookieGiver::Backends } else { CookieGiver::Balancer };
        // Whoever opens a session is who has it.
        let is_by_value = !is_session && self.leads_elsewhere();
        (trial.keeps() == Keeping::Kept).then(|| {
            let cookies = given.list();
            if is_by_value {
                (Algorithm::Cookie, Selection::ByGivenCookie { cookies })
            } else {
                (Algorithm::Sticky, Selection::Sticky { cookies, given_by })
            }
        })
    }

    /// Whether a value of requests selects: a cookie that the client was given, or one that only some requests have, which leaves the
    /// others spread.
    pub(super) fn name_by_value(&self, cookie: Option<(Algorithm, Selection)>, inference: &mut Inference) -> bool {
        let is_sticky = matches!(cookie, Some((Algorithm::Sticky, _)));
        let of_some = |(kind, ..): &(Algorithm, Selection, Key)| !matches!(kind, Algorithm::Source | Algorithm::Uri);
        if let Some((kind, selection, key)) = self.key().filter(of_some).filter(|_| !is_sticky) {
            self.describe_keys(Some(&key), inference);
            (inference.kind, inference.key) = (Some(kind), Some(key));
            inference.selection = selection.with_others_spread();
            self.find_bound(inference);
            return true;
        }
        let Some((kind, selection)) = cookie else { return false };
        (inference.kind, inference.selection) = (Some(kind), selection);
        self.find_bound(inference);
        true
    }

    /// Whether connections are balanced, not requests.
    pub(super) fn find_unit(&self, inference: &mut Inference) {
        let unit = &self.connections;
        if inference.is_unit_known && unit.decides() {
            inference.per_connection = true;
            inference.note(ExperimentFacts::Connections {
                connections: unit.rows.len() as u64,
                requests: unit.rows.iter().map(Vec::len).max().unwrap_or(0) as u64,
            });
        }
    }
}
