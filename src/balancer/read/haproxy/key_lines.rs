//! Lines of a `haproxy.cfg` that change what requests bring, before `balance` goes by it.

use crate::balancer::read::key_changes::KeyChanges;

/// Notes such a line; and headers that it takes the client's address from.
pub(super) fn note(words: &[String], place: &str, changes: &mut KeyChanges, client_headers: &mut Vec<String>) {
    let line = || format!("{place}: {}", words.join(" "));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["http-request", "set-path" | "set-pathq" | "set-uri", value, ..]
        | ["http-request", "replace-path" | "replace-pathq" | "replace-uri", _, value, ..] => {
            // What it computes of a request may differ as the path did.
            if !value.contains("%[") && !value.contains('\\') {
                changes.path(line());
            }
        }
        ["http-request", "set-header" | "add-header" | "del-header" | "replace-header" | "replace-value", name, ..] => {
            changes.header(name, line());
        }
        ["http-request", "set-src", value, ..]
        | ["tcp-request", "connection" | "content" | "session", "set-src", value, ..] => match header(value) {
            Some(name) => client_headers.push(name.to_owned()),
            None => changes.source(line()),
        },
        _ => {}
    }
}

/// The header of an expression such as `req.hdr_ip(X-Real-IP,-1)`.
fn header(expression: &str) -> Option<&str> {
    let (function, rest) = expression.split_once('(')?;
    let is_header = ["hdr", "hdr_ip", "req.hdr", "req.hdr_ip", "req.fhdr"].contains(&function);
    rest.split([',', ')']).next().filter(|_| is_header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::configuration::{Upstream, UpstreamMethod};
    use crate::topology::Policy;

    #[test]
    fn what_the_file_sets_itself_is_no_key() {
        for (line, policy, is_key) in [
            ("http-request set-path /index.php", Policy::Uri, false),
            ("http-request set-path %[path,regsub(^/api,)]", Policy::Uri, true),
            ("http-request replace-path (.*) /index.php", Policy::Uri, false),
            (r"http-request replace-path /api/(.*) /\1", Policy::Uri, true),
            ("http-request set-query a=b", Policy::Uri, true),
            ("http-request set-header X-User fixed", Policy::Header("x-user".parse().unwrap()), false),
            ("http-request del-header X-User", Policy::Header("X-User".parse().unwrap()), false),
            ("http-request set-header X-Other a", Policy::Header("x-user".parse().unwrap()), true),
            ("http-request set-src str(10.0.0.1)", Policy::Source, false),
            ("http-request set-src hdr(X-Real-IP)", Policy::Source, true),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (mut changes, mut headers) = (KeyChanges::default(), Vec::new());
            note(&words, "a", &mut changes, &mut headers);
            let mut upstream = Upstream { method: UpstreamMethod::Known(policy), ..Upstream::named("u") };
            changes.apply([&mut upstream]);
            assert_eq!(matches!(upstream.method, UpstreamMethod::Known(_)), is_key, "{line}");
            assert_eq!(headers, if line.contains("hdr(") { vec!["X-Real-IP"] } else { vec![] });
        }
    }
}
