//! `uuid-generator fault …`: how backends of a running fleet are to misbehave.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::{members, show};
use crate::remote::Remote;
use crate::topology::Ports;
use crate::wire::Fault;

/// Make backends of a running fleet misbehave, or behave again. Without ports, all that run are meant.
#[derive(Args)]
#[command(override_usage = "uuid-generator fault [--fleet PID] [PORTS] FAULT…\n       uuid-generator fault [--fleet PID] [PORTS] clear",
    after_help = FAULTS)]
pub struct Typed {
    /// The process id of the fleet's supervisor, when more than one fleet of yours runs
    #[arg(long, value_name = "PID")]
    fleet: Option<u32>,
    /// Ports, such as 9002 or 9001-9003,9010, and the words of a fault, also joined by colons; `clear` switches all off
    #[arg(value_name = "WORDS", required = true)]
    words: Vec<String>,
}

const FAULTS: &str = "\
Faults, each with a share of requests such as 10% or without:
  status 503 10%         answer that status instead of the page
  latency 200ms±50ms     hold each answer back so long (+- is read as ±)
  reset 5%               TCP RST instead of an answer
  hang                   read the request, never answer
  close                  read the request, close without an answer
  close-midway           send the head and half of the body, then close
and without a share:
  fail-first 2           503 for the first two attempts at this backend of each request that has a Check-Request-Id
  unhealthy              liveness and readiness answer 503, the page goes on

A backend has one fault of each kind, and several kinds at once. Except for `unhealthy`, they leave health alone. They end with
the backend's process.";

impl Typed {
    /// Does it and shows the members.
    pub async fn run(self) -> Result<ExitCode> {
        let (ports, words) = match self.words.split_first() {
            Some((first, rest)) if first.starts_with(|c: char| c.is_ascii_digit()) => {
                (first.parse::<Ports>().map_err(anyhow::Error::msg)?.meant().map_err(anyhow::Error::msg)?, rest)
            }
            Some(_) | None => (Vec::new(), &self.words[..]),
        };
        let typed = words.join(":");
        let fault = match typed.as_str() {
            "" => bail!("no fault named: expected one after the ports, such as status 503 10%, or clear"),
            "clear" => None,
            text => Some(text.parse::<Fault>().with_context(|| format!("no such fault: {text}"))?),
        };
        let remote = Remote::find(self.fleet, &ports)?;
        let status = match fault {
            Some(fault) => remote.fault(&[fault], &ports).await?,
            None => remote.clear(&ports).await?,
        };
        show(members::table(&status).as_bytes())
    }
}
