//! The files of the live view, which the program holds.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::fleet::control::{Door, guard, problem};

const PAGE: &str = include_str!("../page/index.html");
/// In the page, where the token stands for those who may have it.
const TOKEN: &str = "{{token}}";
const OPENAPI: &str = include_str!("../../../schemas/openapi.json");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const ASSETS: [(&str, &str, &str); 15] = [
    ("style.css", CSS, include_str!("../page/style.css")),
    ("main.js", JAVASCRIPT, include_str!("../page/main.js")),
    ("api.js", JAVASCRIPT, include_str!("../page/api.js")),
    ("model.js", JAVASCRIPT, include_str!("../page/model.js")),
    ("members.js", JAVASCRIPT, include_str!("../page/members.js")),
    ("strip.js", JAVASCRIPT, include_str!("../page/strip.js")),
    ("plots.js", JAVASCRIPT, include_str!("../page/plots.js")),
    ("marks.js", JAVASCRIPT, include_str!("../page/marks.js")),
    ("requests.js", JAVASCRIPT, include_str!("../page/requests.js")),
    ("balancer.js", JAVASCRIPT, include_str!("../page/balancer.js")),
    ("tour.js", JAVASCRIPT, include_str!("../page/tour.js")),
    ("dom.js", JAVASCRIPT, include_str!("../page/dom.js")),
    ("said.js", JAVASCRIPT, include_str!("../page/said.js")),
    ("uPlot.js", JAVASCRIPT, include_str!("../page/vendor/uPlot.iife.min.js")),
    ("uPlot.css", CSS, include_str!("../page/vendor/uPlot.min.css")),
];

/// Nothing from elsewhere, nothing inline, in no frame of another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Whether the path is of the page itself, which has no secret: the token stands in it only for those who may have it.
pub fn is_part(path: &str) -> bool {
    path == "/" || path.starts_with("/assets/")
}

/// The live view. A process of the same user on this machine gets it with the token: its browser may change something.
pub async fn page(State(door): State<Door>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let trusted = !door.open && guard::is_of_this_user(peer, door.address);
    let page = PAGE.replace(TOKEN, if trusted { &door.token } else { "" });
    answer("text/html; charset=utf-8", page)
}

pub async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, text)) => answer(media_type, (*text).to_owned()),
        None => problem(StatusCode::NOT_FOUND, "no such part of the page"),
    }
}

pub async fn openapi() -> Response {
    answer("application/json", OPENAPI.to_owned())
}

fn answer(media_type: &str, text: String) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, text).into_response()
}
