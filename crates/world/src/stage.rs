//! The processes of a world, outermost first.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mount::mount_bind;
use rustix::process::{
    Pid, Signal, WaitOptions, getegid, geteuid, kill_process, set_parent_process_death_signal, wait,
};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::error::{Error, Forbidden, Result, failed};
use crate::network::{BACKENDS, BACKENDS_NETWORK, BALANCER_NETWORK};
use crate::world::World;
use crate::{files, filter, network};

const OUTERMOST: &str = "world-outermost";
const FIRST: &str = "world-first";
/// The two processes of a trial, of which nothing is left.
const TRIAL: &str = "world-trial";
const TRIAL_WITHIN: &str = "world-trial-within";

/// What the first process has to know and can no longer see.
#[derive(Serialize, Deserialize)]
struct StageOrders {
    world: World,
    /// Addresses of the machine.
    addresses: Vec<IpAddr>,
    /// Unix sockets of the machine.
    sockets: Vec<PathBuf>,
    /// Not all ids are mapped, and this one pretends to be all of them.
    one_id: bool,
    /// A pipe that ends with the outermost process, and brings the numbers of signals that it got.
    lifeline: i32,
}

/// Does what the command line says, if it is that of a stage. The error is for whoever started the world.
pub fn run_stage() -> Option<Result<ExitCode>> {
    let mut words = std::env::args_os().skip(1);
    let (stage, orders) = (words.next()?, words.next());
    let orders = orders.as_deref().map(|it| it.as_encoded_bytes()).unwrap_or_default();
    let command: Vec<OsString> = words.collect();
    match stage.to_str()? {
        OUTERMOST => Some(read(orders).and_then(|world| outermost(World { command, ..world }))),
        FIRST => Some(read(orders).and_then(|orders| first(orders, &command))),
        TRIAL => Some(trial()),
        TRIAL_WITHIN => Some(trial_within()),
        _ => None,
    }
}

fn read<'de, T: Deserialize<'de>>(orders: &'de [u8]) -> Result<T> {
    serde_json::from_slice(orders).map_err(|why| failed("to read the orders of a stage", io::Error::other(why)))
}

fn this_program(stage: &str, orders: &impl Serialize, command: &[OsString]) -> Result<Command> {
    let program = std::env::current_exe().map_err(|why| failed("to find this program", why))?;
    let orders = serde_json::to_string(orders).map_err(|why| failed("to write orders", io::Error::other(why)))?;
    let mut process = Command::new(program);
    process.arg(stage).arg(orders).args(command);
    Ok(process)
}

impl World {
    /// Becomes the outermost process of the world; it ends with the status of the command. Returns only if that cannot be.
    pub fn enter(&self) -> Error {
        match this_program(OUTERMOST, self, &self.command) {
            Ok(mut command) => failed("to start this program", command.exec()),
            Err(error) => error,
        }
    }
}

/// Why no world can be entered here, in a few words. It is tried, with processes of its own, and costs some milliseconds.
pub fn refusal() -> Option<String> {
    let trial = this_program(TRIAL, &(), &[]).and_then(|mut command| {
        command.stderr(std::process::Stdio::null());
        command.output().map_err(|why| failed("to start this program", why))
    });
    match trial {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn trial() -> Result<ExitCode> {
    report(make_namespaces().and_then(|_| {
        let mut within = this_program(TRIAL_WITHIN, &(), &[])?;
        let status = within.status().map_err(|why| failed("to start a world", why))?;
        Ok(ExitCode::from(u8::from(!status.success())))
    }))
}

/// What a machine may refuse although it lets namespaces be made.
fn trial_within() -> Result<ExitCode> {
    let mounts = || -> Result<ExitCode> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|why| failed("to have mounts of its own", why))?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|why| failed("to have a network of its own", why))?;
        files::make_read_only()?;
        files::close_proc()?;
        files::verify()?;
        Ok(ExitCode::SUCCESS)
    };
    report(mounts())
}

fn report(tried: Result<ExitCode>) -> Result<ExitCode> {
    Ok(tried.unwrap_or_else(|why| {
        let _ = write!(io::stdout(), "{why}");
        ExitCode::FAILURE
    }))
}

/// One thread, which namespaces of users require.
fn outermost(world: World) -> Result<ExitCode> {
    // It goes to all of the foreground group: what runs within decides.
    signal_hook::flag::register(SIGQUIT, Arc::new(AtomicBool::new(false)))
        .map_err(|why| failed("to listen to signals", why))?;
    // CTRL+C does too, and may as well be sent to this process alone.
    let signals = [SIGINT, SIGTERM, SIGHUP, SIGCHLD].into_iter().filter(|it| *it != SIGHUP || !is_ignored(*it));
    let signals = signals.map(listen).collect::<Result<Vec<_>>>()?;
    let (addresses, sockets) = (network::addresses(), files::sockets());
    let one_id = make_namespaces()?;
    let (end, lifeline) = io::pipe().map_err(|why| failed("to make a pipe", why))?;
    let end = OwnedFd::from(end);
    fcntl_setfd(&end, FdFlags::empty()).map_err(|why| failed("to hand over a pipe", why))?;
    let command = world.command.clone();
    let orders = StageOrders { world, addresses, sockets, one_id, lifeline: end.as_raw_fd() };
    let mut first = this_program(FIRST, &orders, &command)?.spawn().map_err(|why| failed("to start the world", why))?;
    drop(end);
    let status = wait_for(&mut first, &signals, lifeline).map_err(|why| failed("to wait for the world", why))?;
    Ok(ExitCode::from(status.code().or(status.signal().map(|it| 128 + it)).unwrap_or(1) as u8))
}

/// A signal that somebody sends to this process, and where it shows when one has come.
fn listen(signal: i32) -> Result<(i32, UnixStream)> {
    let heard = || -> io::Result<UnixStream> {
        let (come, hook) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal, hook)?;
        Ok(come)
    };
    heard().map(|come| (signal, come)).map_err(|why| failed("to listen to signals", why))
}

/// As `nohup` has it: it stays so.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

/// Waits for the first process and tells it each signal, which it passes on to the command: a signal proper would be lost while the first
/// has no handler for it. No thread can be had here: it would have to be in another namespace of processes than its process.
fn wait_for(first: &mut Child, signals: &[(i32, UnixStream)], mut lifeline: PipeWriter) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = first.try_wait()? {
            return Ok(status);
        }
        let mut polled: Vec<PollFd> = signals.iter().map(|(_, come)| PollFd::new(come, PollFlags::IN)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
        let have_come: Vec<bool> = polled.iter().map(|it| it.revents().contains(PollFlags::IN)).collect();
        for ((signal, come), _) in signals.iter().zip(have_come).filter(|(_, has_come)| *has_come) {
            let mut come: &UnixStream = come;
            come.read_exact(&mut [0])?;
            if *signal != SIGCHLD {
                let _ = lifeline.write_all(&[*signal as u8]);
            }
        }
    }
}

/// The namespaces that a process gets for itself or for its children. Whether ids of accounts are not mapped.
fn make_namespaces() -> Result<bool> {
    let all = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if geteuid().is_root() {
        match unshare(all) {
            // Root of a namespace that maps this user alone can become nobody else either.
            Ok(()) => return Ok(!(maps_accounts("uid_map") && maps_accounts("gid_map"))),
            // Root of a container, which may still make a namespace of users.
            Err(Errno::EPERM) => {}
            Err(why) => return Err(explain_refusal(why)),
        }
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(all | CloneFlags::CLONE_NEWUSER).map_err(explain_refusal)?;
    let map = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
    // Ubuntu lets namespaces be made and takes all power away in them.
    let mapped = map("setgroups", "deny".to_owned())
        .and_then(|()| map("uid_map", format!("0 {user} 1")))
        .and_then(|()| map("gid_map", format!("0 {group} 1")));
    mapped.map_err(|why| match why.raw_os_error() {
        Some(code) => explain_refusal(Errno::from_raw(code)),
        None => failed("to map this user", why),
    })?;
    Ok(true)
}

/// Whether the accounts of a machine have ids here: `nobody` has the highest.
fn maps_accounts(file: &str) -> bool {
    const NOBODY: u64 = 65_534;
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    text.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first.saturating_add(count)).contains(&NOBODY))
    })
}

fn explain_refusal(why: Errno) -> Error {
    let is = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    match why {
        Errno::ENOSPC | Errno::EUSERS => Error::Forbidden(Forbidden::Count),
        Errno::EPERM | Errno::EACCES => {
            Error::Forbidden(if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
                Forbidden::AppArmor
            } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
                Forbidden::Clone
            } else if is("/proc/sys/user/max_user_namespaces", "0") {
                Forbidden::Count
            } else {
                Forbidden::Other
            })
        }
        other => failed("to make namespaces", other),
    }
}

/// The first process: when it ends, for whatever reason, the kernel ends all others of the world.
fn first(orders: StageOrders, command: &[OsString]) -> Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|why| failed("to be bound to the outermost", why))?;
    // The outermost may have ended before that: then its end of the pipe is closed.
    let lifeline = File::open(format!("/proc/self/fd/{}", orders.lifeline))
        .map_err(|why| failed("to take the pipe of the outermost", why))?;
    if has_ended(&lifeline).map_err(|why| failed("to look after the outermost", why))? {
        return Err(failed("to start the world", io::Error::other("the outermost process has ended")));
    }
    build(&orders)?;
    // What lies over the folder of this process is not yet what it sees there.
    let _ = std::env::current_dir().and_then(std::env::set_current_dir);
    let (program, arguments) =
        command.split_first().ok_or_else(|| failed("to start a command", io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(environment(&orders.world)).env_remove("NOTIFY_SOCKET").env_remove("TMPDIR");
    command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("DBUS_SESSION_BUS_ADDRESS");
    let child = command.spawn().map_err(|why| failed(format!("to start {}", Path::new(program).display()), why))?;
    drop(command);
    let child = Pid::from_child(&child);
    thread::spawn(move || obey(lifeline, child));
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                let code = status.exit_status().or(status.terminating_signal().map(|it| 128 + it)).unwrap_or(1);
                return Ok(ExitCode::from(code as u8));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(failed("to wait for the command", why)),
        }
    }
}

fn obey(mut lifeline: File, child: Pid) {
    let mut signal = [0];
    while lifeline.read_exact(&mut signal).is_ok() {
        if let Some(signal) = Signal::from_named_raw(i32::from(signal[0])) {
            let _ = kill_process(child, signal);
        }
    }
}

fn has_ended(lifeline: &File) -> io::Result<bool> {
    let mut polled = [PollFd::new(lifeline, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default()))?;
    Ok(polled[0].revents().contains(PollFlags::HUP))
}

fn environment(world: &World) -> Vec<(&'static str, OsString)> {
    let runtime = ("XDG_RUNTIME_DIR", Path::new(files::FOLDER).join("user").into());
    let programs = std::env::join_paths(&world.programs).ok().filter(|path| !path.is_empty());
    std::iter::once(runtime).chain(programs.map(|path| ("PATH", path))).collect()
}

fn build(orders: &StageOrders) -> Result<()> {
    let world = &orders.world;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|why| failed("to have mounts of its own", why))?;
    files::make_read_only()?;
    let networks = network::make(&orders.addresses).map_err(|why| failed("to make the networks", why))?;
    let mut visible = [world.visible.as_slice(), &world.programs].concat();
    // The program itself, if it lies in a folder that is replaced.
    visible.extend(std::env::current_exe());
    // What links lead to comes first.
    let targets = visible.iter().filter_map(|path| fs::canonicalize(path).ok()).filter(|path| !visible.contains(path));
    let kept = files::keep(&[targets.collect(), visible.clone()].concat());
    files::replace(&world.own, &kept)?;
    files::make_own_folder()?;
    files::own_devices()?;
    files::mask_sockets(&orders.sockets);
    let user = Path::new(files::FOLDER).join("user");
    let made = fs::create_dir(&user).and_then(|()| show_networks(&networks.backends)).and_then(|()| lay_names(world));
    made.map_err(|why| failed("to lay out the world", why))?;
    files::close_proc()?;
    files::verify()?;
    if orders.one_id {
        filter::pretend_identities().map_err(|why| failed("to let changes of identity pass", why))?;
    }
    Ok(())
}

fn show_networks(backends: &OwnedFd) -> io::Result<()> {
    drop((File::create(BALANCER_NETWORK)?, File::create(BACKENDS_NETWORK)?));
    mount_bind("/proc/self/ns/net", BALANCER_NETWORK)?;
    Ok(mount_bind(format!("/proc/self/fd/{}", backends.as_raw_fd()), BACKENDS_NETWORK)?)
}

/// Every name is asked of the world's own DNS, and of nothing else: systemd-resolved and nscd would answer for the machine.
fn lay_names(world: &World) -> io::Result<()> {
    let resolver = format!("nameserver {BACKENDS}\noptions timeout:1 attempts:2\n");
    let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n{}", world.hosts);
    files::lay(Path::new("/etc/resolv.conf"), resolver.as_bytes())?;
    files::lay(Path::new("/etc/nsswitch.conf"), b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\n")?;
    files::lay(Path::new("/etc/hosts"), hosts.as_bytes())
}
