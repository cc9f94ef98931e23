//! Why there is nothing to check: what came instead of a backend's response, and what to try.

use std::time::Duration;

use crate::check::identities::header;
use crate::check::load::ProbeResult;
use crate::check::phases::sample::BODY_LIMIT;
use crate::check::plan::CheckPlan;
use crate::error::Problem;
use crate::escape::without_markup;
use crate::report::hints;
use http::Malformed;
use verdict::HandshakeFailure;
use verdict::numbers::time;
use verdict::observation::{ClientOutcome, Flaw};

/// What is known where no backend was met.
pub(crate) struct Unmet<'a> {
    pub(crate) plan: &'a CheckPlan,
    /// The last response, or what came in its place.
    pub(crate) seen: &'a ProbeResult,
    /// Whether the port speaks TLS though the URL does not say so.
    pub(crate) speaks_tls: bool,
    pub(crate) has_client_certificate: bool,
    pub(crate) with_fleet: bool,
    /// Names of backends that are known not to be ready.
    pub(crate) not_ready: Vec<String>,
    /// Why most TLS handshakes with backends failed, as they say; none if none did.
    pub(crate) failed_handshake: Option<HandshakeFailure>,
    /// Why backends refused to read most of what came meanwhile; none if they read all.
    pub(crate) unread: Option<&'a str>,
}

/// Flaws of a first response that is none of HTTP in the version that was asked for, most likely.
const OF_ANOTHER_PROTOCOL: [Malformed; 9] = [
    Malformed::StatusLine,
    Malformed::Version,
    Malformed::FirstLineTooLong,
    Malformed::BeforeStatusLine,
    Malformed::TlsUnexpected,
    Malformed::Http2Unexpected,
    Malformed::Http2Preface,
    Malformed::SettingsMissing,
    // What is no frame is read as the head of a long one.
    Malformed::FrameSize,
];

/// The same URL over TLS.
fn over_tls(url: &str) -> String {
    let schemes = [("grpc://", "grpcs://"), ("ws://", "wss://"), ("h2c://", "https://"), ("http://", "https://")];
    let of = |(plain, secure): &(&str, &str)| Some(format!("{secure}{}", url.strip_prefix(plain)?));
    schemes.iter().find_map(of).unwrap_or_else(|| format!("https://{url}"))
}

impl Unmet<'_> {
    pub(crate) fn problem(&self) -> Problem {
        let url = &self.plan.target.url;
        if let Some(failure) = &self.seen.tls_failure {
            return Problem::new(failure.to_string()).on(url).hint(failure.hint());
        }
        if self.speaks_tls {
            return Problem::new("that port speaks TLS").on(url).hint(format!("write {}", over_tls(url)));
        }
        let (what, hint) = match self.seen.observation.outcome {
            ClientOutcome::TimedOut => (
                format!("no response within {:?}", self.plan.load.timeout),
                format!(
                    "is it the balancer, and do its backends respond? {} longer",
                    if self.plan.request.grpc { "--timeout and --deadline wait" } else { "--timeout waits" }
                ),
            ),
            ClientOutcome::TooLarge => (
                format!("its response is larger than {} MiB", BODY_LIMIT / 1024 / 1024),
                "is it the right path? The check wants small responses".to_owned(),
            ),
            // Whoever takes the header for the beginning of a request, or for a frame, says so in HTTP/1.1 or ends the connection.
            ClientOutcome::Malformed if self.plan.target.haproxy_protocol => {
                (self.malformed().0, "does it expect a PROXY header? If not, leave out --haproxy-protocol".to_owned())
            }
            ClientOutcome::Malformed => self.malformed(),
            ClientOutcome::StreamReset => (
                "it resets the stream without a response".to_owned(),
                "its error log says why: do the backends run where it looks for them?".to_owned(),
            ),
            ClientOutcome::Closed | ClientOutcome::Reset => (
                "it takes the connection and ends it without a response".to_owned(),
                if self.plan.target.haproxy_protocol {
                    "does it expect a PROXY header? If not, leave out --haproxy-protocol".to_owned()
                } else {
                    let version = if self.plan.target.is_over_http2() == Some(true) { "HTTP/2" } else { "HTTP/1.1" };
                    format!(
                        "does that port speak {version}? One that expects a PROXY header ends others: --haproxy-protocol"
                    )
                },
            ),
            ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::Unsent => {
                ("no connection".to_owned(), "is the balancer running, and listening on that port?".to_owned())
            }
            ClientOutcome::TlsFailed => ("the TLS handshake fails".to_owned(), "does that port speak TLS?".to_owned()),
            ClientOutcome::Truncated => self.broken_off(),
            ClientOutcome::Response | ClientOutcome::Altered => self.by_status(),
        };
        // Where HTTP/2 has no response to give.
        let hint = match self.seen.observation.outcome {
            ClientOutcome::StreamReset | ClientOutcome::Closed | ClientOutcome::Reset
                if self.own_fields() > HUGE_HEAD =>
            {
                self.with_directives_of(431, "the head of the request is large, beyond a limit most likely")
            }
            _ => hint,
        };
        Problem::new(what).on(url).hint(hint)
    }

    /// Bytes of the user's own fields in the head.
    fn own_fields(&self) -> usize {
        self.plan.request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    }

    /// What came is no response: of another protocol, or one with a flaw.
    fn malformed(&self) -> (String, String) {
        if let Some(Flaw::Malformed(why)) = self.seen.observation.flaw
            && !OF_ANOTHER_PROTOCOL.contains(&why)
        {
            let hint = "see the balancer's error log: do its backends speak the version of HTTP in which it asks them?";
            return (format!("its response has {why}"), hint.to_owned());
        }
        // A balancer that passes on what it takes for a response of HTTP/0.9.
        if let Some(why) = self.unread {
            return ("what it sends is no response of HTTP".to_owned(), unreadable(why));
        }
        let (what, hint) = match self.plan.target.is_over_http2() {
            Some(true) if self.plan.request.grpc => (
                "what it sends is not HTTP/2",
                "gRPC needs HTTP/2 at that port too: NGINX http2 on, HAProxy alpn h2 (or proto h2) on the bind line; behind a balancer of \
                 connections, a fleet without --proxy-protocol responds so to a PROXY header",
            ),
            Some(true) => (
                "what it sends is not HTTP/2",
                "does that port speak HTTP/1.1 only? Begin the URL with http:// or https://, without --http2",
            ),
            _ => ("what it sends is not HTTP/1.1", "does that port speak HTTP/2 only, or another protocol?"),
        };
        (what.to_owned(), hint.to_owned())
    }

    fn broken_off(&self) -> (String, String) {
        let took = self.seen.observation.took();
        let hint = if took < QUICKLY {
            "see the balancer's error log".to_owned()
        } else {
            self.with_directives_of(504, "a timeout of the balancer ends it, most likely")
        };
        (format!("its response breaks off after {}", time(took.as_secs_f64())), hint)
    }

    /// Where a response came, and it is no backend's.
    #[expect(clippy::too_many_lines, reason = "a hint for each status")]
    fn by_status(&self) -> (String, String) {
        let seen = self.seen;
        let first = seen.head.lines().next().unwrap_or_default().trim();
        let status_line = match header(&seen.head, "grpc-status") {
            Some(status) => format!("{first} with grpc-status {status}"),
            None => first.to_owned(),
        };
        let by = header(&seen.head, "Server").map_or(String::new(), |server| format!(" (Server: {server})"));
        let what = if self.with_fleet {
            format!("{status_line}{by}, and it is no response of a backend of the fleet")
        } else {
            format!("{status_line}{by}")
        };
        let text = longest_line(&seen.body);
        let hint = match seen.observation.status {
            300..=399 => match header(&seen.head, "Location") {
                Some(location) => {
                    return (
                        format!("{status_line}: it redirects to {location}"),
                        format!("check {location} instead, if that is what clients use"),
                    );
                }
                None => "it redirects and does not say where to".to_owned(),
            },
            400 if seen.certificate_missing || wants_client_certificate(&seen.body) => {
                return (
                    format!("{status_line}: it wants a client certificate ({text})"),
                    if self.has_client_certificate {
                        "the one of --cert is not accepted: is it of the authority that the balancer trusts?"
                    } else {
                        "--cert FILE --key FILE show one"
                    }
                    .to_owned(),
                );
            }
            400 => {
                let is_large = self.own_fields() > LARGE_HEAD || text.to_ascii_lowercase().contains("too large");
                let mut why =
                    format!("the balancer refuses the request: {}", or(&text, "is the Host that which it serves?"));
                if self.plan.target.haproxy_protocol {
                    why.push_str("; does it expect a PROXY header? If not, leave out --haproxy-protocol");
                }
                match self.directives(431).filter(|_| is_large) {
                    Some(directives) => format!("{why}; a limit of the head: {directives}"),
                    None => why,
                }
            }
            status if let Some(lines) = self.plan.expectations.configured.statuses.get(&status) => {
                format!("the configuration may be the reason: {}", lines.join("; "))
            }
            401 => "it wants credentials: --header 'Authorization: …', or --cert".to_owned(),
            403 => self.with_directives(
                "it refuses access: allow this client, or give credentials, --header 'Authorization: …' or --cert",
            ),
            405 => self.with_directives("the balancer does not allow this method here"),
            404 => "is it the path that the balancer passes on (location /uuid), and the Host (--header 'Host: …')?"
                .to_owned(),
            413 => self.with_directives("the body is too large"),
            414 | 431 => self.with_directives("the head of the request is too large"),
            421 => "the balancer does not serve this Host on this connection: --header 'Host: …', --resolve".to_owned(),
            429 => self.with_directives("a rate limit of the balancer, below which --rate stays"),
            504 => self
                .with_directives("no backend responded in time: do they run, and is the balancer's timeout too short?"),
            500..=599 if let Some(why) = self.failed_handshake => {
                let failed = format!("TLS handshakes of the balancer with backends fail: {}", why.name());
                match hints::of_handshakes_by(why, self.texts().iter().map(String::as_str)) {
                    Some(cure) => format!("{failed}; {cure}"),
                    None => failed,
                }
            }
            500..=599 if let Some(why) = self.unread => unreadable(why),
            500..=599 => self.no_backend(),
            _ if self.with_fleet => {
                "is it the path that the balancer passes on to the fleet, and the Host (--header 'Host: …')? For other backends use \
                 --identity"
                    .to_owned()
            }
            _ => "--identity says where a response has the name of its backend, such as header:X-Served-By".to_owned(),
        };
        (what, hint)
    }
}

impl Unmet<'_> {
    /// The balancer could pass it to no backend, most likely.
    fn no_backend(&self) -> String {
        let sentence = "do the backends run where the balancer looks for them, and does it take them for well? Its error log says why";
        let why = self.with_directives(sentence);
        match self.not_ready.as_slice() {
            [] => why,
            [one] => format!("backend {one} is not ready, and the balancer may select no other; {why}"),
            several => {
                format!("backends {} are not ready, and the balancer may select no other; {why}", several.join(", "))
            }
        }
    }

    /// What decides in this balancer about a response with that status.
    fn directives(&self, status: u16) -> Option<String> {
        hints::directives(status, self.texts().iter().map(String::as_str))
    }

    /// What may name the balancer.
    fn texts(&self) -> Vec<String> {
        let named = self.plan.environment.balancer.as_deref();
        let by_response = ["Server", "Via"].into_iter().filter_map(|name| header(&self.seen.head, name));
        let page = longest_line(&self.seen.body);
        named.into_iter().chain(by_response).map(str::to_owned).chain([page]).collect()
    }

    fn with_directives(&self, sentence: &str) -> String {
        self.with_directives_of(self.seen.observation.status, sentence)
    }

    /// What decides about a balancer's own response with that status.
    fn with_directives_of(&self, status: u16, sentence: &str) -> String {
        match self.directives(status) {
            Some(directives) => format!("{sentence}: {directives}"),
            None => sentence.to_owned(),
        }
    }
}

fn unreadable(why: &str) -> String {
    format!("backends cannot read what comes to them, {why}: which protocol does the balancer speak to them?")
}

/// What ends sooner was not ended by a timeout.
const QUICKLY: Duration = Duration::from_millis(500);

/// A head with more of the user's own than that may be beyond a limit: NGINX's first buffer has 1 KiB, and HAProxy's 16.
const LARGE_HEAD: usize = 900;

/// Many balancers take no more in one field, or in all.
const HUGE_HEAD: usize = 8_000;

/// As NGINX (No required SSL certificate was sent), Apache and others say it.
fn wants_client_certificate(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.contains("certificate")
        && ["no required", "client certificate", "required ssl"].iter().any(|it| body.contains(it))
}

/// Backends that read a PROXY header where a request should begin.
pub(crate) fn proxy_header(url: &str, seen: &ProbeResult) -> Option<Problem> {
    let text = longest_line(&seen.body);
    (seen.observation.status == 400 && text.contains("PROXY header")).then(|| {
        let what = format!("backends refuse requests with {}: {text}", seen.observation.status);
        Problem::new(what).on(url).hint(
            "the balancer sends a PROXY protocol header: start the fleet with --proxy-protocol, or turn it off in the balancer; a fleet \
             that was started so reads one, where a connection begins",
        )
    })
}

/// The line of a body that says most.
fn longest_line(body: &str) -> String {
    let begin: String = body.chars().take(2000).collect();
    let text = without_markup(&begin);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // A title often repeats the status alone.
    let longest = lines.take(6).max_by_key(|line| line.len()).unwrap_or_default();
    longest.chars().take(160).collect()
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_errors_gives_the_sentence_that_says_most() {
        let nginx = "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>\r\n<body>\r\n\
                     <center><h1>400 Bad Request</h1></center>\r\n<center>No required SSL certificate was sent</center>";
        assert_eq!(longest_line(nginx), "400 No required SSL certificate was sent");
        assert!(wants_client_certificate(nginx));
        assert!(!wants_client_certificate("<h1>400 Bad Request</h1>"));
        assert_eq!(longest_line(""), "");
    }
}
