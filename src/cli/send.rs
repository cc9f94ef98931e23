//! `uuid-generator send`: a few requests, one after the other, and who answered.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;

use crate::check::plan::Trust;
use crate::check::{Visited, Visitor};
use crate::report::phrases::what_came;

/// Send a few requests, one after the other, and show who answered each
#[derive(Args)]
pub struct Typed {
    /// Of the balancer, such as http://localhost:8080/uuid
    url: String,

    /// So many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 30)]
    requests: u32,

    /// As one visitor, who keeps the cookies that answers set [default: a new visitor each time]
    #[arg(long)]
    keep_cookies: bool,

    /// How long an answer is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,

    /// How they are shown
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

const A_LINE: usize = 15;

impl Typed {
    /// Sends them. Exit status 1 if one of them has no answer of a backend.
    pub fn run(self) -> Result<ExitCode> {
        ensure!(self.requests > 0, "-n: expected one request at least");
        let mut visitor =
            Visitor::new(&self.url, &Trust::Machine, Duration::from_secs(self.timeout), self.keep_cookies)?;
        let visits: Vec<Visited> = (0..self.requests).map(|_| visitor.visit()).collect::<Result<_>>()?;
        match self.format {
            Form::Json => println!("{}", object(&visits)),
            Form::Text => show(&visits),
        }
        let all = visits.iter().all(|visit| visit.backend.is_some());
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn object(visits: &[Visited]) -> serde_json::Value {
    let each = visits
        .iter()
        .map(|visit| json!({ "backend": visit.backend, "status": visit.status, "seen": what_came(&visit.client) }));
    json!({ "version": 1, "requests": visits.len(), "answers": each.collect::<Vec<_>>() })
}

fn show(visits: &[Visited]) {
    let names = visits.iter().map(|visit| visit.backend.clone().unwrap_or_else(|| what_came(&visit.client)));
    let names: Vec<String> = names.collect();
    for line in names.chunks(A_LINE) {
        println!("{}", line.join("  "));
    }
    let mut counts = BTreeMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_insert(0) += 1);
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    println!("\n{}", counts.join(" · "));
}
