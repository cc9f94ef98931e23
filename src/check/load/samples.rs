//! PURE. What a report shows of responses beside their counts: examples of what is unusual, and who stands in between.

use crate::check::load::cookies::NotKept;
use verdict::facts::responses::{Deviation, Received};
use verdict::observation::{ClientOutcome, Flaw};

/// At most that many of each.
const MOST: usize = 8;
const BODY_BYTES: usize = 300;
const HEAD_BYTES: usize = 4096;
/// First requests that are named.
const FIRST: usize = 3;

/// What was kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Samples {
    /// The first response of each unusual kind.
    pub(crate) unusual: Vec<Sample>,
    /// Values of Server in responses that no backend of ours gave.
    pub(crate) servers: Vec<String>,
    /// Values of Via in responses.
    pub(crate) vias: Vec<String>,
    /// Content codings of responses of ours: a compression on the way.
    pub(crate) codings: Vec<String>,
    /// Fields that are not what the backend wrote, each with how many responses have it so.
    pub(crate) deviations: Vec<Deviation>,
    /// Cookies that a browser would not have kept, each once.
    pub(crate) refused_cookies: Vec<String>,
}

/// A response that is not a usual one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    /// Its status code; 0 if its head could not be read.
    pub(crate) status: u16,
    /// Whether it had the id that backends give their responses.
    pub(crate) identified: bool,
    /// What came of it.
    pub(crate) outcome: ClientOutcome,
    /// What is wrong with it.
    pub(crate) flaw: Option<Flaw>,
    /// Status line and headers.
    pub(crate) head: String,
    /// The first 300 bytes.
    pub(crate) body: String,
}

/// A sample of a response that is still coming.
#[derive(Debug)]
pub(super) struct Draft {
    status: u16,
    identified: bool,
    head: String,
    body: Vec<u8>,
}

impl Draft {
    pub(super) fn new(status: u16, identified: bool, head: &[u8]) -> Draft {
        Draft { status, identified, head: readable(&head[..head.len().min(HEAD_BYTES)]), body: Vec::new() }
    }

    /// Of the body.
    pub(super) fn add(&mut self, data: &[u8]) {
        let room = BODY_BYTES - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
    }
}

impl Samples {
    /// Whether an example of that kind is missing.
    pub(super) fn wants(&self, status: u16, identified: bool) -> bool {
        self.unusual.len() < MOST && !self.unusual.iter().any(|it| (it.status, it.identified) == (status, identified))
    }

    /// Keeps it, if it is the first of its kind.
    pub(super) fn keep(&mut self, draft: Draft, outcome: ClientOutcome, flaw: Option<Flaw>) {
        if self.wants(draft.status, draft.identified) || self.wants_flaw(flaw) {
            let Draft { status, identified, head, body } = draft;
            self.unusual.push(Sample { status, identified, outcome, flaw, head, body: readable(&body) });
        }
    }

    /// Whether an example of that flaw is missing.
    pub(super) fn wants_flaw(&self, flaw: Option<Flaw>) -> bool {
        flaw.is_some() && self.unusual.len() < 2 * MOST && !self.unusual.iter().any(|it| it.flaw == flaw)
    }

    /// Adds a value that was not seen before.
    pub(super) fn see(seen: &mut Vec<String>, value: &[u8]) {
        if seen.len() < MOST && !seen.iter().any(|it| it.as_bytes() == value) {
            let value = readable(value);
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }

    /// A cookie that a browser does not keep, or never sends back.
    pub(super) fn refuse_cookie(&mut self, value: &str, why: &NotKept) {
        let name = value.split(['=', ';']).next().unwrap_or_default().trim();
        Samples::see(&mut self.refused_cookies, format!("{name}: {why}").as_bytes());
    }

    /// Counts a field that is not what the backend wrote.
    pub(super) fn deviate(&mut self, field: &str, written: Option<&str>, received: &[&str], sequence: u64) {
        let alike = |it: &&mut Deviation| {
            it.field == field && it.written.as_deref() == written && it.received.iter().eq(received.iter())
        };
        if let Some(known) = self.deviations.iter_mut().find(alike) {
            known.count += 1;
            if known.first.len() < FIRST {
                known.first.push(sequence);
            }
        } else if self.deviations.len() < 2 * MOST {
            self.deviations.push(Deviation {
                field: field.to_owned(),
                written: written.map(str::to_owned),
                received: received.iter().map(|value| (*value).to_owned()).collect(),
                count: 1,
                first: vec![sequence],
            });
        }
    }

    /// What the rules look at: of this phase, and of an earlier one what does not depend on which requests are judged.
    pub(crate) fn received(self, earlier: &Samples) -> Received {
        let Samples { mut codings, mut refused_cookies, deviations, .. } = self;
        earlier.codings.iter().for_each(|value| Samples::see(&mut codings, value.as_bytes()));
        earlier.refused_cookies.iter().for_each(|value| Samples::see(&mut refused_cookies, value.as_bytes()));
        Received { deviations, codings, refused_cookies }
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
