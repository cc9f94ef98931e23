//! Somebody who sends requests one after the other and looks who answers, without a fleet, a ledger or a verdict.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::check::load::cookies::{CookieOrigin, Jar};
use crate::check::load::{BackendNames, Identity, Probe, ProbeConnection, Prober};
use crate::check::plan::{Backing, CheckPlan};
use crate::check::{run_number, target};
use crate::runfile::Runfile;
use verdict::facts::responses::ObservedProcess;
use verdict::finding::ClientWitness;
use verdict::observation::ClientOutcome;

/// One visitor, or a new one for each request.
pub(crate) struct Visitor {
    prober: Prober,
    backends: BackendNames,
    /// The cookies, for a visitor who keeps them.
    jar: Option<Jar>,
    origin: CookieOrigin,
}

/// What came of a request of a visitor.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Visited {
    /// The backend that answered, if one did.
    pub(crate) backend: Option<String>,
    /// Status of the response; 0 without one.
    pub(crate) status: u16,
    pub(crate) client: ClientWitness,
    /// Cookies that a browser does not keep or never sends back, each with the reason.
    pub(crate) refused_cookies: Vec<String>,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// Status line and headers of the response.
    pub(crate) head: String,
}

/// What is done with cookies that responses set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CookieUse {
    /// They are sent with the requests that follow, as a browser does.
    Kept,
    Ignored,
}

impl Visitor {
    /// To that URL, with plain requests. Each has `timeout`.
    pub(crate) fn new(url: &str, timeout: Duration, cookies: CookieUse) -> Result<Visitor> {
        let mut plan = CheckPlan::new(url.to_owned(), Backing::Any);
        plan.load.timeout = timeout;
        Visitor::of(&plan, cookies)
    }

    /// To the URL of a plan, from the address of its first client.
    pub(crate) fn of(plan: &CheckPlan, cookies: CookieUse) -> Result<Visitor> {
        let (url, timeout) = (&plan.target.url, plan.load.timeout);
        let target = target::resolve(url, plan)?;
        // As a check does: who sends requests to a backend learns nothing about a balancer.
        let fleets = Runfile::find_all();
        let names: Vec<String> = fleets.into_iter().flat_map(|it| it.backends).collect();
        target::refuse_a_backend(url, &target, &names)?;
        let origin = CookieOrigin::new(&target.host, &target.path, target.tls.is_some());
        Ok(Visitor {
            origin,
            prober: Prober::new(target, run_number::new(), 0, timeout, Identity::Fleet)
                .with_request(plan.request.spec().into()),
            backends: BackendNames::new(Vec::new()),
            jar: (cookies == CookieUse::Kept).then(Jar::default),
        })
    }

    /// Sends a request on a connection of its own, and waits for its response.
    pub(crate) fn visit(&mut self) -> Result<Visited> {
        let value = self.jar.as_ref().and_then(|jar| jar.header(&self.origin, SystemTime::now())).unwrap_or_default();
        let header = [("Cookie", value.as_str())];
        let headers = if value.is_empty() { &header[..0] } else { &header[..] };
        let probe = Probe { connection: ProbeConnection::Fresh, headers, ..Probe::default() };
        let seen = self.prober.probe(&probe, &mut self.backends)?;
        let mut refused = Vec::new();
        if let Some(jar) = &mut self.jar {
            for value in &seen.set_cookies {
                if let Err(why) = jar.set(value, &self.origin, SystemTime::now()) {
                    let name = value.split(['=', ';']).next().unwrap_or_default().trim();
                    refused.push(format!("{name}: {why}"));
                }
            }
        }
        let observation = seen.observation;
        let answered = matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered);
        let backend = self.backends.name(observation.backend).filter(|_| answered);
        Ok(Visited {
            backend: backend.map(str::to_owned),
            status: observation.status,
            location: location(observation.status, &seen.head),
            refused_cookies: refused,
            client: ClientWitness::of(&observation, self.backends.name(observation.backend).map(str::to_owned)),
            head: seen.head,
        })
    }

    /// The processes that responded, with the names that they gave, in the order of their first responses: backends of several
    /// fleets may have one name.
    pub(crate) fn into_processes(self) -> Vec<(String, ObservedProcess)> {
        let (_, samples) = self.prober.into_observations();
        let mut processes: Vec<ObservedProcess> = samples.processes.into_values().collect();
        processes.sort_unstable_by_key(|process| (process.first, process.instance.0));
        let named = |process: ObservedProcess| Some((self.backends.name(process.backend)?.to_owned(), process));
        processes.into_iter().filter_map(named).collect()
    }
}

fn location(status: u16, head: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let location = fields.rev().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    location.filter(|_| (300..400).contains(&status)).map(|(_, value)| value.trim().to_owned())
}
