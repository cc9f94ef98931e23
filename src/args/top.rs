//! `uuid-generator top`.

use clap::Args;

use super::choice::ChoiceArgs;

/// Watch running fleets in this terminal, and inject faults with keys
#[derive(Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
}
