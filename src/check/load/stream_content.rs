//! What comes over a stream: events and messages, compared with their numbers.

use http::{EventReader, NotAnEvent};
use uuid::Uuid;

use crate::wire::Moment;
use verdict::life::{SentMessage, StreamEvent};
use verdict::streams::Sequence;

/// Of an event, and of a message.
pub(super) const CONTENT_LIMIT: usize = 1 << 20;
/// Events of a stream whose times are kept.
const TIMES: usize = 50_000;

/// What reads the body of a stream.
pub(super) enum StreamReader {
    Events(Box<EventReader>),
    /// What has come of a line.
    Lines(Vec<u8>),
}

/// What has come and been sent.
pub(super) struct Content {
    pub(super) events: Sequence,
    pub(super) times: Vec<(Moment, Moment)>,
    pub(super) foreign: u32,
    pub(super) sent: u32,
    pub(super) echoes: Sequence,
    pub(super) last_came: Moment,
    pub(super) close_sent: Option<u16>,
    pub(super) close_received: Option<u16>,
    pub(super) resumed_after: Option<u32>,
}

impl Content {
    pub(super) fn new(resumed_after: Option<u32>, now: Moment) -> Content {
        Content {
            events: Sequence::after(resumed_after.unwrap_or(0)),
            times: Vec::new(),
            foreign: 0,
            sent: 0,
            echoes: Sequence::after(0),
            last_came: now,
            close_sent: None,
            close_received: None,
            resumed_after,
        }
    }

    /// An event or a message has come whole.
    pub(super) fn see(&mut self, content: &[u8], response: Uuid, now: Moment) {
        match (StreamEvent::read(content), SentMessage::read(content)) {
            (Some(event), _) if event.response == response => {
                self.events.see(event.number);
                if self.times.len() < TIMES {
                    self.times.push((event.written, now));
                }
            }
            // Nobody else's, for a number that was sent.
            (None, Some(sent)) if sent.number <= self.sent => self.echoes.see(sent.number),
            _ => self.foreign = self.foreign.saturating_add(1),
        }
    }
}

impl StreamReader {
    pub(super) fn see(
        &mut self,
        mut input: &[u8],
        content: &mut Content,
        response: Uuid,
        now: Moment,
    ) -> Result<(), NotAnEvent> {
        match self {
            StreamReader::Events(reader) => {
                while let Some(event) = reader.receive(&mut input)? {
                    // By its id a browser resumes the stream.
                    let is_numbered = |it: StreamEvent| event.id.parse() == Ok(it.number);
                    if !StreamEvent::read(event.data.as_bytes()).is_none_or(is_numbered) {
                        content.foreign = content.foreign.saturating_add(1);
                    }
                    content.see(event.data.as_bytes(), response, now);
                }
            }
            StreamReader::Lines(line) => {
                while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
                    line.extend_from_slice(&input[..end]);
                    content.see(line, response, now);
                    line.clear();
                    input = &input[end + 1..];
                }
                line.extend_from_slice(input);
                if line.len() > CONTENT_LIMIT {
                    return Err(NotAnEvent);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_of_this_response_is_foreign() {
        let mut content = Content::new(Some(4), Moment(0));
        let own = Uuid::from_u128(1);
        let event = |number, response| {
            let mut line = Vec::new();
            StreamEvent { number, written: Moment(9), response }.write(&mut line, 0);
            line.push(b'\n');
            line
        };
        let mut lines = StreamReader::Lines(Vec::new());
        let text = [event(5, own), event(6, Uuid::from_u128(2)), b"text\n".to_vec(), event(6, own)].concat();
        for byte in &text {
            lines.see(&[*byte], &mut content, own, Moment(10)).unwrap();
        }
        assert_eq!((content.events.distinct, content.events.last, content.events.lost()), (2, 6, 0));
        assert_eq!((content.foreign, &content.times[..]), (2, &[(Moment(9), Moment(10)); 2][..]));
    }

    #[test]
    fn an_event_that_lost_its_id_is_not_the_one_that_was_written() {
        let mut content = Content::new(None, Moment(0));
        let mut events = StreamReader::Events(Box::new(EventReader::new(CONTENT_LIMIT)));
        for (number, id) in [(1, "id: 1\n"), (2, "id: 3\n"), (3, "id: 3\n"), (4, "")] {
            let mut data = Vec::new();
            StreamEvent { number, written: Moment(9), response: Uuid::nil() }.write(&mut data, 0);
            let event = format!("{id}data: {}\n\n", String::from_utf8(data).unwrap());
            events.see(event.as_bytes(), &mut content, Uuid::nil(), Moment(10)).unwrap();
        }
        assert_eq!((content.events.distinct, content.foreign), (4, 2));
    }

    #[test]
    fn an_echo_of_what_was_never_sent_is_foreign() {
        let mut content = Content::new(None, Moment(0));
        content.sent = 1;
        for number in [1, 2] {
            let mut message = Vec::new();
            SentMessage { number, sent: Moment(0) }.write(&mut message, 0);
            content.see(&message, Uuid::nil(), Moment(1));
        }
        assert_eq!((content.echoes.distinct, content.foreign), (1, 1));
    }
}
