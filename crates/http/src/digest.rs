//! A fast 64-bit hash that every process and machine computes alike: XXH3 with seed 0
//! (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>). It finds changes; it is no protection against forgery.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The digest of bytes that are at hand.
pub fn digest(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The digest of bytes that come in pieces: however they are cut, it is [`digest`] of the whole.
#[derive(Clone)]
pub struct Digest(Box<Xxh3>);

impl Digest {
    /// The digest of no bytes.
    pub fn new() -> Digest {
        Digest(Box::new(Xxh3::new()))
    }

    /// The digest of the first piece.
    pub fn of(piece: &[u8]) -> Digest {
        let mut digest = Digest::new();
        digest.update(piece);
        digest
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces so far.
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Default for Digest {
    fn default() -> Digest {
        Digest::new()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:016x})", self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_the_published_hash() {
        // As `xxhsum -H3` and Python's xxhash.xxh3_64_hexdigest print them.
        assert_eq!(digest(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(digest(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(digest(b"abc"), 0x78af_5f94_892f_3950);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut: proptest::sample::Index) {
            let (one, two) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut pieces = Digest::new();
            pieces.update(one);
            pieces.update(two);
            prop_assert_eq!(pieces.finish(), digest(&bytes));
        }
    }
}
