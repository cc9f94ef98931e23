//! What it costs a backend that somebody looks: its CPU time for a request with the live view open, beside that with nobody there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::client::{CLIENT_CORE, Load};
use crate::peers::{Fleet, Place};
use crate::report::Slice;

const WORD: &str = "--watch";
const LOAD: Load = Load::Kept(64);

/// The API that this program is to look at, if it is the one who looks.
pub fn from_arguments() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == WORD).then(|| arguments.next())?
}

/// Reads the events of the live view, until it is ended.
pub fn watch(control: &str) -> Result<()> {
    let mut stream = TcpStream::connect(control.trim_start_matches("http://"))?;
    stream.write_all(b"GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut bytes = [0; 64 * 1024];
    // The first of it is said: whoever waits knows that it looks now.
    let mut first = true;
    while stream.read(&mut bytes)? > 0 {
        if std::mem::take(&mut first) {
            println!("looks");
        }
    }
    Ok(())
}

/// One who looks, on the client's core; ended with the value.
struct Watcher(Child);

impl Watcher {
    fn start(control: &str) -> Result<Watcher> {
        let this = std::env::current_exe()?;
        let mut command = Command::new("taskset");
        command.args(["-c", CLIENT_CORE]).arg(this).args([WORD, control]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut watcher = Watcher(command.spawn().context("failed to start one who looks")?);
        let mut word = [0; 5];
        watcher.0.stdout.as_mut().context("it has an output")?.read_exact(&mut word)?;
        Ok(watcher)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Microseconds a request with somebody there and with nobody, one after the other.
pub fn pair(fleet: &Fleet, place: &Place) -> Result<(f64, f64)> {
    let watcher = Watcher::start(&fleet.control(place)?)?;
    let watched = Slice::take(fleet, LOAD, place)?;
    drop(watcher);
    let alone = Slice::take(fleet, LOAD, place)?;
    Ok((watched.answering, alone.answering))
}
