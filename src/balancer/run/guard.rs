//! A process between us and a balancer that we started: when we end, in whatever way, it ends the balancer and removes what was made for
//! it. It knows that we have ended when its standard input does. If the guard itself is killed, the kernel tells the balancer to end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{PipeReader, Read, Result as Io, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};

use crate::balancer::fallback;
use crate::balancer::run::scratch;
use crate::error::Problem;
use crate::platform::means;

/// What the balancer says goes there, in the scratch folder.
pub(crate) const OUTPUT: &str = "output.log";
/// A file of this name is there when the balancer has ended by itself.
pub(crate) const ENDED: &str = "ended";
/// So much of what the balancer says is kept for certain.
pub(crate) const KEPT: usize = 64 << 10;
/// The most of it that is kept on the disk, in bytes.
const ON_DISK: usize = 1 << 20;
/// The time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(20);

/// The first words of the command lines of the two processes between us and a balancer.
const GUARD: &str = "guard";
const BECOME: &str = "become-balancer";

pub(crate) struct GuardOrders {
    /// The scratch folder of the run, removed at the end.
    pub(crate) scratch: PathBuf,
    /// The working directory of the balancer.
    pub(crate) folder: PathBuf,
    /// Files for which the balancer sees empty ones of its own.
    pub(crate) covered: Vec<PathBuf>,
    /// What runs it in the foreground.
    pub(crate) command: Vec<OsString>,
}

impl GuardOrders {
    /// As the command line of a guard.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![GUARD.into(), self.scratch.clone().into(), self.folder.clone().into()];
        words.extend(self.covered.iter().map(OsString::from));
        words.push("--".into());
        words.extend(self.command.iter().cloned());
        words
    }

    fn read(words: &[OsString]) -> Option<GuardOrders> {
        let [scratch, folder, rest @ ..] = words else { return None };
        let end = rest.iter().position(|word| word == "--")?;
        let covered = rest[..end].iter().map(PathBuf::from).collect();
        let command = rest[end + 1..].to_vec();
        Some(GuardOrders { scratch: scratch.into(), folder: folder.into(), covered, command })
    }
}

/// Does what the command line says, if it is that of a guard, of a balancer that is to be, or of the built-in one.
pub(crate) fn run_as_told() -> Option<Result<ExitCode>> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (first, rest) = words.split_first()?;
    match first.to_str()? {
        GUARD => Some(GuardOrders::read(rest).context("a guard is started by this program only").and_then(guard)),
        BECOME => Some(Err(become_balancer(rest))),
        fallback::COMMAND => {
            let file = rest.first().context("the built-in balancer is started by this program only");
            Some(file.and_then(|file| fallback::run(Path::new(file))).map(|()| ExitCode::SUCCESS))
        }
        _ => None,
    }
}

/// Guards a balancer until it or we have ended. Returns its exit status.
fn guard(orders: GuardOrders) -> Result<ExitCode> {
    // Removed before it is given free: nobody else finds it left over.
    let _held = scratch::hold(&orders.scratch).context("the folder of the balancer's files is gone")?;
    let _scratch = Removed(orders.scratch.clone());
    // CTRL+C goes to the whole foreground group: the one that waits for us decides, not the terminal.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).context("failed to listen to signals")?;
    }
    // What cuts itself off from its parent, as daemons do, comes to us.
    means().adopt_orphans().context("failed to become the one who gets orphans")?;
    let (reader, writer) = std::io::pipe().context("failed to make a pipe for the balancer's output")?;
    let output = File::create(orders.scratch.join(OUTPUT)).context("failed to write the balancer's output")?;
    let mut become_it = Command::new(std::env::current_exe().context("failed to find this program")?);
    become_it.arg(BECOME).arg(getpid().as_raw_pid().to_string()).arg(&orders.scratch).args(&orders.covered);
    become_it.arg("--").args(&orders.command);
    become_it.current_dir(&orders.folder).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = become_it.spawn().context("failed to start a process for the balancer")?;
    // It holds the ends of the pipe that are the balancer's.
    drop(become_it);
    thread::spawn(move || keep(reader, output));
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = ended.send(());
    });
    loop {
        if let Some(status) = child.try_wait()? {
            // Whoever started us reads why before the folder goes.
            let _ = File::create(orders.scratch.join(ENDED));
            let _ = end.recv();
            stop_orphans();
            return Ok(ExitCode::from(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1) as u8));
        }
        match end.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                stop(&mut child);
                stop_orphans();
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// Becomes the balancer, after what only its own process can arrange. Returns if it cannot.
fn become_balancer(words: &[OsString]) -> anyhow::Error {
    let arranged = || -> Result<Command> {
        let [guard, scratch, rest @ ..] = words else { bail!("this is started by a guard only") };
        // nginx's master hands SIGTERM on to its workers; they would outlive its SIGKILL.
        means().signal_at_end_of_parent(Signal::TERM).context("failed to be bound to the guard")?;
        // The guard may have ended before that.
        if getppid().map(|parent| parent.as_raw_pid().to_string()).as_deref() != guard.to_str() {
            bail!("the guard has ended");
        }
        let end = rest.iter().position(|word| word == "--").context("no command")?;
        cover(Path::new(scratch), &rest[..end])?;
        let (program, arguments) = rest[end + 1..].split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    };
    match arranged() {
        Ok(mut command) => {
            let program = command.get_program().to_string_lossy().into_owned();
            anyhow::Error::from(command.exec()).context(format!("failed to start {program}"))
        }
        Err(error) => error,
    }
}

/// Lays empty files of our own over those, for this process and its children alone.
fn cover(scratch: &Path, files: &[OsString]) -> Result<()> {
    let existing: Vec<&Path> = files.iter().map(Path::new).filter(|file| file.exists()).collect();
    if existing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = existing.iter().map(|file| file.display().to_string()).collect();
    means().cover(scratch, &existing).map_err(|why| {
        let what = "may belong to a balancer that runs on this machine, and would be overwritten";
        let hint = "give the file another path there, or run as root, so that it is covered";
        Problem::new(format!("{what} ({why})")).on(names.join(", ")).hint(hint).into()
    })
}

/// Writes what the balancer says to its file until the balancer and all of its processes have closed it. What is older than the last 64 KiB is
/// given up when the file gets too long.
fn keep(mut reader: PipeReader, mut file: File) {
    let mut tail: VecDeque<u8> = VecDeque::with_capacity(2 * KEPT);
    let mut on_disk = 0;
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = reader.read(&mut piece) {
        tail.extend(&piece[..length]);
        tail.drain(..tail.len().saturating_sub(KEPT));
        // A disk that is full costs what is said, not the balancer, which would wait for a reader.
        let _ = write_bounded(&mut file, &mut on_disk, &piece[..length], &mut tail);
    }
}

fn write_bounded(file: &mut File, on_disk: &mut usize, new: &[u8], tail: &mut VecDeque<u8>) -> Io<()> {
    if *on_disk + new.len() <= ON_DISK {
        *on_disk += new.len();
        return file.write_all(new);
    }
    file.set_len(0)?;
    file.rewind()?;
    *on_disk = tail.len();
    file.write_all(tail.make_contiguous())
}

fn stop(child: &mut Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        thread::sleep(GLANCE / 4);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Whatever the balancer has left.
fn stop_orphans() {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = means().children(std::process::id());
        if left.is_empty() {
            return;
        }
        let signal = if Instant::now() < deadline { Signal::TERM } else { Signal::KILL };
        for pid in left.iter().filter_map(|process| Pid::from_raw(*process as i32)) {
            let _ = kill_process(pid, signal);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        thread::sleep(GLANCE / 4);
    }
}

/// Removed with all that is in it when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_on_the_disk_and_its_end_is_kept() {
        let path = std::env::temp_dir().join(format!("uuid-generator-flood-{}", std::process::id()));
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = File::create(&path).unwrap();
        let keeper = thread::spawn(move || keep(reader, file));
        let mut longest = 0;
        for number in 0..200_000 {
            writeln!(writer, "line {number} of a balancer that floods").unwrap();
            if number % 1000 == 0 {
                longest = longest.max(fs::metadata(&path).unwrap().len());
            }
        }
        drop(writer);
        keeper.join().unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(longest.max(kept.len() as u64) <= ON_DISK as u64, "{longest}, {}", kept.len());
        assert!(kept.len() >= KEPT && kept.ends_with("line 199999 of a balancer that floods\n"), "{}", kept.len());
    }

    #[test]
    fn orders_arrive_as_they_were_given() {
        let orders = GuardOrders {
            scratch: "/s".into(),
            folder: "/f".into(),
            covered: vec!["/run/nginx.pid".into()],
            command: ["nginx", "--", "-x"].map(OsString::from).to_vec(),
        };
        let read = GuardOrders::read(&orders.words()[1..]).unwrap();
        assert_eq!((read.scratch, read.folder, read.covered), (orders.scratch, orders.folder, orders.covered));
        assert_eq!(read.command, orders.command);
    }
}
