//! A fleet of the real program for one test, on ports of its own, ended with the test however that ends.
pub mod balancers;
pub mod browser;
pub mod certificates;
pub mod nginx;
pub mod yaml;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use api::{BackendStatus, FleetStatus, RecordsPage};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getuid, kill_process};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_uuid-generator");

/// Everything that tests wait for comes sooner, or never.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

// Ports.

/// Ports are reserved in blocks of this size: by a lock on a file, so also across test processes.
const BLOCK: u16 = 16;
/// Above the default ports and below the kernel's ephemeral ones, which begin at 32768 by default.
const BLOCKS: std::ops::Range<u16> = 640..2040;

/// Ports, that many, that nobody listens on and that no other test gets while this process lives.
pub fn ports(count: usize) -> Vec<u16> {
    // Start anywhere, so that tests seldom meet.
    let start = std::process::id() as u16 % BLOCKS.len() as u16;
    let mut found = Vec::new();
    for offset in 0..BLOCKS.len() as u16 {
        let block = BLOCKS.start + (start + offset) % BLOCKS.len() as u16;
        if reserve(&format!("ports-{block}")) {
            found.extend((block * BLOCK..(block + 1) * BLOCK).filter(|port| is_free(*port)));
        }
        if found.len() >= count {
            found.truncate(count);
            return found;
        }
    }
    panic!("no {count} free ports below 32768");
}

/// Whether somebody could listen on it, so nobody does. Unlike a connection, it leaves nothing with a server.
pub fn is_free(port: u16) -> bool {
    LOOPBACK.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok())
}

/// Whether connections to it are refused, as they are where nobody listens.
pub fn refuses(port: u16) -> bool {
    LOOPBACK.iter().all(|ip| match TcpStream::connect_timeout(&SocketAddr::new(*ip, port), PATIENCE) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
        Err(other) => panic!("{ip} port {port} neither connects nor refuses: {other}"),
    })
}

/// Holds a lock until this process ends; false if somebody holds it, this process included.
fn reserve(name: &str) -> bool {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let lock = lock_file(name);
    let reserved = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if reserved {
        HELD.lock().unwrap().push(lock);
    }
    reserved
}

fn lock_file(name: &str) -> File {
    let directory = std::env::temp_dir().join(format!("uuid-generator-tests-{}", getuid()));
    fs::create_dir_all(&directory).unwrap();
    OpenOptions::new().create(true).append(true).open(directory.join(name)).unwrap()
}

/// The default ports for one test at a time, as long as the value lives.
pub struct DefaultPorts {
    _lock: File,
}

impl DefaultPorts {
    /// Waits for other tests; what else listens there is an error.
    pub fn wait() -> DefaultPorts {
        let lock = lock_file("default-ports");
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        for port in [9000, 9001, 9002, 9003] {
            eventually(&format!("port {port}, which this test needs, is free: see `ss -ltnp`"), || is_free(port));
        }
        DefaultPorts { _lock: lock }
    }
}

// Programs.

/// A directory that is removed with the value.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub fn new() -> TemporaryDirectory {
        let path = std::env::temp_dir().join(format!("uuid-generator-test-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        TemporaryDirectory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The processes that were started in this place and live.
    pub fn processes(&self) -> Vec<u32> {
        let here = format!("XDG_RUNTIME_DIR={}", self.0.display());
        let is_here = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == here.as_bytes())
        };
        all_processes().filter(is_here).collect()
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program in a place of its own: no settings of the environment, no file, no other fleets to be found.
pub fn program(place: &TemporaryDirectory) -> Command {
    in_place(Command::new(PROGRAM), place)
}

/// Another command in such a place.
pub fn in_place(mut command: Command, place: &TemporaryDirectory) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UUID_GENERATOR_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_RUNTIME_DIR", place.path()).env("TZ", "UTC").current_dir(place.path()).stdin(Stdio::null());
    command
}

/// A demo that runs and has said where to look. It is ended with the value.
pub struct Demo {
    pub process: Child,
    /// What it has said.
    pub said: Vec<String>,
    /// URL of its balancer.
    pub url: String,
}

impl Demo {
    pub fn start(place: &TemporaryDirectory, balancer: &str, backends: &[u16], listen: &str) -> Demo {
        let list = list(backends);
        let mut process = program(place)
            .args(["demo", "--with", balancer, "--ports", &list, "--listen", listen, "--control", "127.0.0.1:0"])
            .env("TMPDIR", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = Lines::default();
        output.read(process.stdout.take().unwrap());
        let mut demo = Demo { process, said: Vec::new(), url: format!("http://localhost:{listen}/uuid") };
        let looks = |lines: &[String]| lines.iter().any(|line| line.starts_with("Look at "));
        demo.said = output.wait_until("where to look", looks);
        demo
    }

    /// The address of its live view.
    pub fn view(&self) -> String {
        let line = self.said.iter().find(|line| line.contains("take the tour: ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        send(self.process.id(), signal);
        self.process.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.end(Signal::TERM);
        }
    }
}

/// Runs a command to its end. One that does not end is killed and fails the test.
pub fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    end.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| {
            send(pid, Signal::KILL);
            panic!("it did not end: {command:?}")
        })
        .unwrap()
}

/// What a program wrote to standard error, but for the progress of a check: `  6 s · sample`.
pub fn complaints(output: &Output) -> String {
    let is_progress = |line: &str| {
        line.trim_start().split_once(" s · ").is_some_and(|(time, _)| time.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let text = String::from_utf8_lossy(&output.stderr);
    text.split_inclusive('\n').filter(|line| !is_progress(line)).collect()
}

/// What a program that could not run says: exit status 2, this on standard error and nothing else.
pub fn error_of(output: &Output) -> String {
    let error = complaints(output);
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stdout)), (Some(2), ""), "{error}");
    error
}

/// What a process has written so far, and a way to wait for more.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Keeps what comes out of it.
    pub fn read(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.0.0.lock().unwrap().lines.push(line);
                lines.0.1.notify_all();
            }
            lines.0.0.lock().unwrap().ended = true;
            lines.0.1.notify_all();
        });
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// All lines, once they satisfy; fails when no more can come or it takes too long.
    pub fn wait_until(&self, what: &str, satisfied: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.wait(|written| satisfied(&written.lines))
            .unwrap_or_else(|lines| panic!("never came: {what}; but this did:\n{}", lines.join("\n")))
    }

    /// The first line that contains the text.
    pub fn wait_for(&self, text: &str) -> String {
        let lines = self.wait_until(text, |lines| lines.iter().any(|line| line.contains(text)));
        lines.into_iter().find(|line| line.contains(text)).unwrap()
    }

    /// All lines, once every process that could write more has ended.
    pub fn wait_for_end(&self) -> Vec<String> {
        self.wait(|written| written.ended).expect("processes that could write more live on")
    }

    /// All lines, `Err` if they do not satisfy and no more can come or it takes too long.
    fn wait(&self, satisfied: impl Fn(&Written) -> bool) -> Result<Vec<String>, Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.0.0.lock().unwrap();
        while !satisfied(&written) {
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return Err(written.lines.clone());
            }
            written = self.0.1.wait_timeout(written, left).unwrap().0;
        }
        Ok(written.lines.clone())
    }
}

// Fleets.

/// A fleet that runs, and ends when it is dropped.
pub struct Fleet {
    supervisor: Child,
    pub place: TemporaryDirectory,
    pub output: Lines,
    pub log: Lines,
    /// The base of its API.
    pub control: String,
    _default_ports: Option<DefaultPorts>,
}

impl Fleet {
    /// With these flags; returns when all backends accept.
    pub fn start(flags: &[&str]) -> Fleet {
        let default_ports = (!flags.contains(&"--ports")).then(DefaultPorts::wait);
        let place = TemporaryDirectory::new();
        let mut command = program(&place);
        if !flags.contains(&"--control") {
            command.args(["--control", "127.0.0.1:0"]);
        }
        command.args(flags);
        let mut fleet = Fleet::spawn(command, place);
        fleet._default_ports = default_ports;
        fleet
    }

    /// That many backends on ports of their own, and further flags.
    pub fn of(backends: usize, flags: &[&str]) -> (Fleet, Vec<u16>) {
        let ports = ports(backends);
        (Fleet::start(&[&["--ports", &list(&ports)], flags].concat()), ports)
    }

    /// A command that starts a fleet in that place; returns when all backends accept.
    pub fn spawn(command: Command, place: TemporaryDirectory) -> Fleet {
        let mut fleet = Fleet::begin(command, place);
        let url = |lines: &[String]| lines.iter().find_map(|line| line.strip_prefix(API_LINE).map(str::to_owned));
        let said = fleet.output.wait(|said| url(&said.lines).is_some());
        fleet.control = url(&said.unwrap_or_else(|_| panic!("{}", fleet.log.wait_for_end().join("\n")))).unwrap();
        fleet
    }

    /// The same, but returns at once and does not know its API.
    pub fn begin(mut command: Command, place: TemporaryDirectory) -> Fleet {
        let mut supervisor = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, log) = (Lines::default(), Lines::default());
        output.read(supervisor.stdout.take().unwrap());
        log.read(supervisor.stderr.take().unwrap());
        Fleet { supervisor, place, output, log, control: String::new(), _default_ports: None }
    }

    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// `uuid-generator fleet …` against this fleet.
    pub fn command(&self, words: &[&str]) -> Output {
        self.program(&[&["fleet"], words].concat())
    }

    /// `uuid-generator …` where this fleet is the only one.
    pub fn program(&self, words: &[&str]) -> Output {
        run(program(&self.place).args(words))
    }

    /// The same, which must succeed.
    pub fn act(&self, action: &str, port: u16) {
        let output = self.command(&[action, &port.to_string()]);
        assert!(output.status.success(), "fleet {action} {port}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn status(&self) -> FleetStatus {
        self.api_get("/v1/fleet")
    }

    pub fn backend(&self, port: u16) -> BackendStatus {
        self.status().backends.into_iter().find(|backend| backend.name == port.to_string()).unwrap()
    }

    /// The process of a backend, which must live.
    pub fn backend_pid(&self, port: u16) -> u32 {
        let backend = self.backend(port);
        backend.pid.unwrap_or_else(|| panic!("{port} is {}", backend.state))
    }

    /// All records that the API gives.
    pub fn records(&self) -> RecordsPage {
        self.api_get("/v1/records?limit=1000000")
    }

    pub fn api_get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let bearer = if self.run_file().exists() { self.bearer() } else { String::new() };
        let answer = self.call("GET", path, "127.0.0.1", &bearer);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Where it says to other commands where it is.
    pub fn run_file(&self) -> PathBuf {
        self.place.path().join(format!("uuid-generator/{}.json", self.pid()))
    }

    /// What opens its API, as a header.
    pub fn bearer(&self) -> String {
        let whereabouts: serde_json::Value = serde_json::from_slice(&fs::read(self.run_file()).unwrap()).unwrap();
        format!("Authorization: Bearer {}\r\n", whereabouts["token"].as_str().unwrap())
    }

    /// The address of its live view, with the token.
    pub fn view(&self) -> String {
        let bearer = self.bearer();
        format!("{}/#token={}", self.control, bearer.trim_end().rsplit(' ').next().unwrap())
    }

    /// A request to its API.
    pub fn call(&self, method: &str, path: &str, host: &str, headers: &str) -> http::Answer {
        self.call_with(method, path, host, headers, "")
    }

    /// The same with a body.
    pub fn call_with(&self, method: &str, path: &str, host: &str, headers: &str, body: &str) -> http::Answer {
        let address = self.control.strip_prefix("http://").unwrap().replace("0.0.0.0", "127.0.0.1");
        let length = body.len();
        http::Connection::open(address).unwrap().ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Waits until it has said that on its standard output.
    pub fn expect_said(&self, text: &str) {
        self.output.wait_for(text);
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for the end of the supervisor.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the fleet did not end; it said:\n{}", self.output.all().join("\n"));
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it with SIGTERM, waits for the end, and returns the lines of its standard output and of its log.
    pub fn stop(mut self) -> (Vec<String>, Vec<String>) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
        (self.output.wait_for_end(), self.log.wait_for_end())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let Ok(None) = self.supervisor.try_wait() else { return };
        let backends = children(self.pid());
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        // They end with it. As long as one has not, it holds its port.
        let deadline = Instant::now() + PATIENCE;
        while backends.iter().any(|pid| lives(*pid)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

const API_LINE: &str = "The API listens on ";

/// As `--ports` takes them.
pub fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// What a line says after its time of day, which must be about now.
pub fn after_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no time in {line:?}"));
    let time: jiff::civil::Time = time.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).time();
    let seconds = |time: jiff::civil::Time| time.duration_since(jiff::civil::Time::midnight()).as_secs();
    let age = (seconds(now) - seconds(time)).rem_euclid(24 * 3600);
    assert!(age < 60, "{line:?} was not said now, at {now}");
    rest
}

// Processes.

pub fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Whether a process is there and not only waiting to be awaited.
pub fn lives(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

pub fn children(parent: u32) -> Vec<u32> {
    all_processes().filter(|pid| state_and_parent(*pid).is_some_and(|(_, its)| its == parent)).collect()
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before them may hold anything, also a parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

pub fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

/// Waits until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A client that does what it is told and nothing more.
pub mod http {
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, TcpStream, ToSocketAddrs};
    use std::time::Duration;

    use uuid::Uuid;

    use super::{Fleet, PATIENCE, eventually};

    /// A request that leaves its connection open.
    pub const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    #[derive(Debug)]
    pub struct Answer {
        pub status: u16,
        pub head: String,
        pub body: String,
    }

    impl Answer {
        pub fn header(&self, name: &str) -> Option<&str> {
            let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        }

        /// The UUID that it shows.
        pub fn id(&self) -> Uuid {
            self.header("Response-Id").unwrap_or_else(|| panic!("no UUID: {self:?}")).parse().unwrap()
        }

        pub fn expect_page_of(&self, port: u16) {
            assert_eq!(self.status, 200, "{self:?}");
            for text in [format!("<h1>Generator #{port}</h1>"), format!("<h1>UUID={}</h1>", self.id())] {
                assert!(self.body.contains(&text), "no {text} in {self:?}");
            }
        }
    }

    /// One request on a connection of its own.
    pub fn get(url: &str) -> io::Result<Answer> {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut connection = Connection::open(authority)?;
        connection.send(&format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"))?;
        connection.answer()
    }

    /// The page of a backend, on a connection of its own.
    pub fn expect_page(port: u16) {
        get(&format!("http://localhost:{port}/")).unwrap().expect_page_of(port);
    }

    pub struct Connection {
        pub stream: TcpStream,
        unread: Vec<u8>,
    }

    impl Connection {
        pub fn open(address: impl ToSocketAddrs) -> io::Result<Connection> {
            Connection::over(TcpStream::connect(address)?)
        }

        pub fn over(stream: TcpStream) -> io::Result<Connection> {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Connection { stream, unread: Vec::new() })
        }

        /// A new connection to a backend.
        pub fn to(port: u16) -> Connection {
            Connection::open((Ipv4Addr::LOCALHOST, port)).unwrap()
        }

        pub fn send(&mut self, text: &str) -> io::Result<()> {
            self.stream.write_all(text.as_bytes())
        }

        pub fn ask(&mut self, request: &str) -> Answer {
            self.send(request).unwrap();
            self.answer().unwrap()
        }

        /// The next answer, its body read to the length that its head says.
        pub fn answer(&mut self) -> io::Result<Answer> {
            loop {
                if let Some(answer) = self.take() {
                    return Ok(answer);
                }
                let mut bytes = [0; 16 * 1024];
                match self.stream.read(&mut bytes) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
                    // This process was stopped and goes on, as when the machine is suspended.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }

        /// Whether the other end closes, in order and with nothing more said.
        pub fn is_closed(&mut self) -> io::Result<bool> {
            Ok(self.unread.is_empty() && self.stream.read(&mut [0; 1])? == 0)
        }

        /// Nothing comes in this time.
        pub fn expect_silence(&mut self, time: Duration) {
            self.stream.set_read_timeout(Some(time)).unwrap();
            let error = self.stream.read(&mut [0; 1]).expect_err("something came, or the end");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }

        fn take(&mut self) -> Option<Answer> {
            let end = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
            let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut answer = Answer { status, head, body: String::new() };
            if answer.header("Transfer-Encoding").is_some() {
                let (body, length) = chunked(&self.unread[end..])?;
                answer.body = String::from_utf8_lossy(&body).into_owned();
                self.unread.drain(..end + length);
                return Some(answer);
            }
            // 204 has none.
            let length: usize = answer.header("Content-Length").map_or(0, |length| length.parse().unwrap());
            answer.body = String::from_utf8_lossy(self.unread.get(end..end + length)?).into_owned();
            self.unread.drain(..end + length);
            Some(answer)
        }
    }

    /// A body in chunks without trailers, and the bytes that it takes; none while it is incomplete.
    fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let (mut body, mut at) = (Vec::new(), 0);
        loop {
            let line = bytes.get(at..)?.windows(2).position(|it| it == b"\r\n")?;
            let size = usize::from_str_radix(str::from_utf8(&bytes[at..at + line]).unwrap(), 16).unwrap();
            let begin = at + line + 2;
            body.extend_from_slice(bytes.get(begin..begin + size)?);
            at = begin + size + 2;
            bytes.get(..at)?;
            if size == 0 {
                return Some((body, at));
            }
        }
    }

    /// A request that a backend has received and cannot answer yet: half of its body is missing.
    pub struct Unfinished {
        pub connection: Connection,
    }

    impl Unfinished {
        /// Under a path of its own, by which it is known. Returns when it is in flight.
        pub fn send(fleet: &Fleet, port: u16, path: &str) -> Unfinished {
            Unfinished::send_with(fleet, port, path, "")
        }

        /// The beginning of a request with further headers.
        pub fn send_with(fleet: &Fleet, port: u16, path: &str, headers: &str) -> Unfinished {
            let mut connection = Connection::to(port);
            let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 5\r\n\r\n12");
            connection.send(&request).unwrap();
            eventually(&format!("POST {path} is in flight"), || {
                fleet.records().in_flight.iter().any(|record| record.path == path)
            });
            Unfinished { connection }
        }

        /// Sends the other half.
        pub fn finish(&mut self) -> Answer {
            self.connection.ask("345")
        }
    }
}
