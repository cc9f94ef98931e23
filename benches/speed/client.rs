//! The one client of all: `wrk`, on a core of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::floor::Mode;

/// What is asked of a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Load {
    /// That many connections that are kept, one request at a time on each.
    Kept(u32),
    /// 64 connections that are kept, 16 requests at a time on each.
    Pipelined,
    /// 64 at a time, each request on a connection of its own.
    New,
}

/// The answering process has the first core for itself.
pub const SERVER_CORE: &str = "0";
/// The client has the second, with whatever else runs.
pub const CLIENT_CORE: &str = "1";
const DEEP: usize = 16;

impl Load {
    pub const ALL: [Load; 5] = [Load::Kept(1), Load::Kept(64), Load::Kept(256), Load::Pipelined, Load::New];

    pub fn name(self) -> String {
        match self {
            Load::Kept(1) => "1 connection, kept".to_owned(),
            Load::Kept(connections) => format!("{connections} connections, kept"),
            Load::Pipelined => format!("64 connections, {DEEP} requests deep"),
            Load::New => "a new connection per request".to_owned(),
        }
    }

    pub fn floor(self) -> Mode {
        match self {
            Load::Kept(_) => Mode::One,
            Load::Pipelined => Mode::Several,
            Load::New => Mode::Close,
        }
    }

    fn connections(self) -> u32 {
        match self {
            Load::Kept(connections) => connections,
            Load::Pipelined | Load::New => 64,
        }
    }
}

/// Sends the load for a second; how many requests were answered, every one of them well. A pipeline has its script written there.
pub fn drive(port: u16, load: Load, script: &Path) -> Result<u64> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE, "wrk", "-t1", "-d1s", "-c", &load.connections().to_string()]);
    match load {
        Load::Kept(_) => {}
        Load::New => {
            command.args(["-H", "Connection: close"]);
        }
        Load::Pipelined => {
            let lines = format!(
                "init = function() local all = {{}}; for i = 1, {DEEP} do all[i] = wrk.format() end; together = table.concat(all) end\n\
                 request = function() return together end\n"
            );
            fs::write(script, lines)?;
            command.arg("-s").arg(script);
        }
    }
    let output = command.arg(format!("http://127.0.0.1:{port}/uuid")).output().context("failed to run wrk")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !said.contains("Non-2xx"), "wrk was not answered well:\n{said}");
    ensure!(!said.contains("Socket errors"), "wrk saw errors:\n{said}");
    let count = said.lines().find_map(|line| line.trim().split_once(" requests in ")).context("wrk counted nothing")?.0;
    count.parse().context("wrk counted no number")
}

/// One whole answer, as this load gets it.
pub fn answer_of(port: u16, load: Load) -> Result<Vec<u8>> {
    let connection = if load == Load::New { "close" } else { "keep-alive" };
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET /uuid HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: {connection}\r\n\r\n")?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    ensure!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "port {port} answers {}", answer.escape_ascii());
    Ok(answer)
}
