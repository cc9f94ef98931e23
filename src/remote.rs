//! How another process speaks to a fleet's API, or asks a URL for its health: plain HTTP/1.1, one request a connection.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::runfile::{Runfile, Whereabouts};
use crate::wire::{Action, BatchHead, Fault, FleetStatus, Generator, Record, read_batch};

/// A fleet that runs.
#[derive(Clone)]
pub struct Remote {
    whereabouts: Whereabouts,
}

/// A fleet answers at once, except where it waits for backends to end or to start.
const PATIENCE: Duration = Duration::from_secs(5);

impl Remote {
    /// The one fleet of this user that runs on this machine and has all of `generators`; or the one with that supervisor.
    pub fn find(supervisor: Option<u32>, generators: &[Generator]) -> Result<Remote> {
        let all = Runfile::find_all()?;
        let fits = |fleet: &Whereabouts| match supervisor {
            Some(pid) => fleet.pid == pid,
            None => generators.iter().all(|generator| fleet.generators.contains(generator)),
        };
        let mut fitting = all.iter().filter(|fleet| fits(fleet));
        match (fitting.next(), fitting.next()) {
            (Some(fleet), None) => Ok(Remote { whereabouts: fleet.clone() }),
            (Some(_), Some(_)) => {
                bail!("more than one fleet of this user runs:{}\n  hint: choose one with --fleet PID", list(&all))
            }
            (None, _) if all.is_empty() => {
                bail!("no fleet of this user runs on this machine\n  hint: start one: uuid-generator")
            }
            // One fleet is meant even if it lacks a backend: its API then says which.
            (None, _) if supervisor.is_none() && all.len() == 1 => Ok(Remote { whereabouts: all[0].clone() }),
            (None, _) => bail!("no such fleet runs; those that do:{}", list(&all)),
        }
    }

    /// The one whose API is there. It can be changed only if it is a fleet of this user on this machine.
    pub fn at(control: &str) -> Result<Remote> {
        let control = control.trim_end_matches('/');
        let own = Runfile::find_all()?.into_iter().find(|fleet| fleet.control == control);
        let unknown =
            || Whereabouts { pid: 0, control: control.to_owned(), token: String::new(), generators: Vec::new() };
        Ok(Remote { whereabouts: own.unwrap_or_else(unknown) })
    }

    /// Its API.
    pub fn control(&self) -> &str {
        &self.whereabouts.control
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

    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method, path: &str, patience: Duration) -> Result<T> {
        let body = self.fetch(method, path, patience).await?;
        serde_json::from_slice(&body).context("failed to understand the fleet: is it of another version?")
    }

    async fn fetch(&self, method: Method, path: &str, patience: Duration) -> Result<Bytes> {
        let uri: Uri = format!("{}{path}", self.whereabouts.control).parse()?;
        let (status, body) = request(method, &uri, Some(&self.whereabouts.token), patience)
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
    Ok(request(Method::GET, url, None, patience).await?.0)
}

async fn request(method: Method, url: &Uri, token: Option<&str>, patience: Duration) -> Result<(StatusCode, Bytes)> {
    ensure!(url.scheme_str().is_none_or(|scheme| scheme == "http"), "only http:// is spoken here");
    let authority = url.authority().context("the URL names no host")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, authority.as_str());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let exchange = async {
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
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
