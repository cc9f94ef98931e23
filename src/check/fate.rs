//! PURE. What became of a request: one class for each.

/// The one class of an entry of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fate {
    /// One attempt, and its whole answer came back.
    Delivered,
    /// An attempt failed, another backend or the same was tried, and that answer came back.
    Retried,
    /// More than one attempt was executed, and one answer came back.
    Duplicated,
    /// Copies went to backends whose answers nobody gets.
    Mirrored,
    /// A backend executed it and no answer came back.
    Lost,
    /// No backend received it and no answer came back.
    Unserved,
    /// No backend's answer came back but one of the balancer's own.
    Balancer,
    /// An answer came back that had been given to another request: a cache.
    Stale,
    /// The answer to another request came back, which did not get it itself.
    Swapped,
    /// The answer ended before its end.
    Truncated,
    /// The answer is not as the backend wrote it.
    Altered,
    /// A backend answered of which the fleet has no record.
    Alien,
    /// No answer came back, and nobody can say whether a backend executed it, for the backends are not ours.
    Unanswered,
}

impl Fate {
    /// All of them, in the order in which they are told.
    pub const ALL: [Fate; 13] = [
        Fate::Delivered,
        Fate::Retried,
        Fate::Duplicated,
        Fate::Mirrored,
        Fate::Lost,
        Fate::Unserved,
        Fate::Balancer,
        Fate::Stale,
        Fate::Swapped,
        Fate::Truncated,
        Fate::Altered,
        Fate::Alien,
        Fate::Unanswered,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Retried => "retried",
            Fate::Duplicated => "duplicated",
            Fate::Mirrored => "mirrored",
            Fate::Lost => "lost",
            Fate::Unserved => "unserved",
            Fate::Balancer => "balancer",
            Fate::Stale => "stale",
            Fate::Swapped => "swapped",
            Fate::Truncated => "truncated",
            Fate::Altered => "altered",
            Fate::Alien => "alien",
            Fate::Unanswered => "unanswered",
        }
    }

    /// In a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Fate::Delivered => "one attempt, one answer",
            Fate::Retried => "an attempt failed, the next one was delivered",
            Fate::Duplicated => "executed more than once, though delivered once",
            Fate::Mirrored => "delivered, and copied to a backend whose answers nobody gets",
            Fate::Lost => "executed by a backend, and no answer came back",
            Fate::Unserved => "no backend received it, no answer came back",
            Fate::Balancer => "answered by the balancer itself",
            Fate::Stale => "got an answer that was given before: a cache",
            Fate::Swapped => "got the answer to another request",
            Fate::Truncated => "the answer ended before its end",
            Fate::Altered => "the answer is not what the backend wrote",
            Fate::Alien => "answered by a backend of which the fleet has no record",
            Fate::Unanswered => "no answer came back; whether a backend executed it cannot be known",
        }
    }
}
