//! PURE. Whether a body is the page that a backend writes, or has a UUID in it, told from its pieces.

use crate::wire::page;

/// Characters of a UUID with its hyphens.
pub(crate) const UUID_BYTES: usize = 36;

/// Compares a body with the page of a backend as it comes.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    part: Part,
    /// Bytes of the part that have come.
    seen: usize,
    colour: [u8; page::COLOUR_DIGITS],
    number: u32,
    uuid: [u8; UUID_BYTES],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Start,
    Colour,
    BeforeTitle,
    Title,
    BeforeNumber,
    Number,
    BeforeUuid,
    Uuid,
    End,
    Over,
    /// It is not that page.
    Lost,
}

impl Page {
    /// Nothing has come.
    pub(crate) fn new() -> Page {
        Page { part: Part::Start, seen: 0, colour: [0; page::COLOUR_DIGITS], number: 0, uuid: [0; UUID_BYTES] }
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, mut input: &[u8]) {
        while !input.is_empty() && self.part != Part::Lost {
            let taken = match self.part {
                Part::Start => self.expect(page::START, Part::Colour, input),
                Part::Colour => self.take_colour(input),
                Part::BeforeTitle => self.expect(page::TITLE, Part::Title, input),
                Part::Title => {
                    let end = input.iter().position(|byte| *byte == b'<');
                    if end.is_some() {
                        self.part = Part::BeforeNumber;
                    }
                    end.unwrap_or(input.len())
                }
                Part::BeforeNumber => self.expect(page::NUMBER, Part::Number, input),
                Part::Number => self.take_number(input),
                Part::BeforeUuid => self.expect(page::UUID, Part::Uuid, input),
                Part::Uuid => {
                    let length = input.len().min(UUID_BYTES - self.seen);
                    self.uuid[self.seen..self.seen + length].copy_from_slice(&input[..length]);
                    self.seen += length;
                    if self.seen == UUID_BYTES {
                        self.enter(Part::End);
                    }
                    length
                }
                Part::End => self.expect(page::END, Part::Over, input),
                Part::Over | Part::Lost => {
                    self.part = Part::Lost;
                    0
                }
            };
            input = &input[taken..];
        }
    }

    /// Its number and its UUID, if all of the page has come and nothing else.
    pub(crate) fn whole(&self) -> Option<(u16, &[u8; UUID_BYTES])> {
        let uuid = self.part == Part::Over && self.uuid.iter().all(|byte| !byte.is_ascii_uppercase());
        let number = u16::try_from(self.number).ok()?;
        (uuid && uuid::Uuid::try_parse_ascii(&self.uuid).is_ok()).then_some((number, &self.uuid))
    }

    fn enter(&mut self, part: Part) {
        self.part = part;
        self.seen = 0;
    }

    fn expect(&mut self, text: &str, next: Part, input: &[u8]) -> usize {
        let wanted = &text.as_bytes()[self.seen..];
        let length = wanted.len().min(input.len());
        if input[..length] != wanted[..length] {
            self.part = Part::Lost;
        } else if length == wanted.len() {
            self.enter(next);
        } else {
            self.seen += length;
        }
        length
    }

    /// One of those that backends have.
    fn take_colour(&mut self, input: &[u8]) -> usize {
        let length = input.len().min(page::COLOUR_DIGITS - self.seen);
        self.colour[self.seen..self.seen + length].copy_from_slice(&input[..length]);
        self.seen += length;
        if self.seen == page::COLOUR_DIGITS {
            let known = page::COLOURS.iter().any(|colour| colour.as_bytes() == self.colour);
            self.enter(if known { Part::BeforeTitle } else { Part::Lost });
        }
        length
    }

    /// As a number is written: no zero before it.
    fn take_number(&mut self, input: &[u8]) -> usize {
        const LONGEST: usize = 5;
        let digits = input.iter().take(LONGEST + 1).take_while(|byte| byte.is_ascii_digit()).count();
        for digit in &input[..digits] {
            if self.seen == LONGEST || self.seen > 0 && self.number == 0 {
                self.part = Part::Lost;
                return digits;
            }
            self.number = self.number * 10 + u32::from(digit - b'0');
            self.seen += 1;
        }
        if digits < input.len() {
            match self.seen {
                0 => self.part = Part::Lost,
                _ => self.enter(Part::BeforeUuid),
            }
        }
        digits
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}

/// Looks for a UUID in a body as it comes.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    wanted: [u8; UUID_BYTES],
    /// The last bytes that have come, in which it may begin.
    tail: Vec<u8>,
    found: bool,
}

impl Search {
    /// For that text.
    pub(crate) fn new(wanted: [u8; UUID_BYTES]) -> Search {
        Search { wanted, tail: Vec::new(), found: false }
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, input: &[u8]) {
        if self.found {
            return;
        }
        const OVERLAP: usize = UUID_BYTES - 1;
        self.tail.extend_from_slice(&input[..input.len().min(OVERLAP)]);
        self.found = self.is_in(&self.tail) || self.is_in(input);
        if input.len() > OVERLAP {
            self.tail.clear();
            self.tail.extend_from_slice(&input[input.len() - OVERLAP..]);
        } else if let Some(excess) = self.tail.len().checked_sub(OVERLAP) {
            self.tail.drain(..excess);
        }
    }

    /// Whether it has come.
    pub(crate) fn has_found(&self) -> bool {
        self.found
    }

    fn is_in(&self, text: &[u8]) -> bool {
        text.windows(UUID_BYTES).any(|window| window[0] == self.wanted[0] && *window == self.wanted)
    }
}
