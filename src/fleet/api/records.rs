//! What was recorded. Answers are written piece by piece, so that a long one takes no more memory than a short one.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Deserialize;

use crate::fleet::api::answer::{Parameters, problem};
use crate::fleet::api::command::{InFlightCount, SupervisorCommand};
use crate::fleet::api::state::{Access, ApiState};
use crate::fleet::fold::records::{Filter, RecordStore};
use crate::fleet::fold::redact;
use crate::io::clock;
use crate::wire::{MOST_IN_BATCH, Record, RecordView, run_from_text, write_batch};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordParameters {
    since: Option<String>,
    until: Option<String>,
    run: Option<String>,
    from: Option<u64>,
    limit: Option<usize>,
}

/// Hosts have clocks of their own: a reader has to ask each of them.
const JOINT: &str = "this is a view of several fleets, which keep their records: name each of them with --fleet";

const DEFAULT_LIMIT: usize = 10_000;
/// Records that are looked at in one go.
const PIECE: usize = 512;

pub(super) async fn records(
    State(state): State<ApiState>,
    Extension(access): Extension<Access>,
    Parameters(parameters): Parameters<RecordParameters>,
) -> Response {
    if state.is_joint {
        return problem(StatusCode::NOT_FOUND, JOINT);
    }
    let (filter, from, limit) = match parameters.read() {
        Ok(read) => read,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let in_flight = match state.ask(access, SupervisorCommand::InFlight).await {
        Ok(in_flight) => in_flight,
        Err(stopped) => return stopped.into_response(),
    };
    let pages = Pages {
        records: state.records.clone(),
        access,
        filter,
        next: from,
        left: limit,
        missed: 0,
        is_first: true,
        in_flight,
        part: RecordsPart::Head,
    };
    let pieces = stream::unfold(pages, async |mut pages| {
        // Others are served between two pieces.
        tokio::task::yield_now().await;
        let piece = pages.piece()?;
        Some((Ok::<_, std::convert::Infallible>(piece), pages))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response()
}

/// A `RecordsPage`, written piece by piece.
struct Pages {
    records: Arc<Mutex<RecordStore>>,
    access: Access,
    filter: Filter,
    next: u64,
    left: usize,
    missed: u64,
    /// Whether no record has been written.
    is_first: bool,
    in_flight: InFlightCount,
    part: RecordsPart,
}

/// The part of a page of records that is written next.
enum RecordsPart {
    Head,
    Records,
    Rest,
    Nothing,
}

impl Pages {
    fn piece(&mut self) -> Option<String> {
        match self.part {
            RecordsPart::Head => {
                self.part = RecordsPart::Records;
                Some("{\"version\":1,\"records\":[".to_owned())
            }
            RecordsPart::Records => Some(self.some_records()),
            RecordsPart::Rest => {
                self.part = RecordsPart::Nothing;
                Some(self.rest())
            }
            RecordsPart::Nothing => None,
        }
    }

    /// Those of the next [`PIECE`] that match.
    fn some_records(&mut self) -> String {
        let most = if self.left == 0 { 0 } else { PIECE };
        let (window, calendar, names) = {
            let records = lock(&self.records);
            (records.window(self.next, self.in_flight.ended, most), records.calendar(), records.names())
        };
        self.missed += window.missed;
        self.next = window.start;
        let mut text = String::new();
        for words in &window.words {
            if self.left == 0 {
                break;
            }
            self.next += 1;
            let record = Record::from_words(words);
            if self.filter.matches(&record, &calendar) {
                if !std::mem::take(&mut self.is_first) {
                    text.push(',');
                }
                self.left -= 1;
                text.push_str(&self.view(record.view(&calendar, &names)));
            }
        }
        if self.left == 0 || self.next >= self.in_flight.ended {
            self.part = RecordsPart::Rest;
        }
        text
    }

    fn rest(&self) -> String {
        let (calendar, names, lost) = {
            let records = lock(&self.records);
            (records.calendar(), records.names(), records.lost())
        };
        let matching = self.in_flight.records.iter().filter(|record| self.filter.matches(record, &calendar));
        let views: Vec<String> = matching.map(|record| self.view(record.view(&calendar, &names))).collect();
        let Pages { next, missed, .. } = self;
        format!("],\"in_flight\":[{}],\"next\":{next},\"missed\":{missed},\"lost\":{lost}}}", views.join(","))
    }

    fn view(&self, view: RecordView) -> String {
        let view = match self.access {
            Access::Owner => view,
            Access::Reader => redact::record(view),
        };
        // Fails for no type of ours.
        serde_json::to_string(&view).unwrap_or_default()
    }
}

fn lock(records: &Mutex<RecordStore>) -> std::sync::MutexGuard<'_, RecordStore> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchParameters {
    from: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn batch(
    State(state): State<ApiState>,
    Extension(access): Extension<Access>,
    Parameters(parameters): Parameters<BatchParameters>,
) -> Response {
    if state.is_joint {
        return problem(StatusCode::NOT_FOUND, JOINT);
    }
    // Digests would let secrets be guessed, and a check without them would judge wrongly.
    if access == Access::Reader {
        return problem(
            StatusCode::UNAUTHORIZED,
            "whole records need the token of the fleet: /v1/records shows the others",
        );
    }
    let in_flight = match state.ask.as_owner(SupervisorCommand::InFlight).await {
        Ok(in_flight) => in_flight,
        Err(stopped) => return stopped.into_response(),
    };
    let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_IN_BATCH);
    let (head, words) = lock(&state.records).batch(parameters.from.unwrap_or(0), in_flight.ended, limit, clock::now());
    let bytes = write_batch(&head, words.iter(), &in_flight.records);
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

impl RecordParameters {
    fn read(self) -> Result<(Filter, u64, usize), String> {
        let time = |name: &str, text: Option<String>| {
            let parse = |text: String| {
                text.parse::<Timestamp>()
                    .map_err(|_| format!("{name}: expected a time such as 2026-11-23T10:00:00Z (RFC 3339)"))
            };
            text.map(parse).transpose()
        };
        let run = self.run.map(|run| run_from_text(&run).map_err(|_| "run: expected 16 hexadecimal digits".to_owned()));
        let filter =
            Filter { since: time("since", self.since)?, until: time("until", self.until)?, run: run.transpose()? };
        Ok((filter, self.from.unwrap_or(0), self.limit.unwrap_or(DEFAULT_LIMIT)))
    }
}
