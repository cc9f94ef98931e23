//! A report for programs; its shape is `schemas/report-v2.json`.

use verdict::report::Report;

/// With line breaks, so that it can be read too.
pub(crate) fn json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report holds nothing that JSON cannot say");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/report-v2.json");

    fn generated() -> serde_json::Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        let mut schema = settings.into_generator().into_root_schema_for::<Report>().to_value();
        schema["title"] = "Report of uuid-generator check".into();
        schema
    }

    #[test]
    fn the_schema_in_the_repository_is_that_of_the_report() {
        if std::env::var_os("WRITE_SCHEMA").is_some() {
            std::fs::write(FILE, serde_json::to_string_pretty(&generated()).unwrap() + "\n").unwrap();
        }
        let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
        assert_eq!(
            kept,
            generated(),
            "write it anew: WRITE_SCHEMA=1 cargo test --lib schema; a field that went asks for a new version"
        );
    }

    #[test]
    fn reports_fit_the_schema_and_others_do_not() {
        let schema = jsonschema::validator_for(&generated()).unwrap();
        for report in example::all() {
            let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
            assert!(schema.is_valid(&value), "{:?}", schema.validate(&value).err());
            let again: Report = serde_json::from_value(value.clone()).unwrap();
            // Not all digits of figures survive: those of the account do.
            assert_eq!((again.verdict, &again.checks[0].account), (report.verdict, &report.checks[0].account));
            for path in ["/checks/0/account/sent", "/checks/0/verdict", "/version"] {
                let mut broken = value.clone();
                *broken.pointer_mut(path).unwrap() = "misspelt".into();
                assert!(!schema.is_valid(&broken), "{path}");
            }
            let mut broken = value;
            broken["checks"][0].as_object_mut().unwrap().remove("findings");
            assert!(!schema.is_valid(&broken));
        }
    }
}
