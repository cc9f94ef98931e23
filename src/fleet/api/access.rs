//! Who may ask and who may change something. Pages of other sites may not, also those that give their name our address (DNS
//! rebinding). Other users of this machine may read what is not secret, other machines need the token for everything. Nothing but
//! the token says who asks: the kernel's tables of connections can be made to lie.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;

use crate::fleet::api::answer::problem;
use crate::fleet::api::connection::ApiConnection;
use crate::fleet::api::page;
use crate::fleet::api::state::{Access, ApiState};

/// Of a request. A check's news are the largest.
const MOST_BODY_BYTES: usize = 1024 * 1024;
/// Asked by what restarts a container. It says nothing of the fleet.
const LIVENESS: &str = "/livez";
/// The longest time that a whole body may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Lets a request in or refuses it.
pub(super) async fn guard(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    if !state.open && !names_this_machine(host) {
        return problem(StatusCode::FORBIDDEN, "the Host header must be a loopback address or localhost");
    }
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin.as_bytes(), host)) {
        return problem(StatusCode::FORBIDDEN, "pages of other sites are not answered");
    }
    let access = if bears(headers, &state.token) { Access::Owner } else { Access::Reader };
    let is_public = request.method().is_safe()
        && (!state.open || page::is_part(request.uri().path()) || request.uri().path() == LIVENESS);
    if access == Access::Reader && !is_public {
        return problem(
            StatusCode::UNAUTHORIZED,
            "this needs `Authorization: Bearer` with the token of the fleet: it is in the address that the fleet printed and in \
             its run file",
        );
    }
    if access == Access::Owner
        && let Some(connection) = request.extensions().get::<Arc<ApiConnection>>()
    {
        connection.is_owners();
    }
    request.extensions_mut().insert(access);
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY_TIME, to_bytes(body, MOST_BODY_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let most = MOST_BODY_BYTES / 1024;
            return problem(StatusCode::PAYLOAD_TOO_LARGE, format!("the body: expected at most {most} KiB, complete"));
        }
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// An Origin that is the site which Host names.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let site = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    site.is_some_and(|site| site.eq_ignore_ascii_case(host))
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
    fn a_page_of_another_site_has_another_origin() {
        for (origin, own) in [
            ("http://127.0.0.1:9000", true),
            ("https://127.0.0.1:9000", true),
            ("http://127.0.0.1:9001", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(is_own(origin.as_bytes(), b"127.0.0.1:9000"), own, "{origin}");
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
