//! What a configuration changes of a request before a server is selected by it: a key that all requests have alike then is none.

use crate::balancer::read::configuration::{Upstream, UpstreamMethod};
use crate::topology::Policy;

/// Lines that change keys, each with its place.
#[derive(Default)]
pub(super) struct KeyChanges {
    /// That give requests a path of their own, whatever the client asked for.
    paths: Vec<String>,
    /// That set or drop a header; its name in small letters.
    headers: Vec<(String, String)>,
    /// That set the client's address.
    sources: Vec<String>,
}

impl KeyChanges {
    pub(super) fn path(&mut self, line: String) {
        self.paths.push(line);
    }

    pub(super) fn header(&mut self, name: &str, line: String) {
        self.headers.push((name.to_ascii_lowercase(), line));
    }

    pub(super) fn source(&mut self, line: String) {
        self.sources.push(line);
    }

    /// Nothing is expected of a group whose key may be another one than the client's.
    pub(super) fn apply<'u>(&self, upstreams: impl IntoIterator<Item = &'u mut Upstream>) {
        for upstream in upstreams {
            self.unsettle(&mut upstream.method);
        }
    }

    fn unsettle(&self, method: &mut UpstreamMethod) {
        match method {
            UpstreamMethod::Known(policy) => {
                if let Some(line) = self.of(policy) {
                    *method = UpstreamMethod::Unknown(format!("{policy}, and before that {line}"));
                }
            }
            UpstreamMethod::Split(parts) => parts.iter_mut().for_each(|part| self.unsettle(&mut part.method)),
            UpstreamMethod::Unknown(_) => {}
        }
    }

    /// The first line that changes what the policy goes by.
    fn of(&self, policy: &Policy) -> Option<&String> {
        let header = |name: &str| self.headers.iter().find(|(own, _)| own == name).map(|(_, line)| line);
        match policy {
            Policy::Uri => self.paths.first(),
            Policy::Source => self.sources.first(),
            Policy::Header(name) => header(&name.to_string().to_ascii_lowercase()),
            Policy::Cookie(_) => header("cookie"),
            Policy::RoundRobin | Policy::LeastConnections | Policy::LeastTime | Policy::Random => None,
            Policy::TwoChoices | Policy::Sticky(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_file_sets_itself_promises_nothing() {
        let mut changes = KeyChanges::default();
        changes.path("a, line 1: rewrite".to_owned());
        changes.header("X-User", "a, line 2: set-header".to_owned());
        changes.source("a, line 3: set-src".to_owned());
        for (policy, expected) in [
            (Policy::Uri, Some("uri, and before that a, line 1: rewrite")),
            (Policy::Header("x-user".parse().unwrap()), Some("header:x-user, and before that a, line 2: set-header")),
            (Policy::Source, Some("source, and before that a, line 3: set-src")),
            (Policy::Header("x-other".parse().unwrap()), None),
            (Policy::Cookie("sid".parse().unwrap()), None),
            (Policy::RoundRobin, None),
        ] {
            let mut upstream = Upstream::named("u");
            upstream.method = UpstreamMethod::Known(policy.clone());
            let mut split = Upstream::split(vec![(upstream.clone(), 1)]);
            changes.apply([&mut upstream, &mut split]);
            let method = expected.map_or(UpstreamMethod::Known(policy), |why| UpstreamMethod::Unknown(why.to_owned()));
            assert_eq!(upstream.method, method);
            assert!(matches!(&split.method, UpstreamMethod::Split(parts) if parts[0].method == method));
        }
    }
}
