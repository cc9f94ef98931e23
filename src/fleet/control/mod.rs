//! The supervisor's API, on loopback: what the fleet is, what was recorded, and what is to be done. It turns HTTP into commands to
//! the supervisor's loop and knows nothing itself.
//!
//! | | |
//! |---|---|
//! | `GET /v1/fleet` | the status of all members |
//! | `POST /v1/fleet/{action}?members=9001,9002` | kill, pause, resume, drain, start, ready, unready; without members all to which it applies. Answers the status once it is done |
//! | `GET /v1/records/batch?from=…&limit=…` | the same as bytes, without a filter: `wire/batch.rs` |
//! | `POST /v1/fleet/fault?members=9001,9002&fault=status:503:10%25` | each `fault` is added, instead of the one of its kind; without members to all that run. Answers the status once it is in effect |
//! | `POST /v1/fleet/clear?members=9001,9002` | no faults any more |
//! | `GET /v1/records?since=…&until=…&run=…&from=…&limit=…` | ended attempts and those in flight |
//!
//! Whatever changes something needs `Authorization: Bearer TOKEN` with the token of the run file, and every request a Host that is
//! this machine: a page of another site in the user's browser has neither.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Path, Query as UrlQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use crate::fleet::ControlAddress;
use crate::fleet::records::Query;
use crate::topology::{Ports, is_loopback};
use crate::wire::{Action, BadFault, Fault, FleetStatus, Generator, RecordsPage, run_from_text};

/// What the loop is asked, and where it answers.
pub enum Command {
    /// What is the fleet?
    Status(oneshot::Sender<FleetStatus>),
    /// What was recorded?
    Records(Query, oneshot::Sender<RecordsPage>),
    /// What was recorded from a number on, as bytes?
    Batch { from: u64, limit: usize, reply: oneshot::Sender<Vec<u8>> },
    /// Do something to these members, or to all to which it applies.
    Act(Action, Vec<Generator>, oneshot::Sender<Result<FleetStatus, Refusal>>),
    /// Switch faults of these members on or off, or of all that run.
    Faults(FaultChange, Vec<Generator>, oneshot::Sender<Result<FleetStatus, Refusal>>),
}

/// What becomes of a member's faults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FaultChange {
    /// These are added, each instead of the one of its kind.
    Add(Vec<Fault>),
    /// All are switched off.
    Clear,
}

impl FaultChange {
    /// As it stands in the API's paths.
    pub fn name(&self) -> &'static str {
        match self {
            FaultChange::Add(_) => "fault",
            FaultChange::Clear => "clear",
        }
    }
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no such member.
    Unknown(String),
    /// It makes no sense in the state that a member is in; nothing was done.
    Impossible(String),
    /// It was tried.
    Failed(String),
}

/// The listening API. Dropping it ends it.
pub struct Control {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Door {
    token: String,
    commands: UnboundedSender<Command>,
}

impl Control {
    /// Listens; or says what is wrong and what to try.
    pub async fn bind(
        wanted: ControlAddress,
        token: String,
        commands: UnboundedSender<Command>,
    ) -> Result<Control, (String, String)> {
        let (ControlAddress::Preferred(address) | ControlAddress::Required(address)) = wanted;
        if !is_loopback(&address) {
            let hint = "choose a loopback address with --control, such as 127.0.0.1:9000".to_owned();
            return Err((format!("the API on {address}: it is for this machine only"), hint));
        }
        let listener = match (TcpListener::bind(address).await, wanted) {
            (Err(_), ControlAddress::Preferred(_)) => TcpListener::bind(SocketAddr::new(address.ip(), 0)).await,
            (result, _) => result,
        };
        let explain = |why: std::io::Error| {
            let why = match why.kind() {
                std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                _ => why.to_string(),
            };
            let hint = "choose another address with --control; with port 0 any free port is taken".to_owned();
            (format!("the API on {address}: {why}"), hint)
        };
        let listener = listener.map_err(explain)?;
        let address = listener.local_addr().map_err(explain)?;
        let door = Door { token, commands };
        let router = Router::new()
            .route("/v1/fleet", get(status))
            .route("/v1/fleet/{action}", post(act))
            .route("/v1/fleet/fault", post(fault))
            .route("/v1/fleet/clear", post(clear))
            .route("/v1/records", get(records))
            .route("/v1/records/batch", get(batch))
            .fallback(async || problem(StatusCode::NOT_FOUND, "no such path: see /v1/fleet and /v1/records"))
            .layer(middleware::from_fn_with_state(door.clone(), guard))
            .with_state(door);
        let server = spawn_local(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Control { address, server })
    }

    /// Its base.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Against pages of other sites, also those that give their name our address (DNS rebinding), and against other users.
async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    if !request.headers().get(header::HOST).is_some_and(|host| names_this_machine(host.as_bytes())) {
        return problem(StatusCode::FORBIDDEN, "the Host header must be a loopback address or localhost");
    }
    if request.method().is_safe() || bears(request.headers(), &door.token) {
        return next.run(request).await;
    }
    problem(
        StatusCode::UNAUTHORIZED,
        "what changes the fleet needs `Authorization: Bearer` with the token of its run file",
    )
}

fn names_this_machine(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|given| {
        // In a time that does not depend on how much of it is right.
        let differences = given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == token.len() && differences == 0
    })
}

fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "version": 1, "error": error.into() }))).into_response()
}

fn stopped() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the fleet has stopped")
}

async fn status(State(door): State<Door>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Status(reply));
    answer.await.map_or_else(|_| stopped(), |status| Json(status).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActParameters {
    members: Option<String>,
}

async fn act(
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

async fn fault(State(door): State<Door>, UrlQuery(parameters): UrlQuery<Vec<(String, String)>>) -> Response {
    let (named, faults) = match fault_parameters(parameters) {
        Ok(read) => read,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    answer_of(&door, |reply| Command::Faults(FaultChange::Add(faults), named, reply)).await
}

async fn clear(State(door): State<Door>, UrlQuery(parameters): UrlQuery<ActParameters>) -> Response {
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
        Ok(Err(Refusal::Unknown(why))) => problem(StatusCode::NOT_FOUND, why),
        Ok(Err(Refusal::Impossible(why))) => problem(StatusCode::CONFLICT, why),
        Ok(Err(Refusal::Failed(why))) => problem(StatusCode::INTERNAL_SERVER_ERROR, why),
        Err(_) => stopped(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordParameters {
    since: Option<String>,
    until: Option<String>,
    run: Option<String>,
    from: Option<u64>,
    limit: Option<usize>,
}

const DEFAULT_LIMIT: usize = 10_000;

async fn records(State(door): State<Door>, UrlQuery(parameters): UrlQuery<RecordParameters>) -> Response {
    let query = match parameters.query() {
        Ok(query) => query,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Records(query, reply));
    answer.await.map_or_else(|_| stopped(), |page| Json(page).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchParameters {
    from: Option<u64>,
    limit: Option<usize>,
}

async fn batch(State(door): State<Door>, UrlQuery(parameters): UrlQuery<BatchParameters>) -> Response {
    let (reply, answer) = oneshot::channel();
    let (from, limit) = (parameters.from.unwrap_or(0), parameters.limit.unwrap_or(DEFAULT_LIMIT));
    let _ = door.commands.send(Command::Batch { from, limit, reply });
    match answer.await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Err(_) => stopped(),
    }
}

impl RecordParameters {
    fn query(self) -> Result<Query, String> {
        let time = |name: &str, text: Option<String>| {
            let parse = |text: String| {
                text.parse::<Timestamp>()
                    .map_err(|_| format!("{name}: expected a time such as 2026-11-23T10:00:00Z (RFC 3339)"))
            };
            text.map(parse).transpose()
        };
        let run = self.run.map(|run| run_from_text(&run).map_err(|_| "run: expected 16 hexadecimal digits".to_owned()));
        Ok(Query {
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            run: run.transpose()?,
            from: self.from.unwrap_or(0),
            limit: Some(self.limit.unwrap_or(DEFAULT_LIMIT)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_let_in() {
        for host in ["localhost", "LOCALHOST:9000", "127.0.0.1:9000", "[::1]:9000", "127.8.8.8"] {
            assert!(names_this_machine(host.as_bytes()), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9000", "10.0.0.1", "[::2]"] {
            assert!(!names_this_machine(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let bearing = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bears(&headers, "abc")
        };
        assert!(bearing("Bearer abc"));
        for value in ["Bearer ab", "Bearer abcd", "Bearer abd", "Bearer ", "abc", "Basic abc"] {
            assert!(!bearing(value), "{value}");
        }
        assert!(!bears(&HeaderMap::new(), "abc"));
    }
}
