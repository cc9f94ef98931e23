//! Whether a body is the page that a backend writes, or has a UUID in it, decided from its pieces.

use crate::wire::page;

/// Characters of a UUID with its hyphens.
pub(crate) const UUID_BYTES: usize = 36;

/// Of a headline: more than the name of a unix socket needs.
const LONGEST_HEADLINE: usize = 192;

/// What a response calls its backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named<T> {
    /// The generator number that the page shows.
    Number(u16),
    /// The name that the page shows in its place.
    Name(T),
}

impl<T> Named<T> {
    /// As a number is written: no zero before it, no sign.
    pub(crate) fn read_number(text: &[u8]) -> Option<Named<T>> {
        let digits = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
        str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok()).map(Named::Number)
    }
}

/// Compares a body with the page of a backend as it comes.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    part: PagePart,
    /// Bytes of the part that have come.
    seen: usize,
    colour: [u8; page::COLOUR_DIGITS],
    headline: [u8; LONGEST_HEADLINE],
    headline_bytes: u8,
    uuid: [u8; UUID_BYTES],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PagePart {
    Start,
    Colour,
    BeforeTitle,
    Title,
    BeforeHeadline,
    Headline,
    BeforeUuid,
    Uuid,
    End,
    Over,
    /// The body is another page.
    Lost,
}

impl Page {
    pub(crate) fn new() -> Page {
        Page {
            part: PagePart::Start,
            seen: 0,
            colour: [0; page::COLOUR_DIGITS],
            headline: [0; LONGEST_HEADLINE],
            headline_bytes: 0,
            uuid: [0; UUID_BYTES],
        }
    }

    pub(crate) fn feed(&mut self, mut input: &[u8]) {
        while !input.is_empty() && self.part != PagePart::Lost {
            let taken = match self.part {
                PagePart::Start => self.expect(page::START, PagePart::Colour, input),
                PagePart::Colour => self.take_colour(input),
                PagePart::BeforeTitle => self.expect(page::TITLE, PagePart::Title, input),
                PagePart::Title => {
                    let end = input.iter().position(|byte| *byte == b'<');
                    if end.is_some() {
                        self.part = PagePart::BeforeHeadline;
                    }
                    end.unwrap_or(input.len())
                }
                PagePart::BeforeHeadline => self.expect(page::HEADLINE, PagePart::Headline, input),
                PagePart::Headline => self.take_headline(input),
                PagePart::BeforeUuid => self.expect(page::UUID, PagePart::Uuid, input),
                PagePart::Uuid => {
                    let length = input.len().min(UUID_BYTES - self.seen);
                    self.uuid[self.seen..self.seen + length].copy_from_slice(&input[..length]);
                    self.seen += length;
                    if self.seen == UUID_BYTES {
                        self.enter(PagePart::End);
                    }
                    length
                }
                PagePart::End => self.expect(page::END, PagePart::Over, input),
                PagePart::Over | PagePart::Lost => {
                    self.part = PagePart::Lost;
                    0
                }
            };
            input = &input[taken..];
        }
    }

    /// Whose it is and its UUID, if all of the page has come and nothing else.
    pub(crate) fn whole(&self) -> Option<(Named<&str>, &[u8; UUID_BYTES])> {
        let uuid = self.part == PagePart::Over && self.uuid.iter().all(|byte| !byte.is_ascii_uppercase());
        let named = read_headline(&self.headline[..usize::from(self.headline_bytes)])?;
        (uuid && uuid::Uuid::try_parse_ascii(&self.uuid).is_ok()).then_some((named, &self.uuid))
    }

    fn enter(&mut self, part: PagePart) {
        self.part = part;
        self.seen = 0;
    }

    fn expect(&mut self, text: &str, next: PagePart, input: &[u8]) -> usize {
        let wanted = &text.as_bytes()[self.seen..];
        let length = wanted.len().min(input.len());
        if input[..length] != wanted[..length] {
            self.part = PagePart::Lost;
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
            self.enter(if known { PagePart::BeforeTitle } else { PagePart::Lost });
        }
        length
    }

    /// Up to the next tag.
    fn take_headline(&mut self, input: &[u8]) -> usize {
        let length = input.iter().position(|byte| *byte == b'<').unwrap_or(input.len());
        let (start, end) = (usize::from(self.headline_bytes), usize::from(self.headline_bytes) + length);
        match self.headline.get_mut(start..end) {
            Some(room) => {
                room.copy_from_slice(&input[..length]);
                self.headline_bytes = end as u8;
            }
            None => self.part = PagePart::Lost,
        }
        if length < input.len() && self.part == PagePart::Headline {
            let known = read_headline(&self.headline[..end]).is_some();
            self.enter(if known { PagePart::BeforeUuid } else { PagePart::Lost });
        }
        length
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}

fn read_headline(text: &[u8]) -> Option<Named<&str>> {
    let text = str::from_utf8(text).ok()?;
    match text.strip_prefix(page::GENERATOR) {
        Some(number) => Named::read_number(number.as_bytes()),
        None => text.strip_prefix(page::BACKEND).filter(|name| !name.is_empty()).map(Named::Name),
    }
}

/// Looks for a UUID in a body as it comes.
#[derive(Clone, Debug)]
pub(crate) struct UuidSearch {
    wanted: [u8; UUID_BYTES],
    /// The last bytes that have come, in which it may begin.
    tail: Vec<u8>,
    found: bool,
}

impl UuidSearch {
    pub(crate) fn new(wanted: [u8; UUID_BYTES]) -> UuidSearch {
        UuidSearch { wanted, tail: Vec::new(), found: false }
    }

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

    /// Whether the UUID has come.
    pub(crate) fn has_found(&self) -> bool {
        self.found
    }

    fn is_in(&self, text: &[u8]) -> bool {
        text.windows(UUID_BYTES).any(|window| window[0] == self.wanted[0] && *window == self.wanted)
    }
}
