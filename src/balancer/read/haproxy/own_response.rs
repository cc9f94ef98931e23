//! Lines of a `haproxy.cfg` by which HAProxy itself responds (`http-request deny`, `redirect`, `monitor-uri`), and those that want more
//! of a health check's response than that it is a success.

use crate::balancer::read::configuration::Configuration;

/// Notes such a line.
pub(super) fn note(words: &[String], place: &str, configuration: &mut Configuration) {
    let line = || format!("{place}: {}", words.join(" "));
    if let Some(status) = status(words) {
        configuration.responds(status, line());
    }
}

/// Health checks in another protocol than HTTP, and those by a program of the user's own.
const NOT_HTTP: [&str; 8] = [
    "external-check",
    "ldap-check",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "smtpchk",
    "spop-check",
    "ssl-hello-chk",
];

/// Whether a health check wants more of a response than a backend of ours need give.
pub(super) fn expects_of_health(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // A backend of ours responds 200, and nothing that is excluded.
        ["http-check", "expect", rest @ ..] => {
            !rest.iter().any(|it| ["!", "rstatus"].contains(it) || it.split(',').any(has_success))
        }
        ["tcp-check", "expect", ..] => true,
        ["option", kind, ..] => NOT_HTTP.contains(kind),
        _ => false,
    }
}

/// Whether 200 is among `200` or `200-299`.
fn has_success(range: &str) -> bool {
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    from.parse().ok().zip(to.parse().ok()).is_some_and(|(from, to): (u16, u16)| (from..=to).contains(&200))
}

/// The status that a line gives; None if it gives none.
fn status(words: &[String]) -> Option<u16> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (usual, rest) = match words.as_slice() {
        ["http-request", "deny", rest @ ..] => (403, rest),
        ["http-request", "tarpit", rest @ ..] => (500, rest),
        ["http-request", "return", rest @ ..] => (200, rest),
        ["http-request", "auth", rest @ ..] => (401, rest),
        ["http-request", "redirect", rest @ ..] | ["redirect", rest @ ..] => (302, rest),
        ["monitor-uri", rest @ ..] => (200, rest),
        _ => return None,
    };
    let written = rest.windows(2).find_map(|pair| match pair {
        ["deny_status" | "status" | "code", status] => status.parse().ok(),
        _ => None,
    });
    Some(written.unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_health_check_wants_more_where_a_plain_success_does_not_meet_it() {
        for (line, wants_more) in [
            ("http-check expect status 200", false),
            ("http-check expect min-recv 3 status 201,200-204", false),
            ("http-check expect rstatus ^2", false),
            ("http-check expect ! string error", false),
            ("http-check expect status 204", true),
            ("http-check expect string OK", true),
            ("tcp-check expect string +PONG", true),
            ("option redis-check", true),
            ("option external-check", true),
            ("option httpchk GET /health", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(super::expects_of_health(&words), wants_more, "{line}");
        }
    }

    #[test]
    fn a_line_has_its_own_status_or_the_usual_one() {
        for (line, status) in [
            ("http-request deny if { path /admin }", Some(403)),
            ("http-request deny deny_status 429 if busy", Some(429)),
            ("http-request return status 503 content-type text/plain", Some(503)),
            ("http-request redirect scheme https code 301", Some(301)),
            ("redirect scheme https unless { ssl_fc }", Some(302)),
            ("monitor-uri /alive", Some(200)),
            ("http-request set-header X-A b", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(super::status(&words), status, "{line}");
        }
    }
}
