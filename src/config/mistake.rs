//! What is wrong in a value that was read: in words of the file, not of the library that reads it.

use std::fmt::{self, Display};

use serde::de::{Error, Expected, Unexpected};

use super::nearest::{by_likeness, nearest};

/// More keys than these would be a wall of text in an error.
const FEW: usize = 8;

/// A mistake, with the place in the text.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) hint: Option<String>,
    /// In bytes from the beginning; None until whoever knows it says so.
    pub(super) at: Option<usize>,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>) -> Mistake {
        Mistake { what: what.into(), hint: None, at: None }
    }

    /// The innermost place wins.
    pub(super) fn at(self, place: usize) -> Mistake {
        Mistake { at: self.at.or(Some(place)), ..self }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Mistake {}

impl Error for Mistake {
    fn custom<T: Display>(what: T) -> Mistake {
        Mistake::new(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        let expected = expected.to_string();
        // One pair of brackets makes a table, two make an entry of a list.
        let is_table = expected == "a sequence" && found == Unexpected::Map;
        Mistake {
            hint: is_table.then(|| "name it in two pairs of brackets: [[check]]".to_owned()),
            ..Mistake::new(format!("expected {}, found {}", describe_expected(&expected), describe_found(found)))
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        Mistake::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Mistake {
        Mistake {
            hint: nearest(found, expected.iter().copied()).map(|word| format!("did you mean \"{word}\"?")),
            ..Mistake::new(format!("expected one of {}, found \"{found}\"", expected.join(", ")))
        }
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Mistake {
        let hint = match (nearest(found, expected.iter().copied()), expected.len()) {
            (Some(key), _) => format!("did you mean {key}?"),
            (None, ..=FEW) => format!("keys here are {}", expected.join(", ")),
            (None, _) => match by_likeness(found, expected.iter().copied())[..] {
                [first, second, third, ..] => {
                    format!(
                        "the most similar are {first}, {second} and {third}; keys have the names of options, apart from those of a whole run (--with, --from, --fleet, --report)"
                    )
                }
                _ => String::new(),
            },
        };
        Mistake { hint: Some(hint), ..Mistake::new(format!("no such key: {found}")) }
    }
}

/// What serde's types expect, as a person would write it.
fn describe_expected(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number",
        "a nonzero u32" => "a whole number from 1",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    }
}

fn describe_found(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("\"{text}\""),
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Other(what) => what.to_owned(),
        other => other.to_string(),
    }
}
