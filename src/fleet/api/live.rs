//! For those who look: what happens, what stands in front of the fleet, and what they want done through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_local;

use crate::fleet::api::answer::{JsonBody, Parameters, problem};
use crate::fleet::api::command::{CommandRefusal, SupervisorCommand};
use crate::fleet::api::feed::WatchRequest;
use crate::fleet::api::job::Job;
use crate::fleet::api::state::{Access, ApiState};
use crate::fleet::fold::metrics::CONTENT_TYPE;
use crate::wire::{BalanceRequest, BalancerInfo, CheckNews, ClientTimes};

/// Readers of the live view without the token.
const MOST_READERS: usize = 32;

/// One of [`MOST_READERS`], until it is dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Seat> {
        let seat = Seat(taken.clone());
        // Dropped, it gives back what it took, also if it was one too many.
        (taken.fetch_add(1, Ordering::Relaxed) < MOST_READERS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Server-sent events (WHATWG HTML §9.2), until the client ends or reads too slowly: then it asks again and gets everything again.
pub(super) async fn watch(State(state): State<ApiState>, Extension(access): Extension<Access>) -> Response {
    let seat = match access {
        Access::Owner => None,
        Access::Reader => match Seat::take(&state.watching) {
            Some(seat) => Some(seat),
            None => {
                let why =
                    format!("{MOST_READERS} watch without the token already: use the address that the fleet printed");
                return problem(StatusCode::SERVICE_UNAVAILABLE, why);
            }
        },
    };
    let watch = |reply| SupervisorCommand::Watch(WatchRequest { owner: access == Access::Owner, reply });
    let subscription = match state.ask(access, watch).await {
        Ok(subscription) => subscription,
        Err(stopped) => return stopped.into_response(),
    };
    let first = Some(subscription.snapshot.clone());
    let messages = stream::unfold((first, subscription, seat), async |(first, mut subscription, seat)| {
        let message = match first {
            Some(first) => first,
            None => subscription.frames.recv().await.ok()?,
        };
        Some((Ok::<_, std::convert::Infallible>(message.to_string()), (None, subscription, seat)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(messages)).into_response()
}

pub(super) async fn metrics(State(state): State<ApiState>, Extension(access): Extension<Access>) -> Response {
    match state.ask(access, SupervisorCommand::Status).await {
        Ok(status) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], state.metrics.text(&status)).into_response(),
        Err(stopped) => stopped.into_response(),
    }
}

pub(super) async fn set_front(State(state): State<ApiState>, JsonBody(front): JsonBody<BalancerInfo>) -> Response {
    if !is_http(&front.url) {
        let why = format!("{:?}: expected a URL such as http://localhost:8080/uuid", front.url);
        return problem(StatusCode::BAD_REQUEST, why);
    }
    match state.ask.as_owner(|reply| SupervisorCommand::SetFront(front.clone(), reply)).await {
        Ok(()) => Json(front).into_response(),
        Err(stopped) => stopped.into_response(),
    }
}

/// Accepted, not done: what comes of it is seen in the front.
pub(super) async fn balance(State(state): State<ApiState>, JsonBody(wanted): JsonBody<BalanceRequest>) -> Response {
    match state.ask.as_owner(|reply| SupervisorCommand::Balance(wanted.clone(), reply)).await {
        Ok(Ok(())) => (StatusCode::ACCEPTED, Json(wanted)).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(stopped) => stopped.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SendParameters {
    requests: Option<u32>,
    #[serde(default)]
    keep_cookies: bool,
}

/// More at once would be a load, not a glance.
const MOST_REQUESTS: u32 = 1000;
const REQUESTS: u32 = 30;

pub(super) async fn send(State(state): State<ApiState>, Parameters(asked): Parameters<SendParameters>) -> Response {
    let requests = asked.requests.unwrap_or(REQUESTS);
    if !(1..=MOST_REQUESTS).contains(&requests) {
        return problem(StatusCode::BAD_REQUEST, format!("requests: expected 1 to {MOST_REQUESTS}"));
    }
    let front = match front(&state).await {
        Ok(front) => front,
        Err(response) => return response,
    };
    match (Job::Send { requests, keep_cookies: asked.keep_cookies }).run(&front).await {
        Ok(answers) => ([(header::CONTENT_TYPE, "application/json")], answers).into_response(),
        Err(why) => problem(StatusCode::BAD_GATEWAY, why),
    }
}

/// Whether a check runs; dropped, none does.
struct Checking(Arc<AtomicBool>);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Begun, not done: how it goes is seen in its news.
pub(super) async fn check(State(state): State<ApiState>) -> Response {
    if state.is_joint {
        let why = "a view of several fleets starts no check: uuid-generator check names each of them with --fleet";
        return problem(StatusCode::CONFLICT, why);
    }
    let front = match front(&state).await {
        Ok(front) => front,
        Err(response) => return response,
    };
    if state.is_checking.swap(true, Ordering::Relaxed) {
        return CommandRefusal::Impossible("a check runs already".to_owned()).into_response();
    }
    let checking = Checking(state.is_checking.clone());
    let news = CheckNews { url: front.url.clone(), ..CheckNews::default() };
    state.ask.tell(SupervisorCommand::CheckNews(CheckNews { phase: "starts".to_owned(), ..news.clone() }));
    spawn_local(async move {
        let _checking = checking;
        // What it finds it tells by itself.
        if let Err(error) = Job::Check.run(&front).await {
            state.ask.tell(SupervisorCommand::CheckNews(CheckNews { error: Some(error), ..news }));
        }
    });
    (StatusCode::ACCEPTED, Json(json!({ "version": 1, "started": true }))).into_response()
}

async fn front(state: &ApiState) -> Result<BalancerInfo, Response> {
    let known = state.ask.as_owner(SupervisorCommand::Front).await.map_err(IntoResponse::into_response)?;
    let why = "where the balancer listens is not known: enter it in the live view, or start uuid-generator demo";
    known.ok_or_else(|| CommandRefusal::Impossible(why.to_owned()).into_response())
}

pub(super) async fn news(State(state): State<ApiState>, JsonBody(news): JsonBody<CheckNews>) -> Response {
    state.ask.tell(SupervisorCommand::CheckNews(news));
    StatusCode::NO_CONTENT.into_response()
}

pub(super) async fn client_times(State(state): State<ApiState>, JsonBody(times): JsonBody<ClientTimes>) -> Response {
    state.ask.tell(SupervisorCommand::ClientTimes(times));
    StatusCode::NO_CONTENT.into_response()
}

fn is_http(url: &str) -> bool {
    let uri: Option<axum::http::Uri> = url.parse().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
