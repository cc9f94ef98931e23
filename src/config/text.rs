//! Values that read alike in all layers: typed on the command line, in a variable, or in the file.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use crate::topology::{
    BackendName, BackendProtocol, BackendSelection, CertificateCheck, Host, HttpPath, NamedBackends, Ports, Sockets,
    StartFaults, TlsFile, Weights,
};

/// `true` or `false`, also as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flag(pub(crate) bool);

impl FromStr for Flag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Flag, &'static str> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(Flag(true)),
            "false" | "0" | "no" | "off" => Ok(Flag(false)),
            _ => Err("expected true or false"),
        }
    }
}

/// A whole number within limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (MIN..=MAX).contains(count));
        count.map(Count).ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}"))
    }
}

/// Records of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PowerOfTwo(pub(crate) u32);

impl FromStr for PowerOfTwo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PowerOfTwo, &'static str> {
        let count = text.parse().ok().filter(|count: &u32| count.is_power_of_two() && (64..=1 << 22).contains(count));
        count.map(PowerOfTwo).ok_or("expected a power of two from 64 to 4194304")
    }
}

/// One text or several.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or a list of texts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = texts.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(OneOrMore)
}

/// A value of the file or of a variable, as it would be typed: a list of the file is joined by commas.
struct TypedText(String);

impl<'de> Deserialize<'de> for TypedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TypedText, D::Error> {
        struct AsTyped;

        impl<'de> Visitor<'de> for AsTyped {
            type Value = TypedText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<TypedText, E> {
                Ok(TypedText(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<TypedText, E> {
                Ok(TypedText(number.to_string()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<TypedText, E> {
                Ok(TypedText(flag.to_string()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut parts: A) -> Result<TypedText, A::Error> {
                let mut all = Vec::new();
                while let Some(TypedText(part)) = parts.next_element()? {
                    all.push(part);
                }
                Ok(TypedText(all.join(",")))
            }
        }

        deserializer.deserialize_any(AsTyped)
    }
}

macro_rules! read_as_typed {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let TypedText(text) = TypedText::deserialize(deserializer)?;
                text.parse().map_err(|why| serde::de::Error::custom(format!("{why}, found {text:?}")))
            }
        }
    )*};
}

read_as_typed!(
    BackendName,
    Flag,
    PowerOfTwo,
    Ports,
    BackendSelection,
    Host,
    Sockets,
    HttpPath,
    Weights,
    StartFaults,
    BackendProtocol,
    CertificateCheck,
    TlsFile
);

/// As it is typed, a list of such parts, or a table of names with one address or a list of them.
impl<'de> Deserialize<'de> for NamedBackends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list, or a table of names and addresses")
            }

            fn visit_str<E>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut parts: A) -> Result<String, A::Error> {
                let mut all = Vec::new();
                while let Some(TypedText(part)) = parts.next_element()? {
                    all.push(part);
                }
                Ok(all.join(","))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut table: A) -> Result<String, A::Error> {
                let mut all = Vec::new();
                while let Some((name, TypedText(addresses))) = table.next_entry::<String, TypedText>()? {
                    all.extend(addresses.split(',').map(|address| format!("{name}={address}")));
                }
                Ok(all.join(","))
            }
        }

        let text = deserializer.deserialize_any(Table)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TypedText(text) = TypedText::deserialize(deserializer)?;
        text.parse().map_err(|why| serde::de::Error::custom(format!("{why}, found {text:?}")))
    }
}
