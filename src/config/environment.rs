//! Settings of the environment: `UUID_GENERATOR_MAX_CONNECTIONS` is `max-connections`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use serde::de::value::MapDeserializer;
use serde::de::{IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

use super::layer::Layer;
use super::mistake::Mistake;
use super::nearest::nearest;
use crate::error::Problem;
use crate::platform::PORTABLE;

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
        if is_service_link(&name, &value) || variable == PORTABLE {
            continue;
        }
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

/// Kubernetes sets such variables for each Service of a namespace, with the name of the Service before them: one that is named
/// `uuid-generator` would otherwise stop the fleet from starting. None of our settings ends like them.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = format!("_{name}");
    // NAME_SERVICE_HOST, NAME_SERVICE_PORT, NAME_SERVICE_PORT_http
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    // NAME_PORT=tcp://10.0.0.1:80
    if name.ends_with("_PORT") && value.to_str().is_some_and(|value| value.contains("://")) {
        return true;
    }
    // NAME_PORT_80_TCP, and the same with _PROTO, _PORT, _ADDR
    let Some((_, link)) = name.rsplit_once("_PORT_") else { return false };
    let mut words = link.split('_');
    words.next().is_some_and(is_number)
        && words.next().is_some_and(|word| PROTOCOLS.contains(&word))
        && words.next().is_none_or(|word| ["PROTO", "PORT", "ADDR"].contains(&word))
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    #[test]
    fn what_kubernetes_says_of_services_is_no_setting() {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "80"),
            ("SERVICE_PORT_http", "80"),
            ("PORT", "tcp://10.0.0.1:80"),
            ("PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("PORT_80_TCP_PROTO", "tcp"),
            ("PORT_80_TCP_PORT", "80"),
            ("PORT_80_TCP_ADDR", "10.0.0.1"),
            ("HEADLESS_SERVICE_HOST", "10.0.0.1"),
            ("9001_PORT_9001_UDP_ADDR", "10.0.0.1"),
            ("CONTROL_PORT", "tcp://10.0.0.1:9000"),
        ] {
            assert!(is_service_link(name, OsStr::new(value)), "{name}");
        }
        for (name, value) in [("PORT", "80"), ("PORTS", "9001"), ("PRTS", "1"), ("HOST", "a"), ("PORT_TCP", "80")] {
            assert!(!is_service_link(name, OsStr::new(value)), "{name}");
        }
    }

    #[test]
    fn none_of_our_settings_looks_like_what_kubernetes_says() {
        let command = crate::config::fleet::FleetConfig::augment_args(clap::Command::new("settings"));
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let name = option.to_ascii_uppercase().replace('-', "_");
            assert!(!is_service_link(&name, OsStr::new("127.0.0.1:9000")), "{option}");
        }
    }
}
