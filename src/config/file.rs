//! A file of settings, in TOML. What is wrong in it is named with its line.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Problem;

/// Read if it is in the working directory.
pub(crate) const FILE: &str = "uuid-generator.toml";

/// Its settings, and the line of `key`, if the file has it.
pub(super) fn read<T: DeserializeOwned>(path: &Path, key: &str) -> Result<(T, Option<usize>), Problem> {
    let text = std::fs::read_to_string(path).map_err(|why| {
        let hint = "create it, or choose another with --config";
        Problem::new(format!("failed to read {}: {why}", path.display())).hint(hint)
    })?;
    let settings = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        Problem::new(error.message().to_owned()).on(format!("{}, line {line}", path.display()))
    })?;
    #[derive(Deserialize)]
    struct Keys(std::collections::BTreeMap<String, toml::Spanned<toml::Value>>);
    let keys = toml::from_str::<Keys>(&text).ok();
    let line = keys.and_then(|Keys(keys)| Some(line_of(&text, keys.get(key)?.span().start)));
    Ok((settings, line))
}

fn line_of(text: &str, position: usize) -> usize {
    text[..position.min(text.len())].matches('\n').count() + 1
}
