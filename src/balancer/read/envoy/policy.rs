//! By which policy a cluster of Envoy selects among its endpoints.

use serde_json::Value;

use super::hashes;
use crate::balancer::read::document::{at, get, items, keys, number, text};
use crate::topology::Policy;

/// Fields of a policy's own configuration that are read, or change nothing for servers that have been there from the beginning.
const UNDERSTOOD: [&str; 10] = [
    "@type",
    "active_request_bias",
    "choice_count",
    "hash_function",
    "locality_lb_config",
    "maximum_ring_size",
    "minimum_ring_size",
    "selection_method",
    "slow_start_config",
    "table_size",
];

/// Fields that all policies share, likewise.
const COMMON: [&str; 7] = [
    "close_connections_on_host_set_change",
    "consistent_hashing_lb_config",
    "healthy_panic_threshold",
    "ignore_new_hosts_until_first_hc",
    "locality_weighted_lb_config",
    "update_merge_window",
    // Without a local cluster it does nothing, and that one is looked for where the whole is read.
    "zone_aware_lb_config",
];

/// The configuration of the first policy of the newer kind.
fn typed(cluster: &Value) -> Option<&Value> {
    let policies = get(cluster, "load_balancing_policy")?;
    let first = items(get(policies, "policies")).next()?;
    at(first, &["typed_extension_config", "typed_config"])
}

/// Whether a locality is selected first, by its weight.
pub(super) fn is_by_locality(cluster: &Value) -> bool {
    let common = at(cluster, &["common_lb_config", "locality_weighted_lb_config"]);
    let own = typed(cluster).and_then(|it| at(it, &["locality_lb_config", "locality_weighted_lb_config"]));
    if get(cluster, "load_balancing_policy").is_some() { own.is_some() } else { common.is_some() }
}

/// None where requests do not go by the policy's name alone.
pub(super) fn of(cluster: &Value, even: bool, all: &[&Value], unknown: &mut Vec<String>) -> Option<Policy> {
    let common = get(cluster, "common_lb_config").unwrap_or(&Value::Null);
    let others = keys(common).into_iter().filter(|key| !COMMON.contains(&key.as_str()));
    unknown.extend(others.map(|key| format!("common_lb_config: {key}")));
    // A server with more than its part of the load passes what a key brings to the next one.
    let bound = at(common, &["consistent_hashing_lb_config", "hash_balance_factor"]);
    unknown.extend(bound.map(|_| "common_lb_config: hash_balance_factor".to_owned()));
    if get(cluster, "load_balancing_policy").is_some() {
        return of_typed(cluster, even, all, unknown);
    }
    match get(cluster, "lb_policy").and_then(text).as_deref() {
        None | Some("ROUND_ROBIN") => Some(Policy::RoundRobin),
        Some("RANDOM") if even => Some(Policy::Random),
        Some("LEAST_REQUEST") => two_choices(get(cluster, "least_request_lb_config"), even, unknown),
        Some(ring @ ("RING_HASH" | "MAGLEV")) => hashed(cluster, all, ring, unknown),
        // Weights of RANDOM and others are documented as ignored, or as turns.
        Some(other) => {
            unknown.push(format!("lb_policy {other}"));
            None
        }
    }
}

fn of_typed(cluster: &Value, even: bool, all: &[&Value], unknown: &mut Vec<String>) -> Option<Policy> {
    let config = typed(cluster).unwrap_or(&Value::Null);
    // Whatever its name is, the type decides.
    let kind = config.get("@type").and_then(text).unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let others = keys(config).into_iter().filter(|key| !UNDERSTOOD.contains(&key.as_str()));
    unknown.extend(others.map(|key| format!("{kind}: {key}")));
    let localities = get(config, "locality_lb_config").map(keys).unwrap_or_default().into_iter();
    let others = localities.filter(|key| !COMMON.contains(&key.as_str()));
    unknown.extend(others.map(|key| format!("{kind}: locality_lb_config: {key}")));
    match (kind, get(config, "selection_method").and_then(text).as_deref()) {
        ("RoundRobin", _) => Some(Policy::RoundRobin),
        ("Random", _) if even => Some(Policy::Random),
        ("LeastRequest", Some("FULL_SCAN")) if even => Some(Policy::LeastConnections),
        ("LeastRequest", None | Some("N_CHOICES")) => two_choices(Some(config), even, unknown),
        ("RingHash" | "Maglev", _) => hashed(cluster, all, kind, unknown),
        _ => {
            unknown.push(format!("load_balancing_policy {kind}"));
            None
        }
    }
}

fn hashed(cluster: &Value, all: &[&Value], ring: &str, unknown: &mut Vec<String>) -> Option<Policy> {
    let policy = get(cluster, "name").and_then(text).and_then(|name| hashes::policy(&name, all));
    if policy.is_none() {
        unknown.push(format!("{ring}: hash_policy of its routes"));
    }
    // Their weights are those of its parts.
    unknown.extend(is_by_locality(cluster).then(|| format!("{ring} with weights of localities")));
    policy
}

fn two_choices(config: Option<&Value>, even: bool, unknown: &mut Vec<String>) -> Option<Policy> {
    let choices = config.and_then(|it| get(it, "choice_count")).map_or(Some(2), number);
    if even && choices == Some(2) {
        return Some(Policy::TwoChoices);
    }
    // With different weights it takes turns, which move with the requests in flight.
    unknown.push(if even { "choice_count".to_owned() } else { "LEAST_REQUEST with weights".to_owned() });
    None
}
