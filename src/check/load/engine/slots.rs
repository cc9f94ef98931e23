//! Room for requests in flight: connections, places on connections that carry several at once, and targets that share them.

use crate::check::load::LoadTarget;
use crate::check::load::clients::SlotClient;
use crate::check::load::exchange::ClientExchange;
use crate::check::load::multiplexed::SharedConnection;
use crate::check::load::response::ResponseReader;
use crate::io::poller::Watched;
use crate::wire::Moment;

/// A connection that carries several requests at once.
pub(super) struct Lane {
    pub(super) connection: SharedConnection,
    pub(super) watched: Watched,
    /// Whether it is among those with something to send.
    pub(super) is_unsent: bool,
    /// Free slots of its places for which it takes no request now.
    pub(super) waiting: Vec<usize>,
    /// Slots whose request it did not act on, which is to be sent again.
    pub(super) again: Vec<usize>,
}

/// Room for a connection, or a place on one.
pub(super) struct Slot {
    pub(super) exchange: ClientExchange,
    pub(super) watched: Watched,
    /// Number of its connection among those of the run.
    pub(super) connection: u32,
    /// The index of the request in flight, or of the last one.
    pub(super) index: usize,
    pub(super) target: usize,
    pub(super) deadline: Moment,
    pub(super) client: SlotClient,
    /// Which targets its connection leads to.
    pub(super) group: usize,
    /// How often its request was given back unprocessed.
    pub(super) returned: u32,
}

/// Groups of targets whose requests can share connections.
pub(super) struct Groups {
    /// Of each target, the group that it belongs to.
    pub(super) of: Vec<usize>,
    /// The targets of each group, and whose turn it is.
    pub(super) backends: Vec<(Vec<usize>, usize)>,
}

impl Groups {
    pub(super) fn new(targets: &[LoadTarget]) -> Groups {
        let mut groups = Groups { of: Vec::new(), backends: Vec::new() };
        for (index, target) in targets.iter().enumerate() {
            let like = |(backends, _): &(Vec<usize>, usize)| targets[backends[0]].shares_connections(target);
            let group = groups.backends.iter().position(like).unwrap_or_else(|| {
                groups.backends.push((Vec::new(), 0));
                groups.backends.len() - 1
            });
            groups.backends[group].0.push(index);
            groups.of.push(group);
        }
        groups
    }

    pub(super) fn take(&mut self, group: usize) -> usize {
        let (backends, turn) = &mut self.backends[group];
        *turn += 1;
        backends[(*turn - 1) % backends.len()]
    }
}

impl Slot {
    pub(super) fn close(&mut self) {
        self.exchange.close();
        self.watched = Watched::default();
    }
}

/// What reads the response to the request of that slot.
pub(super) fn reader<'a>(lanes: &'a [Lane], token: usize, slot: &'a Slot) -> &'a ResponseReader {
    match lanes.len() {
        0 => slot.exchange.reader(),
        count => lanes[token % count].connection.reader(token / count),
    }
}
