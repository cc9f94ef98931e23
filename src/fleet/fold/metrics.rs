//! Events to figures for Prometheus, under the names that OpenTelemetry gives to those of HTTP servers.

use std::sync::{PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::wire::{AttemptEnd, BackendState, FleetEvent, FleetNames, FleetStatus, Generator, Record};

/// Bounds in seconds: those that OpenTelemetry advises begin at 5 ms, where a backend of ours is long done.
const BOUNDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// The version of the format that [`Metrics::text`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures of one fleet.
pub(crate) struct Metrics {
    registry: Registry,
    names: RwLock<FleetNames>,
    duration: Family<ServedLabels, Histogram, fn() -> Histogram>,
    cut_off: Family<BackendLabel, Counter>,
    probes: Family<BackendLabel, Counter>,
    lost: Family<BackendLabel, Counter>,
    active: Family<BackendLabel, Gauge>,
    restarts: Family<BackendLabel, Gauge>,
    state: Family<InState, Gauge>,
    faults: Family<BackendLabel, Gauge>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct BackendLabel {
    backend: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ServedLabels {
    backend: String,
    http_request_method: &'static str,
    http_response_status_code: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct InState {
    backend: String,
    state: String,
}

/// The methods of RFC 9110 and PATCH; any other is `_OTHER`, as OpenTelemetry has it: who sends requests does not choose labels.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const STATES: [BackendState; 6] = [
    BackendState::Starting,
    BackendState::Ready,
    BackendState::Unready,
    BackendState::Draining,
    BackendState::Paused,
    BackendState::Gone,
];

impl Metrics {
    pub(crate) fn new(names: FleetNames) -> Metrics {
        let mut registry = Registry::default();
        let duration = Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        registry.register_with_unit(
            "http_server_request_duration",
            "From a request's head to the end of its response, health probes apart",
            Unit::Seconds,
            duration.clone(),
        );
        let (cut_off, probes, lost) = (Family::default(), Family::default(), Family::default());
        let (active, restarts, faults, state) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        registry.register(
            "http_server_active_requests",
            "Requests that have been received and not answered",
            active.clone(),
        );
        let ours = registry.sub_registry_with_prefix("uuid_generator");
        ours.register("requests_cut_off", "Requests whose response was not written to its end", cut_off.clone());
        ours.register("health_probes", "Health probes that were answered", probes.clone());
        ours.register("records_lost", "Records that were overwritten before they could be read", lost.clone());
        ours.register("backend_restarts", "How often the backend was started again", restarts.clone());
        ours.register("backend_faults", "Faults that are switched on in the backend", faults.clone());
        ours.register("backend_state", "1 for the state that the backend is in, 0 for the others", state.clone());
        ours.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let names = RwLock::new(names);
        Metrics { registry, names, duration, cut_off, probes, lost, active, restarts, state, faults }
    }

    /// More backends than before.
    pub(crate) fn rename(&self, names: FleetNames) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn name_of(&self, generator: Generator) -> String {
        self.names.read().unwrap_or_else(PoisonError::into_inner).of(generator).to_owned()
    }

    /// Takes note of an event.
    pub(crate) fn event(&self, event: &FleetEvent) {
        match event {
            FleetEvent::Attempt(record) => self.attempt(record),
            FleetEvent::Lost { generator, count, .. } => {
                self.lost.get_or_create(&BackendLabel { backend: self.name_of(*generator) }).inc_by(*count);
            }
            FleetEvent::Backend { .. } | FleetEvent::Seen { .. } => {}
        }
    }

    /// All of them, with what the backends do now.
    pub(crate) fn text(&self, fleet: &FleetStatus) -> String {
        for backend in &fleet.backends {
            let of = BackendLabel { backend: backend.name.clone() };
            // What has not happened is 0, not missing.
            for counter in [&self.cut_off, &self.probes, &self.lost] {
                let _ = counter.get_or_create(&of);
            }
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.active.get_or_create(&of).set(count(backend.in_flight));
            self.restarts.get_or_create(&of).set(i64::from(backend.restarts));
            self.faults.get_or_create(&of).set(count(backend.faults.len()));
            for state in STATES {
                let of = InState { backend: backend.name.clone(), state: state.to_string() };
                self.state.get_or_create(&of).set(i64::from(state == backend.state));
            }
        }
        let mut text = String::new();
        // Fails only where a label does, and ours do not.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn attempt(&self, record: &Record) {
        let backend = self.name_of(record.generator);
        if record.response.is_none() {
            self.probes.get_or_create(&BackendLabel { backend }).inc();
        } else if record.outcome == AttemptEnd::Completed {
            let known = METHODS.into_iter().find(|method| method.as_bytes() == record.method.as_bytes());
            let served = ServedLabels {
                backend,
                http_request_method: known.unwrap_or("_OTHER"),
                http_response_status_code: record.status,
            };
            self.duration.get_or_create(&served).observe(record.responded.since(record.received).as_secs_f64());
        } else {
            self.cut_off.get_or_create(&BackendLabel { backend }).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BackendStatus, Clipped, Generator, Moment, ResponseId, sample};

    fn record(method: &str, status: u16) -> Record {
        Record {
            number: 1,
            responded: Moment(300_000),
            generator: Generator(9001),
            response: Some(ResponseId(uuid::Uuid::from_u128(7))),
            connection: 1,
            request_number: 1,
            method: Clipped::new(method.as_bytes()),
            path: Clipped::new(b"/uuid"),
            status,
            bytes: 512,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        }
    }

    #[test]
    fn figures_have_the_usual_names_and_labels() {
        let metrics = Metrics::new([(Generator(9001), "9001".to_owned())].into_iter().collect());
        for record in [
            record("GET", 200),
            record("GET", 200),
            record("EVIL\"", 503),
            Record { response: None, ..record("GET", 200) },
            Record { outcome: AttemptEnd::CutOff, ..record("GET", 200) },
        ] {
            metrics.event(&FleetEvent::Attempt(record));
        }
        metrics.event(&FleetEvent::Lost { at: Moment(1), generator: Generator(9001), count: 4 });
        let backend = BackendStatus {
            state: BackendState::Paused,
            pid: Some(1),
            restarts: 2,
            attempts: 3,
            in_flight: 5,
            lost: 4,
            faults: vec!["hang".parse().unwrap()],
            ..sample::backend(9001)
        };
        let fleet = sample::fleet(vec![backend]);
        let text = metrics.text(&fleet);
        for line in [
            r#"http_server_request_duration_seconds_count{backend="9001",http_request_method="GET",http_response_status_code="200"} 2"#,
            r#"http_server_request_duration_seconds_bucket{le="0.0005",backend="9001",http_request_method="GET",http_response_status_code="200"} 2"#,
            r#"http_server_request_duration_seconds_count{backend="9001",http_request_method="_OTHER",http_response_status_code="503"} 1"#,
            r#"http_server_active_requests{backend="9001"} 5"#,
            r#"uuid_generator_requests_cut_off_total{backend="9001"} 1"#,
            r#"uuid_generator_health_probes_total{backend="9001"} 1"#,
            r#"uuid_generator_records_lost_total{backend="9001"} 4"#,
            r#"uuid_generator_backend_restarts{backend="9001"} 2"#,
            r#"uuid_generator_backend_faults{backend="9001"} 1"#,
            r#"uuid_generator_backend_state{backend="9001",state="paused"} 1"#,
            r#"uuid_generator_backend_state{backend="9001",state="ready"} 0"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|is| is == line), "{line}\n{text}");
        }
    }
}
