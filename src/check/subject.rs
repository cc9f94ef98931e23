//! The balancer as the experiments see it: each request of theirs is sent for real, and is a request of the run like any other.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::check::grpc;
use crate::check::load::{BackendNames, DriveError, Held, Probe, ProbeConnection, ProbeResult, Prober};
use crate::io::clock;
use crate::wire::{Moment, ResponseId};
use verdict::algorithm::Pick;
use verdict::algorithm::experiments::{Pace, ProbeReply, ProbeRequest, Released, Subject};
use verdict::observation::{Backend, ClientOutcome};

/// A balancer that is reached by a prober.
pub(crate) struct LiveSubject<'a> {
    pub(crate) prober: &'a mut Prober,
    pub(crate) backends: &'a mut BackendNames,
    /// Path and query of the check.
    pub(crate) path: &'a str,
    /// Whether requests are calls of gRPC.
    is_call: bool,
    /// Whether the balancer is on this machine.
    pub(crate) local: bool,
    /// Requests that the user would send at once, at most.
    connections: usize,
    /// Connections that may be open at once.
    most_connections: usize,
    held: Vec<(Held, Duration)>,
    /// Ids of responses that have come: the same once more comes out of a cache and says nothing about the backends.
    known: HashSet<ResponseId>,
    /// What went wrong on this machine.
    failure: Option<DriveError>,
    began: Moment,
    /// Numbers of requests that have another path than the user's, or a delay, or that were sent while such delays, or more of them
    /// than the user sends at once, kept backends busy: what becomes of them becomes of nobody else's.
    invented: Vec<u32>,
    /// Whether requests go side by side that the user would not send so: a limit that refuses them is no fault.
    is_loaded: bool,
    /// Numbers of requests that asked a backend for a delay.
    delayed: HashSet<u32>,
    /// A request that a backend was asked to delay failed: the balancer waits less, and takes the backend for dead. No more of them.
    is_delay_refused: bool,
}

/// Until a request that was just sent has surely reached its backend.
const ON_ITS_WAY: Duration = Duration::from_millis(3);

impl<'a> LiveSubject<'a> {
    pub(crate) fn new(
        prober: &'a mut Prober,
        backends: &'a mut BackendNames,
        path: &'a str,
        local: bool,
        connections: usize,
    ) -> LiveSubject<'a> {
        let is_call = prober.is_call();
        LiveSubject {
            prober,
            backends,
            path,
            is_call,
            local,
            connections,
            most_connections: usize::MAX,
            held: Vec::new(),
            known: HashSet::new(),
            failure: None,
            began: clock::now(),
            invented: Vec::new(),
            is_loaded: false,
            delayed: HashSet::new(),
            is_delay_refused: false,
        }
    }

    /// No more connections at once.
    pub(crate) fn with_at_most(self, most_connections: usize) -> Self {
        LiveSubject { most_connections, ..self }
    }

    /// One request, with all that can be known of its response.
    pub(crate) fn probe(&mut self, request: &ProbeRequest) -> Option<ProbeResult> {
        let held = self.begin(request)?;
        Some(held.finish(self.prober, self.backends))
    }

    /// Sends a request and does not wait.
    fn begin(&mut self, request: &ProbeRequest) -> Option<Held> {
        let path = match (request.path, request.query, request.front) {
            (Some(number), _, _) => Some(template(self.path).replace("{}", &number.to_string())),
            (None, Some(number), _) => Some(other_query(self.path, &format!("value-{number}"))),
            (None, None, Some(number)) => Some(format!("/{number}{}", self.path)),
            (None, None, None) => None,
        };
        let mut delayed = None;
        let path = match request.delay {
            Some(delay) if !delay.is_zero() => {
                let delay = in_whole_milliseconds(delay);
                self.delayed.insert(self.prober.next_sequence() as u32);
                delayed = self.is_call.then(|| grpc::frame(&grpc::delayed(delay)));
                match delayed {
                    Some(_) => path,
                    None => Some(with_delay(path.as_deref().unwrap_or(self.path), delay)),
                }
            }
            Some(_) | None => path,
        };
        let headers = borrow(&request.headers);
        let replaced = borrow(&request.replaced);
        let body = request.body.map(|number| body_of(self.prober.body(), number));
        let probe = Probe {
            connection: request.connection.map_or(ProbeConnection::Fresh, ProbeConnection::Kept),
            source: request.source,
            path: path.as_deref(),
            headers: &headers,
            replaced: &replaced,
            body: delayed.as_deref().or(body.as_deref()),
            ..Probe::default()
        };
        if path.is_some() || delayed.is_some() || !replaced.is_empty() || self.is_loaded {
            self.invented.push(self.prober.next_sequence() as u32);
        }
        self.noted(|prober, backends| prober.begin(&probe, backends))
    }

    fn reply(&mut self, seen: ProbeResult) -> ProbeReply {
        let observation = &seen.observation;
        let whole = matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered);
        // The same response once more comes out of a cache and says nothing about the backends.
        let new = observation.response_id().is_none_or(|answer| self.known.insert(answer));
        let backend = if whole { observation.backend } else { Backend::UNKNOWN };
        self.is_delay_refused |= !backend.is_known() && self.delayed.contains(&(seen.sequence as u32));
        ProbeReply {
            pick: new.then_some(Pick { sequence: seen.sequence as u32, backend }),
            sent: observation.due,
            took: observation.ended.since(observation.due),
            reused: observation.reused,
            cookies: seen.cookies,
            session: seen.session,
        }
    }

    /// Numbers of requests that are not the user's own, in order; or why requests could not be sent any more.
    pub(crate) fn end(self) -> Result<Vec<u32>, DriveError> {
        self.failure.map_or(Ok(self.invented), Err)
    }

    /// After a failure nothing is tried any more.
    fn noted<T>(&mut self, send: impl FnOnce(&mut Prober, &mut BackendNames) -> Result<T, DriveError>) -> Option<T> {
        if self.failure.is_some() {
            return None;
        }
        send(self.prober, self.backends).map_err(|error| self.failure = Some(error)).ok()
    }
}

/// Another path and another query, of the same place; `{}` stands for the number.
pub(crate) fn template(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = if query.is_empty() { String::new() } else { format!("{query}&") };
    format!("{}/{{}}?{query}check={{}}", path.trim_end_matches('/'))
}

/// The target with this value in every parameter of its query.
pub(crate) fn other_query(path: &str, value: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let parameters: Vec<String> =
        query.split('&').map(|it| format!("{}={value}", it.split_once('=').map_or(it, |(name, _)| name))).collect();
    format!("{path}?{}", parameters.join("&"))
}

fn borrow(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Rounded up: backends take no fractions, and a request that came back sooner than it was to be held would prove nothing.
fn in_whole_milliseconds(delay: Duration) -> Duration {
    Duration::from_millis(delay.as_nanos().div_ceil(1_000_000) as u64)
}

fn with_delay(path: &str, delay: Duration) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}delay={}ms", delay.as_millis())
}

/// Another body of the same length: the last word of it is another one.
fn body_of(body: &[u8], number: u32) -> Vec<u8> {
    let mut body = body.to_vec();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let end = body.iter().rposition(is_word).map_or(body.len(), |last| last + 1);
    let start = body[..end].iter().rposition(|byte| !is_word(byte)).map_or(0, |before| before + 1);
    let word = if end - start < 2 { 0..body.len() } else { start..end };
    let digits = number.to_string();
    let last = &digits.as_bytes()[digits.len().saturating_sub(word.len())..];
    // A word may be longer than a width of formatting can be: 65,535.
    let zeros = word.len() - last.len();
    body[word.clone()].fill(b'0');
    body[word.start + zeros..word.end].copy_from_slice(last);
    body
}

impl Subject for LiveSubject<'_> {
    fn send(&mut self, request: &ProbeRequest) -> ProbeReply {
        match self.probe(request) {
            Some(seen) => self.reply(seen),
            None => ProbeReply::default(),
        }
    }

    fn send_all(&mut self, requests: &[ProbeRequest], pace: &Pace) -> Vec<ProbeReply> {
        let mut replies = Vec::with_capacity(requests.len());
        // Their responses are read when they come: what is in flight is known by that.
        let mut in_flight: VecDeque<Held> = VecDeque::new();
        let mut due = clock::now();
        let is_slowed = requests.iter().any(|request| request.delay.is_some_and(|delay| !delay.is_zero()));
        let was_loaded = self.is_loaded;
        self.is_loaded = was_loaded || is_slowed || pace.width.min(requests.len()) > self.connections;
        for request in requests {
            if self.elapsed() > pace.until || self.failure.is_some() {
                break;
            }
            if self.is_delay_refused && request.delay.is_some_and(|delay| !delay.is_zero()) {
                break;
            }
            let elsewhere = self.prober.kept() + self.held.len();
            let width = pace.width.min(self.most_connections.saturating_sub(elsewhere));
            if in_flight.len() >= width.max(1)
                && let Some(oldest) = self.prober.finish_first(&mut in_flight, self.backends)
            {
                replies.push(self.reply(oldest));
            }
            let now = clock::now();
            let until = due.max(now.after(self.prober.turn_of_next()));
            self.prober.run_until(until, &mut in_flight, self.backends);
            // After a delay the pace is the same as before, not faster.
            due = due.max(now).after(pace.gap);
            match self.begin(request) {
                Some(held) => in_flight.push_back(held),
                None => break,
            }
        }
        while let Some(seen) = self.prober.finish_first(&mut in_flight, self.backends) {
            replies.push(self.reply(seen));
        }
        self.is_loaded = was_loaded;
        replies
    }

    fn hold(&mut self, delay: Duration) -> bool {
        if self.is_delay_refused {
            return false;
        }
        let delay = in_whole_milliseconds(delay);
        let (path, message) = if self.is_call {
            (None, Some(grpc::frame(&grpc::delayed(delay))))
        } else {
            (Some(with_delay(self.path, delay)), None)
        };
        let probe = Probe { path: path.as_deref(), body: message.as_deref(), ..Probe::default() };
        self.invented.push(self.prober.next_sequence() as u32);
        self.is_loaded = true;
        match self.noted(|prober, backends| prober.begin(&probe, backends)) {
            Some(held) => {
                self.held.push((held, delay));
                std::thread::sleep(ON_ITS_WAY);
                true
            }
            None => false,
        }
    }

    fn release(&mut self) -> Vec<Released> {
        let now = clock::now();
        let finish = |(held, delay): (Held, Duration)| {
            let seen = held.finish(self.prober, self.backends);
            let (due, took) = (seen.observation.due, seen.observation.ended.since(seen.observation.due));
            self.is_delay_refused |= !seen.observation.backend.is_known();
            let pick = Pick { sequence: seen.sequence as u32, backend: seen.observation.backend };
            let reply = ProbeReply { pick: Some(pick), sent: due, took, ..ProbeReply::default() };
            // No backend answers before the delay is over; one that did had not heard of it.
            Released { reply, outlasted: took >= delay && now < due.after(delay) }
        };
        let released = std::mem::take(&mut self.held).into_iter().map(finish).collect();
        self.is_loaded = false;
        released
    }

    fn has_sources(&self) -> bool {
        self.local
    }

    fn elapsed(&self) -> Duration {
        clock::now().since(self.began)
    }
}

/// Whether an address of 127.0.0.0/8 can be the source of a connection to there.
pub(crate) fn is_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_shortened_to_what_backends_take() {
        assert_eq!(in_whole_milliseconds(Duration::from_micros(312_988)), Duration::from_millis(313));
        assert_eq!(in_whole_milliseconds(Duration::from_millis(400)), Duration::from_millis(400));
    }

    #[test]
    fn another_body_has_the_same_length_and_another_last_word() {
        assert_eq!(body_of(b"name=anna", 7), b"name=0007");
        assert_eq!(body_of(b"{\"user\": \"bo\"}", 123), b"{\"user\": \"23\"}");
        assert_eq!(body_of(b"", 7), b"");
        // Longer than a width of formatting can be.
        let long = body_of(&[b'x'; 100_000], 42);
        assert_eq!((long.len(), &long[99_996..]), (100_000, &b"0042"[..]));
        assert!(long[..99_996].iter().all(|byte| *byte == b'0'));
    }
}
