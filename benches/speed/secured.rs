//! TLS and WebSockets of a backend beside its HTTP/1 without either: CPU time of the answering process, and memory of a connection that idles.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{CLIENT_CORE, Load, answer_of};
use crate::peers::{Fleet, Floor, Nginx, Peer, Place, memory};
use crate::report::{StreamFigure, median, processor_time};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;
/// Times that something is sent on all connections, and read from all.
const VOLLEYS: usize = 150;
const KEPT: u32 = 20_000;
const NEW: u32 = 400;
const IDLE: usize = 300;

/// A certificate and its key, in a file each.
struct Certificate {
    files: [String; 2],
    der: CertificateDer<'static>,
}

impl Certificate {
    fn make(place: &Place) -> Result<Certificate> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
        let file = |name: &str, text: String| -> Result<String> {
            let path = place.path(name);
            fs::write(&path, text)?;
            Ok(path.to_str().context("a path in UTF-8")?.to_owned())
        };
        let files = [file("certificate.pem", certificate.pem())?, file("key.pem", key.serialize_pem())?];
        Ok(Certificate { files, der: certificate.der().clone() })
    }

    fn fleet(&self, place: &Place) -> Result<Fleet> {
        let [certificate, key] = &self.files;
        Fleet::start_with(place, 1, &["--tls", "--cert", certificate, "--key", key])
    }
}

pub fn measure(place: &Place) -> Result<Vec<StreamFigure>> {
    let certificate = Certificate::make(place)?;
    let plain = Fleet::start(place, 1)?;
    let secure = certificate.fleet(place)?;
    let nginx = Nginx::start_tls(place, &certificate.files)?;
    let load = Load::Kept(CONNECTIONS as u32);
    let floor_of_echo = Floor::start(place, load, &echo())?;
    let floor_of_request = Floor::start(place, load, &answer_of(plain.port(), load)?)?;
    let (mut kept, mut new, mut of_ours, mut of_loop) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let of_kept =
            h2load(&secure, "https", CONNECTIONS as u32, KEPT)? / h2load(&plain, "http", CONNECTIONS as u32, KEPT)?;
        let of_new = h2load(&secure, "https", NEW, NEW)? / h2load(&nginx, "https", NEW, NEW)?;
        let of_echo = websocket(&plain)? / request(&plain)?;
        let of_floor = echoes(&floor_of_echo, &mut connections(&floor_of_echo)?)? / request(&floor_of_request)?;
        // The first round warms up.
        if round > 0 {
            kept.push(of_kept);
            new.push(of_new);
            of_ours.push(of_echo);
            of_loop.push(of_floor);
        }
    }
    let figure = |what: &str, measured: f64, target: f64| StreamFigure { what: what.to_owned(), measured, target };
    Ok(vec![
        figure("TLS 1.3 / without, HTTP/1, 64 connections that are kept", median(kept), 1.25),
        figure("a new connection of TLS 1.3 and a request: ours / nginx", median(new), 0.5),
        figure(
            &format!(
                "a WebSocket message of 100 bytes and its echo / a request of HTTP/1, 64 connections (the bare epoll loop with the same bytes: {:.2})",
                median(of_loop)
            ),
            median(of_ours),
            0.6,
        ),
        figure("memory of an idle connection of TLS (RSS / 300), KiB", idle_memory(place, &certificate)?, 10.0),
    ])
}

/// Microseconds of the server for a request.
fn h2load(server: &dyn Peer, scheme: &str, connections: u32, requests: u32) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE, "h2load", "-t1", "--h1", "-n", &requests.to_string(), "-c"]);
    command.arg(connections.to_string()).arg(format!("{scheme}://127.0.0.1:{}/uuid", server.port()));
    let before = processor_time(server.answers())?;
    let output = command.output().context("failed to run h2load")?;
    let time = processor_time(server.answers())? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains(&format!("{requests} succeeded, 0 failed")), "h2load was not answered well:\n{text}");
    Ok(time as f64 / 1000.0 / f64::from(requests))
}

/// A frame with a message of 100 bytes, as it comes back.
fn echo() -> Vec<u8> {
    [&[0x81, 100][..], &[b'a'; 100]].concat()
}

/// The same for a message that comes back.
fn websocket(fleet: &Fleet) -> Result<f64> {
    let handshake = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut open = connections(fleet)?;
    for stream in &mut open {
        stream.write_all(handshake)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    }
    echoes(fleet, &mut open)
}

/// Of connections on which frames are spoken.
fn echoes(server: &dyn Peer, open: &mut [TcpStream]) -> Result<f64> {
    // Text, whole, with a mask of zeros.
    let frame = [&[0x81, 0x80 | 100, 0, 0, 0, 0][..], &[b'a'; 100]].concat();
    let echo = echo();
    volleys(server, open, &frame, echo.len(), |reply| reply == echo)
}

/// The same for a request.
fn request(server: &dyn Peer) -> Result<f64> {
    let head = b"GET /uuid HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = connect(server)?;
    first.write_all(head)?;
    let length = first.read(&mut [0; 4096])?;
    let mut open = connections(server)?;
    volleys(server, &mut open, head, length, |reply| reply.starts_with(b"HTTP/1.1 200 OK\r\n"))
}

fn connections(server: &dyn Peer) -> Result<Vec<TcpStream>> {
    (0..CONNECTIONS).map(|_| connect(server)).collect()
}

fn connect(server: &dyn Peer) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends on all connections, then reads all replies, again and again.
fn volleys(
    server: &dyn Peer,
    open: &mut [TcpStream],
    message: &[u8],
    length: usize,
    is_good: impl Fn(&[u8]) -> bool,
) -> Result<f64> {
    let mut reply = vec![0; length];
    let before = processor_time(server.answers())?;
    for _ in 0..VOLLEYS {
        for stream in &mut *open {
            stream.write_all(message)?;
        }
        for stream in &mut *open {
            stream.read_exact(&mut reply)?;
            ensure!(is_good(&reply), "unexpected: {}", reply.escape_ascii());
        }
    }
    let time = processor_time(server.answers())? - before;
    Ok(time as f64 / 1000.0 / (VOLLEYS * open.len()) as f64)
}

/// KiB.
fn idle_memory(place: &Place, certificate: &Certificate) -> Result<f64> {
    let fleet = certificate.fleet(place)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone())?;
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let open = || -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let client = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(client, connect(&fleet)?);
        stream.write_all(b"GET /uuid HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = [0; 4096];
        ensure!(stream.read(&mut answer)? > 0, "no response");
        Ok(stream)
    };
    drop(open()?);
    let before = memory(fleet.answers(), "Rss:")?;
    let held = (0..IDLE).map(|_| open()).collect::<Result<Vec<_>>>()?;
    let after = memory(fleet.answers(), "Rss:")?;
    drop(held);
    Ok(after.saturating_sub(before) as f64 / IDLE as f64)
}
