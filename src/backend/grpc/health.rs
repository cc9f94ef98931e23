//! `grpc.health.v1.Health`: the same health that `/livez` and `/readyz` tell.

use std::collections::BTreeMap;

use api::generator::SERVICE;

use crate::backend::grpc::method::HEALTH;
use crate::backend::health::Health;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HealthListResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    statuses: BTreeMap<String, HealthCheckResponse>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    /// Of Watch alone: nobody has a service of that name, so far.
    ServiceUnknown = 3,
}

impl ServingStatus {
    pub(super) fn response(self) -> HealthCheckResponse {
        HealthCheckResponse { status: self as i32 }
    }
}

/// For orchestrators that ask by name for one or the other.
const LIVENESS: &str = "liveness";
const READINESS: &str = "readiness";

/// Of a service by its name, and of the whole backend by an empty one; none of others. As `/readyz` has it, `liveness` as `/livez`.
pub(super) fn status(service: &str, health: Health, draining: bool) -> Option<ServingStatus> {
    let serves = match service {
        "" | SERVICE | HEALTH | READINESS => health.is_ready(draining),
        LIVENESS => health.is_live(),
        _ => return None,
    };
    Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
}

/// The health of all services that have one.
pub(super) fn list(health: Health, draining: bool) -> HealthListResponse {
    let named = |name: &str| Some((name.to_owned(), status(name, health, draining)?.response()));
    HealthListResponse { statuses: ["", SERVICE, HEALTH, READINESS, LIVENESS].into_iter().filter_map(named).collect() }
}
