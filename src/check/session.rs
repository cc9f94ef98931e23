//! One check from its first request to its last: meet a backend, warm up, experiment, take the sample. What all of it means is
//! judged afterwards.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::backing::FoundFleet;
use crate::check::client::Client;
use crate::check::collector::{Collected, Collector};
use crate::check::load::{Identity, Load, OwnRequest, Prober, Target, Traffic, drive};
use crate::check::plan::{Experiments, Plan};
use crate::check::scenario::{self, StepResult};
use crate::check::watch::Watch;
use crate::check::{identities, meet, sample, warm_up};
use crate::remote::Remote;
use crate::wire::Moment;
use verdict::algorithm::Evidence;
use verdict::algorithm::experiments::{self, Setting};
use verdict::observation::Observation;

/// What the experiments may take, if nobody says it.
const EXPERIMENTS: Duration = Duration::from_secs(6);
/// Attempts in flight when the sample has ended may take that long to end: those at a paused backend, for example.
const SETTLE: Duration = Duration::from_secs(2);

/// What the phases of a check share.
pub(crate) struct Session<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) watch: &'a Watch,
    pub(crate) run: u64,
    pub(crate) identity: Identity,
    /// By the user, or by the fleet.
    pub(crate) is_identity_chosen: bool,
    /// Where the check found it by itself, as `--identity` takes it.
    pub(crate) found_identity: Option<String>,
    /// Backends that are ready, if that is known.
    pub(crate) members: Option<usize>,
    pub(crate) client: Client,
    /// Of the fleet's records, if the backends are ours.
    pub(crate) collector: Option<Collector>,
}

/// All that was sent and recorded, and what was learnt on the way.
pub(crate) struct SessionData {
    /// In the order of their numbers.
    pub(crate) observations: Vec<Observation>,
    /// From this number on requests count.
    pub(crate) judged: u32,
    /// From this number on they are the sample.
    pub(crate) sampled: u32,
    /// Of backends.
    pub(crate) names: Vec<String>,
    /// Of those the ones that were ready, if that is known.
    pub(crate) members: Option<usize>,
    /// For the algorithm.
    pub(crate) evidence: Evidence,
    /// The steps of the scenario.
    pub(crate) steps: Vec<StepResult>,
    /// The sample as it was sent.
    pub(crate) load: Load,
    pub(crate) started: Moment,
    pub(crate) ended: Moment,
    /// Where the check found the names of backends by itself.
    pub(crate) found_identity: Option<String>,
    /// None if the backends are not ours.
    pub(crate) records: Option<Collected>,
}

impl<'a> Session<'a> {
    pub(crate) async fn begin(
        plan: &'a Plan,
        target: Target,
        fleet: Option<&FoundFleet>,
        identity: Option<Identity>,
        watch: &'a Watch,
    ) -> Result<Session<'a>> {
        let run = crate::check::run_number::new();
        let own = OwnRequest {
            method: plan.method.clone(),
            headers: plan.headers.clone(),
            body: plan.bodies.first().map_or_else(Vec::new, |body| body.to_vec()),
        };
        let is_identity_chosen = identity.is_some();
        // Until it is found, where the original program has its name.
        let identity = identity.unwrap_or_else(identities::of_original);
        let prober = Prober::new(target.clone(), run, 0, plan.timeout, identity.clone())
            .with_request(own)
            .with_progress(watch.progress.clone());
        let collector = match fleet {
            Some(fleet) => Some(Collector::begin(fleet.remote.clone(), run, fleet.generators.clone()).await?),
            None => None,
        };
        let names = fleet.map_or_else(Vec::new, FoundFleet::names);
        let client = Client::new(target, prober, names);
        Ok(Session {
            plan,
            watch,
            run,
            identity,
            is_identity_chosen,
            found_identity: None,
            members: fleet.map(|fleet| fleet.ready),
            client,
            collector,
        })
    }

    pub(crate) async fn run(mut self) -> Result<SessionData> {
        self.watch.enter("waiting for a backend's response");
        meet::meet(&mut self).await?;
        self.watch.enter("warming up until the same backends answer");
        let members = self.takers();
        self.on_client(move |live| warm_up::warm_up(live, members)).await?;
        let judged = self.client.next_sequence();
        self.watch.enter("finding out how the balancer selects backends");
        let evidence = self.experiment(members).await?;
        let inference = evidence.infer(&self.client.names());
        let sampled = self.client.next_sequence();
        let load = sample::load(&self, &inference, sampled)?;
        self.watch.enter("taking the sample");
        self.watch.total.store(load.requests.unwrap_or(0), Ordering::Relaxed);
        let (traffic, steps) = self.sample(load.clone()).await?;
        let mut observations = self.client.with(|prober, _| prober.observations().to_vec());
        observations.extend(traffic.observations);
        self.watch.enter("reading the backends' records");
        let records = match self.collector {
            Some(mut collector) => {
                collector.settle(SETTLE).await;
                Some(collector.finish())
            }
            None => None,
        };
        Ok(SessionData {
            observations,
            judged: judged as u32,
            sampled: sampled as u32,
            names: self.client.names(),
            members: self.members,
            evidence,
            steps,
            load,
            started: traffic.started,
            ended: traffic.ended,
            found_identity: self.found_identity,
            records,
        })
    }

    /// A phase of the client; records are collected meanwhile.
    pub(crate) async fn on_client<T: Send + 'static>(
        &mut self,
        phase: impl FnOnce(&mut crate::check::subject::Live) -> T + Send + 'static,
    ) -> Result<T> {
        let client = self.client.clone();
        self.collecting(client.run(phase)).await
    }

    async fn experiment(&mut self, members: Option<usize>) -> Result<Evidence> {
        let budget = match self.plan.experiments {
            Experiments::Usual => EXPERIMENTS,
            Experiments::For(budget) => budget,
            Experiments::Off => {
                let missing = vec!["experiments are switched off (--no-experiments)".to_owned()];
                return Ok(Evidence { members, missing, ..Evidence::default() });
            }
        };
        let setting = Setting {
            members,
            can_hold: self.identity.is_fleet(),
            headers: self.plan.key_headers.clone(),
            cookies: self.plan.key_cookies.clone(),
            is_followed: self.plan.scenario.steps.is_empty(),
            budget,
        };
        self.on_client(move |live| experiments::run(live, &setting)).await
    }

    /// Drives the load on a thread of its own, while the scenario is carried out.
    async fn sample(&mut self, load: Load) -> Result<(Traffic, Vec<StepResult>)> {
        let remote = self.remote().cloned();
        let steps = self.plan.scenario.steps.clone();
        let progress = self.watch.progress.clone();
        let client = self.client.clone();
        let start = tokio::time::Instant::now();
        let driving = spawn_blocking(move || client.with(|_, backends| drive(&load, backends, &progress)));
        let both = async { tokio::join!(driving, scenario::run::run(steps, remote, start)) };
        let (traffic, steps) = self.collecting(both).await;
        Ok((traffic??, steps))
    }

    /// Collects records while something else goes on.
    async fn collecting<T>(&mut self, what: impl Future<Output = T>) -> T {
        match &mut self.collector {
            Some(collector) => collector.collect_until(what).await,
            None => what.await,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.collector.as_ref().map(Collector::remote)
    }

    /// The backends that are ready; all that are known, if nobody says which are.
    pub(crate) fn ready(&self) -> Vec<String> {
        let mut names = self.client.names();
        names.truncate(self.members.unwrap_or(names.len()));
        names
    }

    /// How many backends get requests while all is well, if that is known.
    fn takers(&self) -> Option<usize> {
        let takes_part = |name: &&String| self.plan.expectations.takes_part(name);
        self.members.map(|_| self.ready().iter().filter(takes_part).count())
    }
}
