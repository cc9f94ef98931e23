//! What a user types, sets and writes: which of it counts, what a mistake is answered with, and what explains it all.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{
    DefaultPorts, Fleet, TemporaryDirectory, complaints, error_of, eventually, http, list, ports, program, run, send,
};
use rustix::process::Signal;

const SETTINGS: &str = include_str!("../docs/reference/settings.md");
const FILE: &str = "uuid-generator.toml";

// Layers.

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file() {
    let ports = ports(3);
    let [file, environment, flag] = &ports.iter().map(u16::to_string).collect::<Vec<_>>()[..] else { unreachable!() };
    assert_eq!(served(&format!("ports = {file}"), &[], &[]), ports[..1]);
    assert_eq!(served(&format!("ports = {file}"), &[("PORTS", environment)], &[]), ports[1..2]);
    assert_eq!(served(&format!("ports = {file}"), &[("PORTS", environment)], &["--ports", flag]), ports[2..]);
    // What one layer does not say, the next one does.
    let quiet = [("LOG", "off"), ("PORTS", &**environment)];
    assert_eq!(served("host = \"127.0.0.1\"", &quiet, &["--grace", "1s"]), ports[1..2]);
}

#[test]
fn ports_are_lists_and_ranges_in_every_layer() {
    let ports = ports(16);
    let row = ports.windows(3).find(|row| row[2] - row[0] == 2).expect("of 16 ports some lie in a row");
    let single = *ports.iter().find(|port| !row.contains(port)).unwrap();
    let expected = [row, &[single]].concat();
    let range = format!("{}-{}", row[0], row[2]);
    let typed = format!("{range},{single}");
    assert_eq!(served("", &[], &["--ports", &typed]), expected);
    assert_eq!(served("", &[("PORTS", &typed)], &[]), expected);
    assert_eq!(served(&format!("ports = [\"{range}\", {single}]"), &[], &[]), expected);
    // In the order in which they were named.
    assert_eq!(served("", &[], &["--ports", &format!("{single},{range}")]), [&[single], row].concat());
}

#[test]
fn another_file_can_be_named_and_is_then_the_only_one() {
    let ports = ports(2);
    let place = place_with(&format!("ports = {}\nlog = \"loud\"", ports[0]));
    fs::write(place.path().join("other.toml"), format!("ports = {}", ports[1])).unwrap();
    let mut command = starting(&place);
    command.args(["--config", "other.toml"]);
    assert_eq!(served_by(command, place), ports[1..]);

    let place = place_with("log = \"loud\"");
    fs::write(place.path().join("other.toml"), format!("ports = {}", ports[1])).unwrap();
    let mut command = starting(&place);
    command.env("UUID_GENERATOR_CONFIG", "other.toml");
    assert_eq!(served_by(command, place), ports[1..]);
}

/// The ports that a fleet with these settings serves.
fn served(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Vec<u16> {
    let place = place_with(file);
    let mut command = starting(&place);
    command.envs(environment.iter().map(|(name, value)| (format!("UUID_GENERATOR_{name}"), value))).args(flags);
    served_by(command, place)
}

fn served_by(command: Command, place: TemporaryDirectory) -> Vec<u16> {
    let fleet = Fleet::spawn(command, place);
    let ports: Vec<u16> = fleet.status().backends.iter().map(|backend| backend.name.parse().unwrap()).collect();
    for port in &ports {
        http::expect_page(*port);
    }
    ports
}

fn starting(place: &TemporaryDirectory) -> Command {
    let mut command = program(place);
    command.args(["--control", "127.0.0.1:0"]);
    command
}

fn place_with(file: &str) -> TemporaryDirectory {
    let place = TemporaryDirectory::new();
    fs::write(place.path().join(FILE), file).unwrap();
    place
}

// Mistakes.

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_what_was_expected() {
    for (file, line, why) in [
        ("host = \"localhost\"\n\nprots = 9001", 3, "no such key: prots\n  hint: did you mean ports?"),
        ("# Time.\ngrace = 3", 2, "expected a time above 0 with its unit, such as 10s, 250ms or 1m, found \"3\""),
        ("ports = [9001, \"x\"]", 1, "expected ports and ranges of ports such as 9001-9003,9010, found \"x\""),
        ("ports = \"9003-9001\"", 1, "expected a range from low to high, found \"9003-9001\""),
        ("\n\n\nlog = \"loud\"", 4, "expected one of text, json, off, found \"loud\""),
        ("restart = \"perhaps\"", 1, "expected true or false, found \"perhaps\""),
        ("max-connections = 0", 1, "expected a whole number from 1 to 1000000, found \"0\""),
        ("journal-records = 100", 1, "expected a power of two from 64 to 4194304, found \"100\""),
        ("host = \"http://localhost\"", 1, "expected a host name or an address, without scheme and port"),
        ("host = \"localhost\"\nports", 2, ""),
    ] {
        let error = refused(file, &[], &[]);
        let (place, told) =
            error.split_once(&format!("{FILE}, line {line}: ")).unwrap_or_else(|| panic!("{file}: {error}"));
        assert!(place.starts_with("error: ") && told.starts_with(why), "{file}: {error}");
    }
}

#[test]
fn a_mistake_in_the_environment_is_named_with_its_variable_and_what_was_expected() {
    for (name, value, why) in [
        ("PRTS", "9001", "no such setting\n  hint: did you mean UUID_GENERATOR_PORTS?"),
        ("PORTS", "x", "expected ports and ranges of ports such as 9001-9003,9010, found \"x\""),
        ("GRACE", "3", "expected a time above 0 with its unit, such as 10s, 250ms or 1m, found \"3\""),
        ("LOG", "loud", "expected one of text, json, off, found \"loud\""),
    ] {
        let error = refused("", &[(name, value)], &[]);
        assert!(error.starts_with(&format!("error: UUID_GENERATOR_{name}: {why}")), "{error}");
    }
}

#[test]
fn a_mistake_in_a_flag_is_named_with_the_flag_and_what_was_expected() {
    for (flag, value, why) in [
        ("--ports", "x", "expected ports and ranges of ports such as 9001-9003,9010"),
        ("--grace", "3", "expected a time above 0 with its unit"),
        ("--log", "loud", "[possible values: text, json, off]"),
        ("--control", "9000", "expected an address with a port, such as 127.0.0.1:9000"),
    ] {
        let error = refused("", &[], &[flag, value]);
        assert!(error.contains(flag) && error.contains(why), "{error}");
    }
    assert!(refused("", &[], &["--prots", "9001"]).contains("'--ports'"), "what is close is proposed");
}

#[test]
fn where_a_bad_port_was_asked_for_is_said() {
    assert!(
        refused("\nports = 0", &[], &[]).contains(&format!("0: no port, those are 1 to 65535 (from {FILE}, line 2)"))
    );
    assert!(
        refused("", &[("PORTS", "0")], &[]).contains("0: no port, those are 1 to 65535 (from UUID_GENERATOR_PORTS)")
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_why_and_what_to_do() {
    let error = refused("", &[], &["--config", "none.toml"]);
    let [what, hint] = error.lines().collect::<Vec<_>>()[..] else { panic!("{error}") };
    assert!(what.starts_with("error: failed to read none.toml: No such file or directory"), "{error}");
    assert_eq!(hint, "  hint: create it, or choose another with --config");
}

/// What is said to these settings.
fn refused(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> String {
    let place = place_with(file);
    let mut command = program(&place);
    command.envs(environment.iter().map(|(name, value)| (format!("UUID_GENERATOR_{name}"), value))).args(flags);
    error_of(&run(&mut command))
}

// What explains it.

#[test]
fn help_manual_and_reference_tell_of_the_same_options() {
    let documented: BTreeSet<String> = documented_settings().into_iter().map(|setting| setting.flag).collect();
    let own = ["--config", "--help", "--token-file", "--version"].map(str::to_owned);
    let all: BTreeSet<String> = documented.union(&own.into()).cloned().collect();
    assert_eq!(options(&told(&["--help"])), all);
    // groff writes a hyphen that is one as `\-`.
    assert_eq!(options(&told(&["man"]).replace("\\-", "-").replace("\\fB", "\n")), all);
}

/// Those that begin a line.
fn options(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("-h, ").trim_start_matches("-V, ");
        line.starts_with("--").then(|| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next())?
    });
    names.map(str::to_owned).collect()
}

#[test]
fn the_documented_settings_are_understood_in_every_layer() {
    let settings = documented_settings();
    assert!(settings.len() >= 12, "the table is not where this test looks for it");
    // A fleet that cannot start looks for a moment whether it could have the default ports.
    let _lock = DefaultPorts::wait();
    let free = list(&ports(1));
    // It reads all settings, and finds nobody at that port.
    let understood = |file: &str, variable: Option<(&str, &str)>| {
        let place = place_with(file);
        let output = run(program(&place).envs(variable).args(["healthcheck", "--ports", &free]));
        output.status.code() == Some(1) && output.stdout.is_empty()
    };
    for Setting { flag, value, variable, line } in settings {
        assert!(understood(&line, None), "{line}");
        assert!(understood("", Some((&variable, &value))), "{variable}={value}");
        let typed = if value == "true" { flag } else { format!("{flag}={value}") };
        let error = refused("", &[("PORTS", "0"), ("CONTROL", "203.0.113.1:0")], &[&typed]);
        // These were understood, and make no sense alone or want a file that is there.
        let wants_more = ["--tls-names", "--ca-out", "--authority-key", "--cert", "--key", "--client-ca"]
            .iter()
            .any(|it| typed.starts_with(it))
            && error.starts_with(&format!("error: {}: ", typed.trim_start_matches('-').split('=').next().unwrap()));
        assert!(wants_more || error.contains("nothing is left running"), "{typed}: {error}");
    }
}

struct Setting {
    flag: String,
    value: String,
    variable: String,
    /// The line of the file.
    line: String,
}

/// The rows of its table of settings.
fn documented_settings() -> Vec<Setting> {
    let (_, table) = SETTINGS.split_once("| flag | variable | file | default |").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|')).filter(|line| line.starts_with("| `--"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
        let (flag, typed) = cells[0].split_once(' ').unwrap_or((cells[0], "true"));
        let variable = cells[1].split('=').next().unwrap();
        Setting {
            flag: flag.to_owned(),
            value: typed.to_owned(),
            variable: variable.to_owned(),
            line: cells[2].to_owned(),
        }
    })
    .collect()
}

#[test]
fn bash_completes_commands_options_and_values_at_every_depth() {
    let script = told(&["completions", "bash"]);
    let completions = |words: &str| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", AS_BASH_DOES, "bash"]).args(words.split(' '));
        let mut child = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(completions("--ma"), "--max-connections --max-header-bytes");
    assert_eq!(completions("fl"), "fleet");
    assert_eq!(completions("config ha"), "haproxy");
    assert_eq!(completions("check --tol"), "--tolerance");
    assert_eq!(completions("check --with ng"), "nginx");
    assert_eq!(completions("check --expect least"), "least-connections least-time");
    assert_eq!(completions("check --report mark"), "markdown");
    assert_eq!(completions("fleet dr"), "drain");
    assert_eq!(completions("man ch"), "check");
    assert_eq!(completions("fleet kill --al"), "--all");
    assert!(completions("").contains("healthcheck") && !completions("").contains("guard"));
}

/// Calls the function that the script on standard input registers, for words of which the last has been typed so far.
const AS_BASH_DOES: &str = r#"
source /dev/stdin
[[ $(complete -p uuid-generator) =~ -F\ ([^ ]+) ]] || exit 1
COMP_WORDS=(uuid-generator "$@") COMP_CWORD=$#
"${BASH_REMATCH[1]}" uuid-generator "${!#}" "${COMP_WORDS[$#-1]}"
echo "${COMPREPLY[@]}"
"#;

/// Whether the machine has that shell; says so if not.
fn has(shell: &str) -> bool {
    let has = Command::new(shell).arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !has {
        eprintln!("not run: {shell} is not installed");
    }
    has
}

#[test]
fn fish_completes_at_every_depth() {
    if !has("fish") {
        return;
    }
    let place = TemporaryDirectory::new();
    let script = place.path().join("c.fish");
    fs::write(&script, told(&["completions", "fish"])).unwrap();
    let completions = |words: &str| {
        let ask = format!("source {}; complete -C 'uuid-generator {words}'", script.display());
        let output = run(Command::new("fish").args(["--no-config", "-c", &ask]).env("HOME", place.path()));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(completions("config ha").starts_with("haproxy"), "{}", completions("config ha"));
    assert!(completions("check --tol").starts_with("--tolerance"), "{}", completions("check --tol"));
    assert!(completions("check --with ng").contains("nginx"), "{}", completions("check --with ng"));
    assert!(completions("fleet dr").starts_with("drain"), "{}", completions("fleet dr"));
    assert!(completions("man ch").starts_with("check"), "{}", completions("man ch"));
    assert!(completions("fault 9002 lat").starts_with("latency"), "{}", completions("fault 9002 lat"));
}

#[test]
fn zsh_completes_at_every_depth() {
    if !has("zsh") {
        return;
    }
    let place = TemporaryDirectory::new();
    fs::write(place.path().join("_uuid-generator"), told(&["completions", "zsh"])).unwrap();
    // What would be offered is written down instead of shown: a terminal is not needed.
    let completions = |words: &str| {
        let ask = format!(
            "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; zmodload zsh/zpty; \
             zpty z zsh -f -i; zpty -w z 'fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; PS1=; \
             zstyle \":completion:*\" list-colors; bindkey \"^I\" complete-word; LISTMAX=0'; sleep 1; \
             zpty -w -n z 'uuid-generator {words}'$'\\t'; sleep 2; zpty -r -t z out 2>/dev/null; \
             while zpty -r -t z more 2>/dev/null; do out+=$more; done; print -r -- $out",
            place.path().display(),
            place.path().display()
        );
        let output = run(Command::new("zsh").args(["-f", "-c", &ask]).env("HOME", place.path()).env("TERM", "dumb"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let offered = completions("config ha");
    assert!(offered.contains("haproxy"), "{offered}");
    let offered = completions("fleet dr");
    assert!(offered.contains("drain"), "{offered}");
    let offered = completions("man reh");
    assert!(offered.contains("rehearse"), "{offered}");
    let offered = completions("fault 9002 lat");
    assert!(offered.contains("latency"), "{offered}");
}

#[test]
fn the_manual_is_a_page_of_section_1() {
    let page = told(&["man"]);
    assert!(page.contains("\n.TH uuid-generator 1 "), "{page}");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SUBCOMMANDS", "EXAMPLES", "\"EXIT STATUS\""] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "no {section} in {page}");
    }
    for command in [&["check"][..], &["fleet", "kill"], &["config"]] {
        let page = told(&[&["man"], command].concat());
        assert!(page.contains(&format!("\n.TH uuid-generator-{} 1 ", command.join("-"))), "{page}");
    }
    assert!(error_of(&run(program(&TemporaryDirectory::new()).args(["man", "nonsense"]))).contains("no such command"));
}

#[test]
fn a_file_to_start_from_is_written_once() {
    let place = TemporaryDirectory::new();
    let init = || run(program(&place).arg("init"));
    assert!(init().status.success());
    let written = fs::read_to_string(place.path().join(FILE)).unwrap();
    assert!(written.contains("#ports = \"9001-9003\""), "{written}");
    let error = error_of(&init());
    assert!(error.starts_with("error: uuid-generator.toml: it exists already"), "{error}");
    // Nothing of it is set yet.
    let error = error_of(&run(program(&place).args(["check", "--dry-run"])));
    assert!(error.contains("has no table [[check]]"), "{error}");
    // All of it set is what the command that `init` prints takes.
    let is_setting = |line: &str| line.starts_with(|it: char| it == '[' || it.is_ascii_lowercase());
    let setting = |line: &str| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line).to_owned();
    let all: Vec<String> = written.lines().map(setting).collect();
    fs::write(place.path().join(FILE), all.join("\n")).unwrap();
    let told = run(program(&place).args(["check", "--with", "nginx", "--dry-run"]));
    assert!(told.status.success(), "{}", complaints(&told));
    assert!(String::from_utf8(told.stdout).unwrap().starts_with("check balanced\n  balancer     nginx, started with"));
    let url = "[[check]]\nname = \"balanced\"\nurl = \"http://localhost:8080/uuid\"\n";
    fs::write(place.path().join(FILE), url).unwrap();
    let told = run(program(&place).args(["check", "--dry-run"]));
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.starts_with("check balanced\n  balancer     http://localhost:8080/uuid\n"), "{told}");
    // The balancer that is started listens elsewhere.
    let error = error_of(&run(program(&place).args(["check", "--with", "builtin"])));
    assert!(error.contains("leave the url out") && error.contains("--listen 8080"), "{error}");
}

/// What a command that only tells something tells.
fn told(words: &[&str]) -> String {
    let output = run(program(&TemporaryDirectory::new()).args(words));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

// Health.

#[test]
fn a_health_check_asks_a_url_or_every_backend() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let [first, second] = ports[..] else { unreachable!() };
    let readiness = format!("http://localhost:{first}/readyz");
    let check = |words: &[&str]| {
        let output = run(program(&TemporaryDirectory::new()).arg("healthcheck").args(words));
        let told = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(told).unwrap())
    };
    assert_eq!(check(&[&readiness]), (0, format!("healthy: {readiness} answers 200 OK\n")));
    let (status, told) = check(&["--ports", &list(&ports)]);
    assert_eq!((status, told.lines().count()), (0, 2), "{told}");

    fleet.act("unready", second);
    eventually("it is not ready", || check(&[&format!("http://localhost:{second}/readyz")]).0 == 1);
    let (status, told) = check(&["--ports", &list(&ports)]);
    assert_eq!(status, 1);
    assert!(told.contains(&format!("not healthy: http://localhost:{second}/readyz answers 503")), "{told}");
    assert!(told.lines().any(|line| line == format!("healthy: {readiness} answers 200 OK")), "{told}");
    assert_eq!(check(&[&format!("http://localhost:{second}/livez")]).0, 0);

    fleet.act("kill", second);
    let (status, told) = check(&["--ports", &list(&ports)]);
    assert!(status == 1 && told.contains(&format!("not healthy: http://localhost:{second}/readyz: ")), "{told}");

    // It is paused, so nobody answers.
    send(fleet.backend_pid(first), Signal::STOP);
    let (status, told) = check(&[&readiness]);
    assert!(status == 1 && told.contains("no response within 2 s"), "{told}");
}

#[test]
fn a_health_check_finds_the_backends_as_the_fleet_does() {
    let (_fleet, ports) = Fleet::of(2, &[]);
    let place = place_with(&format!("ports = [{}]", list(&ports)));
    let check = |command: &mut Command| run(command.arg("healthcheck")).status.code();
    assert_eq!(check(&mut program(&place)), Some(0));
    assert_eq!(check(program(&TemporaryDirectory::new()).env("UUID_GENERATOR_PORTS", list(&ports))), Some(0));
    let place = place_with("prots = 1");
    error_of(&run(program(&place).arg("healthcheck")));
}

#[test]
fn a_health_check_that_has_nobody_to_ask_could_not_run() {
    for words in [&["not a url"][..], &["http://["], &[""], &["--ports", "0"], &["--ports", "x"]] {
        let place = TemporaryDirectory::new();
        let error = error_of(&run(program(&place).arg("healthcheck").args(words)));
        assert!(error.starts_with("error: "), "{words:?}: {error}");
    }
}
