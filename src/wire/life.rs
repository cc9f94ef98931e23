//! What a record holds of a unit with a life, in the words of the journal.

use verdict::life::{Life, LifeEnd, StreamKind};

/// Words of a record that a life takes.
pub(super) const LIFE_WORDS: usize = 4;

pub(super) fn to_words(life: &Life) -> [u64; LIFE_WORDS] {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let end = LifeEnd::ALL.iter().position(|it| *it == life.end).unwrap_or_default() as u64;
    let kind = StreamKind::ALL.iter().position(|it| *it == life.kind).unwrap_or_default() as u64;
    let code = |code: Option<u16>| u64::from(code.unwrap_or(0));
    [
        pair(life.written, life.received),
        pair(life.first, life.last_received),
        code(life.close_sent) << 48
            | code(life.close_received) << 32
            | u64::from(life.misplaced) << 16
            | end << 8
            | kind,
        life.received_bytes,
    ]
}

pub(super) fn from_words(words: &[u64]) -> Option<Life> {
    let [counts, numbers, rest, received_bytes] = *words.first_chunk::<LIFE_WORDS>()?;
    let code = |code: u64| Some(code as u16).filter(|code| *code != 0);
    Some(Life {
        kind: *StreamKind::ALL.get((rest & 0xff) as usize)?,
        first: (numbers >> 32) as u32,
        written: (counts >> 32) as u32,
        received: counts as u32,
        last_received: numbers as u32,
        misplaced: (rest >> 16) as u16,
        received_bytes,
        end: *LifeEnd::ALL.get((rest >> 8 & 0xff) as usize)?,
        close_sent: code(rest >> 48),
        close_received: code(rest >> 32),
    })
}
