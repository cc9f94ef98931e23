//! Worlds as they are, on this machine: as the user who runs the tests, and as an unprivileged one if that is root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As whom a world is made.
#[derive(Clone, Copy, Debug)]
enum User {
    Own,
    Nobody,
}

fn users() -> Vec<User> {
    let is_root = rustix::process::geteuid().is_root();
    let users = [User::Own, User::Nobody].into_iter().take(1 + usize::from(is_root));
    // A machine may forbid it, as Ubuntu and containers do: then there is nothing to see.
    let may = |user: &User| !run(*user, "true").1.contains("does not let this user make namespaces");
    users.filter(may).collect()
}

/// The example of this crate, which cargo builds for its tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/world")
}

fn command(user: User, script: &str) -> Command {
    let mut command = match user {
        User::Own => Command::new(program()),
        User::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program());
            command
        }
    };
    command.args(["bash", "-c", script]).current_dir("/").stdin(Stdio::null());
    command
}

/// What the script printed, and what the example noted.
fn run(user: User, script: &str) -> (String, String, Output) {
    run_with(user, &[], script)
}

/// The same, with files that are laid before.
fn run_with(user: User, laid: &[&str], script: &str) -> (String, String, Output) {
    let output = command(user, script).env("WORLD_LAY", laid.join(":")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output)
}

/// Each file with its length and when it was changed, of a folder and all below it.
fn listing(folder: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            }
            let modified = metadata.modified().unwrap();
            found.insert(entry.path(), format!("{} {modified:?} {:?}", metadata.len(), metadata.permissions()));
        }
    }
    found
}

#[test]
fn nothing_of_the_machine_changes_whatever_runs_within() {
    let mark = format!("world-test-{}", std::process::id());
    let folders = ["/etc", "/run", "/var/log", "/var/cache", "/root", "/usr/lib/systemd"];
    let script = format!(
        "for folder in / /etc /run /var/log /var/cache /var/lib /usr /usr/bin /root /home /tmp /dev /sys /proc /sys/fs/cgroup; do
             echo text > $folder/{mark}; mkdir $folder/{mark}-folder
         done
         echo changed > /etc/hostname; rm -f /etc/passwd; mv /etc/nginx /etc/{mark}; chmod 777 /etc; echo 0 > /proc/sys/kernel/pid_max
         echo kept > /run/nginx.pid && cat /run/nginx.pid"
    );
    for user in users() {
        // Somebody else may change something meanwhile: then once more.
        let undisturbed = (0..5).any(|_| {
            let before = folders.map(listing);
            let (printed, noted, _) = run(user, &script);
            assert_eq!(printed, "kept\n", "{user:?}: {noted}");
            before == folders.map(listing)
        });
        assert!(undisturbed, "{user:?}");
        for folder in folders.iter().chain(&["/", "/tmp", "/dev", "/sys/fs/cgroup", "/var/lib"]) {
            assert!(!Path::new(folder).join(&mark).exists(), "{user:?}: {folder}");
        }
    }
}

#[test]
fn every_other_address_is_nobodys_and_the_refusal_is_seen() {
    let script = "for to in 10.20.0.11/8080 8.8.8.8/443 169.254.169.254/80 240.0.0.1/1 fd00:5::7/80 2606:4700::1/443 127.0.0.1/9000; do
             (echo > /dev/tcp/${to%/*}/${to#*/}) 2>/dev/null && echo reached $to
         done";
    for user in users() {
        let (printed, noted, _) = run(user, script);
        assert_eq!(printed, "", "{user:?}: {noted}");
        for address in ["10.20.0.11:8080", "8.8.8.8:443", "169.254.169.254:80", "240.0.0.1:1", "127.0.0.1:9000"] {
            assert!(noted.contains(&format!("refused {address}\n")), "{user:?}: {address} in {noted}");
        }
        if Path::new("/proc/sys/net/ipv6").exists() {
            assert!(noted.contains("refused [fd00:5::7]:80\n"), "{user:?}: {noted}");
        }
    }
}

#[test]
fn every_name_has_an_address_and_is_noted() {
    for user in users() {
        let (printed, noted, _) = run(user, "getent ahostsv4 app.internal; getent hosts localhost");
        assert!(printed.contains("198.18.0.1"), "{user:?}: {printed} {noted}");
        assert!(noted.contains("name app.internal [198.18.0.1]"), "{user:?}: {noted}");
    }
}

#[test]
fn a_process_may_become_any_user_and_its_status_is_the_worlds() {
    for user in users() {
        let (_, noted, output) =
            run(user, "touch /tmp/a && chown 33:33 /tmp/a && setpriv --regid=33 --clear-groups true && exit 7");
        assert_eq!(output.status.code(), Some(7), "{user:?}: {noted}");
    }
}

#[test]
fn sockets_of_the_machine_are_out_of_reach() {
    let path = program().with_file_name(format!("socket-{}", std::process::id()));
    let _listener = UnixListener::bind(&path).unwrap();
    for user in users() {
        let (printed, noted, _) = run(user, &format!("stat -c %F {}; ls -A /run/docker.sock /dev/log", path.display()));
        assert_eq!(printed, "regular empty file\n", "{user:?}: {noted}");
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn a_folder_that_is_opened_keeps_what_is_mounted_in_it() {
    // What `lay` does for a file whose folder is missing: /etc/resolv.conf is a mount within /etc.
    for user in users() {
        let (printed, noted, _) =
            run_with(user, &["/etc/world-test/a/b"], "cat /etc/world-test/a/b /etc/resolv.conf; ls /etc/passwd");
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[..2], ["laid", "nameserver 192.0.2.2"], "{user:?}: {noted}");
        assert!(lines.contains(&"/etc/passwd"), "{user:?}: {printed} {noted}");
        assert!(!Path::new("/etc/world-test").exists());
    }
}

fn processes_with(word: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.first() == Some(&&b"sleep"[..]) && words.get(1) == Some(&word.as_bytes())
    })
    .count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_end_of_the_outermost_process_ends_all_of_them() {
    for (number, user) in users().into_iter().enumerate() {
        let word = format!("{}{number}.5", std::process::id() + 100_000);
        let script = format!("setsid nohup sleep {word} & (sleep {word} &) ; sleep {word}");
        let mut outermost: Child = command(user, &script).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("all run", || processes_with(&word) == 3);
        outermost.kill().unwrap();
        outermost.wait().unwrap();
        wait_until("none is left", || processes_with(&word) == 0);
    }
}

#[test]
fn a_world_that_is_killed_while_it_is_made_leaves_nothing() {
    for user in users() {
        let word = format!("{}77.5", std::process::id() + 200_000);
        for after in (0..200).step_by(10).map(Duration::from_millis) {
            let mut outermost =
                command(user, &format!("sleep {word}")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(after);
            outermost.kill().unwrap();
            outermost.wait().unwrap();
        }
        wait_until("none is left", || processes_with(&word) == 0);
    }
}
