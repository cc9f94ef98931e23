//! YAML, read by Python: none of our programs reads it.
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The documents of a YAML text, by Python's parser.
pub fn documents(yaml: &str) -> Vec<Value> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/bin/python");
    assert!(python.exists(), "{} is missing: run tests/prepare, or `make test`, which does", python.display());
    let script = "import json,sys,yaml; print(json.dumps([it for it in yaml.safe_load_all(sys.stdin) if it]))";
    let mut child =
        Command::new(python).args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), yaml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "no YAML: {yaml}");
    serde_json::from_slice(&output.stdout).unwrap()
}
