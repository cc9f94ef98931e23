//! The two tables of RFC 7541 §2.3: the static one of appendix A, and the dynamic one, first in first out.

use std::collections::VecDeque;

/// Appendix A, from index 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// RFC 7541 §4.1: what an entry counts beside its bytes.
pub(super) const OVERHEAD: usize = 32;

/// The places of the static entries, by the length of their names, in their order.
const BY_LENGTH: [u8; STATIC.len()] = {
    let (mut places, mut filled, mut length) = ([0; STATIC.len()], 0, 0);
    while length <= LONGEST_NAME {
        let mut place = 0;
        while place < STATIC.len() {
            if STATIC[place].0.len() == length {
                places[filled] = place as u8;
                filled += 1;
            }
            place += 1;
        }
        length += 1;
    }
    assert!(filled == STATIC.len());
    places
};
/// Where those of each length begin.
const STARTS: [u8; LONGEST_NAME + 2] = {
    let (mut starts, mut length) = ([0; LONGEST_NAME + 2], 0);
    while length <= LONGEST_NAME {
        let (mut count, mut place) = (0, 0);
        while place < STATIC.len() {
            count += (STATIC[place].0.len() == length) as u8;
            place += 1;
        }
        starts[length + 1] = starts[length] + count;
        length += 1;
    }
    starts
};
const LONGEST_NAME: usize = "access-control-allow-origin".len();

/// The index of a static entry with that name, and whether the value is the same.
pub(super) fn find_static(name: &str, value: &[u8]) -> Option<(usize, bool)> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let (start, end) = (usize::from(STARTS[name.len()]), usize::from(STARTS[name.len() + 1]));
    let mut named = None;
    for place in BY_LENGTH[start..end].iter().map(|place| usize::from(*place)) {
        let (other, text) = STATIC[place];
        if other != name {
            continue;
        }
        if !text.is_empty() && text.as_bytes() == value {
            return Some((place + 1, true));
        }
        named = named.or(Some((place + 1, false)));
    }
    named
}

/// The dynamic table. Entries lie one behind the other in one piece of memory, which an idle connection without entries has none of.
#[derive(Clone, Debug)]
pub(super) struct DynamicTable {
    /// Oldest first: indices of HPACK count from the end.
    entries: VecDeque<TableEntry>,
    bytes: Vec<u8>,
    /// Where the bytes of the oldest entry begin.
    start: usize,
    size: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct TableEntry {
    at: usize,
    name: usize,
    value: usize,
}

impl DynamicTable {
    pub(super) fn new(limit: usize) -> DynamicTable {
        DynamicTable { entries: VecDeque::new(), bytes: Vec::new(), start: 0, size: 0, limit }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(0);
    }

    /// Name and value of the entry with that index, the newest first, from 0.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = self.entries.len().checked_sub(index + 1)?;
        let TableEntry { at, name, value } = self.entries[place];
        Some((&self.bytes[at..at + name], &self.bytes[at + name..at + name + value]))
    }

    /// The index of an entry with that name and value.
    pub(super) fn find(&self, name: &str, value: &[u8]) -> Option<usize> {
        let found = self.entries.iter().rposition(|it| {
            (it.name, it.value) == (name.len(), value.len())
                && self.bytes[it.at..it.at + it.name] == *name.as_bytes()
                && self.bytes[it.at + it.name..it.at + it.name + it.value] == *value
        });
        found.map(|place| self.entries.len() - 1 - place)
    }

    /// RFC 7541 §4.4: one that is larger than the table empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        if size > self.limit {
            return self.make_room(self.limit);
        }
        self.make_room(size);
        if self.start > self.bytes.len() / 2 {
            // Half of it is of entries that are gone.
            self.bytes.drain(..self.start);
            self.entries.iter_mut().for_each(|entry| entry.at -= self.start);
            self.start = 0;
        }
        self.entries.push_back(TableEntry { at: self.bytes.len(), name: name.len(), value: value.len() });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += size;
    }

    fn make_room(&mut self, bytes: usize) {
        while self.size + bytes > self.limit {
            let Some(TableEntry { at, name, value }) = self.entries.pop_front() else { break };
            self.start = at + name + value;
            self.size -= name + value + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_leave_for_new_ones() {
        let mut table = DynamicTable::new(3 * (OVERHEAD + 2));
        for name in ["a", "b", "c", "d"] {
            table.insert(name.as_bytes(), b"1");
        }
        assert_eq!(table.get(0), Some((&b"d"[..], &b"1"[..])));
        assert_eq!(table.get(2), Some((&b"b"[..], &b"1"[..])));
        assert_eq!((table.get(3), table.find("b", b"1"), table.find("a", b"1")), (None, Some(2), None));
        table.set_limit(OVERHEAD + 2);
        assert_eq!((table.get(0).is_some(), table.get(1), table.size()), (true, None, OVERHEAD + 2));
        table.insert(b"too", b"large");
        assert_eq!((table.get(0), table.size()), (None, 0));
    }

    #[test]
    fn memory_is_bounded_by_the_limit_however_many_entries_come() {
        let mut table = DynamicTable::new(4096);
        for number in 0..100_000u32 {
            table.insert(b"name", &number.to_be_bytes());
            assert!(table.bytes.len() <= 2 * 4096 && table.size() <= 4096);
        }
        assert_eq!(table.get(0), Some((&b"name"[..], &99_999u32.to_be_bytes()[..])));
    }

    #[test]
    fn static_entries_are_found_by_name_and_by_value() {
        assert_eq!(find_static(":method", b"POST"), Some((3, true)));
        assert_eq!(find_static(":method", b"PUT"), Some((2, false)));
        assert_eq!(find_static("www-authenticate", b""), Some((61, false)));
        assert_eq!(find_static("x", b""), None);
        assert_eq!(find_static("a-name-that-is-longer-than-all-of-them", b""), None);
        for (place, (name, value)) in STATIC.iter().enumerate() {
            let (index, same) = find_static(name, value.as_bytes()).unwrap();
            assert_eq!(STATIC[index - 1].0, *name);
            assert!(value.is_empty() || (same && index == place + 1), "{name}");
        }
    }
}
