//! A reverse proxy for HTTP/1.1 that does exactly what a test asks for, also what no balancer should do: the ground truth for the check. `tests/planted.rs`
//! holds it to what stands here.
//!
//! It reads a request to its end before it asks a backend, and asks on when the client has left meanwhile.

use std::cell::Cell;
use std::io::Result as Io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as Listening};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use verdict::RequestId;

pub use behaviour::{Behaviour, Defect, Ejection, PlantedAlgorithm, Ties};
use client::PlantedConnection;
use proxy::{PlantedClient, PlantedProxy};

mod behaviour;
mod choice;
mod client;
mod link;
mod message;
mod proxy;

/// A running balancer with a thread of its own. Dropping it ends it and all of its connections.
pub struct PlantedBalancer {
    port: u16,
    orders: Option<UnboundedSender<Reload>>,
    spoiled: Arc<Mutex<Vec<Option<RequestId>>>>,
    thread: Option<JoinHandle<()>>,
}

struct Reload {
    done: mpsc::Sender<()>,
}

impl PlantedBalancer {
    /// On a free port of loopback, in front of these ports of 127.0.0.1, at most 128.
    pub fn start(backends: &[u16], behaviour: impl Into<Behaviour>) -> PlantedBalancer {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        PlantedBalancer::listen(any, backends, behaviour).expect("a port of loopback is free")
    }

    /// On that address. An error means that it cannot be had.
    pub fn listen(address: SocketAddr, backends: &[u16], behaviour: impl Into<Behaviour>) -> Io<PlantedBalancer> {
        let behaviour = behaviour.into();
        assert!((1..=128).contains(&backends.len()) && behaviour.rotations > 0, "{backends:?}, {behaviour:?}");
        if let PlantedAlgorithm::SmoothWeighted(weights)
        | PlantedAlgorithm::BlockWeighted(weights)
        | PlantedAlgorithm::RandomWeighted(weights) = &behaviour.algorithm
        {
            assert!(weights.len() == backends.len() && weights.iter().any(|weight| *weight > 0), "{weights:?}");
        }
        let listening = Listening::bind(address)?;
        // More than the standard library asks for: many clients may come at once.
        rustix::net::listen(&listening, 4096)?;
        listening.set_nonblocking(true)?;
        let port = listening.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let spoiled = Arc::default();
        let (orders, received) = unbounded_channel();
        let (backends, noted) = (backends.to_vec(), Arc::clone(&spoiled));
        let thread = std::thread::spawn(move || {
            let proxy = Rc::new(PlantedProxy::new(backends, behaviour, noted));
            LocalSet::new().block_on(&runtime, accept(proxy, listening, received));
        });
        Ok(PlantedBalancer { port, orders: Some(orders), spoiled, thread: Some(thread) })
    }

    /// The port on loopback where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its rotations begin anew, failures are forgotten, kept client connections that wait for a request are closed, and those with a
    /// request in flight (or the first one yet to come) after its response, which says so. Returns when it has happened.
    pub fn reload(&self) {
        let (done, happened) = mpsc::channel();
        let order = self.orders.as_ref().map(|orders| orders.send(Reload { done }));
        assert!(matches!(order, Some(Ok(()))), "the balancer has panicked");
        happened.recv().expect("a reload is answered");
    }

    /// To which requests the defect has happened so far, by their ids if they had one. An exchange of two answers counts twice;
    /// Skew, MissingBackend, NeverAnswers, Endless and headers that are stripped count nothing.
    pub fn spoiled(&self) -> Vec<Option<RequestId>> {
        self.spoiled.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for PlantedBalancer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Until nobody can give orders any more.
async fn accept(proxy: Rc<PlantedProxy>, listening: Listening, mut orders: UnboundedReceiver<Reload>) {
    let listener = TcpListener::from_std(listening).expect("the runtime takes a socket that does not block");
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(reload) => {
                    proxy.reload().await;
                    let _ = reload.done.send(());
                }
                None => return,
            },
            accepted = listener.accept() => {
                // A client that has left before it was welcomed, or no descriptor is free.
                let Ok((stream, peer)) = accepted else { continue };
                welcome(&proxy, stream, peer.ip());
            }
        }
    }
}

fn welcome(proxy: &Rc<PlantedProxy>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let (idle, asking) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
    let client = PlantedClient { idle: Rc::clone(&idle), asking: Rc::clone(&asking), task: None };
    let number = proxy.clients.borrow_mut().insert(client);
    let index = proxy.random.borrow_mut().below(proxy.behaviour.rotations);
    let worker = Rc::clone(&proxy.workers.borrow()[index]);
    let leaving = Leaving { proxy: Rc::clone(proxy), number };
    let reloads = proxy.reloads.get();
    let task = spawn_local(async move {
        let proxy = &leaving.proxy;
        let unread = Vec::new();
        let (tied, link, is_kept) = (None, None, false);
        let mut connection =
            PlantedConnection { proxy, stream, peer, worker, idle, asking, reloads, tied, link, is_kept, unread };
        // A client that goes away is no concern of ours.
        let _ = match proxy.behaviour.defect {
            Defect::NeverAnswers => connection.listen().await,
            Defect::Endless => connection.talk().await,
            _ => connection.serve().await,
        };
    });
    proxy.clients.borrow_mut()[number].task = Some(task.abort_handle());
}

/// A client that is known no more, however its task ended.
struct Leaving {
    proxy: Rc<PlantedProxy>,
    number: usize,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.proxy.clients.borrow_mut().remove(self.number);
    }
}
