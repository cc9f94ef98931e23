//! An attempt when it has been received, borrowed from its request and its connection, and its words in the journal: nothing is copied on the
//! way there.

use std::net::IpAddr;

use crate::wire::call::{self, CALL_WORDS};
use crate::wire::clipped::ClippedText;
use crate::wire::life::{self, LIFE_WORDS};
use crate::wire::record::{
    AsArrived, BODY_DIGEST_WORD, BODY_LENGTH_WORD, End, FLAGS_WORD, FORWARDED_BYTES, FURTHER_NOTES, HAS_CALL, HAS_LIFE,
    HAS_TLS, HOST_BYTES, LONGEST_PATH, METHOD_BYTES, METHOD_WORD, PATH_BYTES, RECORD_WORDS, Record, Refusal,
    TARGET_WORD, TEXT_WORD,
};
use crate::wire::{AttemptEnd, Generator, Moment, RequestId, ResponseId, Secured};
use verdict::Call;
use verdict::life::Life;
use verdict::notes::Notes;
use verdict::request::{Differences, FieldMask, SentBody};

/// An attempt that has not ended. What its fields mean, [`Record`] says.
pub(crate) struct ReceivedAttempt<'a> {
    pub(crate) received: Moment,
    pub(crate) generator: Generator,
    pub(crate) response: Option<ResponseId>,
    pub(crate) request: Option<RequestId>,
    pub(crate) on: AttemptConnection<'a>,
    pub(crate) method: ClippedText<'a, METHOD_BYTES>,
    pub(crate) path: ClippedText<'a, PATH_BYTES>,
    pub(crate) status: u16,
    pub(crate) arrived: &'a ArrivedHead<'a>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) life: Option<&'a Life>,
    pub(crate) call: Option<&'a Call>,
}

/// What of [`AsArrived`] is known when the head has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivedHead<'a> {
    pub(crate) differences: Differences,
    pub(crate) fields: FieldMask,
    pub(crate) notes: Notes,
    pub(crate) host: ClippedText<'a, HOST_BYTES>,
    pub(crate) forwarded_for: ClippedText<'a, FORWARDED_BYTES>,
    pub(crate) target: u64,
}

impl ArrivedHead<'_> {
    /// Of a request that could not be read.
    pub(crate) const NOTHING: ArrivedHead<'static> = ArrivedHead {
        differences: Differences::NONE,
        fields: FieldMask(0),
        notes: Notes::NONE,
        host: ClippedText::EMPTY,
        forwarded_for: ClippedText::EMPTY,
        target: 0,
    };
}

/// The connection on which it came, and its place there.
pub(crate) struct AttemptConnection<'a> {
    pub(crate) number: u64,
    pub(crate) request_number: u32,
    pub(crate) peer: End,
    pub(crate) tls: Option<&'a Secured>,
}

impl ReceivedAttempt<'_> {
    /// Writes it as the attempt with that number into words that are 0, and returns how many of them say something: in the journal, those after
    /// it may hold anything.
    pub(crate) fn write(&self, number: u64, words: &mut [u64; RECORD_WORDS]) -> usize {
        (words[0], words[1]) = (number, self.received.0);
        (words[3], words[4]) = self.response.map_or((0, 0), |answer| answer.0.as_u64_pair());
        (words[5], words[6]) = self.request.map_or((0, 0), |request| (request.run, request.sequence));
        let AttemptConnection { number, request_number, peer, tls } = &self.on;
        words[7] = *number;
        words[8] = u64::from(*request_number) << 32 | u64::from(self.generator.0) << 16 | u64::from(self.status);
        let peer = match peer {
            End::Address(address) => *address,
            End::Unix => End::UNIX,
        };
        let address = match peer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        (words[10], words[11]) = ((address >> 64) as u64, address as u64);
        let notes = u64::from(self.arrived.notes.bits());
        words[12] = u64::from(Refusal::code(self.refusal)) << 56
            | notes >> 16 << FURTHER_NOTES
            | u64::from(self.path.length.min(LONGEST_PATH)) << 32
            | u64::from(peer.port()) << 16
            | u64::from(self.method.length.min(255)) << 8
            | if self.life.is_some() { HAS_LIFE } else { 0 }
            | if self.call.is_some() { HAS_CALL } else { 0 }
            | if tls.is_some() { HAS_TLS } else { 0 }
            | AttemptEnd::Received.word();
        self.method.write(&mut words[METHOD_WORD..BODY_LENGTH_WORD]);
        let ArrivedHead { differences, fields, notes: _, host, forwarded_for, target } = self.arrived;
        words[TARGET_WORD] = *target;
        words[FLAGS_WORD] = u64::from(differences.bits())
            | u64::from(fields.0) << 16
            | (notes & 0xffff) << 32
            | u64::from(host.length.min(255)) << 48
            | u64::from(forwarded_for.length.min(255)) << 56;
        let mut used = TEXT_WORD;
        if let Some(life) = self.life {
            words[used..][..LIFE_WORDS].copy_from_slice(&life::to_words(life));
            used += LIFE_WORDS;
        }
        if let Some(call) = self.call {
            words[used..][..CALL_WORDS].copy_from_slice(&call::to_words(call));
            used += CALL_WORDS;
        }
        if let Some(tls) = tls {
            words[used] = tls.word();
            used += 1;
            used += tls.name.as_ref().map_or(0, |name| name.text().write(&mut words[used..]));
            used += tls.client.as_ref().map_or(0, |client| client.text().write(&mut words[used..]));
        }
        used += host.write(&mut words[used..]);
        used += forwarded_for.write(&mut words[used..]);
        used += self.path.write(&mut words[used..]);
        used
    }
}

impl Record {
    /// Of what had been received of it.
    pub(crate) fn as_received<'a>(&'a self, arrived: &'a ArrivedHead<'a>) -> ReceivedAttempt<'a> {
        ReceivedAttempt {
            received: self.received,
            generator: self.generator,
            response: self.response,
            request: self.request,
            on: AttemptConnection {
                number: self.connection,
                request_number: self.request_number,
                peer: self.peer,
                tls: self.tls.as_ref(),
            },
            method: self.method.text(),
            path: self.path.text(),
            status: self.status,
            arrived,
            refusal: self.refusal,
            life: self.life.as_ref(),
            call: self.call.as_ref(),
        }
    }

    /// The head of the request as it arrived.
    pub(crate) fn arrived_head(&self) -> ArrivedHead<'_> {
        let AsArrived { differences, fields, notes, host, forwarded_for, target, body: _ } = &self.arrived;
        let (differences, fields, notes, target) = (*differences, *fields, *notes, *target);
        ArrivedHead { differences, fields, notes, host: host.text(), forwarded_for: forwarded_for.text(), target }
    }

    /// The words of the journal, and how many of them say something.
    pub(crate) fn to_words(&self) -> ([u64; RECORD_WORDS], usize) {
        let mut words = [0; RECORD_WORDS];
        let used = self.as_received(&self.arrived_head()).write(self.number, &mut words);
        let SentBody { length, digest } = self.arrived.body;
        (words[BODY_LENGTH_WORD], words[BODY_DIGEST_WORD]) = (length, digest);
        let end = Record::end(|word| words[word], self.status, self.responded, self.bytes, self.outcome);
        for (word, value) in end {
            words[word] = value;
        }
        (words, used)
    }
}
