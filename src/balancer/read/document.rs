//! A configuration that is data (YAML, TOML or JSON, by the file's name) as one tree, and how readers look
//! into it.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value};

/// The tree of a file: YAML unless its name ends in `.json` or `.toml`.
pub(crate) fn load(file: &Path) -> Result<Value> {
    let about = || format!("failed to read {}", file.display());
    let text = std::fs::read(file).with_context(about)?;
    parse(&String::from_utf8_lossy(&text), extension(file)).with_context(about)
}

fn extension(file: &Path) -> &str {
    file.extension().and_then(|it| it.to_str()).unwrap_or_default()
}

/// All trees of a file: YAML may have several documents.
pub(crate) fn load_all(file: &Path) -> Result<Vec<Value>> {
    let about = || format!("failed to read {}", file.display());
    match extension(file) {
        "json" | "toml" => Ok(vec![load(file)?]),
        _ => parse_all(&String::from_utf8_lossy(&std::fs::read(file).with_context(about)?)).with_context(about),
    }
}

/// The documents of a YAML file.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).map_err(|why| in_one_line(&why))
}

fn parse(text: &str, extension: &str) -> Result<Value> {
    match extension {
        "json" => Ok(serde_json::from_str(text)?),
        "toml" => toml::from_str(text).map_err(|why| of_toml(text, &why)),
        _ => serde_saphyr::from_str(text).map_err(|why| in_one_line(&why)),
    }
}

/// A picture of the place follows its first line. Of a key that occurs twice it would name a setting of the library.
fn in_one_line(why: &serde_saphyr::Error) -> anyhow::Error {
    if let serde_saphyr::Error::DuplicateMappingKey { key, location } = why.without_snippet() {
        let key = key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        return anyhow!("line {} column {}: duplicate key{key}", location.line(), location.column());
    }
    anyhow!("{}", why.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
}

/// In the same form: its own text is a picture of the place.
fn of_toml(text: &str, why: &toml::de::Error) -> anyhow::Error {
    let what = why.message().lines().collect::<Vec<_>>().join("; ");
    let Some(before) = why.span().and_then(|span| text.get(..span.start)) else { return anyhow!(what) };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    anyhow!("line {line} column {column}: {what}")
}

/// The value of a key that is written as `lb_policy` or as `lbPolicy`, which protocol buffers take for the same.
pub(crate) fn get<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(key).or_else(|| object.get(&camel(key))).filter(|it| !it.is_null())
}

/// The value at the end of a path of keys.
pub(crate) fn at<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(value, |value, key| get(value, key))
}

fn camel(key: &str) -> String {
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut whole, part| {
        let mut characters = part.chars();
        whole.extend(characters.next().map(|it| it.to_ascii_uppercase()));
        whole + characters.as_str()
    })
}

/// The keys of an object, each as it would be written with small letters and underscores.
pub(crate) fn keys(value: &Value) -> Vec<String> {
    let snake = |key: &String| {
        key.chars().fold(String::new(), |mut snake, character| {
            if character.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(character.to_ascii_lowercase());
            snake
        })
    };
    value.as_object().map(|object| object.keys().map(snake).collect()).unwrap_or_default()
}

/// A text, also where it looks like a number.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number, also as a text or in a wrapper of protocol buffers (`{ value: 5 }`).
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Object(_) => number(value.get("value")?),
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
    }
}

/// How often something is repeated: once, unless it says so.
pub(crate) fn times(value: &Value, key: &str) -> u32 {
    get(value, key).and_then(number).and_then(|it| u32::try_from(it).ok()).unwrap_or(1).max(1)
}

/// The items of a list; none if it is none.
pub(crate) fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The entries of an object; none if it is none.
pub(crate) fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// Every object of a tree, those in others after these.
pub(crate) fn objects(value: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(object) => {
                found.push(value);
                open.extend(object.values().rev());
            }
            Value::Array(items) => open.extend(items.iter().rev()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_grammars_make_the_same_tree() {
        let yaml = parse("a: &x { port: 80, host: 10.0.0.1 }\nb: [*x]\n", "yml").unwrap();
        let toml = parse("[a]\nport = 80\nhost = '10.0.0.1'\n[[b]]\nport = 80\nhost = '10.0.0.1'\n", "toml").unwrap();
        let json = "{\"a\": {\"port\": 80, \"host\": \"10.0.0.1\"}, \"b\": [{\"port\": 80, \"host\": \"10.0.0.1\"}]}";
        assert_eq!(yaml, toml);
        assert_eq!(yaml, parse(json, "json").unwrap());
        let why = parse("a: [1\nb: 2", "yaml").unwrap_err().to_string();
        assert!(why.starts_with("line 2 column 2") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_key_that_occurs_twice_is_named_with_its_place() {
        let why = |text: &str, extension: &str| parse(text, extension).unwrap_err().to_string();
        assert_eq!(why("a:\n  port: 80\n  port: 81\n", "yaml"), "line 3 column 3: duplicate key port");
        assert_eq!(why("a: { b: 1, b: 2 }\n", "yaml"), "line 1 column 12: duplicate key b");
        assert_eq!(parse_all("a: 1\n---\nb: 1\nb: 2\n").unwrap_err().to_string(), "line 4 column 1: duplicate key b");
        assert_eq!(why("[a]\nport = 80\nport = 81\n", "toml"), "line 3 column 1: duplicate key");
        assert!(!why("[a]\nport = \n", "toml").contains('\n'));
    }

    #[test]
    fn keys_and_values_are_found_however_protocol_buffers_write_them() {
        let tree: Value =
            serde_json::json!({"lbPolicy": "RANDOM", "load_assignment": {"port_value": "80", "w": {"value": 3}}});
        assert_eq!(get(&tree, "lb_policy").and_then(text).as_deref(), Some("RANDOM"));
        assert_eq!(at(&tree, &["load_assignment", "port_value"]).and_then(number), Some(80));
        assert_eq!(at(&tree, &["load_assignment", "w"]).and_then(number), Some(3));
        assert_eq!(keys(&tree), ["lb_policy", "load_assignment"]);
        assert_eq!(objects(&tree).len(), 3);
    }
}
