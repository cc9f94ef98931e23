//! The client's side of HTTP/1.1: the bytes of one connection in, events out. It reads leniently and says by name what is wrong;
//! what a client makes of that is its policy. Nothing of a body is stored.

use crate::message::{ResponseHead, Room};
use crate::{BodyDecoder, ChunkPart, Framing, Malformed, RequestContext, Strictness};

/// Fields of a response.
const MAX_FIELDS: usize = 128;
/// Where a status line may begin after bytes that belong to no response.
const SEARCHED: usize = 1024;

/// What has come of a response.
#[derive(Debug)]
pub enum ResponseEvent<'h, 'b> {
    /// An interim response; the final one follows.
    Interim(u16),
    /// The head of the final response.
    Head(ResponseHead<'h, 'b>),
    /// The next piece of content.
    Data(&'b [u8]),
    /// Lines of the trailer section, as they came.
    Trailers(&'b [u8]),
}

/// How far a response has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseProgress {
    /// More bytes must come, or the end of the connection.
    More,
    /// The response is whole.
    Whole,
    /// It is whole, and then came what belongs to no response.
    WholeAndMore(Malformed),
    /// It cannot be read on.
    Malformed(Malformed),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransportEnd {
    /// All that the other end sent has arrived: that ends a body without a length.
    InOrder,
    /// Something that was sent may be missing.
    Broken,
}

/// What the end of a connection makes of the response at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Not a byte of it had come.
    Before,
    /// It is whole: before, or by this end.
    Whole,
    /// The rest of it is missing.
    Truncated,
    /// What had come could not become a response.
    Malformed(Malformed),
}

/// Reads one response after another, of one connection.
#[derive(Clone, Debug)]
pub struct Receiver {
    stage: ResponseState,
    /// Bytes of a head that is not complete.
    head: Vec<u8>,
    asked: RequestContext,
    /// Bytes that a head may have, with the interim ones that come in the same piece.
    head_limit: usize,
    interim: bool,
    persistent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ResponseState {
    Head,
    Body(BodyDecoder),
    Whole {
        /// What a byte after it would be.
        surplus: Malformed,
    },
    Over(Malformed),
}

impl Receiver {
    /// Expects nothing yet. A head has `head_limit` bytes at most.
    pub fn new(head_limit: usize) -> Receiver {
        Receiver {
            stage: ResponseState::Head,
            head: Vec::new(),
            asked: RequestContext::Other,
            head_limit,
            interim: false,
            persistent: false,
        }
    }

    /// Expects the response to a request that asked so.
    pub fn begin(&mut self, asked: RequestContext) {
        self.stage = ResponseState::Head;
        self.head.clear();
        self.asked = asked;
        self.interim = false;
        self.persistent = false;
    }

    /// Whether the connection may carry another request: the response is whole, and both ends let it.
    pub fn is_reusable(&self) -> bool {
        self.persistent && matches!(self.stage, ResponseState::Whole { .. })
    }

    /// Bytes of a head that is not complete.
    pub fn unread(&self) -> &[u8] {
        &self.head
    }

    /// Takes the next bytes.
    pub fn receive(&mut self, input: &[u8], each: &mut impl FnMut(ResponseEvent)) -> ResponseProgress {
        let outcome = match self.stage {
            ResponseState::Head if self.head.is_empty() => self.read_heads(input, each),
            ResponseState::Head => {
                self.head.extend_from_slice(input);
                if !input.contains(&b'\n') && self.head.len() < self.head_limit {
                    return ResponseProgress::More;
                }
                let head = std::mem::take(&mut self.head);
                self.read_heads(&head, each)
            }
            ResponseState::Body(_) => self.read_body(input, each),
            ResponseState::Whole { surplus } if !input.is_empty() => Ok(self.end_with(surplus)),
            ResponseState::Whole { .. } => Ok(ResponseProgress::Whole),
            ResponseState::Over(why) => Err(why),
        };
        outcome.unwrap_or_else(|why| {
            self.stage = ResponseState::Over(why);
            ResponseProgress::Malformed(why)
        })
    }

    /// The connection has ended.
    pub fn end(&mut self, end: TransportEnd) -> Ended {
        match self.stage {
            ResponseState::Whole { .. } => Ended::Whole,
            ResponseState::Over(why) => Ended::Malformed(why),
            ResponseState::Head if self.head.is_empty() && !self.interim => Ended::Before,
            ResponseState::Head => match self.parse(&self.head, &mut Room::new()) {
                Ok(_) => Ended::Truncated,
                Err(why) => Ended::Malformed(why),
            },
            ResponseState::Body(body) if end == TransportEnd::InOrder && body.ends_with_the_connection() => {
                self.stage = ResponseState::Whole { surplus: Malformed::Surplus };
                Ended::Whole
            }
            ResponseState::Body(_) => Ended::Truncated,
        }
    }

    fn parse<'h, 'b>(
        &self,
        bytes: &'b [u8],
        room: &'h mut Room<'b, MAX_FIELDS>,
    ) -> Result<Option<ResponseHead<'h, 'b>>, Malformed> {
        ResponseHead::parse(bytes, room, self.head_limit, self.asked, Strictness::Lenient).map_err(|why| match why {
            Malformed::StatusLine | Malformed::Version | Malformed::FirstLineTooLong => no_status_line(bytes, why),
            why => why,
        })
    }

    fn read_heads(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(ResponseEvent),
    ) -> Result<ResponseProgress, Malformed> {
        loop {
            let mut room = Room::new();
            let Some(head) = self.parse(bytes, &mut room)? else {
                self.head = bytes.to_vec();
                return Ok(ResponseProgress::More);
            };
            let rest = &bytes[head.length..];
            if head.status == 101 {
                return Err(Malformed::UpgradeUnasked);
            }
            if head.is_interim() {
                self.interim = true;
                each(ResponseEvent::Interim(head.status));
                bytes = rest;
                if bytes.is_empty() {
                    return Ok(ResponseProgress::More);
                }
                continue;
            }
            self.persistent = head.persistent;
            let body = BodyDecoder::new(head.framing);
            let surplus = match (head.framing, self.asked) {
                (Framing::None, RequestContext::Head) => Malformed::BodyAfterHead,
                (Framing::None, _) if matches!(head.status, 204 | 304) => Malformed::BodyNotAllowed,
                _ => Malformed::Surplus,
            };
            each(ResponseEvent::Head(head));
            if body.is_done() {
                return Ok(self.whole(rest, surplus));
            }
            self.stage = ResponseState::Body(body);
            return self.read_body(rest, each);
        }
    }

    fn read_body(
        &mut self,
        mut input: &[u8],
        each: &mut impl FnMut(ResponseEvent),
    ) -> Result<ResponseProgress, Malformed> {
        let ResponseState::Body(body) = &mut self.stage else { return Ok(ResponseProgress::More) };
        while !input.is_empty() {
            let (part, rest) = body.part(input)?;
            input = rest;
            match part {
                ChunkPart::Data(data) => each(ResponseEvent::Data(data)),
                ChunkPart::Trailers(lines) => each(ResponseEvent::Trailers(lines)),
                ChunkPart::Nothing => {}
            }
            if body.is_done() {
                return Ok(self.whole(input, Malformed::Surplus));
            }
        }
        Ok(ResponseProgress::More)
    }

    fn whole(&mut self, rest: &[u8], surplus: Malformed) -> ResponseProgress {
        // Another response is not a body.
        let surplus = if rest.starts_with(b"HTTP/1.") { Malformed::Surplus } else { surplus };
        self.stage = ResponseState::Whole { surplus };
        if rest.is_empty() { ResponseProgress::Whole } else { self.end_with(surplus) }
    }

    fn end_with(&mut self, surplus: Malformed) -> ResponseProgress {
        self.persistent = false;
        ResponseProgress::WholeAndMore(surplus)
    }
}

/// Why bytes do not begin with a status line, where that can be told.
fn no_status_line(bytes: &[u8], otherwise: Malformed) -> Malformed {
    const BEGIN: &[u8] = b"HTTP/1.";
    const SETTINGS: u8 = 4;
    if let [_, _, _, SETTINGS, 0, 0, 0, 0, 0, ..] = bytes {
        return Malformed::Http2Unexpected;
    }
    let searched = &bytes[..bytes.len().min(SEARCHED)];
    let later = searched.windows(BEGIN.len()).skip(1).any(|window| window == BEGIN);
    match otherwise {
        _ if later => Malformed::BeforeStatusLine,
        Malformed::Version if !bytes.starts_with(b"HTTP/") => Malformed::StatusLine,
        otherwise => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 4096;

    /// Everything that the reader says, pieces of content put together.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    struct Log {
        interim: Vec<u16>,
        status: Option<u16>,
        fields: usize,
        content: Vec<u8>,
        trailers: Vec<u8>,
        progress: Option<ResponseProgress>,
        ended: Option<Ended>,
        reusable: bool,
    }

    fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, asked: RequestContext, end: Option<TransportEnd>) -> Log {
        let (mut receiver, mut log) = (Receiver::new(LIMIT), Log::default());
        receiver.begin(asked);
        for piece in pieces {
            let mut seen = std::mem::take(&mut log);
            let progress = receiver.receive(piece, &mut |event| match event {
                ResponseEvent::Interim(status) => seen.interim.push(status),
                ResponseEvent::Head(head) => (seen.status, seen.fields) = (Some(head.status), head.fields.len()),
                ResponseEvent::Data(data) => seen.content.extend_from_slice(data),
                ResponseEvent::Trailers(lines) => seen.trailers.extend_from_slice(lines),
            });
            log = Log { progress: Some(progress), ..seen };
            if !matches!(progress, ResponseProgress::More | ResponseProgress::Whole) {
                break;
            }
        }
        log.ended = end.map(|end| receiver.end(end));
        log.reusable = receiver.is_reusable();
        log
    }

    fn whole(text: &str, asked: RequestContext) -> Log {
        read([text.as_bytes()], asked, None)
    }

    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n";
    const CLOSING: &str = "HTTP/1.1 200 OK\r\n\r\nabc";

    #[test]
    fn a_response_is_whole_where_its_framing_says() {
        let log = whole(PAGE, RequestContext::Other);
        assert_eq!(
            (log.status, &log.content[..], log.progress),
            (Some(200), &b"abc"[..], Some(ResponseProgress::Whole))
        );
        assert!(log.reusable);
        let log = whole(CHUNKED, RequestContext::Other);
        assert_eq!((&log.content[..], &log.trailers[..]), (&b"abc"[..], &b"T: t\r\n"[..]));
        let log = whole(
            &format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n{PAGE}"),
            RequestContext::Other,
        );
        assert_eq!((&log.interim[..], log.progress), (&[100, 103][..], Some(ResponseProgress::Whole)));
        assert_eq!(whole(CLOSING, RequestContext::Other).progress, Some(ResponseProgress::More));
        for (end, ended) in [(TransportEnd::InOrder, Ended::Whole), (TransportEnd::Broken, Ended::Truncated)] {
            let log = read([CLOSING.as_bytes()], RequestContext::Other, Some(end));
            assert_eq!((log.ended, log.reusable), (Some(ended), false));
        }
    }

    #[test]
    fn what_comes_after_a_response_is_named() {
        let more = |text: String, asked| whole(&text, asked).progress;
        let surplus = |why| Some(ResponseProgress::WholeAndMore(why));
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        for (text, asked, why) in [
            (format!("{PAGE}surplus"), RequestContext::Other, Malformed::Surplus),
            (format!("{CHUNKED}x"), RequestContext::Other, Malformed::Surplus),
            (format!("{PAGE}{PAGE}"), RequestContext::Other, Malformed::Surplus),
            (format!("{head}abc"), RequestContext::Head, Malformed::BodyAfterHead),
            (format!("{head}{PAGE}"), RequestContext::Head, Malformed::Surplus),
            (
                "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
                RequestContext::Other,
                Malformed::BodyNotAllowed,
            ),
        ] {
            assert_eq!(more(text.clone(), asked), surplus(why), "{text}");
        }
        let log = read([PAGE.as_bytes(), b"later"], RequestContext::Other, None);
        assert_eq!((log.progress, log.reusable), (surplus(Malformed::Surplus), false));
        let before = whole(&format!("surplus{PAGE}"), RequestContext::Other).progress;
        assert_eq!(before, Some(ResponseProgress::Malformed(Malformed::BeforeStatusLine)));
    }

    #[test]
    fn what_is_no_response_has_a_name() {
        let frame = "\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0\u{64}\r\n\r\n";
        for (text, why) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", Malformed::StatusLine),
            ("HTTP/2.0 200 OK\r\n\r\n", Malformed::Version),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Malformed::UpgradeUnasked),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Malformed::LengthInvalid),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Malformed::ChunkSize),
            ("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}", Malformed::TlsUnexpected),
            (frame, Malformed::Http2Unexpected),
        ] {
            assert_eq!(whole(text, RequestContext::Other).progress, Some(ResponseProgress::Malformed(why)), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(LIMIT));
        assert_eq!(
            whole(&long, RequestContext::Other).progress,
            Some(ResponseProgress::Malformed(Malformed::HeadTooLarge))
        );
    }

    #[test]
    fn a_connection_that_ends_says_what_is_missing() {
        let ended = |text: &str| read([text.as_bytes()], RequestContext::Other, Some(TransportEnd::InOrder)).ended;
        assert_eq!(read([], RequestContext::Other, Some(TransportEnd::Broken)).ended, Some(Ended::Before));
        assert_eq!(ended("HTTP/1.1 100 Continue\r\n\r\n"), Some(Ended::Truncated));
        assert_eq!(ended("220 smtp"), Some(Ended::Malformed(Malformed::StatusLine)));
        for whole in [PAGE, CHUNKED] {
            for end in 1..whole.len() {
                assert_eq!(ended(&whole[..end]), Some(Ended::Truncated), "{end} of {whole}");
            }
        }
    }

    fn samples() -> Vec<(String, RequestContext)> {
        let other = [
            PAGE.to_owned(),
            CHUNKED.to_owned(),
            CLOSING.to_owned(),
            format!("HTTP/1.1 100 Continue\r\n\r\n{PAGE}"),
            format!("{PAGE}surplus"),
            format!("{PAGE}{PAGE}"),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh".to_owned(),
            "\u{1}nonsense".to_owned(),
            format!("junk\r\n{PAGE}"),
        ];
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_owned();
        other.into_iter().map(|text| (text, RequestContext::Other)).chain([(head, RequestContext::Head)]).collect()
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_a_response_comes(
            which in 0..samples().len(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            closes: Option<bool>,
        ) {
            let (text, asked) = &samples()[which];
            let end = closes.map(|closes| if closes { TransportEnd::InOrder } else { TransportEnd::Broken });
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).filter(|piece| !piece.is_empty());
            let (cut, one) = (read(pieces, *asked, end), read([bytes], *asked, end));
            // A piece may end a first line that is none before the rest shows what follows it.
            let junk = |progress| matches!(progress, Some(ResponseProgress::Malformed(_)));
            if junk(cut.progress) && junk(one.progress) && one.status.is_none() {
                return Ok(());
            }
            prop_assert_eq!(cut, one);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
            read(pieces.iter().map(Vec::as_slice), RequestContext::Other, Some(TransportEnd::InOrder));
        }
    }
}
