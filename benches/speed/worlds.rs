//! How long it takes until a command runs in a private copy of this machine, as a rehearsal has it, and how many requests pass through
//! its network.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use world::World;

use crate::peers::{OURS, Place};

const ENTER: &str = "enter-world";

/// This program is a stage of such a copy, or is to become one.
pub fn from_arguments() -> Option<ExitCode> {
    if let Some(done) = world::run_stage() {
        return Some(done.unwrap_or_else(|why| {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }));
    }
    std::env::args().any(|word| word == ENTER).then(|| {
        eprintln!("error: {}", World::new(vec!["/bin/true".into()]).enter());
        ExitCode::FAILURE
    })
}

/// Seconds, and seconds of processors, of all its processes.
pub fn start() -> Result<(f64, f64)> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let output = Command::new("bash")
        .args(["-c", "TIMEFORMAT='%R %U %S'; time \"$0\" \"$1\""])
        .arg(program)
        .arg(ENTER)
        .stdin(Stdio::null())
        .output()
        .context("failed to start bash")?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "no private copy of this machine: {printed}");
    let seconds: Vec<f64> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [real, user, system] = seconds.as_slice() else { anyhow::bail!("bash printed no times: {printed}") };
    Ok((*real, user + system))
}

/// Requests a second through NGINX in a rehearsal: with backends on its own loopback, and with backends on hosts of their own.
pub fn throughput(place: &Place) -> Result<(f64, f64)> {
    Ok((rehearse(place, ["127.0.0.2", "127.0.0.3"])?, rehearse(place, ["10.9.0.1", "10.9.0.2"])?))
}

fn rehearse(place: &Place, hosts: [&str; 2]) -> Result<f64> {
    let [one, two] = hosts;
    let text = format!(
        "worker_processes 1; events {{ worker_connections 1024; }} http {{ access_log off; \
         upstream u {{ server {one}:8001; server {two}:8001; keepalive 64; }} server {{ listen 8088; location / {{ \
         proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}"
    );
    let file = place.path("rehearsed.conf");
    fs::write(&file, text)?;
    let output = Command::new(OURS)
        .args(["rehearse", "nginx"])
        .arg(&file)
        .args(["http://bench.example:8088/", "--duration", "3s", "--no-experiments", "--format", "json"])
        .stdin(Stdio::null())
        .output()
        .context("failed to rehearse")?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stderr)))?;
    let rate = report["checks"][0]["traffic"]["requests_per_second"].as_f64();
    rate.context("the report has no rate")
}
