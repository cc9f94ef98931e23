//! How long it takes until a command runs in a private copy of this machine, as a rehearsal has it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use world::World;

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
