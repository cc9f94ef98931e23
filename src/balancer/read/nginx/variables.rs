//! PURE. Variables of NGINX by which a server is selected; ingress-nginx writes them too.

use crate::topology::Policy;

/// What a key is of; None if no check varies it.
pub(crate) fn keyed(key: &str) -> Option<Policy> {
    Some(match key {
        "$remote_addr" | "$binary_remote_addr" => Policy::Source,
        "$request_uri" | "$uri" | "$scheme$proxy_host$request_uri" => Policy::Uri,
        _ => match (key.strip_prefix("$http_"), key.strip_prefix("$cookie_")) {
            (Some(header), _) if is_name(header) => Policy::Header(header.replace('_', "-").parse().ok()?),
            (_, Some(cookie)) if is_name(cookie) => Policy::Cookie(cookie.parse().ok()?),
            _ => return None,
        },
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
