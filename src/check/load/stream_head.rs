//! What the heads of streams tell: of backends, of the balancer, and whether fields came as they were written.

use http::{Field, Fields};
use verdict::life::StreamKind;
use verdict::response::{ContentKind, HeadChange, ReceivedHead, WrittenHead};

use crate::check::load::Samples;
use crate::check::load::identify::{BackendNames, Identify};
use crate::check::load::stream_load::StreamLoad;
use crate::wire::{GENERATOR_HEADER, INSTANCE_HEADER, Moment, NAME_HEADER, REQUEST_HEADER, RESPONSE_HEADER};

/// What heads tell of backends and of the balancer, for all streams.
pub(super) struct Learned<'a> {
    pub(super) load: &'a StreamLoad,
    pub(super) backends: &'a mut BackendNames,
    pub(super) samples: &'a mut Samples,
    pub(super) now: Moment,
}

impl Learned<'_> {
    pub(super) fn see_head(&mut self, fields: Fields, who: &mut Identify) {
        for Field { name, value } in fields.iter() {
            match name.len() {
                3 if name.eq_ignore_ascii_case("via") => Samples::see(&mut self.samples.vias, value),
                6 if name.eq_ignore_ascii_case("server") => Samples::see(&mut self.samples.servers, value),
                11 if name.eq_ignore_ascii_case(RESPONSE_HEADER) => who.see_response(value),
                12 if name.eq_ignore_ascii_case(NAME_HEADER) => who.see_backend_name(value),
                16 if name.eq_ignore_ascii_case(GENERATOR_HEADER) => who.see_generator(value),
                16 if name.eq_ignore_ascii_case(INSTANCE_HEADER) => who.see_instance(value),
                16 if name.eq_ignore_ascii_case(REQUEST_HEADER) => who.see_echo(value),
                _ => {}
            }
        }
        who.end_head(&self.load.identity, self.backends);
    }

    /// Counts the fields of a stream that are not as its backend wrote them; whether there are any. A stream has no digest of its head: what
    /// backends write with each kind is known.
    pub(super) fn compare(&mut self, fields: Fields, sequence: u64) -> bool {
        let content = match self.load.kind {
            StreamKind::Events => ContentKind::Events,
            StreamKind::Chunks | StreamKind::Download | StreamKind::Websocket => ContentKind::Line,
        };
        let mut received = ReceivedHead::default();
        fields.iter().for_each(|Field { name, value }| received.see(name, value));
        let mut changes = received.changes_of(200, WrittenHead { status: 200, content });
        // Whoever may compress says that the response depends on more than it did.
        changes.retain(|change| *change != HeadChange::Added { name: "Vary" });
        for change in &changes {
            self.deviate(*change, fields, sequence);
        }
        !changes.is_empty()
    }

    fn deviate(&mut self, change: HeadChange, fields: Fields, sequence: u64) {
        let (name, written) = match change {
            HeadChange::Status { .. } => return,
            HeadChange::Lost { name, written } | HeadChange::Changed { name, written } => (name, Some(written)),
            HeadChange::Doubled { name } | HeadChange::Added { name } => (name, None),
        };
        let named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let values: Vec<String> = named.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        // A field that came twice came once as it was written.
        let is_doubled = matches!(change, HeadChange::Doubled { .. });
        let written = if is_doubled { values.first().copied() } else { written };
        self.samples.deviate(name, written, &values, sequence);
    }
}
