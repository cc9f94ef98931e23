//! What backends do, and what is done to them.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::fleet::api::answer::{Parameters, PathName, problem};
use crate::fleet::api::command::{CommandRefusal, FaultChange, SupervisorCommand};
use crate::fleet::api::state::{Access, ApiState};
use crate::topology::BackendSelection;
use crate::wire::{Action, BadFault, Fault, FleetStatus};

pub(super) async fn status(State(state): State<ApiState>, Extension(access): Extension<Access>) -> Response {
    match state.ask(access, SupervisorCommand::Status).await {
        Ok(status) => Json(status).into_response(),
        Err(stopped) => stopped.into_response(),
    }
}

/// Whether the supervisor's loop answers, which starts and stops backends and reads their records.
pub(super) async fn liveness(State(state): State<ApiState>) -> Response {
    match state.ask(Access::Reader, SupervisorCommand::Status).await {
        Ok(_) => "ok\n".into_response(),
        Err(stopped) => stopped.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActParameters {
    #[serde(alias = "members")] // as scripts for 0.1 have it
    backends: Option<String>,
}

pub(super) async fn act(
    State(state): State<ApiState>,
    PathName(action): PathName,
    Parameters(parameters): Parameters<ActParameters>,
) -> Response {
    let Some(action) = Action::ALL.into_iter().find(|known| known.name() == action) else {
        let known = Action::ALL.map(Action::name).join(", ");
        return problem(StatusCode::NOT_FOUND, format!("no such action: expected one of {known}, fault, clear"));
    };
    let backends = match backends(parameters.backends) {
        Ok(backends) => backends,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    change(&state, |reply| SupervisorCommand::Act(action, backends, reply)).await
}

pub(super) async fn fault(
    State(state): State<ApiState>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let (named, faults) = match fault_parameters(parameters) {
        Ok(read) => read,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    change(&state, |reply| SupervisorCommand::Faults(FaultChange::Add(faults), named, reply)).await
}

pub(super) async fn clear(
    State(state): State<ApiState>,
    Parameters(parameters): Parameters<ActParameters>,
) -> Response {
    let backends = match backends(parameters.backends) {
        Ok(backends) => backends,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    change(&state, |reply| SupervisorCommand::Faults(FaultChange::Clear, backends, reply)).await
}

fn fault_parameters(parameters: Vec<(String, String)>) -> Result<(Vec<String>, Vec<Fault>), String> {
    let (mut named, mut faults) = (None, Vec::new());
    for (name, value) in parameters {
        match name.as_str() {
            "backends" | "members" if named.is_none() => named = Some(value),
            "backends" | "members" => return Err("backends: expected once".to_owned()),
            "fault" => faults.push(value.parse().map_err(|why: BadFault| format!("fault {value:?}: {why}"))?),
            _ => return Err(format!("unknown parameter {name:?}: expected backends and fault")),
        }
    }
    if faults.is_empty() {
        return Err("fault: expected at least one, such as fault=status:503:10%25".to_owned());
    }
    Ok((backends(named)?, faults))
}

fn backends(named: Option<String>) -> Result<Vec<String>, String> {
    let read = |backends: String| backends.parse().map(|BackendSelection(names)| names);
    named.map_or(Ok(Vec::new()), read).map_err(|why| format!("backends: {why}"))
}

async fn change(
    state: &ApiState,
    command: impl FnOnce(oneshot::Sender<Result<FleetStatus, CommandRefusal>>) -> SupervisorCommand,
) -> Response {
    match state.ask.as_owner(command).await {
        Ok(Ok(status)) => Json(status).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(stopped) => stopped.into_response(),
    }
}
