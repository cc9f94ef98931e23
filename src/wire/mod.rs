//! What crosses a process: names, ids, records and messages. It knows no socket, no clock and no file.

mod attempt;
mod batch;
mod call;
mod channel;
mod clipped;
mod event;
mod life;
mod names;
pub(crate) mod page;
mod protocols;
mod record;
#[cfg(test)]
pub(crate) mod sample;
mod secured;
mod token;

pub(crate) use api::{
    Action, BackendFigures, BackendState, BackendStatus, BadCertificate, BadFault, BalanceRequest, BalancerInfo,
    CallView, CheckNews, CheckResult, ClientTimes, FRAME, FailedHandshakes, Fault, FaultKind, FaultShare, Figures,
    FleetStatus, Frame, History, LatencyPercentiles, MarkKind, ReceivedRequest, RecordView, Second, SeenRequest,
    Snapshot, Time, TimelineMark, TlsStatus, TlsView,
};
pub(crate) use attempt::{ArrivedHead, AttemptConnection, ReceivedAttempt};
pub(crate) use batch::{BatchHead, MOST_IN_BATCH, read_batch, write_batch};
pub(crate) use channel::{Assignment, BackendCommand, BackendIdentity, BackendReport, ConnectionLimits, Starvation};
pub(crate) use clipped::{Clipped, ClippedText};
pub(crate) use event::{BackendChange, Cause, Departure, FleetEvent};
pub(crate) use names::FleetNames;
pub(crate) use protocols::Protocols;
pub(crate) use record::{End, FORWARDED_BYTES, HOST_BYTES, RECORD_WORDS, RESPONDED_WORD, Record, Refusal, Revision};
pub(crate) use secured::{Credentials, Handshakes, Protocol, Secured, TlsAssignment, TlsVersion};
pub(crate) use token::{NotAToken, Token};
pub(crate) use verdict::{
    AttemptEnd, Calendar, GENERATOR_HEADER, Generator, INSTANCE_HEADER, Instance, Moment, NAME_HEADER, REQUEST_HEADER,
    RESPONSE_HEADER, RequestId, ResponseId, run_from_text,
};

/// Header of a session that a backend opens, in its response and in the requests that belong to it.
pub(crate) const SESSION_HEADER: &str = "X-Session";
/// The cookie of the same.
pub(crate) const SESSION_COOKIE: &str = "session";
/// What `?bytes=` of a stream may add to each event and message.
pub(crate) const MOST_EVENT_BYTES: usize = 64 * 1024;
/// Paths that answer for the process: 200 as long as it answers at all.
pub(crate) const LIVENESS_PATHS: [&str; 3] = ["/livez", "/healthz", "/health"];
/// Paths that answer for the traffic: 503 while the backend drains or was told to be unready.
pub(crate) const READINESS_PATHS: [&str; 2] = ["/readyz", "/ready"];

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/openapi.json");

    /// The shapes that cross the API, and how an error looks.
    fn components() -> serde_json::Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        let mut generator = settings.with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
        generator.subschema_for::<FleetStatus>();
        generator.subschema_for::<api::RecordsPage>();
        generator.subschema_for::<Snapshot>();
        generator.subschema_for::<Frame>();
        generator.subschema_for::<BalanceRequest>();
        generator.subschema_for::<ClientTimes>();
        let mut schemas = generator.take_definitions(true);
        let problem = serde_json::json!({
            "type": "object",
            "required": ["version", "error"],
            "properties": { "version": { "const": 1 }, "error": { "type": "string", "description": "A sentence." } }
        });
        schemas.insert("Problem".to_owned(), problem);
        let token = serde_json::json!({ "type": "http", "scheme": "bearer" });
        serde_json::json!({ "schemas": schemas, "securitySchemes": { "token": token } })
    }

    #[test]
    fn the_api_is_documented_with_the_shapes_that_cross_it() {
        let read = || -> serde_json::Value { serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap() };
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            let mut document = read();
            document["components"] = components();
            std::fs::write(FILE, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        }
        assert_eq!(read()["components"], components(), "write it anew: WRITE_SCHEMA=1 cargo test --lib documented");
    }
}
