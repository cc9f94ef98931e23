//! Which running fleet a command is about.

use std::path::PathBuf;

use clap::Args;

/// As typed; `commands` joins it with the token.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ChoiceArgs {
    /// Fleet: the process id of its supervisor, or the URL of its API. For a check repeatable, and a URL with a name is the fleets at all
    /// addresses of that name [default: the one of yours that runs here]
    #[arg(long, global = true, value_name = "PID|URL")]
    pub(crate) fleet: Vec<String>,

    /// File with the token of that fleet; or the variable UUID_GENERATOR_TOKEN [default: that of a fleet of yours on this machine]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}
