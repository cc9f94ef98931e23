//! Which running fleet a command is about.

use std::path::PathBuf;

use clap::Args;

/// As typed; `commands` joins it with the token.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ChoiceArgs {
    /// Fleet: PID of its supervisor or URL of its API; `check`, `top` and `view` take several [default: your fleet on this machine]
    #[arg(long, global = true, value_name = "PID|URL")]
    pub(crate) fleet: Vec<String>,

    /// File with the fleet's token [default: UUID_GENERATOR_TOKEN; your own fleet needs none]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}
