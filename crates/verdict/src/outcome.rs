//! PURE. What became of a request: one class for each.

/// The one class of an entry of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
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

impl Outcome {
    /// All of them, in the order in which they are told.
    pub const ALL: [Outcome; 13] = [
        Outcome::Delivered,
        Outcome::Retried,
        Outcome::Duplicated,
        Outcome::Mirrored,
        Outcome::Lost,
        Outcome::Unserved,
        Outcome::Balancer,
        Outcome::Stale,
        Outcome::Swapped,
        Outcome::Truncated,
        Outcome::Altered,
        Outcome::Alien,
        Outcome::Unanswered,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Retried => "retried",
            Outcome::Duplicated => "duplicated",
            Outcome::Mirrored => "mirrored",
            Outcome::Lost => "lost",
            Outcome::Unserved => "unserved",
            Outcome::Balancer => "balancer",
            Outcome::Stale => "stale",
            Outcome::Swapped => "swapped",
            Outcome::Truncated => "truncated",
            Outcome::Altered => "altered",
            Outcome::Alien => "alien",
            Outcome::Unanswered => "unanswered",
        }
    }

    /// In a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Outcome::Delivered => "one attempt, one answer",
            Outcome::Retried => "an attempt failed, the next one was delivered",
            Outcome::Duplicated => "executed more than once, though delivered once",
            Outcome::Mirrored => "delivered, and copied to a backend whose answers nobody gets",
            Outcome::Lost => "executed by a backend, and no answer came back",
            Outcome::Unserved => "no backend received it, no answer came back",
            Outcome::Balancer => "answered by the balancer itself",
            Outcome::Stale => "got an answer that was given before: a cache",
            Outcome::Swapped => "got the answer to another request",
            Outcome::Truncated => "the answer ended before its end",
            Outcome::Altered => "the answer is not what the backend wrote",
            Outcome::Alien => "answered by a backend of which the fleet has no record",
            Outcome::Unanswered => "no answer came back; whether a backend executed it cannot be known",
        }
    }
}
