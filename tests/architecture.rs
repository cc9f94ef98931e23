//! The arrows of ARCHITECTURE.md hold: who uses whom, what is pure, and where `unsafe` may stand.

use std::fs;
use std::path::{Path, PathBuf};

/// Each part of the crate and the parts that it may use, itself apart.
const ARROWS: [(&str, &[&str]); 21] = [
    (
        "commands",
        &[
            "args", "check", "balancer", "cli", "config", "error", "fleet", "remote", "report", "top", "topology",
            "wire",
        ],
    ),
    ("cli", &["args", "balancer", "check", "config", "error", "remote", "report", "topology", "wire"]),
    ("args", &["balancer", "config", "topology", "wire"]),
    ("config", &["balancer", "check", "error", "fleet", "report", "topology", "wire"]),
    ("error", &[]),
    ("top", &["numbers", "remote", "wire"]),
    ("fleet", &["error", "io", "journal", "numbers", "runfile", "topology", "wire"]),
    ("backend", &["chunks", "io", "journal", "wire"]),
    ("check", &["chunks", "error", "io", "report", "runfile", "numbers", "remote", "topology", "wire"]),
    ("balancer", &["chunks", "escape", "topology", "wire"]),
    ("report", &["escape"]),
    ("remote", &["error", "runfile", "wire"]),
    ("runfile", &["wire"]),
    ("journal", &["wire"]),
    ("topology", &["wire"]),
    ("io", &["wire"]),
    ("escape", &[]),
    ("chunks", &[]),
    ("numbers", &[]),
    ("wire", &[]),
    ("main", &[]),
];

/// What a file that calls itself PURE does not name: sockets, files, clocks, randomness, other processes.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "TcpStream",
    "::now(",
    "new_v4",
    "tokio",
    "rustix",
    "crate::journal",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 20, "the sources are not where this test looks for them: {found:?}");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            (path.strip_prefix(&root).unwrap().to_owned(), code)
        })
        .collect()
}

/// `fleet` of `fleet/member.rs`, `journal` of `journal.rs`.
fn part(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn used_parts(code: &str) -> impl Iterator<Item = &str> {
    let starts = code.match_indices("crate::").chain(code.match_indices("uuid_generator::"));
    starts.flat_map(|(start, prefix)| {
        let rest = &code[start + prefix.len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap(),
        };
        names.split(',').map(|name| name.trim().split("::").next().unwrap()).filter(|name| !name.is_empty())
    })
}

#[test]
fn every_part_uses_only_what_lies_below_it() {
    let mut seen = 0;
    for (path, code) in sources() {
        let part = part(&path);
        if part == "lib" {
            continue;
        }
        let (_, below) = ARROWS
            .iter()
            .find(|(name, _)| *name == part)
            .unwrap_or_else(|| panic!("{part} has no arrows yet: draw them"));
        for used in used_parts(&code) {
            seen += 1;
            assert!(used == part || below.contains(&used), "src/{} uses {used}", path.display());
        }
    }
    assert!(seen > 50, "the test reads no use lines any more");
}

#[test]
fn what_calls_itself_pure_is() {
    let pure: Vec<_> = sources().into_iter().filter(|(_, code)| code.starts_with("//! PURE")).collect();
    assert!(pure.len() >= 6);
    for (path, code) in pure {
        for impure in IMPURE {
            assert!(!code.contains(impure), "src/{} calls itself pure and names {impure}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stands_in_the_journal_alone() {
    for (path, code) in sources() {
        let allowed = path == Path::new("journal.rs");
        // A word of Content-Security-Policy.
        let code = code.replace("'unsafe-inline'", "");
        assert!(allowed || !code.contains("unsafe"), "src/{} has unsafe code", path.display());
    }
}
