//! `fault`: inject faults into backends of a running fleet, or clear them.

use std::process::ExitCode;

use anyhow::Result;

use super::backends::table;
use super::choice::choice;
use super::print::print;
use crate::args::fault::FaultArgs;
use crate::config::nearest::nearest;
use crate::error::Problem;
use crate::topology::BackendSelection;
use crate::wire::{BadFault, Fault, FaultKind};

/// Does it and shows the backends.
pub(super) async fn run(args: FaultArgs) -> Result<ExitCode> {
    let (backends, words) = match args.words.split_first() {
        Some((first, rest)) if !is_fault(first) => {
            let BackendSelection(names) = first.parse().map_err(|why: String| Problem::new(why))?;
            (names, rest)
        }
        Some(_) | None => (Vec::new(), &args.words[..]),
    };
    let fault = match words.join(":").as_str() {
        "" => {
            return Err(Problem::new(
                "no fault named: expected one after the backends, such as status 503 10%, or clear",
            ))?;
        }
        "clear" => None,
        text => Some(text.parse::<Fault>().map_err(|why| refuse(text, &why))?),
    };
    let remote = choice(&args.fleet)?.find(&backends)?;
    let status = match fault {
        Some(fault) => remote.fault(&[fault], &backends).await?,
        None => remote.clear(&backends).await?,
    };
    print(table(&status).as_bytes())
}

/// Whether a word begins a fault: what is none names backends.
fn is_fault(word: &str) -> bool {
    let kind = word.split(':').next().unwrap_or_default();
    kind == "clear" || FaultKind::ALL.iter().any(|it| it.name() == kind)
}

fn refuse(text: &str, why: &BadFault) -> Problem {
    if *why != BadFault::Kind {
        return Problem::new(why.to_string()).on(format!("fault {text}"));
    }
    let problem = Problem::new(format!("no such fault: {text}: {why}"));
    match nearest(text.split(':').next().unwrap_or_default(), FaultKind::ALL.map(FaultKind::name)) {
        Some(kind) => problem.hint(format!("did you mean {kind}?")),
        None => problem,
    }
}
