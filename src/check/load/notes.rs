//! PURE. What a run notes for people beside its observations: examples of what was unusual, and who stood in between.

use verdict::observation::ClientOutcome;

/// At most so many of each.
const MOST: usize = 8;
const BODY_BYTES: usize = 300;
const HEAD_BYTES: usize = 4096;

/// What was noted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notes {
    /// The first answer of each unusual kind.
    pub samples: Vec<Sample>,
    /// Names of cookies that were set.
    pub cookies: Vec<String>,
    /// Values of Server.
    pub servers: Vec<String>,
    /// Values of Via.
    pub vias: Vec<String>,
}

/// An unusual answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Its status code; 0 if its head could not be read.
    pub status: u16,
    /// Whether it had the id that backends give their answers.
    pub identified: bool,
    /// What came of it.
    pub sight: ClientOutcome,
    /// Status line and headers.
    pub head: String,
    /// The first 300 bytes.
    pub body: String,
    /// The same, as they come.
    bytes: Vec<u8>,
}

impl Sample {
    /// Of an answer whose head has come.
    pub fn new(status: u16, identified: bool, head: &[u8]) -> Sample {
        Sample {
            status,
            identified,
            sight: ClientOutcome::TimedOut,
            head: readable(&head[..head.len().min(HEAD_BYTES)]),
            body: String::new(),
            bytes: Vec::new(),
        }
    }

    /// Of the body.
    pub fn add(&mut self, data: &[u8]) {
        let room = BODY_BYTES - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
    }

    fn ended(mut self, sight: ClientOutcome) -> Sample {
        self.sight = sight;
        self.body = readable(&std::mem::take(&mut self.bytes));
        self
    }
}

impl Notes {
    /// Whether an example of that kind is missing.
    pub fn wants(&self, status: u16, identified: bool) -> bool {
        self.samples.len() < MOST && !self.samples.iter().any(|it| (it.status, it.identified) == (status, identified))
    }

    /// Keeps it, if it is the first of its kind.
    pub fn keep(&mut self, sample: Sample, sight: ClientOutcome) {
        if self.wants(sample.status, sample.identified) {
            self.samples.push(sample.ended(sight));
        }
    }

    /// Keeps an answer that was not thought unusual before its end.
    pub fn keep_bytes(&mut self, status: u16, sight: ClientOutcome, bytes: &[u8]) {
        if self.samples.len() < MOST && !self.samples.iter().any(|it| it.sight == sight) {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4);
            let (head, body) = bytes.split_at(end);
            let mut sample = Sample::new(status, true, head);
            sample.add(body);
            self.samples.push(sample.ended(sight));
        }
    }

    /// Adds a value that was not seen before.
    pub fn see(seen: &mut Vec<String>, value: &[u8]) {
        if seen.len() < MOST && !seen.iter().any(|it| it.as_bytes() == value) {
            let value = readable(value);
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
