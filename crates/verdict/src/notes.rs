//! What a backend notes of a request as it arrived though nothing is compared with it: its version, how its body came, and the
//! fields that proxies add or should have removed.

http::named_enum! {
    /// Something about a request as it arrived that is noted though nothing is compared with it.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    #[repr(u32)]
    pub enum Note {
        /// It said what was sent: its parts were compared.
        Compared = 1 => "compared",
        /// It has an X-Forwarded-Proto field.
        ForwardedProto = 1 << 1 => "x-forwarded-proto",
        /// It has an X-Forwarded-Host field.
        ForwardedHost = 1 << 2 => "x-forwarded-host",
        /// It has a Forwarded field (RFC 7239).
        Forwarded = 1 << 3 => "forwarded",
        /// It has a Via field.
        Via = 1 << 4 => "via",
        /// It has an X-Forwarded-For field.
        ForwardedFor = 1 << 5 => "x-forwarded-for",
        /// It came in HTTP/1.0.
        Http10 = 1 << 6 => "http/1.0",
        /// It has Keep-Alive, which belongs to one connection (RFC 9110 §7.6.1), as do those of the next four.
        KeepAlive = 1 << 7 => "keep-alive",
        /// It has Proxy-Connection.
        ProxyConnection = 1 << 8 => "proxy-connection",
        /// It has Proxy-Authorization.
        ProxyAuthorization = 1 << 9 => "proxy-authorization",
        /// It has TE.
        Te = 1 << 10 => "te",
        /// It has Upgrade.
        Upgrade = 1 << 11 => "upgrade",
        /// Its body came in chunks.
        Chunked = 1 << 12 => "chunked",
        /// It announced trailers in a Trailer field.
        Trailer = 1 << 13 => "trailer",
        /// It came in HTTP/2.
        Http2 = 1 << 14 => "http/2",
        /// A PROXY header names its client.
        Proxied = 1 << 15 => "proxy-protocol",
        /// It has X-Forwarded-Proto twice, or two values of it.
        ForwardedProtoTwice = 1 << 16 => "x-forwarded-proto-twice",
        /// It has X-Forwarded-Host twice, or two values of it.
        ForwardedHostTwice = 1 << 17 => "x-forwarded-host-twice",
        /// Its X-Forwarded-Proto is another than `http`.
        ForwardedProtoOther = 1 << 18 => "x-forwarded-proto-other",
        /// Its X-Forwarded-Host is another than the Host that was sent.
        ForwardedHostOther = 1 << 19 => "x-forwarded-host-other",
    }

    /// As it stands in the API: for a field its name in lower case.
    fn name;
}

impl Note {
    /// Whether it is a field that belongs to the connection between client and balancer.
    pub fn is_hop_by_hop(self) -> bool {
        match self {
            Note::KeepAlive
            | Note::ProxyConnection
            | Note::ProxyAuthorization
            | Note::Te
            | Note::Upgrade
            | Note::Trailer => true,
            Note::Compared
            | Note::ForwardedProto
            | Note::ForwardedHost
            | Note::Forwarded
            | Note::Via
            | Note::ForwardedFor
            | Note::Http10
            | Note::Http2
            | Note::Chunked
            | Note::Proxied
            | Note::ForwardedProtoTwice
            | Note::ForwardedHostTwice
            | Note::ForwardedProtoOther
            | Note::ForwardedHostOther => false,
        }
    }

    /// What is noted where this field has come before, or has two values: backends expect one, and take the first or the last of several.
    pub fn twice(self) -> Option<Note> {
        let twice =
            [(Note::ForwardedProto, Note::ForwardedProtoTwice), (Note::ForwardedHost, Note::ForwardedHostTwice)];
        twice.into_iter().find_map(|(once, twice)| (once == self).then_some(twice))
    }

    /// What is noted where this field has another value than a client that is alone with the balancer expects.
    pub fn other(self) -> Option<Note> {
        let other =
            [(Note::ForwardedProto, Note::ForwardedProtoOther), (Note::ForwardedHost, Note::ForwardedHostOther)];
        other.into_iter().find_map(|(field, other)| (field == self).then_some(other))
    }

    /// The note that a field of this name makes.
    pub fn of_field(name: &str) -> Option<Note> {
        // By length first: most fields make none.
        let note = match name.len() {
            2 => Note::Te,
            3 => Note::Via,
            7 if name.eq_ignore_ascii_case("trailer") => Note::Trailer,
            7 => Note::Upgrade,
            9 => Note::Forwarded,
            10 => Note::KeepAlive,
            15 => Note::ForwardedFor,
            16 if name.eq_ignore_ascii_case("x-forwarded-host") => Note::ForwardedHost,
            16 => Note::ProxyConnection,
            17 => Note::ForwardedProto,
            19 => Note::ProxyAuthorization,
            _ => return None,
        };
        name.eq_ignore_ascii_case(note.name()).then_some(note)
    }
}

/// What was noted about a request as it arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Notes(u32);

impl Notes {
    /// Nothing was noted.
    pub const NONE: Notes = Notes(0);

    /// As [`Notes::bits`] wrote them; bits without a meaning are dropped.
    pub fn from_bits(bits: u32) -> Notes {
        let mut notes = Notes::default();
        Note::ALL.into_iter().filter(|note| bits & *note as u32 != 0).for_each(|note| notes.add(note));
        notes
    }

    /// How many bits the notes have.
    pub const BITS: u32 = 20;

    /// One bit for each note, as records have it.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Adds a note.
    pub fn add(&mut self, note: Note) {
        self.0 |= note as u32;
    }

    /// Adds the note of a field with that value; X-Forwarded-Host is compared by whoever knows which Host was sent.
    pub fn add_field(&mut self, note: Note, value: &[u8]) {
        if note == Note::ForwardedProto && !value.trim_ascii().eq_ignore_ascii_case(b"http") {
            self.add(Note::ForwardedProtoOther);
        }
        if let Some(twice) = note.twice().filter(|_| self.contains(note) || value.contains(&b',')) {
            self.add(twice);
        }
        self.add(note);
    }

    /// Whether it was made.
    pub fn contains(self, note: Note) -> bool {
        self.0 & note as u32 != 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Note> {
        Note::ALL.into_iter().filter(move |note| self.contains(*note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_a_record_and_a_note_of_a_field_has_its_name() {
        for note in Note::ALL {
            let mut notes = Notes::default();
            notes.add(note);
            assert_eq!(Notes::from_bits(notes.bits()).iter().collect::<Vec<_>>(), [note]);
            let is_a_field = !matches!(
                note,
                Note::Compared
                    | Note::Http10
                    | Note::Http2
                    | Note::Chunked
                    | Note::Proxied
                    | Note::ForwardedProtoTwice
                    | Note::ForwardedHostTwice
                    | Note::ForwardedProtoOther
                    | Note::ForwardedHostOther
            );
            assert_eq!(Note::of_field(&note.name().to_uppercase()), is_a_field.then_some(note));
            assert!((note as u32) < 1 << Notes::BITS);
        }
        assert_eq!(Note::of_field("X-Forwarded-Fox"), None);
    }

    #[test]
    fn a_field_with_two_values_is_noted_in_one_line_or_in_two() {
        let twice = |values: &[&str]| {
            let mut notes = Notes::default();
            values.iter().for_each(|value| notes.add_field(Note::ForwardedProto, value.as_bytes()));
            assert!(notes.contains(Note::ForwardedProto) && !notes.contains(Note::ForwardedHostTwice));
            notes.contains(Note::ForwardedProtoTwice)
        };
        assert_eq!([twice(&["http"]), twice(&["http", "http"]), twice(&["https, http"])], [false, true, true]);
    }
}
