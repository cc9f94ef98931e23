//! Words that completions offer for an option that takes any text.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

/// A parser of values, and the words that completions offer for them.
#[derive(Clone)]
pub(crate) struct Suggesting<P> {
    parser: P,
    words: Vec<&'static str>,
}

/// Takes any text; the words are suggestions for completion.
pub(crate) fn text(words: Vec<&'static str>) -> Suggesting<StringValueParser> {
    Suggesting { parser: StringValueParser::new(), words }
}

/// What a type reads from a text.
pub(crate) fn parsed<T>(words: Vec<&'static str>) -> Suggesting<impl TypedValueParser<Value = T>>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    Suggesting { parser: StringValueParser::new().try_map(|text: String| text.parse::<T>()), words }
}

impl<P: TypedValueParser> TypedValueParser for Suggesting<P> {
    type Value = P::Value;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<P::Value, Error> {
        self.parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.words.iter().map(PossibleValue::new)))
    }
}
