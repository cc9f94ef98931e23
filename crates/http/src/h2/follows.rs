//! Whether a message goes on.

/// What comes on a stream after a head or a piece of content, from the same end: END_STREAM of RFC 9113 §5.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    /// The message ends here.
    Nothing,
    /// Content or trailers.
    More,
}

impl Follows {
    /// After the last piece nothing follows.
    pub fn after(is_last: bool) -> Follows {
        if is_last { Follows::Nothing } else { Follows::More }
    }
}
