//! A real nginx in a place of its own, with the lines that we ship or write inside its `http { … }`.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{self, TemporaryDirectory};

const PROGRAM: &str = "/usr/sbin/nginx";

/// A running nginx. Dropping it ends it.
pub struct Nginx {
    pub address: SocketAddr,
    master: Child,
    place: TemporaryDirectory,
}

impl Nginx {
    /// With these lines as they are, but for the port: one of loopback instead of port 80. Returns when it accepts.
    pub fn start(lines: &str) -> Nginx {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run `make test`, which installs it, or install Debian's package nginx-light"
        );
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, support::ports(1)[0]));
        let listening = lines.replacen("listen 80;", &format!("listen {address};"), 1);
        assert_ne!(listening, lines, "no line says `listen 80;`");
        let place = TemporaryDirectory::new();
        // Its worker is another user.
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(place.path().join("load_balancer.conf"), listening).unwrap();
        fs::write(place.path().join("nginx.conf"), CONFIGURATION).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("-p").arg(place.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
        let output = File::create(place.path().join("output")).unwrap();
        let master = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().unwrap();
        let mut nginx = Nginx { address, master, place };
        support::eventually("nginx accepts connections", || {
            let ended = nginx.master.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {}", nginx.complaints());
            TcpStream::connect(address).is_ok()
        });
        nginx
    }

    /// What went wrong, as it sees it.
    pub fn complaints(&self) -> String {
        let read = |name| fs::read_to_string(self.place.path().join(name)).unwrap_or_default();
        read("output") + &read("error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends its worker and then itself, at once; killed, it would leave its worker behind.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// One worker, so that round robin is one sequence.
const CONFIGURATION: &str = "\
daemon off;
worker_processes 1;
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
