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
//! | `GET /v1/live` | server-sent events: `snapshot`, `frame` ten times a second, `wish` |
//! | `PUT /v1/front`, `POST /v1/front/wish` | what stands before the fleet; how somebody wants it to balance |
//! | `POST /v1/send`, `POST /v1/check`, `PUT /v1/check/news` | requests now; a check; how a check goes |
//! | `GET /metrics` | for Prometheus |
//! | `GET /v1/openapi.json` | all of this, for programs |
//! | `GET /` | the live view |
//!
//! `guard` says who may what.

mod guard;
mod live;
mod members;
mod page;
mod records;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{broadcast, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::fleet::ControlAddress;
use crate::fleet::errand::Errand;
use crate::fleet::records::Query;
use crate::topology::is_loopback;
use crate::wire::{Action, CheckNews, Fault, FleetStatus, Front, Generator, RecordsPage, Wish};

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
    /// Tell what the live view shows: first all of it, then what changes.
    Watch(oneshot::Sender<(Message, broadcast::Receiver<Message>)>),
    /// This stands before the fleet.
    Stands(Front, oneshot::Sender<()>),
    /// Somebody wants it to balance in another way.
    Wish(Wish, oneshot::Sender<Result<(), Refusal>>),
    /// Do this by another process, and tell what it said.
    Run(Errand, oneshot::Sender<Result<String, Refusal>>),
    /// A check has news.
    Checks(CheckNews),
    /// The figures for Prometheus.
    Metrics(oneshot::Sender<String>),
}

/// A server-sent event as it is written.
pub type Message = Arc<str>;

/// An event of that name with that content.
pub fn message(name: &str, content: &impl serde::Serialize) -> Message {
    // Fails for no type of ours; JSON has no line ends that are not escaped.
    let content = serde_json::to_string(content).unwrap_or_default();
    format!("event: {name}\ndata: {content}\n\n").into()
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
    door: Door,
    taken: Option<SocketAddr>,
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
    /// Whether other machines can knock.
    open: bool,
    address: SocketAddr,
}

impl Control {
    /// Listens; or says what is wrong and what to try.
    pub async fn bind(
        wanted: ControlAddress,
        token: String,
        commands: UnboundedSender<Command>,
    ) -> Result<Control, (String, String)> {
        let (ControlAddress::Preferred(address) | ControlAddress::Required(address)) = wanted;
        let mut taken = None;
        let listener = match (TcpListener::bind(address).await, wanted) {
            (Err(_), ControlAddress::Preferred(_)) => {
                taken = Some(address);
                TcpListener::bind(SocketAddr::new(address.ip(), 0)).await
            }
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
        let door = Door { token, commands, open: !is_loopback(&address), address };
        let service = routes(door.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let server = spawn_local(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Control { door, taken, server })
    }

    /// Its base.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address)
    }

    /// Where it would be, if nobody else were there.
    pub fn taken(&self) -> Option<SocketAddr> {
        self.taken
    }

    /// Where a browser finds the live view: on loopback the page knows by whom it is opened, else the address has the token.
    pub fn view(&self) -> String {
        match self.door.open {
            false => format!("{}/", self.url()),
            true => format!("{}/#token={}", self.url(), self.door.token),
        }
    }
}

fn routes(door: Door) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/assets/{name}", get(page::asset))
        .route("/metrics", get(live::metrics))
        .route("/v1/openapi.json", get(page::openapi))
        .route("/v1/fleet", get(members::status))
        .route("/v1/fleet/{action}", post(members::act))
        .route("/v1/fleet/fault", post(members::fault))
        .route("/v1/fleet/clear", post(members::clear))
        .route("/v1/records", get(records::records))
        .route("/v1/records/batch", get(records::batch))
        .route("/v1/live", get(live::watch))
        .route("/v1/front", put(live::stands))
        .route("/v1/front/wish", post(live::wish))
        .route("/v1/send", post(live::send))
        .route("/v1/check", post(live::check))
        .route("/v1/check/news", put(live::news))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such path: /v1/openapi.json has all of them"))
        .layer(middleware::from_fn_with_state(door.clone(), guard::guard))
        .with_state(door)
}

fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "version": 1, "error": error.into() }))).into_response()
}

fn stopped() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the fleet has stopped")
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unknown(why) => problem(StatusCode::NOT_FOUND, why),
        Refusal::Impossible(why) => problem(StatusCode::CONFLICT, why),
        Refusal::Failed(why) => problem(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}
