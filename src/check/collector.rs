//! Reads the records of a run from its fleet while they come, and keeps of each what the ledger needs.

use std::fmt::{self, Write};
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::check::load::BackendNames;
use crate::fleets::{Fleets, Heirs};
use crate::io::clock;
use crate::remote::{PageConnection, Remote, TimedPage};
use crate::wire::{Clipped, End, FORWARDED_BYTES, HOST_BYTES, Instance, Moment, Record, Refusal, TlsVersion};
use http::Malformed;
use verdict::arrived::{ArrivedRequest, OtherRequests, RequestChanges, TextCounts};
use verdict::clocks::{Clock, HostClock};
use verdict::facts::records::RecordGap;
use verdict::facts::tls;
use verdict::grpc::status_of_call;
use verdict::ledger::WayNumber;
use verdict::ledger::{Arrival, OF_ANOTHER_CHECK, UNNUMBERED, is_numbered};
use verdict::notes::Note;
use verdict::observation::Backend;
use verdict::report::NotCounted;
use verdict::request::{Differences, SentDeadline};
use verdict::streams::Lived;

/// How often the fleet is asked: it keeps a quarter of a million records, which is two seconds at full speed.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often names are resolved again, and fleets are asked who is there.
const REFRESH: Duration = Duration::from_secs(1);
/// A host that does not answer within that time is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A page with as many records is followed by another.
const MOST_BEFORE_THE_LAST: usize = 10_000;

/// Requests without an id that are kept, 40 bytes each; of more only their number is.
const MOST_UNNUMBERED: usize = 1 << 20;

/// The records of a run.
pub(crate) struct Collector {
    fleets: Fleets,
    /// Where records come from, one source for each host.
    sources: Vec<RecordSource>,
    run: u64,
    /// When the fleets were asked last who is there.
    refreshed: Instant,
    joined: Vec<(usize, Moment)>,
    arrivals: Vec<Arrival>,
    /// Without an id: requests of others, and ours if their id did not arrive. The ledger tells them apart by response ids.
    unnumbered: Vec<Arrival>,
    /// The ids of requests do not reach the backends.
    is_stripped: bool,
    changes: RequestChanges,
    others: OtherRequests,
    /// Why backends refused to read what came without an id of this run.
    unread: TextCounts,
    tls: tls::ArrivedByTls,
    texts: RecordTexts,
    lived: Vec<Lived>,
    not_counted: NotCounted,
}

/// The records of one host, from a number on.
struct RecordSource {
    connection: PageConnection,
    next: u64,
    /// Which run of a supervisor gives them; none before the first page.
    fleet: Option<Instance>,
    clock: HostClock,
    /// What is about to be added to its times, within the round trip of a page: for what needs no more.
    shift: i64,
    /// Records that the fleet had lost before the check began.
    lost_before: u64,
    lost: u64,
    missed: u64,
    /// When it was asked last and answered.
    answered: Moment,
    /// Why it cannot be asked any more.
    failure: Option<SourceFailure>,
}

/// Why a host cannot be asked.
struct SourceFailure {
    at: Moment,
    why: String,
    backends: UnaskedBackends,
}

/// What becomes of the backends of a host that cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnaskedBackends {
    /// Nobody listens there, or another fleet: backends end with their supervisor.
    Ended,
    /// The host is slow or out of reach.
    MayLive,
}

/// Of the record that was looked at last.
#[derive(Default)]
struct RecordTexts {
    method: String,
    target: String,
    host: String,
    forwarded_for: String,
    peer: String,
    /// What the texts of Host and X-Forwarded-For were written from.
    of: Option<(Clipped<HOST_BYTES>, Clipped<FORWARDED_BYTES>)>,
}

fn rewrite(text: &mut String, what: &impl fmt::Display) {
    text.clear();
    // Nothing is wrong with writing into a text.
    let _ = write!(text, "{what}");
}

/// With which the backend responded: a call that failed has a status of its own beside that of HTTP.
fn status_of(record: &Record) -> u16 {
    let call = record.call.and_then(|call| call.status).filter(|_| record.status == 200);
    call.map_or(record.status, status_of_call)
}

/// How a request of ours looks in the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recorded {
    WithId,
    /// The balancer has stripped the id.
    WithoutId,
    /// The backend could not read the request, and so not its id.
    Refused,
}

/// A host that cannot be asked any more. What its backends received after it responded last is unknown.
pub(crate) struct GoneHost {
    pub(crate) host: usize,
    /// When it responded last.
    pub(crate) responded: Moment,
    /// When nobody can have got anything from its backends any more; none if they may live.
    pub(crate) ended: Option<Moment>,
    pub(crate) why: String,
}

#[derive(Default)]
pub(crate) struct Collected {
    /// Attempts of this run.
    pub(crate) arrivals: Vec<Arrival>,
    /// Records that belong to no request of this run.
    pub(crate) not_counted: NotCounted,
    /// How requests of the run arrived.
    pub(crate) changes: RequestChanges,
    /// Requests of others, those of ours among them whose id did not arrive.
    pub(crate) others: OtherRequests,
    /// Streams, WebSockets and calls of the run, as backends recorded them.
    pub(crate) lived: Vec<Lived>,
    /// What their pages say of the clocks of the hosts: by host.
    pub(crate) clocks: Vec<HostClock>,
    /// Whether some host's clock is not the client's.
    pub(crate) other_clocks: bool,
    /// TLS under those of the run.
    pub(crate) tls: tls::ArrivedByTls,
    /// Why some may be missing.
    pub(crate) gaps: Vec<RecordGap>,
    /// The fleets as they are at the end: places of backends are theirs.
    pub(crate) fleets: Option<Fleets>,
    /// The host of each backend that the client knows, by the client's places; None of one that no fleet has.
    pub(crate) hosts: Vec<Option<usize>>,
    /// Hosts that joined, and when they were found.
    pub(crate) joined: Vec<(usize, Moment)>,
    /// Hosts that cannot be asked any more.
    pub(crate) gone: Vec<GoneHost>,
}

impl Collected {
    /// Fleets that joined are not where the client has put who responded: from here on places are the client's.
    pub(crate) fn take_places_of(&mut self, client: &mut BackendNames) {
        let Some(fleets) = &self.fleets else { return };
        let places: Vec<Backend> = fleets.backends.iter().map(|backend| client.of_name(&backend.name)).collect();
        let new = |old: Backend| places.get(usize::from(old.0)).copied().unwrap_or(old);
        self.arrivals.iter_mut().for_each(|arrival| arrival.backend = new(arrival.backend));
        self.lived.iter_mut().for_each(|lived| lived.backend = new(lived.backend));
        self.changes.upstream.rename(new);
        for part in &mut self.changes.parts {
            part.examples.iter_mut().for_each(|example| example.backend = new(example.backend));
        }
        for (backend, place) in fleets.backends.iter().zip(&places).filter(|(_, place)| place.is_known()) {
            let place = usize::from(place.0);
            self.hosts.resize(self.hosts.len().max(place + 1), None);
            self.hosts[place] = Some(backend.host);
        }
    }
}

impl Collector {
    /// Collects what is recorded from now on.
    pub(crate) async fn begin(fleets: Fleets, run: u64) -> Result<Collector> {
        let mut sources = Vec::new();
        for host in &fleets.hosts {
            let page = host.remote.records(u64::MAX, |_, _| {}).await?;
            let mut source = RecordSource::from(page.head.next, page.head.lost, host.has_our_clock);
            source.see(&page);
            sources.push(source);
        }
        Ok(Collector {
            fleets,
            sources,
            run,
            refreshed: Instant::now(),
            joined: Vec::new(),
            arrivals: Vec::new(),
            unnumbered: Vec::new(),
            is_stripped: false,
            changes: RequestChanges { ways_from: UNNUMBERED, ..RequestChanges::default() },
            others: OtherRequests::default(),
            unread: TextCounts::default(),
            tls: tls::ArrivedByTls::default(),
            texts: RecordTexts::default(),
            lived: Vec::new(),
            not_counted: NotCounted::default(),
        })
    }

    /// The fleets, as far as they are known now.
    pub(crate) fn fleets(&self) -> &Fleets {
        &self.fleets
    }

    /// The sample begins with that request: what it sends is alike, but for what it varies. Its calls may have a deadline.
    pub(crate) fn begin_sample(&mut self, first: u32, deadline: Option<SentDeadline>) {
        (self.changes.ways_from, self.changes.deadline) = (first, deadline);
    }

    /// The ids of requests do not reach the backends.
    pub(crate) fn expect_unnumbered(&mut self) {
        self.is_stripped = true;
    }

    /// How a backend recorded the request that it gave that response, according to the records until now.
    pub(crate) async fn find(&mut self, answer: Uuid) -> Option<Recorded> {
        self.catch_up().await;
        if self.arrivals.iter().any(|arrival| arrival.response == answer) {
            return Some(Recorded::WithId);
        }
        let unnumbered = self.unnumbered.iter().find(|arrival| arrival.response == answer)?;
        Some(if unnumbered.is_refusal() { Recorded::Refused } else { Recorded::WithoutId })
    }

    /// Whether health checks are all that the fleet has received until now.
    pub(crate) async fn has_only_health_checks(&mut self) -> bool {
        self.catch_up().await;
        self.arrivals.is_empty() && self.unnumbered.is_empty() && self.not_counted.health_checks > 0
    }

    /// Whether a backend has received a request of this check until now, whatever has become of it.
    pub(crate) async fn has_attempts(&mut self) -> bool {
        let in_flight = self.catch_up().await;
        !in_flight.is_empty() || !self.arrivals.is_empty()
    }

    /// Why backends refused to read most of what came without an id of this run, if anything.
    pub(crate) async fn unread(&mut self) -> Option<&str> {
        self.catch_up().await;
        self.unread.most()
    }

    /// Collects records until `end` resolves.
    pub(crate) async fn collect_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        tokio::pin!(end);
        loop {
            tokio::select! {
                end = &mut end => return end,
                () = sleep(INTERVAL) => { self.catch_up().await; }
            }
        }
    }

    /// Collects what is still to come, for this time at most: attempts that are in flight end, or not.
    pub(crate) async fn settle(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let in_flight = self.catch_up().await;
            if in_flight.is_empty() || self.sources.iter().all(|source| source.failure.is_some()) {
                return;
            }
            if Instant::now() >= deadline {
                in_flight.iter().for_each(|(host, record)| self.take(*host, record));
                return;
            }
            sleep(INTERVAL / 5).await;
        }
    }

    /// All that is there now; returns what of the run is in flight, each with its host.
    async fn catch_up(&mut self) -> Vec<(usize, Record)> {
        let is_unsettled = self.fleets.may_change() || self.sources.iter().any(|source| source.failure.is_some());
        if is_unsettled && self.refreshed.elapsed() >= REFRESH {
            self.refresh().await;
        }
        let mut in_flight = Vec::new();
        let mut asked: Vec<usize> =
            (0..self.sources.len()).filter(|host| self.sources[*host].failure.is_none()).collect();
        while !asked.is_empty() {
            let came = self.ask(&asked).await;
            // Of the others there may be more.
            asked = came.into_iter().filter(|host| !self.take_page(*host, &mut in_flight)).collect();
        }
        in_flight
    }

    /// Asks these hosts for a page each, at once; returns those whose page has come.
    async fn ask(&mut self, hosts: &[usize]) -> Vec<usize> {
        let several = self.sources.len() > 1;
        let sources = self.sources.iter_mut().zip(&self.fleets.hosts).enumerate();
        let asked = sources
            .filter(|(host, _)| hosts.contains(host))
            .map(|(host, (source, it))| async move { source.read(&it.remote, several).await.then_some(host) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Keeps what is in the page that a host has given, and adds what of the run is in flight, if it is the host's last. Whether it is.
    fn take_page(&mut self, host: usize, in_flight: &mut Vec<(usize, Record)>) -> bool {
        let connection = std::mem::take(&mut self.sources[host].connection);
        let before = in_flight.len();
        let mut ended = 0;
        for (record, has_ended) in connection.records() {
            if has_ended {
                ended += 1;
                self.take(host, &record);
            } else if record.request.is_some_and(|request| request.run == self.run) {
                in_flight.push((host, record));
            }
        }
        self.sources[host].connection = connection;
        let is_last = ended < MOST_BEFORE_THE_LAST;
        if !is_last {
            in_flight.truncate(before);
        }
        is_last
    }

    /// Who joins is read from its first record on: what it received before it was found is among them.
    async fn refresh(&mut self) {
        let gone: Vec<usize> = (0..self.sources.len()).filter(|host| self.sources[*host].failure.is_some()).collect();
        let changes = self.fleets.refresh(&gone, Heirs::OfClock).await;
        for host in changes.joined {
            self.sources.push(RecordSource::from(0, 0, self.fleets.hosts[host].has_our_clock));
            self.joined.push((host, clock::now()));
        }
        // Its records were kept meanwhile: it is read from where it was.
        changes.back.into_iter().for_each(|host| self.sources[host].failure = None);
        self.refreshed = Instant::now();
    }

    /// A balancer whose health check gets an error avoids that backend, rightly.
    fn see_health(&mut self, host: usize, record: &Record) {
        let place = self.fleets.hosts[host].places.get(&record.generator);
        if let Some(backend) = place.and_then(|place| self.fleets.backends.get_mut(usize::from(*place))) {
            backend.is_steady &= record.status < 400;
        }
    }

    fn take(&mut self, host: usize, record: &Record) {
        let Some(answer) = record.response else {
            self.not_counted.health_checks += 1;
            self.see_health(host, record);
            return;
        };
        let sequence = match record.request {
            Some(request) if request.run == self.run => u32::try_from(request.sequence).unwrap_or(OF_ANOTHER_CHECK - 1),
            Some(_) => OF_ANOTHER_CHECK,
            None => UNNUMBERED,
        };
        let Some(backend) = self.fleets.hosts[host].places.get(&record.generator).map(|place| Backend(*place)) else {
            // Of a backend that its fleet has not reported.
            return;
        };
        let (way, differences) = self.describe(host, record, sequence, backend);
        if is_numbered(sequence) {
            self.count_tls(record);
            self.changes.upstream.see(backend, record.connection, record.received, record.responded);
        }
        if !is_numbered(sequence) && self.unnumbered.len() >= MOST_UNNUMBERED {
            self.not_counted.others += 1;
            return;
        }
        let took = record.responded.0.saturating_sub(record.received.0) / 100;
        let arrival = Arrival {
            received: record.received,
            response: answer.0,
            sequence,
            took: u32::try_from(took).unwrap_or(u32::MAX),
            backend,
            status: status_of(record),
            end: record.outcome,
            differences,
            way,
        };
        if let Some(life) = record.life {
            let (began, ended) = (record.received, record.responded);
            self.lived.push(Lived { answer: answer.0, backend, began, ended, end: record.outcome, life });
        }
        let list = if is_numbered(sequence) { &mut self.arrivals } else { &mut self.unnumbered };
        list.push(arrival);
    }

    /// Counts what TLS it came with.
    fn count_tls(&mut self, record: &Record) {
        let Some(tls) = &record.tls else { return self.tls.add(None) };
        let (name, client) = (tls.name.map(|name| name.to_string()), tls.client.map(|client| client.to_string()));
        self.tls.add(Some(&tls::ArrivedTls {
            is_tls12: tls.version == TlsVersion::V12,
            resumed: tls.resumed,
            name: name.as_deref(),
            client: client.as_deref(),
            bad: tls.bad,
        }));
    }

    /// Counts how it arrived, and in which way its request was changed, and in which parts.
    fn describe(&mut self, host: usize, record: &Record, sequence: u32, backend: Backend) -> (WayNumber, Differences) {
        let shift = self.sources[host].shift;
        let RecordTexts { method, target, host, forwarded_for, peer, of } = &mut self.texts;
        let received = Moment(record.received.0.saturating_add_signed(shift));
        let arrived = &record.arrived;
        // Most are like the one before: nothing is rewritten for them.
        if *of != Some((arrived.host, arrived.forwarded_for)) {
            rewrite(host, &arrived.host);
            rewrite(forwarded_for, &arrived.forwarded_for);
            *of = Some((arrived.host, arrived.forwarded_for));
        }
        let is_other = !is_numbered(sequence) || !arrived.differences.is_empty();
        if is_other {
            rewrite(method, &record.method);
            rewrite(target, &record.path);
        }
        if is_other || arrived.notes.contains(Note::Proxied) {
            match record.peer {
                End::Address(address) => rewrite(peer, &address.ip()),
                End::Unix => rewrite(peer, &End::Unix),
            }
        }
        let request = ArrivedRequest {
            sequence: is_numbered(sequence).then_some(sequence),
            of_another_check: sequence == OF_ANOTHER_CHECK,
            received,
            backend,
            method,
            target,
            host,
            forwarded_for: if record.arrived.forwarded_for.as_bytes().is_empty() { "" } else { forwarded_for },
            peer,
            status: record.status,
            differences: record.arrived.differences,
            fields: record.arrived.fields,
            notes: record.arrived.notes,
            body: record.arrived.body,
            deadline: record.call.and_then(|call| call.timeout),
        };
        let request = self.changes.note_deadline(request);
        let differences = request.differences;
        match &record.refusal {
            Some(refusal) => {
                // Whose another was is known when its response has been joined, if ever.
                let unread = if is_numbered(sequence) { &mut self.changes.refused } else { &mut self.unread };
                unread.see(&refusal.to_string());
                let has_spaces = *refusal == Refusal::Malformed(Malformed::TargetSpace);
                self.changes.with_spaces += u64::from(has_spaces && is_numbered(sequence));
                // What did not come in time was not read because of what is done to a backend, too.
                if *refusal != Refusal::TooSlow {
                    return (WayNumber::UNREAD, differences);
                }
            }
            None if is_numbered(sequence) => return (self.changes.see(&request), differences),
            None => self.others.see(&request),
        }
        (WayNumber::default(), differences)
    }

    /// Reads the last records, and gives all that was collected.
    pub(crate) async fn finish(mut self) -> Collected {
        // A backend that was started again a moment ago has a process that nobody has heard of.
        self.refresh().await;
        self.catch_up().await;
        let mut gaps = Vec::new();
        let mut gone = Vec::new();
        let mut clocks = Vec::new();
        for control in self.fleets.missing().await {
            gaps.push(RecordGap::NoFleet { control });
        }
        let several = self.sources.len() > 1;
        for (host, source) in self.sources.into_iter().enumerate() {
            clocks.push(source.clock);
            let label = || several.then(|| self.fleets.hosts[host].label.clone());
            if source.lost > 0 {
                gaps.push(RecordGap::Overwritten { host: label(), records: source.lost });
            }
            if source.missed > 0 {
                gaps.push(RecordGap::Evicted { host: label(), records: source.missed });
            }
            match source.failure {
                Some(SourceFailure { at, why, backends }) if several => {
                    let ended = (backends == UnaskedBackends::Ended).then(|| at.after(INTERVAL));
                    gone.push(GoneHost { host, responded: source.answered, ended, why });
                }
                Some(SourceFailure { why, .. }) => gaps.push(RecordGap::Unreachable { why }),
                None => {}
            }
        }
        if self.is_stripped {
            gaps.push(RecordGap::NoRequestIds);
        }
        self.arrivals.extend(self.unnumbered);
        Collected {
            arrivals: self.arrivals,
            not_counted: self.not_counted,
            changes: self.changes,
            others: self.others,
            lived: self.lived,
            clocks,
            other_clocks: false,
            tls: self.tls,
            gaps,
            fleets: Some(self.fleets),
            hosts: Vec::new(),
            joined: self.joined,
            gone,
        }
    }
}

impl RecordSource {
    fn from(next: u64, lost_before: u64, has_our_clock: bool) -> RecordSource {
        RecordSource {
            connection: PageConnection::default(),
            next,
            fleet: None,
            clock: HostClock::new(has_our_clock),
            shift: 0,
            lost_before,
            lost: 0,
            missed: 0,
            answered: clock::now(),
            failure: None,
        }
    }

    /// Learns from a page who gave it, and what time it is there.
    fn see(&mut self, page: &TimedPage) {
        let TimedPage { head, asked, came } = page;
        self.fleet = Some(head.fleet);
        self.clock.see(*asked, head.now, *came);
        let middle = asked.0 / 2 + came.0 / 2;
        self.shift = match self.clock.clock() {
            Clock::Same => 0,
            Clock::Other | Clock::Unknown => middle.wrapping_sub(head.now.0) as i64,
        };
    }

    fn fail(&mut self, why: String, backends: UnaskedBackends) {
        self.failure = Some(SourceFailure { at: clock::now(), why, backends });
    }

    /// Has its connection hold the next page; whether it came. One host of several must not hold up the others.
    async fn read(&mut self, remote: &Remote, is_one_of_several: bool) -> bool {
        let page = remote.page_over(&mut self.connection, self.next);
        let page = if is_one_of_several { timeout(PATIENCE, page).await } else { Ok(page.await) };
        let page = match page {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => {
                let kind = error.chain().find_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()));
                let backends = match kind {
                    Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => UnaskedBackends::Ended,
                    _ => UnaskedBackends::MayLive,
                };
                self.fail(format!("{error:#}"), backends);
                return false;
            }
            Err(_) => {
                self.fail(format!("no response within {} s", PATIENCE.as_secs()), UnaskedBackends::MayLive);
                return false;
            }
        };
        if self.fleet.is_some_and(|fleet| fleet != page.head.fleet) {
            // Its records have numbers of their own: it is another host, which begins with its first.
            self.fail("another fleet responds there: it was started again".to_owned(), UnaskedBackends::Ended);
            return false;
        }
        self.see(&page);
        let TimedPage { head, asked, .. } = page;
        self.answered = asked;
        self.next = head.next;
        self.missed += head.missed;
        self.lost = head.lost.saturating_sub(self.lost_before);
        true
    }
}
