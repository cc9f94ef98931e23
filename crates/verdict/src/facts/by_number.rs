//! A map whose keys are numbers, as JSON has it: its keys are texts. serde reads those as numbers only where it reads from
//! JSON itself, not from what it has put aside to find out which of several shapes it is, as it does with facts.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(map: &BTreeMap<u16, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    map.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, u64>, D::Error> {
    struct Numbered;

    impl<'de> Visitor<'de> for Numbered {
        type Value = BTreeMap<u16, u64>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object whose names are numbers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((name, count)) = entries.next_entry::<String, u64>()? {
                let number =
                    name.parse().map_err(|_| A::Error::custom(format_args!("{name:?} is no number of a status")))?;
                map.insert(number, count);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Numbered)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Statuses {
        #[serde(with = "super")]
        statuses: BTreeMap<u16, u64>,
    }

    /// As facts stand in a finding: tagged and flattened.
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "rule", rename_all = "kebab-case")]
    enum Tagged {
        Seen(Statuses),
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Whole {
        #[serde(flatten)]
        tagged: Tagged,
    }

    #[test]
    fn what_is_tagged_and_flattened_is_read_as_it_was_written() {
        let whole = Whole { tagged: Tagged::Seen(Statuses { statuses: BTreeMap::from([(502, 3), (504, 1)]) }) };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(text, r#"{"rule":"seen","statuses":{"502":3,"504":1}}"#);
        assert_eq!(serde_json::from_str::<Whole>(&text).unwrap(), whole);
    }

    #[test]
    fn a_name_that_is_no_number_is_told() {
        let error = serde_json::from_str::<Whole>(r#"{"rule":"seen","statuses":{"many":3}}"#).unwrap_err();
        assert!(error.to_string().contains("is no number of a status"), "{error}");
    }
}
