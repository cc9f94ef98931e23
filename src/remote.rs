//! How another process uses a fleet's API, or asks a URL for its health. Everything has a time limit and says so.

mod exchange;
mod secure;

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http::{EventReader, ServerSentEvent};
use hyper::{StatusCode, Uri};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::Problem;
use crate::io::clock;
use crate::remote::exchange::{ApiExchange, ApiRequest};
pub(crate) use crate::remote::exchange::{NoResponse, PageConnection};
use crate::runfile::{Runfile, Whereabouts};
use crate::wire::{
    Action, BalanceRequest, BalancerInfo, BatchHead, CheckNews, ClientTimes, Fault, FleetStatus, Frame, Moment, Record,
    Snapshot, Token, read_batch,
};

/// The API of a running fleet.
#[derive(Clone)]
pub(crate) struct Remote {
    whereabouts: Whereabouts,
}

/// A page of records: the fleet's clock was read between two times of this process.
pub(crate) struct TimedPage {
    pub(crate) head: BatchHead,
    pub(crate) asked: Moment,
    pub(crate) came: Moment,
}

impl PageConnection {
    /// Those of the latest page, each with whether its attempt has ended.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Record, bool)> {
        read_batch(self.content()).into_iter().flat_map(|(_, records)| records)
    }
}

/// How a fleet is chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Which {
    /// The one of this user that runs on this machine.
    #[default]
    Any,
    /// The one of this user with that supervisor.
    Supervisor(u32),
    /// The one whose API is there.
    At(String),
}

impl FromStr for Which {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Which, Problem> {
        match text.parse() {
            Ok(pid) => Ok(Which::Supervisor(pid)),
            Err(_) if has_no_path(text) => Ok(Which::At(text.to_owned())),
            Err(_) => Err(Problem::new("expected a process id, or a URL such as http://127.0.0.1:9000")
                .on(format!("--fleet {text}"))),
        }
    }
}

/// Whether it is the address of an API as a fleet prints it: with nothing but its token behind host and port.
fn has_no_path(url: &str) -> bool {
    address_of(url).strip_prefix("http://").is_some_and(|rest| !rest.contains(['/', '?']))
}

/// Without the token behind it.
fn address_of(url: &str) -> &str {
    url.split('#').next().unwrap_or_default().trim_end_matches('/')
}

/// Which fleet is meant, and the token for one that is not this user's on this machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FleetChoice {
    pub(crate) which: Which,
    pub(crate) token: Option<Token>,
}

impl FleetChoice {
    /// The one of this user with that supervisor.
    pub(crate) fn supervisor(pid: u32) -> FleetChoice {
        FleetChoice { which: Which::Supervisor(pid), token: None }
    }

    /// All that are meant: a name may have several addresses, with a fleet at each.
    pub(crate) async fn find_all(&self) -> Result<Vec<Remote>> {
        let Some((url, host, port)) = self.name() else { return Ok(vec![self.find(&[])?]) };
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found =
            found.map_err(|why| Problem::new(format!("it does not resolve: {why}")).on(format!("--fleet {url}")))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let fragment = url.split_once('#').map_or(String::new(), |(_, fragment)| format!("#{fragment}"));
        let at = |address: SocketAddr| Remote::at(&format!("http://{address}{fragment}"), self.token.as_ref());
        addresses.into_iter().map(at).collect()
    }

    /// Whether it may be other fleets a moment later.
    pub(crate) fn may_change(&self) -> bool {
        self.name().is_some()
    }

    /// Whether it is the fleet whose API is at that address, whoever else comes or goes.
    pub(crate) fn is_at(&self, control: &str) -> bool {
        let Which::At(url) = &self.which else { return false };
        !self.may_change() && address_of(url) == control
    }

    /// A name that a resolver knows, and the port.
    fn name(&self) -> Option<(&str, String, u16)> {
        let Which::At(url) = &self.which else { return None };
        let uri: Uri = url.split('#').next().unwrap_or_default().parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']);
        let is_name = host != "localhost" && host.parse::<std::net::IpAddr>().is_err();
        is_name.then(|| (url.as_str(), host.to_owned(), uri.port_u16().unwrap_or(80)))
    }

    /// Finds it; on this machine it has to have all of `generators`.
    pub(crate) fn find(&self, backends: &[String]) -> Result<Remote> {
        match &self.which {
            Which::Any => Remote::find(None, backends),
            Which::Supervisor(pid) => Remote::find(Some(*pid), backends),
            Which::At(url) => Remote::at(url, self.token.as_ref()),
        }
    }
}

/// What a search for fleets on this machine found.
pub(crate) enum FleetSearch {
    /// The fleet that was asked for.
    Found(Remote),
    /// Several may be meant; all that run.
    Several(Vec<Whereabouts>),
    /// Those that run are not the one that was named.
    Others(Vec<Whereabouts>),
    /// No fleet of this user runs.
    None,
}

/// Looks for the one fleet that has all of `backends`, or for the one with that supervisor.
pub(crate) fn search(supervisor: Option<u32>, backends: &[String]) -> FleetSearch {
    let all = Runfile::find_all();
    let fits = |fleet: &Whereabouts| match supervisor {
        Some(pid) => fleet.pid == pid,
        None => backends.iter().all(|backend| fleet.backends.contains(backend)),
    };
    let mut fitting = all.iter().filter(|fleet| fits(fleet)).cloned();
    match (fitting.next(), fitting.next()) {
        (Some(whereabouts), None) => FleetSearch::Found(Remote { whereabouts }),
        (Some(_), Some(_)) => FleetSearch::Several(all),
        (None, _) if all.is_empty() => FleetSearch::None,
        // One fleet is meant even if it lacks a backend: its API then names the one that is missing.
        (None, _) if supervisor.is_none() && all.len() == 1 => {
            FleetSearch::Found(Remote { whereabouts: all[0].clone() })
        }
        (None, _) => FleetSearch::Others(all),
    }
}

/// The supervisor of a fleet of this user that has one of these backends.
pub(crate) fn holder(backends: &[String]) -> Option<u32> {
    let has_one = |fleet: &Whereabouts| fleet.backends.iter().any(|backend| backends.contains(backend));
    Runfile::find_all().into_iter().find(has_one).map(|fleet| fleet.pid)
}

/// The fleet has to be chosen.
pub(crate) fn several(fleets: &[Whereabouts]) -> Problem {
    Problem::new(format!("more than one fleet of this user runs:{}", list(fleets))).hint("choose one with --fleet PID")
}

/// A fleet answers at once, except where it waits for backends to end or to start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the API at that URL may be one of this machine: addresses of others cannot be bound to.
fn may_be_here(control: &str) -> bool {
    let uri = control.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    address.map_or(true, |ip| std::net::UdpSocket::bind((ip, 0)).is_ok())
}

impl Remote {
    /// The one fleet of this user that runs on this machine and has all of `backends`; or the one with that supervisor.
    pub(crate) fn find(supervisor: Option<u32>, backends: &[String]) -> Result<Remote> {
        match search(supervisor, backends) {
            FleetSearch::Found(remote) => Ok(remote),
            FleetSearch::Several(fleets) => Err(several(&fleets))?,
            FleetSearch::None => {
                Err(Problem::new("no fleet of this user runs on this machine").hint("start one: uuid-generator"))?
            }
            FleetSearch::Others(fleets) => {
                Err(Problem::new(format!("no such fleet runs; those that do:{}", list(&fleets))))?
            }
        }
    }

    /// The one whose API or live view is there. It can be changed if it is a fleet of this user on this machine, if the address is the
    /// one that the fleet printed, with its token, or with the token that is given.
    pub(crate) fn at(address: &str, given: Option<&Token>) -> Result<Remote> {
        let control = address_of(address);
        let fragment = address.split_once('#').map_or("", |(_, fragment)| fragment);
        // To look for one takes milliseconds, and each fleet of another machine is asked for again and again.
        let here = if may_be_here(control) { Runfile::find_all() } else { Vec::new() };
        let own = here.into_iter().find(|fleet| fleet.control == control);
        let token = fragment.strip_prefix("token=").or(given.map(Token::as_str)).unwrap_or_default();
        let stranger =
            || Whereabouts { pid: 0, control: control.to_owned(), token: token.to_owned(), backends: Vec::new() };
        Ok(Remote { whereabouts: own.unwrap_or_else(stranger) })
    }

    /// The address of the balancer in front of it, if it knows one.
    pub(crate) async fn front(&self) -> Result<Option<BalancerInfo>> {
        match self.watch().await?.next().await? {
            Some(LiveEvent::Snapshot(snapshot)) => Ok(snapshot.front),
            Some(LiveEvent::Frame(_) | LiveEvent::Balance(_)) | None => Ok(None),
        }
    }

    /// Address of its API.
    pub(crate) fn control(&self) -> &str {
        &self.whereabouts.control
    }

    /// The host and port of its API.
    pub(crate) fn authority(&self) -> &str {
        self.whereabouts.control.split_once("://").map_or(&self.whereabouts.control, |(_, authority)| authority)
    }

    /// Where a browser finds the live view, and may use it.
    pub(crate) fn view(&self) -> String {
        let Whereabouts { control, token, .. } = &self.whereabouts;
        if token.is_empty() { format!("{control}/") } else { format!("{control}/#token={token}") }
    }

    /// Records from a number on, as many as one response should hold, and each with whether its attempt has ended. With them, when they
    /// were asked for and when they had come.
    pub(crate) async fn records(&self, from: u64, mut take: impl FnMut(Record, bool)) -> Result<TimedPage> {
        let mut connection = PageConnection::default();
        let page = self.page_over(&mut connection, from).await?;
        connection.records().for_each(|(record, has_ended)| take(record, has_ended));
        Ok(page)
    }

    /// Asks for records over a connection that stays open for the next page. The records stay there: nothing is copied that nobody looks at.
    pub(crate) async fn page_over(&self, connection: &mut PageConnection, from: u64) -> Result<TimedPage> {
        const LIMIT: u32 = 65_536;
        let url: Uri = format!("{}/v1/records/batch?from={from}&limit={LIMIT}", self.whereabouts.control).parse()?;
        let request = ApiRequest { method: "GET", url: &url, token: Some(&self.whereabouts.token), body: &[] };
        let asked = clock::now();
        let response = timeout(PATIENCE, connection.ask(&request)).await.map_err(|_| late(PATIENCE));
        let response = response.and_then(|response| Ok(response?));
        let status = response.with_context(|| format!("failed to reach the fleet at {}", self.whereabouts.control))?;
        let came = clock::now();
        self.refuse_failure(status, connection.content())?;
        let Ok((head, _)) = read_batch(connection.content()) else {
            bail!("failed to understand the records of the fleet: is it of another version?");
        };
        Ok(TimedPage { head, asked, came })
    }

    /// State of the fleet and its backends.
    pub(crate) async fn status(&self) -> Result<FleetStatus> {
        self.ask("GET", "/v1/fleet", PATIENCE).await
    }

    /// Does something to these backends, or to all to which it applies, and waits until it is done.
    pub(crate) async fn act(&self, action: Action, backends: &[String], patience: Duration) -> Result<FleetStatus> {
        self.ask("POST", &format!("/v1/fleet/{}?{}", action.name(), selection(backends)), patience).await
    }

    /// Switches these faults on, each instead of the one of its kind, in these backends or in all that run.
    pub(crate) async fn fault(&self, faults: &[Fault], backends: &[String]) -> Result<FleetStatus> {
        let faults: String = faults.iter().map(|fault| format!("&fault={}", escape(&fault.to_string()))).collect();
        self.ask("POST", &format!("/v1/fleet/fault?{}{faults}", selection(backends)), PATIENCE).await
    }

    /// Switches all faults of these backends off, or of all that run.
    pub(crate) async fn clear(&self, backends: &[String]) -> Result<FleetStatus> {
        self.ask("POST", &format!("/v1/fleet/clear?{}", selection(backends)), PATIENCE).await
    }

    /// Says what stands in front of it.
    pub(crate) async fn set_front(&self, front: &BalancerInfo) -> Result<()> {
        self.tell("PUT", "/v1/front", front).await
    }

    /// Says how a check goes.
    pub(crate) async fn checks(&self, news: &CheckNews) -> Result<()> {
        self.tell("PUT", "/v1/check/news", news).await
    }

    /// Says how long responses took for a client of its balancer.
    pub(crate) async fn client_times(&self, times: &ClientTimes) -> Result<()> {
        self.tell("POST", "/v1/front/latency", times).await
    }

    /// Sends requests through its balancer.
    pub(crate) async fn send(&self, requests: u32, patience: Duration) -> Result<()> {
        self.fetch("POST", &format!("/v1/send?requests={requests}"), patience).await.map(|_| ())
    }

    /// Has its balancer checked; how that goes is among its events.
    pub(crate) async fn check(&self) -> Result<()> {
        self.fetch("POST", "/v1/check", PATIENCE).await.map(|_| ())
    }

    /// Whether it was found among the fleets of this user on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.whereabouts.pid != 0
    }

    /// Whether it takes commands: a fleet of another user does not.
    pub(crate) fn is_own(&self) -> bool {
        !self.whereabouts.token.is_empty()
    }

    async fn tell(&self, method: &'static str, path: &str, what: &impl serde::Serialize) -> Result<()> {
        let body = serde_json::to_vec(what)?;
        self.fetch_with(method, path, PATIENCE, body).await.map(|_| ())
    }

    /// What happens in it from now on: first all that is known, then what changes.
    pub(crate) async fn watch(&self) -> Result<Events> {
        let Whereabouts { control, token, .. } = &self.whereabouts;
        let url: Uri = format!("{control}/v1/live").parse()?;
        let begun = async {
            let request = ApiRequest { method: "GET", url: &url, token: Some(token), body: &[] };
            let mut exchange = ApiExchange::begin(&request).await?;
            while exchange.status.is_none() && exchange.receive().await? {}
            anyhow::Ok(exchange)
        };
        let begun = timeout(PATIENCE, begun).await.unwrap_or_else(|_| Err(late(PATIENCE)));
        let exchange = begun.with_context(|| format!("failed to reach the fleet at {control}"))?;
        match exchange.status {
            Some(200) => Ok(Events { exchange, reader: EventReader::new(LONGEST_EVENT), heard: Instant::now() }),
            Some(401) => self.wants_token(),
            status => bail!("the fleet at {control} shows nothing: status {}", status.unwrap_or_default()),
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        patience: Duration,
    ) -> Result<T> {
        let body = self.fetch(method, path, patience).await?;
        serde_json::from_slice(&body).map_err(|why| self.misunderstood(&body, why))
    }

    /// What responds there is a fleet of another version, or none.
    fn misunderstood(&self, body: &[u8], why: serde_json::Error) -> anyhow::Error {
        let control = &self.whereabouts.control;
        if serde_json::from_slice::<serde_json::Value>(body).is_ok() {
            let what = format!("failed to understand the fleet at {control}: is it of another version?");
            return anyhow::Error::from(why).context(Problem::new(what));
        }
        Problem::new(format!("what responds at {control} is not the API of a fleet"))
            .hint("name the address that a fleet prints as its live view's, such as http://127.0.0.1:9000")
            .into()
    }

    fn wants_token<T>(&self) -> Result<T> {
        let Whereabouts { control, token, .. } = &self.whereabouts;
        let problem = if token.is_empty() {
            Problem::new(format!("the fleet at {control} requires its token"))
                .hint("give it with --token-file or the variable UUID_GENERATOR_TOKEN")
        } else {
            Problem::new(format!("the fleet at {control} rejects the token that was given"))
                .hint("all fleets of a command must have the same token: start each with it (--token-file or UUID_GENERATOR_TOKEN)")
        };
        Err(problem)?
    }

    async fn fetch(&self, method: &'static str, path: &str, patience: Duration) -> Result<Vec<u8>> {
        self.fetch_with(method, path, patience, Vec::new()).await
    }

    async fn fetch_with(&self, method: &'static str, path: &str, patience: Duration, body: Vec<u8>) -> Result<Vec<u8>> {
        let uri: Uri = format!("{}{path}", self.whereabouts.control).parse()?;
        let request = ApiRequest { method, url: &uri, token: Some(&self.whereabouts.token), body: &body };
        let (status, body) = respond(&request, patience)
            .await
            .with_context(|| format!("failed to reach the fleet at {}", self.whereabouts.control))?;
        self.refuse_failure(status, &body)?;
        Ok(body)
    }

    fn refuse_failure(&self, status: u16, body: &[u8]) -> Result<()> {
        if (200..300).contains(&status) {
            return Ok(());
        }
        if status == 401 && self.whereabouts.pid == 0 {
            return self.wants_token();
        }
        let answer: serde_json::Value = serde_json::from_slice(body).map_err(|why| self.misunderstood(body, why))?;
        bail!("{}", answer["error"].as_str().unwrap_or("the fleet refused without a reason"))
    }
}

/// The parameter that names them; nothing if all are meant.
fn selection(backends: &[String]) -> String {
    if backends.is_empty() { String::new() } else { format!("backends={}", escape(&backends.join(","))) }
}

/// As the value of a parameter: RFC 3986 §2.1.
fn escape(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b':' | b',' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

fn list(fleets: &[Whereabouts]) -> String {
    let line = |fleet: &Whereabouts| {
        let names: Vec<&str> = fleet.backends.iter().take(5).map(String::as_str).collect();
        let more = if fleet.backends.len() > 5 { ", …" } else { "" };
        format!("\n  {} with backends {}{more}", fleet.pid, names.join(", "))
    };
    fleets.iter().map(line).collect()
}

/// The status with which a URL answers GET. A certificate is not verified.
pub(crate) async fn status_of(url: &Uri, patience: Duration) -> Result<StatusCode> {
    let status = if url.scheme_str() == Some("https") {
        let url = url.clone();
        let asked = tokio::task::spawn_blocking(move || {
            secure::status_of(&ApiRequest { method: "GET", url: &url, token: None, body: &[] }, patience)
        });
        timeout(patience, asked).await.map_err(|_| late(patience))???
    } else {
        respond(&ApiRequest { method: "GET", url, token: None, body: &[] }, patience).await?.0
    };
    Ok(StatusCode::from_u16(status)?)
}

/// The status and content with which a URL answers GET.
pub(crate) async fn get(url: &Uri, patience: Duration) -> Result<(u16, Vec<u8>)> {
    respond(&ApiRequest { method: "GET", url, token: None, body: &[] }, patience).await
}

async fn respond(request: &ApiRequest<'_>, patience: Duration) -> Result<(u16, Vec<u8>)> {
    let response = async { ApiExchange::begin(request).await?.whole().await };
    match timeout(patience, response).await {
        Ok(response) => Ok(response?),
        Err(_) => Err(late(patience)),
    }
}

fn late(patience: Duration) -> anyhow::Error {
    anyhow::anyhow!("no response within {} s", patience.as_secs_f32())
}

/// What happens in a fleet, as it tells it: server-sent events.
pub(crate) struct Events {
    exchange: ApiExchange,
    reader: EventReader,
    /// When something came last.
    heard: Instant,
}

/// A fleet sends ten frames a second: one that is silent for this time hangs.
const SILENCE: Duration = Duration::from_secs(10);
/// A snapshot of a thousand backends has a megabyte.
const LONGEST_EVENT: usize = 64 << 20;
const NOT_UNDERSTOOD: &str = "failed to understand the fleet: is it of another version?";

/// Something that a fleet tells those who look.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "almost all are frames")]
pub(crate) enum LiveEvent {
    /// The whole state, with which a reader begins.
    Snapshot(Snapshot),
    /// What has changed since the event before.
    Frame(Frame),
    /// Somebody wants the balancer to balance in another way.
    Balance(BalanceRequest),
}

impl Events {
    /// The next one; None when the fleet has ended, hangs, or has cut off a reader that was too slow.
    pub(crate) async fn next(&mut self) -> Result<Option<LiveEvent>> {
        loop {
            let content = &mut self.exchange.content;
            let mut rest = content.as_slice();
            while let Some(event) = self.reader.receive(&mut rest).map_err(|_| anyhow!(NOT_UNDERSTOOD))? {
                if let Some(event) = read_event(event)? {
                    content.drain(..content.len() - rest.len());
                    return Ok(Some(event));
                }
            }
            content.clear();
            // Callers give up waiting for other things, and wait anew: the silence goes on all the while.
            match timeout_at(self.heard + SILENCE, self.exchange.receive()).await {
                Ok(Ok(true)) => self.heard = Instant::now(),
                Ok(Ok(false) | Err(_)) | Err(_) => return Ok(None),
            }
        }
    }
}

/// One of a kind that is not known here is None: the fleet may be newer.
fn read_event(event: ServerSentEvent) -> Result<Option<LiveEvent>> {
    let read = match event.name {
        "snapshot" => serde_json::from_str(event.data).map(LiveEvent::Snapshot),
        "frame" => serde_json::from_str(event.data).map(LiveEvent::Frame),
        "balance" => serde_json::from_str(event.data).map(LiveEvent::Balance),
        _ => return Ok(None),
    };
    read.map(Some).context(NOT_UNDERSTOOD)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_of_another_machine_is_not_here() {
        for (control, here) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000", true),
            ("http://fleet.internal:9000", true),
            ("http://192.0.2.77:9000", false),
        ] {
            assert_eq!(super::may_be_here(control), here, "{control}");
        }
    }
}
