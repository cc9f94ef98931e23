//! One connection of a client, and what becomes of its requests.

use std::cell::{Cell, RefCell};
use std::io::Result as Io;
use std::net::IpAddr;
use std::rc::Rc;

use http::BodyDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::planted::behaviour::{Defect, PlantedAlgorithm};
use crate::planted::choice::Worker;
use crate::planted::link::{PlantedInFlight, PlantedLink};
use crate::planted::message::{NoRequest, Parsed, PlantedRequest, PlantedResponse};
use crate::planted::proxy::{Asking, ChosenBackend, ForwardOutcome, InFlightId, PlantedProxy};

pub(super) struct PlantedConnection<'a> {
    pub(super) proxy: &'a Rc<PlantedProxy>,
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) worker: Rc<RefCell<Worker>>,
    /// It waits for another request than its first.
    pub(super) idle: Rc<Cell<bool>>,
    /// A whole request has come and is not answered yet.
    pub(super) asking: Rc<Cell<Option<InFlightId>>>,
    /// The number of those before it, when it was accepted.
    pub(super) reloads: u64,
    /// The backend of this connection with [`PlantedAlgorithm::PerConnection`].
    pub(super) tied: Option<PlantedInFlight>,
    /// What it is tied to.
    pub(super) link: Option<PlantedLink>,
    /// It has had a response.
    pub(super) is_kept: bool,
    pub(super) unread: Vec<u8>,
}

impl PlantedConnection<'_> {
    pub(super) async fn listen(&mut self) -> Io<()> {
        while self.stream.read(&mut [0; 4096]).await? > 0 {}
        Ok(())
    }

    pub(super) async fn talk(&mut self) -> Io<()> {
        const LENGTH: usize = 10 << 30;
        let Some(request) = self.request().await? else { return Ok(()) };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {LENGTH}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        if request.is_head {
            return Ok(());
        }
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..LENGTH / piece.len() {
            self.stream.write_all(&piece).await?;
        }
        Ok(())
    }

    pub(super) async fn serve(&mut self) -> Io<()> {
        if matches!(self.proxy.behaviour.algorithm, PlantedAlgorithm::PerConnection) && !self.tie().await {
            return Ok(());
        }
        while let Some(request) = self.request().await? {
            self.asking.set(Some(request.id));
            let outcome = self.outcome(&request).await;
            self.asking.set(None);
            let retired = self.reloads != self.proxy.reloads.get();
            let cut = matches!(outcome, ForwardOutcome::Cut(_));
            let mut answer = match outcome {
                ForwardOutcome::Answered(answer) | ForwardOutcome::Cut(answer) => answer,
                ForwardOutcome::Dropped => return Ok(()),
            };
            let is_tied = self.tied.is_some();
            let keeps = request.keeps && !retired && !answer.is_unframed && (!is_tied || answer.keeps);
            match (keeps, request.is_old) {
                (true, false) => {}
                (true, true) => answer.add("Connection: keep-alive\r\n"),
                (false, _) => answer.add("Connection: close\r\n"),
            }
            if cut {
                let half = answer.head + (answer.bytes.len() - answer.head) / 2;
                return self.stream.write_all(&answer.bytes[..half]).await;
            }
            self.stream.write_all(&answer.bytes).await?;
            if let Some(mut link) = answer.link.take() {
                while !answer.is_complete() {
                    answer.bytes.clear();
                    match self.proxy.read(&mut link.stream, &mut answer.bytes).await {
                        Ok(0) | Err(_) => return Ok(()),
                        Ok(_) => answer.take(0),
                    }
                    self.stream.write_all(&answer.bytes).await?;
                }
                answer.link = Some(link).filter(|_| answer.keeps);
                if is_tied { self.link = answer.link } else { self.proxy.release(&mut answer) }
            }
            if !keeps || is_tied && self.link.is_none() {
                return Ok(());
            }
            self.unread.drain(..request.length);
            self.is_kept = true;
        }
        Ok(())
    }

    /// The next whole request; none if the client has closed.
    pub(super) async fn request(&mut self) -> Io<Option<PlantedRequest>> {
        let mut continues = false;
        loop {
            match PlantedRequest::parse(&self.unread, self.peer, &self.proxy.behaviour) {
                Ok(Parsed::Whole(request)) => return Ok(Some(request)),
                Ok(Parsed::Waits) if !continues => {
                    continues = true;
                    self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                Ok(Parsed::Waits | Parsed::Part) => {}
                Err(NoRequest) => {
                    let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    self.stream.write_all(refusal).await?;
                    return Ok(None);
                }
            }
            self.idle.set(self.is_kept && self.unread.is_empty());
            self.unread.reserve(8 * 1024);
            let read = self.stream.read_buf(&mut self.unread).await;
            self.idle.set(false);
            if read? == 0 {
                return Ok(None);
            }
        }
    }

    /// To a backend that accepts; false if none does.
    pub(super) async fn tie(&mut self) -> bool {
        let nothing = PlantedRequest::default();
        let mut tried = 0;
        while let Some(ChosenBackend { place, .. }) = self.proxy.choose(&self.worker, &nothing, tried) {
            tried |= 1 << place;
            let in_flight = PlantedInFlight::begin(&self.worker, place);
            if let Ok(link) = self.proxy.link(place, self.proxy.backends[place]).await {
                (self.tied, self.link) = (Some(in_flight), Some(link));
                return true;
            }
            self.proxy.failed(&self.worker, place);
        }
        false
    }

    pub(super) async fn outcome(&mut self, request: &PlantedRequest) -> ForwardOutcome {
        let proxy = self.proxy;
        let bytes = request.rewritten.as_deref().unwrap_or(&self.unread[..request.length]);
        match proxy.behaviour.defect {
            Defect::OwnErrorEvery(n) if proxy.is_due(n) => {
                proxy.note(request);
                return ForwardOutcome::Answered(PlantedResponse::error("502 Bad Gateway", request));
            }
            Defect::CachedEvery(n) if request.is_get => match &*proxy.earlier.borrow() {
                None => proxy.postpone(),
                Some(earlier) if proxy.is_due(n) => {
                    proxy.note(request);
                    return ForwardOutcome::Answered(earlier.copy());
                }
                Some(_) => {}
            },
            Defect::Mirror(port) => proxy.mirror(port, request, bytes),
            _ => {}
        }
        let asking = Asking::begin(proxy);
        let (place, answer) = match (&self.tied, self.link.take()) {
            (None, _) => proxy.forward(&self.worker, request, bytes).await,
            (Some(_), None) => return ForwardOutcome::Dropped,
            (Some(tied), Some(link)) => {
                let Ok(mut answer) = proxy.exchange(link, request, bytes).await else { return ForwardOutcome::Dropped };
                self.link = answer.link.take_if(|_| matches!(answer.body, BodyDecoder::Done));
                (Some(tied.place), answer)
            }
        };
        match place {
            Some(place) => proxy.spoil(place, asking, request, bytes, answer).await,
            None => ForwardOutcome::Answered(answer),
        }
    }
}
