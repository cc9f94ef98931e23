//! What a line `balance` of a `haproxy.cfg` says.

use crate::balancer::options::BalancerVersion;
use crate::balancer::read::configuration::{UpstreamMethod, UpstreamServer};
use crate::topology::Policy;

/// The first version that draws servers where no line says how to pick them.
const DRAWS: BalancerVersion = BalancerVersion(3, 3, 0);

/// Without a line `balance`.
pub(super) fn of_version(version: BalancerVersion) -> UpstreamMethod {
    UpstreamMethod::Known(if version < DRAWS { Policy::RoundRobin } else { Policy::TwoChoices })
}

/// None known without a word: the default depends on the version.
pub(super) fn method(algorithm: &[&str]) -> UpstreamMethod {
    let policy = match algorithm {
        ["roundrobin" | "static-rr"] => Some(Policy::RoundRobin),
        ["leastconn"] => Some(Policy::LeastConnections),
        ["random" | "random(2)"] => Some(Policy::TwoChoices),
        ["random(1)"] => Some(Policy::Random),
        ["source"] | ["hash", "src"] => Some(Policy::Source),
        // With `depth` or `len` it goes by a part of the path alone, which a check may not vary.
        ["uri"] | ["uri", "whole" | "path-only"] | ["hash", "path" | "pathq" | "url"] => Some(Policy::Uri),
        ["hash", expression] => keyed(expression),
        [one] => argument(one, "hdr").and_then(|name| name.parse().ok()).map(Policy::Header),
        _ => None,
    };
    policy.map_or_else(
        || UpstreamMethod::Unknown("no line `balance`: the default depends on the version".to_owned()),
        UpstreamMethod::Known,
    )
}

/// `balance first`: the others get nothing while the first one has room, as if they were its backups.
pub(super) fn fill(servers: &mut [UpstreamServer]) -> UpstreamMethod {
    let in_use = servers.iter_mut().filter(|server| !server.down && !server.backup);
    in_use.skip(1).for_each(|server| server.backup = true);
    UpstreamMethod::Known(Policy::RoundRobin)
}

/// A header or a cookie of the request, unless a converter changes it.
fn keyed(expression: &str) -> Option<Policy> {
    let of = |names: [&str; 2]| names.into_iter().find_map(|name| argument(expression, name)?.parse().ok());
    of(["req.hdr", "hdr"]).map(Policy::Header).or_else(|| of(["req.cook", "cook"]).map(Policy::Cookie))
}

/// Of `name(argument)`.
fn argument<'e>(expression: &'e str, name: &str) -> Option<&'e str> {
    expression.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_known_where_a_check_can_vary_what_it_goes_by() {
        let header = || Policy::Header("X-User".parse().unwrap());
        let cookie = || Policy::Cookie("session".parse().unwrap());
        for (line, expected) in [
            ("uri", Some(Policy::Uri)),
            ("uri whole", Some(Policy::Uri)),
            ("uri depth 2", None),
            ("uri len 12 whole", None),
            ("hash src", Some(Policy::Source)),
            ("hash pathq", Some(Policy::Uri)),
            ("hash req.hdr(X-User)", Some(header())),
            ("hdr(X-User)", Some(header())),
            ("hdr(X-User) use_domain_only", None),
            ("hash req.cook(session)", Some(cookie())),
            ("hash req.hdr(X-User),lower", None),
            ("hash req.hdr(X-User,1)", None),
            ("hash var(txn.key)", None),
            ("url_param user", None),
            ("first", None),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let found = match method(&words) {
                UpstreamMethod::Known(policy) => Some(policy),
                UpstreamMethod::Unknown(_) | UpstreamMethod::Split(_) => None,
            };
            assert_eq!(found, expected, "{line}");
        }
    }
}
