//! The live view of several fleets as one: it reads their records and what they show, folds it as a supervisor does, and serves the same page and
//! API. What somebody wants done goes to the fleet that has the backend.

mod source;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::error::Problem;
use crate::fleet::ControlAddress;
use crate::fleet::joint::{
    Api, CommandReceiver, CommandRefusal, FaultChange, Feed, InFlightCount, Listening, LiveView, Metrics, RecordStore,
    Sources, SupervisorCommand, feed, queues,
};
use crate::fleets::{Fleets, Heirs, KnownBackend};
use crate::io::clock;
use crate::platform::machine_name;
use crate::remote::FleetChoice;
use crate::wire::{
    BackendFigures, BackendState, BackendStatus, FRAME, FleetEvent, FleetNames, FleetStatus, Generator, Instance,
    Moment, Record, Token,
};
use source::{Source, SourceNews, StatusReply, show_open};

/// How long backends may take to do what is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until it is asked again which fleets there are.
const AGAIN: Duration = Duration::from_secs(1);
/// Connections to its API at once.
const CONNECTIONS: usize = 256;

/// It is served until it is dropped.
pub(crate) struct View {
    fleets: Fleets,
    /// The backends, in the order of the view, as their fleets report them.
    backends: Vec<BackendStatus>,
    /// What each of them is called in the records of its fleet.
    places: HashMap<(usize, Generator), u16>,
    /// Fleets that cannot be reached.
    gone: BTreeSet<usize>,
    tell: UnboundedSender<(usize, SourceNews)>,
    news: UnboundedReceiver<(usize, SourceNews)>,
    asked: CommandReceiver,
    feed: Feed,
    live: LiveView,
    metrics: Arc<Metrics>,
    has_changed: bool,
    started: Moment,
    instance: Instance,
    api: Api,
}

impl View {
    /// Finds all of the fleets, and listens.
    pub(crate) async fn start(choices: &[FleetChoice], control: SocketAddr, token: Option<Token>) -> Result<View> {
        let fleets = Fleets::find(choices).await?;
        // What a name means may be starting, and joins then.
        if !fleets.may_change()
            && let Some(missing) = fleets.missing().await.first()
        {
            bail!(Problem::new(format!("no fleet responds at {missing}")));
        }
        let listening = Listening::bind(ControlAddress::Required(control), "the view", "--control");
        let listening = listening.map_err(|(what, hint)| Problem::new(what).hint(hint))?;
        let calendar = clock::calendar();
        let names: FleetNames =
            fleets.backends.iter().enumerate().map(|(place, it)| (generator(place), it.name.clone())).collect();
        let count = fleets.backends.len();
        let live = LiveView::new((0..count).map(generator), names.clone(), calendar);
        let metrics = Arc::new(Metrics::new(names.clone()));
        let instance = Instance(uuid::Uuid::new_v4().as_u64_pair().1);
        let (ask, asked) = queues();
        let (feed, hub) = feed();
        let is_token_given = token.is_some();
        let token = token.unwrap_or_else(Token::random);
        let records = Arc::new(Mutex::new(RecordStore::new(calendar, instance, names, 0)));
        let sources = Sources {
            token,
            is_token_given,
            ask,
            hub,
            records,
            metrics: metrics.clone(),
            connections: CONNECTIONS,
            is_joint: true,
        };
        let api = Api::serve(listening, None, sources)?;
        let (tell, news) = unbounded_channel();
        let hosts = fleets.hosts.iter().enumerate();
        let places = hosts.flat_map(|(host, known)| known.places.iter().map(move |(id, place)| ((host, *id), *place)));
        let places = places.collect();
        let backends = statuses(&fleets, &places).await?;
        // Anybody may see who is there, and records need the token: without it a fleet that lives would look as if it were gone.
        for host in &fleets.hosts {
            host.remote.records(u64::MAX, |_, _| {}).await?;
        }
        for (host, known) in fleets.hosts.iter().enumerate() {
            spawn_local(Source::new(known.remote.clone(), known.has_our_clock).run(host, tell.clone()));
        }
        if fleets.may_change() {
            spawn_local(look_for_more(fleets.clone(), tell.clone()));
        }
        let started = calendar.moment;
        Ok(View {
            fleets,
            backends,
            places,
            gone: BTreeSet::new(),
            tell,
            news,
            asked,
            feed,
            live,
            metrics,
            has_changed: false,
            started,
            instance,
            api,
        })
    }

    /// Where a browser finds it, and may use it.
    pub(crate) fn view(&self) -> String {
        self.api.view()
    }

    /// Number of fleets that are shown.
    pub(crate) fn fleets(&self) -> usize {
        self.fleets.hosts.len()
    }

    /// Shows what happens, without end.
    pub(crate) async fn run(mut self) {
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((host, news)) = self.news.recv() => self.hear(host, news),
                Some(command) = self.asked.owner.recv() => self.obey(command),
                Some(command) = self.asked.readers.recv() => self.obey(command),
                _ = frames.tick() => self.show(),
            }
        }
    }

    /// Takes news of a fleet into the view.
    fn hear(&mut self, host: usize, news: SourceNews) {
        let now = clock::now();
        let place_of = |places: &HashMap<(usize, Generator), u16>, id: Generator| places.get(&(host, id)).copied();
        match news {
            SourceNews::Records(records) => {
                for record in records {
                    let Some(place) = place_of(&self.places, record.generator) else { continue };
                    let record = Record { generator: Generator(place), ..record };
                    let event = FleetEvent::Attempt(record);
                    self.metrics.event(&event);
                    self.live.event(&event);
                }
            }
            SourceNews::Lost(count) => {
                let backend = self.fleets.backends.iter().position(|it| it.host == host).unwrap_or_default();
                self.live.event(&FleetEvent::Lost { at: now, generator: Generator(backend as u16), count });
            }
            SourceNews::Backends(backends) => {
                if self.gone.remove(&host) {
                    self.note(host, "its fleet is back");
                }
                for own in backends {
                    let Some(place) = place_of(&self.places, own.id) else { continue };
                    let known = &mut self.backends[usize::from(place)];
                    *known = BackendStatus { name: known.name.clone(), id: known.id, ..own };
                }
                self.has_changed = true;
            }
            SourceNews::Frame { figures, marks, requests } => {
                for (id, now) in figures {
                    let Some(place) = place_of(&self.places, id) else { continue };
                    show_open(&now, &mut self.backends[usize::from(place)]);
                }
                for mark in marks {
                    let place = mark.backend.as_deref().and_then(|name| self.place_of_name(host, name));
                    self.live.show_mark(mark, place.map(Generator));
                }
                for request in requests {
                    let place = self.place_of_name(host, &request.backend);
                    let Some(place) = place else { continue };
                    self.live.show_request(request, Generator(place));
                }
            }
            SourceNews::Done(reply, result) => drop(reply.send(result.map(|()| self.status()))),
            SourceNews::Gone => {
                if self.gone.insert(host) {
                    self.note(host, "gone: its fleet cannot be reached");
                }
                for (place, _) in self.fleets.backends.iter().enumerate().filter(|(_, it)| it.host == host) {
                    let known = &mut self.backends[place];
                    (known.state, known.pid, known.actions) = (BackendState::Gone, None, Vec::new());
                    show_open(&BackendFigures::default(), known);
                }
                self.has_changed = true;
            }
            SourceNews::Joined(fleets) => self.join(*fleets),
        }
    }

    /// Shows those too that were not there before.
    fn join(&mut self, fleets: Fleets) {
        let (host, first) = (self.fleets.hosts.len(), self.backends.len());
        self.fleets = fleets;
        for (place, known) in self.fleets.backends.iter().enumerate().skip(first) {
            let Some(known_of) = self.backends.first().cloned() else { continue };
            // Until its own fleet says more.
            let mut status = BackendStatus {
                name: known.name.clone(),
                id: generator(place),
                instances: Vec::new(),
                url: String::new(),
                state: BackendState::Starting,
                pid: None,
                attempts: 0,
                lost: 0,
                last_end: None,
                faults: Vec::new(),
                actions: Vec::new(),
                ..known_of
            };
            show_open(&BackendFigures::default(), &mut status);
            self.backends.push(status);
        }
        let names: FleetNames =
            self.fleets.backends.iter().enumerate().map(|(place, it)| (generator(place), it.name.clone())).collect();
        self.metrics.rename(names.clone());
        self.live.extend((first..self.backends.len()).map(generator), names);
        // Who has come back with another address is not counted by what the old one may say.
        self.places.retain(|(host, _), place| self.fleets.backends[usize::from(*place)].host == *host);
        for host in host..self.fleets.hosts.len() {
            self.note(host, "joins with its fleet");
        }
        for (host, known) in self.fleets.hosts.iter().enumerate().skip(host) {
            self.places.extend(known.places.iter().map(|(id, place)| ((host, *id), *place)));
            spawn_local(Source::new(known.remote.clone(), known.has_our_clock).run(host, self.tell.clone()));
        }
        self.has_changed = true;
        self.feed.begin_anew();
    }

    /// Marks each backend of a fleet.
    fn note(&mut self, host: usize, text: &str) {
        let now = clock::now();
        for (place, _) in self.fleets.backends.iter().enumerate().filter(|(_, it)| it.host == host) {
            self.live.note(now, generator(place), text);
        }
    }

    fn place_of_name(&self, host: usize, own: &str) -> Option<u16> {
        let place = self.fleets.backends.iter().position(|it| it.host == host && it.is_called(own))?;
        Some(place as u16)
    }

    fn show(&mut self) {
        let now = clock::now();
        if self.feed.has_readers() {
            let frame = self.live.frame(now, &self.backends, std::mem::take(&mut self.has_changed));
            self.feed.frame(frame);
        } else {
            self.live.pass(now);
        }
    }

    fn status(&self) -> FleetStatus {
        FleetStatus {
            version: 2,
            pid: std::process::id(),
            control: self.api.url().to_owned(),
            started: clock::rfc3339(self.started),
            host: machine_name(),
            pod: None,
            namespace: None,
            instance: Some(self.instance),
            clock: None,
            backends: self.backends.clone(),
        }
    }

    fn obey(&mut self, command: SupervisorCommand) {
        match command {
            SupervisorCommand::Status(reply) => drop(reply.send(self.status())),
            SupervisorCommand::InFlight(reply) => drop(reply.send(InFlightCount { records: Vec::new(), ended: 0 })),
            SupervisorCommand::Watch(watch) => {
                // What has happened since the last frame is in the snapshot, and not again in a frame.
                self.show();
                let status = self.status();
                self.feed.snapshot(self.live.snapshot(clock::now(), status), watch);
            }
            SupervisorCommand::SetFront(front, reply) => {
                self.live.set_front(front, clock::now());
                let _ = reply.send(());
            }
            SupervisorCommand::Front(reply) => drop(reply.send(self.live.front().cloned())),
            SupervisorCommand::Balance(_, reply) => {
                let why = "no program here can change the balancer of several fleets";
                let _ = reply.send(Err(CommandRefusal::Impossible(why.to_owned())));
            }
            SupervisorCommand::ClientTimes(times) => self.live.add_client_times(&times, clock::now()),
            SupervisorCommand::CheckNews(news) => self.live.set_check(news, clock::now()),
            SupervisorCommand::Act(action, names, reply) => self.act(names, reply, move |fleets, name| async move {
                fleets.act(action, name.as_deref(), PATIENCE).await
            }),
            SupervisorCommand::Faults(change, names, reply) => self.act(names, reply, move |fleets, name| {
                let change = change.clone();
                async move {
                    match change {
                        FaultChange::Clear => fleets.clear(name.as_deref()).await,
                        FaultChange::Add(faults) => {
                            for fault in faults {
                                fleets.fault(fault, name.as_deref()).await?;
                            }
                            Ok(())
                        }
                    }
                }
            }),
        }
    }

    /// Has something done to backends of several fleets, and responds with what became of them.
    fn act<F: Future<Output = Result<()>> + 'static>(
        &self,
        names: Vec<String>,
        reply: StatusReply,
        on_each: impl Fn(Fleets, Option<String>) -> F + 'static,
    ) {
        let (fleets, tell) = (self.fleets.clone(), self.tell.clone());
        spawn_local(async move {
            let result = act(&fleets, names, on_each).await;
            for (host, status) in fleets.statuses().await.into_iter().enumerate() {
                if let Ok(status) = status {
                    let _ = tell.send((host, SourceNews::Backends(status.backends)));
                }
            }
            // Fails only if the view has ended.
            let _ = tell.send((0, SourceNews::Done(reply, result)));
        });
    }
}

/// The number in the view of the backend at that place.
fn generator(place: usize) -> Generator {
    Generator(place as u16)
}

/// The backends in the order of the view, as their fleets report them; `places` has the place of each of them there.
async fn statuses(fleets: &Fleets, places: &HashMap<(usize, Generator), u16>) -> Result<Vec<BackendStatus>> {
    let reported: Vec<FleetStatus> = fleets.statuses().await.into_iter().collect::<Result<_>>()?;
    let of = |(place, known): (usize, &KnownBackend)| {
        let is_there = |it: &&BackendStatus| places.get(&(known.host, it.id)) == Some(&(place as u16));
        let Some(own) = reported[known.host].backends.iter().find(is_there) else {
            bail!("{} has just left", known.name)
        };
        Ok(BackendStatus { name: known.name.clone(), id: generator(place), ..own.clone() })
    };
    fleets.backends.iter().enumerate().map(of).collect()
}

/// Finds fleets that join, as long as anybody wants to know.
async fn look_for_more(mut fleets: Fleets, tell: UnboundedSender<(usize, SourceNews)>) {
    while !tell.is_closed() {
        sleep(AGAIN).await;
        // One that is started again at its address is found by whoever reads it.
        if !fleets.refresh(&[], Heirs::OfPod).await.joined.is_empty() {
            let _ = tell.send((0, SourceNews::Joined(Box::new(fleets.clone()))));
        }
    }
}

/// One after the other; without names all to which it applies.
async fn act<F: Future<Output = Result<()>>>(
    fleets: &Fleets,
    names: Vec<String>,
    on_each: impl Fn(Fleets, Option<String>) -> F,
) -> Result<(), CommandRefusal> {
    let unknown = names.iter().find(|name| fleets.backends.iter().all(|it| it.name != **name));
    if let Some(unknown) = unknown {
        return Err(CommandRefusal::Unknown(format!("no backend {unknown}")));
    }
    let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for name in names {
        on_each(fleets.clone(), name).await.map_err(|why| CommandRefusal::Failed(format!("{why:#}")))?;
    }
    Ok(())
}
