//! What `--stream` and `ws://` mean: which streams are opened, how many, for how long, and at which URL.

use std::time::Duration;

use super::nearest::nearest;
use crate::check::load::stream_load::READABLE_CODINGS;
use crate::check::plan::StreamPlan;
use crate::error::Problem;
use crate::wire::{MOST_EVENT_BYTES, Time};
use verdict::life::StreamKind;

/// Open at once, if nobody says it: enough for shares of a few backends, few enough for any.
const STREAMS: usize = 30;
/// Longer than the limit of Envoy's routes, 15 s.
const DURATION: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(100);
/// Events of a stream that nothing paces.
const UNPACED: u64 = 1000;

/// The words of `--stream`.
pub(crate) fn words() -> Vec<&'static str> {
    StreamKind::ALL.map(StreamKind::segment).to_vec()
}

/// What else is asked for.
pub(super) struct Asked<'a> {
    /// The value of `--stream`.
    pub(super) stream: Option<&'a str>,
    pub(super) connections: Option<usize>,
    /// The value of `--duration`, or the scenario's length.
    pub(super) duration: Option<Duration>,
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}

/// Whether a URL is that of a WebSocket.
pub(super) fn is_socket(url: &str) -> bool {
    matches!(scheme(url), Some("ws" | "wss"))
}

/// The URL whose streams are opened, and how; none where nobody asks for streams.
pub(super) fn plan(url: &str, asked: &Asked) -> Result<Option<(String, StreamPlan)>, Problem> {
    let (scheme, is_socket) = (scheme(url), is_socket(url));
    let named = match asked.stream {
        None if !is_socket => return Ok(None),
        None => StreamKind::Websocket,
        Some(word) => kind_of(word)?,
    };
    let (address, query) = url.split_once('?').map_or((url, ""), |(address, query)| (address, query));
    let path = address.split_once("://").map_or(address, |(_, rest)| rest);
    let last = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or("");
    let by_path = StreamKind::ALL.into_iter().find(|kind| kind.segment() == last);
    let kind = match by_path {
        Some(kind) if !is_socket => kind,
        _ => named,
    };
    if is_socket && kind != StreamKind::Websocket {
        let problem = Problem::new(format!(
            "--stream={} and {}://: a WebSocket is no such stream",
            kind.segment(),
            scheme.unwrap_or("ws")
        ));
        return Err(problem.hint("leave --stream out, or begin the URL with http://"));
    }
    let mut query = Query(query.split('&').filter(|it| !it.is_empty()).map(str::to_owned).collect());
    query.refuse_bytes()?;
    let (every, duration) = match kind {
        StreamKind::Websocket => (query.pace_messages()?, asked.duration.unwrap_or(DURATION)),
        StreamKind::Events | StreamKind::Chunks | StreamKind::Download => query.pace_events(asked.duration)?,
    };
    let slash = if address.ends_with('/') { "" } else { "/" };
    let address = match by_path {
        Some(by_path) if by_path == kind => address.to_owned(),
        _ => format!("{address}{slash}{}", kind.segment()),
    };
    let query = if query.0.is_empty() { String::new() } else { format!("?{}", query.0.join("&")) };
    let count = asked.connections.unwrap_or(STREAMS).max(1);
    Ok(Some((format!("{address}{query}"), StreamPlan { kind, count, every, duration })))
}

/// A coding in which a balancer may then answer, and that is not undone before a body has ended, would hide when events come.
pub(super) fn refuse_codings(headers: &[(String, String)]) -> Result<(), Problem> {
    let accepted = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
    let names = accepted.flat_map(|(_, value)| value.split(',')).map(|it| it.split(';').next().unwrap_or(it).trim());
    let mut unreadable = names.filter(|name| !READABLE_CODINGS.iter().any(|known| known.eq_ignore_ascii_case(name)));
    match unreadable.next() {
        Some(name) => Err(Problem::new(format!("streams are not read in the content coding {name}"))
            .on("--header Accept-Encoding")
            .hint(format!("leave it out; readable are {}", READABLE_CODINGS.join(", ")))),
        None => Ok(()),
    }
}

fn kind_of(word: &str) -> Result<StreamKind, Problem> {
    StreamKind::ALL.into_iter().find(|kind| kind.segment() == word).ok_or_else(|| {
        let what = format!("expected one of {}", words().join(", "));
        let problem = Problem::new(what).on(format!("--stream={word}"));
        match nearest(word, words()) {
            Some(meant) => problem.hint(format!("did you mean {meant}?")),
            None => problem,
        }
    })
}

/// What the URL says of how a stream is paced; what it leaves out is added.
struct Query(Vec<String>);

impl Query {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
    }

    fn interval(&self, name: &str) -> Result<Option<Duration>, Problem> {
        self.value(name).map(|text| time(name, text)).transpose()
    }

    /// Backends would refuse it, and the balancer has no part in that.
    fn refuse_bytes(&self) -> Result<(), Problem> {
        match self.value("bytes") {
            Some(text) if !text.parse().is_ok_and(|bytes: usize| bytes <= MOST_EVENT_BYTES) => {
                let problem =
                    Problem::new(format!("expected at most {MOST_EVENT_BYTES} bytes of each event or message"));
                Err(problem.on(format!("?bytes={text}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How often the client sends a message into a WebSocket.
    fn pace_messages(&mut self) -> Result<Duration, Problem> {
        let (push, own) = (self.interval("push")?, self.interval("every")?);
        if self.0.is_empty() {
            self.0.push("push=100ms".to_owned());
        }
        Ok(own.or(push).unwrap_or(EVERY).max(Duration::from_millis(1)))
    }

    /// How often a backend sends an event, and for how long.
    fn pace_events(&mut self, duration: Option<Duration>) -> Result<(Duration, Duration), Problem> {
        let every = match self.interval("every")? {
            Some(every) => every,
            None => {
                self.0.push("every=100ms".to_owned());
                EVERY
            }
        };
        let count: Option<u64> = self.value("count").and_then(|count| count.parse().ok());
        let duration = match (duration, count) {
            (None, Some(count)) if !every.is_zero() => every.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)),
            _ => duration.unwrap_or(DURATION),
        };
        if count.is_none() {
            let paced = (!every.is_zero()).then(|| duration.as_nanos().div_ceil(every.as_nanos().max(1)) as u64 + 1);
            self.0.push(format!("count={}", paced.unwrap_or(UNPACED)));
        }
        Ok((every, duration))
    }
}

fn time(name: &str, text: &str) -> Result<Duration, Problem> {
    if matches!(text, "0" | "0s" | "0ms") {
        return Ok(Duration::ZERO);
    }
    let expected = || Problem::new("expected a time with its unit, such as 100ms or 70s").on(format!("?{name}={text}"));
    text.parse().map(|Time(time)| time).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, stream: Option<&str>) -> (String, StreamKind, Duration, Duration) {
        let (url, plan) = plan(url, &Asked { stream, connections: None, duration: None }).unwrap().unwrap();
        (url, plan.kind, plan.every, plan.duration)
    }

    #[test]
    fn the_url_is_completed_to_one_that_backends_serve() {
        let (tenth, usual) = (Duration::from_millis(100), Duration::from_secs(20));
        for (url, stream, meant, kind, every, duration) in [
            ("http://h/uuid", "events", "http://h/uuid/events?every=100ms&count=201", StreamKind::Events, tenth, usual),
            ("h:8080", "chunks", "h:8080/chunks?every=100ms&count=201", StreamKind::Chunks, tenth, usual),
            ("h/", "events", "h/events?every=100ms&count=201", StreamKind::Events, tenth, usual),
            (
                "http://h/download?bytes=9",
                "events",
                "http://h/download?bytes=9&every=100ms&count=201",
                StreamKind::Download,
                tenth,
                usual,
            ),
            ("http://h/uuid", "ws", "http://h/uuid/ws?push=100ms", StreamKind::Websocket, tenth, usual),
            (
                "http://h/events?every=70s&count=2",
                "events",
                "http://h/events?every=70s&count=2",
                StreamKind::Events,
                Duration::from_secs(70),
                Duration::from_secs(140),
            ),
            (
                "http://h/?every=0s",
                "events",
                "http://h/events?every=0s&count=1000",
                StreamKind::Events,
                Duration::ZERO,
                usual,
            ),
        ] {
            assert_eq!(of(url, Some(stream)), (meant.to_owned(), kind, every, duration), "{url}");
        }
        let socket = of("ws://h/uuid/ws?every=70s", None);
        assert_eq!(
            socket,
            ("ws://h/uuid/ws?every=70s".to_owned(), StreamKind::Websocket, Duration::from_secs(70), usual)
        );
        assert_eq!(of("wss://h", None).0, "wss://h/ws?push=100ms");
    }

    #[test]
    fn a_coding_that_hides_when_events_come_is_refused() {
        let accept = |value: &str| refuse_codings(&[("Accept-Encoding".to_owned(), value.to_owned())]);
        assert!(accept("gzip, deflate;q=0.5, br").is_ok());
        let problem = crate::error::describe_for_people(&accept("gzip, zstd").unwrap_err().into());
        assert!(problem.contains("content coding zstd"), "{problem}");
    }

    #[test]
    fn what_is_no_stream_is_told() {
        let refused = |url: &str, stream: Option<&str>| {
            let problem = plan(url, &Asked { stream, connections: None, duration: None }).unwrap_err();
            crate::error::describe_for_people(&problem.into())
        };
        assert!(refused("http://h", Some("event")).contains("did you mean events?"));
        assert!(refused("ws://h", Some("events")).contains("leave --stream out"));
        assert!(refused("ws://h/ws?bytes=65537", None).contains("at most 65536 bytes"));
        assert!(refused("http://h/events?bytes=many", Some("events")).contains("at most 65536 bytes"));
        assert!(refused("http://h/?every=x", Some("events")).contains("?every=x"));
        assert_eq!(plan("http://h/events", &Asked { stream: None, connections: None, duration: None }).unwrap(), None);
    }
}
