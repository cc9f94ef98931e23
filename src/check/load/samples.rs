//! PURE. What a report shows of responses beside their counts: examples of what is unusual, and who stands in between.

use verdict::observation::{ClientOutcome, Flaw};

/// At most that many of each.
const MOST: usize = 8;
const BODY_BYTES: usize = 300;
const HEAD_BYTES: usize = 4096;
/// First requests that are named.
const FIRST: usize = 3;

/// What was kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Samples {
    /// The first response of each unusual kind.
    pub unusual: Vec<Sample>,
    /// Values of Server in responses that no backend of ours gave.
    pub servers: Vec<String>,
    /// Values of Via in responses.
    pub vias: Vec<String>,
    /// Content codings of responses of ours: a compression on the way.
    pub codings: Vec<String>,
    /// Fields that are not what the backend wrote, each with how many responses have it so.
    pub deviations: Vec<Deviation>,
    /// Cookies that a browser would not have kept, each once.
    pub refused_cookies: Vec<String>,
}

/// A response that is not a usual one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Its status code; 0 if its head could not be read.
    pub status: u16,
    /// Whether it had the id that backends give their responses.
    pub identified: bool,
    /// What came of it.
    pub outcome: ClientOutcome,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
    /// Status line and headers.
    pub head: String,
    /// The first 300 bytes.
    pub body: String,
}

/// A field that is not what the backend wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// Its name.
    pub field: String,
    /// Its value as the backend writes it; empty where it writes none.
    pub written: String,
    /// Its values as they came, separated by ` | `; empty where it did not come.
    pub received: String,
    /// Responses.
    pub count: u64,
    /// Sequence numbers of the first of them.
    pub first: Vec<u64>,
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

    /// Counts a field that is not what the backend wrote.
    pub(super) fn deviate(&mut self, field: &str, written: &str, received: &str, sequence: u64) {
        let alike = |it: &&mut Deviation| it.field == field && it.written == written && it.received == received;
        if let Some(known) = self.deviations.iter_mut().find(alike) {
            known.count += 1;
            if known.first.len() < FIRST {
                known.first.push(sequence);
            }
        } else if self.deviations.len() < 2 * MOST {
            self.deviations.push(Deviation {
                field: field.to_owned(),
                written: written.to_owned(),
                received: received.to_owned(),
                count: 1,
                first: vec![sequence],
            });
        }
    }

    /// Those of another phase of the same check.
    pub fn merge(&mut self, other: Samples) {
        for sample in other.unusual {
            if self.wants(sample.status, sample.identified) || self.wants_flaw(sample.flaw) {
                self.unusual.push(sample);
            }
        }
        let lists = [
            (&mut self.servers, other.servers),
            (&mut self.vias, other.vias),
            (&mut self.codings, other.codings),
            (&mut self.refused_cookies, other.refused_cookies),
        ];
        for (mine, others) in lists {
            others.iter().for_each(|value| Samples::see(mine, value.as_bytes()));
        }
        for other in other.deviations {
            match self
                .deviations
                .iter_mut()
                .find(|it| (&it.field, &it.written, &it.received) == (&other.field, &other.written, &other.received))
            {
                Some(known) => {
                    known.count += other.count;
                    known.first.extend(other.first);
                    known.first.sort_unstable();
                    known.first.truncate(FIRST);
                }
                None => self.deviations.push(other),
            }
        }
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
