//! A backend's process as the supervisor sees it: started with its sockets and its journal, sent commands, and awaited.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::platform::{SEND, means};
use crate::wire::{Assignment, BackendCommand, BackendReport, Cause};

/// A running process, from here. Dropping it kills the process.
pub(crate) struct BackendProcess {
    pub(crate) pid: u32,
    orders: UnboundedSender<BackendCommand>,
    /// Until it has been awaited its id is its own.
    is_awaited: Rc<Cell<bool>>,
    _held: oneshot::Sender<()>,
}

/// What a process has to say, the last of it that it is gone.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The process reports something.
    Report(BackendReport),
    /// The process has ended.
    Gone(Cause),
}

impl BackendProcess {
    /// Starts a backend. Its listening sockets go to it and are closed here: once it is gone, its port refuses connections.
    pub(crate) fn start(
        assignment: &Assignment,
        journal: &OwnedFd,
        listeners: Vec<Socket>,
        mut notify: impl FnMut(Notice) + 'static,
    ) -> Result<BackendProcess> {
        let (ours, theirs) = StdUnixStream::pair().context("failed to make a channel")?;
        let mut child = Command::new(means().this_program()?)
            .arg0("uuid-generator")
            .args(["backend", &assignment.identity.name])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .spawn()
            .context("failed to start a process")?;
        let pid = child.id().context("the process ended at once")?;
        assign(&ours, assignment, journal, &listeners)?;
        ours.set_nonblocking(true)?;
        let channel = UnixStream::from_std(ours)?;
        let (read, write) = channel.into_split();
        let (orders, received) = unbounded_channel();
        // A process that is stopped reads nothing: signals do not wait for what it was sent before.
        spawn_local(deliver(received, write));
        let (held, dropped) = oneshot::channel();
        let is_awaited = Rc::new(Cell::new(false));
        let awaited = is_awaited.clone();
        spawn_local(async move {
            let cause = attend(&mut child, read, dropped, &awaited, &mut notify).await;
            notify(Notice::Gone(cause));
        });
        Ok(BackendProcess { pid, orders, is_awaited, _held: held })
    }

    /// Whether it was stopped by SIGSTOP; `None` if it is gone.
    pub(crate) fn is_stopped(&self) -> Option<bool> {
        let pid = Pid::from_raw(self.pid as i32)?;
        // What is only looked at is there for whoever awaits it.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(pid), look).ok().map(|stopped| stopped.is_some())
    }

    /// Tells the backend something.
    pub(crate) fn order(&self, order: BackendCommand) {
        // A process that is just ending needs no orders.
        let _ = self.orders.send(order);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let (false, Some(pid)) = (self.is_awaited.get(), Pid::from_raw(self.pid as i32)) {
            // One that is just ending needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The assignment, and with its first byte the descriptors.
fn assign(channel: &StdUnixStream, assignment: &Assignment, journal: &OwnedFd, listeners: &[Socket]) -> Result<()> {
    let mut line = serde_json::to_vec(assignment)?;
    line.push(b'\n');
    let descriptors: Vec<BorrowedFd> =
        std::iter::once(journal.as_fd()).chain(listeners.iter().map(AsFd::as_fd)).collect();
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(channel, &[IoSlice::new(&line)], &mut ancillary, SEND)
        .context("failed to give a backend its assignment")?;
    anyhow::ensure!(sent == line.len(), "failed to give a backend its whole assignment");
    Ok(())
}

/// Writes orders until the process is gone, or nobody gives any.
async fn deliver(mut orders: UnboundedReceiver<BackendCommand>, mut channel: OwnedWriteHalf) {
    while let Some(order) = orders.recv().await {
        let mut line = serde_json::to_vec(&order).expect("it has no keys that are no strings");
        line.push(b'\n');
        if channel.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Passes on what a process reports until it has ended. Once nobody holds it any more, it is killed.
async fn attend(
    child: &mut Child,
    reports: OwnedReadHalf,
    mut dropped: oneshot::Receiver<()>,
    is_awaited: &Cell<bool>,
    notify: &mut impl FnMut(Notice),
) -> Cause {
    let mut reports = BufReader::new(reports).lines();
    let mut speaks = true;
    let status = loop {
        tokio::select! {
            // What a process wrote before it ended is passed on before its end is.
            biased;
            line = reports.next_line(), if speaks => match line {
                Ok(Some(line)) => tell(&line, notify),
                Ok(None) | Err(_) => speaks = false,
            },
            status = child.wait() => break status,
            _ = &mut dropped => {
                let _ = child.start_kill();
                break child.wait().await;
            }
        }
    };
    is_awaited.set(true);
    while speaks && let Ok(Some(line)) = reports.next_line().await {
        tell(&line, notify);
    }
    status.map_or(Cause::Exit(-1), cause)
}

fn tell(line: &str, notify: &mut impl FnMut(Notice)) {
    if let Ok(report) = serde_json::from_str(line) {
        notify(Notice::Report(report));
    }
}

fn cause(status: ExitStatus) -> Cause {
    match (status.code(), status.signal()) {
        (_, Some(signal)) => Cause::Signal(signal),
        (code, None) => Cause::Exit(code.unwrap_or(-1)),
    }
}

/// The name of a backend's journal, for those who look at its open files.
pub(crate) fn journal_name(name: &str) -> String {
    format!("uuid-generator journal {name}")
}
