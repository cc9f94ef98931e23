//! The API's listener and its thread. Connections have bounds: a head and a body take 10 s at most, a response that is not read is
//! given up after 10 s, and when there are too many of them those go first that wait for nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::fleet::api::command::CommandSender;
use crate::fleet::api::connection::{ApiConnection, Impatient};
use crate::fleet::api::feed::Hub;
use crate::fleet::api::routes::{routes, routes_of_metrics};
use crate::fleet::api::state::ApiState;
use crate::fleet::fold::metrics::Metrics;
use crate::fleet::fold::records::RecordStore;
use crate::fleet::plan::ControlAddress;
use crate::topology::is_loopback;
use crate::wire::Token;

/// For the head of a request, from when the one before has been answered.
const HEAD_TIME: Duration = Duration::from_secs(10);
const MOST_HEAD_BYTES: usize = 64 * 1024;
/// Of a response in the kernel, for a reader that does not read: hundreds of them take no gigabytes.
const SEND_BUFFER: usize = 256 * 1024;

/// The most connections of those who read metrics alone.
const METRICS_CONNECTIONS: usize = 16;

/// A listening socket that nobody serves yet.
pub(crate) struct Listening {
    listener: StdListener,
    address: SocketAddr,
    taken: Option<SocketAddr>,
}

impl Listening {
    /// Listens; or says what is wrong and what to try.
    pub(crate) fn bind(wanted: ControlAddress, what: &str, option: &str) -> Result<Listening, (String, String)> {
        let (ControlAddress::Preferred(address) | ControlAddress::Required(address)) = wanted;
        let mut taken = None;
        let listener = match (StdListener::bind(address), wanted) {
            (Err(_), ControlAddress::Preferred(_)) => {
                taken = Some(address);
                StdListener::bind(SocketAddr::new(address.ip(), 0))
            }
            (result, _) => result,
        };
        let explain = |why: std::io::Error| {
            let why = match why.kind() {
                std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                _ => why.to_string(),
            };
            let hint = format!("choose another address with {option}; with port 0 any free port is taken");
            (format!("{what} on {address}: {why}"), hint)
        };
        let listener = listener.map_err(explain)?;
        listener.set_nonblocking(true).map_err(explain)?;
        let address = listener.local_addr().map_err(explain)?;
        Ok(Listening { listener, address, taken })
    }

    /// Its base, as a client on this machine writes it: `0.0.0.0` is no address to connect to.
    pub(crate) fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }
}

/// What the API needs to know.
pub(crate) struct Sources {
    pub(crate) token: Token,
    /// Whether somebody chose the token: then it is not printed.
    pub(crate) is_token_given: bool,
    pub(crate) ask: CommandSender,
    pub(crate) hub: Hub,
    pub(crate) records: Arc<Mutex<RecordStore>>,
    pub(crate) metrics: Arc<Metrics>,
    /// The most connections at the same time.
    pub(crate) connections: usize,
    /// Whether it shows several fleets: records are theirs, and a check asks them.
    pub(crate) is_joint: bool,
}

/// The API that is served. Dropping it ends it and what it has started.
pub(crate) struct Api {
    url: String,
    /// What is printed: none that somebody gave.
    token: Option<Token>,
    taken: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Serves it in a thread of its own.
    pub(crate) fn serve(listening: Listening, open_metrics: Option<Listening>, sources: Sources) -> Result<Api> {
        let url = listening.url();
        let Listening { listener, address, taken } = listening;
        let Sources { token, is_token_given, ask, hub, records, metrics, connections, is_joint } = sources;
        let state = ApiState {
            token: token.as_str().into(),
            open: !is_loopback(&address),
            is_joint,
            ask,
            records,
            metrics,
            is_checking: Arc::new(AtomicBool::new(false)),
            watching: Arc::new(AtomicUsize::new(0)),
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let serve = move || {
            let runtime = match Builder::new_current_thread().enable_all().build_local(Default::default()) {
                Ok(runtime) => runtime,
                Err(why) => {
                    let _ = ready.send(Err(why));
                    return;
                }
            };
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener);
                let _ = ready.send(listener.as_ref().map(|_| ()).map_err(|why| why.kind().into()));
                let Ok(listener) = listener else { return };
                spawn_local(hub.run());
                if let Some(metrics) = open_metrics.and_then(|metrics| TcpListener::from_std(metrics.listener).ok()) {
                    spawn_local(accept(metrics, routes_of_metrics(state.clone()), METRICS_CONNECTIONS));
                }
                tokio::select! {
                    () = accept(listener, routes(state), connections) => {}
                    _ = stopped => {}
                }
            });
        };
        const FAILED: &str = "failed to start the API";
        let thread = thread::Builder::new().name("api".to_owned()).spawn(serve).context(FAILED)?;
        is_ready.recv().context(FAILED)?.context(FAILED)?;
        let token = (!is_token_given).then_some(token);
        Ok(Api { url, token, taken, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where it would be, if nobody else were there.
    pub(crate) fn taken(&self) -> Option<SocketAddr> {
        self.taken
    }

    /// Where its owner's browser finds the live view.
    pub(crate) fn view(&self) -> String {
        match &self.token {
            Some(token) => format!("{}/#token={}", self.url, token.as_str()),
            None => format!("{}/   (add #token= and your token to control the fleet there)", self.url),
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connections, the oldest first.
type Connections = Rc<RefCell<BTreeMap<u64, Arc<ApiConnection>>>>;

async fn accept(listener: TcpListener, router: Router, most: usize) {
    let connections = Connections::default();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: some will come back.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        if !make_room(&connections, most) {
            continue;
        }
        let connection = Arc::new(ApiConnection::default());
        connections.borrow_mut().insert(number, connection.clone());
        let (router, connections) = (router.clone(), connections.clone());
        spawn_local(async move {
            tokio::select! {
                () = serve(stream, router, connection.clone()) => {}
                () = connection.ended() => {}
            }
            connections.borrow_mut().remove(&number);
        });
    }
}

/// Whether there is room for one more. If not, the one that is worth least goes, of those the oldest, except for the owner's.
fn make_room(connections: &Connections, most: usize) -> bool {
    let mut connections = connections.borrow_mut();
    if connections.len() < most {
        return true;
    }
    let least = connections.iter().map(|(number, connection)| (connection.worth(), *number)).min();
    let Some((_, number)) = least.filter(|(worth, _)| *worth < 2) else { return false };
    if let Some(connection) = connections.remove(&number) {
        connection.end();
    }
    true
}

async fn serve(stream: TcpStream, router: Router, connection: Arc<ApiConnection>) {
    // Only takes memory away from those who do not read: a failure does no harm.
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let answering = connection.clone().begins_to_answer();
        request.extensions_mut().insert(connection.clone());
        let answer = router.call(request);
        async move {
            let response = answer.await?;
            // Held until the body has been written.
            Ok::<_, std::convert::Infallible>(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held = &answering;
                    frame
                }))
            }))
        }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service)
        .await;
}
