//! Files that a configuration of Envoy takes parts from.

use serde_json::Value;

use crate::balancer::read::document::{at, get, keys, objects, text};

/// Other files that the configuration names, by their paths in it.
pub(crate) type NamedFiles<'l> = &'l dyn Fn(&str) -> Result<Value, String>;

/// Files that other files of it name, for routes, secrets and endpoints.
pub(super) fn load_named(documents: &mut Vec<(String, Value)>, load: NamedFiles, not_read: &mut Vec<String>) {
    let mut next = 0;
    while let Some((file, document)) = documents.get(next).cloned() {
        next += 1;
        // What a cluster or the whole takes from elsewhere is named where it is read.
        let is_read_there = |key: &str| ["eds_config", "cds_config", "lds_config"].contains(&key);
        let sources = objects(&document).into_iter().flat_map(|object| {
            let named = keys(object).into_iter().filter(|key| !is_read_there(key));
            named.filter_map(|key| at(object, &[&key, "path_config_source", "path"]).and_then(text)).collect::<Vec<_>>()
        });
        for path in sources {
            if documents.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let loaded = load(&path).unwrap_or_else(|why| {
                not_read.push(format!("{file}: {path}: {why}"));
                Value::Null
            });
            documents.push((path, loaded));
        }
    }
}

/// The path of a source, if it is a file.
pub(super) fn path(source: &Value) -> Option<String> {
    let path = at(source, &["path_config_source", "path"]).or_else(|| get(source, "path"))?;
    text(path)
}
