//! Texts in bodies that differ from response to response, and the expressions that find what differs in them.

use regex_lite::{Regex, escape};

/// What differs between bodies, in one place.
pub(super) struct DifferingText<'a> {
    /// What stands before its piece in the line and is always the same.
    context: String,
    /// Whether that begins where the line does.
    is_whole: bool,
    line: usize,
    before: &'a str,
    after: &'a str,
    /// Whether a `<` follows.
    before_tag: bool,
}

/// A line of a body, or what follows a `<` in it.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    line: usize,
    of_tag: bool,
    before_tag: bool,
}

/// The places where these bodies differ.
pub(super) fn that_differ<'a>(bodies: &[&'a str]) -> Vec<DifferingText<'a>> {
    let all: Vec<Vec<Piece<'a>>> = bodies.iter().map(|body| pieces(body)).collect();
    let Some(first) = all.first() else { return Vec::new() };
    let at = |number: usize| all.iter().filter_map(move |pieces| pieces.get(number)).map(|piece| piece.text);
    let is_constant: Vec<bool> = (0..first.len()).map(|number| at(number).all(|it| it == first[number].text)).collect();
    let differing = (0..first.len()).filter(|number| !is_constant[*number]);
    let found = differing.filter_map(|number| {
        let piece = first[number];
        let (before, after) = common(&at(number).collect::<Vec<_>>())?;
        let (before, after) = (&piece.text[..before.len()], &piece.text[piece.text.len() - after.len()..]);
        let is_of_line = |place: &usize| is_constant[*place] && first[*place].line == piece.line;
        let begin = (0..number).rev().take_while(is_of_line).last().unwrap_or(number);
        let mut context = if first[begin].of_tag { "<".to_owned() } else { String::new() };
        first[begin..number].iter().for_each(|piece| context += &format!("{}<", piece.text));
        let Piece { line, before_tag, .. } = piece;
        Some(DifferingText { context, is_whole: !first[begin].of_tag, line, before, after, before_tag })
    });
    found.collect()
}

fn pieces(body: &str) -> Vec<Piece<'_>> {
    const PIECES: usize = 400;
    body.lines().enumerate().flat_map(|(line, text)| split(line, text)).take(PIECES).collect()
}

fn split(line: usize, text: &str) -> Vec<Piece<'_>> {
    let parts: Vec<&str> = text.split('<').collect();
    let last = parts.len() - 1;
    let piece = |(place, text)| Piece { text, line, of_tag: place > 0, before_tag: place < last };
    parts.into_iter().enumerate().map(piece).collect()
}

impl<'a> DifferingText<'a> {
    /// What finds it.
    pub(super) fn value(&self) -> Option<Regex> {
        self.expression(self.before, "")
    }

    /// What finds it with the word before it, and that word; none without one.
    pub(super) fn word(&self) -> Option<(Regex, &'a str)> {
        let is_end = |it: char| it.is_whitespace() || "<>\"".contains(it);
        let word = self.before.trim_end().rsplit(is_end).next().filter(|word| word.chars().any(char::is_alphabetic))?;
        let (before, with_word) = self.before.split_at(self.before.trim_end().len() - word.len());
        Some((self.expression(before, with_word)?, word))
    }

    fn expression(&self, before: &str, word: &str) -> Option<Regex> {
        let value = format!("({}[^\\s<>\"]+)", escape(word));
        let after = escape(self.after.trim_end());
        let end = if self.before_tag { format!("{}<", escape(self.after)) } else { format!("{after}\\s*$") };
        let before = format!("{}{before}", self.context);
        let text = match before.trim_start() {
            before if !self.is_whole => format!("(?m){}{value}{end}", escape(before)),
            // Without a word before it, the line is found by its number.
            "" if word.is_empty() => format!("(?m)\\A(?:[^\\n]*\\n){{{}}}\\s*{value}{end}", self.line),
            before => format!("(?m)^\\s*{}{value}{end}", escape(before)),
        };
        Regex::new(&text).ok()
    }
}

/// What all of them begin and end with, up to the ends of words.
fn common<'a>(lines: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let first = *lines.first()?;
    let is_of_word = |character: char| character.is_alphanumeric() || "-_.:/[]".contains(character);
    let ahead =
        |line: &&str| first.chars().zip(line.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let mut before: usize = lines.iter().map(ahead).min()?;
    while before > 0 && first[..before].chars().next_back().is_some_and(is_of_word) {
        before -= first[..before].chars().next_back()?.len_utf8();
    }
    let behind = |line: &&str| {
        let pairs = first[before..].chars().rev().zip(line.get(before..).unwrap_or_default().chars().rev());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let mut after: usize = lines.iter().map(behind).min()?;
    while after > 0 && first[first.len() - after..].chars().next().is_some_and(is_of_word) {
        after -= first[first.len() - after..].chars().next()?.len_utf8();
    }
    Some((&first[..before], &first[first.len() - after..]))
}
