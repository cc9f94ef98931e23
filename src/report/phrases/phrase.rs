//! What all phrases are made of.

use std::collections::BTreeMap;

use verdict::numbers::{count_of, grouped};

/// What a rule's phrases give: the sentence, figures beyond it, and what to try.
pub(super) struct Phrase {
    pub(super) summary: String,
    pub(super) evidence: Vec<String>,
    pub(super) hint: Option<String>,
}

impl Phrase {
    pub(super) fn of(summary: impl Into<String>) -> Phrase {
        Phrase { summary: summary.into(), evidence: Vec::new(), hint: None }
    }

    pub(super) fn because(self, evidence: Vec<String>) -> Phrase {
        Phrase { evidence, ..self }
    }

    pub(super) fn try_this(self, hint: impl Into<String>) -> Phrase {
        Phrase { hint: Some(hint.into()), ..self }
    }
}

/// Why backends failed, where they were too slow.
pub(super) fn gave_up(requests: u64) -> String {
    format!(
        "the balancer gave up waiting for a backend in {}, the warm-up included (504)",
        count_of(requests, "request")
    )
}

/// `by backend: 9001: 3, 9002: 17`; none without any. Of many those with the most.
pub(super) fn by_backend(backends: &BTreeMap<String, u64>) -> Option<String> {
    const MOST: usize = 8;
    let mut most: Vec<(&String, &u64)> = backends.iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    most.truncate(MOST);
    let others = backends.len() - most.len();
    // Among themselves as they are called.
    most.sort();
    let counts: Vec<String> = most.iter().map(|(name, count)| format!("{name}: {}", grouped(**count))).collect();
    let others = if others > 0 { format!(" and {others} others") } else { String::new() };
    (!counts.is_empty()).then(|| format!("by backend: {}{others}", counts.join(", ")))
}

/// ` (nginx.conf, line 7: return 503)`: the lines of a configuration that do something; nothing where none do.
pub(super) fn by_lines(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        [only] => format!(" ({only})"),
        [first, rest @ ..] => format!(" ({first}, and {} more)", rest.len()),
    }
}

/// `9001`, `9001 and 9002`, `9001, 9002 and 9003`; of many the first: `9001, 9002, 9003 and 297 others`.
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    const MOST: usize = 16;
    const FIRST: usize = 12;
    match names {
        [first @ .., _] if first.len() >= MOST => {
            let shown: Vec<&str> = names[..FIRST].iter().map(AsRef::as_ref).collect();
            format!("{} and {} others", shown.join(", "), names.len() - FIRST)
        }
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}
