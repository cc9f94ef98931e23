//! What the API asks of the supervisor's loop, and where it answers.

use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::oneshot;

use crate::fleet::api::feed::WatchRequest;
use crate::wire::{Action, BalanceRequest, BalancerInfo, CheckNews, ClientTimes, Fault, FleetStatus, Record};

/// What the loop is asked, and where it answers.
pub(crate) enum SupervisorCommand {
    Status(oneshot::Sender<FleetStatus>),
    InFlight(oneshot::Sender<InFlightCount>),
    /// Do something to these backends, or to all to which it applies.
    Act(Action, Vec<String>, oneshot::Sender<Result<FleetStatus, CommandRefusal>>),
    /// Switch faults of these backends on or off, or of all that run.
    Faults(FaultChange, Vec<String>, oneshot::Sender<Result<FleetStatus, CommandRefusal>>),
    /// Put a snapshot into the feed: frames follow from there on.
    Watch(WatchRequest),
    /// This stands in front of the fleet.
    SetFront(BalancerInfo, oneshot::Sender<()>),
    /// Asks for the balancer in front of the fleet.
    Front(oneshot::Sender<Option<BalancerInfo>>),
    /// Somebody wants it to balance in another way.
    Balance(BalanceRequest, oneshot::Sender<Result<(), CommandRefusal>>),
    CheckNews(CheckNews),
    /// How long responses took, as a client measured them.
    ClientTimes(ClientTimes),
}

/// Attempts in flight at one moment, and the number of records at that moment: no attempt is in both.
pub(crate) struct InFlightCount {
    pub(crate) records: Vec<Record>,
    pub(crate) ended: u64,
}

/// What becomes of a backend's faults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FaultChange {
    /// These are added, each instead of the one of its kind.
    Add(Vec<Fault>),
    /// All faults are switched off.
    Clear,
}

impl FaultChange {
    /// Its name in the paths of the API.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            FaultChange::Add(_) => "fault",
            FaultChange::Clear => "clear",
        }
    }
}

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CommandRefusal {
    /// There is no such backend.
    Unknown(String),
    /// It makes no sense in the state that a backend is in; nothing was done.
    Impossible(String),
    /// It was tried and did not succeed.
    Failed(String),
}

/// Commands of readers without the token that wait for the loop; further ones wait in the API.
const READERS_WAITING: usize = 64;

/// The API's end of both queues.
#[derive(Clone)]
pub(crate) struct CommandSender {
    owner: UnboundedSender<SupervisorCommand>,
    readers: Sender<SupervisorCommand>,
}

/// The loop's end. It serves the owner at any time and others as far as the time that they have cost lately permits.
pub(crate) struct CommandReceiver {
    pub(crate) owner: UnboundedReceiver<SupervisorCommand>,
    pub(crate) readers: Receiver<SupervisorCommand>,
}

/// The two ends of the queue to the supervisor's loop.
pub(crate) fn queues() -> (CommandSender, CommandReceiver) {
    let (owner, asked_by_owner) = unbounded_channel();
    let (readers, asked_by_readers) = channel(READERS_WAITING);
    (CommandSender { owner, readers }, CommandReceiver { owner: asked_by_owner, readers: asked_by_readers })
}

/// The loop has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stopped;

impl CommandSender {
    /// Asks as the owner of the fleet.
    pub(crate) async fn as_owner<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> SupervisorCommand,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.owner.send(command(reply)).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Sends a command that needs no token.
    pub(crate) async fn as_reader<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> SupervisorCommand,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.readers.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Tells the loop something that needs no response.
    pub(crate) fn tell(&self, command: SupervisorCommand) {
        // A loop that has ended needs no news.
        let _ = self.owner.send(command);
    }
}
