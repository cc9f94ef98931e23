//! What a request itself asks for by its path and query: another status, a body of some size, a delay.

use std::time::Duration;

use http::RequestHead;
use verdict::life::StreamKind;

use crate::backend::paced::{BadPace, EventPace};
use crate::backend::websocket::{BadSocket, SocketAsk};
use crate::wire::Time;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequestedResponse {
    /// How long the response is held back: `?delay=200ms`.
    pub(crate) delay: Duration,
    pub(crate) what: RequestedContent,
}

/// The content that a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestedContent {
    /// The page with number and UUID.
    Page,
    /// `/status/503`: a response with that status and nothing else.
    Status(u16),
    /// `/bytes/1048576`: a body of that length.
    Bytes(u64),
    /// `/events`, `/chunks`, `/download`: numbered events, written at their times.
    Paced(EventPace),
    /// `/ws`: a WebSocket that echoes.
    Socket(Box<SocketAsk>),
    /// `/session`: the page, and a session.
    Session,
}

const MAX_DELAY: Duration = Duration::from_secs(60);
const MAX_BYTES: u64 = 1 << 30;

/// An ask beyond its bounds is answered with 400 and this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadAsk {
    /// The value of `?delay=`.
    Delay,
    /// The status after `/status/`.
    Status,
    /// The length after `/bytes/`.
    Bytes,
    /// The parameters of a stream.
    Pace(BadPace),
    /// The parameters of a WebSocket.
    Socket(BadSocket),
}

impl BadAsk {
    /// The sentence that its sender reads.
    pub(crate) fn why(self) -> &'static str {
        match self {
            BadAsk::Delay => "delay: expected a time above 0 and at most 60s with its unit, such as ?delay=200ms",
            BadAsk::Status => "expected a status from 200 to 599, such as /status/503",
            BadAsk::Bytes => "expected at most 1073741824 bytes (1 GiB), such as /bytes/1048576",
            BadAsk::Pace(bad) => bad.why(),
            BadAsk::Socket(bad) => bad.why(),
        }
    }
}

impl RequestedResponse {
    /// Of a request that is not for health. The end of the path counts: behind a balancer it has a prefix.
    pub(crate) fn of(request: &RequestHead) -> Result<RequestedResponse, BadAsk> {
        let path = request.path();
        let what = match path.as_bytes().last() {
            Some(b'0'..=b'9') => RequestedContent::of(path)?,
            Some(b'n') if path.ends_with("/session") => RequestedContent::Session,
            Some(b's' | b'd') if RequestedContent::may_have_a_life(path) => {
                RequestedContent::with_a_life(path, request.query())?
            }
            Some(_) | None => RequestedContent::Page,
        };
        let delay = match request.query() {
            Some(query) => delay(query)?,
            None => Duration::ZERO,
        };
        Ok(RequestedResponse { delay, what })
    }
}

impl RequestedContent {
    /// By the last two bytes: most paths are none of these.
    fn may_have_a_life(path: &str) -> bool {
        StreamKind::ALL
            .into_iter()
            .any(|kind| path.as_bytes().last_chunk::<2>() == kind.segment().as_bytes().last_chunk())
    }

    fn with_a_life(path: &str, query: Option<&str>) -> Result<RequestedContent, BadAsk> {
        let segment = path.rsplit_once('/').map_or("", |(_, segment)| segment);
        match StreamKind::ALL.into_iter().find(|kind| kind.segment() == segment) {
            None => Ok(RequestedContent::Page),
            Some(StreamKind::Websocket) => {
                SocketAsk::of(query).map(|ask| RequestedContent::Socket(Box::new(ask))).map_err(BadAsk::Socket)
            }
            Some(kind) => EventPace::of(kind, query).map(RequestedContent::Paced).map_err(BadAsk::Pace),
        }
    }

    fn of(path: &str) -> Result<RequestedContent, BadAsk> {
        let Some((rest, number)) = path.rsplit_once('/') else { return Ok(RequestedContent::Page) };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(RequestedContent::Page);
        }
        if rest.ends_with("/status") {
            let status = number.parse().ok().filter(|status| (200..=599).contains(status));
            status.map(RequestedContent::Status).ok_or(BadAsk::Status)
        } else if rest.ends_with("/bytes") {
            let bytes = number.parse().ok().filter(|bytes| *bytes <= MAX_BYTES);
            bytes.map(RequestedContent::Bytes).ok_or(BadAsk::Bytes)
        } else {
            Ok(RequestedContent::Page)
        }
    }
}

fn delay(query: &str) -> Result<Duration, BadAsk> {
    match query.split('&').find_map(|parameter| parameter.strip_prefix("delay=")) {
        None => Ok(Duration::ZERO),
        Some(text) => match text.parse() {
            Ok(Time(delay)) if delay <= MAX_DELAY => Ok(delay),
            Ok(_) | Err(_) => Err(BadAsk::Delay),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Room, Strictness};

    fn ask(target: &str) -> Result<RequestedResponse, BadAsk> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut room = Room::<100>::new();
        let request = RequestHead::parse(head.as_bytes(), &mut room, 9999, Strictness::Strict).unwrap().unwrap();
        RequestedResponse::of(&request)
    }

    #[test]
    fn the_end_of_the_path_and_the_query_say_what_is_asked() {
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        for (target, delay, what) in [
            ("/", none, RequestedContent::Page),
            ("/uuid?x=1", none, RequestedContent::Page),
            ("/uuid?a&delay=1s&b", second, RequestedContent::Page),
            ("/?delay=60s", second * 60, RequestedContent::Page),
            ("/status/200", none, RequestedContent::Status(200)),
            ("/status/599?delay=1s", second, RequestedContent::Status(599)),
            ("/uuid//status/503", none, RequestedContent::Status(503)),
            ("http://h/status/503", none, RequestedContent::Status(503)),
            ("/bytes/0", none, RequestedContent::Bytes(0)),
            ("/uuid/bytes/1073741824", none, RequestedContent::Bytes(1 << 30)),
            ("/status/503/x", none, RequestedContent::Page),
            ("/status/5x3", none, RequestedContent::Page),
            ("/status/", none, RequestedContent::Page),
            ("/mystatus/503", none, RequestedContent::Page),
            ("/503", none, RequestedContent::Page),
            ("/x?/status/503", none, RequestedContent::Page),
            ("/events/x", none, RequestedContent::Page),
            ("/myevents", none, RequestedContent::Page),
            ("/uuid/ws", none, RequestedContent::Socket(Box::default())),
            ("/events", none, RequestedContent::Paced(EventPace::of(StreamKind::Events, None).unwrap())),
            (
                "/a//chunks?count=3",
                none,
                RequestedContent::Paced(EventPace::of(StreamKind::Chunks, Some("count=3")).unwrap()),
            ),
            ("/download", none, RequestedContent::Paced(EventPace::of(StreamKind::Download, None).unwrap())),
        ] {
            assert_eq!(ask(target), Ok(RequestedResponse { delay, what }), "{target}");
        }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_refused() {
        for (target, bad) in [
            ("/status/199", BadAsk::Status),
            ("/status/600", BadAsk::Status),
            ("/status/99999999999999999999999", BadAsk::Status),
            ("/uuid/bytes/1073741825", BadAsk::Bytes),
            ("/bytes/99999999999999999999999", BadAsk::Bytes),
            ("/events?every=1us", BadAsk::Pace(BadPace::Every)),
            ("/ws?close=1005", BadAsk::Socket(BadSocket::Close)),
            ("/?delay=61s", BadAsk::Delay),
            ("/?delay=0s", BadAsk::Delay),
            ("/?delay=", BadAsk::Delay),
            ("/?delay=200", BadAsk::Delay),
            ("/status/503?delay=x", BadAsk::Delay),
        ] {
            assert_eq!(ask(target), Err(bad), "{target}");
        }
    }
}
