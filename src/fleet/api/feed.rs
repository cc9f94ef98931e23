//! What the live view shows, from the loop to the API's thread and there to each reader. It is written once for all readers of a
//! kind, and beside the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{broadcast, oneshot};

use crate::fleet::fold::redact;
use crate::wire::{BalanceRequest, Frame, Snapshot};

/// Frames that a reader may be behind before it is cut off: it asks again and gets everything again.
const LAG: usize = 64;

/// A server-sent event as it is written.
pub(crate) type Message = Arc<str>;

/// A reader of the live view asks for a snapshot.
pub(crate) struct WatchRequest {
    /// Whether the reader gave the fleet's token.
    pub(crate) owner: bool,
    pub(crate) reply: oneshot::Sender<Subscription>,
}

/// All that is known, then what changes. Dropped, it is no reader any more.
pub(crate) struct Subscription {
    pub(crate) snapshot: Message,
    pub(crate) frames: broadcast::Receiver<Message>,
    _reader: FeedReader,
}

struct FeedReader(Arc<AtomicUsize>);

impl FeedReader {
    fn new(count: &Arc<AtomicUsize>) -> FeedReader {
        count.fetch_add(1, Ordering::Relaxed);
        FeedReader(count.clone())
    }
}

impl Drop for FeedReader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

enum FeedPart {
    Snapshot(Box<Snapshot>, WatchRequest),
    Frame(Box<Frame>),
    Balance(BalanceRequest),
    /// A part is missing here: readers start over.
    Gap,
}

/// The end of the supervisor's loop: it writes.
pub(crate) struct Feed {
    parts: Sender<FeedPart>,
    readers: Arc<AtomicUsize>,
    has_gap: bool,
}

/// The end of the API: it hands out to readers.
pub(crate) struct Hub {
    parts: Receiver<FeedPart>,
    readers: Arc<AtomicUsize>,
    owners: broadcast::Sender<Message>,
    others: broadcast::Sender<Message>,
}

/// The two ends of the feed.
pub(crate) fn feed() -> (Feed, Hub) {
    let (sender, receiver) = channel(LAG);
    let readers = Arc::new(AtomicUsize::new(0));
    let feed = Feed { parts: sender, readers: readers.clone(), has_gap: false };
    let new = || broadcast::channel(LAG).0;
    (feed, Hub { parts: receiver, readers, owners: new(), others: new() })
}

impl Feed {
    /// Whether anybody reads: else nothing need be written.
    pub(crate) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// What has happened since the last frame.
    pub(crate) fn frame(&mut self, frame: Frame) {
        self.send(FeedPart::Frame(Box::new(frame)));
    }

    /// All that is known, for one who begins to read.
    pub(crate) fn snapshot(&mut self, snapshot: Snapshot, watch: WatchRequest) {
        self.send(FeedPart::Snapshot(Box::new(snapshot), watch));
    }

    /// Other backends than before: who reads begins with a snapshot of them.
    pub(crate) fn begin_anew(&mut self) {
        self.has_gap = true;
    }

    /// Somebody wants the balancer to balance in another way.
    pub(crate) fn balance(&mut self, wanted: BalanceRequest) {
        self.send(FeedPart::Balance(wanted));
    }

    /// Never waits: an API that is behind loses parts, and its readers start over.
    fn send(&mut self, part: FeedPart) {
        if self.has_gap && self.parts.try_send(FeedPart::Gap).is_err() {
            return;
        }
        self.has_gap = self.parts.try_send(part).is_err();
    }
}

impl Hub {
    /// Hands on what comes, until the loop has ended.
    pub(crate) async fn run(mut self) {
        while let Some(part) = self.parts.recv().await {
            match part {
                FeedPart::Frame(frame) => {
                    send(&self.owners, || event("frame", &*frame));
                    send(&self.others, || event("frame", &redact::frame(&frame)));
                }
                FeedPart::Balance(wanted) => {
                    // Only programs of the owner can do that.
                    send(&self.owners, || event("balance", &wanted));
                }
                FeedPart::Snapshot(snapshot, WatchRequest { owner, reply }) => {
                    let (snapshot, frames) = if owner {
                        (event("snapshot", &*snapshot), self.owners.subscribe())
                    } else {
                        (event("snapshot", &redact::snapshot(&snapshot)), self.others.subscribe())
                    };
                    // Fails if it has gone already.
                    let _ = reply.send(Subscription { snapshot, frames, _reader: FeedReader::new(&self.readers) });
                }
                FeedPart::Gap => {
                    self.owners = broadcast::channel(LAG).0;
                    self.others = broadcast::channel(LAG).0;
                }
            }
        }
    }
}

fn send(readers: &broadcast::Sender<Message>, message: impl FnOnce() -> Message) {
    if readers.receiver_count() > 0 {
        // Fails if the last of them has just gone.
        let _ = readers.send(message());
    }
}

fn event(name: &str, content: &impl serde::Serialize) -> Message {
    // Fails for no type of ours; JSON has no line ends that are not escaped.
    let content = serde_json::to_string(content).unwrap_or_default();
    format!("event: {name}\ndata: {content}\n\n").into()
}
