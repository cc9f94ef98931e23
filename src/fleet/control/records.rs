//! What was recorded.

use axum::Json;
use axum::extract::{Query as UrlQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::fleet::control::{Command, Door, problem, stopped};
use crate::fleet::records::Query;
use crate::wire::run_from_text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordParameters {
    since: Option<String>,
    until: Option<String>,
    run: Option<String>,
    from: Option<u64>,
    limit: Option<usize>,
}

const DEFAULT_LIMIT: usize = 10_000;

pub async fn records(State(door): State<Door>, UrlQuery(parameters): UrlQuery<RecordParameters>) -> Response {
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
pub struct BatchParameters {
    from: Option<u64>,
    limit: Option<usize>,
}

pub async fn batch(State(door): State<Door>, UrlQuery(parameters): UrlQuery<BatchParameters>) -> Response {
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
