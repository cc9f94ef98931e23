//! Which path is answered by what.

use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Router, middleware};

use crate::fleet::api::answer::problem;
use crate::fleet::api::state::{Access, ApiState};
use crate::fleet::api::{access, backends, live, page, records};

/// For those who may read metrics and nothing else.
pub(super) fn routes_of_metrics(state: ApiState) -> Router {
    Router::new()
        .route("/metrics", get(live::metrics))
        .fallback(async || problem(StatusCode::NOT_FOUND, "only /metrics is here"))
        .layer(Extension(Access::Reader))
        .with_state(state)
}

/// All paths; `schemas/openapi.json` has the same.
pub(super) fn routes(state: ApiState) -> Router {
    Router::new()
        .route("/", get(page::live_view))
        .route("/assets/{name}", get(page::asset))
        .route("/livez", get(backends::liveness))
        .route("/metrics", get(live::metrics))
        .route("/v1/openapi.json", get(page::openapi))
        .route("/v1/fleet", get(backends::status))
        .route("/v1/fleet/{action}", post(backends::act))
        .route("/v1/fleet/fault", post(backends::fault))
        .route("/v1/fleet/clear", post(backends::clear))
        .route("/v1/records", get(records::records))
        .route("/v1/records/batch", get(records::batch))
        .route("/v1/live", get(live::watch))
        .route("/v1/front", put(live::set_front))
        .route("/v1/front/balance", post(live::balance))
        .route("/v1/front/latency", post(live::client_times))
        .route("/v1/send", post(live::send))
        .route("/v1/check", post(live::check))
        .route("/v1/check/news", put(live::news))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "no such method here: /v1/openapi.json has all of them")
        })
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such path: /v1/openapi.json has all of them"))
        .layer(middleware::from_fn_with_state(state.clone(), access::guard))
        .with_state(state)
}
