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
    #[arg(value_parser = http_url, conflicts_with_all = ["fleet", "token_file"])]
    pub(crate) url: Option<Uri>,

    /// Ports of the backends to ask
    #[arg(long, value_name = "PORTS", conflicts_with = "url")]
    pub(crate) ports: Option<Ports>,

    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
}

fn http_url(text: &str) -> Result<Uri, &'static str> {
    const EXPECTED: &str = "expected a URL such as http://localhost:8080/healthz, or one with https://";
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = with_scheme.parse().map_err(|_| EXPECTED)?;
    let is_known = uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme));
    if is_known && uri.host().is_some_and(|host| !host.is_empty()) { Ok(uri) } else { Err(EXPECTED) }
}
