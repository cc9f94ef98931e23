//! The balancers that this machine has: where their programs are, and which versions they say they are.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::balancer::list::Balancer;
use crate::balancer::options::BalancerVersion;
use crate::balancer::path::on_path;
use crate::balancer::product::{Product, Program};

/// A program that is asked for its version answers in that time, or is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Its program: on PATH, or where balancers are installed although it is not on every user's PATH.
pub(crate) fn find(product: &Product) -> Option<PathBuf> {
    match product.program {
        Program::OnPath { .. } => on_path(product.name),
        Program::BuiltIn => std::env::current_exe().ok(),
        Program::Elsewhere => None,
    }
}

/// The best known balancer that is installed.
pub(crate) fn first() -> Option<Balancer> {
    Balancer::ALL.into_iter().find(|balancer| find(balancer).is_some())
}

/// As its program says, if there is one and it says so soon.
pub(crate) fn version(product: &Product) -> Option<BalancerVersion> {
    let Program::OnPath { version_argument } = product.program else { return None };
    let mut child = Command::new(on_path(product.name)?)
        .arg(version_argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let begin = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut output = Vec::new();
    child.stdout.take()?.take(10_000).read_to_end(&mut output).ok()?;
    child.stderr.take()?.take(10_000).read_to_end(&mut output).ok()?;
    BalancerVersion::in_text(&String::from_utf8_lossy(&output))
}
