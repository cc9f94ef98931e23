//! Words that nothing says which a user reads: the README and the book with the help of all commands, the schemas, the page, and the sentences of the
//! program.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Of a language of our own that the field does not speak.
const NEVER: [&str; 18] = [
    "told",
    "said",
    "beside them",
    "from here",
    "in turns",
    "as the balancer has it",
    "so many",
    "for so long",
    "is struck",
    "stands for",
    "alien",
    "fate",
    "cursor",
    "cursors",
    "member",
    "members",
    "errand",
    "wish",
];

/// The first of them in a text.
fn found(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = format!(" {} ", words.join(" "));
    NEVER.into_iter().find(|never| words.contains(&format!(" {never} ")))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            all.push(path);
        }
    }
    all
}

/// Sentences among the string literals of a file: with a space. Attributes, documentation and tests are left out.
fn sentences(tokens: TokenStream, found: &mut Vec<String>) {
    let mut before = [String::new(), String::new()];
    for token in tokens {
        match &token {
            TokenTree::Group(group) => {
                let is_attribute = group.delimiter() == Delimiter::Bracket && matches!(before[1].as_str(), "#" | "!");
                let is_tests = before == ["mod", "tests"];
                if !is_attribute && !is_tests {
                    sentences(group.stream(), found);
                }
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.starts_with('"') && text.contains(' ') {
                    // Names of values within braces are code.
                    let prose = text.split('{').enumerate().map(|(place, part)| match part.split_once('}') {
                        Some((_, after)) if place > 0 => after,
                        Some(_) | None => part,
                    });
                    found.push(prose.collect::<Vec<_>>().join("…"));
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
        let text = if let TokenTree::Group(_) = token { String::new() } else { token.to_string() };
        before = [std::mem::take(&mut before[1]), text];
    }
}

#[test]
fn the_program_speaks_the_words_of_the_field() {
    let mut count = 0;
    for folder in ["src", "crates/verdict/src", "crates/api/src"] {
        for file in files(&Path::new(ROOT).join(folder), "rs") {
            if file.ends_with("tests.rs")
                || file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tests"))
            {
                continue;
            }
            let mut all = Vec::new();
            sentences(fs::read_to_string(&file).unwrap().parse().unwrap(), &mut all);
            for text in &all {
                assert_eq!(found(text), None, "{}: {text}", file.display());
            }
            count += all.len();
        }
    }
    assert!(count > 500, "only {count} sentences were found");
}

#[test]
fn the_page_speaks_the_words_of_the_field() {
    let page = Path::new(ROOT).join("src/fleet/page");
    let html = fs::read_to_string(page.join("index.html")).unwrap();
    let text: String =
        html.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| format!("{text}\n")).collect();
    assert_eq!(found(&text), None, "{text}");
    let mut count = 0;
    for file in files(&page, "js").iter().filter(|file| !file.to_string_lossy().contains("vendor")) {
        for line in fs::read_to_string(file).unwrap().lines().filter(|line| !line.trim_start().starts_with("//")) {
            for quote in ['"', '`', '\''] {
                for text in line.split(quote).skip(1).step_by(2).filter(|text| text.contains(' ')) {
                    assert_eq!(found(text), None, "{}: {line}", file.display());
                    count += 1;
                }
            }
        }
    }
    assert!(count > 50, "only {count} texts were found");
}

#[test]
fn the_documentation_speaks_the_words_of_the_field() {
    let mut documents = files(&Path::new(ROOT).join("docs"), "md");
    documents.extend(
        ["README.md", "SECURITY.md", "CHANGELOG.md", "load_balancer.conf", "src/commands/init.toml"]
            .map(|it| Path::new(ROOT).join(it)),
    );
    for document in documents.iter().filter(|document| !document.components().any(|part| part.as_os_str() == "results"))
    {
        let mut before = String::new();
        for line in fs::read_to_string(document).unwrap().lines() {
            // Code is spelt as it is.
            let prose: String = line.split('`').step_by(2).collect();
            assert_eq!(found(&format!("{before} {prose}")), None, "{}: {line}", document.display());
            before = prose;
        }
    }
}

/// The descriptions in a schema.
fn descriptions<'v>(value: &'v Value, all: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some(text) if ["description", "summary"].contains(&name.as_str()) => all.push(text),
                    Some(_) | None => descriptions(value, all),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| descriptions(value, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_schemas_speak_the_words_of_the_field() {
    let mut count = 0;
    for file in files(&Path::new(ROOT).join("schemas"), "json") {
        let schema: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut all = Vec::new();
        descriptions(&schema, &mut all);
        for text in &all {
            let prose: String = text.split('`').step_by(2).collect();
            assert_eq!(found(&prose), None, "{}: {text}", file.display());
        }
        count += all.len();
    }
    assert!(count > 100, "only {count} descriptions were found");
}

#[test]
fn words_are_found_as_words() {
    assert_eq!(found("It was told so."), Some("told"));
    assert_eq!(found("requests In Turns"), Some("in turns"));
    assert_eq!(found("intolerable, untold, remember"), None);
    let mut all = Vec::new();
    sentences(
        "#[doc = \"a b\"] fn f() { x!(\"c {d}\", 5); } mod tests { fn g() { \"e f\" } }".parse().unwrap(),
        &mut all,
    );
    assert_eq!(all, ["\"c …\""]);
}
