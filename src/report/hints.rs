//! What to try, by cause: the directive of the balancer that is known, else those of all.

use std::collections::BTreeMap;

use verdict::BadCertificate;

/// A balancer whose directives are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Product {
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
    /// The one of this program, which has no directives.
    BuiltIn,
}

impl Product {
    /// Those that are listed where the product is not known.
    const LISTED: [Product; 5] = [Product::Nginx, Product::Haproxy, Product::Envoy, Product::Traefik, Product::Caddy];

    /// By its name, or by what it writes into Server or Via.
    pub(crate) fn of(text: &str) -> Option<Product> {
        let text = text.to_ascii_lowercase();
        // These are NGINX with its directives.
        let is_nginx = ["openresty", "tengine", "angie"].iter().any(|name| text.contains(name));
        let named = |product: &Product| text.contains(&product.title().to_ascii_lowercase());
        let known = Product::LISTED.into_iter().chain([Product::BuiltIn]).find(named);
        known.or(is_nginx.then_some(Product::Nginx))
    }

    fn title(self) -> &'static str {
        match self {
            Product::Nginx => "NGINX",
            Product::Haproxy => "HAProxy",
            Product::Envoy => "Envoy",
            Product::Traefik => "Traefik",
            Product::Caddy => "Caddy",
            Product::BuiltIn => "the built-in balancer",
        }
    }
}

/// What decides in each balancer; empty where it has nothing of the kind.
struct Directives {
    nginx: &'static str,
    haproxy: &'static str,
    envoy: &'static str,
    traefik: &'static str,
    caddy: &'static str,
}

impl Directives {
    fn in_product(&self, product: Product) -> &'static str {
        match product {
            Product::Nginx => self.nginx,
            Product::Haproxy => self.haproxy,
            Product::Envoy => self.envoy,
            Product::Traefik => self.traefik,
            Product::Caddy => self.caddy,
            Product::BuiltIn => "",
        }
    }

    /// `NGINX client_max_body_size`, of all balancers where it is not known which; none if this one has nothing of the kind.
    fn of(&self, product: Option<Product>) -> Option<String> {
        let named = |product: Product| {
            let directive = self.in_product(product);
            (!directive.is_empty()).then(|| format!("{} {directive}", product.title()))
        };
        match product {
            Some(product) => named(product),
            None => Some(Product::LISTED.into_iter().filter_map(named).collect::<Vec<_>>().join(", ")),
        }
    }

    /// A sentence, and after it the directive.
    fn after(&self, sentence: &str, product: Option<Product>) -> String {
        match self.of(product) {
            Some(directives) => format!("{sentence}: {directives}"),
            None => sentence.to_owned(),
        }
    }
}

const VERIFY: Directives = Directives {
    nginx: "proxy_ssl_verify on; proxy_ssl_trusted_certificate FILE; proxy_ssl_name NAME",
    haproxy: "ssl verify required ca-file FILE verifyhost NAME on the server",
    envoy: "validation_context with trusted_ca and match_typed_subject_alt_names",
    traefik: "rootCAs of the serversTransport, without insecureSkipVerify",
    caddy: "tls_trust_pool file FILE, without tls_insecure_skip_verify",
};

const VERIFY_NAME: Directives = Directives {
    nginx: "proxy_ssl_verify on; proxy_ssl_name NAME",
    haproxy: "verifyhost NAME on the server",
    envoy: "match_typed_subject_alt_names of the validation_context",
    traefik: "serverName of the serversTransport",
    caddy: "tls_server_name NAME",
};

const REVOCATION: Directives = Directives {
    nginx: "proxy_ssl_crl FILE",
    haproxy: "crl-file FILE on the server",
    envoy: "crl of the validation_context",
    traefik: "",
    caddy: "",
};

const SERVER_NAME: Directives = Directives {
    nginx: "proxy_ssl_server_name on; proxy_ssl_name NAME",
    haproxy: "sni str(NAME) on the server",
    envoy: "sni of the UpstreamTlsContext",
    traefik: "serverName of the serversTransport",
    caddy: "tls_server_name NAME",
};

const CLIENT_CERTIFICATE: Directives = Directives {
    nginx: "proxy_ssl_certificate FILE; proxy_ssl_certificate_key FILE",
    haproxy: "crt FILE on the server",
    envoy: "tls_certificates of the common_tls_context",
    traefik: "certificates of the serversTransport",
    caddy: "tls_client_auth CERTIFICATE KEY",
};

const BODY_LIMIT: Directives = Directives {
    nginx: "client_max_body_size",
    haproxy: "tune.bufsize, or a deny rule on req.body_size",
    envoy: "max_request_bytes of the buffer filter",
    traefik: "buffering maxRequestBodyBytes",
    caddy: "request_body max_size",
};

const HEAD_LIMIT: Directives = Directives {
    nginx: "large_client_header_buffers",
    haproxy: "tune.bufsize, tune.http.maxhdr",
    envoy: "max_request_headers_kb",
    traefik: "maxHeaderBytes of the entry point",
    caddy: "max_header_size",
};

const SLOW_REQUEST: Directives = Directives {
    nginx: "client_header_timeout, client_body_timeout",
    haproxy: "timeout http-request, timeout client",
    envoy: "request_timeout, request_headers_timeout",
    traefik: "respondingTimeouts readTimeout",
    caddy: "timeouts read_header, read_body",
};

const RATE_LIMIT: Directives = Directives {
    nginx: "limit_req, limit_conn",
    haproxy: "stick-table http_req_rate, maxconn",
    envoy: "local_ratelimit, rate_limits, circuit_breakers",
    traefik: "rateLimit, inFlightReq",
    caddy: "rate_limit",
};

const NO_BACKEND: Directives = Directives {
    nginx: "server, max_fails, fail_timeout and proxy_next_upstream",
    haproxy: "check, fall and rise of the servers, option redispatch",
    envoy: "health_checks, outlier_detection, retry_policy",
    traefik: "healthCheck and servers of the service, retry",
    caddy: "health_uri, fail_duration, lb_try_duration",
};

const TIMEOUT: Directives = Directives {
    nginx: "proxy_read_timeout",
    haproxy: "timeout server",
    envoy: "timeout of the route",
    traefik: "responseHeaderTimeout",
    caddy: "response_header_timeout",
};

const UNUSABLE_REQUEST: Directives = Directives {
    nginx: "ssl_verify_client, listen … ssl or proxy_protocol",
    haproxy: "bind … ssl, verify required or accept-proxy",
    envoy: "require_client_certificate, the proxy_protocol listener filter",
    traefik: "clientAuth of the TLS options, proxyProtocol of the entry point",
    caddy: "client_auth, listener_wrappers proxy_protocol",
};

const REDIRECT: Directives = Directives {
    nginx: "return, rewrite, and location /uuid/ without /uuid",
    haproxy: "http-request redirect",
    envoy: "https_redirect, path_redirect",
    traefik: "redirectScheme, redirectRegex",
    caddy: "redir, and the automatic redirect to https",
};

const CREDENTIALS: Directives = Directives {
    nginx: "auth_basic, auth_request, auth_jwt",
    haproxy: "http-request auth",
    envoy: "ext_authz, jwt_authn",
    traefik: "basicAuth, forwardAuth",
    caddy: "basic_auth, forward_auth",
};

const ACCESS: Directives = Directives {
    nginx: "allow, deny",
    haproxy: "http-request deny",
    envoy: "rbac",
    traefik: "ipAllowList",
    caddy: "remote_ip, respond 403",
};

const ROUTE: Directives = Directives {
    nginx: "location, server_name",
    haproxy: "use_backend, default_backend",
    envoy: "domains and match of the routes",
    traefik: "rule and entryPoints of the router",
    caddy: "the site's address and its matchers",
};

const METHODS: Directives = Directives {
    nginx: "limit_except",
    haproxy: "http-request deny with METH_…",
    envoy: "a :method matcher of the routes",
    traefik: "Method(…) in the router's rule",
    caddy: "a method matcher",
};

const RETRIES_OF_POST: Directives = Directives {
    nginx: "proxy_next_upstream without non_idempotent",
    haproxy: "http-request disable-l7-retry if METH_POST",
    envoy: "no retry_policy on routes that match POST",
    traefik: "no retry middleware on routers of such methods",
    caddy: "lb_retry_match method GET",
};

const REPEATS: Directives = Directives {
    nginx: "proxy_next_upstream timeout, proxy_read_timeout, mirror",
    haproxy: "retry-on, timeout server",
    envoy: "retry_on, per_try_timeout, hedge_policy, request_mirror_policies",
    traefik: "retry, mirroring",
    caddy: "lb_retries, lb_try_duration, lb_retry_match",
};

const OTHER_HOST: Directives = Directives {
    nginx: "",
    haproxy: "option redispatch 1",
    envoy: "retry_host_predicate previous_hosts",
    traefik: "",
    caddy: "",
};

const MIRROR: Directives = Directives {
    nginx: "mirror",
    haproxy: "filter spoe",
    envoy: "request_mirror_policies",
    traefik: "mirroring",
    caddy: "",
};

const IDLE_TIMEOUT: Directives = Directives {
    nginx: "keepalive_timeout, keepalive_requests",
    haproxy: "timeout http-keep-alive",
    envoy: "idle_timeout of common_http_protocol_options",
    traefik: "respondingTimeouts idleTimeout",
    caddy: "timeouts idle",
};

const LOSS: Directives = Directives {
    nginx: "proxy_read_timeout, worker_shutdown_timeout, proxy_ignore_client_abort",
    haproxy: "timeout server, timeout client, hard-stop-after",
    envoy: "timeout of the route, stream_idle_timeout, drain time",
    traefik: "respondingTimeouts, responseHeaderTimeout, lifeCycle graceTimeOut",
    caddy: "response_header_timeout, grace_period",
};

const CACHE: Directives = Directives {
    nginx: "proxy_cache off, proxy_ignore_headers without Cache-Control",
    haproxy: "http-request cache-use",
    envoy: "the cache filter",
    traefik: "a cache plugin",
    caddy: "the cache handler",
};

const ESCAPES: Directives = Directives {
    nginx: "proxy_pass without a path, merge_slashes off",
    haproxy: "no http-request normalize-uri",
    envoy: "path_with_escaped_slashes_action KEEP_UNCHANGED, merge_slashes false",
    traefik: "encodedCharacters, sanitizePath false",
    caddy: "handle instead of handle_path, no uri or rewrite",
};

const QUERY: Directives = Directives {
    nginx: "proxy_pass with variables needs $is_args$args",
    haproxy: "http-request set-query, set-uri",
    envoy: "regex_rewrite, query_parameters_to_remove",
    traefik: "replacePathRegex",
    caddy: "rewrite, uri query",
};

const HOST: Directives = Directives {
    nginx: "proxy_set_header Host $host",
    haproxy: "http-request set-header Host",
    envoy: "auto_host_rewrite, host_rewrite_literal",
    traefik: "passHostHeader true",
    caddy: "header_up Host {host}",
};

const METHOD: Directives = Directives {
    nginx: "proxy_method, proxy_cache_convert_head, error_page",
    haproxy: "http-request set-method",
    envoy: "a Lua or ext_proc filter",
    traefik: "a plugin",
    caddy: "method, rewrite",
};

const BODY: Directives = Directives {
    nginx: "proxy_pass_request_body, proxy_set_body",
    haproxy: "a Lua or SPOE filter",
    envoy: "a Lua or ext_proc filter",
    traefik: "buffering, a plugin",
    caddy: "request_body, a handler that reads it",
};

const REQUEST_FIELDS: Directives = Directives {
    nginx: "proxy_set_header, proxy_pass_request_headers, ignore_invalid_headers",
    haproxy: "http-request set-header, del-header",
    envoy: "request_headers_to_add, request_headers_to_remove",
    traefik: "customRequestHeaders",
    caddy: "header_up, request_header",
};

const RESPONSE_FIELDS: Directives = Directives {
    nginx: "add_header, expires, proxy_hide_header",
    haproxy: "http-response set-header, del-header",
    envoy: "response_headers_to_add, response_headers_to_remove",
    traefik: "customResponseHeaders",
    caddy: "header, header_down",
};

const RESPONSES: Directives = Directives {
    nginx: "sub_filter, error_page with proxy_intercept_errors",
    haproxy: "http-response return, http-error, a Lua filter",
    envoy: "local_reply_config, a Lua or ext_proc filter",
    traefik: "errors, a plugin",
    caddy: "handle_response, templates, replace",
};

const FORWARDED_FOR: Directives = Directives {
    nginx: "proxy_set_header X-Forwarded-For $remote_addr",
    haproxy: "http-request set-header X-Forwarded-For %[src]",
    envoy: "use_remote_address",
    traefik: "forwardedHeaders trustedIPs",
    caddy: "trusted_proxies",
};

const SESSIONS: Directives = Directives {
    nginx: "sticky with a zone, hash … consistent",
    haproxy: "peers for the stick table, cookie … insert",
    envoy: "hash_policy with ring_hash or maglev, stateful_session",
    traefik: "sticky cookie with a name",
    caddy: "lb_policy cookie with a secret",
};

const HASHES: Directives = Directives {
    nginx: "hash … consistent",
    haproxy: "hash-type consistent",
    envoy: "RING_HASH, MAGLEV",
    traefik: "strategy hrw",
    caddy: "lb_policy ip_hash, uri_hash, header",
};

const RELOAD: Directives = Directives {
    nginx: "HUP, or USR2 and QUIT, but not TERM",
    haproxy: "-W and USR2",
    envoy: "hot restart, or xDS instead of a restart",
    traefik: "the file provider with watch",
    caddy: "caddy reload, grace_period",
};

const UPGRADE: Directives = Directives {
    nginx: "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade",
    haproxy: "no http-request del-header Upgrade",
    envoy: "upgrade_configs with upgrade_type websocket",
    traefik: "no middleware that removes Connection or Upgrade",
    caddy: "no header_up that removes Connection or Upgrade",
};

const BUFFERING: Directives = Directives {
    nginx: "proxy_buffering off, gzip off for text/event-stream",
    haproxy: "option http-no-delay",
    envoy: "no buffer filter, no compressor for text/event-stream",
    traefik: "no buffering middleware, responseForwarding flushInterval",
    caddy: "flush_interval -1",
};

const STREAM_IDLE: Directives = Directives {
    nginx: "proxy_read_timeout, proxy_send_timeout",
    haproxy: "timeout tunnel, timeout server, timeout client",
    envoy: "stream_idle_timeout, timeout of the route",
    traefik: "respondingTimeouts idleTimeout, writeTimeout",
    caddy: "stream_timeout",
};

const STREAM_AGE: Directives = Directives {
    nginx: "worker_shutdown_timeout, proxy_read_timeout",
    haproxy: "timeout server, hard-stop-after",
    envoy: "timeout 0s of the route, max_stream_duration",
    traefik: "respondingTimeouts writeTimeout",
    caddy: "stream_timeout",
};

const STREAM_RELOAD: Directives = Directives {
    nginx: "worker_shutdown_timeout",
    haproxy: "hard-stop-after",
    envoy: "drain_time_s, parent_shutdown_time_s",
    traefik: "lifeCycle graceTimeOut",
    caddy: "stream_close_delay",
};

const STREAM_SHARES: Directives = Directives {
    nginx: "least_conn, with a zone for several workers",
    haproxy: "balance leastconn",
    envoy: "lb_policy LEAST_REQUEST",
    traefik: "strategy leasttime or p2c of the service",
    caddy: "lb_policy least_conn",
};

/// What the balancer itself responded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnResponse {
    /// The most frequent status.
    pub(crate) status: u16,
    /// Whether backends had received all of these requests.
    pub(crate) is_received: bool,
    /// Whether it is said for a rate limit.
    pub(crate) is_limit: bool,
}

/// The balancer itself responded.
pub(crate) fn of_own_response(own: OwnResponse, product: Option<Product>) -> String {
    let after = |directives: &Directives, sentence: &str| directives.after(sentence, product);
    if own.is_limit {
        return after(&RATE_LIMIT, "a rate limit: stay below it with --rate, or raise it");
    }
    match own.status {
        100..=299 if own.is_received => after(&RESPONSES, "the balancer hides what backends responded"),
        100..=299 => after(&ROUTE, "the balancer responds by itself: is it the path that it passes on"),
        301 | 302 | 303 | 307 | 308 => {
            after(&REDIRECT, "the balancer redirects: check the URL that its Location names, or see what redirects")
        }
        304 => "304 is for conditional requests alone: look for a cache that answers for its own validators".to_owned(),
        400 => after(
            &UNUSABLE_REQUEST,
            "the balancer cannot take the request (a client certificate, Host, a PROXY header, or TLS on a port without it)",
        ),
        401 | 407 => after(&CREDENTIALS, "the balancer wants credentials, --header 'Authorization: …'"),
        403 => after(&ACCESS, "the balancer refuses access; allow this client, or give credentials with --header"),
        404 => after(&ROUTE, "no route of the balancer matches path and Host (--header 'Host: …')"),
        405 => after(&METHODS, "the balancer does not allow this method here"),
        408 => after(&SLOW_REQUEST, "the balancer waited too long for the request"),
        413 => after(&BODY_LIMIT, "the request body is too large"),
        414 | 431 => after(&HEAD_LIMIT, "the head of the request is too large"),
        421 => "Host and TLS server name do not fit the balancer's routes: --header 'Host: …', --resolve".to_owned(),
        429 => after(&RATE_LIMIT, "a rate limit: stay below it with --rate, or raise it"),
        499 => after(&SLOW_REQUEST, "the balancer takes the client for gone, though it waits for the response"),
        502 | 503 if own.is_received => {
            after(&NO_BACKEND, "backends received these requests and broke off: see their logs, and what is tried then")
        }
        502 => after(&NO_BACKEND, "a backend refused, or broke off, and no other was tried"),
        503 => after(&NO_BACKEND, "the balancer knows no backend that is available, or its queue is full"),
        504 => after(&TIMEOUT, "a backend took longer than the balancer waits"),
        _ => "the balancer responded instead of a backend: its error log says why".to_owned(),
    }
}

/// What decides about a balancer's own response with that status; none where nothing does in this one.
pub(crate) fn directives(status: u16, product: Option<Product>) -> Option<String> {
    let directives = match status {
        401 | 407 => &CREDENTIALS,
        403 => &ACCESS,
        404 => &ROUTE,
        405 => &METHODS,
        408 => &SLOW_REQUEST,
        413 => &BODY_LIMIT,
        414 | 431 => &HEAD_LIMIT,
        429 => &RATE_LIMIT,
        504 => &TIMEOUT,
        _ => return None,
    };
    directives.of(product)
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

/// A request that must not be repeated was.
pub(crate) fn of_repeat(product: Option<Product>) -> String {
    RETRIES_OF_POST.after("a proxy must not repeat a request that is not idempotent", product)
}

/// A request was executed more than once.
pub(crate) fn of_double_execution(product: Option<Product>) -> String {
    REPEATS.after("the balancer sent them again while a backend was at work, or copies them", product)
}

/// Retries went to the backend that had just failed; none if this balancer cannot be told otherwise.
pub(crate) fn of_same_host(product: Option<Product>) -> Option<String> {
    OTHER_HOST.of(product).map(|directives| format!("keep retries from the same host: {directives}"))
}

/// Copies are made.
pub(crate) fn of_mirror(product: Option<Product>) -> String {
    MIRROR.after("if copies are meant, use --allow mirrored, or --expect mirrored:SHARE; else remove them", product)
}

/// Kept connections are closed.
pub(crate) fn of_idle_close(product: Option<Product>) -> Option<String> {
    IDLE_TIMEOUT.of(product)
}

/// Bad certificates of backends are accepted.
pub(crate) fn of_certificates(accepted: &[BadCertificate], product: Option<Product>) -> String {
    match accepted {
        [BadCertificate::OtherName] => VERIFY_NAME.after("verify the name too", product),
        [BadCertificate::Revoked] => REVOCATION.after("give the balancer the authority's revocation list", product),
        _ => VERIFY.after("verify the certificates of backends, with their authority's", product),
    }
}

/// The balancer sends no SNI.
pub(crate) fn of_server_name(product: Option<Product>) -> String {
    SERVER_NAME.after("name the server", product)
}

/// The balancer shows no certificate.
pub(crate) fn of_client_certificate(product: Option<Product>) -> String {
    CLIENT_CERTIFICATE.after("give the balancer a certificate of the authority that backends ask for", product)
}

/// Requests that backends have received get no response.
pub(crate) fn of_loss(product: Option<Product>) -> String {
    LOSS.after("look for timeouts, restarts and closed connections between backend, balancer and client", product)
}

/// Responses were given before.
pub(crate) fn of_cache(product: Option<Product>) -> String {
    CACHE.after("backends send no-store: turn the cache off for this path, or use --allow stale", product)
}

/// Escapes or slashes of paths are changed.
pub(crate) fn of_escapes(product: Option<Product>) -> String {
    ESCAPES.after("keep paths as they are", product)
}

/// The query is changed.
pub(crate) fn of_query(product: Option<Product>) -> String {
    QUERY.after("look where the URL is rewritten", product)
}

/// Host is changed.
pub(crate) fn of_host(product: Option<Product>) -> String {
    HOST.after("pass it on, or set it for all alike", product)
}

/// The method is changed.
pub(crate) fn of_method(product: Option<Product>) -> String {
    METHOD.after("look for what sets the method, and for redirects that are followed", product)
}

/// The body is lost, cut or changed.
pub(crate) fn of_body(product: Option<Product>) -> String {
    BODY.after("look for a filter or a limit that touches bodies", product)
}

/// Fields of requests are lost, changed or doubled.
pub(crate) fn of_request_fields(names: &[&str], product: Option<Product>) -> String {
    let dropped = names.iter().any(|name| name.contains('_'));
    if dropped && matches!(product, None | Some(Product::Nginx)) {
        return "NGINX drops names with an underscore: underscores_in_headers on".to_owned();
    }
    REQUEST_FIELDS.after("look for what sets or removes headers of requests", product)
}

/// Fields of responses are lost, changed or doubled.
pub(crate) fn of_response_fields(is_cacheable: bool, product: Option<Product>) -> String {
    let sentence = if is_cacheable {
        "backends forbid caching (no-store), and a page of one client can now be kept for another"
    } else {
        "look for what sets or removes headers of responses"
    };
    RESPONSE_FIELDS.after(sentence, product)
}

/// Bodies or statuses of responses are changed.
pub(crate) fn of_responses(product: Option<Product>) -> String {
    RESPONSES.after("look for what rewrites bodies or statuses", product)
}

/// A forged X-Forwarded-For arrives.
pub(crate) fn of_forwarded_for(product: Option<Product>) -> String {
    FORWARDED_FOR.after("let the balancer write it, whatever the client claims", product)
}

/// Clients leave their backends.
pub(crate) fn of_lost_sessions(product: Option<Product>) -> String {
    let sentence = "look for a table that a reload empties, a second cookie, several balancers without a shared secret, and health checks \
                    that flap";
    SESSIONS.after(sentence, product)
}

/// A hash that moves nearly all clients when one backend leaves.
pub(crate) fn of_hashes(product: Option<Product>) -> String {
    HASHES.after("a consistent hash moves the clients of that backend alone", product)
}

/// A reload costs requests.
pub(crate) fn of_reload(product: Option<Product>) -> String {
    RELOAD.after("a reload must cost nothing: check that it is graceful", product)
}

/// The handshake of a WebSocket arrives as a plain request.
pub(crate) fn of_upgrade(product: Option<Product>) -> String {
    UPGRADE.after("pass the handshake on", product)
}

/// Events of a stream are held back.
pub(crate) fn of_buffering(product: Option<Product>) -> String {
    BUFFERING.after("pass each event on as it comes", product)
}

/// What streams were cut by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// Silence.
    Idle,
    /// Their age.
    Age,
    /// A reload, or another step.
    Step,
}

/// Streams are cut.
pub(crate) fn of_cut(cut: Cut, product: Option<Product>) -> String {
    match cut {
        Cut::Idle => STREAM_IDLE.after("raise the timeout of silent streams, or send something sooner", product),
        Cut::Age => STREAM_AGE.after("raise the limit of how long a stream may live", product),
        Cut::Step => STREAM_RELOAD.after("give streams time to end, or have clients come back", product),
    }
}

/// Streams are not spread evenly.
pub(crate) fn of_alive(product: Option<Product>) -> String {
    STREAM_SHARES.after("select by streams that are alive; those that live on stay where they are", product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_balancer_gets_its_own_directive_and_others_get_all() {
        let too_large = OwnResponse { status: 413, ..OwnResponse::default() };
        let hint = of_own_response(too_large, Product::of("nginx/1.28.0"));
        assert_eq!(hint, "the request body is too large: NGINX client_max_body_size");
        let hint = of_own_response(too_large, None);
        assert!(hint.contains("NGINX client_max_body_size") && hint.contains("Caddy request_body"), "{hint}");
    }

    #[test]
    fn a_balancer_that_has_no_such_directive_gets_none_of_others() {
        assert_eq!(of_same_host(Some(Product::Caddy)), None);
        assert_eq!(of_mirror(Some(Product::Caddy)).matches("NGINX").count(), 0);
    }

    #[test]
    fn products_are_known_by_what_they_write() {
        let of = |text: &str| Product::of(text);
        assert_eq!(of("nginx/1.22.1"), Some(Product::Nginx));
        assert_eq!(of("openresty/1.25.3.1"), Some(Product::Nginx));
        assert_eq!(of("1.1 Caddy"), Some(Product::Caddy));
        assert_eq!(of("envoy"), Some(Product::Envoy));
        assert_eq!(of("the built-in balancer"), Some(Product::BuiltIn));
        assert_eq!((of("uvicorn"), of("Apache/2.4")), (None, None));
    }
}
