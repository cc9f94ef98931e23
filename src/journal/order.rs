//! The order in which words that one process writes become visible to another: two seqlocks without a lock. What the words
//! mean and where they are is `journal`'s. The tests run every interleaving that the memory model allows (loom).

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// An atomic word: the processor's, or the model checker's.
pub(super) trait Word {
    fn get(&self, order: Ordering) -> u64;
    fn set(&self, value: u64, order: Ordering);
    fn fence(order: Ordering);
}

/// Forty words a record, several times: a call for each would cost more than the rest.
impl Word for AtomicU64 {
    #[inline]
    fn get(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline]
    fn set(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }

    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
}

pub(super) fn load<W: Word, const N: usize>(words: &[W]) -> [u64; N] {
    let mut values = [0; N];
    for (value, word) in values.iter_mut().zip(words) {
        *value = word.get(Ordering::Relaxed);
    }
    values
}

fn store<W: Word>(words: &[W], values: impl Iterator<Item = u64>) {
    for (word, value) in words.iter().zip(values) {
        word.set(value, Ordering::Relaxed);
    }
}

/// Writes the record after the first `written` into its slot of the ring, its words and then those that are other by now, and counts it.
pub(super) fn append<W: Word>(
    slot: &[W],
    values: impl Iterator<Item = u64>,
    others: impl IntoIterator<Item = (usize, u64)>,
    count: &W,
    written: u64,
) {
    // After the count that was stored last time: a reader that sees these words sees that count too, and knows that
    // the record which stood here is gone.
    W::fence(Ordering::Release);
    store(slot, values);
    for (word, value) in others {
        slot[word].set(value, Ordering::Relaxed);
    }
    count.set(written + 1, Ordering::Release);
}

/// Reads the record `index`, which has been counted, from its slot of a ring of that size; if it may have been overwritten, says
/// which record is the first that cannot have been.
pub(super) fn read_appended<W: Word, const N: usize>(
    slot: &[W],
    count: &W,
    index: u64,
    ring: u64,
) -> Result<[u64; N], u64> {
    let words = load(slot);
    W::fence(Ordering::Acquire);
    // The writer may be at work on the slot of record `overtaken + ring`, which is that of `overtaken`.
    let overtaken = (count.get(Ordering::Relaxed) + 1).saturating_sub(ring);
    if index < overtaken { Err(overtaken) } else { Ok(words) }
}

/// Writes a record into a slot of the table that is free, under a stamp that no other record had.
pub(super) fn claim<W: Word>(slot: &[W], values: &[u64], stamp: &W, number: u64) {
    // After the stamp of 0 that freed the slot: a reader that sees these words cannot still believe the old stamp.
    W::fence(Ordering::Release);
    store(slot, values.iter().copied());
    stamp.set(number, Ordering::Release);
}

/// Frees a slot of the table.
pub(super) fn free<W: Word>(stamp: &W) {
    stamp.set(0, Ordering::Relaxed);
}

/// Reads a slot of the table whose stamp was seen (with [`Ordering::Acquire`]); none if it is free or was taken again.
pub(super) fn read_claimed<W: Word, const N: usize>(slot: &[W], stamp: &W, seen: u64) -> Option<[u64; N]> {
    let words = load(slot);
    W::fence(Ordering::Acquire);
    (seen != 0 && stamp.get(Ordering::Relaxed) == seen).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    impl Word for loom::sync::atomic::AtomicU64 {
        fn get(&self, order: Ordering) -> u64 {
            self.load(order)
        }

        fn set(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }

        fn fence(order: Ordering) {
            loom::sync::atomic::fence(order);
        }
    }

    type Atomic = loom::sync::atomic::AtomicU64;

    /// Of two words, both with the record's number: a torn one gives itself away.
    struct Shared {
        count: Atomic,
        ring: Vec<[Atomic; 2]>,
        stamp: Atomic,
        claimed: [Atomic; 2],
    }

    fn shared(ring: usize) -> Arc<Shared> {
        let word = || Atomic::new(0);
        Arc::new(Shared {
            count: word(),
            ring: (0..ring).map(|_| [word(), word()]).collect(),
            stamp: word(),
            claimed: [word(), word()],
        })
    }

    #[test]
    fn no_interleaving_shows_a_torn_record_of_the_ring_or_loses_one_uncounted() {
        const RING: usize = 2;
        const RECORDS: u64 = 3;
        loom::model(|| {
            let shared = shared(RING);
            let writer = {
                let shared = shared.clone();
                thread::spawn(move || {
                    for written in 0..RECORDS {
                        let slot = &shared.ring[written as usize % RING];
                        append(slot, [written + 1, 0].into_iter(), [(1, written + 1)], &shared.count, written);
                    }
                })
            };
            let (mut next, mut lost, mut read) = (0, 0, 0);
            let counted = shared.count.get(Ordering::Acquire);
            while next < counted {
                let slot = &shared.ring[next as usize % RING];
                match read_appended(slot, &shared.count, next, RING as u64) {
                    Ok([one, other]) => {
                        assert_eq!((one, other), (next + 1, next + 1), "torn, or another record");
                        (next, read) = (next + 1, read + 1);
                    }
                    Err(first) => (next, lost) = (first, lost + first - next),
                }
            }
            // A reader that was overtaken may have learnt of more than it first counted.
            assert!(read + lost == next && next >= counted && next <= RECORDS);
            writer.join().unwrap();
        });
    }

    #[test]
    fn no_interleaving_shows_a_torn_record_of_the_table_or_one_under_anothers_stamp() {
        loom::model(|| {
            let shared = shared(1);
            let writer = {
                let shared = shared.clone();
                thread::spawn(move || {
                    claim(&shared.claimed, &[1; 2], &shared.stamp, 1);
                    free(&shared.stamp);
                    claim(&shared.claimed, &[2; 2], &shared.stamp, 2);
                })
            };
            let seen = shared.stamp.get(Ordering::Acquire);
            if let Some([one, other]) = read_claimed(&shared.claimed, &shared.stamp, seen) {
                assert_eq!((one, other), (seen, seen));
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn an_attempt_that_has_ended_is_in_the_ring_when_it_is_gone_from_the_table() {
        loom::model(|| {
            let shared = shared(2);
            let writer = {
                let shared = shared.clone();
                thread::spawn(move || {
                    claim(&shared.claimed, &[1; 2], &shared.stamp, 1);
                    append(&shared.ring[0], [1, 0].into_iter(), [(1, 1)], &shared.count, 0);
                    free(&shared.stamp);
                })
            };
            writer.join().unwrap();
            // After the writer's death, as the supervisor reads: never in both, never in neither.
            let in_ring = shared.count.get(Ordering::Acquire);
            let seen = shared.stamp.get(Ordering::Acquire);
            let in_table = read_claimed::<_, 2>(&shared.claimed, &shared.stamp, seen).is_some();
            assert_eq!((in_ring, in_table), (1, false));
        });
    }
}
