//! The balancer as the experiments see it: each request of theirs is sent for real, and is a request of the run like any other.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::check::load::{Backends, Connection, DriveError, Held, Probe, Prober, Seen};
use crate::io::clock;
use crate::wire::{Moment, ResponseId};
use verdict::algorithm::experiments::{Reply, Request, Subject};
use verdict::observation::{Backend, ClientOutcome};

/// A balancer that is reached by a prober.
pub struct Live<'a> {
    /// Sends.
    pub prober: &'a mut Prober,
    /// Knows the names.
    pub backends: &'a mut Backends,
    /// Path and query of the check.
    pub path: &'a str,
    /// Whether the balancer is on this machine.
    pub local: bool,
    held: Vec<(Held, Duration)>,
    /// Ids of answers that have come: the same once more comes out of a cache and says nothing about the backends.
    known: HashSet<ResponseId>,
    /// What went wrong on this machine.
    failure: Option<DriveError>,
    began: Moment,
    /// What requests took lately, smoothed, in seconds.
    pace: f64,
}

/// Until a request that was just sent has surely reached its backend.
const ON_ITS_WAY: Duration = Duration::from_millis(3);

impl<'a> Live<'a> {
    /// Nothing sent yet.
    pub fn new(prober: &'a mut Prober, backends: &'a mut Backends, path: &'a str, local: bool) -> Live<'a> {
        Live {
            prober,
            backends,
            path,
            local,
            held: Vec::new(),
            known: HashSet::new(),
            failure: None,
            began: clock::now(),
            pace: 0.0,
        }
    }

    /// One request, with all that can be known of its answer.
    pub fn probe(&mut self, request: &Request) -> Option<Seen> {
        let path = request.path.map(|number| template(self.path).replace("{}", &number.to_string()));
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let probe = Probe {
            connection: request.connection.map_or(Connection::Fresh, Connection::Kept),
            source: request.source,
            path: path.as_deref(),
            headers: &headers,
            ..Probe::default()
        };
        let seen = self.noted(|prober, backends| prober.probe(&probe, backends))?;
        let took = seen.observation.ended.since(seen.observation.due).as_secs_f64();
        self.pace = if self.pace == 0.0 { took } else { self.pace * 0.9 + took * 0.1 };
        Some(seen)
    }

    /// Why requests could not be sent any more, if so.
    pub fn into_failure(self) -> Option<DriveError> {
        self.failure
    }

    /// After a failure nothing is tried any more.
    fn noted<T>(&mut self, send: impl FnOnce(&mut Prober, &mut Backends) -> Result<T, DriveError>) -> Option<T> {
        if self.failure.is_some() {
            return None;
        }
        send(self.prober, self.backends).map_err(|error| self.failure = Some(error)).ok()
    }
}

/// Another path and another query, of the same place; `{}` stands for the number.
pub fn template(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = if query.is_empty() { String::new() } else { format!("{query}&") };
    format!("{}/{{}}?{query}check={{}}", path.trim_end_matches('/'))
}

fn with_delay(path: &str, delay: Duration) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}delay={}ms", delay.as_millis())
}

impl Subject for Live<'_> {
    fn send(&mut self, request: &Request) -> Reply {
        let Some(seen) = self.probe(request) else { return Reply::default() };
        let whole = matches!(seen.observation.sight, ClientOutcome::Answer | ClientOutcome::Altered);
        let new = seen.observation.answer().is_none_or(|answer| self.known.insert(answer));
        let backend = Some(seen.observation.backend).filter(|backend| backend.is_known() && whole && new);
        Reply { backend, cookies: seen.cookies }
    }

    fn open(&mut self, connections: usize) {
        let held: Vec<Held> = (0..connections)
            .filter_map(|slot| {
                let probe = Probe { connection: Connection::Kept(slot), ..Probe::default() };
                self.noted(|prober, _| prober.begin(&probe))
            })
            .collect();
        for held in held {
            held.finish(self.prober, self.backends);
        }
    }

    fn hold(&mut self, delay: Duration) -> bool {
        let path = with_delay(self.path, delay);
        let probe = Probe { path: Some(&path), ..Probe::default() };
        match self.noted(|prober, _| prober.begin(&probe)) {
            Some(held) => {
                self.held.push((held, delay));
                std::thread::sleep(ON_ITS_WAY);
                true
            }
            None => false,
        }
    }

    fn release(&mut self) -> Vec<(Option<Backend>, bool)> {
        let now = clock::now();
        let finish = |(held, delay): (Held, Duration)| {
            let seen = held.finish(self.prober, self.backends).observation;
            let backend = Some(seen.backend).filter(|backend| backend.is_known());
            // No backend answers before the delay is over; one that did had not heard of it.
            let delayed = seen.ended.since(seen.due) >= delay;
            (backend, delayed && now < seen.due.after(delay))
        };
        std::mem::take(&mut self.held).into_iter().map(finish).collect()
    }

    fn has_sources(&self) -> bool {
        self.local
    }

    fn pace(&self) -> Duration {
        Duration::from_secs_f64(self.pace)
    }

    fn elapsed(&self) -> Duration {
        clock::now().since(self.began)
    }
}

/// Whether an address of 127.0.0.0/8 can be the source of a connection to there.
pub fn is_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_loopback())
}
