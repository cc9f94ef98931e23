//! Ours beside its peers, in one run: CPU time that the answering process spends on a request, memory, and the time to start.
//! `make bench` runs it; it writes docs/results/BENCHMARKS.md.
#![allow(unreachable_pub, reason = "nothing of a bench or a test is reachable from outside")]

mod asking;
mod client;
mod floor;
mod peers;
mod report;
mod secured;
mod streams;
mod watching;
mod worlds;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use client::Load;
use peers::{Fleet, Peer, Place};
use report::{Measured, Slice, StreamFigure};

/// Rounds of each load; a figure is the median of as many ratios, each of two slices of one round.
const ROUNDS: usize = 7;
/// Rounds of our client beside another, each of some seconds.
const ROUNDS_OF_CLIENTS: usize = 3;
/// Rounds of a difference of hundredths.
const WATCHED: usize = 15;
/// Fleets that are started for a figure of memory or of the time to start.
const STARTS: usize = 5;

fn main() -> ExitCode {
    if let Some(status) = worlds::from_arguments() {
        return status;
    }
    if let Some(mode) = floor::Mode::from_arguments() {
        floor::serve(mode);
    }
    if let Some(control) = watching::from_arguments() {
        return match watching::watch(&control) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let done = match asking::from_arguments() {
        Some(asked) => asking::ask(&asked),
        None if std::env::args().any(|word| word == "client") => ask_alone(),
        None if std::env::args().any(|word| word == "streams") => stream_alone(),
        None if std::env::args().any(|word| word == "secured") => secured_alone(),
        None if std::env::args().any(|word| word == "h2load") => beside_h2load_alone(),
        None if std::env::args().any(|word| word == "worlds") => enter_alone(),
        None => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let began = Instant::now();
    peers::check_programs()?;
    let place = Place::new()?;
    let mut measured = Measured::default();
    for load in Load::ALL {
        let ours = Fleet::start(&place, 1)?;
        let answer = client::answer_of(ours.port(), load)?;
        let mut peers: Vec<Box<dyn Peer>> = vec![
            Box::new(peers::Floor::start(&place, load, &answer)?),
            Box::new(peers::Nginx::start(&place, load, answer.len())?),
        ];
        if load == Load::Kept(64) {
            peers.push(Box::new(peers::Original::start()?));
        }
        if let Some(quickly_built) = Fleet::quickly_built(&place)? {
            peers.push(Box::new(quickly_built));
        }
        peers.push(Box::new(ours));
        for round in 0..=ROUNDS {
            for peer in &peers {
                let slice = Slice::take(peer.as_ref(), load, &place)?;
                // The first round warms up.
                if round > 0 {
                    measured.add(load, peer.name(), slice);
                }
            }
        }
        eprint!("{}", measured.rows(load));
    }
    measure_asking(&place, &mut measured)?;
    let watched = Fleet::start(&place, 1)?;
    for round in 0..=WATCHED {
        let pair = watching::pair(&watched, &place)?;
        if round > 0 {
            measured.watching.push(pair);
        }
    }
    drop(watched);
    for _ in 0..STARTS {
        measured.idle_memory.push(peers::idle_memory(&place)?);
    }
    measured.added_memory = peers::added_memory(&place, 300)?;
    measured.busy_memory = peers::busy_memory(&place, 256)?;
    for _ in 0..STARTS {
        measured.starts.push(peers::start_time(&place, 300)?);
    }
    for _ in 0..STARTS {
        measured.worlds.push(worlds::start()?);
        measured.rehearsed.push(worlds::throughput(&place)?);
    }
    measured.streams = streams::measure(&place)?;
    measured.streams.extend(secured::measure(&place)?);
    measured.streams.extend(measure_beside_h2load(&place)?);
    measured.took = began.elapsed();
    let report = measured.report();
    print!("{report}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/BENCHMARKS.md"), report)?;
    Ok(())
}

/// `cargo bench --bench speed -- worlds`: the private copy of this machine and nothing else; writes no file.
fn enter_alone() -> Result<()> {
    peers::check_programs()?;
    let place = Place::new()?;
    for _ in 0..STARTS {
        let (real, processors) = worlds::start()?;
        let (loopback, network) = worlds::throughput(&place)?;
        let ratio = network / loopback;
        println!(
            "start {real:.3} s ({processors:.3} s of CPU); {network:.0} req/s through its network, {loopback:.0} on loopback: {ratio:.2}"
        );
    }
    Ok(())
}

/// `cargo bench --bench speed -- client`: our client beside `wrk` and nothing else; writes no file.
fn ask_alone() -> Result<()> {
    peers::check_programs()?;
    measure_asking(&Place::new()?, &mut Measured::default())
}

/// `cargo bench --bench speed -- streams`: HTTP/2 and gRPC and nothing else; writes no file.
fn stream_alone() -> Result<()> {
    peers::check_programs()?;
    print!("{}", report::stream_rows(&streams::measure(&Place::new()?)?));
    Ok(())
}

/// `cargo bench --bench speed -- secured`: TLS and WebSockets and nothing else; writes no file.
fn secured_alone() -> Result<()> {
    peers::check_programs()?;
    print!("{}", report::stream_rows(&secured::measure(&Place::new()?)?));
    Ok(())
}

/// `cargo bench --bench speed -- h2load`: our client beside `h2load` and nothing else; writes no file.
fn beside_h2load_alone() -> Result<()> {
    peers::check_programs()?;
    print!("{}", report::stream_rows(&measure_beside_h2load(&Place::new()?)?));
    Ok(())
}

fn measure_beside_h2load(place: &Place) -> Result<Vec<StreamFigure>> {
    let asked = Fleet::start(place, 1)?;
    let mut figures = Vec::new();
    for (connections, streams) in [(64, None), (64, Some(1)), (8, Some(32))] {
        let mut ratios = Vec::new();
        for round in 0..=ROUNDS_OF_CLIENTS {
            let (ours, h2load) = asking::pair_with_h2load(asked.port(), connections, streams)?;
            if round > 0 {
                ratios.push(ours / h2load);
            }
        }
        let what = match streams {
            None => format!("the client of `check` / `h2load --h1 -c{connections}`"),
            Some(streams) => format!("the client of `check` / `h2load -c{connections} -m{streams}`"),
        };
        figures.push(StreamFigure { what, measured: report::median(ratios), target: 1.0 });
    }
    Ok(figures)
}

fn measure_asking(place: &Place, measured: &mut Measured) -> Result<()> {
    let asked = Fleet::start(place, 1)?;
    for round in 0..=ROUNDS {
        let pair = asking::pair(asked.port())?;
        if round > 0 {
            measured.asking.push(pair);
        }
    }
    eprint!("{}", measured.asking_row());
    Ok(())
}
