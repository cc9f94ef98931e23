//! What a report shows of responses apart from their counts: fields that differ, and what names itself on the way.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use crate::check::load::cookies::{NotKept, name_and_value};
use verdict::facts::responses::{Deviation, ObservedProcess, ReceivedResponses, ResponseWords};
use verdict::observation::Backend;
use verdict::{Instance, Moment};

/// The most values that are kept of each kind.
const MOST: usize = 8;
/// Processes of backends, also those that responses only claim to be of.
const MOST_PROCESSES: usize = 4096;
/// Requests of each kind that are named: the first ones.
const FIRST: usize = 3;
/// The same of what responses say: some come before those that are judged.
const FIRST_OF_WORDS: usize = 256;

/// The first responses of each kind, kept as evidence.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Samples {
    /// Values of Server, which no backend of ours writes.
    pub(crate) servers: Vec<String>,
    /// Values of Via in responses.
    pub(crate) vias: Vec<String>,
    /// Content codings of responses of ours: a compression on the way.
    pub(crate) codings: Vec<String>,
    /// Whole responses of ours with content, in such a coding and in none.
    pub(crate) coded: u64,
    pub(crate) plain: u64,
    /// Fields that are not what the backend wrote, each with how many responses have it so.
    pub(crate) deviations: Vec<Deviation>,
    /// Cookies that a browser would not have kept, each once.
    pub(crate) refused_cookies: Vec<String>,
    /// Clients for which a backend opened a session, where that is looked for.
    pub(crate) sessions: u64,
    /// Names of the cookies that responses set, where that is looked for and none of them is its cookie.
    pub(crate) other_cookies: Vec<String>,
    /// Requests before which a cookie of their client had expired, and the name of the first.
    pub(crate) lapsed: Vec<u32>,
    pub(crate) lapsed_cookie: Option<String>,
    /// Connections that opened when a SYN was sent again, by the whole seconds that they took.
    pub(crate) slow_openings: BTreeMap<u64, u64>,
    /// What responses of nobody's say beyond their status.
    pub(crate) words: Vec<ResponseWords>,
    /// Processes of backends that responded.
    pub(crate) processes: HashMap<Instance, ObservedProcess>,
}

impl Samples {
    /// Adds a value that was not seen before.
    pub(super) fn see(seen: &mut Vec<String>, value: &[u8]) {
        if seen.len() < MOST && !seen.iter().any(|it| it.as_bytes() == value) {
            let value = readable(value);
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
    }

    /// Notes the names of cookies among which a session's is not.
    pub(super) fn see_other_cookies(&mut self, set_cookies: &[String]) {
        for (name, _) in set_cookies.iter().filter_map(|line| name_and_value(line)) {
            Samples::see(&mut self.other_cookies, name.as_bytes());
        }
    }

    /// Counts a response of a backend of ours that has content.
    pub(super) fn see_content(&mut self, has_content: bool, is_coded: bool) {
        let count = if is_coded { &mut self.coded } else { &mut self.plain };
        *count += u64::from(has_content);
    }

    /// A cookie that a browser does not keep, or never sends back.
    pub(super) fn refuse_cookie(&mut self, value: &str, why: &NotKept) {
        let name = value.split(['=', ';']).next().unwrap_or_default().trim();
        Samples::see(&mut self.refused_cookies, format!("{name}: {why}").as_bytes());
    }

    /// A cookie of the client that sends this request has expired since its last one.
    pub(super) fn lapse(&mut self, sequence: u64, cookie: String) {
        self.lapsed.push(sequence as u32);
        self.lapsed_cookie.get_or_insert(cookie);
    }

    /// Notes a connection that has opened after that time.
    pub(super) fn see_opening(&mut self, took: Duration) {
        if let Some(seconds) = repeats(took) {
            *self.slow_openings.entry(seconds).or_default() += 1;
        }
    }

    /// Keeps what a response says that no backend has named itself in.
    pub(super) fn see_words(&mut self, status: u16, text: String, sequence: u64) {
        if let Some(known) = self.words.iter_mut().find(|it| it.status == status && it.text == text) {
            if known.first.len() < FIRST_OF_WORDS {
                known.first.push(sequence);
            }
        } else if self.words.len() < MOST {
            self.words.push(ResponseWords { status, text, first: vec![sequence] });
        }
    }

    /// Counts a response of a process.
    pub(super) fn see_process(&mut self, instance: Instance, backend: Backend, now: Moment) {
        if let Some(process) = self.processes.get_mut(&instance) {
            process.responses += 1;
            process.last = now;
        } else if self.processes.len() < MOST_PROCESSES {
            self.processes.insert(instance, ObservedProcess { instance, backend, responses: 1, first: now, last: now });
        }
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

    /// Counts a Date that is not what the backend wrote. It is another one each second: the first of those that came stands for all that
    /// came as often in a head.
    pub(super) fn deviate_in_date(&mut self, written: u32, received: &[&str], sequence: u64) {
        const DATE: &str = "Date";
        let alike = |it: &&Deviation| it.field == DATE && it.received.len() == received.len();
        match self.deviations.iter().find(alike).cloned() {
            Some(first) => {
                let received: Vec<&str> = first.received.iter().map(String::as_str).collect();
                self.deviate(DATE, first.written.as_deref(), &received, sequence);
            }
            None => {
                let written = UNIX_EPOCH + Duration::from_secs(u64::from(written));
                self.deviate(DATE, Some(&httpdate::fmt_http_date(written)), received, sequence);
            }
        }
    }

    /// What the rules look at: of this phase, and of an earlier one what does not depend on which requests are judged.
    pub(crate) fn received(self, earlier: &Samples) -> ReceivedResponses {
        let Samples {
            mut servers,
            mut vias,
            mut codings,
            coded,
            plain,
            mut refused_cookies,
            deviations,
            sessions,
            other_cookies,
            mut lapsed,
            lapsed_cookie,
            mut slow_openings,
            mut words,
            mut processes,
        } = self;
        lapsed.sort_unstable();
        for (seconds, connections) in &earlier.slow_openings {
            *slow_openings.entry(*seconds).or_default() += connections;
        }
        let also = |seen: &mut Vec<String>, before: &[String]| {
            before.iter().for_each(|value| Samples::see(seen, value.as_bytes()));
        };
        also(&mut servers, &earlier.servers);
        also(&mut vias, &earlier.vias);
        also(&mut codings, &earlier.codings);
        also(&mut refused_cookies, &earlier.refused_cookies);
        words.extend(earlier.words.iter().cloned());
        for before in earlier.processes.values() {
            let process = processes.entry(before.instance).or_insert(ObservedProcess { responses: 0, ..*before });
            process.responses += before.responses;
            (process.first, process.last) = (process.first.min(before.first), process.last.max(before.last));
        }
        let mut processes: Vec<ObservedProcess> = processes.into_values().collect();
        processes.sort_unstable_by_key(|process| (process.first, process.instance.0));
        ReceivedResponses {
            deviations,
            servers,
            vias,
            codings,
            coded,
            plain,
            refused_cookies,
            slow_openings,
            sessions,
            other_cookies,
            lapsed,
            lapsed_cookie,
            words,
            processes,
            connection_limit: None,
        }
    }
}

/// After how many seconds the kernel sent the SYN again that was answered: whole ones (RFC 6298 §2), and the way there and back.
fn repeats(took: Duration) -> Option<u64> {
    const WAY: Duration = Duration::from_millis(150);
    let seconds = took.as_secs();
    ((1..=63).contains(&seconds) && took - Duration::from_secs(seconds) < WAY).then_some(seconds)
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_takes_whole_seconds_to_open_had_its_syn_sent_again() {
        let mut samples = Samples::default();
        for milliseconds in [3, 998, 1004, 1040, 1400, 3010, 2_900] {
            samples.see_opening(Duration::from_millis(milliseconds));
        }
        let earlier = Samples { slow_openings: BTreeMap::from([(3, 1)]), ..Samples::default() };
        assert_eq!(samples.received(&earlier).slow_openings, BTreeMap::from([(1, 2), (3, 2)]));
    }
}
