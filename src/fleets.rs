//! The fleets behind the balancer as one: what their backends are called, whose each is, and who joins or leaves while the check runs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::join_all;
use tokio::time::timeout;

use verdict::rules::AVOIDED;
use verdict::timeline::Avoidance;

use crate::error::Problem;
use crate::io::clock;
use crate::remote::{FleetChoice, Remote};
use crate::wire::{Action, BackendState, BackendStatus, Fault, FleetStatus, Generator, Instance};

/// All of them. Clones are of one moment.
#[derive(Clone)]
pub(crate) struct Fleets {
    /// What was asked for: names may have other addresses later.
    choices: Vec<FleetChoice>,
    pub(crate) hosts: Vec<FleetHost>,
    /// Those that were ready at the beginning first; those that join last.
    pub(crate) backends: Vec<KnownBackend>,
}

/// A fleet, which is on a host of its own where there are several.
#[derive(Clone)]
pub(crate) struct FleetHost {
    pub(crate) remote: Remote,
    /// The host's name in reports.
    pub(crate) label: String,
    /// The machine's own name.
    machine: String,
    /// Its pod with the namespace, where it has one.
    pod: Option<(String, Option<String>)>,
    /// Which run of a supervisor it is; none for a fleet of an earlier version.
    instance: Option<Instance>,
    /// Identity of the host's monotonic clock.
    clock: Option<String>,
    /// Whether it says that its clock is this process's.
    pub(crate) has_our_clock: bool,
    /// What its backends are called; they may be another's later.
    pub(crate) names: Vec<String>,
    /// Its backends, by what their records are marked with: places among all.
    pub(crate) places: HashMap<Generator, u16>,
}

/// What became of them since they were asked before: hosts by place.
#[derive(Default)]
pub(crate) struct FleetChanges {
    pub(crate) joined: Vec<usize>,
    /// They were gone, and respond again: their supervisors have lived all the time.
    pub(crate) back: Vec<usize>,
}

/// How long a host may take to say who is there: the others wait meanwhile.
const STATUS: Duration = Duration::from_secs(1);

/// Which backends of hosts that do not respond any more are the ones that joined, if their fleets call them the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heirs {
    /// Those whose records have times of the same clock: times are read by backend.
    OfClock,
    /// Those of a pod of the same name too, such as a StatefulSet's that comes back with another address.
    OfPod,
}

/// A backend of one of them.
#[derive(Clone)]
pub(crate) struct KnownBackend {
    /// A name that no other backend of these fleets has.
    pub(crate) name: String,
    /// What its own fleet calls it.
    own: String,
    /// Where clients of its machine find it.
    url: String,
    pub(crate) host: usize,
    /// The latest of its processes.
    instances: Vec<Instance>,
    pub(crate) is_ready: bool,
    /// Whether it had no fault that fails requests when it was found.
    was_well: bool,
    /// Whether it was, and has been ready since then, in one process, as far as was seen.
    pub(crate) is_steady: bool,
    /// Whether it was that slow, by a fault, that a balancer may have given up on it.
    pub(crate) is_slow: bool,
    /// Since it was put right; none for one that never was.
    pub(crate) age: Option<Duration>,
}

impl KnownBackend {
    /// The backend of a host as its fleet reports it; its processes are not known yet.
    fn of(backend: &BackendStatus, host: usize) -> KnownBackend {
        let is_well = !backend.faults.iter().any(Fault::fails_requests);
        KnownBackend {
            name: backend.name.clone(),
            own: backend.name.clone(),
            url: backend.url.clone(),
            host,
            instances: Vec::new(),
            is_ready: matches!(backend.state, BackendState::Ready | BackendState::Starting),
            was_well: is_well,
            is_steady: is_well,
            is_slow: backend.faults.iter().any(is_slow),
            age: age(backend),
        }
    }

    /// Whether a balancer may keep away from it for what was before it was found; how long it may, if that is known.
    pub(crate) fn may_be_avoided(&self, keeps_away: Option<Avoidance>) -> bool {
        let longest = keeps_away.map_or(EJECTED, |it| it.time.max(if it.grows { EJECTED } else { AVOIDED }));
        !self.was_well || self.age.is_some_and(|age| age <= longest)
    }

    /// Whether its own fleet calls it so.
    pub(crate) fn is_called(&self, own: &str) -> bool {
        self.own == own
    }
}

impl Fleets {
    /// The fleet that is reached in that way, and no other.
    pub(crate) async fn one(remote: Remote) -> Result<Fleets> {
        let status = remote.status().await?;
        let mut fleets = Fleets { choices: Vec::new(), hosts: Vec::new(), backends: Vec::new() };
        fleets.add(vec![(remote, status)], &[], Heirs::OfClock);
        fleets.sort();
        Ok(fleets)
    }

    /// All that are meant. One that does not answer may be starting: it is asked again later.
    pub(crate) async fn find(choices: &[FleetChoice]) -> Result<Fleets> {
        let mut remotes = Vec::new();
        for choice in choices {
            remotes.extend(choice.find_all().await?);
        }
        let asked = join_all(remotes.into_iter().map(|remote| async move { (remote.status().await, remote) })).await;
        let (mut found, mut failure) = (Vec::new(), None);
        for (status, remote) in asked {
            match status {
                Ok(status) => found.push((remote, status)),
                Err(why) => failure = Some(why),
            }
        }
        if let (true, Some(why)) = (found.is_empty(), failure) {
            return Err(why);
        }
        let mut fleets = Fleets { choices: choices.to_vec(), hosts: Vec::new(), backends: Vec::new() };
        // One that is reached by two addresses is one.
        let mut seen = HashSet::new();
        found
            .retain(|(_, status): &(Remote, FleetStatus)| status.instance.is_none_or(|instance| seen.insert(instance)));
        fleets.add(found, &[], Heirs::OfClock);
        fleets.sort();
        Ok(fleets)
    }

    /// Adds hosts with all of their backends. What a host that is gone called the same, on the same machine, is started again here.
    fn add(&mut self, found: Vec<(Remote, FleetStatus)>, gone: &[usize], heirs: Heirs) {
        let labels: Vec<String> = found.iter().map(|(remote, status)| label(remote, status, &found)).collect();
        let (first_host, first_backend) = (self.hosts.len(), self.backends.len());
        for ((remote, status), label) in found.into_iter().zip(labels) {
            self.add_host(remote, &status, label, gone, heirs);
        }
        // Names of backends that are known already stay: reports and commands use them.
        for place in first_backend..self.backends.len() {
            let KnownBackend { own, host, .. } = &self.backends[place];
            if self.backends.iter().enumerate().any(|(other, it)| other != place && it.own == *own) {
                self.backends[place].name = format!("{own}@{}", self.hosts[*host].label);
            }
        }
        for host in &mut self.hosts[first_host..] {
            let mut places: Vec<u16> = host.places.values().copied().collect();
            places.sort_unstable();
            host.names = places.iter().map(|it| self.backends[usize::from(*it)].name.clone()).collect();
        }
    }

    /// Adds a host; its backends take the places of those that they are heirs of.
    fn add_host(&mut self, remote: Remote, status: &FleetStatus, label: String, gone: &[usize], heirs: Heirs) {
        // Two machines may have one name.
        let is_known = |host: &FleetHost| host.label == label || status.pod.is_none() && host.machine == status.host;
        let label = if self.hosts.iter().any(is_known) { remote.authority().to_owned() } else { label };
        let host = self.hosts.len();
        let gone: Vec<usize> = gone.iter().copied().filter(|gone| self.is_again(*gone, status, heirs)).collect();
        let mut places = HashMap::new();
        for backend in &status.backends {
            let is_heir_of = |known: &KnownBackend| known.own == backend.name && gone.contains(&known.host);
            let place = self.backends.iter().position(is_heir_of).unwrap_or_else(|| {
                self.backends.push(KnownBackend::of(backend, host));
                self.backends.len() - 1
            });
            places.insert(backend.id, place as u16);
            self.backends[place].host = host;
            self.backends[place].instances.extend(&backend.instances);
        }
        self.hosts.push(FleetHost {
            label: self.unlike(label),
            machine: status.host.clone(),
            pod: pod(status),
            instance: status.instance,
            clock: status.clock.clone(),
            has_our_clock: remote.is_local() || status.clock.is_some() && status.clock == clock::identity(),
            names: Vec::new(),
            places,
            remote,
        });
    }

    /// Whether that host has been started again as the one with this status.
    fn is_again(&self, host: usize, status: &FleetStatus, heirs: Heirs) -> bool {
        let host = &self.hosts[host];
        let pod = pod(status);
        status.clock.is_some() && host.clock == status.clock
            || heirs == Heirs::OfPod && pod.is_some() && host.pod == pod
    }

    /// A label that no host has: one that was started again has the address of its predecessor.
    fn unlike(&self, label: String) -> String {
        let is_free = |label: &String| self.hosts.iter().all(|host| host.label != *label);
        let numbered = (2..).map(|number| format!("{label} ({number})"));
        std::iter::once(label.clone()).chain(numbered).find(is_free).unwrap_or(label)
    }

    /// Names of all backends, in the order in which their fleets list them.
    pub(crate) fn listed(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.hosts.iter().flat_map(|host| &host.names).filter(|name| seen.insert(*name)).cloned().collect()
    }

    /// Sorts backends that are ready to the front.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.backends.len()).collect();
        order.sort_by_key(|place| !self.backends[*place].is_ready);
        self.backends = order.iter().map(|place| self.backends[*place].clone()).collect();
        let new = |old: u16| order.iter().position(|place| *place == usize::from(old)).unwrap_or_default() as u16;
        for host in &mut self.hosts {
            host.places.values_mut().for_each(|place| *place = new(*place));
        }
    }

    /// Asks again who is there: learns of new processes, and adds hosts that have joined. `gone` cannot be reached any more.
    pub(crate) async fn refresh(&mut self, gone: &[usize], heirs: Heirs) -> FleetChanges {
        let asked = self
            .hosts
            .iter()
            .enumerate()
            .map(|(place, host)| async move { (place, timeout(STATUS, host.remote.status()).await) });
        let mut changes = FleetChanges::default();
        let mut found: Vec<(Remote, FleetStatus)> = Vec::new();
        let mut silent = gone.to_vec();
        for (host, status) in join_all(asked).await {
            let Ok(Ok(status)) = status else {
                silent.push(host);
                continue;
            };
            if gone.contains(&host) {
                let is_same = status.instance.is_some() && status.instance == self.hosts[host].instance;
                if is_same {
                    changes.back.push(host);
                } else {
                    found.push((self.hosts[host].remote.clone(), status));
                }
                continue;
            }
            for backend in &status.backends {
                let Some(place) = self.hosts[host].places.get(&backend.id) else { continue };
                let known = &mut self.backends[usize::from(*place)];
                let is_new = |instance: &&Instance| !known.instances.contains(instance);
                let new: Vec<Instance> = backend.instances.iter().filter(is_new).copied().collect();
                let is_anew = !new.is_empty() && !known.instances.is_empty();
                known.is_steady &= !is_anew && matches!(backend.state, BackendState::Ready | BackendState::Starting);
                known.instances.extend(new);
            }
        }
        for remote in self.resolve().await {
            // The address of a pod that has another one now may be anybody's.
            let mut here = self.hosts.iter().enumerate().filter(|(_, it)| it.remote.control() == remote.control());
            if here.all(|(host, _)| !self.has_backends(host))
                && let Ok(Ok(status)) = timeout(STATUS, remote.status()).await
            {
                found.push((remote, status));
            }
        }
        // A check knows by its records who is gone.
        let gone = match heirs {
            Heirs::OfClock => gone,
            Heirs::OfPod => &silent,
        };
        for (remote, status) in found {
            let is_known = |host: &FleetHost| host.instance.is_some() && host.instance == status.instance;
            if !self.hosts.iter().any(is_known) {
                self.add(vec![(remote, status)], gone, heirs);
                changes.joined.push(self.hosts.len() - 1);
            }
        }
        changes
    }

    /// All addresses that are meant now, but for those that are known. A name that does not resolve at the moment says nothing.
    async fn resolve(&self) -> Vec<Remote> {
        // To look for one on this machine takes milliseconds: whoever is known is not looked for again.
        let is_known = |choice: &&FleetChoice| {
            let mut hosts = self.hosts.iter().enumerate();
            hosts.any(|(host, it)| choice.is_at(it.remote.control()) && self.has_backends(host))
        };
        let open = self.choices.iter().filter(|choice| !is_known(choice));
        let found = join_all(open.map(|choice| timeout(STATUS, choice.find_all()))).await;
        found.into_iter().flatten().flatten().flatten().collect()
    }

    fn has_backends(&self, host: usize) -> bool {
        self.backends.iter().any(|backend| backend.host == host)
    }

    /// What each of them says now.
    pub(crate) async fn statuses(&self) -> Vec<Result<FleetStatus>> {
        join_all(self.hosts.iter().map(|host| host.remote.status())).await
    }

    /// Addresses that were named and at which no fleet has ever responded.
    pub(crate) async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for remote in self.resolve().await {
            if self.hosts.iter().any(|host| host.remote.control() == remote.control()) {
                continue;
            }
            let status = timeout(STATUS, remote.status()).await;
            let instance = status.ok().and_then(Result::ok).and_then(|status| status.instance);
            if instance.is_none() || self.hosts.iter().all(|host| host.instance != instance) {
                missing.push(remote.control().to_owned());
            }
        }
        missing
    }

    /// Whether they may be other ones a moment later.
    pub(crate) fn may_change(&self) -> bool {
        self.choices.iter().any(FleetChoice::may_change) || self.hosts.len() < self.choices.len()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.backends.iter().map(|backend| backend.name.clone()).collect()
    }

    /// The processes that their backends have or had, each with the place of its backend.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (Instance, u16)> {
        let places = (0u16..).zip(&self.backends);
        places.flat_map(|(place, backend)| backend.instances.iter().map(move |instance| (*instance, place)))
    }

    /// What several fleets call backends of theirs alike.
    pub(crate) fn shared_names(&self) -> impl Iterator<Item = &str> {
        self.backends.iter().filter(|backend| backend.name != backend.own).map(|backend| backend.own.as_str())
    }

    /// Addresses of all APIs, for errors and reports.
    pub(crate) fn controls(&self) -> String {
        self.hosts.iter().map(|host| host.remote.control()).collect::<Vec<_>>().join(", ")
    }

    /// Does something to a backend, or to all to which it applies.
    pub(crate) async fn act(&self, action: Action, name: Option<&str>, patience: Duration) -> Result<()> {
        self.on_each(name, async |remote, own| remote.act(action, &own, patience).await).await
    }

    /// The fleet of a backend.
    pub(crate) fn remote_of(&self, name: &str) -> Option<&Remote> {
        let backend = self.backends.iter().find(|backend| backend.name == name)?;
        Some(&self.hosts[backend.host].remote)
    }

    /// What its fleet knows of a backend now.
    pub(crate) async fn status_of(&self, name: &str) -> Result<BackendStatus> {
        let backend = self.backends.iter().find(|backend| backend.name == name);
        let Some(backend) = backend else { bail!(Problem::new(format!("no fleet has a backend {name}"))) };
        let status = self.hosts[backend.host].remote.status().await?;
        let its = status.backends.into_iter().find(|it| it.name == backend.own);
        its.ok_or_else(|| Problem::new(format!("the fleet has no backend {name} any more")).into())
    }

    /// Switches a fault on in a backend, or in all that run.
    pub(crate) async fn fault(&self, fault: Fault, name: Option<&str>) -> Result<()> {
        self.on_each(name, async |remote, own| remote.fault(&[fault], &own).await).await
    }

    /// Switches all faults of a backend off, or of all that run.
    pub(crate) async fn clear(&self, name: Option<&str>) -> Result<()> {
        self.on_each(name, async |remote, own| remote.clear(&own).await).await
    }

    /// Those that listen on a port of a host, which is an address or a name of it.
    pub(crate) fn at(&self, host: &str, port: u16) -> impl Iterator<Item = &KnownBackend> {
        self.backends.iter().filter(move |backend| {
            let Some((own, own_port)) = host_and_port(&backend.url) else { return false };
            let of = &self.hosts[backend.host];
            let reached = host_and_port(of.remote.control()).map(|(host, _)| host);
            own_port == port && (own == host || of.machine == host || reached.as_deref() == Some(host))
        })
    }

    /// What Kubernetes calls the pod of a backend.
    pub(crate) fn pod(&self, backend: &KnownBackend) -> Option<&str> {
        self.hosts[backend.host].pod.as_ref().map(|(name, _)| name.as_str())
    }

    /// Has the fleet of a backend do something, or all at the same time; one that fails holds up no other.
    async fn on_each(
        &self,
        name: Option<&str>,
        what: impl AsyncFn(&Remote, Vec<String>) -> Result<FleetStatus>,
    ) -> Result<()> {
        let all = self.owners(name)?.into_iter().map(|(remote, own)| what(remote, own));
        let mut failed = join_all(all).await.into_iter().filter_map(Result::err);
        let Some(first) = failed.next() else { return Ok(()) };
        Err(failed.fold(first, |all, next| anyhow::anyhow!("{all:#}; {next:#}")))
    }

    /// Whose it is, and what its fleet calls it; all fleets for none.
    fn owners(&self, name: Option<&str>) -> Result<Vec<(&Remote, Vec<String>)>> {
        let Some(name) = name else {
            return Ok(self.hosts.iter().map(|host| (&host.remote, Vec::new())).collect());
        };
        match self.backends.iter().find(|backend| backend.name == name) {
            Some(backend) => Ok(vec![(&self.hosts[backend.host].remote, vec![backend.own.clone()])]),
            None => bail!(Problem::new(format!("no fleet has a backend {name}"))),
        }
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url: hyper::Uri = url.parse().ok()?;
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    Some((url.host()?.trim_matches(['[', ']']).to_owned(), url.port_u16().unwrap_or(usual)))
}

/// A pod has a name of its own; a machine too, unless others are called so as well, as in tests on one machine.
fn label(remote: &Remote, status: &FleetStatus, all: &[(Remote, FleetStatus)]) -> String {
    let same = all.iter().filter(|(_, other)| other.host == status.host).count();
    match &status.pod {
        Some(pod) => pod.clone(),
        None if status.host.is_empty() || same > 1 => remote.authority().to_owned(),
        None => status.host.clone(),
    }
}

fn pod(status: &FleetStatus) -> Option<(String, Option<String>)> {
    Some((status.pod.clone()?, status.namespace.clone()))
}

/// A balancer that keeps away longer each time does so for that long at most: Envoy's max_ejection_time, where its file does not say it.
const EJECTED: Duration = Duration::from_secs(300);

fn is_slow(fault: &Fault) -> bool {
    /// Few balancers give up sooner.
    const WAITED: Duration = Duration::from_millis(100);
    matches!(fault, Fault::Latency { time, spread, .. } if *time + *spread >= WAITED)
}

fn age(backend: &BackendStatus) -> Option<Duration> {
    let mended: jiff::Timestamp = backend.mended.as_ref()?.parse().ok()?;
    Duration::try_from(jiff::Timestamp::now().duration_since(mended)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_may_keep_away_from_what_was_put_right_minutes_ago_unless_its_file_says_for_how_long() {
        let backend = |seconds: Option<u64>| KnownBackend {
            name: "9001".to_owned(),
            own: "9001".to_owned(),
            url: String::new(),
            host: 0,
            instances: Vec::new(),
            is_ready: true,
            was_well: true,
            is_steady: true,
            is_slow: false,
            age: seconds.map(Duration::from_secs),
        };
        let of = |seconds| Avoidance::of(Duration::from_secs(seconds));
        let avoided = |age, keeps_away: Option<u64>| backend(age).may_be_avoided(keeps_away.map(of));
        assert!(avoided(Some(200), None) && !avoided(Some(400), None) && !avoided(None, None));
        assert!(avoided(Some(40), Some(11)) && !avoided(Some(200), Some(11)) && avoided(Some(400), Some(601)));
        assert!(backend(Some(200)).may_be_avoided(Some(Avoidance { grows: true, ..of(30) })));
        assert!(KnownBackend { was_well: false, ..backend(None) }.may_be_avoided(None));
    }
}
