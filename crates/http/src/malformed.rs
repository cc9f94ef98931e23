//! Why bytes are no message, by name: a report can print it, a server can choose its status by it.

use std::fmt;

/// Why bytes are not a message as RFC 9112 or RFC 9113 writes it, or could be read in two ways.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Malformed {
    /// The first line of a request is none (§3).
    RequestLine,
    /// The first line of a response is none (§4).
    StatusLine,
    /// A version other than HTTP/1.x (§2.3).
    Version,
    /// A field's name is no token, or a space stands before its colon (§5.1).
    FieldName,
    /// A field's value holds a control character, or goes on in the next line (§5.5 of RFC 9110, §5.2).
    FieldValue,
    /// A line ends with a carriage return alone (§2.2).
    LineEnd,
    /// More fields than the reader has room for.
    TooManyFields,
    /// The head is longer than the reader's limit.
    HeadTooLarge,
    /// The first line alone is longer than the reader's limit.
    FirstLineTooLong,
    /// A target in none of the forms that its method allows (§3.2).
    Target,
    /// A target with a fragment (§3.2).
    Fragment,
    /// HTTP/1.1 without a Host field (§3.2).
    HostMissing,
    /// More than one Host field (§3.2).
    HostTwice,
    /// A Host field that is no host and port (§3.2).
    HostInvalid,
    /// Content-Length is no number, or one with a sign (§6.3).
    LengthInvalid,
    /// Two Content-Lengths that differ (§6.3).
    LengthsDiffer,
    /// Content-Length beside Transfer-Encoding (§6.1).
    LengthAndEncoding,
    /// A transfer coding other than chunked (§6.1).
    EncodingUnknown,
    /// A request whose last transfer coding is not chunked (§6.3).
    EncodingNotLast,
    /// The chunked coding twice (§6.1).
    EncodingTwice,
    /// Transfer-Encoding in HTTP/1.0 (§6.1).
    EncodingInHttp10,
    /// A chunk's size is no hexadecimal number of at most 16 digits (§7.1).
    ChunkSize,
    /// Something other than an extension after a chunk's size (§7.1).
    ChunkSizeJunk,
    /// A chunk's extension with a control character, or longer than 1 KiB (§7.1.1).
    ChunkExtension,
    /// A chunk that goes on after its size, or ends before (§7.1).
    ChunkEnd,
    /// A line of the chunked framing or of its trailers that ends with a bare line feed (§7.1).
    BareLineFeed,
    /// A line of the trailer section that is no field (§7.1.2).
    Trailer,
    /// NUL or another control character in the trailer section (§5.5 of RFC 9110).
    TrailerControl,
    /// A trailer section longer than 16 KiB.
    TrailersTooLong,
    /// A PROXY header of version 1 that is none.
    ProxyLine,
    /// A PROXY header of version 1 that does not end within 107 bytes.
    ProxyLineTooLong,
    /// A binary PROXY header of a version other than 2.
    ProxyVersion,
    /// A binary PROXY header with a command other than LOCAL and PROXY.
    ProxyCommand,
    /// A binary PROXY header with an unknown family or transport.
    ProxyFamily,
    /// A binary PROXY header that is too short for its addresses.
    ProxyTooShort,
    /// A binary PROXY header beyond 2,048 bytes.
    ProxyTooLong,
    /// A PROXY header where a request was expected.
    ProxyUnexpected,
    /// The first bytes of a TLS handshake where HTTP in clear was expected.
    TlsUnexpected,
    /// A frame of HTTP/2 where HTTP/1 is spoken.
    Http2Unexpected,
    /// Bytes before a status line, which belong to no response (§2.2).
    BeforeStatusLine,
    /// Bytes after the end of a response, to which no request belongs (§9.2).
    Surplus,
    /// A body in the response to HEAD (RFC 9110 §9.3.2).
    BodyAfterHead,
    /// A body after a status that has none (§6.3).
    BodyNotAllowed,
    /// 101 without a request to upgrade (RFC 9110 §15.2.2).
    UpgradeUnasked,
    /// 304 to a request without a condition (RFC 9110 §15.4.5).
    NotModifiedUnasked,
    /// Something other than the connection preface of HTTP/2 (RFC 9113 §3.4).
    Http2Preface,
    /// A first frame other than SETTINGS (RFC 9113 §3.4).
    SettingsMissing,
    /// A frame longer than was allowed, or of a length that its type cannot have (RFC 9113 §4.2).
    FrameSize,
    /// Padding as long as its frame, or longer (RFC 9113 §6.1).
    FramePadding,
    /// A frame on stream 0 that belongs to a request, or the other way round, or on a number that the sender may not choose (RFC 9113 §5.1.1).
    FrameStream,
    /// A frame that may not come in this state (RFC 9113 §5.1).
    FrameUnexpected,
    /// A frame on a stream that its sender has ended (RFC 9113 §5.1).
    StreamClosed,
    /// Another frame between HEADERS and its CONTINUATION (RFC 9113 §4.3).
    BlockInterrupted,
    /// CONTINUATION frames without end, or beyond the limit of a head (RFC 9113 §10.5.1).
    BlockTooLong,
    /// A header block that HPACK does not allow (RFC 7541).
    HeaderCompression,
    /// A setting with a value that it may not have (RFC 9113 §6.5.2).
    Setting,
    /// More data than the flow-control window allowed (RFC 9113 §6.9).
    WindowExceeded,
    /// A WINDOW_UPDATE of 0, or one that makes a window larger than 2^31-1 (RFC 9113 §6.9.1).
    WindowIncrement,
    /// Requests that were cancelled faster than the limit allows (CVE-2023-44487).
    ResetFlood,
    /// PUSH_PROMISE where it is not allowed (RFC 9113 §8.4).
    PushUnasked,
    /// A pseudo-field that is missing, unknown, twice there, empty or out of its place (RFC 9113 §8.3).
    PseudoField,
    /// A field name with an upper-case letter in HTTP/2 (RFC 9113 §8.2.1).
    FieldUpperCase,
    /// A field of HTTP/1 connections in HTTP/2 (RFC 9113 §8.2.2).
    ConnectionField,
    /// Content of another length than Content-Length says (RFC 9113 §8.1.1).
    LengthMismatch,
}

impl Malformed {
    /// Every reason, in the order of this enum.
    pub const ALL: [Malformed; 64] = {
        use Malformed::*;
        [
            RequestLine,
            StatusLine,
            Version,
            FieldName,
            FieldValue,
            LineEnd,
            TooManyFields,
            HeadTooLarge,
            FirstLineTooLong,
            Target,
            Fragment,
            HostMissing,
            HostTwice,
            HostInvalid,
            LengthInvalid,
            LengthsDiffer,
            LengthAndEncoding,
            EncodingUnknown,
            EncodingNotLast,
            EncodingTwice,
            EncodingInHttp10,
            ChunkSize,
            ChunkSizeJunk,
            ChunkExtension,
            ChunkEnd,
            BareLineFeed,
            Trailer,
            TrailerControl,
            TrailersTooLong,
            ProxyLine,
            ProxyLineTooLong,
            ProxyVersion,
            ProxyCommand,
            ProxyFamily,
            ProxyTooShort,
            ProxyTooLong,
            ProxyUnexpected,
            TlsUnexpected,
            Http2Unexpected,
            BeforeStatusLine,
            Surplus,
            BodyAfterHead,
            BodyNotAllowed,
            UpgradeUnasked,
            NotModifiedUnasked,
            Http2Preface,
            SettingsMissing,
            FrameSize,
            FramePadding,
            FrameStream,
            FrameUnexpected,
            StreamClosed,
            BlockInterrupted,
            BlockTooLong,
            HeaderCompression,
            Setting,
            WindowExceeded,
            WindowIncrement,
            ResetFlood,
            PushUnasked,
            PseudoField,
            FieldUpperCase,
            ConnectionField,
            LengthMismatch,
        ]
    };

    /// A sentence's middle: "the response has …", "refused: …".
    pub fn as_str(self) -> &'static str {
        match self {
            Malformed::RequestLine => "no request line as HTTP/1.1 writes it (RFC 9112 section 3)",
            Malformed::StatusLine => "no status line as HTTP/1.1 writes it (RFC 9112 section 4)",
            Malformed::Version => "a version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 section 2.3)",
            Malformed::FieldName => "a field name that is no token (RFC 9112 section 5.1)",
            Malformed::FieldValue => "a field value with a control character or a folded line (RFC 9112 section 5)",
            Malformed::LineEnd => "a line that ends with a bare carriage return (RFC 9112 section 2.2)",
            Malformed::TooManyFields => "more header fields than the limit",
            Malformed::HeadTooLarge => "a head larger than the limit",
            Malformed::FirstLineTooLong => "a first line longer than the limit",
            Malformed::Target => "a target in none of the forms that its method allows (RFC 9112 section 3.2)",
            Malformed::Fragment => "a target with a fragment (RFC 9112 section 3.2)",
            Malformed::HostMissing => "no Host field (RFC 9112 section 3.2)",
            Malformed::HostTwice => "more than one Host field (RFC 9112 section 3.2)",
            Malformed::HostInvalid => "a Host field that is no host and port (RFC 9112 section 3.2)",
            Malformed::LengthInvalid => "a Content-Length that is no number (RFC 9112 section 6.3)",
            Malformed::LengthsDiffer => "two different Content-Lengths (RFC 9112 section 6.3)",
            Malformed::LengthAndEncoding => "both Content-Length and Transfer-Encoding (RFC 9112 section 6.1)",
            Malformed::EncodingUnknown => "a transfer coding other than chunked (RFC 9112 section 6.1)",
            Malformed::EncodingNotLast => "a last transfer coding that is not chunked (RFC 9112 section 6.3)",
            Malformed::EncodingTwice => "the chunked coding twice (RFC 9112 section 6.1)",
            Malformed::EncodingInHttp10 => "Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)",
            Malformed::ChunkSize => "a chunk size that is no hexadecimal number (RFC 9112 section 7.1)",
            Malformed::ChunkSizeJunk => "something after a chunk size that is no extension (RFC 9112 section 7.1)",
            Malformed::ChunkExtension => "a chunk extension that is too long or no text (RFC 9112 section 7.1.1)",
            Malformed::ChunkEnd => "a chunk that does not end where its size says (RFC 9112 section 7.1)",
            Malformed::BareLineFeed => "a bare line feed in the chunked framing (RFC 9112 section 7.1)",
            Malformed::Trailer => "a trailer line that is no field (RFC 9112 section 7.1.2)",
            Malformed::TrailerControl => "a control character in a trailer (RFC 9110 section 5.5)",
            Malformed::TrailersTooLong => "a trailer section larger than the limit",
            Malformed::ProxyLine => {
                "no PROXY header as version 1 writes it: PROXY TCP4|TCP6|UNKNOWN, two addresses, two ports"
            }
            Malformed::ProxyLineTooLong => "a PROXY header of version 1 that does not end after 107 bytes",
            Malformed::ProxyVersion => "a binary PROXY header of a version other than 2",
            Malformed::ProxyCommand => "a PROXY header of version 2 with a command other than LOCAL and PROXY",
            Malformed::ProxyFamily => "a PROXY header of version 2 with an unknown address family or transport",
            Malformed::ProxyTooShort => "a PROXY header of version 2 that is too short for its addresses",
            Malformed::ProxyTooLong => "a PROXY header of version 2 larger than 2048 bytes",
            Malformed::ProxyUnexpected => {
                "a PROXY header: it comes first on a connection, and only where --proxy-protocol is set"
            }
            Malformed::TlsUnexpected => "a TLS handshake where plain HTTP is spoken",
            Malformed::Http2Unexpected => "a frame of HTTP/2 where HTTP/1.1 is spoken",
            Malformed::BeforeStatusLine => {
                "bytes before the status line that belong to no response (RFC 9112 section 2.2)"
            }
            Malformed::Surplus => "bytes after the end of the response (RFC 9112 section 9.2)",
            Malformed::BodyAfterHead => "a body in the response to HEAD (RFC 9110 section 9.3.2)",
            Malformed::BodyNotAllowed => "a body after a status that has none (RFC 9112 section 6.3)",
            Malformed::UpgradeUnasked => "101 without a request to upgrade (RFC 9110 section 15.2.2)",
            Malformed::NotModifiedUnasked => "304 to a request without a condition (RFC 9110 section 15.4.5)",
            Malformed::Http2Preface => "no connection preface of HTTP/2 (RFC 9113 section 3.4)",
            Malformed::SettingsMissing => "a first frame that is not SETTINGS (RFC 9113 section 3.4)",
            Malformed::FrameSize => "a frame of a length that its type cannot have (RFC 9113 section 4.2)",
            Malformed::FramePadding => "padding that is as long as its frame (RFC 9113 section 6.1)",
            Malformed::FrameStream => "a frame on a stream number that its type cannot have (RFC 9113 section 5.1.1)",
            Malformed::FrameUnexpected => {
                "a frame that may not come in this state of the stream (RFC 9113 section 5.1)"
            }
            Malformed::StreamClosed => "a frame on a stream that its sender has ended (RFC 9113 section 5.1)",
            Malformed::BlockInterrupted => "another frame between HEADERS and its CONTINUATION (RFC 9113 section 4.3)",
            Malformed::BlockTooLong => "CONTINUATION frames beyond the limit of a head (RFC 9113 section 10.5.1)",
            Malformed::HeaderCompression => "a header block that HPACK does not allow (RFC 7541)",
            Malformed::Setting => "a setting with a value that it may not have (RFC 9113 section 6.5.2)",
            Malformed::WindowExceeded => "more data than the flow-control window allowed (RFC 9113 section 6.9)",
            Malformed::WindowIncrement => "a WINDOW_UPDATE of 0 or beyond 2^31-1 (RFC 9113 section 6.9.1)",
            Malformed::ResetFlood => "requests cancelled faster than the limit allows (RFC 9113 section 10.5)",
            Malformed::PushUnasked => "PUSH_PROMISE where it is not allowed (RFC 9113 section 8.4)",
            Malformed::PseudoField => {
                "a pseudo-field that is missing, unknown, repeated or out of place (RFC 9113 section 8.3)"
            }
            Malformed::FieldUpperCase => "a field name with an upper-case letter (RFC 9113 section 8.2.1)",
            Malformed::ConnectionField => "a field that belongs to connections of HTTP/1 (RFC 9113 section 8.2.2)",
            Malformed::LengthMismatch => "content of another length than Content-Length says (RFC 9113 section 8.1.1)",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}
