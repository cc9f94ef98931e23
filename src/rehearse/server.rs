//! The balancer as it runs in the world: started as on its own machine, with what it lacks laid in its way, until it listens.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::balancer::read::messages;
use crate::error::Problem;
use crate::escape::{harmless_lines, without_colours};
use crate::rehearse::certificate::{self, StandIn, UnusableFile, data};
use crate::rehearse::listening::{choose, listeners};
use crate::rehearse::remedy::{self, Remedy, remedies};
use verdict::surroundings::{FileChange, Surrounding};

/// It listens, or has said why not, within this time; Envoy and Traefik need some seconds on a slow machine.
const START: Duration = Duration::from_secs(20);
/// How long a balancer may take that waits for what cannot come.
const ELSEWHERE: Duration = Duration::from_secs(8);
/// Once it listens anywhere, it listens everywhere within this time.
const SETTLED: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(10);
/// What went into the background has shown after that time whether it goes on.
const BACKGROUND: Duration = Duration::from_millis(100);
/// Whoever has not gone there until then stays in the foreground.
const FOREGROUND: Duration = Duration::from_millis(50);
/// The time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// Each start finds what is missing first; a file with more holes than that is for another machine.
const MOST_REMEDIES: usize = 60;
/// The most lines of its output that an error shows.
const LINES: usize = 25;
/// How much of a log is searched for what is missing, in bytes.
const LONGEST_LOG: u64 = 4 << 20;
/// Longest line of the balancer's words, in characters.
const LONGEST_LINE: usize = 400;

/// How the balancer is started.
pub(super) struct RehearsalRecipe {
    /// The balancer's name in errors.
    pub(super) title: &'static str,
    pub(super) command: Vec<OsString>,
    /// Where: relative names in the file count from there.
    pub(super) folder: PathBuf,
    pub(super) ports: Vec<u16>,
    /// Certificates and their keys, as the file pairs them.
    pub(super) pairs: Vec<(PathBuf, PathBuf)>,
    /// Whether the file is one that another one includes.
    pub(super) is_part: bool,
    /// Why its own tool refuses the file, if it does.
    pub(super) refused: Option<String>,
    /// What is known to come from elsewhere than the file.
    pub(super) elsewhere: Vec<String>,
}

impl RehearsalRecipe {
    fn patience(&self) -> Duration {
        if self.elsewhere.is_empty() { START } else { ELSEWHERE }
    }

    /// Whether somebody does on each of its ports.
    fn listens(&self, all: &[SocketAddr]) -> bool {
        self.ports.iter().all(|port| choose(all, *port).is_some())
    }
}

/// A balancer that runs and listens.
pub(super) struct RunningBalancer {
    _child: Child,
}

/// What was laid in a balancer's way.
#[derive(Default)]
pub(super) struct Remedied {
    done: BTreeSet<Remedy>,
    pub(super) notes: Vec<Surrounding>,
    accounts: u32,
    /// Whether a certificate of ours was.
    pub(super) certificates: bool,
}

/// Starts it, again and again while its own words say what can be mended.
pub(super) fn start(
    recipe: &RehearsalRecipe,
    stand_in: Option<&StandIn>,
    remedied: &mut Remedied,
) -> Result<RunningBalancer> {
    let output = printed();
    for _ in 0..MOST_REMEDIES {
        // Such as the API of the fleet.
        let before = listening();
        let mut child = spawn(recipe, &output)?;
        let found = until_it_listens(&mut child, recipe, &before);
        let words = words(&output);
        let lacks = match found {
            StartOutcome::Listening => return Ok(RunningBalancer { _child: child }),
            // One that goes on without a listener that it cannot have says so too.
            StartOutcome::Ended | StartOutcome::Elsewhere | StartOutcome::Nowhere => {
                remedies(&words, &recipe.folder, &|folder| folder.is_dir())
            }
        };
        let elsewhere = listening();
        stop_all();
        let _ = child.wait();
        let lacks: Vec<Remedy> = lacks.into_iter().filter(|it| remedied.done.insert(it.clone())).collect();
        if lacks.is_empty() {
            return Err(failure(recipe, &found, &elsewhere, &words));
        }
        for remedy in lacks {
            apply(recipe, &remedy, stand_in, remedied)?;
        }
    }
    Err(Problem::new("it lacks more files than can be replaced").on(recipe.title).into())
}

/// How the start of the balancer ended.
enum StartOutcome {
    Listening,
    /// It has ended, with an error.
    Ended,
    /// It listens on other ports than the URL's.
    Elsewhere,
    Nowhere,
}

fn spawn(recipe: &RehearsalRecipe, output: &Path) -> Result<Child> {
    let log = File::create(output).context("failed to keep what the balancer prints")?;
    let (program, arguments) = recipe.command.split_first().context("no command")?;
    let home = Path::new(world::FOLDER).join("user");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&recipe.folder).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    command.env("XDG_DATA_HOME", data()).env("XDG_CONFIG_HOME", home.join("config"));
    command.spawn().with_context(|| format!("failed to start {}", program.to_string_lossy()))
}

fn until_it_listens(child: &mut Child, recipe: &RehearsalRecipe, before: &[SocketAddr]) -> StartOutcome {
    let begun = Instant::now();
    let mut somewhere = None;
    loop {
        let mut all = listening();
        if recipe.listens(&all) {
            return if goes_on(child, recipe) { StartOutcome::Listening } else { StartOutcome::Ended };
        }
        all.retain(|address| !before.contains(address));
        let ended = child.try_wait().ok().flatten();
        if ended.is_some_and(|status| !status.success()) {
            return StartOutcome::Ended;
        }
        if !all.is_empty() && somewhere.is_none() {
            somewhere = Some(Instant::now());
        }
        if somewhere.is_some_and(|since| since.elapsed() > SETTLED) {
            return StartOutcome::Elsewhere;
        }
        if begun.elapsed() > recipe.patience() {
            return StartOutcome::Nowhere;
        }
        sleep(GLANCE);
    }
}

/// Whether it still listens once it has gone into the background: NGINX opens its ports before that, and writes its pid file after it.
fn goes_on(child: &mut Child, recipe: &RehearsalRecipe) -> bool {
    let begun = Instant::now();
    loop {
        let is_in_background = child.try_wait().ok().flatten().is_some();
        if begun.elapsed() > if is_in_background { BACKGROUND } else { FOREGROUND } {
            return true;
        }
        if !recipe.listens(&listening()) {
            return false;
        }
        sleep(GLANCE);
    }
}

/// Where anybody but the world itself listens in this network.
pub(super) fn listening() -> Vec<SocketAddr> {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let all = [text("/proc/net/tcp"), text("/proc/net/tcp6")].map(|text| listeners(&text)).concat();
    all.into_iter().filter(|address| address.port() != 53).collect()
}

fn failure(recipe: &RehearsalRecipe, found: &StartOutcome, elsewhere: &[SocketAddr], words: &str) -> anyhow::Error {
    let all: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = recipe.ports.iter().map(u16::to_string).collect();
    let problem = match found {
        StartOutcome::Elsewhere => {
            let is_complaint = |line: &str| is_of(line, &ERRORS) || is_of(line, &WARNINGS);
            let said = if words.lines().any(is_complaint) {
                format!("; it says:\n{}", last_lines(words))
            } else {
                String::new()
            };
            let what = format!("nothing listens on port {}{said}", ports.join(" or "));
            Problem::new(what).hint(format!("{} listens on {}", recipe.title, all.join(", ")))
        }
        StartOutcome::Ended => {
            let said = match &recipe.refused {
                Some(refused) if !has_errors(words) => last_lines(refused),
                _ => last_lines(words),
            };
            let hint = hint_of(&said, recipe.is_part, &|path| !path.exists());
            Problem::new(format!("it does not start; it says:\n{said}")).hint(hint)
        }
        StartOutcome::Listening | StartOutcome::Nowhere => {
            let said = last_lines(words);
            let hint = match recipe.elsewhere.as_slice() {
                [] => "a configuration from elsewhere (xDS, Docker, Kubernetes) is not available here".to_owned(),
                some => format!("it is not available here: {}", some.join("; ")),
            };
            Problem::new(format!("it listens nowhere after {} s; it says:\n{said}", recipe.patience().as_secs()))
                .hint(hint)
        }
    };
    problem.on(recipe.title).into()
}

/// What to do about these words of a balancer that does not start. `is_missing` looks whether a path is not there.
fn hint_of(said: &str, is_part: bool, is_missing: &dyn Fn(&Path) -> bool) -> String {
    let replaced = |line: &str| {
        let path = remedy::path(line).filter(|path| is_missing(path))?;
        let folder = world::USUAL.iter().find(|folder| path.starts_with(folder))?;
        Some(format!(
            "{} lies below {folder}, which is empty in the private copy: move it into the folder of the configuration",
            path.display()
        ))
    };
    if said.contains("FD limit") {
        "raise the limit of open files (ulimit -Hn), or use sudo".to_owned()
    } else if said.contains("Permission denied") || said.contains("permission denied") {
        "this user cannot read everything that the file includes and loads: use sudo".to_owned()
    } else if is_part {
        "the file is a part of a configuration: rehearse the one that includes it, such as nginx.conf".to_owned()
    } else {
        said.lines().find_map(replaced).unwrap_or_else(|| {
            "correct the file where it says so; what the file includes and loads must exist on this machine (of a copy, --at \
             says where production has it)"
                .to_owned()
        })
    }
}

const ERRORS: [&str; 8] = ["emerg", "ALERT", "error]", "\"error\"", "error:", "Error:", "ERR", "critical"];
const WARNINGS: [&str; 3] = ["warn", "WRN", "WARN"];

fn has_errors(words: &str) -> bool {
    !of_kind(words, &ERRORS).is_empty()
}

/// Errors first, then warnings: a balancer that prints a lot says the reason last.
fn last_lines(words: &str) -> String {
    let words = &messages::plain(words);
    let kinds = [of_kind(words, &ERRORS), of_kind(words, &WARNINGS), words.lines().collect()];
    let lines = kinds.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("  {}", cut(line))).collect::<Vec<_>>().join("\n")
}

/// Lines of that kind, each with the indented ones below it: where the place is, as parsers of YAML print it.
fn of_kind<'w>(words: &'w str, kind: &[&str]) -> Vec<&'w str> {
    let mut is_within = false;
    let is_part = |line: &&str| {
        is_within = is_of(line, kind) || is_within && line.starts_with([' ', '\t']);
        is_within
    };
    words.lines().filter(is_part).collect()
}

fn is_of(line: &str, kind: &[&str]) -> bool {
    kind.iter().any(|it| line.contains(it))
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST_LINE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

fn apply(recipe: &RehearsalRecipe, remedy: &Remedy, stand_in: Option<&StandIn>, remedied: &mut Remedied) -> Result<()> {
    let about = || format!("failed to give {} what it lacks: {remedy:?}", recipe.title);
    match remedy {
        Remedy::StandIn(path) => {
            // A key fits one certificate.
            let pair = recipe.pairs.iter().find(|(certificate, key)| certificate == path || key == path);
            let Some(stand_in) = stand_in else {
                let pair = pair.map_or((path, path), |(certificate, key)| (certificate, key));
                return Err(no_stand_in(certificate::unusable(pair.0, pair.1).unwrap_or_else(|| refused(path))));
            };
            let files = pair.map_or_else(|| vec![path], |(certificate, key)| vec![certificate, key]);
            for file in files {
                remedied.lay(file, stand_in).with_context(about)?;
            }
        }
        Remedy::Revocations(path) => {
            let Some(stand_in) = stand_in else { return Err(no_stand_in(refused(path))) };
            world::lay(path, stand_in.revocations.as_bytes()).with_context(about)?;
            remedied.note_file(path, FileChange::Revocations);
        }
        Remedy::DiffieHellman(path) => {
            world::lay(path, certificate::DIFFIE_HELLMAN.as_bytes()).with_context(about)?;
            remedied.note_file(path, FileChange::DiffieHellman);
        }
        Remedy::Account(name) => {
            let number = remedied.next_account();
            let line = format!("{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n");
            append("/etc/passwd", &line).with_context(about)?;
            let groups = fs::read_to_string("/etc/group").unwrap_or_default();
            if !groups.lines().any(|line| line.split(':').next() == Some(name.as_str())) {
                append("/etc/group", &format!("{name}:x:{number}:\n")).with_context(about)?;
            }
            remedied.note(Surrounding::Account { name: name.clone() });
        }
        Remedy::AccountGroup(name) => {
            let number = remedied.next_account();
            append("/etc/group", &format!("{name}:x:{number}:\n")).with_context(about)?;
            remedied.note(Surrounding::Group { name: name.clone() });
        }
        Remedy::Make(folder) => {
            world::make_missing(folder).with_context(about)?;
            remedied.note_file(folder, FileChange::Made);
        }
        Remedy::Write(path) => {
            if path.is_dir() {
                world::open_folder(path).with_context(about)?;
            } else if path.exists() {
                let content = fs::read(path).unwrap_or_default();
                world::lay(path, &content).with_context(about)?;
            } else {
                world::open_folder(path.parent().unwrap_or(Path::new("/"))).with_context(about)?;
            }
            remedied.note_file(path, FileChange::Copied);
        }
    }
    Ok(())
}

/// Lays certificates in the way of a balancer that looks for them only when a client comes, by what it has logged. Whether it did.
pub(super) fn learn(
    recipe: &RehearsalRecipe,
    stand_in: Option<&StandIn>,
    remedied: &mut Remedied,
    logs: &[PathBuf],
) -> Result<bool> {
    let mut all: Vec<Remedy> =
        read(logs).flat_map(|words| remedies(&words, &recipe.folder, &|folder| folder.is_dir())).collect();
    all.retain(|it| matches!(it, Remedy::StandIn(_)) && remedied.done.insert(it.clone()));
    for remedy in &all {
        apply(recipe, remedy, stand_in, remedied)?;
    }
    Ok(!all.is_empty())
}

/// The error of which a balancer that runs has complained last, and the warning right before it; of one that did not start the error has its
/// words.
pub(super) fn complaint(logs: &[PathBuf]) -> Option<String> {
    let of_log = |words: String| {
        let words = messages::plain(&words);
        let lines: Vec<&str> = words.lines().collect();
        let last = lines.iter().rposition(|line| is_of(line, &ERRORS))?;
        let first = last.checked_sub(1).filter(|before| is_of(lines[*before], &WARNINGS)).unwrap_or(last);
        Some(lines[first..=last].iter().map(|line| format!("\n  {}", cut(line.trim()))).collect())
    };
    read(logs).find_map(of_log).filter(|_| !others().is_empty())
}

/// What it has logged: in these files, and where it prints.
fn read(logs: &[PathBuf]) -> impl Iterator<Item = String> {
    let all = logs.iter().cloned().chain([printed()]);
    all.filter(|log| fs::metadata(log).is_ok_and(|it| it.len() <= LONGEST_LOG)).map(|log| words(&log))
}

/// Where it prints.
fn printed() -> PathBuf {
    Path::new(world::FOLDER).join("balancer.log")
}

fn words(log: &Path) -> String {
    harmless_lines(&without_colours(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default())))
}

/// Of a file that the balancer cannot use.
pub(super) fn no_stand_in(UnusableFile { file, why }: UnusableFile) -> anyhow::Error {
    Problem::new(format!("{why}, and --certificate real allows no other"))
        .on(file.display())
        .hint("leave out --certificate real, and a stand-in is used; a key that only root can read needs sudo")
        .into()
}

/// By the balancer's own words.
fn refused(path: &Path) -> UnusableFile {
    UnusableFile { file: path.to_owned(), why: "the balancer cannot use this file".to_owned() }
}

/// Within the world alone.
fn append(file: &str, line: &str) -> std::io::Result<()> {
    let text = fs::read_to_string(file).unwrap_or_default();
    world::lay(Path::new(file), format!("{}\n{line}", text.trim_end()).as_bytes())
}

impl Remedied {
    /// A certificate and key of our own over that file; in that folder, if it is one.
    pub(super) fn lay(&mut self, file: &Path, stand_in: &StandIn) -> std::io::Result<()> {
        let is_folder = file.is_dir() || file.as_os_str().as_encoded_bytes().ends_with(b"/");
        let within = if is_folder { file.join("stand-in.pem") } else { file.to_owned() };
        world::lay(&within, stand_in.pem.as_bytes())?;
        self.note_file(file, FileChange::Certificate);
        self.done.insert(Remedy::StandIn(file.to_owned()));
        self.certificates = true;
        Ok(())
    }

    /// A number that no account of a machine has.
    fn next_account(&mut self) -> u32 {
        self.accounts += 1;
        64_000 + self.accounts
    }

    pub(super) fn note_file(&mut self, path: &Path, change: FileChange) {
        self.note(Surrounding::File { path: path.display().to_string(), change });
    }

    pub(super) fn note(&mut self, note: Surrounding) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Ends every process of the world but the first and this one.
pub(super) fn stop_all() {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = others();
        if left.is_empty() && (listening().is_empty() || Instant::now() > deadline) {
            return;
        }
        let signal = if Instant::now() < deadline { Signal::TERM } else { Signal::KILL };
        for pid in left {
            let _ = kill_process(pid, signal);
        }
        sleep(GLANCE);
    }
}

/// Whether it holds its sockets: one that has ended and is not yet collected does not, one that is ending does.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn others() -> Vec<Pid> {
    let own = std::process::id() as i32;
    let names =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|it| it.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse::<i32>().ok()).filter(|pid| *pid > 1 && *pid != own);
    pids.filter(|pid| lives(*pid)).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::{hint_of, last_lines};

    #[test]
    fn what_an_error_points_at_is_kept_with_it() {
        let json = r#"{"level":"error","error":"yaml: unmarshal errors:\n  line 7: mapping key \"log\" already defined at line 6","message":"Command error"}"#;
        let said = last_lines(&format!("starting\n  with nothing\n{json}\nended"));
        assert!(said.ends_with("\n    line 7: mapping key \"log\" already defined at line 6"), "{said}");
        assert!(!said.contains("starting") && !said.contains("ended") && !said.contains("nothing"), "{said}");
    }

    #[test]
    fn a_start_that_failed_has_a_hint_by_its_words() {
        let hint = |said: &str, is_part| hint_of(said, is_part, &|path| path.starts_with("/tmp/app"));
        let missing = "open() \"/tmp/app/mime.types\" failed (2: No such file or directory) in /tmp/conf/nginx.conf:3";
        assert!(hint(missing, false).starts_with("/tmp/app/mime.types lies below /tmp, which is empty"));
        for (said, is_part, expected) in [
            ("\"map\" directive is not allowed here in app.conf:1", true, "the file is a part"),
            ("\"map\" directive is not allowed here in nginx.conf:7", false, "correct the file"),
            ("open() \"/etc/nginx/mime.types\" failed (2: No such file)", false, "correct the file"),
            ("Cannot raise FD limit to 400019", false, "raise the limit"),
        ] {
            assert!(hint(said, is_part).starts_with(expected), "{said}");
        }
    }
}
