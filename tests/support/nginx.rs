//! A real nginx in a place of its own: with the lines that we ship or write inside its `http { … }`, or configured to balance in
//! one of its ways.
use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{self, TemporaryDirectory};

const PROGRAM: &str = "/usr/sbin/nginx";

/// How nginx balances. What says nothing here is as nginx has it by default.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Ports of the backends on 127.0.0.1.
    pub backends: Vec<u16>,
    pub workers: usize,
    /// The workers share what they know of the backends.
    pub zone: bool,
    pub method: Method,
    /// One for each backend; none: all 1.
    pub weights: Vec<u32>,
    /// Connections to backends are kept, up to 16 in each worker.
    pub keepalive: bool,
    /// Answers with 200 are cached for 10 s, whatever they say.
    pub cache: bool,
    /// So long for a connection to a backend, and between two reads or writes.
    pub timeout: Duration,
    pub max_fails: Option<u32>,
    /// A whole number of seconds.
    pub fail_timeout: Option<Duration>,
    /// The words of `proxy_next_upstream`, such as `error timeout non_idempotent`.
    pub next_upstream: Option<&'static str>,
    /// Each worker has a listening socket of its own.
    pub reuseport: bool,
    /// Clients speak TLS with this certificate.
    pub tls: Option<Certified>,
}

/// What a listener with TLS shows.
#[derive(Clone, Debug)]
pub struct Certified {
    /// PEM; the server's own first.
    pub certificates: String,
    /// The private key in PEM.
    pub key: String,
    /// The words of `ssl_protocols`.
    pub protocols: &'static str,
}

/// Who gets a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// By weights, if there are any.
    RoundRobin,
    LeastConnections,
    Random,
    RandomTwoLeastConnections,
    IpHash,
    /// By a variable such as `$remote_addr`, `$request_uri`, `$http_x_user` or `$cookie_session`.
    Hash {
        key: &'static str,
        consistent: bool,
    },
}

impl Configuration {
    /// One worker, round robin, timeouts of 1 s.
    pub fn of(backends: &[u16]) -> Configuration {
        Configuration {
            backends: backends.to_vec(),
            workers: 1,
            zone: false,
            method: Method::RoundRobin,
            weights: Vec::new(),
            keepalive: false,
            cache: false,
            timeout: Duration::from_secs(1),
            max_fails: None,
            fail_timeout: None,
            next_upstream: None,
            reuseport: false,
            tls: None,
        }
    }

    /// Returns when it accepts.
    pub fn start(&self) -> Nginx {
        Nginx::launch(self.workers, self.tls.as_ref(), |address| self.lines(address))
    }

    fn lines(&self, address: SocketAddr) -> String {
        assert!(self.weights.is_empty() || self.weights.len() == self.backends.len(), "{self:?}");
        let line = |wanted: bool, line: &str| if wanted { format!("{line}\n") } else { String::new() };
        let method = match self.method {
            Method::RoundRobin => String::new(),
            Method::LeastConnections => "least_conn;\n".into(),
            Method::Random => "random;\n".into(),
            Method::RandomTwoLeastConnections => "random two least_conn;\n".into(),
            Method::IpHash => "ip_hash;\n".into(),
            Method::Hash { key, consistent } => format!("hash {key}{};\n", if consistent { " consistent" } else { "" }),
        };
        let mut servers = String::new();
        for (place, port) in self.backends.iter().enumerate() {
            servers += &format!("server 127.0.0.1:{port}");
            servers += &self.weights.get(place).map_or(String::new(), |weight| format!(" weight={weight}"));
            servers += &self.max_fails.map_or(String::new(), |fails| format!(" max_fails={fails}"));
            servers += &self.fail_timeout.map_or(String::new(), |time| format!(" fail_timeout={}s", time.as_secs()));
            servers += ";\n";
        }
        let upstream = [
            &line(self.zone, "zone uuid 64k;"),
            &method,
            &servers,
            // After the method, as its documentation says.
            &line(self.keepalive, "keepalive 16;"),
        ];
        let milliseconds = self.timeout.as_millis();
        let location = [
            "proxy_pass http://uuid;\n",
            &line(self.keepalive, "proxy_http_version 1.1;\nproxy_set_header Connection \"\";"),
            &format!("proxy_connect_timeout {milliseconds}ms;\nproxy_read_timeout {milliseconds}ms;\n"),
            &format!("proxy_send_timeout {milliseconds}ms;\n"),
            &self.next_upstream.map_or(String::new(), |cases| format!("proxy_next_upstream {cases};\n")),
            // Our backends forbid it.
            &line(self.cache, "proxy_cache answers;\nproxy_cache_valid 200 10s;\nproxy_ignore_headers Cache-Control;"),
        ];
        format!(
            "{}upstream uuid {{\n{}}}\nserver {{\nlisten {address}{}{};\n{}location / {{\n{}}}\n}}\n",
            line(self.cache, "proxy_cache_path cache keys_zone=answers:1m;"),
            upstream.map(String::as_str).concat(),
            if self.reuseport { " reuseport" } else { "" },
            if self.tls.is_some() { " ssl" } else { "" },
            self.tls.as_ref().map_or(String::new(), |tls| {
                format!(
                    "ssl_certificate certificates.pem;\nssl_certificate_key key.pem;\nssl_protocols {};\n\
                     ssl_session_cache shared:sessions:1m;\n",
                    tls.protocols
                )
            }),
            location.concat(),
        )
    }
}

/// A running nginx. Dropping it ends it.
pub struct Nginx {
    pub address: SocketAddr,
    master: Child,
    /// The number of workers that are configured.
    expected: Cell<usize>,
    place: TemporaryDirectory,
}

impl Nginx {
    /// One worker with these lines as they are, but for the port: one of loopback instead of port 80. Returns when it accepts.
    pub fn start(lines: &str) -> Nginx {
        Nginx::launch(1, None, |address| {
            // Of the shipped file's two listening addresses a test needs one.
            let lines = lines.replace("    listen [::]:80;\n", "");
            let listening = lines.replacen("listen 80;", &format!("listen {address};"), 1);
            assert_ne!(listening, lines, "no line says `listen 80;`");
            listening
        })
    }

    fn launch(workers: usize, tls: Option<&Certified>, lines: impl Fn(SocketAddr) -> String) -> Nginx {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run `make test`, which installs it, or install Debian's package nginx-light"
        );
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, support::ports(1)[0]));
        let place = TemporaryDirectory::new();
        // Its workers are another user.
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        write(place.path(), workers, &lines(address));
        if let Some(tls) = tls {
            fs::write(place.path().join("certificates.pem"), &tls.certificates).unwrap();
            fs::write(place.path().join("key.pem"), &tls.key).unwrap();
        }
        let mut command = Command::new(PROGRAM);
        command.arg("-p").arg(place.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        let output = File::create(place.path().join("output")).unwrap();
        let master = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().unwrap();
        let mut nginx = Nginx { address, master, expected: Cell::new(workers), place };
        support::eventually("nginx accepts connections", || {
            let ended = nginx.master.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {}", nginx.complaints());
            // It listens before its workers are there.
            TcpStream::connect(address).is_ok() && nginx.workers().len() == workers
        });
        nginx
    }

    /// The process that takes signals.
    pub fn master(&self) -> u32 {
        self.master.id()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The processes that serve, without those that only end what they began before a reload.
    pub fn workers(&self) -> Vec<u32> {
        let serves = |pid: &u32| {
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            title.starts_with(b"nginx: worker process") && !title.windows(8).any(|words| words == b"shutting")
        };
        support::children(self.master.id()).into_iter().filter(serves).collect()
    }

    /// Reads its configuration again. Returns when new workers serve and the old ones accept nothing more.
    pub fn reload(&self) {
        let old = self.workers();
        kill_process(Pid::from_child(&self.master), Signal::HUP).unwrap();
        let what = format!("nginx has new workers: {}", self.complaints());
        support::eventually(&what, || {
            let workers = self.workers();
            workers.len() == self.expected.get() && workers.iter().all(|worker| !old.contains(worker))
        });
        // An old worker first says in its title that it ends and then stops to listen.
        let listening = listening_sockets(self.port());
        support::eventually("the old workers listen no more", || old.iter().all(|worker| !holds(*worker, &listening)));
    }

    /// The same with another configuration, but for the port.
    pub fn reload_with(&self, configuration: &Configuration) {
        write(self.place.path(), configuration.workers, &configuration.lines(self.address));
        self.expected.set(configuration.workers);
        self.reload();
    }

    /// What went wrong, as it sees it.
    pub fn complaints(&self) -> String {
        let read = |name| fs::read_to_string(self.place.path().join(name)).unwrap_or_default();
        read("output") + &read("error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends its workers and then itself, at once; killed, it would leave them behind.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// The links in `/proc/…/fd` that lead to sockets listening on this port.
fn listening_sockets(port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_its = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == LISTENS;
        is_its.then(|| format!("socket:[{}]", fields[9]))
    });
    sockets.collect()
}

fn holds(process: u32, sockets: &[String]) -> bool {
    // One that has ended holds nothing.
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    links.into_iter().any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

/// One worker is one sequence of round robin; several are one with a zone.
fn write(place: &Path, workers: usize, lines: &str) {
    let main = format!("worker_processes {workers};\n{MAIN}");
    fs::write(place.join("load_balancer.conf"), lines).unwrap();
    fs::write(place.join("nginx.conf"), main).unwrap();
}

const MAIN: &str = "\
daemon off;
pid nginx.pid;
error_log error.log;
events {
    worker_connections 4096;
}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    include load_balancer.conf;
}
";
