//! PURE. The framing of a body in chunks, for those who have not moved to the http crate's bodies.

pub use http::Chunks;
