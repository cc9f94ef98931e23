//! Inside each child process: one origin server. It is given its sockets, its journal and its orders, and opens nothing itself.
//!
//! A request's way: `server` (bytes arrive) → `speaker` → `connection` or, of HTTP/2, `multiplexed` → `exchange` (`arrival`, `ask`: what came; `health`, or `fault` and
//! `content`: what it gets) → the journal → `response` → `server` (bytes leave).

mod arrival;
mod ask;
mod channel;
mod connection;
mod content;
mod exchange;
mod fault;
mod grpc;
mod health;
mod link;
mod multiplexed;
mod paced;
mod response;
mod server;
mod session;
mod show;
mod speaker;
mod state;
mod turn;
mod waiting;
mod websocket;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use socket2::Socket;

use crate::io::tls_server::Acceptor;
use crate::journal::Writer;
use crate::platform::means;
use crate::wire::{Assignment, BackendReport};
use channel::Channel;
use server::BackendServer;
use state::ProcessState;

/// The life of a backend, from its assignment to its end.
pub(crate) fn run() -> Result<()> {
    let mut channel = Channel::take_over_stdin()?;
    die_with_the_supervisor()?;
    let (assignment, descriptors) = channel.assignment()?;
    let terminations = listen_to_signals()?;
    match prepare(&assignment, descriptors) {
        Ok((state, listeners)) => BackendServer::new(listeners, channel, terminations, assignment.grace, state)?
            .run()
            .context("the backend's loop failed"),
        Err(error) => {
            channel.report(&BackendReport::Failed(format!("{error:#}")));
            Err(error)
        }
    }
}

fn prepare(assignment: &Assignment, descriptors: Vec<std::os::fd::OwnedFd>) -> Result<(ProcessState, Vec<Socket>)> {
    let mut descriptors = descriptors.into_iter();
    let journal = descriptors.next().context("no journal came with the assignment")?;
    let listeners: Vec<Socket> = descriptors.map(Socket::from).collect();
    ensure!(!listeners.is_empty(), "no listening socket came with the assignment");
    let mut state = ProcessState::new(
        assignment.identity.clone(),
        assignment.generator,
        assignment.place,
        Writer::open(&journal)?,
        assignment.limits,
        assignment.calendar,
    );
    state.proxy_protocol = assignment.proxy_protocol;
    state.protocols = assignment.protocols;
    if let Some(tls) = &assignment.tls {
        state.tls =
            Some(Acceptor::new(tls.clone(), assignment.protocols).context("failed to take over the certificate")?);
    }
    state.misbehave(assignment.faults.clone());
    Ok((state, listeners))
}

/// However the supervisor ends, even by SIGKILL, and on Linux even while this process is paused.
fn die_with_the_supervisor() -> Result<()> {
    // If it ended before this line, the channel has ended too, and reading the assignment fails.
    means().signal_at_end_of_parent(Signal::KILL).context("failed to tie the backend to its supervisor")
}

/// CTRL+C and a closed terminal reach all processes of the fleet, but it is the supervisor who decides. SIGTERM drains.
fn listen_to_signals() -> Result<UnixStream> {
    for ignored in [SIGINT, SIGHUP] {
        signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false))).context("failed to ignore CTRL+C")?;
    }
    let (receiver, sender) = UnixStream::pair().context("failed to make a socket pair for SIGTERM")?;
    signal_hook::low_level::pipe::register(SIGTERM, sender).context("failed to listen to SIGTERM")?;
    Ok(receiver)
}
