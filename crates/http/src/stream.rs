//! Requests of one connection, by number, and what left of their responses: alike in all versions.

/// Names a request and its response on a connection. In HTTP/1 the first is 1; in HTTP/2 it is the stream's number, and 0 is the
/// connection itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u32);

/// A response of which all bytes were written, as the kernel took them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// The stream to which the bytes belong.
    pub stream: StreamId,
    /// Head and body, without interim responses.
    pub bytes: u64,
}
