//! Why bytes are no message, by name: a report can print it, a server can choose its status by it.

use std::fmt;

crate::named_enum! {
    /// Why bytes are not a message as RFC 9112 or RFC 9113 writes it, or could be read in two ways. Each reason's text says what it means.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    #[allow(missing_docs)] // the text beside a reason is its documentation
    pub enum Malformed {
        RequestLine => "no request line as HTTP/1.1 writes it (RFC 9112 section 3)",
        TargetSpace => "a path with spaces, as where its escapes were decoded on the way (RFC 9112 section 3.2)",
        StatusLine => "no status line as HTTP/1.1 writes it (RFC 9112 section 4)",
        Version => "a version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 section 2.3)",
        FieldName => "a field name that is no token (RFC 9112 section 5.1)",
        FieldFolded => "a field folded over several lines (obs-fold, RFC 9112 section 5.2)",
        FieldValue => "a field value with a control character (RFC 9110 section 5.5)",
        LineEnd => "a line that ends with a bare carriage return (RFC 9112 section 2.2)",
        TooManyFields => "more header fields than the limit",
        HeadTooLarge => "a head larger than the limit",
        FirstLineTooLong => "a first line longer than the limit",
        Target => "a target in none of the forms that its method allows (RFC 9112 section 3.2)",
        Fragment => "a target with a fragment (RFC 9112 section 3.2)",
        HostMissing => "no Host field (RFC 9112 section 3.2)",
        HostTwice => "more than one Host field (RFC 9112 section 3.2)",
        HostInvalid => "a Host field that is no host and port (RFC 9112 section 3.2)",
        LengthInvalid => "a Content-Length that is no number (RFC 9112 section 6.3)",
        LengthTwice => "Content-Length twice (RFC 9110 section 8.6)",
        LengthsDiffer => "two different Content-Lengths (RFC 9112 section 6.3)",
        LengthAndEncoding => "both Content-Length and Transfer-Encoding (RFC 9112 section 6.1)",
        EncodingUnknown => "a transfer coding other than chunked (RFC 9112 section 6.1)",
        EncodingNotLast => "a last transfer coding that is not chunked (RFC 9112 section 6.3)",
        EncodingTwice => "the chunked coding twice (RFC 9112 section 6.1)",
        EncodingInHttp10 => "Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)",
        /// At most 16 digits are read.
        ChunkSize => "a chunk size that is no hexadecimal number (RFC 9112 section 7.1)",
        ChunkSizeJunk => "something after a chunk size that is no extension (RFC 9112 section 7.1)",
        /// Longer than 1 KiB, or with a control character.
        ChunkExtension => "a chunk extension that is too long or no text (RFC 9112 section 7.1.1)",
        ChunkEnd => "a chunk that does not end where its size says (RFC 9112 section 7.1)",
        BareLineFeed => "a bare line feed in the chunked framing (RFC 9112 section 7.1)",
        Trailer => "a trailer line that is no field (RFC 9112 section 7.1.2)",
        TrailerControl => "a control character in a trailer (RFC 9110 section 5.5)",
        /// Longer than 16 KiB.
        TrailersTooLong => "a trailer section larger than the limit",
        ProxyLine => "no PROXY header as version 1 writes it: PROXY TCP4|TCP6|UNKNOWN, two addresses, two ports",
        ProxyLineTooLong => "a PROXY header of version 1 that does not end after 107 bytes",
        ProxyVersion => "a binary PROXY header of a version other than 2",
        ProxyCommand => "a PROXY header of version 2 with a command other than LOCAL and PROXY",
        ProxyFamily => "a PROXY header of version 2 with an unknown address family or transport",
        ProxyTooShort => "a PROXY header of version 2 that is too short for its addresses",
        ProxyTooLong => "a PROXY header of version 2 larger than 2048 bytes",
        ProxyUnexpected => "a PROXY header: it comes first on a connection, and only where --proxy-protocol is set",
        TlsUnexpected => "a TLS handshake where plain HTTP is spoken",
        Http2Unexpected => "a frame of HTTP/2 where HTTP/1.1 is spoken",
        BeforeStatusLine => "bytes before the status line that belong to no response (RFC 9112 section 2.2)",
        Surplus => "bytes after the end of the response (RFC 9112 section 9.2)",
        BodyAfterHead => "a body in the response to HEAD (RFC 9110 section 9.3.2)",
        BodyNotAllowed => "a body after a status that has none (RFC 9112 section 6.3)",
        UpgradeUnasked => "101 without a request to upgrade (RFC 9110 section 15.2.2)",
        UpgradeWithBody => "a Content-Length or Transfer-Encoding in a response of status 101 (RFC 9110 section 8.6)",
        LengthOfHead => "Content-Length: 0 to HEAD, where GET has content (RFC 9110 section 8.6)",
        NotModifiedUnasked => "304 to a request without a condition (RFC 9110 section 15.4.5)",
        Http2Preface => "no connection preface of HTTP/2 (RFC 9113 section 3.4)",
        SettingsMissing => "a first frame that is not SETTINGS (RFC 9113 section 3.4)",
        FrameSize => "a frame of a length that its type cannot have (RFC 9113 section 4.2)",
        FramePadding => "padding that is as long as its frame (RFC 9113 section 6.1)",
        /// On stream 0 though it belongs to a request, the other way round, or on a number that the sender may not choose.
        FrameStream => "a frame on a stream number that its type cannot have (RFC 9113 section 5.1.1)",
        FrameUnexpected => "a frame that may not come in this state of the stream (RFC 9113 section 5.1)",
        StreamClosed => "a frame on a stream that its sender has ended (RFC 9113 section 5.1)",
        BlockInterrupted => "another frame between HEADERS and its CONTINUATION (RFC 9113 section 4.3)",
        BlockTooLong => "CONTINUATION frames beyond the limit of a head (RFC 9113 section 10.5.1)",
        HeaderCompression => "a header block that HPACK does not allow (RFC 7541)",
        Setting => "a setting with a value that it may not have (RFC 9113 section 6.5.2)",
        WindowExceeded => "more data than the flow-control window allowed (RFC 9113 section 6.9)",
        WindowIncrement => "a WINDOW_UPDATE of 0 or beyond 2^31-1 (RFC 9113 section 6.9.1)",
        /// The attack of CVE-2023-44487.
        ResetFlood => "requests cancelled, or made to be reset, faster than the limit allows (RFC 9113 section 10.5)",
        PushUnasked => "PUSH_PROMISE where it is not allowed (RFC 9113 section 8.4)",
        PseudoField => "a pseudo-field that is missing, unknown, repeated or out of place (RFC 9113 section 8.3)",
        FieldUpperCase => "a field name with an upper-case letter (RFC 9113 section 8.2.1)",
        ConnectionField => "a field that belongs to connections of HTTP/1 (RFC 9113 section 8.2.2)",
        LengthMismatch => "content of another length than Content-Length says (RFC 9113 section 8.1.1)",
        /// The stream ended as if its message were whole.
        ContentMissing => "less content than Content-Length says (RFC 9113 section 8.1.1)",
    }

    /// The middle of a sentence: "the response has …", "refused: …".
    fn as_str;
}

impl Malformed {
    /// Whether it is a limit of this parser: HTTP itself has none there, and others may read on.
    pub fn is_limit(self) -> bool {
        use Malformed::{BlockTooLong, HeadTooLarge, TooManyFields, TrailersTooLong};
        matches!(self, TooManyFields | HeadTooLarge | TrailersTooLong | BlockTooLong)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}
