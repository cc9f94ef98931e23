//! What to try, by topic: the directive of the balancer that is known, else those of all.

use std::collections::BTreeMap;

use verdict::numbers::time;
use verdict::{BadCertificate, HandshakeFailure};

use crate::balancer::{Balancer, HintTopic};

/// `NGINX client_max_body_size`, of all balancers where it is not known which; none if this one has nothing of the kind.
fn named(topic: HintTopic, product: Option<Balancer>) -> Option<String> {
    let named = |balancer: Balancer| {
        let directive = (balancer.directive)(topic);
        (!directive.is_empty()).then(|| format!("{} {directive}", balancer.title))
    };
    match product {
        Some(balancer) => named(balancer),
        None => Some(Balancer::all_that_run().filter_map(named).collect::<Vec<_>>().join(", ")),
    }
}

/// A sentence, and after it what decides.
fn after(topic: HintTopic, sentence: &str, product: Option<Balancer>) -> String {
    match named(topic, product) {
        Some(directives) => format!("{sentence}: {directives}"),
        None => sentence.to_owned(),
    }
}

/// Responses that the configuration may give.
pub(crate) const OF_CONFIGURED_STATUSES: &str = "a fault looks the same: give URLs that are passed on, or the line another \
     status for a moment; --allow balancer accepts it";

/// Bodies that the configuration may rewrite.
pub(crate) const OF_CONFIGURED_BODIES: &str = "--expect intact makes this a failure, --allow altered accepts it";

/// Responses of the balancer itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnResponse {
    /// The most frequent status.
    pub(crate) status: u16,
    /// Whether backends had received all of these requests.
    pub(crate) is_received: bool,
    /// Whether backends had refused most of them unprocessed.
    pub(crate) is_unprocessed: bool,
    /// Whether backends were too slow for the balancer, before or meanwhile.
    pub(crate) is_slow: bool,
    /// Whether a connection to a backend that the balancer keeps may have been closed as it was used: most such races cost few requests of many.
    pub(crate) is_race: bool,
    /// Whether it is said for a rate limit.
    pub(crate) is_limit: bool,
}

/// The balancer itself responded.
pub(crate) fn of_own_response(own: OwnResponse, product: Option<Balancer>) -> String {
    let hint = of_own_status(own, product);
    if !own.is_race || own.is_received || own.is_limit || own.is_slow || !matches!(own.status, 500 | 502 | 503) {
        return hint;
    }
    format!("{hint}; {}", of_race(product))
}

/// A kept connection is used as its other end closes it.
pub(crate) fn of_race(product: Option<Balancer>) -> String {
    let race = "or a backend closes a kept connection as the balancer uses it: let backends keep idle ones for longer than it does";
    match product {
        Some(_) => after(HintTopic::KeptToBackends, race, product),
        None => race.to_owned(),
    }
}

fn of_own_status(own: OwnResponse, product: Option<Balancer>) -> String {
    let after = |topic: HintTopic, sentence: &str| after(topic, sentence, product);
    if own.is_limit {
        return of_limit("a rate limit, or one of requests at once: stay below it", own.status, product);
    }
    if own.is_unprocessed {
        return of_unprocessed(product);
    }
    match own.status {
        0 => {
            "what came cannot be read: does that port speak the protocol of the URL? The balancer's error log says more"
                .to_owned()
        }
        100..=299 if own.is_received => after(HintTopic::Responses, "the balancer hides what backends responded"),
        100..=299 => after(HintTopic::Route, "the balancer responds by itself: is it the path that it passes on"),
        301 | 302 | 303 | 307 | 308 => after(
            HintTopic::Redirect,
            "the balancer redirects: check the URL that its Location names, or see what redirects",
        ),
        304 => "304 is for conditional requests alone: look for a cache that answers for its own validators".to_owned(),
        400 => after(
            HintTopic::UnusableRequest,
            "the balancer cannot take the request (a client certificate, Host, a PROXY header, or TLS on a port without it)",
        ),
        401 | 407 => after(HintTopic::Credentials, "the balancer wants credentials, --header 'Authorization: …'"),
        403 => after(
            HintTopic::Access,
            "the balancer refuses access; allow this client, or give credentials with --header",
        ),
        404 => after(HintTopic::Route, "no route of the balancer matches path and Host (--header 'Host: …')"),
        405 => after(HintTopic::Methods, "the balancer does not allow this method here"),
        408 => after(HintTopic::SlowRequest, "the balancer waited too long for the request"),
        413 => after(HintTopic::BodyLimit, "the request body is too large"),
        414 | 431 => after(HintTopic::HeadLimit, "the head of the request is too large"),
        421 => "Host and TLS server name do not fit the balancer's routes: --header 'Host: …', --resolve".to_owned(),
        429 => after(HintTopic::RateLimit, "a rate limit: stay below it with --rate, or raise it"),
        499 => {
            after(HintTopic::SlowRequest, "the balancer takes the client for gone, though it waits for the response")
        }
        500 | 502 | 503 if own.is_received => after(
            HintTopic::NoBackend,
            "backends received these requests and broke off: see their logs, and what is tried then",
        ),
        502 | 503 if own.is_slow => {
            after(HintTopic::Timeout, "backends take longer than the balancer waits, so that it takes them for failed")
        }
        502 => after(
            HintTopic::NoBackend,
            "the balancer could pass it to no backend: they refuse, it takes them for failed, or all have as much as they may",
        ),
        503 => {
            let none = "the balancer knows no backend that is available, or its queue is full";
            let hint = after(HintTopic::NoBackend, none);
            // What is refused now and then, while much else passes, may be a limit without a burst.
            match product.and_then(|product| named(HintTopic::Overload, Some(product))) {
                Some(limits) => format!("{hint}; or a limit refuses requests that come too close together: {limits}"),
                None => hint,
            }
        }
        504 => of_slow_backends(product),
        _ => "the balancer responded instead of a backend: its error log says why".to_owned(),
    }
}

/// The balancer gives up waiting for backends.
pub(crate) fn of_slow_backends(product: Option<Balancer>) -> String {
    after(HintTopic::Timeout, "a backend took longer than the balancer waits", product)
}

/// What refuses requests with that status because they are too many. `stay`: how to stay below it.
pub(crate) fn of_limit(stay: &str, status: u16, product: Option<Balancer>) -> String {
    let topic = if status == 503 { HintTopic::Overload } else { HintTopic::RateLimit };
    after(topic, &format!("{stay}, or raise it"), product)
}

/// What decides about a balancer's own response with that status; none where nothing does in this one. The first text that names a
/// balancer says which it is.
pub(crate) fn directives<'t>(status: u16, texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let product = recognise(texts);
    let topic = match status {
        401 | 407 => HintTopic::Credentials,
        403 => HintTopic::Access,
        404 => HintTopic::Route,
        405 => HintTopic::Methods,
        408 => HintTopic::SlowRequest,
        413 => HintTopic::BodyLimit,
        414 | 431 => HintTopic::HeadLimit,
        429 => HintTopic::RateLimit,
        502 | 503 => HintTopic::NoBackend,
        504 => HintTopic::Timeout,
        _ => return None,
    };
    named(topic, product)
}

/// The title of the balancer that gives such a page of its own.
pub(crate) fn balancer_of_page(text: &str) -> Option<&'static str> {
    Balancer::of_own_page(text).map(|balancer| balancer.title)
}

/// A backend could not read the request.
pub(crate) fn of_refusal(statuses: &BTreeMap<u16, u64>, own_head: Option<u64>) -> &'static str {
    match statuses.keys().next() {
        Some(431) if own_head.is_some() => {
            "the check itself sends so large a head (--header): have the backends read it, with --max-header-bytes of the fleet"
        }
        Some(431) => "the head is too large or has too many fields: see what the balancer adds",
        Some(501) => "the balancer sends a transfer coding or method that backends do not know",
        Some(505) => "the balancer speaks another version of HTTP to backends than they do",
        _ => {
            "the balancer sends what backends cannot read: plain HTTP to a port with TLS, a PROXY header without \
             --proxy-protocol, or what RFC 9112 forbids, such as no Host header or two, or two Content-Length headers"
        }
    }
}

/// Backends ended calls because their deadline was over, before that of the client was.
pub(crate) fn of_exceeded_deadlines(product: Option<Balancer>) -> String {
    after(
        HintTopic::Deadline,
        "backends say that a deadline is over, and the client's is not: see who shortens it, or sets one",
        product,
    )
}

/// A backend responded with a status that is not expected.
pub(crate) fn of_backend_status(status: u16) -> &'static str {
    match status {
        400 => {
            "backends could read the request, and have no such response: the body of the response says why (curl); --expect status:… if that \
             is meant"
        }
        401 | 403 => "backends want credentials: --header 'Authorization: …'",
        404 | 405 => "backends do not have this path or method: check the URL; --expect status:… if that is meant",
        429 => "backends limit the rate: use --rate",
        500..=599 => "backends failed, and the balancer passed that on; --expect status:… if these are meant",
        _ => "use --expect status:… if these are meant",
    }
}

/// A request that must not be repeated was.
pub(crate) fn of_repeat(product: Option<Balancer>) -> String {
    after(HintTopic::RetriesOfPost, "a proxy must not repeat a request that is not idempotent", product)
}

/// A request was executed more than once.
pub(crate) fn of_double_execution(product: Option<Balancer>) -> String {
    after(HintTopic::Repeats, "the balancer sent them again while a backend was at work, or copies them", product)
}

/// Retries went to the backend that had just failed; none if no directive of this balancer changes that.
pub(crate) fn of_same_host(product: Option<Balancer>) -> Option<String> {
    named(HintTopic::OtherHost, product).map(|directives| format!("keep retries from the same host: {directives}"))
}

/// What to try where requests are copied to other backends.
pub(crate) fn of_mirror(product: Option<Balancer>) -> String {
    after(
        HintTopic::Mirror,
        "if copies are meant, use --allow mirrored, or --expect mirrored:SHARE; else remove them",
        product,
    )
}

/// Backends went on with requests on which clients had given up.
pub(crate) fn of_leaving(product: Option<Balancer>) -> String {
    after(HintTopic::Leaving, "where that costs much, let the balancer pass the client's leaving on", product)
}

/// Kept connections are closed.
pub(crate) fn of_idle_close(product: Option<Balancer>) -> Option<String> {
    named(HintTopic::IdleTimeout, product)
}

/// Bad certificates of backends are accepted.
pub(crate) fn of_certificates(accepted: &[BadCertificate], product: Option<Balancer>) -> String {
    match accepted {
        [BadCertificate::OtherName] => after(HintTopic::VerifyName, "verify the name too", product),
        [BadCertificate::Revoked] => {
            after(HintTopic::Revocation, "give the balancer the authority's revocation list", product)
        }
        _ => after(HintTopic::Verify, "verify the certificates of backends, with their authority's", product),
    }
}

/// The balancer sends no SNI.
pub(crate) fn of_server_name(product: Option<Balancer>) -> String {
    after(HintTopic::ServerName, "name the server", product)
}

/// TLS handshakes of the balancer with backends fail; none where no directive decides.
pub(crate) fn of_handshakes(why: HandshakeFailure, product: Option<Balancer>) -> Option<String> {
    if why.is_of_client_certificate() {
        return Some(of_client_certificate(product));
    }
    let sentence = "give the balancer the authority of backends' certificates, and a name that they have";
    let is_refusal = why.refuses_certificate() || why == HandshakeFailure::ClosedAfter;
    is_refusal.then(|| after(HintTopic::Verify, sentence, product))
}

/// The same, of the balancer that one of these texts names, if one does.
pub(crate) fn of_handshakes_by<'t>(why: HandshakeFailure, texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    of_handshakes(why, recognise(texts))
}

fn recognise<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Balancer> {
    texts.into_iter().find_map(|text| Balancer::of_text(text).or_else(|| Balancer::of_own_page(text)))
}

/// The balancer shows no certificate.
pub(crate) fn of_client_certificate(product: Option<Balancer>) -> String {
    after(
        HintTopic::ClientCertificate,
        "give the balancer a certificate of the authority that backends ask for",
        product,
    )
}

/// Requests that backends have received get no response.
pub(crate) fn of_loss(product: Option<Balancer>) -> String {
    after(
        HintTopic::Loss,
        "look for timeouts, restarts and closed connections between backend, balancer and client",
        product,
    )
}

/// Requests get no response, and reach no backend. `timed_out`: the client waited for each of them until its own timeout.
pub(crate) fn of_not_reached(timed_out: bool, product: Option<Balancer>) -> String {
    let seen = if timed_out {
        "the balancer took no connection, or did not respond in time"
    } else {
        "the balancer refused the connection, closed it or did not respond"
    };
    after(HintTopic::Connections, &format!("{seen}; where it limits connections, stay below with -c"), product)
}

/// No more connections are served at once.
pub(crate) fn of_connection_limit(at_once: u64, product: Option<Balancer>) -> String {
    after(HintTopic::Connections, &format!("stay below it with -c {at_once}, or raise it"), product)
}

/// Requests waited for busy backends until their clients gave up.
pub(crate) fn of_queue(product: Option<Balancer>) -> String {
    after(
        HintTopic::Overload,
        "a balancer may keep requests in a queue while backends are busy: send fewer at once (-c), wait longer with --timeout, or see why \
         backends are slow",
        product,
    )
}

/// The client's own timeout was over first.
pub(crate) fn of_own_timeout(product: Option<Balancer>) -> String {
    after(
        HintTopic::Timeout,
        "the client gave up: see whether backends were slow (their times are in the records), wait longer with --timeout \
         (--deadline of calls), or have the balancer give up first",
        product,
    )
}

/// Backends refused streams unprocessed, and no other backend was tried.
pub(crate) fn of_unprocessed(product: Option<Balancer>) -> String {
    after(
        HintTopic::Unprocessed,
        "a stream that is refused unprocessed was not executed: have the balancer send it to another backend",
        product,
    )
}

/// One backend that does not respond keeps requests from all others.
pub(crate) fn of_blocked(product: Option<Balancer>) -> String {
    after(
        HintTopic::Timeout,
        "requests that wait for one backend hold up all others: find what they share (a worker, a connection, a queue, a limit), and have the \
         balancer give up sooner",
        product,
    )
}

/// The failures of one backend make the balancer refuse all requests.
pub(crate) fn of_breaker(product: Option<Balancer>) -> String {
    after(
        HintTopic::NoBackend,
        "a circuit breaker or a limit before the selection of a backend refuses everything for the failures of one: have the balancer leave out \
         the broken backend alone",
        product,
    )
}

/// Responses were given before.
pub(crate) fn of_cache(product: Option<Balancer>) -> String {
    after(HintTopic::Cache, "backends send no-store: turn the cache off for this path, or use --allow stale", product)
}

/// Escapes or slashes of paths are changed.
pub(crate) fn of_escapes(product: Option<Balancer>) -> String {
    after(HintTopic::Escapes, "keep paths as they are", product)
}

/// A part of the path is replaced.
pub(crate) fn of_rewrite(product: Option<Balancer>) -> String {
    after(HintTopic::Rewrite, "see what replaces a part of the path", product)
}

/// All clients have one address for a balancer that selects by it.
pub(crate) fn of_address_behind_proxy(product: Option<Balancer>) -> String {
    let sentence =
        "behind another proxy a balancer sees that proxy's address alone, and hashes it: have it take the client's";
    after(HintTopic::AddressBehindProxy, sentence, product)
}

/// No response gives a cookie that would tie a client to its backend.
pub(crate) fn of_no_cookie(product: Option<Balancer>) -> String {
    after(HintTopic::Sessions, "no response gave a cookie that the balancer could know a client by", product)
}

/// The query is changed.
pub(crate) fn of_query(product: Option<Balancer>) -> String {
    after(HintTopic::Query, "look where the URL is rewritten", product)
}

/// What to try where the Host field is changed.
pub(crate) fn of_host(product: Option<Balancer>) -> String {
    after(HintTopic::Host, "pass it on, or set it for all alike", product)
}

/// The method is changed.
pub(crate) fn of_method(product: Option<Balancer>) -> String {
    after(HintTopic::Method, "look for what sets the method, and for redirects that are followed", product)
}

/// The body is lost, cut or changed.
pub(crate) fn of_body(product: Option<Balancer>) -> String {
    after(HintTopic::Body, "look for a filter or a limit that touches bodies", product)
}

/// Fields of requests are lost, changed or doubled.
pub(crate) fn of_request_fields(names: &[&str], product: Option<Balancer>) -> String {
    let dropped = names.iter().any(|name| name.contains('_'));
    if dropped && let Some(directives) = named(HintTopic::Underscores, product) {
        return format!("names with an underscore are dropped: {directives}");
    }
    after(HintTopic::RequestFields, "look for what sets or removes headers of requests", product)
}

/// Deadlines of calls are shortened.
pub(crate) fn of_deadlines(product: Option<Balancer>) -> String {
    after(HintTopic::Deadline, "pass deadlines of clients on, or let clients know the shorter one", product)
}

/// Fields of responses are lost, changed or doubled.
pub(crate) fn of_response_fields(is_cacheable: bool, product: Option<Balancer>) -> String {
    let sentence = if is_cacheable {
        "backends forbid caching (no-store), and a page of one client can now be kept for another"
    } else {
        "look for what sets or removes headers of responses"
    };
    after(HintTopic::ResponseFields, sentence, product)
}

/// Bodies or statuses of responses are changed.
pub(crate) fn of_responses(product: Option<Balancer>) -> String {
    after(HintTopic::Responses, "look for what rewrites bodies or statuses", product)
}

/// A forged X-Forwarded-For arrives.
pub(crate) fn of_forwarded_for(product: Option<Balancer>) -> String {
    after(HintTopic::ForwardedFor, "let the balancer write it, whatever the client claims", product)
}

/// Clients leave their backends.
pub(crate) fn of_lost_sessions(product: Option<Balancer>) -> String {
    let sentence = "look for sessions that end after a time, a table that a reload empties, a second cookie, several balancers without a \
                    shared secret, and health checks that flap";
    after(HintTopic::Sessions, sentence, product)
}

/// Sessions are required, and the balancer looks at none.
pub(crate) fn of_no_affinity(product: Option<Balancer>) -> String {
    after(HintTopic::Sessions, "the balancer selects without a look at the session: add stickiness", product)
}

/// Clients leave some servers, and stay with the others.
pub(crate) fn of_left_servers() -> &'static str {
    "see in which their configuration differs from that of the others: a server without a cookie value, or with that of another, or a health check \
     that flaps"
}

/// Clients have a backend of their own at each URL.
pub(crate) fn of_sessions_by_url(product: Option<Balancer>) -> String {
    let sentence = "give all URLs one cookie: one name, one Path that covers them (Path=/), one service or upstream with one secret; with a \
                    hash, one key";
    after(HintTopic::Sessions, sentence, product)
}

/// A hash that moves nearly all clients when one backend leaves.
pub(crate) fn of_hashes(product: Option<Balancer>) -> String {
    after(HintTopic::Hashes, "a consistent hash moves the clients of that backend alone", product)
}

/// A reload costs requests.
pub(crate) fn of_reload(product: Option<Balancer>) -> String {
    after(HintTopic::Reload, "a reload must cost nothing: check that it is graceful", product)
}

/// The handshake of a WebSocket arrives as a plain request.
pub(crate) fn of_upgrade(product: Option<Balancer>) -> String {
    after(HintTopic::Upgrade, "pass the handshake on", product)
}

/// Messages of WebSockets are held back: once it has passed the handshake, a balancer copies bytes.
pub(crate) fn of_slow_websockets() -> &'static str {
    "look for a module or a gateway that takes WebSockets apart instead of passing them on, or for what slows the balancer"
}

/// Events of a stream are held back.
pub(crate) fn of_buffering(product: Option<Balancer>) -> String {
    after(HintTopic::Buffering, "pass each event on as it comes", product)
}

/// Events of a stream wait because they come more slowly than they are written.
pub(crate) fn of_backlog(product: Option<Balancer>) -> String {
    after(HintTopic::Bandwidth, "look for a limit of bandwidth, or for a way that has no more", product)
}

/// What streams were cut by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// It was silent for too long.
    Idle,
    /// It had reached an age limit.
    Age,
    /// A reload, or another step.
    Step,
}

/// What to try where streams are cut off.
pub(crate) fn of_cut(cut: Cut, product: Option<Balancer>) -> String {
    match cut {
        Cut::Idle => {
            after(HintTopic::StreamIdle, "raise the timeout of silent streams, or send something sooner", product)
        }
        Cut::Age => after(HintTopic::StreamAge, "raise the limit of how long a stream may live", product),
        Cut::Step => after(HintTopic::StreamReload, "give streams time to end, or have clients come back", product),
    }
}

/// There are several rotations.
pub(crate) fn of_rotations(product: Option<Balancer>) -> String {
    let sentence = "several rotations: each worker (or balancer) has its own";
    match named(HintTopic::Rotations, product) {
        Some(directives) => format!("{sentence}; for one of all: {directives}"),
        None => sentence.to_owned(),
    }
}

/// Streams are not spread evenly.
pub(crate) fn of_alive(product: Option<Balancer>) -> String {
    after(HintTopic::StreamShares, "select by streams that are alive; those that live on stay where they are", product)
}

/// A backend that fails, or has come back, is noticed too late.
pub(crate) fn of_recovery(sentence: &str, product: Option<Balancer>) -> String {
    after(HintTopic::Recovery, sentence, product)
}

/// A backend that is not ready gets requests.
pub(crate) fn of_unready(sentence: &str, product: Option<Balancer>) -> String {
    match named(HintTopic::Panic, product) {
        Some(directives) => {
            format!("{sentence}; where too few are well, some balancers send to all alike (panic): {directives}")
        }
        None => sentence.to_owned(),
    }
}

/// How long a balancer may keep away from a backend that failed or was too slow. `time`: as its configuration says, in seconds.
pub(crate) fn of_avoidance(avoids: Option<f64>, product: Option<Balancer>) -> String {
    match (avoids.map(time), product) {
        (Some(time), Some(_)) => {
            format!("for up to {time}, by its configuration{}", in_brackets(HintTopic::Recovery, product))
        }
        (Some(time), None) => format!("for up to {time}, by its configuration"),
        (None, Some(balancer)) if !balancer.usual_fail_timeout.is_zero() => {
            let usual = time(balancer.usual_fail_timeout.as_secs_f64());
            format!("for {usual} if its configuration says nothing else{}", in_brackets(HintTopic::Recovery, product))
        }
        (None, Some(_)) => {
            format!("for as long as its configuration says{}", in_brackets(HintTopic::Recovery, product))
        }
        (None, None) => "for 10 s (NGINX fail_timeout) or up to 5 min (Envoy max_ejection_time)".to_owned(),
    }
}

fn in_brackets(topic: HintTopic, product: Option<Balancer>) -> String {
    named(topic, product).map_or_else(String::new, |directives| format!(" ({directives})"))
}

/// The same, of the balancer that this text names, if it names one.
pub(crate) fn of_avoidance_by(avoids: Option<f64>, name: Option<&str>) -> String {
    of_avoidance(avoids, name.and_then(Balancer::of_text))
}

/// Calls of gRPC arrived in HTTP/1.
pub(crate) fn of_calls_over_http_1(product: Option<Balancer>) -> String {
    after(HintTopic::BackendHttp2, "the balancer speaks HTTP/1 to backends, and gRPC needs HTTP/2", product)
}

/// A content coding lies over calls of gRPC.
pub(crate) fn of_coded_calls(product: Option<Balancer>) -> String {
    after(HintTopic::Compression, "the balancer compresses calls, whose messages are compressed by themselves", product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_balancer_gets_its_own_directive_and_others_get_all() {
        let too_large = OwnResponse { status: 413, ..OwnResponse::default() };
        let hint = of_own_response(too_large, Balancer::of_text("nginx/1.28.0"));
        assert_eq!(hint, "the request body is too large: NGINX client_max_body_size");
        let hint = of_own_response(too_large, None);
        assert!(hint.contains("NGINX client_max_body_size") && hint.contains("Caddy request_body"), "{hint}");
    }

    #[test]
    fn a_balancer_that_names_itself_nowhere_is_known_by_its_own_pages() {
        assert_eq!(balancer_of_page("No server is available to handle this request."), Some("HAProxy"));
        assert_eq!(balancer_of_page("no available server"), Some("Traefik"));
        assert_eq!(balancer_of_page("Service Unavailable"), None);
        let directives = directives(503, ["503 Service Unavailable", "No server is available to handle this request."]);
        assert!(directives.is_some_and(|it| it.starts_with("HAProxy check")));
    }

    #[test]
    fn a_balancer_that_has_no_such_directive_gets_none_of_others() {
        assert_eq!(of_same_host(Balancer::of_text("caddy")), None);
        assert_eq!(of_mirror(Balancer::of_text("caddy")).matches("NGINX").count(), 0);
    }

    #[test]
    fn how_long_a_backend_is_avoided_is_that_of_the_balancer_that_is_known() {
        let of = |avoids, name| of_avoidance(avoids, Balancer::of_text(name));
        let haproxy = of(Some(90.0), "haproxy");
        assert!(
            haproxy.contains("90.0 s") && haproxy.contains("HAProxy check") && !haproxy.contains("NGINX"),
            "{haproxy}"
        );
        let (nginx, envoy) = (of(None, "nginx"), of(None, "envoy"));
        assert!(nginx.contains("10.0 s") && nginx.contains("fail_timeout"), "{nginx}");
        assert!(!envoy.contains("10.0 s") && envoy.contains("base_ejection_time"), "{envoy}");
        let unknown = of(None, "");
        assert!(unknown.contains("NGINX") && unknown.contains("Envoy"), "{unknown}");
    }

    #[test]
    fn calls_of_grpc_get_the_directives_that_decide_about_them() {
        let of_calls = |name: &str| of_own_timeout(Balancer::of_text(name).map(Balancer::of_calls));
        let nginx = of_calls("nginx");
        assert!(nginx.contains("grpc_read_timeout") && !nginx.contains("proxy_"), "{nginx}");
        assert_eq!(of_calls("envoy"), of_own_timeout(Balancer::of_text("envoy")));
    }

    #[test]
    fn products_are_known_by_what_they_write() {
        let of = |text: &str| Balancer::of_text(text).map(|balancer| balancer.name);
        assert_eq!(of("nginx/1.22.1"), Some("nginx"));
        assert_eq!(of("openresty/1.25.3.1"), Some("nginx"));
        assert_eq!(of("1.1 Caddy"), Some("caddy"));
        assert_eq!(of("envoy"), Some("envoy"));
        assert_eq!(of("the built-in balancer"), Some(Balancer::BUILT_IN.name));
        assert_eq!((of("uvicorn"), of("Apache/2.4")), (None, None));
    }
}
