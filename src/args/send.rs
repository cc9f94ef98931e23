//! `uuid-generator send`.

use std::path::PathBuf;

use clap::Args;

use super::choice::ChoiceArgs;
use super::format::OutputFormat;
use crate::wire::Time;

/// Send a few requests in sequence, and show which backend responded to each
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct SendArgs {
    /// URL of the balancer, such as http://localhost:8080/uuid [default: the one that the fleet knows]
    #[arg(conflicts_with_all = ["fleet", "token_file"])]
    pub(crate) url: Option<String>,

    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,

    /// Number of requests, up to 1,000,000
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests: u32,

    /// Request method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,

    /// Request header, `Name: value`; repeatable
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,

    /// Act as one client that keeps cookies as browsers do [default: each request is a new client]
    #[arg(long)]
    pub(crate) keep_cookies: bool,

    /// With https://: also trust the certificates in this file (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// With https://: accept any certificate
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Response timeout; a plain number is in seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds_or_time)]
    pub(crate) timeout: Time,

    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
}

const AFTER_HELP: &str = "\
Exit status: 0 every request got a response from a backend, 1 some did not, 2 could not run.";

fn seconds_or_time(text: &str) -> Result<Time, &'static str> {
    text.parse().or_else(|why| format!("{text}s").parse().map_err(|_| why))
}
