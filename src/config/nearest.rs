//! What a mistyped word may have meant.

/// Below this a word is another one rather than a mistake: the measure and the limit of clap, so that all suggestions are alike.
const SIMILAR: f64 = 0.7;

/// The known words, the closest first.
pub(super) fn by_likeness<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut words: Vec<&str> = known.into_iter().collect();
    words.sort_by(|one, other| strsim::jaro(typed, other).total_cmp(&strsim::jaro(typed, one)));
    words
}

/// The known word that is closest, if one is close.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|word| (strsim::jaro(typed, word), word));
    let close = scored.filter(|(score, _)| *score > SIMILAR);
    close.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_word_is_proposed_and_a_distant_one_is_not() {
        let known = ["even", "lossless", "round-robin", "random"];
        assert_eq!(nearest("evn", known), Some("even"));
        assert_eq!(nearest("roundrobin", known), Some("round-robin"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("", known), None);
    }
}
