//! The lines `stick` of a `haproxy.cfg`, and the table that keeps who was sent where.

use std::time::Duration;

use crate::balancer::read::configuration::UpstreamMethod;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;

/// A table that forgets sooner may forget a client between two of its requests.
const KEPT: Duration = Duration::from_secs(300);

#[derive(Clone, Default)]
pub(super) struct Sticking {
    /// Each line `stick`, with its place.
    lines: Vec<String>,
    /// Whether one of them is not `stick on src`, or the table forgets soon.
    is_special: bool,
}

impl Sticking {
    /// Notes a line `stick` or `stick-table`.
    pub(super) fn note(&mut self, words: &[&str], place: &str) {
        match words {
            ["stick-table", parameters @ ..] => {
                let expires = parameters.iter().position(|it| *it == "expire").and_then(|at| parameters.get(at + 1));
                let time = expires.map(|it| time::parse(it, LoneNumber::Milliseconds));
                self.is_special |= time.is_some_and(|it| it.is_none_or(|it| it < KEPT));
            }
            _ => {
                self.is_special |= *words != ["stick", "on", "src"];
                self.lines.push(format!("{place}: {}", words.join(" ")));
            }
        }
    }

    /// How a server is selected where `method` selects one for those that the table does not know.
    pub(super) fn over(self, method: UpstreamMethod) -> UpstreamMethod {
        let unknown = || UpstreamMethod::Unknown(self.lines.join("; "));
        match method {
            known if self.lines.is_empty() => known,
            // A cookie goes before the table.
            UpstreamMethod::Known(Policy::Sticky(_)) => unknown(),
            UpstreamMethod::Known(_) if !self.is_special => UpstreamMethod::Known(Policy::Source),
            UpstreamMethod::Known(_) | UpstreamMethod::Split(_) => unknown(),
            UpstreamMethod::Unknown(why) => UpstreamMethod::Unknown(format!("{why}; {}", self.lines.join("; "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(lines: &[&str], method: UpstreamMethod) -> UpstreamMethod {
        let mut sticking = Sticking::default();
        for line in lines {
            sticking.note(&line.split(' ').collect::<Vec<_>>(), "a");
        }
        sticking.over(method)
    }

    #[test]
    fn a_table_of_addresses_keeps_clients_at_their_servers() {
        const KEPT: &str = "stick-table type ip size 200k expire 30m";
        let turns = || UpstreamMethod::Known(Policy::RoundRobin);
        let source = UpstreamMethod::Known(Policy::Source);
        assert_eq!(over(&[KEPT, "stick on src"], turns()), source);
        assert_eq!(over(&["stick-table type ip size 1m", "stick on src"], turns()), source);
        // One that only counts.
        assert_eq!(over(&["stick-table type ip size 1m expire 10s store http_req_rate(10s)"], turns()), turns());
        let session = || UpstreamMethod::Known(Policy::Sticky("SRV".parse().unwrap()));
        for (lines, method) in [
            (&["stick-table type ip size 1m expire 30s", "stick on src"][..], turns()),
            (&[KEPT, "stick on src if guest"], turns()),
            (&[KEPT, "stick on src table other"], turns()),
            (&[KEPT, "stick on req.cook(id)"], turns()),
            (&[KEPT, "stick on src", "stick store-response res.cook(id)"], turns()),
            (&[KEPT, "stick on src"], session()),
            (&[KEPT, "stick on src"], UpstreamMethod::Unknown("first".to_owned())),
        ] {
            assert!(
                matches!(over(lines, method), UpstreamMethod::Unknown(why) if why.contains("a: stick")),
                "{lines:?}"
            );
        }
    }
}
