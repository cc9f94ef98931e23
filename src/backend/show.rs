//! Requests as they were received, for those who look at the live view: some of them, so that looking costs next to nothing,
//! and none while nobody looks.

use std::time::Duration;

use http::RequestHead;

use crate::wire::{Moment, ReceivedRequest, RequestId, ResponseId};

/// Requests shown at once, of a backend on which nothing was shown for a while.
const BURST: u32 = 20;
/// After a burst, one request is shown in that time.
const EVERY: Duration = Duration::from_millis(200);
/// The longest name, value or path that is shown, in bytes.
const LONGEST: usize = 200;
/// Headers of a request.
const MOST: usize = 40;

/// What is shown of a backend's requests.
#[derive(Default)]
pub(crate) struct Show {
    watched: bool,
    left: u32,
    /// When the count of what is left was last right.
    counted: Moment,
    shown: Vec<ReceivedRequest>,
}

impl Show {
    /// Somebody looks from now on, or nobody.
    pub(crate) fn watch(&mut self, watched: bool) {
        (self.watched, self.left) = (watched, BURST);
    }

    /// Whether the next request is shown.
    pub(crate) fn wants(&mut self, now: Moment) -> bool {
        if !self.watched {
            return false;
        }
        let earned = now.since(self.counted).as_nanos() / EVERY.as_nanos();
        if earned > 0 {
            self.left = BURST.min(self.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)));
            self.counted = now;
        }
        self.left > 0
    }

    /// Shows a request, and the status of its response.
    pub(super) fn add(
        &mut self,
        head: &RequestHead,
        request: Option<RequestId>,
        peer: String,
        answer: ResponseId,
        status: u16,
        now: Moment,
    ) {
        self.left = self.left.saturating_sub(1);
        let headers = head.fields.iter().take(MOST);
        self.shown.push(ReceivedRequest {
            received: now,
            response: answer,
            request,
            peer,
            method: clipped(head.method.as_bytes()),
            path: clipped(head.target.as_bytes()),
            status,
            headers: headers.map(|field| (clipped(field.name.as_bytes()), clipped(field.value))).collect(),
        });
    }

    /// What was shown since it was last asked.
    pub(crate) fn take(&mut self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut self.shown)
    }
}

fn clipped(text: &[u8]) -> String {
    if text.len() > LONGEST {
        format!("{}…", String::from_utf8_lossy(&text[..LONGEST]))
    } else {
        String::from_utf8_lossy(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Room, Strictness};

    fn shown(show: &mut Show, requests: usize, now: Moment) -> usize {
        let mut room = Room::<100>::new();
        let text = b"GET /a HTTP/1.1\r\nHost: x\r\nX-B: <b>\r\n\r\n";
        let head = RequestHead::parse(text, &mut room, 1000, Strictness::Strict).unwrap().unwrap();
        for _ in 0..requests {
            if show.wants(now) {
                show.add(&head, None, "127.0.0.1:1".to_owned(), ResponseId(uuid::Uuid::nil()), 200, now);
            }
        }
        show.take().len()
    }

    #[test]
    fn a_burst_and_then_a_trickle_are_shown_and_nothing_to_nobody() {
        let mut show = Show::default();
        let at = |milliseconds: u64| Moment(milliseconds * 1_000_000);
        assert_eq!(shown(&mut show, 9, at(1000)), 0);
        show.watch(true);
        assert_eq!(shown(&mut show, 30, at(2000)), 20);
        assert_eq!(shown(&mut show, 30, at(2100)), 0);
        assert_eq!(shown(&mut show, 30, at(2400)), 2);
        assert_eq!(shown(&mut show, 300, at(60_000)), 20);
        show.watch(false);
        assert_eq!(shown(&mut show, 9, at(90_000)), 0);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(clipped(b"ab\xff"), "ab\u{fffd}");
        assert_eq!(clipped(&[b'a'; 300]).chars().count(), LONGEST + 1);
    }
}
