//! Somebody who sends requests one after the other and looks who answers, without a fleet, a ledger or a verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::check::load::{Backends, Connection, Identity, Probe, Prober};
use crate::check::plan::{Backing, Plan, Trust};
use crate::check::{run_number, target};
use verdict::finding::ClientWitness;
use verdict::observation::ClientOutcome;

/// One visitor, or a new one for each request.
pub struct Visitor {
    prober: Prober,
    backends: Backends,
    /// Of the one who keeps them.
    cookies: Option<BTreeMap<String, String>>,
}

/// What became of a request.
#[derive(Clone, PartialEq, Debug)]
pub struct Visited {
    /// Who answered, if a backend did.
    pub backend: Option<String>,
    /// Of the answer; 0 without one.
    pub status: u16,
    /// What came.
    pub client: ClientWitness,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
}

impl Visitor {
    /// To that URL. Each request has `timeout`.
    pub fn new(url: &str, trust: &Trust, timeout: Duration, keeps_cookies: bool) -> Result<Visitor> {
        let target =
            target::resolve(url, &Plan { trust: trust.clone(), timeout, ..Plan::new(url.to_owned(), Backing::Any) })?;
        Ok(Visitor {
            prober: Prober::new(target, run_number::new(), 0, timeout, Identity::Fleet),
            backends: Backends::new(Vec::new()),
            cookies: keeps_cookies.then(BTreeMap::new),
        })
    }

    /// Sends a request on a connection of its own, and waits for its answer.
    pub fn visit(&mut self) -> Result<Visited> {
        let cookies: Vec<String> =
            self.cookies.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        let value = cookies.join("; ");
        let header = [("Cookie", value.as_str())];
        let headers = if value.is_empty() { &header[..0] } else { &header[..] };
        let probe = Probe { connection: Connection::Fresh, headers, ..Probe::default() };
        let seen = self.prober.probe(&probe, &mut self.backends)?;
        if let Some(kept) = &mut self.cookies {
            kept.extend(seen.cookies);
        }
        let observation = seen.observation;
        let answered = matches!(observation.sight, ClientOutcome::Answer | ClientOutcome::Altered);
        let backend = self.backends.name(observation.backend).filter(|_| answered);
        Ok(Visited {
            backend: backend.map(str::to_owned),
            status: observation.status,
            location: location(observation.status, &seen.head),
            client: ClientWitness::of(&observation, self.backends.name(observation.backend).map(str::to_owned)),
        })
    }
}

fn location(status: u16, head: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let location = fields.filter(|(name, _)| name.eq_ignore_ascii_case("location")).last();
    location.filter(|_| (300..400).contains(&status)).map(|(_, value)| value.trim().to_owned())
}
