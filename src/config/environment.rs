//! Settings of the environment: `UUID_GENERATOR_MAX_CONNECTIONS` is `max-connections`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::de::value::MapDeserializer;
use serde::de::{IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

use super::layer::Layer;
use super::mistake::Mistake;
use super::nearest::nearest;
use crate::error::Problem;

pub(super) const PREFIX: &str = "UUID_GENERATOR_";

/// The variables that are ours, without their prefix.
pub(super) fn variables() -> BTreeMap<String, OsString> {
    let ours = |(name, value): (OsString, OsString)| Some((name.to_str()?.strip_prefix(PREFIX)?.to_owned(), value));
    std::env::vars_os().filter_map(ours).collect()
}

/// Reads them as a layer of settings with these options.
pub(super) fn read<T>(variables: BTreeMap<String, OsString>) -> Result<T, Problem>
where
    T: clap::Args + Layer + Default + for<'de> Deserialize<'de>,
{
    let known = T::augment_args(clap::Command::new("settings"));
    let known: Vec<&str> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
    let mut all = T::default();
    for (name, value) in variables {
        let variable = format!("{PREFIX}{name}");
        let key = name.to_ascii_lowercase().replace('_', "-");
        if !known.contains(&key.as_str()) {
            let name = |key: &str| format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"));
            let hint = match nearest(&key, known.iter().copied()) {
                Some(key) => format!("did you mean {}?", name(key)),
                None => format!("settings are {}", known.iter().map(|key| name(key)).collect::<Vec<_>>().join(", ")),
            };
            return Err(Problem::new("no such setting").on(variable).hint(hint));
        }
        let not_utf8 = |_| Problem::new("its value is not UTF-8").on(&variable);
        let value = value.into_string().map_err(not_utf8)?;
        let one = T::deserialize(MapDeserializer::new(std::iter::once((key.as_str(), Variable(&value)))));
        all = all.or(one.map_err(|mistake: Mistake| Problem::new(mistake.what).on(variable))?);
    }
    Ok(all)
}

/// The value of a variable, for settings that are there or not.
struct Variable<'a>(&'a str);

impl<'de> IntoDeserializer<'de, Mistake> for Variable<'de> {
    type Deserializer = Variable<'de>;

    fn into_deserializer(self) -> Variable<'de> {
        self
    }
}

impl<'de> Deserializer<'de> for Variable<'de> {
    type Error = Mistake;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
