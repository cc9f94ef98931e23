//! Which priority of a cluster of Envoy gets requests: the first one, while enough of its endpoints are healthy.

use serde_json::Value;

use crate::balancer::read::document::{at, get, number};

/// An endpoint, as far as priorities go.
pub(super) struct EndpointHealth {
    pub(super) priority: u64,
    /// Whether the file takes it for healthy.
    pub(super) is_well: bool,
}

/// With fewer healthy endpoints, in percent, Envoy sends to all of them, ill or not.
#[derive(Clone, Copy)]
pub(super) struct PanicThreshold(f64);

impl PanicThreshold {
    /// Of a cluster: 50 where nothing is written.
    pub(super) fn of(cluster: &Value) -> PanicThreshold {
        let written = at(cluster, &["common_lb_config", "healthy_panic_threshold"]);
        let percent =
            |it: &Value| get(it, "value").map_or(Some(0.0), |it| it.as_f64().or(number(it).map(|it| it as f64)));
        PanicThreshold(written.map_or(50.0, |it| percent(it).unwrap_or(100.0)))
    }
}

/// Endpoints of one priority.
struct PriorityCount {
    priority: u64,
    all: u64,
    well: u64,
}

/// The priority that gets all requests as long as its endpoints are as well as the file has them; or why several may. `factor` is Envoy's
/// overprovisioning factor: with 140, a priority gets all while 100 in 140 of its endpoints are healthy.
pub(super) fn first(
    endpoints: impl Iterator<Item = EndpointHealth>,
    factor: u64,
    panic: PanicThreshold,
) -> Result<u64, &'static str> {
    let mut counts: Vec<PriorityCount> = Vec::new();
    for EndpointHealth { priority, is_well } in endpoints {
        let known = counts.iter_mut().find(|it| it.priority == priority);
        match known {
            Some(count) => (count.all, count.well) = (count.all + 1, count.well + u64::from(is_well)),
            None => counts.push(PriorityCount { priority, all: 1, well: u64::from(is_well) }),
        }
    }
    counts.sort_by_key(|it| it.priority);
    let of = |it: &PriorityCount| (factor * it.well / it.all).min(100);
    let whole = counts.iter().map(of).sum::<u64>().min(100);
    let Some(first) = counts.iter().find(|it| of(it) > 0) else {
        return if counts.is_empty() { Ok(0) } else { Err("health_status: no endpoint is healthy") };
    };
    if of(first) < whole {
        return Err("priority: too few endpoints of one priority are healthy for all requests");
    }
    let is_panic = whole < 100 && (first.well * 100) as f64 / (first.all as f64) < panic.0;
    if is_panic { Err("healthy_panic_threshold: fewer endpoints are healthy") } else { Ok(first.priority) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(endpoints: &[(u64, usize, usize)], panic: Value) -> Result<u64, &'static str> {
        let all = endpoints.iter().flat_map(|(priority, well, ill)| {
            let health = |is_well| EndpointHealth { priority: *priority, is_well };
            (0..*well).map(move |_| health(true)).chain((0..*ill).map(move |_| health(false)))
        });
        first(all, 140, PanicThreshold::of(&json!({"common_lb_config": panic})))
    }

    #[test]
    fn the_first_priority_gets_all_while_enough_of_it_is_healthy() {
        for (endpoints, expected) in [
            (&[(0, 2, 0), (1, 2, 0)][..], Some(0)),
            (&[(0, 3, 1), (1, 2, 0)], Some(0)),
            // 93 % and the rest.
            (&[(0, 2, 1), (1, 2, 0)], None),
            (&[(0, 0, 2), (1, 2, 0)], Some(1)),
            (&[(2, 1, 0), (1, 1, 0)], Some(1)),
            (&[(0, 1, 1)], Some(0)),
            (&[], Some(0)),
            (&[(0, 0, 1)], None),
        ] {
            assert_eq!(of(endpoints, Value::Null).ok(), expected, "{endpoints:?}");
        }
    }

    #[test]
    fn with_few_healthy_endpoints_all_get_requests() {
        let few = [(0, 1, 2)];
        assert!(of(&few, Value::Null).is_err());
        assert!(of(&few, json!({"healthy_panic_threshold": {"value": 40.5}})).is_err());
        for (panic, endpoints) in [
            (json!({"healthy_panic_threshold": {"value": 0}}), &few[..]),
            (json!({"healthy_panic_threshold": {}}), &few),
            (json!({"healthy_panic_threshold": {"value": 30}}), &few),
        ] {
            assert_eq!(of(endpoints, panic.clone()), Ok(0), "{panic}");
        }
    }
}
