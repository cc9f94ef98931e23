//! `uuid-generator view`.

use std::net::SocketAddr;

use clap::Args;

use super::choice::ChoiceArgs;

/// Show the backends of several fleets in one live view
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct ViewArgs {
    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,

    /// Address of the page and its API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9100")]
    pub(crate) control: SocketAddr,
}

const AFTER_HELP: &str = "\
Retries at backends of another fleet are shown, and actions on a backend go to its fleet. The token that is given is that of the \
fleets and of this page.

Examples:
  Two hosts
    uuid-generator view --fleet http://10.20.0.11:9000 \\
      --fleet http://10.20.0.12:9000 --token-file token
  All pods of a headless Service
    uuid-generator view --fleet http://uuid-headless:9000";
