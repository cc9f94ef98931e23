//! What all connections of a backend share.

use std::time::{Duration, UNIX_EPOCH};

use http::h2::Block;

use crate::backend::content::PageText;
use crate::backend::fault::Faults;
use crate::backend::health::Health;
use crate::backend::response::{DATE, ResponseBody, Stamp, UsualHead};
use crate::backend::show::Show;
use crate::io::tls_server::Acceptor;
use crate::journal::Writer;
use crate::wire::{
    BackendIdentity, BadCertificate, Calendar, ConnectionLimits, Fault, Generator, Handshakes, Moment, Protocols, page,
};
use verdict::response::ContentKind;

pub(crate) struct ProcessState {
    pub(crate) identity: BackendIdentity,
    /// What its records are marked with.
    pub(crate) generator: Generator,
    pub(crate) journal: Writer,
    pub(crate) health: Health,
    pub(super) faults: Faults,
    pub(crate) show: Show,
    /// What all pages of the backend have in common.
    pub(super) page: PageText,
    /// Whether connections may begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    pub(crate) protocols: Protocols,
    /// None if connections are not TLS.
    pub(crate) tls: Option<Acceptor>,
    pub(crate) handshakes: Handshakes,
    /// Whether responses announce the end of their connections.
    pub(crate) draining: bool,
    pub(crate) limits: ConnectionLimits,
    pub(super) calendar: Calendar,
    pub(super) date: Date,
    /// Of responses with status 200, which are nearly all.
    pub(super) usual_heads: [UsualHead; ContentKind::ALL.len()],
    /// Where heads of HTTP/2 are decoded: one at a time.
    pub(super) block: Block,
    /// A body that has been encoded, to be filled again.
    spare: Vec<u8>,
}

/// Larger bodies are not kept to be filled again.
const SPARE_BYTES: usize = 64 * 1024;

impl ProcessState {
    /// `place`: among the backends of its fleet.
    pub(crate) fn new(
        identity: BackendIdentity,
        generator: Generator,
        place: u16,
        journal: Writer,
        limits: ConnectionLimits,
        calendar: Calendar,
    ) -> ProcessState {
        let page = PageText::new(page::colour(place), &identity);
        let usual_heads = ContentKind::ALL.map(|content| UsualHead::new(content, &identity));
        ProcessState {
            identity,
            generator,
            journal,
            health: Health::default(),
            faults: Faults::default(),
            show: Show::default(),
            page,
            proxy_protocol: false,
            protocols: Protocols::default(),
            tls: None,
            handshakes: Handshakes::default(),
            draining: false,
            limits,
            calendar,
            date: Date { second: u64::MAX, text: String::new() },
            usual_heads,
            block: Block::new(),
            spare: Vec::new(),
        }
    }

    /// Misbehaves in these ways and no others any more.
    pub(crate) fn misbehave(&mut self, faults: Vec<Fault>) {
        self.faults.set(faults);
        self.health.unhealthy = self.faults.are_unhealthy();
        if let Some(tls) = &mut self.tls {
            // The supervisor asks only for certificates that it has given, and has looked at.
            let _ = tls.serve(self.faults.certificate());
        }
    }

    /// What is wrong with the certificate that new connections get.
    pub(super) fn bad_certificate(&self) -> Option<BadCertificate> {
        self.tls.as_ref().and_then(Acceptor::bad)
    }

    /// What a head says in addition to the response itself.
    pub(super) fn stamp(&mut self, now: Moment) -> Stamp<'_> {
        let (date, second) = self.date.at(self.calendar.unix(now));
        Stamp { date, second, identity: &self.identity, usual_heads: &self.usual_heads, persistent: !self.draining }
    }

    /// An empty buffer for a body.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    /// Takes back the buffer of a body.
    pub(super) fn recycle_body(&mut self, body: ResponseBody) {
        match body {
            ResponseBody::Bytes(bytes) => self.recycle(bytes),
            ResponseBody::Pattern(_)
            | ResponseBody::Paced { .. }
            | ResponseBody::Messages { .. }
            | ResponseBody::Socket { .. } => {}
        }
    }

    /// Takes back a buffer.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.spare = buffer;
        }
    }
}

/// The line of the Date field, rewritten once a second.
pub(super) struct Date {
    second: u64,
    text: String,
}

impl Date {
    /// The line, and its second.
    pub(super) fn at(&mut self, unix: u64) -> (&str, u32) {
        let second = unix / 1_000_000_000;
        if self.second != second {
            self.second = second;
            self.text = format!("{DATE}{}\r\n", httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)));
        }
        (&self.text, second as u32)
    }
}
