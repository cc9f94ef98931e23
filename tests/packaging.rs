//! How people get the program without building it: the action and what it runs, packages, workflows. Programs of other machines are built
//! and run by `packaging/build` and `packaging/try`, which take longer than a test may.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use testbed::planted::{PlantedAlgorithm, PlantedBalancer};

use crate::support::yaml::documents;
use crate::support::{Fleet, PROGRAM, TemporaryDirectory, complaints, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const TARGET: &str = "x86_64-unknown-linux-musl";

fn at(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

fn yaml(path: &str) -> Value {
    documents(&fs::read_to_string(at(path)).unwrap()).remove(0)
}

/// Something small that runs the program of this test, where a package has the program itself.
fn stand_in(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\nexec '{PROGRAM}' \"$@\"\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// An archive as packaging/package makes it.
fn archive(place: &Path) -> PathBuf {
    let name = format!("uuid-generator-{VERSION}-{TARGET}");
    stand_in(&place.join(&name).join("uuid-generator"));
    let archive = place.join(format!("{name}.tar.xz"));
    let tar = run(Command::new("tar").arg("-C").arg(place).arg("-cJf").arg(&archive).arg(&name));
    assert!(tar.status.success(), "{}", complaints(&tar));
    archive
}

/// A step of the action on a runner.
struct Runner {
    place: TemporaryDirectory,
}

impl Runner {
    fn new() -> Runner {
        let runner = Runner { place: TemporaryDirectory::new() };
        for file in ["path", "output", "summary"] {
            fs::write(runner.file(file), "").unwrap();
        }
        runner
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// Runs the step with this name and these variables, as the runner does.
    fn step(&self, name: &str, variables: &[(&str, &str)]) -> Output {
        let action = yaml("action.yml");
        let steps = action["runs"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"].as_str().unwrap().starts_with(name)).unwrap();
        assert_eq!(step["shell"], "bash");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
        command.current_dir(self.place.path()).env("XDG_RUNTIME_DIR", self.place.path());
        for (variable, file) in
            [("GITHUB_PATH", "path"), ("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary")]
        {
            command.env(variable, self.file(file));
        }
        let path = format!("{}:{}", self.read("path").trim(), std::env::var("PATH").unwrap());
        command.env("GITHUB_ACTION_PATH", ROOT).env("RUNNER_TEMP", self.place.path()).env("PATH", path);
        // What the action sets: every one of them, so that a script cannot use another.
        for variable in step["env"].as_object().unwrap().keys() {
            let given = variables.iter().find(|(name, _)| name == variable);
            command.env(variable, given.map_or("", |(_, value)| value));
        }
        assert!(variables.iter().all(|(name, _)| step["env"].get(name).is_some()), "{variables:?}");
        run(&mut command)
    }

    fn installed() -> Runner {
        let runner = Runner::new();
        let archive = archive(runner.place.path());
        let output = runner.step("Install", &[("ARCHIVE", archive.to_str().unwrap())]);
        assert!(output.status.success(), "{}", complaints(&output));
        runner
    }

    /// Checks; the status, the verdict, and what the log has.
    fn check(&self, arguments: &str, more: &[(&str, &str)]) -> (Option<i32>, String, String) {
        fs::write(self.file("output"), "").unwrap();
        let output = self.step("Check", &[&[("ARGUMENTS", arguments)], more].concat());
        (output.status.code(), self.read("output"), String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn the_action_writes_a_log_annotations_a_summary_and_the_verdict() {
    let runner = Runner::installed();
    let (fleet, backends) = Fleet::of(3, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&backends, PlantedAlgorithm::RoundRobin);
    let check = format!(
        "{} --fleet '{}' --no-experiments --new-connections --tolerance 30% -n 3000",
        balancer.url("/uuid"),
        fleet.view()
    );
    let (status, output, log) = runner.check(&format!("{check} --expect lossless"), &[("JUNIT", "junit.xml")]);
    assert_eq!((status, output.as_str()), (Some(0), "verdict=pass\n"), "{log}");
    assert!(log.contains("PASS: all expectations met") && !log.contains("::error"), "{log}");
    assert!(runner.read("summary").contains(": pass\n") && runner.read("junit.xml").contains("<testsuite"));
    let (status, output, log) = runner.check(&format!("{check} --expect 'status:5xx'"), &[]);
    assert_eq!((status, output.as_str()), (Some(1), "verdict=fail\n"), "{log}");
    assert!(log.contains("::error title=") && runner.read("summary").contains(": fail\n"), "{log}");
}

#[test]
fn the_action_says_what_could_not_run_and_leaves_inconclusive_to_the_job() {
    let runner = Runner::installed();
    for arguments in ["--expect 'even", "--no-such-option"] {
        let (status, output, log) = runner.check(arguments, &[]);
        assert_eq!((status, output.as_str()), (Some(2), "verdict=error\n"), "{arguments}: {log}");
        assert!(log.contains("::error title=uuid-generator::"), "{log}");
    }
    // Nothing is expanded or executed.
    let (_, _, log) = runner.check("$(touch executed) `touch executed` --no-such-option", &[]);
    assert!(!runner.file("executed").exists(), "{log}");
    // Ten requests show nothing.
    let few = "--with builtin --no-experiments -n 10 --expect even";
    let (status, output, log) = runner.check(few, &[("INCONCLUSIVE", "fail")]);
    assert_eq!((status, output.as_str()), (Some(3), "verdict=inconclusive\n"), "{log}");
    let (status, output, _) = runner.check(few, &[("INCONCLUSIVE", "pass")]);
    assert_eq!((status, output.as_str()), (Some(0), "verdict=inconclusive\n"));
}

#[test]
fn a_release_is_installed_if_its_checksum_is_right() {
    if !cfg!(target_arch = "x86_64") || run(Command::new("curl").arg("--version")).stdout.is_empty() {
        eprintln!("not run: it takes curl, on x86_64");
        return;
    }
    let runner = Runner::new();
    let releases = runner.file("releases");
    let folder = releases.join(format!("v{VERSION}"));
    fs::create_dir_all(&folder).unwrap();
    let archive = archive(&folder);
    let sums = run(Command::new("sha256sum").arg(archive.file_name().unwrap()).current_dir(&folder)).stdout;
    fs::write(folder.join("SHA256SUMS"), &sums).unwrap();
    let url = format!("file://{}", releases.display());
    let variables = [("VERSION", VERSION), ("RELEASES", url.as_str())];
    let output = runner.step("Install", &variables);
    assert!(output.status.success(), "{}", complaints(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("uuid-generator {VERSION}\n"));
    fs::write(folder.join("SHA256SUMS"), String::from_utf8(sums).unwrap().replace(|it: char| it.is_ascii_digit(), "0"))
        .unwrap();
    assert!(!Runner::new().step("Install", &variables).status.success());
    fs::write(folder.join("SHA256SUMS"), "").unwrap();
    assert!(!Runner::new().step("Install", &variables).status.success());
}

#[test]
fn the_action_declares_what_it_uses() {
    let text = fs::read_to_string(at("action.yml")).unwrap();
    let action = yaml("action.yml");
    let inputs = action["inputs"].as_object().unwrap();
    for input in inputs.keys() {
        assert!(text.contains(&format!("${{{{ inputs.{input} }}}}")), "{input} is not used");
    }
    for used in text.split("inputs.").skip(1) {
        let name = used.split(' ').next().unwrap();
        assert!(inputs.contains_key(name), "{name} is not declared");
    }
    assert_eq!(inputs["version"]["default"], VERSION);
    // Text of a workflow's author gets into scripts by variables alone.
    for step in action["runs"]["steps"].as_array().unwrap() {
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
    }
}

#[test]
fn workflows_run_scripts_that_there_are_and_need_jobs_that_there_are() {
    let mut scripts = 0;
    for entry in fs::read_dir(at(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let workflow = documents(&fs::read_to_string(&path).unwrap()).remove(0);
        let jobs = workflow["jobs"].as_object().unwrap();
        assert!(workflow["permissions"].is_object(), "{path:?}");
        for job in jobs.values() {
            if let Some(needs) = job["needs"].as_str() {
                assert!(jobs.contains_key(needs), "{needs}");
            }
            for step in job["steps"].as_array().unwrap() {
                assert!(step["run"].is_string() != step["uses"].is_string(), "{step}");
                let Some(script) = step["run"].as_str() else { continue };
                assert!(!script.contains("github.event") && !script.contains("inputs."), "{script}");
                for word in
                    script.split_whitespace().filter(|word| word.starts_with("packaging/") || word.starts_with(".ci/"))
                {
                    let mode = fs::metadata(at(word)).unwrap_or_else(|_| panic!("{word}")).permissions().mode();
                    assert!(mode & 0o111 != 0, "{word} is not executable");
                    scripts += 1;
                }
            }
        }
    }
    assert!(scripts >= 5, "{scripts}");
}

#[test]
fn workflows_are_what_github_understands() {
    let tool = at("tests/.balancers/bin/actionlint");
    if !tool.exists() {
        eprintln!("not run: actionlint is not there; tests/prepare installs it");
        return;
    }
    let mut command = Command::new(tool);
    // It warns about actions that the runners no longer have; shellcheck is not everywhere.
    command.args(["-no-color", "-shellcheck="]);
    for folder in [".github/workflows", "examples/ci"] {
        for entry in fs::read_dir(at(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "yml") && !path.ends_with("gitlab-ci.yml") {
                command.arg(path);
            }
        }
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), complaints(&output));
}

#[test]
fn packages_have_the_program_its_manual_and_completions() {
    if ["dpkg-deb", "rpm", "rpmbuild"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("not run: it takes dpkg-deb and rpmbuild, which tests/prepare installs");
        return;
    }
    let place = TemporaryDirectory::new();
    stand_in(&place.path().join(TARGET).join("dist/uuid-generator"));
    let package = || {
        let mut command = Command::new(at("packaging/package"));
        command.arg(TARGET).env("CARGO_TARGET_DIR", place.path()).env("SOURCE_DATE_EPOCH", "1790000000");
        let output = run(&mut command);
        assert!(output.status.success(), "{}", complaints(&output));
        fs::read_to_string(place.path().join("packages/SHA256SUMS")).unwrap()
    };
    let sums = package();
    assert_eq!(sums.lines().count(), 4, "{sums}");
    let packages = place.path().join("packages");
    let checked = run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&packages));
    assert!(checked.status.success(), "{}", complaints(&checked));
    let listing = |program: &str, arguments: &[&str], file: &str| {
        let output = run(Command::new(program).args(arguments).arg(packages.join(file)));
        assert!(output.status.success(), "{}", complaints(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for (program, arguments, file) in [
        ("dpkg-deb", &["--contents"][..], format!("uuid-generator_{VERSION}_amd64.deb")),
        ("rpm", &["-qlp"], format!("uuid-generator-{VERSION}-1.x86_64.rpm")),
    ] {
        let listing = listing(program, arguments, &file);
        for path in [
            "/usr/bin/uuid-generator\n",
            "/usr/share/man/man1/uuid-generator.1.gz\n",
            "/usr/share/man/man1/uuid-generator-check.1.gz\n",
            "/usr/share/bash-completion/completions/uuid-generator\n",
            "/usr/share/doc/uuid-generator/copyright\n",
        ] {
            assert!(listing.contains(path), "{file} lacks {path}{listing}");
        }
    }
    let unpacked = place.path().join("unpacked");
    listing("dpkg-deb", &["--field"], &format!("uuid-generator_{VERSION}_amd64.deb"));
    let deb = packages.join(format!("uuid-generator_{VERSION}_amd64.deb"));
    assert!(run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&unpacked)).status.success());
    let version = run(Command::new(unpacked.join("usr/bin/uuid-generator")).arg("--version"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("uuid-generator {VERSION}\n"));
    // The same bytes again, as whoever verifies a release expects.
    assert_eq!(package(), sums);
    let sbom: Value =
        serde_json::from_slice(&fs::read(packages.join(format!("uuid-generator-{VERSION}.cdx.json"))).unwrap())
            .unwrap();
    let components = sbom["components"].as_array().unwrap();
    assert!(components.len() > 100 && components.iter().any(|it| it["name"] == "rustls"), "{}", components.len());
    assert!(!components.iter().any(|it| it["name"] == "proptest"), "what only tests need is not linked");
}

#[test]
fn scripts_are_bash_that_parses() {
    let mut parsed = 0;
    for folder in ["packaging", "packaging/action", "tests"] {
        for entry in fs::read_dir(at(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && fs::read(&path).unwrap().starts_with(b"#!/usr/bin/env bash") {
                let output = run(Command::new("bash").arg("-n").arg(&path));
                assert!(output.status.success(), "{}", complaints(&output));
                parsed += 1;
            }
        }
    }
    assert!(parsed >= 6, "{parsed}");
}
