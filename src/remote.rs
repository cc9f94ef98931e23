//! How another process speaks to a fleet's API, or asks a URL for its health: plain HTTP/1.1, one request a connection.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::error::Problem;
use crate::runfile::{Runfile, Whereabouts};
use crate::wire::{
    Action, BalanceRequest, BalancerInfo, BatchHead, CheckNews, Fault, FleetStatus, Frame, Generator, Record, Snapshot,
    read_batch,
};

/// A fleet that runs.
#[derive(Clone)]
pub struct Remote {
    whereabouts: Whereabouts,
}

/// What runs on this machine.
pub(crate) enum Search {
    /// The one that was meant.
    Found(Remote),
    /// Several may be meant; all that run.
    Several(Vec<Whereabouts>),
    /// Those that run are not the one that was named.
    Others(Vec<Whereabouts>),
    /// No fleet of this user runs.
    None,
}

/// Looks for the one fleet that has all of `generators`, or for the one with that supervisor.
pub(crate) fn search(supervisor: Option<u32>, generators: &[Generator]) -> Result<Search> {
    let all = Runfile::find_all()?;
    let fits = |fleet: &Whereabouts| match supervisor {
        Some(pid) => fleet.pid == pid,
        None => generators.iter().all(|generator| fleet.generators.contains(generator)),
    };
    let mut fitting = all.iter().filter(|fleet| fits(fleet)).cloned();
    Ok(match (fitting.next(), fitting.next()) {
        (Some(whereabouts), None) => Search::Found(Remote { whereabouts }),
        (Some(_), Some(_)) => Search::Several(all),
        (None, _) if all.is_empty() => Search::None,
        // One fleet is meant even if it lacks a backend: its API then names the one that is missing.
        (None, _) if supervisor.is_none() && all.len() == 1 => Search::Found(Remote { whereabouts: all[0].clone() }),
        (None, _) => Search::Others(all),
    })
}

/// The fleet has to be chosen.
pub(crate) fn several(fleets: &[Whereabouts]) -> Problem {
    Problem::new(format!("more than one fleet of this user runs:{}", list(fleets))).hint("choose one with --fleet PID")
}

/// A fleet answers at once, except where it waits for backends to end or to start.
const PATIENCE: Duration = Duration::from_secs(5);

impl Remote {
    /// The one fleet of this user that runs on this machine and has all of `generators`; or the one with that supervisor.
    pub fn find(supervisor: Option<u32>, generators: &[Generator]) -> Result<Remote> {
        match search(supervisor, generators)? {
            Search::Found(remote) => Ok(remote),
            Search::Several(fleets) => Err(several(&fleets))?,
            Search::None => {
                Err(Problem::new("no fleet of this user runs on this machine").hint("start one: uuid-generator"))?
            }
            Search::Others(fleets) => {
                Err(Problem::new(format!("no such fleet runs; those that do:{}", list(&fleets))))?
            }
        }
    }

    /// The one whose API or live view is there. It can be changed if it is a fleet of this user on this machine, or if the address is
    /// the one that the fleet printed, with its token.
    pub fn at(address: &str) -> Result<Remote> {
        let (base, fragment) = address.split_once('#').unwrap_or((address, ""));
        let control = base.trim_end_matches('/');
        let own = Runfile::find_all()?.into_iter().find(|fleet| fleet.control == control);
        let token = fragment.strip_prefix("token=").unwrap_or_default();
        let stranger =
            || Whereabouts { pid: 0, control: control.to_owned(), token: token.to_owned(), generators: Vec::new() };
        Ok(Remote { whereabouts: own.unwrap_or_else(stranger) })
    }

    /// Its API.
    pub fn control(&self) -> &str {
        &self.whereabouts.control
    }

    /// Where a browser finds the live view, and may use it.
    pub fn view(&self) -> String {
        let Whereabouts { control, token, .. } = &self.whereabouts;
        if token.is_empty() { format!("{control}/") } else { format!("{control}/#token={token}") }
    }

    /// Records from a number on, as many as one answer should hold, and each with whether its attempt has ended.
    pub async fn records(&self, from: u64, mut take: impl FnMut(Record, bool)) -> Result<BatchHead> {
        const LIMIT: u32 = 65_536;
        let body = self.fetch(Method::GET, &format!("/v1/records/batch?from={from}&limit={LIMIT}"), PATIENCE).await?;
        let Ok((head, records)) = read_batch(&body) else {
            bail!("failed to understand the records of the fleet: is it of another version?");
        };
        records.for_each(|(record, ended)| take(record, ended));
        Ok(head)
    }

    /// Its state.
    pub async fn status(&self) -> Result<FleetStatus> {
        self.ask(Method::GET, "/v1/fleet", PATIENCE).await
    }

    /// Does something to these members, or to all to which it applies, and waits until it is done.
    pub async fn act(&self, action: Action, generators: &[Generator], patience: Duration) -> Result<FleetStatus> {
        self.ask(Method::POST, &format!("/v1/fleet/{}?{}", action.name(), members(generators)), patience).await
    }

    /// Switches these faults on, each instead of the one of its kind, in these members or in all that run.
    pub async fn fault(&self, faults: &[Fault], generators: &[Generator]) -> Result<FleetStatus> {
        let faults: String = faults.iter().map(|fault| format!("&fault={}", escaped(&fault.to_string()))).collect();
        self.ask(Method::POST, &format!("/v1/fleet/fault?{}{faults}", members(generators)), PATIENCE).await
    }

    /// Switches all faults of these members off, or of all that run.
    pub async fn clear(&self, generators: &[Generator]) -> Result<FleetStatus> {
        self.ask(Method::POST, &format!("/v1/fleet/clear?{}", members(generators)), PATIENCE).await
    }

    /// Says what stands in front of it.
    pub async fn set_front(&self, front: &BalancerInfo) -> Result<()> {
        self.tell(Method::PUT, "/v1/front", front).await
    }

    /// Says how a check goes.
    pub async fn checks(&self, news: &CheckNews) -> Result<()> {
        self.tell(Method::PUT, "/v1/check/news", news).await
    }

    /// Says how its balancer should balance.
    pub async fn balance(&self, wanted: &BalanceRequest) -> Result<()> {
        self.tell(Method::POST, "/v1/front/balance", wanted).await
    }

    /// Sends requests through its balancer.
    pub async fn send(&self, requests: u32, patience: Duration) -> Result<()> {
        self.fetch(Method::POST, &format!("/v1/send?requests={requests}"), patience).await.map(|_| ())
    }

    /// Has its balancer checked; how that goes is among its events.
    pub async fn check(&self) -> Result<()> {
        self.fetch(Method::POST, "/v1/check", PATIENCE).await.map(|_| ())
    }

    /// Whether it lets itself be told anything: a fleet of another user does not.
    pub fn is_own(&self) -> bool {
        !self.whereabouts.token.is_empty()
    }

    async fn tell(&self, method: Method, path: &str, what: &impl serde::Serialize) -> Result<()> {
        let body = serde_json::to_vec(what)?;
        self.fetch_with(method, path, PATIENCE, body).await.map(|_| ())
    }

    /// What happens in it from now on: first all that is known, then what changes.
    pub async fn watch(&self) -> Result<Events> {
        let uri: Uri = format!("{}/v1/live", self.whereabouts.control).parse()?;
        let asked = prepare(Method::GET, &uri, Some(&self.whereabouts.token), Vec::new())?;
        let begun = timeout(PATIENCE, async {
            let (mut sender, connection) = connect(&uri).await?;
            let connection = spawn_local(async move {
                let _ = connection.await;
            });
            let response = sender.send_request(asked).await?;
            ensure!(response.status().is_success(), "the fleet shows nothing: {}", response.status());
            Ok(Events { body: response.into_body(), text: Vec::new(), connection })
        });
        let unreachable = || format!("failed to reach the fleet at {}", self.whereabouts.control);
        begun.await.context("no answer in time").and_then(|begun| begun).with_context(unreachable)
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method, path: &str, patience: Duration) -> Result<T> {
        let body = self.fetch(method, path, patience).await?;
        serde_json::from_slice(&body).context("failed to understand the fleet: is it of another version?")
    }

    async fn fetch(&self, method: Method, path: &str, patience: Duration) -> Result<Bytes> {
        self.fetch_with(method, path, patience, Vec::new()).await
    }

    async fn fetch_with(&self, method: Method, path: &str, patience: Duration, body: Vec<u8>) -> Result<Bytes> {
        let uri: Uri = format!("{}{path}", self.whereabouts.control).parse()?;
        let (status, body) = request(method, &uri, Some(&self.whereabouts.token), patience, body)
            .await
            .with_context(|| format!("failed to reach the fleet at {}", self.whereabouts.control))?;
        if status.is_success() {
            return Ok(body);
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        bail!("{}", answer["error"].as_str().unwrap_or("the fleet refused without a reason"))
    }
}

/// The parameter that names them; nothing if all are meant.
fn members(generators: &[Generator]) -> String {
    let numbers: Vec<String> = generators.iter().map(Generator::to_string).collect();
    if numbers.is_empty() { String::new() } else { format!("members={}", numbers.join(",")) }
}

/// As the value of a parameter: RFC 3986 §2.1.
fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b':' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

fn list(fleets: &[Whereabouts]) -> String {
    let line = |fleet: &Whereabouts| {
        let ports: Vec<String> = fleet.generators.iter().take(5).map(Generator::to_string).collect();
        let more = if fleet.generators.len() > 5 { ", …" } else { "" };
        format!("\n  {} with backends {}{more}", fleet.pid, ports.join(", "))
    };
    fleets.iter().map(line).collect()
}

/// The status with which a URL answers GET.
pub async fn status_of(url: &Uri, patience: Duration) -> Result<StatusCode> {
    Ok(request(Method::GET, url, None, patience, Vec::new()).await?.0)
}

async fn request(
    method: Method,
    url: &Uri,
    token: Option<&str>,
    patience: Duration,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes)> {
    let request = prepare(method, url, token, body)?;
    let exchange = async {
        let (mut sender, connection) = connect(url).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may be done before its last answer has been read from it.
            closed = connection => match answer.await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(closed.err().map_or(error, anyhow::Error::from)),
            },
        }
    };
    timeout(patience, exchange).await.with_context(|| format!("no answer within {} s", patience.as_secs_f32()))?
}

/// JSON, if there is a body.
fn prepare(method: Method, url: &Uri, token: Option<&str>, body: Vec<u8>) -> Result<Request<Full<Bytes>>> {
    ensure!(url.scheme_str().is_none_or(|scheme| scheme == "http"), "only http:// is spoken here");
    let authority = url.authority().context("the URL names no host")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, authority.as_str());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::new(body.into()))?)
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;
type Connection = hyper::client::conn::http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

async fn connect(url: &Uri) -> Result<(Sender, Connection)> {
    let authority = url.authority().context("the URL names no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    Ok(hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?)
}

/// What happens in a fleet, as it tells it: server-sent events.
pub struct Events {
    body: Incoming,
    /// What has come of an event that is not complete.
    text: Vec<u8>,
    connection: JoinHandle<()>,
}

/// Something that a fleet tells those who look.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "almost all are frames")]
pub enum LiveEvent {
    /// All that is known.
    Snapshot(Snapshot),
    /// What has changed.
    Frame(Frame),
    /// Somebody wants the balancer to balance in another way.
    Balance(BalanceRequest),
}

impl Events {
    /// The next one; None when the fleet has ended, or tells no more because it was not listened to.
    pub async fn next(&mut self) -> Result<Option<LiveEvent>> {
        const END: &[u8] = b"\n\n";
        loop {
            if let Some(end) = self.text.windows(END.len()).position(|bytes| bytes == END) {
                let event: Vec<u8> = self.text.drain(..end + END.len()).collect();
                match read_event(&event)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.text.extend(frame.into_data().unwrap_or_default()),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// One of a kind that is not known here is None: the fleet may be newer.
fn read_event(event: &[u8]) -> Result<Option<LiveEvent>> {
    let text = str::from_utf8(event).context("failed to understand the fleet")?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let data = field("data: ");
    let read = match field("event: ") {
        "snapshot" => serde_json::from_str(data).map(LiveEvent::Snapshot),
        "frame" => serde_json::from_str(data).map(LiveEvent::Frame),
        "balance" => serde_json::from_str(data).map(LiveEvent::Balance),
        _ => return Ok(None),
    };
    read.map(Some).context("failed to understand the fleet: is it of another version?")
}
