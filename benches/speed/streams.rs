//! HTTP/2 and gRPC of a backend beside its HTTP/1, with `h2load` as the client of all three: CPU time per request, memory of a
//! connection that idles, and what floods leave in memory.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::client::CLIENT_CORE;
use crate::peers::{Fleet, Peer, Place, memory};
use crate::report::{StreamFigure, median, processor_time};

/// The protocol of the streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spoken {
    Http1,
    Http2,
    Grpc,
}

/// Connections, and requests at once on each.
type Shape = (u32, u32);

const ALONE: Shape = (64, 1);
const SHARED: [Shape; 2] = [(8, 32), (64, 100)];
const ROUNDS: usize = 5;
const IDLE: usize = 500;
const FLOOD: usize = 60 << 20;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// GET, http, `/`, and `a` as the authority, of the static table.
const HEAD: [u8; 6] = [0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

pub fn measure(place: &Place) -> Result<Vec<StreamFigure>> {
    let message = place.path("message");
    fs::write(&message, [0; 5])?;
    let fleet = Fleet::start(place, 1)?;
    let mut slices: Vec<(Spoken, Shape, Vec<f64>)> = vec![(Spoken::Http1, ALONE, Vec::new())];
    for shape in [&[ALONE][..], &SHARED].concat() {
        slices.push((Spoken::Http2, shape, Vec::new()));
        slices.push((Spoken::Grpc, shape, Vec::new()));
    }
    for round in 0..=ROUNDS {
        for (spoken, shape, times) in &mut slices {
            let time = slice(&fleet, *spoken, *shape, &message)?;
            // The first round warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let of = |spoken: Spoken, shape: Shape| {
        slices.iter().find(|it| (it.0, it.1) == (spoken, shape)).map_or(&[][..], |(.., times)| times)
    };
    let ratio = |ours: (Spoken, Shape), to: (Spoken, Shape)| {
        let pairs = of(ours.0, ours.1).iter().zip(of(to.0, to.1));
        median(pairs.map(|(ours, to)| ours / to).collect())
    };
    let h1 = (Spoken::Http1, ALONE);
    let mut figures = Vec::new();
    let mut add = |what: String, measured: f64, target: f64| figures.push(StreamFigure { what, measured, target });
    add("HTTP/2 / HTTP/1, 64 connections, a request at a time".to_owned(), ratio((Spoken::Http2, ALONE), h1), 1.25);
    for shape in SHARED {
        let (connections, streams) = shape;
        let what = format!("HTTP/2, {connections} connections with {streams} streams / HTTP/1, 64 connections");
        add(what, ratio((Spoken::Http2, shape), h1), 0.25);
    }
    for shape in [&[ALONE][..], &SHARED].concat() {
        let (connections, streams) = shape;
        let what = format!("gRPC / HTTP/2, {connections} connections with {streams} streams");
        add(what, ratio((Spoken::Grpc, shape), (Spoken::Http2, shape)), 1.3);
    }
    add("memory of an idle connection of HTTP/2 (RSS / 500), KiB".to_owned(), idle_memory(place)?, 4.0);
    for (name, flood) in FLOODS {
        let what = format!("memory that a flood of 60 MB of {name} leaves (RSS), MiB");
        add(what, flood_memory(place, *flood)?, 1.0);
    }
    Ok(figures)
}

/// Microseconds of the backend for a request.
fn slice(fleet: &Fleet, spoken: Spoken, (connections, streams): Shape, message: &Path) -> Result<f64> {
    let requests = if streams == 1 { 20_000 } else { 100_000 };
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE, "h2load", "-t1", "-n", &requests.to_string(), "-c", &connections.to_string()]);
    let path = match spoken {
        Spoken::Http1 => {
            command.arg("--h1");
            "uuid"
        }
        Spoken::Http2 => {
            command.args(["-m", &streams.to_string()]);
            "uuid"
        }
        Spoken::Grpc => {
            command.args(["-m", &streams.to_string(), "-H", "content-type: application/grpc", "-H", "te: trailers"]);
            command.arg("-d").arg(message);
            "uuid.v1.Generator/Generate"
        }
    };
    let before = processor_time(fleet.answers())?;
    let output =
        command.arg(format!("http://127.0.0.1:{}/{path}", fleet.port())).output().context("failed to run h2load")?;
    let time = processor_time(fleet.answers())? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        text.contains(&format!("{requests} succeeded, 0 failed, 0 errored")),
        "h2load was not answered well:\n{text}"
    );
    Ok(time as f64 / 1000.0 / f64::from(requests))
}

/// A connection on which a request was answered.
fn connect(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(&[PREFACE, &headers(1, true)].concat())?;
    let (mut answer, mut length) = ([0; 4096], 0);
    while length < 400 {
        match stream.read(&mut answer)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(stream)
}

/// HEADERS that end their request; whole, or to be continued.
fn headers(id: u32, whole: bool) -> Vec<u8> {
    let flags = if whole { 0x05 } else { 0x01 };
    [&[0, 0, HEAD.len() as u8, 0x01, flags][..], &id.to_be_bytes(), &HEAD].concat()
}

/// Resident memory that one idle connection adds, in KiB.
fn idle_memory(place: &Place) -> Result<f64> {
    let fleet = Fleet::start(place, 1)?;
    drop(connect(fleet.port())?);
    let before = memory(fleet.answers(), "Rss:")?;
    let open: Vec<TcpStream> = (0..IDLE).map(|_| connect(fleet.port())).collect::<Result<_>>()?;
    let after = memory(fleet.answers(), "Rss:")?;
    drop(open);
    Ok(after.saturating_sub(before) as f64 / IDLE as f64)
}

/// The next frames of a flood, given how many requests there were.
type Flood = fn(&mut u32) -> Vec<u8>;

const FLOODS: &[(&str, Flood)] = &[
    ("PING", |_| b"\0\0\x08\x06\0\0\0\0\x0012345678".repeat(4096)),
    ("SETTINGS", |_| b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff".repeat(4096)),
    ("CONTINUATION", |count| {
        *count += 1;
        let begun = if *count == 1 { headers(3, false) } else { Vec::new() };
        let continued = [&[0, 0x40, 0, 0x09, 0, 0, 0, 0, 3][..], &[0; 1 << 14]].concat();
        [begun, continued].concat()
    }),
    ("HEADERS and RST_STREAM", |count| {
        let mut frames = Vec::new();
        for _ in 0..1000 {
            *count += 1;
            let id = 2 * *count + 1;
            frames.extend_from_slice(&headers(id, true));
            frames.extend_from_slice(&[0, 0, 4, 3, 0]);
            frames.extend_from_slice(&id.to_be_bytes());
            frames.extend_from_slice(&8u32.to_be_bytes());
        }
        frames
    }),
];

/// MiB that the backend has more while the connection of the flood is still open, whose answers nobody reads.
fn flood_memory(place: &Place, flood: Flood) -> Result<f64> {
    let fleet = Fleet::start(place, 1)?;
    let mut stream = connect(fleet.port())?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let before = memory(fleet.answers(), "Rss:")?;
    let (mut sent, mut count) = (0, 0);
    while sent < FLOOD {
        let frames = flood(&mut count);
        sent += frames.len();
        // It stops to read, or ends the connection.
        if stream.write_all(&frames).is_err() {
            break;
        }
    }
    let after = memory(fleet.answers(), "Rss:")?;
    Ok(after.saturating_sub(before) as f64 / 1024.0)
}
