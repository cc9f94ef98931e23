//! A text of which a record keeps the beginning.

use std::fmt;

/// The first `N` bytes of a text, and the length that it had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clipped<const N: usize> {
    pub(super) bytes: [u8; N],
    /// Length of what was kept, at most `N`.
    pub(super) kept: u8,
    pub(super) length: u32,
}

/// The beginning of a text that is kept elsewhere, and its whole length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClippedText<'t, const N: usize> {
    kept: &'t [u8],
    pub(super) length: u32,
}

impl<'t, const N: usize> ClippedText<'t, N> {
    pub(crate) const EMPTY: Self = ClippedText { kept: &[], length: 0 };

    pub(crate) fn new(text: &'t [u8]) -> Self {
        ClippedText { kept: &text[..text.len().min(N)], length: u32::try_from(text.len()).unwrap_or(u32::MAX) }
    }

    /// Writes as much as there are words for, and returns how many it took.
    pub(super) fn write(self, words: &mut [u64]) -> usize {
        let used = self.kept.len().div_ceil(8).min(words.len());
        let (whole, rest) = self.kept.as_chunks::<8>();
        for (word, bytes) in words.iter_mut().zip(whole) {
            *word = u64::from_le_bytes(*bytes);
        }
        if !rest.is_empty()
            && let Some(word) = words.get_mut(whole.len())
        {
            // By shifts: a word that is read where bytes were just written waits until they have left the store buffer.
            *word = match self.kept.last_chunk::<8>() {
                Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
                None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
        }
        used
    }
}

impl<const N: usize> Clipped<N> {
    pub(crate) const EMPTY: Self = Clipped { bytes: [0; N], kept: 0, length: 0 };
    const FITS: () = assert!(N <= 255 && N.is_multiple_of(8));

    /// Keeps the first `N` bytes.
    pub(crate) fn new(text: &[u8]) -> Self {
        let () = Self::FITS;
        let mut bytes = [0; N];
        let kept = text.len().min(N);
        bytes[..kept].copy_from_slice(&text[..kept]);
        Clipped { bytes, kept: kept as u8, length: u32::try_from(text.len()).unwrap_or(u32::MAX) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.kept)]
    }

    /// Whether something was cut.
    pub(crate) fn is_clipped(&self) -> bool {
        self.length > u32::from(self.kept)
    }

    /// Length of the whole text.
    pub(super) fn length(self) -> u32 {
        self.length
    }

    /// Words of a record that the text takes.
    pub(super) fn words(&self) -> usize {
        usize::from(self.kept).div_ceil(8)
    }

    pub(super) fn text(&self) -> ClippedText<'_, N> {
        ClippedText { kept: self.as_bytes(), length: self.length }
    }

    pub(super) fn read(words: &[u64], length: u32) -> Self {
        let mut bytes = [0; N];
        for (word, bytes) in words.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *bytes = word.to_le_bytes();
        }
        let kept = (length as usize).min(N).min(words.len() * 8);
        bytes[kept..].fill(0);
        Clipped { bytes, kept: kept as u8, length }
    }
}

impl<const N: usize> Default for Clipped<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Safe to show in a terminal: control characters and bytes that are no UTF-8 are escaped, a cut is shown as `…`.
impl<const N: usize> fmt::Display for Clipped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("-");
        }
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str(if self.is_clipped() { "…" } else { "" })
    }
}

impl<const N: usize> fmt::Debug for Clipped<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
