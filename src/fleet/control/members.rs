//! What members do, and what is done to them.

use axum::Json;
use axum::extract::{Path, Query as UrlQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::fleet::control::{Command, Door, FaultChange, Refusal, problem, refused, stopped};
use crate::topology::Ports;
use crate::wire::{Action, BadFault, Fault, FleetStatus, Generator};

pub async fn status(State(door): State<Door>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Status(reply));
    answer.await.map_or_else(|_| stopped(), |status| Json(status).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActParameters {
    members: Option<String>,
}

pub async fn act(
    State(door): State<Door>,
    Path(action): Path<String>,
    UrlQuery(parameters): UrlQuery<ActParameters>,
) -> Response {
    let Some(action) = Action::ALL.into_iter().find(|known| known.name() == action) else {
        let known = Action::ALL.map(Action::name).join(", ");
        return problem(StatusCode::NOT_FOUND, format!("no such action: expected one of {known}, fault, clear"));
    };
    let members = match members(parameters.members) {
        Ok(members) => members,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    answer_of(&door, |reply| Command::Act(action, members, reply)).await
}

pub async fn fault(State(door): State<Door>, UrlQuery(parameters): UrlQuery<Vec<(String, String)>>) -> Response {
    let (named, faults) = match fault_parameters(parameters) {
        Ok(read) => read,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    answer_of(&door, |reply| Command::Faults(FaultChange::Add(faults), named, reply)).await
}

pub async fn clear(State(door): State<Door>, UrlQuery(parameters): UrlQuery<ActParameters>) -> Response {
    let members = match members(parameters.members) {
        Ok(members) => members,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    answer_of(&door, |reply| Command::Faults(FaultChange::Clear, members, reply)).await
}

fn fault_parameters(parameters: Vec<(String, String)>) -> Result<(Vec<Generator>, Vec<Fault>), String> {
    let (mut named, mut faults) = (None, Vec::new());
    for (name, value) in parameters {
        match name.as_str() {
            "members" if named.is_none() => named = Some(value),
            "members" => return Err("members: expected once".to_owned()),
            "fault" => faults.push(value.parse().map_err(|why: BadFault| format!("fault {value:?}: {why}"))?),
            _ => return Err(format!("unknown parameter {name:?}: expected members and fault")),
        }
    }
    if faults.is_empty() {
        return Err("fault: expected at least one, such as fault=status:503:10%25".to_owned());
    }
    Ok((members(named)?, faults))
}

fn members(named: Option<String>) -> Result<Vec<Generator>, String> {
    let read = |members: String| members.parse::<Ports>()?.meant().map_err(|no_port| no_port.to_string());
    named.map_or(Ok(Vec::new()), read).map_err(|why| format!("members: {why}"))
}

async fn answer_of(
    door: &Door,
    command: impl FnOnce(oneshot::Sender<Result<FleetStatus, Refusal>>) -> Command,
) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(command(reply));
    match answer.await {
        Ok(Ok(status)) => Json(status).into_response(),
        Ok(Err(refusal)) => refused(refusal),
        Err(_) => stopped(),
    }
}
