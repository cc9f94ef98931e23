//! A backend's only tie to its supervisor: a socket pair in place of its standard input. Lines of JSON, and with the
//! first of them the descriptors that it works with.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::platform::{RECEIVE, means};
use crate::wire::{Assignment, BackendCommand, BackendReport};

/// The backend's end of the channel to its supervisor.
pub(crate) struct Channel {
    socket: UnixStream,
    /// A line that has not ended yet.
    partial: Vec<u8>,
}

/// More descriptors than any backend is given.
const MAX_DESCRIPTORS: usize = 64;

impl Channel {
    /// Takes over the standard input, which the supervisor made one end of a socket pair.
    pub(crate) fn take_over_stdin() -> Result<Channel> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        ensure!(
            socket.local_addr().is_ok(),
            "a backend is started by its fleet, not by hand\n  hint: run uuid-generator without `backend`"
        );
        Ok(Channel { socket, partial: Vec::new() })
    }

    /// Waits for the assignment and the descriptors that come with it.
    pub(crate) fn assignment(&mut self) -> Result<(Assignment, Vec<OwnedFd>)> {
        let mut descriptors = Vec::new();
        loop {
            if self.receive(&mut descriptors, RecvFlags::empty())? == 0 {
                anyhow::bail!("the supervisor ended before it gave an assignment");
            }
            if let Some(line) = self.next_line() {
                let assignment = serde_json::from_slice(&line).context("failed to understand the assignment")?;
                return Ok((assignment, descriptors));
            }
        }
    }

    /// The orders that have come. The end of the supervisor is an error.
    pub(crate) fn orders(&mut self) -> io::Result<Vec<BackendCommand>> {
        match self.receive(&mut Vec::new(), RecvFlags::DONTWAIT) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the supervisor is gone")),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut orders = Vec::new();
        while let Some(line) = self.next_line() {
            orders.push(serde_json::from_slice(&line)?);
        }
        Ok(orders)
    }

    /// Says something to the supervisor. If that is gone, the loop learns it from [`Channel::orders`].
    pub(crate) fn report(&mut self, report: &BackendReport) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.socket.write_all(&line);
        }
    }

    /// Says something to the supervisor unless that would mean to wait, because it reads slowly. Whether it was said.
    pub(crate) fn report_if_there_is_room(&mut self, report: &BackendReport) -> bool {
        // A socket pair is writable while three quarters of its buffer are free: more than any report needs.
        let mut asked = [PollFd::new(&self.socket, PollFlags::OUT)];
        let has_room = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
        if has_room {
            self.report(report);
        }
        has_room
    }

    fn receive(&mut self, descriptors: &mut Vec<OwnedFd>, flags: RecvFlags) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let flags = flags | RECEIVE;
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                for descriptor in rights {
                    means().keep(&descriptor)?;
                    descriptors.push(descriptor);
                }
            }
        }
        self.partial.extend_from_slice(&bytes[..received.bytes]);
        Ok(received.bytes)
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.partial.iter().position(|byte| *byte == b'\n')?;
        Some(self.partial.drain(..=end).collect())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
