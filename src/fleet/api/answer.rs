//! How the API refuses, and how it reads what it is asked: every error is an object with a sentence.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::fleet::api::command::{CommandRefusal, Stopped};

/// An error as the API writes it, in JSON.
pub(super) fn problem(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "version": 1, "error": error.into() }))).into_response()
}

impl IntoResponse for Stopped {
    fn into_response(self) -> Response {
        problem(StatusCode::SERVICE_UNAVAILABLE, "the fleet has stopped")
    }
}

impl IntoResponse for CommandRefusal {
    fn into_response(self) -> Response {
        match self {
            CommandRefusal::Unknown(why) => problem(StatusCode::NOT_FOUND, why),
            CommandRefusal::Impossible(why) => problem(StatusCode::CONFLICT, why),
            CommandRefusal::Failed(why) => problem(StatusCode::INTERNAL_SERVER_ERROR, why),
        }
    }
}

pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(read)| Parameters(read)).map_err(|why| problem(StatusCode::BAD_REQUEST, why.body_text()))
    }
}

/// The variable part of a path.
pub(super) struct PathName(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        // What is no text is no name of ours.
        read.map(|Path(name)| PathName(name)).map_err(|why| problem(StatusCode::NOT_FOUND, why.body_text()))
    }
}

pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&body)
            .map(JsonBody)
            .map_err(|why| problem(StatusCode::BAD_REQUEST, format!("the body: {why}")))
    }
}
