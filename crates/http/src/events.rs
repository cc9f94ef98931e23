//! Server-sent events: the `text/event-stream` format of the HTML standard (section 9.2.6), read as it comes.

/// One event, as it is dispatched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerSentEvent<'a> {
    /// What it is called; empty without a name.
    pub name: &'a str,
    /// The lines of its data, joined.
    pub data: &'a str,
    /// The last id that the stream has given; empty without one.
    pub id: &'a str,
}

/// A line or an event beyond the reader's limit, or bytes that are no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnEvent;

/// Puts events together from bytes as they come.
#[derive(Debug)]
pub struct EventReader {
    limit: usize,
    line: Vec<u8>,
    name: String,
    data: String,
    id: String,
    /// Lines of data that the event at hand has.
    has_data: bool,
    /// The line before ended with a carriage return: a line feed belongs to it.
    after_return: bool,
    begun: bool,
    is_dispatched: bool,
}

impl EventReader {
    /// Lines and events have at most `limit` bytes.
    pub fn new(limit: usize) -> EventReader {
        EventReader {
            limit,
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            id: String::new(),
            has_data: false,
            after_return: false,
            begun: false,
            is_dispatched: false,
        }
    }

    /// Whether an event has begun and not ended: at the end of a stream it is thrown away.
    pub fn is_midway(&self) -> bool {
        !self.line.is_empty() || (self.has_data && !self.is_dispatched)
    }

    /// Takes the next event from `input` and moves it on; `None` if more must come.
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<Option<ServerSentEvent<'_>>, NotAnEvent> {
        if std::mem::take(&mut self.is_dispatched) {
            self.name.clear();
            self.data.clear();
            self.has_data = false;
        }
        loop {
            if self.after_return
                && let Some((first, rest)) = input.split_first()
            {
                self.after_return = false;
                *input = if *first == b'\n' { rest } else { *input };
            }
            let Some(end) = input.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.take(input)?;
                *input = &[];
                return Ok(None);
            };
            self.take(&input[..end])?;
            self.after_return = input[end] == b'\r';
            *input = &input[end + 1..];
            if self.end_line()? {
                self.is_dispatched = true;
                return Ok(Some(ServerSentEvent { name: &self.name, data: &self.data, id: &self.id }));
            }
        }
    }

    fn take(&mut self, part: &[u8]) -> Result<(), NotAnEvent> {
        if self.line.len() + part.len() > self.limit {
            return Err(NotAnEvent);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Whether the line dispatches an event.
    fn end_line(&mut self) -> Result<bool, NotAnEvent> {
        let mut line = std::mem::take(&mut self.line);
        let dispatches = self.read_line(&line);
        line.clear();
        self.line = line;
        dispatches
    }

    fn read_line(&mut self, line: &[u8]) -> Result<bool, NotAnEvent> {
        let mut text = str::from_utf8(line).map_err(|_| NotAnEvent)?;
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            if !self.has_data {
                self.name.clear();
            }
            return Ok(self.has_data);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" if self.data.len() + value.len() >= self.limit => return Err(NotAnEvent),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // A comment, another field, or one that nobody knows.
            _ => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, NotAnEvent> {
        let mut reader = EventReader::new(1000);
        let mut events = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(event) = reader.receive(&mut input)? {
                events.push((event.data.to_owned(), event.id.to_owned()));
            }
            assert!(input.is_empty());
        }
        Ok(events)
    }

    fn event(data: &str, id: &str) -> (String, String) {
        (data.to_owned(), id.to_owned())
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}: a comment\n\ndata: one\nid: 1\n\ndata\ndata\n\nevent: x\n\ndata:two\r\ndata:  three\r\n\r\nid\ndata: four\r\rdata: no end";
        let expected = [event("one", "1"), event("\n", "1"), event("two\n three", "1"), event("four", "")];
        assert_eq!(read(&[text.as_bytes()]).unwrap(), expected);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_no_event() {
        assert_eq!(read(&[&[b'a'; 1001]]), Err(NotAnEvent));
        assert_eq!(read(&[b"data: \xff\n"]), Err(NotAnEvent));
        let lines = format!("data: {}\n", "x".repeat(600)).repeat(2);
        assert_eq!(read(&[lines.as_bytes()]), Err(NotAnEvent));
    }

    #[test]
    fn an_event_that_has_begun_is_known_to_be_incomplete() {
        let mut reader = EventReader::new(100);
        let mut input = &b"data: a\n\ndata: b\n"[..];
        assert!(reader.receive(&mut input).unwrap().is_some());
        assert!(!reader.is_midway());
        assert_eq!(reader.receive(&mut input), Ok(None));
        assert!(reader.is_midway());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_arrive(text in "(data: [a-c]{0,3}|id:[0-9]|:x|)(\r\n|\n|\r){1,2}", repeat in 1..6usize, piece in 1..9usize) {
            let text = text.repeat(repeat);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
            prop_assert_eq!(read(&pieces), read(&[text.as_bytes()]));
        }
    }
}
