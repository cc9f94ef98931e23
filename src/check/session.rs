//! What the phases of a check share, and what they leave behind. `phases` runs them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::check::backing::FoundFleet;
use crate::check::client::ClientHandle;
use crate::check::collector::{Collected, Collector};
use crate::check::handshakes::HandshakesBefore;
use crate::check::identities;
use crate::check::load::{Identity, Load, LoadTarget, Prober};
use crate::check::plan::CheckPlan;
use crate::check::scenario::StepResult;
use crate::check::watch::CheckWatch;
use crate::fleets::Fleets;

use crate::wire::Moment;
use verdict::algorithm::Evidence;
use verdict::facts::connections::ConnectionLimit;
use verdict::facts::responses::ReceivedResponses;
use verdict::facts::tls::KnownTls;
use verdict::limit::SlowTrial;
use verdict::observation::Observation;
use verdict::rules::IdentitySource;
use verdict::streams::StreamObservation;

/// Attempts in flight when the sample has ended may take that long to end: those at a paused backend, for example.
const SETTLE: Duration = Duration::from_secs(2);

/// What the phases of a check share.
pub(crate) struct CheckSession<'a> {
    pub(crate) plan: &'a CheckPlan,
    pub(crate) watch: &'a CheckWatch,
    pub(crate) run: u64,
    pub(crate) identity: Identity,
    /// By the user, or by the fleet.
    pub(crate) is_identity_chosen: bool,
    /// Where the check found it by itself.
    pub(crate) found_identity: Option<IdentitySource>,
    /// Backends that are ready, if that is known.
    pub(crate) backends: Option<usize>,
    /// Those that came back so recently that a balancer may still avoid them.
    pub(crate) young: Vec<(String, Duration)>,
    pub(crate) client: ClientHandle,
    /// Connections that the balancer serves at once, where that is fewer than the check was to use.
    pub(crate) connection_limit: Option<ConnectionLimit>,
    /// Of the fleet's records, if the backends are ours.
    pub(crate) collector: Option<Collector>,
    /// Failed handshakes that are not of this check.
    pub(crate) handshakes_before: HandshakesBefore,
}

/// All that was sent and recorded, and what was learnt on the way.
pub(crate) struct SessionData {
    /// In the order of their numbers.
    pub(crate) observations: Vec<Observation>,
    /// Requests from this number on are judged.
    pub(crate) judged: u32,
    /// Numbers of requests that experiments invented, in order.
    pub(crate) invented: Vec<u32>,
    /// Numbers of the sample's requests.
    pub(crate) sample: Range<u32>,
    /// To which of several URLs each of them went.
    pub(crate) urls: Vec<u8>,
    /// On which connection each request of the run went.
    pub(crate) connections: Vec<u32>,
    /// What a report shows of the responses, those of probes too.
    pub(crate) received: ReceivedResponses,
    /// Whether the balancer refused none that were sent slowly after the sample, if that was tried.
    pub(crate) slow_trial: Option<SlowTrial>,
    pub(crate) names: Vec<String>,
    /// How many backends were ready, if that is known.
    pub(crate) backends: Option<usize>,
    /// What the experiments saw of the algorithm.
    pub(crate) evidence: Evidence,
    pub(crate) steps: Vec<StepResult>,
    /// The sample as it was sent.
    pub(crate) load: Load,
    pub(crate) started: Moment,
    pub(crate) ended: Moment,
    /// Where the names of backends stand that are not ours.
    pub(crate) identity: Option<IdentitySource>,
    /// What is known of TLS between balancer and backends.
    pub(crate) tls: KnownTls,
    /// None if the backends are not ours.
    pub(crate) records: Option<Collected>,
    /// Of a check of streams: what became of each, and how late the client itself was.
    pub(crate) streams: Option<(Vec<StreamObservation>, Duration)>,
}

impl<'a> CheckSession<'a> {
    pub(crate) async fn begin(
        plan: &'a CheckPlan,
        target: LoadTarget,
        fleet: Option<&FoundFleet>,
        identity: Option<Identity>,
        watch: &'a CheckWatch,
    ) -> Result<CheckSession<'a>> {
        let run = crate::check::run_number::new();
        let is_identity_chosen = identity.is_some();
        // Until it is found, where the original program has its name.
        let identity = identity.unwrap_or_else(identities::of_original);
        let prober = prober(plan, watch, &target, run, 0, &identity)?;
        let collector = match fleet {
            Some(fleet) => Some(Collector::begin(fleet.fleets.clone(), run).await?),
            None => None,
        };
        let names = fleet.map_or_else(Vec::new, FoundFleet::names);
        let client = ClientHandle::new(target, prober, names, plan.connections_at_once());
        if let Some(fleet) = fleet {
            client.with(|_, backends| backends.know(fleet.fleets.instances(), fleet.fleets.shared_names()));
        }
        Ok(CheckSession {
            plan,
            watch,
            run,
            identity,
            is_identity_chosen,
            found_identity: None,
            backends: fleet.map(|fleet| fleet.ready),
            young: fleet.map_or_else(Vec::new, |fleet| fleet.young.clone()),
            client,
            connection_limit: None,
            collector,
            handshakes_before: match fleet {
                Some(fleet) => HandshakesBefore::of(&fleet.fleets).await,
                None => HandshakesBefore::default(),
            },
        })
    }

    /// Where the names of backends were found; none with a fleet.
    pub(crate) fn named_by(&self) -> Option<IdentitySource> {
        let source = || self.found_identity.clone().unwrap_or_else(|| self.chosen_identity());
        (!self.identity.is_fleet()).then(source)
    }

    /// The place that the user chose for the names of backends.
    pub(crate) fn chosen_identity(&self) -> IdentitySource {
        IdentitySource {
            place: identities::describe(&self.identity),
            chosen: self.is_identity_chosen,
            named: true,
            shared: Vec::new(),
        }
    }

    /// Another one, whose first request has that number.
    pub(crate) fn new_prober(&self, first: u64) -> Result<Prober> {
        self.new_prober_of(self.run, first)
    }

    /// One whose requests belong to another run.
    pub(crate) fn new_prober_of(&self, run: u64, first: u64) -> Result<Prober> {
        prober(self.plan, self.watch, self.client.target(), run, first, &self.identity)
    }

    /// A phase of the client; records are collected meanwhile.
    pub(crate) async fn on_client<T: Send + 'static>(
        &mut self,
        phase: impl FnOnce(&mut crate::check::subject::LiveSubject) -> T + Send + 'static,
    ) -> Result<T> {
        let client = self.client.clone();
        self.collecting(client.run(phase)).await
    }

    pub(crate) fn begin_sample(&mut self, first: u32) {
        if let Some(collector) = &mut self.collector {
            collector.begin_sample(first, self.plan.sent().deadline());
        }
    }

    /// Collects records while something else goes on.
    pub(crate) async fn collecting<T>(&mut self, what: impl Future<Output = T>) -> T {
        match &mut self.collector {
            Some(collector) => collector.collect_until(what).await,
            None => what.await,
        }
    }

    /// Ends the collecting: all that backends record until `quiet` has passed and what was in flight has ended. None without a fleet.
    pub(crate) async fn take_records(&mut self, quiet: Duration) -> Option<Collected> {
        let mut collector = self.collector.take()?;
        collector.collect_until(tokio::time::sleep(quiet)).await;
        collector.settle(SETTLE).await;
        let mut records = collector.finish().await;
        self.client.with(|_, backends| records.take_places_of(backends));
        Some(records)
    }

    /// Connections of the sample, at most.
    pub(crate) fn connections_at_once(&self) -> usize {
        let most = self.connection_limit.map_or(usize::MAX, |limit| limit.at_once as usize);
        self.plan.connections_at_once().min(most)
    }

    /// Requests that may still be sent, where their number is limited.
    pub(crate) fn budget_left(&self) -> Option<u64> {
        self.plan.load.budget.map(|budget| budget.saturating_sub(self.client.next_sequence()))
    }

    /// Requests of a warm-up at most: the sample has to have some, too.
    pub(crate) fn warm_up_budget(&self) -> usize {
        self.budget_left().map_or(usize::MAX, |left| (left / 4) as usize)
    }

    pub(crate) fn fleets(&self) -> Option<&Fleets> {
        self.collector.as_ref().map(Collector::fleets)
    }

    /// The backends that are ready; all that are known, if nobody says which are.
    pub(crate) fn ready(&self) -> Vec<String> {
        let mut names = self.client.names();
        names.truncate(self.backends.unwrap_or(names.len()));
        names
    }

    /// How many backends get requests while all is well, if that is known.
    pub(crate) fn takers(&self) -> Option<usize> {
        let takes_part = |name: &&String| self.plan.expectations.takes_part(name);
        self.backends.map(|_| self.ready().iter().filter(takes_part).count())
    }
}

fn prober(
    plan: &CheckPlan,
    watch: &CheckWatch,
    target: &LoadTarget,
    run: u64,
    first: u64,
    identity: &Identity,
) -> Result<Prober> {
    let prober = Prober::new(target.clone(), run, first, plan.load.timeout, identity.clone())
        .with_request(Arc::new(plan.request.spec()))
        .with_rate(plan.load.rate)
        .with_session(plan.affinity.session.clone())
        .with_progress(watch.progress.clone());
    Ok(prober)
}
