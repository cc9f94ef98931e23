//! Decoded fields to heads: RFC 9113 §8.2 and §8.3. What HTTP/1 says in its first line stands in pseudo-fields before the others.

use httparse::Header;

use crate::framing::FramingFields;
use crate::h2::follows::Follows;
use crate::h2::hpack::Block;
use crate::message::{Field, Fields, RequestHead, ResponseHead};
use crate::{Framing, HttpVersion, Malformed, RequestTarget, is_host, is_token};

/// The head of a request whose fields are known to be ones.
#[derive(Clone, Copy, Debug)]
pub struct Request<'s> {
    block: &'s Block,
    pseudo: usize,
    method: &'s str,
    target: &'s str,
    form: RequestTarget<'s>,
    host: Option<&'s [u8]>,
    framing: Framing,
    expects_continue: bool,
}

/// The head of a response whose fields are known to be ones.
#[derive(Clone, Copy, Debug)]
pub struct KnownResponse<'s> {
    block: &'s Block,
    pseudo: usize,
    /// The status code, of three digits.
    pub status: u16,
    framing: Framing,
}

/// The fields after a body.
#[derive(Clone, Copy, Debug)]
pub struct Trailers<'s>(&'s Block);

/// Field lines, in the shape that heads borrow.
#[derive(Debug)]
pub struct FieldLines<'s>(Vec<Header<'s>>);

impl<'s> FieldLines<'s> {
    fn of(block: &'s Block, pseudo: usize) -> FieldLines<'s> {
        FieldLines(block.iter().skip(pseudo).map(|(name, value)| Header { name: text(name), value }).collect())
    }
}

impl<'s> Request<'s> {
    /// The fields without the pseudo-fields, in order and as received.
    pub fn lines(&self) -> FieldLines<'s> {
        FieldLines::of(self.block, self.pseudo)
    }

    /// The head as HTTP/1 has it too. A body without Content-Length is [`Framing::Stream`].
    pub fn head<'h>(&self, lines: &'h FieldLines<'s>) -> RequestHead<'h, 's> {
        RequestHead {
            method: self.method,
            target: self.target,
            form: self.form,
            version: HttpVersion::Http2,
            fields: Fields(&lines.0),
            host: self.host,
            framing: self.framing,
            persistent: true,
            expects_continue: self.expects_continue,
            length: 0,
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }
}

impl<'s> KnownResponse<'s> {
    /// The fields without the pseudo-field, in order and as received.
    pub fn lines(&self) -> FieldLines<'s> {
        FieldLines::of(self.block, self.pseudo)
    }

    /// The head as HTTP/1 has it too.
    pub fn head<'h>(&self, lines: &'h FieldLines<'s>) -> ResponseHead<'h, 's> {
        ResponseHead {
            status: self.status,
            version: HttpVersion::Http2,
            fields: Fields(&lines.0),
            framing: self.framing,
            persistent: true,
            length: 0,
            bytes: &[],
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }
}

impl<'s> Trailers<'s> {
    pub(super) fn of(block: &'s Block) -> Result<Trailers<'s>, Malformed> {
        block.iter().try_for_each(|(name, value)| check_field(name, value))?;
        Ok(Trailers(block))
    }

    /// One after the other, as received.
    pub fn iter(self) -> impl Iterator<Item = Field<'s>> + use<'s> {
        self.0.iter().map(|(name, value)| Field { name: text(name), value })
    }
}

/// What a request has instead of a request line.
#[derive(Default)]
struct PseudoFields<'s> {
    method: Option<&'s [u8]>,
    scheme: Option<&'s [u8]>,
    path: Option<&'s [u8]>,
    authority: Option<&'s [u8]>,
    count: usize,
}

impl<'s> PseudoFields<'s> {
    fn read(block: &'s Block) -> Result<Self, Malformed> {
        let mut pseudo = PseudoFields::default();
        for (name, value) in block.iter() {
            let place = match name {
                b":method" => &mut pseudo.method,
                b":scheme" => &mut pseudo.scheme,
                b":path" => &mut pseudo.path,
                b":authority" => &mut pseudo.authority,
                [b':', ..] => return Err(Malformed::PseudoField),
                _ => break,
            };
            if place.replace(value).is_some() {
                return Err(Malformed::PseudoField);
            }
            pseudo.count += 1;
        }
        Ok(pseudo)
    }

    /// The method, and what it is about: RFC 9113 §8.3.1, and §8.5 for CONNECT.
    fn target(&self) -> Result<(&'s str, &'s str), Malformed> {
        let method = self.method.filter(|it| is_token(it)).map(text).ok_or(Malformed::PseudoField)?;
        if self.authority.is_some_and(|it| !is_host(it)) {
            return Err(Malformed::HostInvalid);
        }
        let target = match (method, self.scheme, self.path) {
            ("CONNECT", None, None) => self.authority,
            ("CONNECT", ..) | (_, None, _) => return Err(Malformed::PseudoField),
            (_, Some(_), path) => path,
        };
        let target = target.filter(|it| !it.is_empty()).ok_or(Malformed::PseudoField)?;
        if !target.iter().all(u8::is_ascii_graphic) {
            return Err(Malformed::Target);
        }
        Ok((method, text(target)))
    }
}

/// Reads a request's head.
pub(super) fn request(block: &Block, follows: Follows) -> Result<Request<'_>, Malformed> {
    if block.is_too_large() {
        return Err(Malformed::HeadTooLarge);
    }
    let pseudo = PseudoFields::read(block)?;
    let authority = pseudo.authority;
    let mut fields = FramingFields::default();
    let mut expects_continue = false;
    let mut host = None;
    for (name, value) in block.iter().skip(pseudo.count) {
        check_field(name, value)?;
        match name {
            b"host" => {
                if !is_host(value) {
                    return Err(Malformed::HostInvalid);
                }
                // RFC 9113 §8.3.1: a Host field that names another than `:authority` does.
                if host.replace(value).is_some() || authority.is_some_and(|authority| authority != value) {
                    return Err(Malformed::HostTwice);
                }
            }
            b"content-length" => fields.content_length(value)?,
            b"expect" => expects_continue = follows == Follows::More && value.eq_ignore_ascii_case(b"100-continue"),
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => return Err(Malformed::ConnectionField),
            _ => {}
        }
    }
    let (method, target) = pseudo.target()?;
    let form = RequestTarget::parse(method, target)?;
    if let RequestTarget::Absolute { .. } = form {
        return Err(Malformed::Target);
    }
    let host = authority.or(host).filter(|it| !it.is_empty());
    if host.is_none() {
        return Err(Malformed::HostMissing);
    }
    let framing = framing(fields, follows)?;
    Ok(Request { block, pseudo: pseudo.count, method, target, form, host, framing, expects_continue })
}

/// Reads a response's head.
pub(super) fn response(block: &Block, follows: Follows, to_head: bool) -> Result<KnownResponse<'_>, Malformed> {
    if block.is_too_large() {
        return Err(Malformed::HeadTooLarge);
    }
    let status = match block.iter().next() {
        Some((b":status", [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'])) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        Some((b":status", _)) => return Err(Malformed::StatusLine),
        Some(_) | None => return Err(Malformed::PseudoField),
    };
    let mut fields = FramingFields::default();
    for (name, value) in block.iter().skip(1) {
        check_field(name, value)?;
        if name == b"content-length" {
            fields.content_length(value)?;
        }
    }
    // RFC 9110 §8.6: their Content-Length is that of a response that has content.
    let framing = if to_head || status == 304 {
        if follows == Follows::Nothing { Framing::None } else { Framing::Length(0) }
    } else {
        framing(fields, follows)?
    };
    Ok(KnownResponse { block, pseudo: 1, status, framing })
}

fn framing(fields: FramingFields, follows: Follows) -> Result<Framing, Malformed> {
    match (fields.stated_length(), follows) {
        (None | Some(0), Follows::Nothing) => Ok(Framing::None),
        (Some(_), Follows::Nothing) => Err(Malformed::LengthMismatch),
        (Some(length), Follows::More) => Ok(Framing::Length(length)),
        (None, Follows::More) => Ok(Framing::Stream),
    }
}

/// RFC 9113 §8.2.1 and §8.2.2.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    if !is_token(name) {
        return Err(if name.starts_with(b":") { Malformed::PseudoField } else { Malformed::FieldName });
    }
    if name.iter().fold(false, |is, byte| is | byte.is_ascii_uppercase()) {
        return Err(Malformed::FieldUpperCase);
    }
    // Of each byte but white space at an end. All are looked at, so that the compiler looks at many at once.
    let is_padded = matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if is_padded || value.iter().fold(false, |is, byte| is | matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(Malformed::FieldValue);
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(Malformed::ConnectionField)
        }
        _ => Ok(()),
    }
}

/// Of bytes that are known to be ASCII.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}
