//! The `h2` crate at the other end of memory: what one writes the other reads alike, both ways, whatever is asked and however the
//! bytes are cut.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::{self, Client, FirstLine};
use super::server::{self, Server};
use super::{AnnouncedSettings, Block, ErrorCode, Follows, literal};
use crate::{Framing, RequestContext, StreamId};

/// One end of a pipe in memory. Reads give no more than `step` bytes at once.
struct Pipe {
    incoming: Arc<Mutex<VecDeque<u8>>>,
    outgoing: Arc<Mutex<VecDeque<u8>>>,
    step: usize,
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context, room: &mut ReadBuf) -> Poll<io::Result<()>> {
        let mut incoming = self.incoming.lock().unwrap();
        if incoming.is_empty() {
            return Poll::Pending;
        }
        let count = self.step.min(incoming.len()).min(room.remaining());
        let bytes: Vec<u8> = incoming.drain(..count).collect();
        room.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.lock().unwrap().extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;
/// By name: the crate forgets the order of different names.
type ByName = BTreeMap<String, Vec<Vec<u8>>>;

/// Polls futures one after the other, and what lies between them, until those that count have ended.
fn run(mut tasks: Vec<(bool, Task<'_>)>, mut between: impl FnMut()) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        tasks.retain_mut(|(_, task)| task.as_mut().poll(&mut context).is_pending());
        between();
        if !tasks.iter().any(|(counts, _)| *counts) {
            return;
        }
    }
    panic!("they wait for each other");
}

/// What is asked, and what is responded.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Message {
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<Vec<u8>>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Message {
    fn body(&self) -> Vec<u8> {
        self.content.concat()
    }
}

fn any_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    // What may stand within a value; none of its ends is white space.
    let value = "[a-zA-Z0-9!-~]{0,30}|[\u{a1}-\u{ff}]{1,9}|[a-z]{1,9} [a-z]{1,9}|same";
    let name = prop_oneof!["x-[a-z]{1,9}", Just("x-same".to_owned()), Just("content-type".to_owned())];
    vec((name, value.prop_map(|text: String| text.into_bytes())), 0..8)
}

fn any_message() -> impl Strategy<Value = Message> {
    // Some beyond a frame, some beyond the window that holds at the start.
    let piece = prop_oneof![6 => 0..200usize, 2 => 10_000..40_000usize, 1 => 60_000..90_000usize];
    let content = vec((piece, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]), 0..4);
    (any_fields(), content, prop_oneof![3 => Just(Vec::new()), 1 => any_fields()])
        .prop_map(|(fields, content, trailers)| Message { fields, content, trailers })
}

fn header_map(fields: &[(String, Vec<u8>)]) -> http1::HeaderMap {
    let mut map = http1::HeaderMap::new();
    for (name, value) in fields {
        let name: http1::HeaderName = name.parse().unwrap();
        map.append(name, http1::HeaderValue::from_bytes(value).unwrap());
    }
    map
}

fn by_name<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> ByName {
    let mut map: ByName = BTreeMap::new();
    for (name, value) in fields {
        map.entry(name.to_owned()).or_default().push(value.to_vec());
    }
    map
}

fn of_message(fields: &[(String, Vec<u8>)]) -> ByName {
    by_name(fields.iter().map(|(name, value)| (&**name, &**value)))
}

fn of_map(map: &http1::HeaderMap) -> ByName {
    by_name(map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

async fn read_all(mut body: h2::RecvStream) -> (Vec<u8>, Option<http1::HeaderMap>) {
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        content.extend_from_slice(&piece);
    }
    (content, body.trailers().await.unwrap())
}

fn send_all(stream: &mut h2::SendStream<Bytes>, message: &Message) {
    for piece in &message.content {
        stream.send_data(Bytes::copy_from_slice(piece), false).unwrap();
    }
    if message.trailers.is_empty() {
        stream.send_data(Bytes::new(), true).unwrap();
    } else {
        stream.send_trailers(header_map(&message.trailers)).unwrap();
    }
}

/// A response, or a request, that goes out as far as windows allow.
struct Outgoing<'m> {
    message: &'m Message,
    body: Vec<u8>,
    sent: usize,
}

impl Outgoing<'_> {
    /// Whether it is out: `send` appends a piece, and is asked for trailers with none.
    fn go_on(&mut self, capacity: usize, mut data: impl FnMut(&[u8], bool)) -> bool {
        let end = self.body.len().min(self.sent + capacity);
        let ends = end == self.body.len() && self.message.trailers.is_empty();
        if end > self.sent || ends {
            data(&self.body[self.sent..end], ends);
        }
        self.sent = end;
        end == self.body.len()
    }
}

/// Which exchange a stream is, and what has come of it.
type Incoming = (usize, Vec<u8>, Vec<(String, Vec<u8>)>);

/// Our server for the crate's client.
struct Service<'m> {
    server: Server,
    exchanges: &'m [(Message, Message)],
    inbox: Vec<u8>,
    out: Vec<u8>,
    room: Block,
    asked: BTreeMap<u32, Incoming>,
    going_out: BTreeMap<u32, Outgoing<'m>>,
    whole: usize,
}

impl Service<'_> {
    fn turn(&mut self, from: &Mutex<VecDeque<u8>>, to: &Mutex<VecDeque<u8>>) {
        self.inbox.extend(from.lock().unwrap().drain(..));
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((stream, event)) = self.server.receive(&mut rest, &mut self.room, 0, &mut self.out) {
            let mut whole = false;
            match event {
                server::ServerEvent::Head(request) => {
                    let lines = request.lines();
                    let head = request.head(&lines);
                    let number: usize = head.path()[1..].parse().unwrap();
                    let fields = by_name(head.fields.iter().map(|field| (field.name, field.value)));
                    assert_eq!(fields, of_message(&self.exchanges[number].0.fields));
                    whole = head.framing == Framing::None;
                    self.asked.insert(stream.0, (number, Vec::new(), Vec::new()));
                }
                server::ServerEvent::Data(data) => self.asked.get_mut(&stream.0).unwrap().1.extend_from_slice(data),
                server::ServerEvent::Trailers(trailers) => {
                    let lines = trailers.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
                    self.asked.get_mut(&stream.0).unwrap().2.extend(lines);
                }
                server::ServerEvent::End => whole = true,
                other => panic!("{other:?}"),
            }
            if whole {
                let (number, content, trailers) = self.asked.remove(&stream.0).unwrap();
                let (request, response) = &self.exchanges[number];
                assert!(content == request.body(), "the content of a request");
                assert_eq!(of_message(&trailers), of_message(&request.trailers));
                self.server.respond(stream, 200, Follows::More, &mut self.out, |out| {
                    response.fields.iter().for_each(|(name, value)| literal(out, name, value));
                });
                self.going_out.insert(stream.0, Outgoing { message: response, body: response.body(), sent: 0 });
                self.whole += 1;
            }
        }
        let left = rest.len();
        self.inbox = inbox[inbox.len() - left..].to_vec();
        let (server, out) = (&mut self.server, &mut self.out);
        self.going_out.retain(|id, going| {
            let stream = StreamId(*id);
            let is_out =
                going.go_on(server.capacity(stream), |data, ends| server.data(stream, data, Follows::after(ends), out));
            if is_out && !going.message.trailers.is_empty() {
                server.trailers(stream, out, |out| {
                    going.message.trailers.iter().for_each(|(name, value)| literal(out, name, value));
                });
            }
            !is_out
        });
        to.lock().unwrap().extend(self.out.drain(..));
    }
}

fn our_server_and_their_client(exchanges: &[(Message, Message)], step: usize) {
    let (up, down) = (Arc::new(Mutex::new(VecDeque::new())), Arc::new(Mutex::new(VecDeque::new())));
    let pipe = Pipe { incoming: down.clone(), outgoing: up.clone(), step };
    let mut service = Service {
        server: Server::new(AnnouncedSettings::SERVER),
        exchanges,
        inbox: Vec::new(),
        out: Vec::new(),
        room: Block::new(),
        asked: BTreeMap::new(),
        going_out: BTreeMap::new(),
        whole: 0,
    };
    service.server.begin(AnnouncedSettings::SERVER, &mut service.out);
    let mut context = Context::from_waker(Waker::noop());
    let mut handshake = Box::pin(h2::client::handshake(pipe));
    let Poll::Ready(Ok((sender, connection))) = handshake.as_mut().poll(&mut context) else { panic!("it waits") };
    let mut tasks: Vec<(bool, Task<'_>)> = vec![(false, Box::pin(async move { connection.await.unwrap() }))];
    for (number, (request, response)) in exchanges.iter().enumerate() {
        let sender = sender.clone();
        tasks.push((
            true,
            Box::pin(async move {
                let mut head = http1::Request::post(format!("http://h/{number}")).body(()).unwrap();
                *head.headers_mut() = header_map(&request.fields);
                let (answer, mut stream) = sender.ready().await.unwrap().send_request(head, false).unwrap();
                send_all(&mut stream, request);
                let (head, body) = answer.await.unwrap().into_parts();
                assert_eq!(of_map(&head.headers), of_message(&response.fields));
                let (content, trailers) = read_all(body).await;
                assert!(content == response.body(), "the content of a response");
                assert_eq!(trailers.map(|map| of_map(&map)).unwrap_or_default(), of_message(&response.trailers));
            }),
        ));
    }
    run(tasks, || service.turn(&up, &down));
    assert_eq!((service.whole, service.server.streams()), (exchanges.len(), 0));
}

/// Which exchange a stream is, its request, and the response's content and trailers.
type Asking<'m> = (usize, Outgoing<'m>, Vec<u8>, ByName);

#[expect(clippy::too_many_lines, reason = "one conversation, step by step")]
fn our_client_and_their_server(exchanges: &[(Message, Message)], step: usize) {
    let (up, down) = (Arc::new(Mutex::new(VecDeque::<u8>::new())), Arc::new(Mutex::new(VecDeque::<u8>::new())));
    let pipe = Pipe { incoming: up.clone(), outgoing: down.clone(), step };
    let (mut out, mut room, mut inbox) = (Vec::new(), Block::new(), Vec::new());
    let mut client = Client::new(AnnouncedSettings::CLIENT, &mut out);
    let mut next = 0;
    let mut open: BTreeMap<u32, Asking> = BTreeMap::new();
    let mut whole = 0;
    let service = async move {
        let mut connection = h2::server::handshake(pipe).await.unwrap();
        let mut tasks: Vec<Task<'static>> = Vec::new();
        std::future::poll_fn(|context| -> Poll<()> {
            while let Poll::Ready(accepted) = connection.poll_accept(context) {
                let Some(accepted) = accepted else { return Poll::Ready(()) };
                let (request, mut respond) = accepted.unwrap();
                let exchanges = exchanges.to_vec();
                tasks.push(Box::pin(async move {
                    let (head, body) = request.into_parts();
                    let number: usize = head.uri.path()[1..].parse().unwrap();
                    let (request, response) = &exchanges[number];
                    assert_eq!(of_map(&head.headers), of_message(&request.fields));
                    let (content, _) = read_all(body).await;
                    assert!(content == request.body(), "the content of a request");
                    let mut head = http1::Response::new(());
                    *head.headers_mut() = header_map(&response.fields);
                    let mut stream = respond.send_response(head, false).unwrap();
                    send_all(&mut stream, response);
                }));
            }
            tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
            Poll::Pending
        })
        .await;
    };
    let (up_, down_) = (up.clone(), down.clone());
    let done = Mutex::new(false);
    let wait = async {
        std::future::poll_fn(|_| if *done.lock().unwrap() { Poll::Ready(()) } else { Poll::Pending }).await;
    };
    run(vec![(false, Box::pin(service)), (true, Box::pin(wait))], || {
        while next < exchanges.len() && client.can_open() {
            let request = &exchanges[next].0;
            let path = format!("/{next}");
            let first = FirstLine { method: "POST", scheme: "http", authority: "h", path: &path };
            let ends = request.body().is_empty();
            let stream = client.open(&first, RequestContext::Other, Follows::after(ends), &mut out, |fields| {
                for (place, (name, value)) in request.fields.iter().enumerate() {
                    match place % 2 {
                        0 => fields.constant(name, value),
                        _ => fields.fresh(name, value),
                    }
                }
            });
            let sent = if ends { usize::MAX } else { 0 };
            let outgoing = Outgoing { message: request, body: request.body(), sent };
            open.insert(stream.0, (next, outgoing, Vec::new(), BTreeMap::new()));
            next += 1;
        }
        inbox.extend(down_.lock().unwrap().drain(..));
        let mut rest = &inbox[..];
        while let Some((stream, event)) = client.receive(&mut rest, &mut room, 0, &mut out) {
            let mut is_whole = false;
            match event {
                client::ClientEvent::Head(response) => {
                    let lines = response.lines();
                    let head = response.head(&lines);
                    let number = open[&stream.0].0;
                    let fields = by_name(head.fields.iter().map(|field| (field.name, field.value)));
                    assert_eq!((head.status, fields), (200, of_message(&exchanges[number].1.fields)));
                    is_whole = head.framing == Framing::None;
                }
                client::ClientEvent::Data(data) => open.get_mut(&stream.0).unwrap().2.extend_from_slice(data),
                client::ClientEvent::Trailers(trailers) => {
                    open.get_mut(&stream.0).unwrap().3 =
                        by_name(trailers.iter().map(|field| (field.name, field.value)));
                }
                client::ClientEvent::End => is_whole = true,
                other => panic!("{other:?}"),
            }
            if is_whole {
                let (number, _, content, trailers) = open.remove(&stream.0).unwrap();
                assert!(content == exchanges[number].1.body(), "the content of a response");
                assert_eq!(trailers, of_message(&exchanges[number].1.trailers));
                whole += 1;
            }
        }
        let left = rest.len();
        inbox.drain(..inbox.len() - left);
        for (id, (_, outgoing, ..)) in &mut open {
            if outgoing.sent < outgoing.body.len() {
                let stream = StreamId(*id);
                let (body, capacity) = (&outgoing.body, client.capacity(stream));
                let end = body.len().min(outgoing.sent + capacity);
                if end > outgoing.sent {
                    client.data(stream, &body[outgoing.sent..end], Follows::after(end == body.len()), &mut out);
                    outgoing.sent = end;
                }
            }
        }
        up_.lock().unwrap().extend(out.drain(..));
        *done.lock().unwrap() = whole == exchanges.len();
    });
    assert_eq!(client.streams(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn their_client_and_our_server_understand_each_other(
        exchanges in vec((any_message(), any_message()), 1..6),
        step in prop_oneof![Just(1usize), 2..50usize, Just(usize::MAX)],
    ) {
        our_server_and_their_client(&exchanges, if step == 1 && exchanges.len() > 2 { 777 } else { step });
    }

    #[test]
    fn our_client_and_their_server_understand_each_other(
        exchanges in vec((any_message(), any_message()), 1..6),
        step in prop_oneof![2..50usize, Just(usize::MAX)],
    ) {
        our_client_and_their_server(&exchanges, step);
    }
}

#[test]
fn their_codes_have_our_names() {
    for number in 0..14 {
        assert_eq!(format!("{:?}", h2::Reason::from(number)), ErrorCode(number).to_string());
    }
}
