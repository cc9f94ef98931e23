//! The pure files of the page's JavaScript: unit tests by Node.js and a type check by TypeScript, where the machine has Node.js. Users
//! need neither.

use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fleet/page");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page");

/// Whether the machine has it; says so if not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        eprintln!("not run: {program} is not installed");
    }
    has
}

fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn what_is_pure_in_the_page_does_what_its_tests_say() {
    if has("node") {
        passes(Command::new("node").args(["--test"]).arg(format!("{TESTS}/pure.test.mjs")));
    }
}

#[test]
fn what_is_pure_in_the_page_fits_the_types_of_the_api() {
    let checker = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.balancers/node_modules/.bin/tsc");
    if has(checker) {
        let pure = std::fs::read_dir(PAGE).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_checked(path));
        let pure: Vec<_> = pure.collect();
        assert!(pure.len() >= 3, "{pure:?}");
        let options =
            ["--noEmit", "--checkJs", "--strict", "--target", "es2023", "--module", "esnext", "--skipLibCheck"];
        passes(Command::new(checker).args(options).args(pure));
    }
}

fn is_checked(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "js")
        && std::fs::read_to_string(path).unwrap().starts_with("// @ts-check")
}

/// The types that the check uses are those of the API: no field is missing there.
#[test]
fn the_types_of_the_page_name_fields_that_the_api_has() {
    let document: serde_json::Value = serde_json::from_str(include_str!("../schemas/openapi.json")).unwrap();
    let types = std::fs::read_to_string(format!("{PAGE}/types.d.ts")).unwrap();
    let mut compared = 0;
    for (name, of) in [
        ("BackendFigures", "BackendFigures"),
        ("Figures", "Figures"),
        ("Second", "Second"),
        ("Mark", "TimelineMark"),
        ("Backend", "BackendStatus"),
        ("SeenRequest", "SeenRequest"),
        ("BalancerInfo", "BalancerInfo"),
        ("CheckNews", "CheckNews"),
        ("Snapshot", "Snapshot"),
        ("Frame", "Frame"),
    ] {
        let known = document["components"]["schemas"][of]["properties"].as_object().unwrap();
        let text = types.split_once(&format!("export type {name} = {{")).unwrap().1;
        let mut depth = 0;
        let body: String = text
            .chars()
            .take_while(|character| {
                depth += i32::from(*character == '{') - i32::from(*character == '}');
                depth >= 0
            })
            .collect();
        // Of the type itself, not of one within it: before any brace of its own line.
        let mut depth = 0;
        for part in body.split(['\n', ';']) {
            let field = part.split(':').next().unwrap().trim();
            if depth == 0 && !field.is_empty() && part.contains(':') {
                assert!(known.contains_key(field), "{name}.{field} is not in the API's {of}");
                compared += 1;
            }
            depth += part.matches('{').count() as i32 - part.matches('}').count() as i32;
        }
    }
    assert!(compared > 50, "{compared}");
}
