//! For those who look: what happens, what stands before the fleet, and what they want done through it.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query as UrlQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use crate::fleet::control::{Command, Door, Refusal, problem, refused, stopped};
use crate::fleet::errand::Errand;
use crate::fleet::metrics::CONTENT_TYPE;
use crate::wire::{CheckNews, Front, Wish};

/// Server-sent events (WHATWG HTML §9.2), until the client ends or reads too slowly: then it asks anew and gets all of it again.
pub async fn watch(State(door): State<Door>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Watch(reply));
    let Ok((snapshot, frames)) = answer.await else { return stopped() };
    let messages = stream::unfold((Some(snapshot), frames), async |(snapshot, mut frames)| {
        let message = match snapshot {
            Some(snapshot) => snapshot,
            None => frames.recv().await.ok()?,
        };
        Some((Ok::<_, std::convert::Infallible>(message.to_string()), (None, frames)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(messages)).into_response()
}

pub async fn metrics(State(door): State<Door>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Metrics(reply));
    answer.await.map_or_else(|_| stopped(), |text| ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

pub async fn stands(State(door): State<Door>, front: Result<Json<Front>, JsonRejection>) -> Response {
    let front = match front {
        Ok(Json(front)) if is_http(&front.url) => front,
        Ok(Json(front)) => return no_url(&front.url),
        Err(why) => return problem(StatusCode::BAD_REQUEST, format!("the front: {}", why.body_text())),
    };
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Stands(front.clone(), reply));
    answer.await.map_or_else(|_| stopped(), |()| Json(front).into_response())
}

/// Accepted, not done: what comes of it is seen in the front.
pub async fn wish(State(door): State<Door>, wish: Result<Json<Wish>, JsonRejection>) -> Response {
    let wish = match wish {
        Ok(Json(wish)) => wish,
        Err(why) => return problem(StatusCode::BAD_REQUEST, format!("the wish: {}", why.body_text())),
    };
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Wish(wish.clone(), reply));
    match answer.await {
        Ok(Ok(())) => (StatusCode::ACCEPTED, Json(wish)).into_response(),
        Ok(Err(refusal)) => refused(refusal),
        Err(_) => stopped(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SendParameters {
    requests: Option<u32>,
    #[serde(default)]
    keep_cookies: bool,
}

/// So many at once are a glance, not a load.
const MOST_REQUESTS: u32 = 1000;
const REQUESTS: u32 = 30;

pub async fn send(State(door): State<Door>, UrlQuery(parameters): UrlQuery<SendParameters>) -> Response {
    let requests = parameters.requests.unwrap_or(REQUESTS);
    if !(1..=MOST_REQUESTS).contains(&requests) {
        return problem(StatusCode::BAD_REQUEST, format!("requests: expected 1 to {MOST_REQUESTS}"));
    }
    match run(&door, Errand::Send { requests, keep_cookies: parameters.keep_cookies }).await {
        Ok(said) => ([(header::CONTENT_TYPE, "application/json")], said).into_response(),
        Err(response) => response,
    }
}

/// Begun, not done: how it goes is seen in its news.
pub async fn check(State(door): State<Door>) -> Response {
    match run(&door, Errand::Check).await {
        Ok(_) => (StatusCode::ACCEPTED, Json(json!({ "version": 1, "started": true }))).into_response(),
        Err(response) => response,
    }
}

async fn run(door: &Door, errand: Errand) -> Result<String, Response> {
    let (reply, answer) = oneshot::channel();
    let _ = door.commands.send(Command::Run(errand, reply));
    answer.await.unwrap_or(Err(Refusal::Failed("the fleet has stopped".to_owned()))).map_err(refused)
}

pub async fn news(State(door): State<Door>, news: Result<Json<CheckNews>, JsonRejection>) -> Response {
    match news {
        Ok(Json(news)) => {
            let _ = door.commands.send(Command::Checks(news));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(why) => problem(StatusCode::BAD_REQUEST, format!("the news: {}", why.body_text())),
    }
}

fn is_http(url: &str) -> bool {
    let uri: Option<axum::http::Uri> = url.parse().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

fn no_url(url: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, format!("{url:?}: expected a URL such as http://localhost:8080/uuid"))
}
