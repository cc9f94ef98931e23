//! Variables of NGINX by which a server is selected; ingress-nginx writes them too.

use crate::topology::Policy;

/// What all requests of a check to one URL have alike.
const ALIKE: [&str; 9] =
    ["host", "http_host", "hostname", "is_args", "proxy_host", "scheme", "server_addr", "server_name", "server_port"];

/// What a key is of; None if no check varies it, or several variables at once.
pub(crate) fn keyed(key: &str) -> Option<Policy> {
    let all = variables(key)?;
    let varied: Vec<&str> = all.iter().copied().filter(|it| !ALIKE.contains(it)).collect();
    match (all.as_slice(), varied.as_slice()) {
        ([one], _) | (_, [one]) => of_variable(one),
        (_, ["uri", "args" | "query_string"]) => Some(Policy::Uri),
        _ => None,
    }
}

fn of_variable(name: &str) -> Option<Policy> {
    Some(match name {
        "remote_addr" | "binary_remote_addr" => Policy::Source,
        "request_uri" | "uri" => Policy::Uri,
        _ => match (name.strip_prefix("http_"), name.strip_prefix("cookie_")) {
            (Some(header), _) => Policy::Header(header.replace('_', "-").parse().ok()?),
            (_, Some(cookie)) => Policy::Cookie(cookie.parse().ok()?),
            _ => return None,
        },
    })
}

/// The names of the variables in a text, in order: `$name` or `${name}`, with anything between them. None if it is no such text.
fn variables(text: &str) -> Option<Vec<&str>> {
    let name = |part: &'_ str| part.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    text.split('$')
        .skip(1)
        .map(|part| {
            let (part, is_closed) = match part.strip_prefix('{') {
                Some(inner) => (inner, inner[name(inner)..].starts_with('}')),
                None => (part, true),
            };
            Some(&part[..name(part)]).filter(|name| is_closed && !name.is_empty())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_where_one_part_of_it_alone_varies() {
        let header = |name: &str| Some(Policy::Header(name.parse().unwrap()));
        for (key, expected) in [
            ("$binary_remote_addr", Some(Policy::Source)),
            ("$scheme$proxy_host$request_uri", Some(Policy::Uri)),
            ("$host$uri$is_args$args", Some(Policy::Uri)),
            ("${server_name}-${uri}", Some(Policy::Uri)),
            ("$http_x_user", header("x-user")),
            ("$host:$cookie_session", Some(Policy::Cookie("session".parse().unwrap()))),
            // Of a URL all requests have the same, which is said where it is read.
            ("$http_host", header("host")),
            ("$host", None),
            ("$host$http_host", None),
            ("$remote_addr$request_uri", None),
            ("$arg_a$arg_b", None),
            ("$args", None),
            ("app", None),
            ("$", None),
            ("${uri", None),
            ("", None),
        ] {
            assert_eq!(keyed(key), expected, "{key}");
        }
    }
}
