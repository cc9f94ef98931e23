//! What to try, by cause: the directive of the balancer that is known, else those of all.

use std::collections::BTreeMap;

/// For each product, in the order in which they are listed where the product is not known.
struct Directives {
    nginx: &'static str,
    haproxy: &'static str,
    envoy: &'static str,
    traefik: &'static str,
    caddy: &'static str,
}

impl Directives {
    fn of(&self, product: Option<&str>) -> String {
        let all = [
            ("NGINX", self.nginx),
            ("HAProxy", self.haproxy),
            ("Envoy", self.envoy),
            ("Traefik", self.traefik),
            ("Caddy", self.caddy),
        ];
        let known = product.and_then(|product| {
            let product = product.to_ascii_lowercase();
            all.iter().find(|(name, _)| product.contains(&name.to_ascii_lowercase()))
        });
        match known {
            Some((name, directive)) if !directive.is_empty() => format!("{name}: {directive}"),
            _ => {
                let texts =
                    all.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name} {text}"));
                texts.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

const BODY_LIMIT: Directives = Directives {
    nginx: "client_max_body_size",
    haproxy: "tune.bufsize or an http-request deny rule on req.body_size",
    envoy: "buffer filter max_request_bytes",
    traefik: "buffering maxRequestBodyBytes",
    caddy: "request_body max_size",
};

const RATE_LIMIT: Directives = Directives {
    nginx: "limit_req, limit_conn",
    haproxy: "stick-table http_req_rate",
    envoy: "local_ratelimit, rate_limits",
    traefik: "rateLimit",
    caddy: "rate_limit",
};

const NO_BACKEND: Directives = Directives {
    nginx: "server, max_fails and fail_timeout of the upstream",
    haproxy: "check, fall and rise of the servers",
    envoy: "health_checks, outlier_detection, retry_policy",
    traefik: "healthCheck and servers of the service",
    caddy: "health_uri, fail_duration, lb_try_duration",
};

const TIMEOUT: Directives = Directives {
    nginx: "proxy_read_timeout",
    haproxy: "timeout server",
    envoy: "timeout of the route",
    traefik: "responseHeaderTimeout",
    caddy: "response_header_timeout",
};

/// The balancer itself responded.
pub(crate) fn of_own_response(statuses: &BTreeMap<u16, u64>, product: Option<&str>) -> String {
    let most = statuses.iter().max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
    match most {
        301 | 302 | 303 | 307 | 308 => "the balancer redirects: check the URL that its Location names".to_owned(),
        304 => "304 is for conditional requests alone: look for a cache that answers for its own validators".to_owned(),
        400 => {
            "the balancer cannot take the request: a client certificate, Host, or TLS on a port without it".to_owned()
        }
        401 | 407 => "the balancer wants credentials: --header 'Authorization: …'".to_owned(),
        403 => "the balancer refuses access: allow this client, or give credentials with --header".to_owned(),
        404 => "no route of the balancer matches: check the path, and Host with --header 'Host: …'".to_owned(),
        408 => "the balancer waited too long for the request".to_owned(),
        413 => format!("the request body is too large: the body limit is {}", BODY_LIMIT.of(product)),
        414 | 431 => "the head of the request is too large for the balancer's buffers".to_owned(),
        421 => "Host and TLS server name do not fit the balancer's routes: --header 'Host: …', --resolve".to_owned(),
        429 => format!("a rate limit: use --rate, or see {}", RATE_LIMIT.of(product)),
        502 | 503 => format!("the balancer found no backend that responds: see {}", NO_BACKEND.of(product)),
        504 => format!("a backend took longer than the balancer waits: {}", TIMEOUT.of(product)),
        _ => "the balancer responded instead of a backend: its error log says why".to_owned(),
    }
}

/// A backend could not read the request.
pub(crate) fn of_refusal(statuses: &BTreeMap<u16, u64>) -> &'static str {
    match statuses.keys().next() {
        Some(431) => "the head is too large or has too many fields: see what the balancer adds",
        Some(501) => "the balancer sends a transfer coding or method that backends do not know",
        Some(505) => "the balancer speaks another version of HTTP to backends than they do",
        _ => {
            "the balancer sends what RFC 9112 forbids: two Host or Content-Length headers, or a PROXY header without \
             --proxy-protocol"
        }
    }
}

/// A backend responded with a status that is not expected.
pub(crate) fn of_backend_status(statuses: &BTreeMap<u16, u64>) -> &'static str {
    let most = statuses.iter().max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
    match most {
        401 | 403 => "backends want credentials: --header 'Authorization: …'",
        404 | 405 => "backends do not have this path or method: check the URL; --expect status:404 if it is meant",
        429 => "backends limit the rate: use --rate",
        500..=599 => "backends failed, and the balancer passed that on; --expect status:… if these are meant",
        _ => "use --expect status:… if these are meant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_balancer_gets_its_own_directive_and_others_get_all() {
        let too_large = BTreeMap::from([(413, 60)]);
        let hint = of_own_response(&too_large, Some("nginx/1.28.0"));
        assert_eq!(hint, "the request body is too large: the body limit is NGINX: client_max_body_size");
        let hint = of_own_response(&too_large, None);
        assert!(hint.contains("NGINX client_max_body_size") && hint.contains("Caddy request_body"), "{hint}");
    }
}
