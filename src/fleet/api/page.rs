//! The files of the live view, which the program holds.

use std::sync::LazyLock;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::fleet::api::answer::{PathName, problem};
use crate::wire::page;

const PAGE: &str = include_str!("../page/index.html");
const OPENAPI: &str = include_str!("../../../schemas/openapi.json");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const ASSETS: [(&str, &str, &str); 19] = [
    ("style.css", CSS, include_str!("../page/style.css")),
    ("main.js", JAVASCRIPT, include_str!("../page/main.js")),
    ("api.js", JAVASCRIPT, include_str!("../page/api.js")),
    ("model.js", JAVASCRIPT, include_str!("../page/model.js")),
    ("text.js", JAVASCRIPT, include_str!("../page/text.js")),
    ("stack.js", JAVASCRIPT, include_str!("../page/stack.js")),
    ("backends.js", JAVASCRIPT, include_str!("../page/backends.js")),
    ("flow.js", JAVASCRIPT, include_str!("../page/flow.js")),
    ("lanes.js", JAVASCRIPT, include_str!("../page/lanes.js")),
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

/// Whether the path is of the page itself, which has no secret: the token is in the fragment of the address that the fleet prints,
/// which no browser sends.
pub(super) fn is_part(path: &str) -> bool {
    path == "/" || path.starts_with("/assets/")
}

pub(super) async fn live_view() -> Response {
    answer("text/html; charset=utf-8", PAGE)
}

/// The same colours as on the pages of the backends.
static COLOURS: LazyLock<String> = LazyLock::new(|| {
    let colours: Vec<String> = page::COLOURS.iter().map(|colour| format!("\"#{colour}\"")).collect();
    format!("export const COLOURS = [{}];\n", colours.join(", "))
});

pub(super) async fn asset(PathName(name): PathName) -> Response {
    if name == "colours.js" {
        return answer(JAVASCRIPT, &COLOURS);
    }
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, text)) => answer(media_type, text),
        None => problem(StatusCode::NOT_FOUND, "no such part of the page"),
    }
}

pub(super) async fn openapi() -> Response {
    answer("application/json", OPENAPI)
}

fn answer(media_type: &str, text: &'static str) -> Response {
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
