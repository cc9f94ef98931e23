//! A file of settings, in TOML. What is wrong in it is named with its line.

use std::io::ErrorKind;
use std::path::Path;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;
use crate::error::Problem;

/// Read if it is in the working directory.
pub(crate) const FILE: &str = "uuid-generator.toml";

/// Its settings, and the line of `key`, if the file has it.
pub(super) fn read<T: for<'de> Deserialize<'de>>(path: &Path, key: &str) -> Result<(T, Option<usize>), Problem> {
    let text = std::fs::read_to_string(path).map_err(|why| {
        let (why, hint) = match why.kind() {
            ErrorKind::NotFound => (why.to_string(), "create it, or choose another with --config"),
            ErrorKind::InvalidData => ("it is not text in UTF-8".to_owned(), "choose another with --config"),
            _ => (why.to_string(), "choose another with --config"),
        };
        Problem::new(format!("failed to read {}: {why}", path.display())).hint(hint)
    })?;
    let (settings, at) = parse(&text, key).map_err(|mistake| {
        let line = line_of(&text, mistake.at.unwrap_or_default());
        let problem = Problem::new(mistake.what).on(format!("{}, line {line}", path.display()));
        match mistake.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    })?;
    Ok((settings, at.map(|at| line_of(&text, at))))
}

/// The settings of a text, and where in it a key is.
fn parse<T: for<'de> Deserialize<'de>>(text: &str, key: &str) -> Result<(T, Option<usize>), Mistake> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        misspelt(text, at).unwrap_or_else(|| Mistake::new(error.message())).at(at)
    })?;
    let place = table.get_ref().iter().find(|(name, _)| name.get_ref() == key);
    let settings = T::deserialize(FileTable { entries: table.get_ref().iter(), value: None })?;
    Ok((settings, place.map(|(name, _)| name.span().start)))
}

/// A text without its quotes, the most frequent mistake: `ports = 9001-9003`.
fn misspelt(text: &str, at: usize) -> Option<Mistake> {
    let line = text.lines().nth(line_of(text, at) - 1)?;
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next()?.trim());
    let is_plain = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']) && !value.contains('"');
    is_plain.then(|| Mistake {
        hint: Some(format!("a text stands in quotes: {key} = \"{value}\"")),
        ..Mistake::new(format!("expected a value, found {value}"))
    })
}

fn line_of(text: &str, position: usize) -> usize {
    text[..position.min(text.len())].matches('\n').count() + 1
}

/// A value of the file, for the types of settings.
struct Value<'a>(&'a Spanned<DeValue<'a>>);

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(Mistake::new(format!("expected a smaller number, found {}", number.as_str()))),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Mistake::new(format!("expected a number, found {}", number.as_str()))),
            },
            DeValue::Boolean(flag) => visitor.visit_bool(*flag),
            DeValue::Datetime(_) => Err(Mistake::invalid_type(Unexpected::Other("a date"), &visitor)),
            DeValue::Array(values) => visitor.visit_seq(List(values.iter())),
            DeValue::Table(table) => visitor.visit_map(FileTable { entries: table.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_enum(text.as_ref().into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct List<I>(I);

impl<'de, I: Iterator<Item = &'de Spanned<DeValue<'de>>>> SeqAccess<'de> for List<I> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let read = |value: &'de Spanned<DeValue<'de>>| {
            seed.deserialize(Value(value)).map_err(|mistake| mistake.at(value.span().start))
        };
        self.0.next().map(read).transpose()
    }
}

/// A table, also the whole file.
struct FileTable<'a, I> {
    entries: I,
    value: Option<&'a Spanned<DeValue<'a>>>,
}

impl<'de, K: AsRef<str> + 'de, I: Iterator<Item = (&'de Spanned<K>, &'de Spanned<DeValue<'de>>)>> MapAccess<'de>
    for FileTable<'de, I>
{
    type Error = Mistake;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        let name = key.get_ref().as_ref().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|mistake: Mistake| mistake.at(key.span().start))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Mistake> {
        let value = self.value.take().ok_or_else(|| Mistake::new("a key without its value"))?;
        seed.deserialize(Value(value)).map_err(|mistake| mistake.at(value.span().start))
    }
}

impl<'de, K: AsRef<str> + 'de, I: Iterator<Item = (&'de Spanned<K>, &'de Spanned<DeValue<'de>>)>> Deserializer<'de>
    for FileTable<'de, I>
{
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Default, Debug)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    #[allow(dead_code, reason = "what is read is not looked at, but for its mistakes")]
    struct Settings {
        requests: Option<u64>,
        rate: Option<f64>,
        chunked: bool,
        header: Vec<String>,
        log: Option<Log>,
        check: Vec<Settings>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "kebab-case")]
    enum Log {
        Text,
        Json,
    }

    fn mistake(text: &str) -> (usize, String, String) {
        let mistake = parse::<Settings>(text, "requests").unwrap_err();
        (line_of(text, mistake.at.unwrap()), mistake.what, mistake.hint.unwrap_or_default())
    }

    #[test]
    fn of_many_keys_the_most_similar_are_named() {
        let Mistake { hint, .. } =
            Mistake::unknown_field("zzzqqq", &["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8", "i9"]);
        let hint = hint.unwrap();
        assert!(hint.starts_with("the most similar are a1, b2 and c3; keys have the names of options"), "{hint}");
    }

    #[test]
    fn a_mistake_is_told_in_words_with_its_line() {
        for (text, line, what, hint) in [
            ("\nrequests = \"many\"", 2, "expected a whole number, found \"many\"", ""),
            ("requests = 1.5", 1, "expected a whole number, found 1.5", ""),
            ("requests = -1", 1, "expected a whole number, found -1", ""),
            ("rate = \"fast\"", 1, "expected a number, found \"fast\"", ""),
            ("chunked = 1", 1, "expected true or false, found 1", ""),
            ("header = 5", 1, "expected a list, found 5", ""),
            ("header = [\n\"a\",\n5]", 3, "expected a text in quotes, found 5", ""),
            ("reqests = 5", 1, "no such key: reqests", "did you mean requests?"),
            ("[[check]]\nrequests = 5\n\n[[check]]\nxyz = 5", 5, "no such key: xyz", "keys here are requests, rate, "),
            ("log = \"txt\"", 1, "expected one of text, json, found \"txt\"", "did you mean \"text\"?"),
            ("requests = 9001-9003", 1, "expected a value, found 9001-9003", "requests = \"9001-9003\""),
            ("check = 5", 1, "expected a list, found 5", ""),
            ("[check]\nrequests = 5", 1, "expected a list, found a table", "[[check]]"),
            ("check = [5]", 1, "expected a table, found 5", ""),
            ("requests = 99999999999999999999", 1, "expected a smaller number, found 99999999999999999999", ""),
        ] {
            let (at, told, more) = mistake(text);
            assert_eq!((at, told.as_str()), (line, what), "{text}");
            assert!(more.contains(hint), "{text}: {more}");
        }
    }

    #[test]
    fn what_is_right_is_read_and_a_key_is_found() {
        let text =
            "rate = 5\n\nrequests = 0x10\nlog = \"json\"\nheader = [\"a\"]\n[[check]]\nrequests = 1\nchunked = true\n";
        let (settings, at) = parse::<Settings>(text, "requests").unwrap();
        assert_eq!((settings.rate, settings.requests, settings.header.len()), (Some(5.0), Some(16), 1));
        assert!(matches!(settings.log, Some(Log::Json)) && settings.check[0].chunked);
        assert_eq!(at.map(|at| line_of(text, at)), Some(3));
    }
}
