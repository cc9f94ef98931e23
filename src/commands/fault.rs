//! `fault`: inject faults into backends of a running fleet, or clear them.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::backends::table;
use super::print::print;
use crate::args::fault::FaultArgs;
use crate::error::Problem;
use crate::remote::Remote;
use crate::topology::Ports;
use crate::wire::{Fault, Generator};

/// Does it and shows the backends.
pub(super) async fn run(args: FaultArgs) -> Result<ExitCode> {
    let (ports, words) = match args.words.split_first() {
        Some((first, rest)) if first.starts_with(|c: char| c.is_ascii_digit()) => (generators(first)?, rest),
        Some(_) | None => (Vec::new(), &args.words[..]),
    };
    let fault = match words.join(":").as_str() {
        "" => {
            return Err(Problem::new(
                "no fault named: expected one after the ports, such as status 503 10%, or clear",
            ))?;
        }
        "clear" => None,
        text => Some(text.parse::<Fault>().with_context(|| format!("no such fault: {text}"))?),
    };
    let remote = Remote::find(args.fleet, &ports)?;
    let status = match fault {
        Some(fault) => remote.fault(&[fault], &ports).await?,
        None => remote.clear(&ports).await?,
    };
    print(table(&status).as_bytes())
}

fn generators(text: &str) -> Result<Vec<Generator>, Problem> {
    let ports: Ports = text.parse().map_err(|why: String| Problem::new(why))?;
    ports.meant().map_err(|why| Problem::new(why.to_string()))
}
