//! The shared-memory journal of one backend process: written by the backend, read by the supervisor while it is written.
//! It knows where words are; in which order they become visible is `order`'s, what they mean is `wire`'s.
//!
//! # Shape
//!
//! One file without a name (`memfd` on Linux), so it outlives the backend's death by any signal and ends with the last process that holds it:
//!
//! | part | words of 8 bytes | written |
//! |---|---|---|
//! | head | 512: magic, table slots, ring slots, records written, unclaimed attempts in flight, open connections | once; counters by the backend |
//! | table | slots × 41: a stamp and a record | *claimed* when a request has been read, freed when it has ended |
//! | ring | slots × 40: a record | *completed*: appended when the attempt has ended, the oldest overwritten |
//!
//! So the ring holds attempts that have ended, in the order in which they ended; the table those that have not, and after a
//! `kill -9` exactly those that were received and never answered (or whose answer had left that very moment: it is noted after it
//! was written). Writing is plain stores, no system call.
//! A reader that is overtaken by a whole ring knows how many records it has missed: they are numbered.

mod order;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{fstat, ftruncate};
use slab::Slab;

use crate::platform::means;
use crate::wire::{AttemptEnd, Moment, RECORD_WORDS, RESPONDED_WORD, ReceivedAttempt, Record, Revision};
use verdict::Call;
use verdict::life::Life;

const MAGIC: u64 = u64::from_be_bytes(*b"uuid-g/4");
const HEAD_WORDS: usize = 512;
const TABLE_WORDS: usize = RECORD_WORDS + 1;
const WRITTEN: usize = 8;
const UNCLAIMED: usize = 16;
const CONNECTIONS: usize = 24;

/// How many attempts a journal can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capacity {
    /// In flight at once. Beyond it attempts are still recorded when they end.
    pub(crate) table: u32,
    /// Ended and not yet overwritten: a power of two.
    pub(crate) ring: u32,
}

impl Capacity {
    fn words(self) -> usize {
        HEAD_WORDS + self.table as usize * TABLE_WORDS + self.ring as usize * RECORD_WORDS
    }
}

/// Makes the file of an empty journal.
pub(crate) fn create(name: &str, capacity: Capacity) -> Result<OwnedFd> {
    ensure!(capacity.ring.is_power_of_two(), "a ring of {} records is no power of two", capacity.ring);
    let file = means().shared_memory(name).context("failed to create a journal")?;
    ftruncate(&file, capacity.words() as u64 * 8).context("failed to size a journal")?;
    let words = SharedWords::map(&file)?;
    words[1].store(u64::from(capacity.table), Ordering::Relaxed);
    words[2].store(u64::from(capacity.ring), Ordering::Relaxed);
    words[0].store(MAGIC, Ordering::Release);
    Ok(file)
}

/// The whole mapping as words that several processes may read and write.
struct SharedWords {
    map: MmapRaw,
}

impl SharedWords {
    fn map(file: &impl AsFd) -> Result<SharedWords> {
        let length = fstat(file)?.st_size as usize;
        ensure!(length >= HEAD_WORDS * 8, "a file of {length} bytes is no journal");
        let map = MmapOptions::new().len(length).map_raw(&file.as_fd()).context("failed to map a journal")?;
        Ok(SharedWords { map })
    }
}

impl std::ops::Deref for SharedWords {
    type Target = [AtomicU64];

    #[allow(unsafe_code)]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, readable and writable, lives as long as `self`, and its size never
        // changes after `create`. Whatever bits it holds are valid `u64`s. Every process touches it through atomics only.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / 8) }
    }
}

struct Layout {
    words: SharedWords,
    capacity: Capacity,
}

impl Layout {
    fn open(file: &impl AsFd) -> Result<Layout> {
        let words = SharedWords::map(file)?;
        ensure!(words[0].load(Ordering::Acquire) == MAGIC, "the file is no journal of this version");
        let capacity = Capacity {
            table: words[1].load(Ordering::Relaxed).try_into()?,
            ring: words[2].load(Ordering::Relaxed).try_into()?,
        };
        ensure!(words.len() >= capacity.words() && capacity.ring.is_power_of_two(), "the journal is cut short");
        Ok(Layout { words, capacity })
    }

    fn stamp(&self, slot: u32) -> &AtomicU64 {
        &self.words[HEAD_WORDS + slot as usize * TABLE_WORDS]
    }

    fn claimed(&self, slot: u32) -> &[AtomicU64] {
        let start = HEAD_WORDS + slot as usize * TABLE_WORDS + 1;
        &self.words[start..start + RECORD_WORDS]
    }

    fn ended(&self, index: u64) -> &[AtomicU64] {
        let slot = (index & u64::from(self.capacity.ring - 1)) as usize;
        let start = HEAD_WORDS + self.capacity.table as usize * TABLE_WORDS + slot * RECORD_WORDS;
        &self.words[start..start + RECORD_WORDS]
    }

    fn written(&self) -> &AtomicU64 {
        &self.words[WRITTEN]
    }
}

/// The writing end, in the backend. One process, one thread.
pub(crate) struct Writer {
    layout: Layout,
    written: u64,
    claims: u64,
    /// Slots of the table that were used before and are free; taken from the end, so that the warm ones are used again.
    free: Vec<u32>,
    fresh: u32,
    /// Words of attempts for which the table had no slot.
    beyond: Slab<[u64; RECORD_WORDS]>,
}

/// An attempt that has been received: it must be [completed](Writer::complete). It is small, for it is moved about; its words stay where they are.
#[must_use]
#[derive(Debug)]
pub(crate) struct Claim {
    place: SlotPlace,
    status: u16,
    /// Words of the record that are in use.
    used: u8,
}

/// Where the words of an attempt in flight are.
#[derive(Clone, Copy, Debug)]
enum SlotPlace {
    Slot(u32),
    /// The table is full, and a reader does not see them: their number among those.
    Beyond(u32),
}

impl Claim {
    /// The response turns out to have another status than was claimed.
    pub(crate) fn revise_status(&mut self, status: u16) {
        self.status = status;
    }
}

impl Writer {
    /// Maps the journal of this process.
    pub(crate) fn open(file: &impl AsFd) -> Result<Writer> {
        Ok(Writer {
            layout: Layout::open(file)?,
            written: 0,
            claims: 0,
            free: Vec::new(),
            fresh: 0,
            beyond: Slab::new(),
        })
    }

    /// Makes the attempt visible as received and gives it its number. The fields that tell its end are set by [`Writer::complete`].
    pub(crate) fn claim(&mut self, attempt: &ReceivedAttempt) -> Claim {
        self.claims += 1;
        let slot = self.free.pop().or_else(|| {
            let fresh = self.fresh;
            (fresh < self.layout.capacity.table).then(|| {
                self.fresh += 1;
                fresh
            })
        });
        let mut words = [0; RECORD_WORDS];
        let used = attempt.write(self.claims, &mut words);
        let place = match slot {
            Some(slot) => {
                order::claim(self.layout.claimed(slot), &words[..used], self.layout.stamp(slot), self.claims);
                SlotPlace::Slot(slot)
            }
            None => {
                self.layout.words[UNCLAIMED].fetch_add(1, Ordering::Relaxed);
                SlotPlace::Beyond(self.beyond.insert(words) as u32)
            }
        };
        Claim { place, status: attempt.status, used: used as u8 }
    }

    /// Notes what has become known of an attempt in flight. A reader may see some of these words before the others: they count
    /// when the attempt has ended.
    pub(crate) fn revise(&mut self, claim: &mut Claim, revision: &Revision) {
        let words = match claim.place {
            SlotPlace::Slot(slot) => {
                let words = self.layout.claimed(slot);
                Record::revise(|word| words[word].load(Ordering::Relaxed), revision)
            }
            SlotPlace::Beyond(number) => Record::revise(|word| self.beyond[number as usize][word], revision),
        };
        self.note(claim, words);
    }

    /// Notes how the life of an attempt in flight goes on: a reader may see some of it before the rest.
    pub(crate) fn note_life(&mut self, claim: &mut Claim, life: &Life) {
        self.note(claim, Record::life_words(life));
    }

    /// Notes how a call in flight goes on: a reader may see some of it before the rest.
    pub(crate) fn note_call(&mut self, claim: &mut Claim, call: &Call) {
        self.note(claim, Record::call_words(call));
    }

    fn note(&mut self, claim: &mut Claim, words: impl IntoIterator<Item = (usize, u64)>) {
        for (word, value) in words {
            match claim.place {
                SlotPlace::Slot(slot) => self.layout.claimed(slot)[word].store(value, Ordering::Relaxed),
                SlotPlace::Beyond(number) => self.beyond[number as usize][word] = value,
            }
        }
    }

    /// Notes the number of open connections.
    pub(crate) fn note_connections(&self, count: usize) {
        self.layout.words[CONNECTIONS].store(count as u64, Ordering::Relaxed);
    }

    /// Appends the record of an attempt that has ended.
    pub(crate) fn complete(&mut self, claim: Claim, answered: Moment, bytes: u64, outcome: AttemptEnd) {
        let Claim { place, status, used } = claim;
        let ended = self.layout.ended(self.written);
        let count = self.layout.written();
        match place {
            SlotPlace::Slot(slot) => {
                let words = &self.layout.claimed(slot)[..usize::from(used)];
                let of = |word: usize| words[word].load(Ordering::Relaxed);
                let end = Record::end(of, status, answered, bytes, outcome);
                order::append(ended, (0..words.len()).map(of), end, count, self.written);
                order::free(self.layout.stamp(slot));
                self.free.push(slot);
            }
            SlotPlace::Beyond(number) => {
                let words = self.beyond.remove(number as usize);
                let end = Record::end(|word| words[word], status, answered, bytes, outcome);
                order::append(ended, words.into_iter().take(usize::from(used)), end, count, self.written);
                self.layout.words[UNCLAIMED].fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.written += 1;
    }
}

/// Records that no reader has read, and none can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overwritten(pub(crate) u64);

/// The reading end, in the supervisor: each ended record once, in order.
pub(crate) struct JournalReader {
    layout: Layout,
    next: u64,
    /// Those before it had ended at the last look.
    until: u64,
    last: u64,
}

impl JournalReader {
    /// Maps a journal, to be read from its start.
    pub(crate) fn open(file: &impl AsFd) -> Result<JournalReader> {
        Ok(JournalReader { layout: Layout::open(file)?, next: 0, until: 0, last: 0 })
    }

    /// Looks how many records have ended by now: those are read next, however many follow meanwhile.
    pub(crate) fn look(&mut self) {
        self.until = self.layout.written().load(Ordering::Acquire);
    }

    /// When the next one ended; none if all have been read. If it is being overwritten, a time that is about right.
    pub(crate) fn next_end(&self) -> Option<Moment> {
        let is_there = self.next < self.until;
        is_there.then(|| Moment(self.layout.ended(self.next)[RESPONDED_WORD].load(Ordering::Relaxed)))
    }

    /// Reads the next one, or says how many were overwritten before they could be read.
    pub(crate) fn read(&mut self) -> Result<Record, Overwritten> {
        let ring = u64::from(self.layout.capacity.ring);
        match order::read_appended(self.layout.ended(self.next), self.layout.written(), self.next, ring) {
            Err(overtaken) => {
                let lost = overtaken - self.next;
                self.next = overtaken;
                Err(Overwritten(lost))
            }
            Ok(words) => {
                self.next += 1;
                let record = Record::from_words(&words);
                self.last = record.number;
                Ok(record)
            }
        }
    }

    /// The attempts that have been received and have not ended. Read it after those that have: after the death of the
    /// backend, nothing is then in both.
    pub(crate) fn in_flight(&self) -> Vec<Record> {
        (0..self.layout.capacity.table)
            .map(|slot| (self.layout.stamp(slot).load(Ordering::Acquire), slot))
            // Slots are taken into use in order, so their stamps may be 0 again but never untouched before the last one;
            // an untouched page is not worth touching, so stop at the first slot that never was used.
            .take_while(|(stamp, slot)| *stamp != 0 || self.layout.claimed(*slot)[0].load(Ordering::Relaxed) != 0)
            .filter_map(|(stamp, slot)| {
                let words = order::read_claimed(self.layout.claimed(slot), self.layout.stamp(slot), stamp)?;
                Some(Record::from_words(&words))
            })
            // Killed between the append and the release of the slot: that record has been read already.
            .filter(|record| record.number != self.last)
            .collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.layout.words[CONNECTIONS].load(Ordering::Relaxed) as usize
    }

    /// Attempts in flight that found the table full: they are recorded only when they have ended, and lost if the backend dies before.
    pub(crate) fn unclaimed(&self) -> u64 {
        self.layout.words[UNCLAIMED].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl JournalReader {
    /// Hands over the records that have ended since the last call, and returns how many were overwritten before that.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Record)) -> u64 {
        self.look();
        let mut lost = 0;
        while self.next_end().is_some() {
            match self.read() {
                Ok(record) => take(record),
                Err(Overwritten(count)) => lost += count,
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Clipped, End, Generator};
    use proptest::prelude::*;

    fn journal(table: u32, ring: u32) -> (Writer, JournalReader) {
        let file = create("test", Capacity { table, ring }).unwrap();
        (Writer::open(&file).unwrap(), JournalReader::open(&file).unwrap())
    }

    #[test]
    fn connections_that_are_open_are_counted_beside_the_records() {
        let (writer, reader) = journal(2, 4);
        assert_eq!(reader.connections(), 0);
        writer.note_connections(3);
        writer.note_connections(2);
        assert_eq!(reader.connections(), 2);
    }

    /// Every field tells the connection, so that a torn record gives itself away.
    fn attempt(connection: u64) -> Record {
        Record {
            number: 0,
            received: Moment(connection),
            responded: Moment(0),
            generator: Generator(9001),
            response: None,
            request: None,
            connection,
            request_number: connection as u32,
            peer: End::Address("[::1]:80".parse().unwrap()),
            method: Clipped::new(b"GET"),
            path: Clipped::new(format!("/{connection}").repeat(9).as_bytes()),
            status: 200,
            bytes: 0,
            outcome: AttemptEnd::Received,
            arrived: Default::default(),
            refusal: None,
            life: None,
            call: None,
            tls: None,
        }
    }

    fn claim(writer: &mut Writer, record: &Record) -> Claim {
        writer.claim(&record.as_received(&record.arrived_head()))
    }

    fn drain(reader: &mut JournalReader) -> (Vec<u64>, u64) {
        let mut connections = Vec::new();
        let lost = reader.drain(|record| connections.push(record.connection));
        (connections, lost)
    }

    #[test]
    fn an_attempt_is_in_flight_until_it_has_ended_and_then_in_the_ring() {
        let (mut writer, mut reader) = journal(4, 8);
        let claim = claim(&mut writer, &attempt(7));
        assert_eq!(drain(&mut reader), (vec![], 0));
        let [in_flight] = reader.in_flight().try_into().unwrap();
        assert_eq!((in_flight.connection, in_flight.outcome), (7, AttemptEnd::Received));
        writer.complete(claim, Moment(9), 12, AttemptEnd::Completed);
        let mut records = Vec::new();
        assert_eq!(reader.drain(|record| records.push(record)), 0);
        let expected =
            Record { number: 1, responded: Moment(9), bytes: 12, outcome: AttemptEnd::Completed, ..attempt(7) };
        assert_eq!(records, [expected]);
        assert_eq!(reader.in_flight(), []);
    }

    #[test]
    fn a_record_whose_slot_was_not_yet_freed_when_the_backend_was_killed_counts_once() {
        let (mut writer, mut reader) = journal(4, 8);
        let claim = claim(&mut writer, &attempt(7));
        let SlotPlace::Slot(slot) = claim.place else { panic!("the table has room") };
        writer.complete(claim, Moment(9), 12, AttemptEnd::Completed);
        writer.layout.stamp(slot).store(1, Ordering::Relaxed);
        assert_eq!(drain(&mut reader), (vec![7], 0));
        assert_eq!(reader.in_flight(), []);
    }

    #[test]
    fn beyond_the_table_an_attempt_is_recorded_when_it_ends_and_counted_before() {
        let (mut writer, mut reader) = journal(1, 8);
        let (first, second) = (claim(&mut writer, &attempt(1)), claim(&mut writer, &attempt(2)));
        assert_eq!((reader.in_flight().len(), reader.unclaimed()), (1, 1));
        writer.complete(second, Moment(1), 0, AttemptEnd::Completed);
        writer.complete(first, Moment(1), 0, AttemptEnd::Completed);
        assert_eq!((drain(&mut reader), reader.unclaimed()), ((vec![2, 1], 0), 0));
    }

    #[test]
    fn what_is_no_journal_is_refused() {
        let file = means().shared_memory("empty").unwrap();
        ftruncate(&file, 8192).unwrap();
        assert!(JournalReader::open(&file).is_err());
        assert!(create("test", Capacity { table: 1, ring: 12 }).is_err());
    }

    proptest! {
        /// Claims, ends and reads in any order, against a plain list.
        #[test]
        fn every_attempt_is_read_once_or_known_to_be_lost(steps in proptest::collection::vec(0..10u8, 1..300)) {
            let (mut writer, mut reader) = journal(4, 8);
            let (mut open, mut claimed, mut ended, mut read, mut lost) = (Vec::new(), 0, Vec::new(), Vec::new(), 0);
            for step in steps {
                match step {
                    0..=4 => {
                        claimed += 1;
                        open.push((claimed, claim(&mut writer, &attempt(claimed))));
                    }
                    5..=8 if !open.is_empty() => {
                        let (connection, claim) = open.swap_remove(usize::from(step) % open.len());
                        writer.complete(claim, Moment(1), 1, AttemptEnd::Completed);
                        ended.push(connection);
                    }
                    _ => {
                        let (more, gone) = drain(&mut reader);
                        prop_assert!(ended.ends_with(&more));
                        read.extend(more);
                        lost += gone;
                        prop_assert_eq!(read.len() as u64 + lost, ended.len() as u64);
                        let shown: Vec<u64> = reader.in_flight().iter().map(|record| record.connection).collect();
                        prop_assert!(shown.iter().all(|connection| open.iter().any(|(it, _)| it == connection)));
                        prop_assert!(shown.len() == open.len().min(4) || reader.unclaimed() > 0);
                    }
                }
            }
        }
    }

    #[test]
    fn a_reader_beside_a_fast_writer_sees_no_torn_record_and_counts_every_lost_one() {
        const ATTEMPTS: u64 = 300_000;
        let (mut writer, mut reader) = journal(16, 64);
        let (mut read, mut lost, mut last) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for connection in 1..=ATTEMPTS {
                    let claim = claim(&mut writer, &attempt(connection));
                    writer.complete(claim, Moment(connection), connection, AttemptEnd::Completed);
                }
            });
            while last < ATTEMPTS {
                lost += reader.drain(|record| {
                    let end = Record { number: record.connection, ..attempt(record.connection) };
                    let expected = Record {
                        responded: Moment(record.connection),
                        bytes: record.connection,
                        outcome: AttemptEnd::Completed,
                        ..end
                    };
                    assert_eq!(record, expected);
                    assert!(record.connection > last);
                    (read, last) = (read + 1, record.connection);
                });
                for record in reader.in_flight() {
                    assert_eq!(record, Record { number: record.connection, ..attempt(record.connection) });
                }
            }
        });
        assert_eq!(read + lost, ATTEMPTS);
    }
}
