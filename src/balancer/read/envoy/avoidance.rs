//! How long Envoy keeps away from an endpoint: `outlier_detection`, and `health_checks` that find it ill.

use std::time::Duration;

use serde_json::Value;

use crate::balancer::read::document::{get, items, number, times};
use crate::balancer::read::time::{self, LoneNumber};
use verdict::rules::AVOIDED;
use verdict::timeline::Avoidance;

/// Of a cluster; None if nothing has it keep away from anybody.
pub(super) fn of(cluster: &Value) -> Option<Avoidance> {
    let passive = get(cluster, "outlier_detection").map(ejection);
    let active = items(get(cluster, "health_checks")).map(|check| Avoidance::of(noticing(check).unwrap_or(AVOIDED)));
    passive.into_iter().chain(active).reduce(Avoidance::or_longer)
}

/// It ends with the first sweep after its time, and the next one is longer unless the longest is no longer than the first.
fn ejection(detection: &Value) -> Avoidance {
    let seconds = |key, usual| duration(detection, key).map_or(Some(Duration::from_secs(usual)), |it| it);
    let (base, most) = (seconds("base_ejection_time", 30), seconds("max_ejection_time", 300));
    let (sweeps, jitter) = (seconds("interval", 10), seconds("max_ejection_time_jitter", 0));
    let time = base.zip(sweeps).zip(jitter).map_or(AVOIDED, |((base, sweeps), jitter)| base + sweeps + jitter);
    Avoidance { time, grows: base.zip(most).is_none_or(|(base, most)| most > base) }
}

/// How long a health check needs to find an endpoint well, or ill; None where a time of it is not understood.
fn noticing(check: &Value) -> Option<Duration> {
    let usual = duration(check, "interval")??;
    let longest = |keys: &[&str]| {
        let times = keys.iter().filter_map(|key| duration(check, key)).collect::<Option<Vec<_>>>()?;
        Some(times.into_iter().max().unwrap_or(usual))
    };
    // A check that was under way when the endpoint got well may still fail.
    let (timeout, jitter) =
        (duration(check, "timeout")??, duration(check, "interval_jitter").unwrap_or(Some(Duration::ZERO))?);
    let percent = get(check, "interval_jitter_percent").and_then(number).unwrap_or(0);
    let later = |time: Duration| time + jitter + time * u32::try_from(percent).unwrap_or(100).min(100) / 100;
    let first = later(longest(&["unhealthy_interval", "unhealthy_edge_interval"])?);
    let well = timeout + first + later(usual) * (times(check, "healthy_threshold") - 1);
    let ill = (later(usual) + timeout) * times(check, "unhealthy_threshold");
    Some(well.max(ill))
}

/// None if it is not written, and none within that if it is no time.
fn duration(source: &Value, key: &str) -> Option<Option<Duration>> {
    get(source, key).map(|it| time::of(it, LoneNumber::Seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_endpoint_is_avoided_as_long_as_its_ejection_or_its_checks_last() {
        let ejected = |seconds, grows| Some(Avoidance { time: Duration::from_secs(seconds), grows });
        for (more, expected) in [
            (json!({}), None),
            (json!({"outlier_detection": {}}), ejected(40, true)),
            (json!({"outlierDetection": {"baseEjectionTime": "5s", "interval": "1s"}}), ejected(6, true)),
            (json!({"outlier_detection": {"base_ejection_time": "5s", "max_ejection_time": "5s"}}), ejected(15, false)),
            (json!({"outlier_detection": {"base_ejection_time": "soon"}}), ejected(60, true)),
            (
                json!({"health_checks": [{"timeout": "1s", "interval": "5s", "healthy_threshold": 3, "unhealthy_threshold": 2}]}),
                ejected(16, false),
            ),
            (
                json!({"health_checks": [{"timeout": "1s", "interval": "5s", "unhealthy_interval": "60s", "healthy_threshold": 1}]}),
                ejected(61, false),
            ),
            (
                json!({"health_checks": [{"timeout": "1s", "interval": "2s"}], "outlier_detection": {"interval": "1s"}}),
                ejected(31, true),
            ),
        ] {
            assert_eq!(of(&more), expected, "{more}");
        }
    }
}
