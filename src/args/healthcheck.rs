//! `uuid-generator healthcheck`.

use clap::Args;
use hyper::Uri;

use super::choice::ChoiceArgs;
use crate::topology::Ports;

/// Ask whether backends are ready: exit status 0 if all are, 1 if not
#[derive(Args)]
pub(crate) struct HealthcheckArgs {
    /// URL to ask; with https, any certificate is accepted [default: the readiness of each backend of the running fleet, else of those in
    /// the environment or the file]
    pub(crate) url: Option<Uri>,

    /// Ports of the backends to ask
    #[arg(long, value_name = "PORTS", conflicts_with = "url")]
    pub(crate) ports: Option<Ports>,

    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
}
