//! The built-in balancer, for a demo or a check where no other is installed: a reverse proxy for HTTP/1.1, a process of its own like the
//! others. It refuses what could be read in two ways, and what it forwards it rewrites.

mod choice;

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result as Io};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use http::h1::client::{Receiver, ResponseEvent, ResponseProgress, TransportEnd};
use http::h1::server::{Length, RequestEvent, ServerConnection};
use http::{Fields, Framing, IDEMPOTENT, Malformed, RequestContext, RequestHead, Room, encode, is_hop_by_hop, list};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::balancer::limits::VersionLimits;
use crate::balancer::options::{BalancerVersion as Release, Options};
use crate::balancer::product::{Likelihood, Product, Program};
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::platform::limits::raise_files;
use crate::topology::{BackendHttp, Policy, Topology};

use choice::{Chooser, SelectionMethod};

pub(crate) const FALLBACK: Product = Product {
    name: "builtin",
    title: "the built-in balancer",
    newest: Release(0, 2, 0),
    program: Program::BuiltIn,
    install: "it is always there",
    reload: None,
    retries_refused: true,
    usual_fail_timeout: Duration::ZERO,
    avoids_longer_each_time: false,
    matches_port_of_host: false,
    random_spread: None,
    write,
    directive: |_| "",
    of_calls: || None,
    calls_itself: &["the built-in balancer"],
    own_pages: &[],
    own: None,
    alone: None,
    several: None,
    read: None,
    recognises: |_| Likelihood::No,
    reports: None,
    renew: None,
    store: None,
};

/// The word that makes this program the built-in balancer, with its file.
pub(crate) const COMMAND: &str = "built-in-balancer";
const NAME: &str = "builtin.json";
/// What its own responses and the requests that it forwards say of it.
const SERVER: &str = "uuid-generator (built-in balancer)";
/// Bytes of a head, and of a request's body, at most.
const HEAD: usize = 32 << 10;
const BODY: usize = 64 << 20;
/// The time after which a client that sends nothing is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The longest time that a connection to a backend may take.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    listen: SocketAddr,
    /// Requests to it and below are forwarded, without it.
    path: String,
    selection: SelectionMethod,
    /// Rotations that know nothing of each other, as those of worker processes; a client's connection belongs to one at random.
    workers: usize,
    backends: Vec<FallbackBackend>,
    /// Failures after which a backend is avoided, and for how long.
    ejection: Option<(u32, Duration)>,
    /// How long a backend may be silent.
    answer_timeout: Option<Duration>,
    keeps_connections: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct FallbackBackend {
    address: String,
    weight: u32,
}

fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&FALLBACK, options);
    let install = "install nginx: sudo apt-get install nginx";
    for (asked, option) in [
        (topology.sockets.is_some(), "--sockets"),
        (
            topology.backends.iter().any(|backend| topology.socket(backend.generator).is_some()),
            "unix sockets in --backends",
        ),
        (topology.proxy_protocol, "--proxy-protocol"),
        (topology.tls, "TLS to backends (--backend-protocol https, h2, grpcs)"),
        (topology.http != BackendHttp::One, "HTTP/2 to backends (--backend-protocol h2c, grpc)"),
        (topology.timeouts.stream.is_some(), "--stream-timeout"),
        (topology.listen_tls.is_some(), "--listen-tls"),
        (topology.backups().next().is_some(), "--backup"),
        (topology.health.is_some(), "--health-path"),
        (topology.retries.is_some(), "--retries"),
        (topology.timeouts.connect.is_some(), "--connect-timeout"),
        (topology.keep_alive.is_some_and(|count| count > 0), "--keep-alive, but 0"),
        (options.snippet, "--snippet"),
    ] {
        limits.refuse_if(asked, &format!("be configured with {option}"), install)?;
    }
    let selection = match &topology.policy {
        Policy::RoundRobin => SelectionMethod::RoundRobin,
        Policy::Random => SelectionMethod::Random,
        Policy::LeastConnections => SelectionMethod::LeastConnections,
        Policy::TwoChoices => SelectionMethod::TwoChoices,
        Policy::Source => SelectionMethod::Source,
        Policy::Uri => SelectionMethod::Uri,
        Policy::LeastTime | Policy::Header(_) | Policy::Cookie(_) | Policy::Sticky(_) => {
            return Err(limits.cannot(&format!("pick a backend by {}", topology.policy), install));
        }
    };
    limits.refuse_if(
        topology.is_weighted() && !matches!(selection, SelectionMethod::RoundRobin | SelectionMethod::Random),
        &format!("give weights to --algorithm {}", topology.policy),
        install,
    )?;
    let listen = options.listen();
    let backend = |backend: &crate::topology::BackendConfig| FallbackBackend {
        address: topology.address(backend.generator),
        weight: u32::from(backend.weight.get()),
    };
    let config = Config {
        listen: SocketAddr::new(listen.ip(), listen.port),
        path: topology.path.to_string(),
        selection,
        workers: options.workers() as usize,
        backends: topology.backends.iter().map(backend).collect(),
        ejection: topology.failure.as_ref().map(|failure| (failure.max_fails.get(), failure.fail_timeout)),
        answer_timeout: topology.timeouts.answer,
        keeps_connections: topology.keep_alive.is_none(),
    };
    let text = serde_json::to_string_pretty(&config).expect("it has no keys that are no strings") + "\n";
    let run = StartCommand::of(&[], &format!("uuid-generator {COMMAND} {NAME}"));
    Ok(WrittenConfig { files: vec![File { name: NAME, text }], run: Some(run), overview: None })
}

/// Balances as the file says, until it is ended by a signal.
pub(crate) fn run(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let config: Config = serde_json::from_slice(&text).with_context(|| format!("{}: is wrong", file.display()))?;
    // Each request takes two connections.
    raise_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
        // More than the standard library asks for: many clients may come at once.
        rustix::net::listen(&listener, 4096)?;
        let weights: Vec<u32> = config.backends.iter().map(|backend| backend.weight).collect();
        let seed = || uuid::Uuid::new_v4().as_u64_pair().1;
        let chooser = || RefCell::new(Chooser::new(config.selection, &weights, config.ejection, seed()));
        let proxy = FallbackProxy {
            choosers: (0..config.workers.max(1)).map(|_| chooser()).collect(),
            pools: config.backends.iter().map(|_| RefCell::default()).collect(),
            config,
        };
        let proxy = Rc::new(proxy);
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                // Out of descriptors, most likely: some will come back.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let worker = uuid::Uuid::new_v4().as_u64_pair().1 as usize % proxy.choosers.len();
            let client = FallbackClient {
                proxy: proxy.clone(),
                stream,
                peer: peer.ip(),
                worker,
                http: ServerConnection::new(),
                unread: Vec::new(),
            };
            spawn_local(client.serve());
        }
    })
}

struct FallbackProxy {
    config: Config,
    choosers: Vec<RefCell<Chooser>>,
    /// Idle connections to each backend.
    pools: Vec<RefCell<Vec<TcpStream>>>,
}

/// A request as it goes to backends.
struct FallbackRequest {
    bytes: Vec<u8>,
    has_body: bool,
    idempotent: bool,
    head: bool,
    key: u64,
}

/// Why a backend gave no response.
enum ForwardFailure {
    /// The connection failed, so no byte of the request was sent.
    Unreachable,
    /// It closed, or sent what is no response.
    Closed,
    TimedOut,
    /// The client has a part of the response already, or has left.
    Cut,
}

/// Why a request is not forwarded.
enum ForwardRefusal {
    Malformed(Malformed),
    TooLarge,
    NotFound,
}

/// What has become of the request that is being read.
enum RequestStep {
    /// More bytes must come.
    More,
    /// There may be more in what has come.
    Next,
    /// The client waits for leave to send the body.
    Waits,
    Whole,
    Refused(ForwardRefusal),
}

struct FallbackClient {
    proxy: Rc<FallbackProxy>,
    stream: TcpStream,
    peer: IpAddr,
    worker: usize,
    http: ServerConnection,
    unread: Vec<u8>,
}

impl FallbackClient {
    async fn serve(mut self) {
        while let Ok(Some(request)) = self.request().await {
            let responded = match request {
                Ok(request) => self.forward(&request).await,
                Err(ForwardRefusal::Malformed(why)) => self.respond(400, &why.to_string()).await,
                Err(ForwardRefusal::TooLarge) => {
                    self.respond(413, &format!("a request has {BODY} bytes at most here")).await
                }
                Err(ForwardRefusal::NotFound) => {
                    let why = format!("only {} is balanced", self.proxy.config.path);
                    self.respond(404, &why).await
                }
            };
            if responded.is_err() {
                return;
            }
            if self.http.is_over() {
                return self.close().await;
            }
        }
    }

    /// Reads on for a moment: closing with unread input sends RST, which may destroy the response on its way.
    async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        let mut rest = [0; 4096];
        let drain = async { while self.stream.read(&mut rest).await.is_ok_and(|length| length > 0) {} };
        let _ = timeout(Duration::from_secs(1), drain).await;
    }

    async fn read(&mut self) -> Io<bool> {
        self.unread.reserve(8 << 10);
        Ok(timeout(IDLE, self.stream.read_buf(&mut self.unread)).await?? > 0)
    }

    async fn send(&mut self, out: &mut Vec<u8>) -> Io<()> {
        self.stream.write_all(out).await?;
        self.http.wrote(out.len()).for_each(drop);
        out.clear();
        Ok(())
    }

    /// A response of its own.
    async fn respond(&mut self, status: u16, why: &str) -> Io<()> {
        let body = format!("<h1>{status} {}</h1>\n<p>{why}</p>\n", http::reason(status));
        let mut out = Vec::new();
        self.http.respond(status, Length::Known(body.len() as u64), true, &mut out, |out| {
            encode::field(out, "Server", SERVER.as_bytes());
            encode::field(out, "Content-Type", b"text/html");
        });
        self.http.data(body.as_bytes(), &mut out);
        self.http.end(&mut out);
        self.send(&mut out).await
    }

    /// The next whole request; none if the client has closed.
    async fn request(&mut self) -> Io<Option<Result<FallbackRequest, ForwardRefusal>>> {
        let (mut request, mut content) = (None, Vec::new());
        loop {
            match self.next_step(&mut request, &mut content) {
                RequestStep::Next => {}
                RequestStep::More if self.read().await? => {}
                RequestStep::More => return Ok(None),
                RequestStep::Waits => {
                    let mut out = Vec::new();
                    self.http.write_continue(&mut out);
                    self.send(&mut out).await?;
                }
                RequestStep::Refused(refusal) => return Ok(Some(Err(refusal))),
                RequestStep::Whole => break,
            }
        }
        let request = request.map(|mut request: FallbackRequest| {
            if request.has_body {
                encode::number_field(&mut request.bytes, "Content-Length", content.len() as u64);
            }
            encode::end_of_head(&mut request.bytes);
            request.bytes.extend_from_slice(&content);
            Ok(request)
        });
        Ok(request)
    }

    /// Takes what comes next from the bytes that have come: a head, or a piece of the body.
    fn next_step(&mut self, request: &mut Option<FallbackRequest>, content: &mut Vec<u8>) -> RequestStep {
        let mut rest = &self.unread[..];
        let mut room: Room = Room::new();
        let step = match self.http.receive(&mut rest, &mut room, HEAD) {
            None => RequestStep::More,
            Some((_, RequestEvent::Head(head))) => match rewrite(&head, self.peer, &self.proxy.config) {
                Err(refusal) => RequestStep::Refused(refusal),
                Ok(rewritten) => {
                    *request = Some(rewritten);
                    match head.framing {
                        Framing::None => RequestStep::Whole,
                        _ if head.expects_continue && rest.is_empty() => RequestStep::Waits,
                        _ => RequestStep::Next,
                    }
                }
            },
            Some((_, RequestEvent::Data(data))) if content.len() + data.len() > BODY => {
                RequestStep::Refused(ForwardRefusal::TooLarge)
            }
            Some((_, RequestEvent::Data(data))) => {
                content.extend_from_slice(data);
                RequestStep::Next
            }
            Some((_, RequestEvent::Trailers(_))) => RequestStep::Next,
            Some((_, RequestEvent::End)) => RequestStep::Whole,
            Some((_, RequestEvent::Malformed(why))) => RequestStep::Refused(ForwardRefusal::Malformed(why)),
        };
        let taken = self.unread.len() - rest.len();
        self.unread.drain(..taken);
        step
    }

    /// To one backend after another until one responds.
    async fn forward(&mut self, request: &FallbackRequest) -> Io<()> {
        let proxy = self.proxy.clone();
        let chooser = &proxy.choosers[self.worker];
        let mut tried = vec![false; proxy.pools.len()];
        let mut last = ForwardFailure::Unreachable;
        while let Some(index) = { chooser.borrow_mut().choose(request.key, &tried, Instant::now()) } {
            tried[index] = true;
            let in_flight = FallbackInFlight::begin(chooser, index);
            let result = self.exchange(index, request).await;
            drop(in_flight);
            match result {
                Ok(()) => {
                    chooser.borrow_mut().succeeded(index);
                    return Ok(());
                }
                Err(ForwardFailure::Cut) => return Err(ErrorKind::ConnectionAborted.into()),
                Err(failure) => {
                    chooser.borrow_mut().failed(index, Instant::now());
                    let again = matches!(failure, ForwardFailure::Unreachable) || request.idempotent;
                    last = failure;
                    if !again {
                        break;
                    }
                }
            }
        }
        let (status, why) = match last {
            ForwardFailure::TimedOut => (504, "no backend responded in time"),
            ForwardFailure::Unreachable => (502, "no backend accepts connections"),
            ForwardFailure::Closed | ForwardFailure::Cut => (502, "a backend closed without a response"),
        };
        self.respond(status, why).await
    }

    /// One backend's response, handed on as it comes.
    async fn exchange(&mut self, index: usize, request: &FallbackRequest) -> Result<(), ForwardFailure> {
        let proxy = self.proxy.clone();
        let patience = proxy.config.answer_timeout.unwrap_or(Duration::MAX);
        let mut backend = proxy.connect(index).await?;
        let written = while_there(&self.stream, timeout(patience, backend.write_all(&request.bytes))).await?;
        written.map_err(|_| ForwardFailure::TimedOut)?.map_err(|_| ForwardFailure::Closed)?;
        let mut receiver = Receiver::new(HEAD);
        receiver.begin(if request.head { RequestContext::Head } else { RequestContext::Other });
        let (mut read, mut out) = (Vec::with_capacity(16 << 10), Vec::new());
        let mut has_begun = false;
        loop {
            read.clear();
            let length = match while_there(&self.stream, timeout(patience, backend.read_buf(&mut read))).await? {
                Err(_) => return Err(if has_begun { ForwardFailure::Cut } else { ForwardFailure::TimedOut }),
                Ok(result) => result.unwrap_or(0),
            };
            let progress = match length {
                0 => match receiver.end(TransportEnd::InOrder) {
                    http::h1::client::Ended::Whole => ResponseProgress::Whole,
                    _ if has_begun => return Err(ForwardFailure::Cut),
                    _ => return Err(ForwardFailure::Closed),
                },
                _ => receiver.receive(&read, &mut |event| {
                    has_begun |= matches!(event, ResponseEvent::Head(_));
                    hand_on(&mut self.http, event, &mut out);
                }),
            };
            let whole = match progress {
                ResponseProgress::More => false,
                ResponseProgress::Whole | ResponseProgress::WholeAndMore(_) => true,
                ResponseProgress::Malformed(_) if has_begun => return Err(ForwardFailure::Cut),
                ResponseProgress::Malformed(_) => return Err(ForwardFailure::Closed),
            };
            if whole {
                self.http.end(&mut out);
            }
            self.send(&mut out).await.map_err(|_| ForwardFailure::Cut)?;
            if whole {
                if receiver.is_reusable() && proxy.config.keeps_connections {
                    proxy.pools[index].borrow_mut().push(backend);
                }
                return Ok(());
            }
        }
    }
}

/// Waits for a backend as long as the client does.
async fn while_there<T>(client: &TcpStream, work: impl Future<Output = T>) -> Result<T, ForwardFailure> {
    let leave = async {
        // Behind a next request its end cannot be seen.
        if client.peek(&mut [0; 1]).await.is_ok_and(|length| length > 0) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = leave => Err(ForwardFailure::Cut),
    }
}

impl FallbackProxy {
    /// An idle connection that is still open, or a new one.
    async fn connect(&self, index: usize) -> Result<TcpStream, ForwardFailure> {
        while let Some(idle) = { self.pools[index].borrow_mut().pop() } {
            let silent = idle.try_read(&mut [0; 1]).is_err_and(|error: Error| error.kind() == ErrorKind::WouldBlock);
            if silent {
                return Ok(idle);
            }
        }
        let connecting = TcpStream::connect(&self.config.backends[index].address);
        match timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
            Ok(Err(_)) | Err(_) => Err(ForwardFailure::Unreachable),
        }
    }
}

/// The head of a request rewritten, but for its end and the length of its body.
fn rewrite(head: &RequestHead, peer: IpAddr, config: &Config) -> Result<FallbackRequest, ForwardRefusal> {
    let below = if config.path == "/" { Some(head.path()) } else { head.path().strip_prefix(&config.path) };
    let path = below.filter(|rest| rest.is_empty() || rest.starts_with('/')).ok_or(ForwardRefusal::NotFound)?;
    let query = head.query().map_or(String::new(), |query| format!("?{query}"));
    let target = format!("{}{query}", if path.is_empty() { "/" } else { path });
    let mut bytes = Vec::with_capacity(head.length + 256);
    encode::request_line(&mut bytes, head.method, &target);
    let host = head.host.unwrap_or_default();
    encode::field(&mut bytes, "Host", host);
    let rewritten = ["Host", "Content-Length", "Expect", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];
    end_to_end(head.fields, &rewritten, &mut bytes);
    let mut clients: Vec<u8> = head.fields.all("X-Forwarded-For").collect::<Vec<_>>().join(&b", "[..]);
    if !clients.is_empty() {
        clients.extend_from_slice(b", ");
    }
    clients.extend_from_slice(peer.to_string().as_bytes());
    encode::field(&mut bytes, "X-Forwarded-For", &clients);
    encode::field(&mut bytes, "X-Forwarded-Proto", b"http");
    encode::field(&mut bytes, "X-Forwarded-Host", host);
    encode::field(&mut bytes, "Via", b"1.1 uuid-generator");
    if !config.keeps_connections {
        encode::field(&mut bytes, "Connection", b"close");
    }
    let key = match config.selection {
        SelectionMethod::Source => peer.to_string(),
        _ => target,
    };
    Ok(FallbackRequest {
        bytes,
        has_body: head.framing != Framing::None,
        idempotent: IDEMPOTENT.contains(&head.method),
        head: head.method == "HEAD",
        key: http::digest(key.as_bytes()),
    })
}

/// Passes a part of a backend's response on to the client.
fn hand_on(client: &mut ServerConnection, event: ResponseEvent, out: &mut Vec<u8>) {
    match event {
        ResponseEvent::Head(head) => {
            let stated = head.fields.first("Content-Length").filter(|length| length.iter().all(u8::is_ascii_digit));
            let length = match head.framing {
                Framing::Length(length) => Length::Known(length),
                // Of the body that is not there: what GET would have got, or nothing.
                Framing::None => stated
                    .and_then(|length| str::from_utf8(length).ok()?.parse().ok())
                    .map_or(Length::Absent, Length::Known),
                Framing::Chunked | Framing::UntilClose | Framing::Stream => Length::Unknown,
            };
            client.respond(head.status, length, true, out, |out| end_to_end(head.fields, &["Content-Length"], out));
        }
        ResponseEvent::Data(data) => client.data(data, out),
        ResponseEvent::Interim(_) | ResponseEvent::Trailers(_) => {}
    }
}

/// The fields that are not of one connection (RFC 9110 §7.6.1), but for those.
fn end_to_end(fields: Fields, but: &[&str], out: &mut Vec<u8>) {
    let named: Vec<&[u8]> = fields.all("Connection").flat_map(list).collect();
    for field in fields.iter() {
        let is = |name: &&str| field.name.eq_ignore_ascii_case(name);
        let hop =
            is_hop_by_hop(field.name) || named.iter().any(|name| name.eq_ignore_ascii_case(field.name.as_bytes()));
        if !hop && !but.iter().any(is) {
            encode::field(out, field.name, field.value);
        }
    }
}

/// A backend has a request in flight as long as this lives.
struct FallbackInFlight<'c> {
    chooser: &'c RefCell<Chooser>,
    index: usize,
}

impl FallbackInFlight<'_> {
    fn begin(chooser: &RefCell<Chooser>, index: usize) -> FallbackInFlight<'_> {
        chooser.borrow_mut().begin(index);
        FallbackInFlight { chooser, index }
    }
}

impl Drop for FallbackInFlight<'_> {
    fn drop(&mut self) {
        self.chooser.borrow_mut().end(self.index);
    }
}
