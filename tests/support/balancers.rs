//! The real balancers, with configurations that we write: whether they take them, and running.
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use uuid_generator::balancer::{Balancer, For, Version, Written};

use crate::support::{self, PATIENCE, TemporaryDirectory};

/// A balancer's program on this machine.
#[derive(Clone, Debug)]
pub struct Installed {
    pub balancer: Balancer,
    pub program: PathBuf,
    pub version: Version,
}

/// All that `tests/prepare` installs: Debian's, and those of wheels.
pub fn installed() -> Vec<Installed> {
    let wheels = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
    let of = |balancer: Balancer, program: PathBuf| {
        assert!(program.exists(), "{} is missing: run tests/prepare, or `make test`, which does", program.display());
        let (_, question) = balancer.version_question().expect("a program");
        let said = support::run(Command::new(&program).arg(question));
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        let version = Version::in_text(&said).unwrap_or_else(|| panic!("{program:?} says no version: {said}"));
        Installed { balancer, program, version }
    };
    vec![
        of(Balancer::Nginx, "/usr/sbin/nginx".into()),
        of(Balancer::Nginx, wheels.join("nginx")),
        of(Balancer::Haproxy, "/usr/sbin/haproxy".into()),
        of(Balancer::Envoy, wheels.join("envoy")),
        of(Balancer::Traefik, wheels.join("traefik")),
        of(Balancer::Caddy, wheels.join("caddy")),
    ]
}

impl Installed {
    pub fn found(&self) -> For {
        For::Found(self.version)
    }

    /// Whether it takes this configuration, without complaint. Traefik can only be started.
    pub fn takes(&self, written: &Written) -> Result<(), String> {
        let place = place_with(written);
        if self.balancer == Balancer::Envoy {
            fs::write(place.path().join("envoy.yaml"), all_static(written)).unwrap();
        }
        let arguments: &[&str] = match self.balancer {
            Balancer::Nginx => &["-t", "-p", ".", "-e", "stderr", "-c", "nginx.conf"],
            Balancer::Haproxy => &["-c", "-f", "haproxy.cfg"],
            Balancer::Envoy => &["--mode", "validate", "-c", "envoy.yaml", "--log-level", "warning"],
            Balancer::Caddy => &["validate", "--config", "Caddyfile", "--adapter", "caddyfile"],
            Balancer::Traefik | Balancer::Kubernetes => panic!("{} has no test of a configuration", self.balancer),
        };
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(place.path()).env("HOME", place.path()).stdin(Stdio::null());
        let output = support::run(&mut command);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let complains = ["warn", "deprecated"].iter().any(|word| said.to_ascii_lowercase().contains(word));
        // HAProxy counts the warnings that it does not have.
        let complains = complains && self.balancer != Balancer::Haproxy || said.contains("[WARNING]");
        if output.status.success() && !complains { Ok(()) } else { Err(said) }
    }

    /// Running, as it says how it is run. Returns when it has its configuration.
    pub fn start(&self, written: &Written, address: SocketAddr, path: &str) -> Running {
        let place = place_with(written);
        let run = written.run.as_ref().expect("it runs by itself");
        let mut command = Command::new(&self.program);
        // Debian's programs can be read by everybody.
        if rustix::process::getuid().is_root() && self.program.starts_with("/usr") {
            command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.program);
        }
        let output = File::create(place.path().join("output")).unwrap();
        command.args(&run.command[1..]).envs(run.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(place.path()).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let mut running = Running { address, child, place };
        let what = format!("{self:?} serves {path} with {written:?}");
        support::eventually(&what, || {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended: {}", running.said());
            // Before Traefik has read its dynamic file, all is 404.
            running.ask(path, "").is_some_and(|answer| answer.status != 404)
        });
        running
    }
}

/// Envoy, when it only looks whether a configuration is valid, looks at none that is dynamic.
fn all_static(written: &Written) -> String {
    let [listener, clusters] = written.files.as_slice() else { panic!("{written:?}") };
    let listener =
        listener.text.lines().filter(|line| !line.contains("dynamic_resources") && !line.contains("cds_config"));
    let (_, cluster) = clusters.text.split_once("config.cluster.v3.Cluster\n  ").expect("one cluster");
    let cluster = format!("clusters:\n- {cluster}");
    let lines = listener.map(str::to_owned).chain(cluster.lines().map(|line| format!("  {line}")));
    lines.map(|line| line + "\n").collect()
}

fn place_with(written: &Written) -> TemporaryDirectory {
    let place = TemporaryDirectory::new();
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    for file in &written.files {
        fs::write(place.path().join(file.name), &file.text).unwrap();
    }
    place
}

/// A running balancer. Dropping it ends it.
pub struct Running {
    pub address: SocketAddr,
    child: Child,
    place: TemporaryDirectory,
}

/// What came on a connection of its own.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// Which backend answered.
    pub fn backend(&self) -> u16 {
        let number = self.header("Generator-Number").unwrap_or_else(|| panic!("of no backend: {self:?}"));
        number.parse().unwrap()
    }
}

impl Running {
    /// An address for the next one.
    pub fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, support::ports(1)[0]))
    }

    /// A GET with these header lines; None if there was no answer.
    pub fn ask(&self, path: &str, headers: &str) -> Option<Answer> {
        self.send("GET", path, headers)
    }

    /// A POST of one byte; None if there was no answer.
    pub fn post(&self, path: &str) -> Option<Answer> {
        self.send("POST", path, "Content-Length: 1\r\n")
    }

    fn send(&self, method: &str, path: &str, headers: &str) -> Option<Answer> {
        let body = if method == "POST" { "x" } else { "" };
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n{body}").ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(Answer { status: text.split(' ').nth(1)?.parse().ok()?, text })
    }

    /// Which backends answer so many requests, one after the other.
    pub fn backends(&self, count: usize, path: &str, headers: &str) -> Vec<u16> {
        (0..count)
            .map(|_| self.ask(path, headers).unwrap_or_else(|| panic!("no answer: {}", self.said())).backend())
            .collect()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.place.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begin = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if begin.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
