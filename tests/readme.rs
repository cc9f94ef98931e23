//! The README and the book: what they say is so. The README's commands run line by line in a copy of the repository, on a machine of their own as far
//! as they can see (network, processes, `/etc/nginx`), and what is shown is what is printed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Fleet, PROGRAM, TemporaryDirectory, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Read when a test runs: who mends the text need not build the tests anew.
fn readme() -> String {
    fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap()
}

#[test]
fn the_readme_is_short_and_narrow() {
    let readme = readme();
    assert!(readme.lines().count() <= 250, "{} lines", readme.lines().count());
    let too_long = readme.lines().find(|line| line.chars().count() > 120);
    assert_eq!(too_long, None);
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
}

/// The pages of the book, and the other documents that a visitor of the repository reads.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"]
        .map(|name| Path::new(ROOT).join(format!("{name}.md")))
        .into();
    files(&Path::new(ROOT).join("docs"), "md", &mut found);
    found
}

/// Targets of links and pictures of a text, fences and code left out.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(str::to_owned));
    }
    found
}

#[test]
fn links_lead_somewhere_and_every_page_is_in_the_book() {
    let mut summary = BTreeSet::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !anchor.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let known = headings.lines().filter_map(|line| line.strip_prefix('#'));
                let known = known.map(|it| it.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"));
                assert!(known.into_iter().any(|it| it == anchor), "{}: no heading {link}", document.display());
            }
            if document.ends_with("docs/SUMMARY.md") {
                summary.insert(target.canonicalize().unwrap());
            }
        }
    }
    let book = Path::new(ROOT).join("docs");
    for page in documents().iter().filter(|page| page.starts_with(&book) && !page.ends_with("SUMMARY.md")) {
        assert!(summary.contains(&page.canonicalize().unwrap()), "{} is not in docs/SUMMARY.md", page.display());
    }
}

/// What shells make of braces: `a.{b,c}` is `a.b` and `a.c`.
fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (choices, after) = rest.split_once('}').expect("a brace that opens closes");
    choices.split(',').flat_map(|choice| expand(&format!("{before}{choice}{after}"))).collect()
}

#[test]
fn the_files_that_a_change_touches_exist() {
    let text = fs::read_to_string(Path::new(ROOT).join("CONTRIBUTING.md")).unwrap();
    let table = text.lines().filter(|line| line.starts_with("| **"));
    let mut named = 0;
    for line in table {
        let words = line.split('`').skip(1).step_by(2);
        // A path from the root of the repository; a commands' words have spaces.
        for path in words.filter(|it| it.contains('/') && !it.contains(' ')).flat_map(expand) {
            let file = path.replace("NAME", "caddy");
            let is_template = file != path && !path.starts_with("src/balancer/");
            assert!(is_template || Path::new(ROOT).join(&file).exists(), "{path} does not exist: {line}");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} files are named");
}

/// Values of an attribute in a page that mdBook wrote.
fn attributes<'t>(html: &'t str, name: &str) -> Vec<&'t str> {
    html.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// As a reader of the site gets it: a link out of the book works in the repository alone.
#[test]
fn the_book_is_built_and_each_of_its_links_leads_to_a_page_and_a_heading() {
    let tool = Path::new(ROOT).join("tests/.balancers/bin/mdbook");
    if !tool.exists() {
        eprintln!("not run: mdbook is not there; tests/prepare installs it");
        return;
    }
    let place = TemporaryDirectory::new();
    let built = run(Command::new(tool).arg("build").arg("--dest-dir").arg(place.path()).arg(ROOT));
    let printed = String::from_utf8_lossy(&[built.stdout, built.stderr].concat()).into_owned();
    assert!(built.status.success() && !printed.contains("WARN"), "{printed}");
    let mut pages = Vec::new();
    files(place.path(), "html", &mut pages);
    let mut followed = 0;
    // All of the book on one page: its headings are numbered anew.
    for page in pages.iter().filter(|page| !page.ends_with("print.html")) {
        let html = fs::read_to_string(page).unwrap();
        for link in [attributes(&html, "href"), attributes(&html, "src")].concat() {
            if link.contains("://") || link.starts_with("data:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads out of the book", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                assert!(attributes(&text, "id").contains(&heading), "{}: no heading {link}", page.display());
            }
            followed += 1;
        }
    }
    assert!(pages.len() > 30 && followed > 500, "{} pages, {followed} links", pages.len());
}

// The commands.

/// One command of a text, with what is shown below it.
struct Shown {
    command: String,
    output: Vec<String>,
}

/// Those of the blocks of a text that are a terminal; a line that ends in `\` goes on.
fn shown(text: &str) -> Vec<Shown> {
    let blocks = text.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut all: Vec<Shown> = Vec::new();
    for block in blocks {
        let mut goes_on = false;
        for line in block.lines() {
            if goes_on {
                let command = &mut all.last_mut().unwrap().command;
                *command += &format!("\n{line}");
                goes_on = line.ends_with('\\');
            } else if let Some(command) = line.strip_prefix("$ ") {
                all.push(Shown { command: command.to_owned(), output: Vec::new() });
                goes_on = line.ends_with('\\');
            } else {
                all.last_mut().unwrap().output.push(line.to_owned());
            }
        }
    }
    all
}

/// Whether a command goes on until CTRL+C.
fn is_foreground(command: &str) -> bool {
    command == "uuid-generator" || command == "uuid-generator demo"
}

/// Stands for the parts of a fresh machine that a test must not touch: installing is tried as far as it can be without the network.
const FRESH_MACHINE: [(&str, &str); 3] = [
    ("cargo", "#!/bin/sh\n[ \"$*\" = 'install --path .' ] && [ -f Cargo.toml ] && [ -f src/main.rs ]\n"),
    ("sudo", "#!/bin/sh\nexec \"$@\"\n"),
    // Debian's package starts NGINX.
    (
        "apt-get",
        "#!/bin/sh\ncommand -v nginx >/dev/null && command -v curl >/dev/null && echo installed && exec nginx\n",
    ),
];

/// Runs the README's commands one after the other; each writes what it prints to a file with its number.
fn script(commands: &[Shown], place: &Path) -> String {
    let at = |name: &str| place.join(name).display().to_string();
    let mut script = format!(
        "set -u\nip link set lo up\nmount --bind {} /etc/nginx\nmount -t tmpfs none /run\nmkdir -p /var/log/nginx\n\
         mount -t tmpfs none /var/log/nginx\nexport PATH={}:$PATH XDG_RUNTIME_DIR={} TMPDIR={}\ncd {}\nserver=\n",
        at("nginx"),
        at("bin"),
        at("run"),
        at("tmp"),
        at("copy")
    );
    for (number, Shown { command, .. }) in commands.iter().enumerate() {
        let out = at(&format!("{number}.out"));
        if is_foreground(command) {
            let last = if command.ends_with("demo") { "CTRL+C ends all" } else { "open http://localhost/uuid" };
            script += &format!(
                "[ -z \"$server\" ] || {{ kill -INT $server; wait $server; }}\n\
                 ( trap - INT; exec {command} ) >{out} 2>{out}.err & server=$!\n\
                 for i in $(seq 600); do grep -q '{last}' {out} && break; sleep 0.1; done\n"
            );
        } else {
            if command.contains("--with") {
                // As the text says: it starts a fleet of its own.
                script += "[ -z \"$server\" ] || { kill -INT $server; wait $server; }; server=\n";
            }
            // What a check on a starved machine could not see is no fault of it or of the README: a reader would try again too.
            script += &format!(
                "for try in 1 2 3; do\n( {command}\n) >{out} 2>&1\nstatus=$?; [ $status -eq 3 ] || break\ndone\necho $status >{out}.status\n"
            );
            if command.contains("reload") {
                // Old workers take connections until they have gone.
                script += "sleep 1\n";
            }
        }
    }
    script
}

/// What differs from run to run, the same: times, ids, counts and bars of sizes; ports and shares stay.
fn masked(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = bare.chars().filter(char::is_ascii_digit).count();
        let is_port = ["9000", "9001", "9002", "9003"].contains(&bare);
        let hexadecimal = |text: &str| text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if let Some((before, token)) = word.split_once("token=").filter(|(_, token)| hexadecimal(token)) {
            return format!("{before}token={}", "x".repeat(token.len()));
        }
        if word.starts_with("nginx/") {
            return "nginx/VERSION".to_owned();
        }
        if hexadecimal(bare) {
            return "ID".to_owned();
        }
        if let Some(port) = word.strip_prefix("http://localhost:").and_then(|rest| rest.strip_suffix("/uuid")) {
            // `check --with` takes a free port.
            return if port == "8080" { word.to_owned() } else { "http://localhost:PORT/uuid".to_owned() };
        }
        if is_port || digits == 0 || bare.contains(|c: char| c.is_alphabetic() || c == '/') {
            return word.to_owned();
        }
        // A share stays, a time or a count does not.
        let is_share = bare.contains('.') && line.contains('%') && bare.len() <= 6;
        if is_share { word.to_owned() } else { "N".to_owned() }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    // A time has the unit that fits.
    ["N µs", "N ms", "N s"].iter().fold(line, |line, unit| line.replace(unit, "N TIME"))
}

/// Whether the lines were printed, in order, where a line `…` stands for any number of them.
fn agrees(shown: &[String], printed: &[String]) -> Result<(), String> {
    let mut at = 0;
    let mut skipping = false;
    for line in shown {
        if line == "…" {
            skipping = true;
            continue;
        }
        let expected = masked(line);
        let found = printed[at..].iter().position(|line| masked(line) == expected);
        match found {
            Some(distance) if distance == 0 || skipping => at += distance + 1,
            Some(_) | None => {
                let next = printed.get(at).map_or("nothing", String::as_str);
                return Err(format!("shown: {line}\nprinted: {next}"));
            }
        }
        skipping = false;
    }
    match printed[at..].iter().find(|line| !line.trim().is_empty()) {
        Some(more) if !skipping && !shown.is_empty() => Err(format!("printed too: {more}")),
        Some(_) | None => Ok(()),
    }
}

#[test]
fn masks_hide_what_differs_and_nothing_else() {
    assert_eq!(
        masked("10:53:48 App server started - http://localhost:9001"),
        "N App server started - http://localhost:9001"
    );
    assert_eq!(masked("  9002  ███┃   33.33 %   1,000"), "9002 ███┃ 33.33 % N");
    assert_eq!(masked("client  5.18 ms   15.3 µs"), "client N TIME N TIME");
    assert_eq!(masked("<h1>Generator #9001</h1>"), "<h1>Generator #9001</h1>");
    let lines = |text: &[&str]| text.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let printed = lines(&["a", "b", "9001 5 ms", "d"]);
    assert_eq!(agrees(&lines(&["a", "…", "9001 7 ms", "d"]), &printed), Ok(()));
    assert!(agrees(&lines(&["a", "9001 7 ms"]), &printed).is_err());
    assert!(agrees(&lines(&["a", "…", "9002 7 ms", "…"]), &printed).is_err());
    assert!(agrees(&lines(&["a", "b"]), &printed).is_err());
}

#[test]
fn the_commands_of_the_readme_work_line_by_line_and_print_what_is_shown() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: it takes root for a network and an /etc/nginx of its own");
        return;
    }
    let place = TemporaryDirectory::new();
    for folder in ["bin", "run", "tmp"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    let executable = |name: &str, text: &str| {
        let file = place.path().join("bin").join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    FRESH_MACHINE.iter().for_each(|(name, text)| executable(name, text));
    std::os::unix::fs::symlink(PROGRAM, place.path().join("bin/uuid-generator")).unwrap();
    assert!(run(Command::new("cp").arg("-a").args(["/etc/nginx"]).arg(place.path().join("nginx"))).status.success());
    let copy = place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let archive = run(Command::new("git").args([
        "-C",
        ROOT,
        "ls-files",
        "-z",
        "load_balancer.conf",
        "Cargo.toml",
        "src",
        "examples",
    ]));
    for file in String::from_utf8(archive.stdout).unwrap().split('\0').filter(|file| !file.is_empty()) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let _ = fs::copy(Path::new(ROOT).join(file), to);
    }
    let commands = shown(&readme());
    assert!(commands.len() >= 10, "the README has lost its commands");
    let mut shell = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("util-linux has unshare");
    shell.stdin.take().unwrap().write_all(script(&commands, place.path()).as_bytes()).unwrap();
    assert!(shell.wait().unwrap().code().is_some(), "the commands did not end");
    for (number, Shown { command, output }) in commands.iter().enumerate() {
        let read = |end: &str| fs::read_to_string(place.path().join(format!("{number}.{end}"))).unwrap_or_default();
        let printed: Vec<String> = read("out").lines().filter(|line| !is_progress(line)).map(str::to_owned).collect();
        let printed = in_order_of_ports(printed);
        if let Err(why) = agrees(output, &printed) {
            panic!("$ {command}\n{why}\n\nall of it:\n{}{}", read("out"), read("out.err"));
        }
        let fails = output.iter().any(|line| line.starts_with("FAIL"));
        if !is_foreground(command) {
            assert_eq!(read("out.status").trim(), if fails { "1" } else { "0" }, "$ {command}\n{}", read("out"));
        }
    }
}

/// Backends start at the same time: whichever accepts first is named first.
fn in_order_of_ports(mut printed: Vec<String>) -> Vec<String> {
    let starts = |line: &String| line.contains("App server started");
    if let Some(first) = printed.iter().position(starts) {
        let count = printed[first..].iter().take_while(|line| starts(line)).count();
        printed[first..first + count].sort_by_key(|line| line.rsplit(':').next().map(str::to_owned));
    }
    printed
}

/// Commands of a page of the book of which the output is shown.
fn shown_on(page: &str) -> impl Iterator<Item = Shown> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs").join(page)).unwrap();
    shown(&text).into_iter().filter(|shown| !shown.output.is_empty())
}

#[test]
fn the_configuration_that_a_page_shows_is_what_the_program_writes() {
    let place = TemporaryDirectory::new();
    let mut compared = 0;
    for Shown { command, output } in shown_on("how-to/balancer-configuration.md") {
        let words = command.strip_prefix("uuid-generator ").unwrap();
        let found = run(crate::support::program(&place).args(words.split(' ')));
        let printed = String::from_utf8([found.stdout, found.stderr].concat()).unwrap();
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        agrees(&output, &printed).unwrap_or_else(|why| panic!("{command}: {why}"));
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// The keys of all objects in a value of JSON.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.keys().cloned());
            object.values().for_each(|it| keys(it, found));
        }
        Value::Array(list) => list.iter().for_each(|it| keys(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names of the fields of a response: those of its JSON, or else of its head.
fn fields(response: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match serde_json::from_str(response) {
        Ok(json) => keys(&json, &mut found),
        Err(_) => {
            let head = response.lines().take_while(|line| !line.is_empty());
            found.extend(head.filter_map(|line| Some(line.split_once(": ")?.0.to_owned())));
        }
    }
    found
}

#[test]
fn the_responses_and_records_that_the_reference_shows_have_the_fields_of_real_ones() {
    let (fleet, ports) = Fleet::of(2, &[]);
    crate::support::http::expect_page(ports[0]);
    crate::support::eventually("it is recorded", || fleet.backend(ports[0]).attempts == 1);
    let control = fleet.control.strip_prefix("http://").unwrap();
    let mut compared = 0;
    for Shown { command, output } in shown_on("reference/backend.md").chain(shown_on("reference/api.md")) {
        let command = command.replace("localhost:9001", &format!("localhost:{}", ports[0]));
        let command = command.replace("localhost:9002", &format!("localhost:{}", ports[1]));
        let printed = run(Command::new("sh").args(["-c", &command.replace("localhost:9000", control)]));
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(fields(&output.join("\n")), fields(&printed.replace('\r', "")), "{command}: {printed}");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn the_example_of_an_nginx_conf_passes_its_checks() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: it takes root for a network of its own");
        return;
    }
    let place = TemporaryDirectory::new();
    let example = Path::new(ROOT).join("examples/nginx");
    let copied = run(Command::new("cp").arg("-a").arg(&example).arg(place.path().join("nginx")));
    assert!(copied.status.success());
    let check = format!(
        "ip link set lo up; cd nginx && exec {PROGRAM} check --with nginx --balancer-config nginx.conf --listen 8080 --from nginx.conf"
    );
    let mut command = crate::support::in_place(Command::new("unshare"), &place);
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", &check]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("PASS  least connections: ") && said.contains("PASS  a reload loses nothing: "), "{said}");
}

#[test]
fn the_jobs_to_copy_use_options_that_there_are() {
    let place = TemporaryDirectory::new();
    fs::write(place.path().join("nginx.conf"), "http { upstream a { server 127.0.0.1:9001; server 127.0.0.1:9002; } }")
        .unwrap();
    for file in ["github-actions.yml", "gitlab-ci.yml"] {
        let text = fs::read_to_string(Path::new(ROOT).join("examples/ci").join(file)).unwrap();
        let begin = ["uuid-generator check ", "arguments: "].into_iter().find_map(|it| text.split_once(it)).unwrap();
        let command = begin.1.split("\n          junit").next().unwrap().split("\n  artifacts").next().unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut check = crate::support::program(&place);
        let output = run(check.arg("check").args(words).arg("--dry-run"));
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// ` 6 s · taking the sample · …`: on standard error, and not shown.
fn is_progress(line: &str) -> bool {
    line.split_once(" s · ").is_some_and(|(seconds, _)| seconds.trim().parse::<u32>().is_ok())
        || line.contains("[notice]")
}
