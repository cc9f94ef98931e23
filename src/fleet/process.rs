//! A backend's process as the supervisor sees it: started with its sockets and its journal, sent commands, and awaited.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

use crate::platform::{SEND, means};
use crate::wire::{Assignment, BackendCommand, BackendReport, Cause};

/// A running process, from here. Dropping it kills the process.
pub(crate) struct BackendProcess {
    pub(crate) pid: u32,
    directives: UnboundedSender<Directive>,
}

/// What is done to a process.
enum Directive {
    Order(BackendCommand),
    Signal(Signal),
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
        let (directives, received) = unbounded_channel();
        spawn_local(async move {
            let cause = attend(&mut child, channel, received, &mut notify).await;
            notify(Notice::Gone(cause));
        });
        Ok(BackendProcess { pid, directives })
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
        let _ = self.directives.send(Directive::Order(order));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = self.directives.send(Directive::Signal(signal));
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

async fn attend(
    child: &mut Child,
    channel: UnixStream,
    mut directives: UnboundedReceiver<Directive>,
    notify: &mut impl FnMut(Notice),
) -> Cause {
    let (read, mut write) = channel.into_split();
    let mut reports = BufReader::new(read).lines();
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
            directive = directives.recv() => match directive {
                Some(Directive::Order(order)) => {
                    if let Ok(mut line) = serde_json::to_vec(&order) {
                        line.push(b'\n');
                        let _ = write.write_all(&line).await;
                    }
                }
                // It has not been awaited yet, so its id is still its own.
                Some(Directive::Signal(signal)) => {
                    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid as i32)) {
                        let _ = kill_process(pid, signal);
                    }
                }
                // Nobody holds the process any more.
                None => {
                    let _ = child.start_kill();
                    break child.wait().await;
                }
            },
        }
    };
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
