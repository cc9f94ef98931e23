//! What a balancer's own words say that it lacks in the world, and what can be done about it without touching its configuration:
//! this machine may not be the one that the file is for, and this user not the one that it runs as.

use std::path::{Path, PathBuf};

/// What is laid in a balancer's way for something that it lacks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Remedy {
    /// Another certificate and key lie over these.
    StandIn(PathBuf),
    /// A folder is made, with all above it.
    Make(PathBuf),
    /// A file that cannot be written, or made where it should be, becomes one of the world's own.
    Write(PathBuf),
    /// An account of that name is made.
    Account(String),
    /// A group of that name is made.
    AccountGroup(String),
    /// Another list of revoked certificates lies over that file.
    Revocations(PathBuf),
    /// Another group of Diffie-Hellman lies over that file.
    DiffieHellman(PathBuf),
}

/// Why the balancer could not use a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RefusalReason {
    Missing,
    ReadOnly,
    Forbidden,
}

/// What lines of output of a program ask for that runs in that folder. `is_folder` looks whether there is such a folder.
pub(crate) fn remedies(output: &str, folder: &Path, is_folder: &dyn Fn(&Path) -> bool) -> Vec<Remedy> {
    let mut all: Vec<Remedy> = output.lines().filter_map(|line| remedy(line, folder, is_folder)).collect();
    all.sort();
    all.dedup();
    all
}

fn remedy(line: &str, folder: &Path, is_folder: &dyn Fn(&Path) -> bool) -> Option<Remedy> {
    let lower = line.to_lowercase();
    if let Some(account) = account(line) {
        return Some(account);
    }
    let mismatch = lower.contains("key values mismatch") || lower.contains("private key does not match");
    let why = if lower.contains("read-only file system") {
        Some(RefusalReason::ReadOnly)
    } else if lower.contains("no such file") {
        Some(RefusalReason::Missing)
    } else if lower.contains("permission denied") {
        Some(RefusalReason::Forbidden)
    } else {
        None
    };
    let path = plain(folder.join(path(line)?));
    // HAProxy gives no reason.
    if lower.contains("unable to load dh parameters") || lower.contains("bio_new_file(\"") && why.is_some() {
        return Some(Remedy::DiffieHellman(path));
    }
    if lower.contains("cannot load crl") && why.is_some() {
        return Some(Remedy::Revocations(path));
    }
    let is_certificate = ["certificate", "private key", "pem file", "ssl_ctx_use_privatekey"];
    if is_certificate.iter().any(|word| lower.contains(word)) && (mismatch || why.is_some()) {
        return Some(Remedy::StandIn(path));
    }
    let parent = path.parent()?.to_owned();
    match why? {
        // A file that is missing in a folder that is there is what the balancer wanted to read: its own error, and the user's.
        RefusalReason::Missing if is_folder(&parent) => makes_folder(&lower).then_some(Remedy::Make(path)),
        RefusalReason::Missing => Some(Remedy::Make(if makes_folder(&lower) { path } else { parent })),
        RefusalReason::ReadOnly | RefusalReason::Forbidden if makes_folder(&lower) => Some(Remedy::Make(path)),
        RefusalReason::ReadOnly => Some(Remedy::Write(path)),
        // Only what is to be written: another user's file stays out of reach, and is said.
        RefusalReason::Forbidden => is_written(&lower).then_some(Remedy::Write(path)),
    }
}

/// Without `/./` and `//`, as people write a path. A `/` at its end says that it is a folder, and stays.
fn plain(path: PathBuf) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") { path } else { path.components().collect() }
}

/// An account or a group that this machine lacks.
fn account(line: &str) -> Option<Remedy> {
    let named = |before: &str, after: &str| {
        let rest = line.split_once(before)?.1;
        let name = rest.split_once(after)?.0;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
    };
    let user = named("getpwnam(\"", "\")").or_else(|| named("cannot find user id for '", "'"));
    let group = || named("getgrnam(\"", "\")").or_else(|| named("cannot find group id for '", "'"));
    user.map(Remedy::Account).or_else(|| group().map(Remedy::AccountGroup))
}

fn makes_folder(lower: &str) -> bool {
    ["mkdir", "chroot", "chdir"].iter().any(|word| lower.contains(word))
}

fn is_written(lower: &str) -> bool {
    [".log", ".pid", "bind", "pidfile", "socket", "log file"].iter().any(|word| lower.contains(word))
}

/// The path of a line: where HAProxy says that it is a file, which may be relative; else in quotes or brackets first, as all five write theirs.
pub(super) fn path(line: &str) -> Option<PathBuf> {
    if let Some((file, _)) = line.split_once("from file '").and_then(|(_, rest)| rest.split_once('\'')) {
        return Some(PathBuf::from(file));
    }
    let pairs = [('"', '"'), ('\'', '\''), ('<', '>'), ('[', ']'), ('(', ')')];
    let enclosed = pairs.iter().find_map(|(open, close)| {
        line.match_indices(*open).find_map(|(at, _)| {
            let rest = &line[at + 1..];
            let inner = &rest[..rest.find(*close)?];
            is_path(inner).then(|| inner.to_owned())
        })
    });
    let bare = || {
        let words = line.split([' ', ',', ';']).map(|word| word.trim_end_matches([':', '.']));
        words.map(|word| word.trim_start_matches("unix:")).find(|word| is_path(word)).map(str::to_owned)
    };
    Some(PathBuf::from(enclosed.or_else(bare)?))
}

fn is_path(text: &str) -> bool {
    // `/etc/nginx/nginx.conf:12` is a place in the file.
    let is_place = text.rsplit_once(':').is_some_and(|(_, line)| line.parse::<u32>().is_ok());
    let text = text.strip_prefix('.').unwrap_or(text);
    text.starts_with('/') && text.len() > 1 && !is_place && !text.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<Remedy> {
        remedies(line, Path::new("/etc/nginx"), &|folder| {
            ["/etc/nginx", "/var/cache/nginx", "/", "/etc/ssl/private"].iter().any(|it| Path::new(it) == folder)
        })
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_a_balancer_lacks_is_read_from_its_own_words() {
        let stand_in = |path: &str| vec![Remedy::StandIn(path.into())];
        for (line, expected) in [
            (
                "nginx: [emerg] cannot load certificate \"/etc/ssl/shop.pem\": BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory:calling fopen(/etc/ssl/shop.pem, r))",
                stand_in("/etc/ssl/shop.pem"),
            ),
            (
                "nginx: [emerg] cannot load certificate key \"/etc/ssl/private/shop.key\": BIO_new_file() failed (SSL: error:8000000D:system library::Permission denied:calling fopen(/etc/ssl/private/shop.key, r) error:10080002:BIO routines::system lib)",
                stand_in("/etc/ssl/private/shop.key"),
            ),
            (
                "nginx: [emerg] SSL_CTX_use_PrivateKey(\"/etc/ssl/k.pem\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)",
                stand_in("/etc/ssl/k.pem"),
            ),
            (
                "[ALERT]    (42) : config : parsing [/etc/haproxy/haproxy.cfg:20] : 'bind :443' in section 'frontend' : unable to stat SSL certificate from file '/etc/haproxy/certs/shop.pem' : No such file or directory.",
                stand_in("/etc/haproxy/certs/shop.pem"),
            ),
            (
                "nginx: [emerg] mkdir() \"/var/cache/nginx/shop/deep\" failed (2: No such file or directory)",
                vec![Remedy::Make("/var/cache/nginx/shop/deep".into())],
            ),
            (
                "nginx: [emerg] mkdir() \"./client_body_temp\" failed (30: Read-only file system)",
                vec![Remedy::Make("/etc/nginx/./client_body_temp".into())],
            ),
            (
                "nginx: [emerg] open() \"/srv/logs/access.log\" failed (2: No such file or directory)",
                vec![Remedy::Make("/srv/logs".into())],
            ),
            (
                "nginx: [emerg] open() \"/opt/app/error.log\" failed (30: Read-only file system)",
                vec![Remedy::Write("/opt/app/error.log".into())],
            ),
            (
                "[ALERT]    (2) : Starting frontend GLOBAL: cannot bind UNIX socket (No such file or directory) [/srv/haproxy/admin.sock]",
                vec![Remedy::Make("/srv/haproxy".into())],
            ),
            (
                "[emerg] 12#12: getpwnam(\"nginx\") failed in /etc/nginx/nginx.conf:1",
                vec![Remedy::Account("nginx".to_owned())],
            ),
            (
                "[emerg] 12#12: getgrnam(\"web\") failed (2: No such file or directory) in /etc/nginx/nginx.conf:1",
                vec![Remedy::AccountGroup("web".to_owned())],
            ),
            (
                "[ALERT]    (1) : config : parsing [/etc/haproxy/haproxy.cfg:2] : cannot find user id for 'lb' (0:Success)",
                vec![Remedy::Account("lb".to_owned())],
            ),
            (
                "[ALERT]    (1) : config : parsing [/etc/haproxy/haproxy.cfg:4] : 'ssl-dh-param-file': unable to load DH parameters from file </etc/haproxy/dh.pem>.",
                vec![Remedy::DiffieHellman("/etc/haproxy/dh.pem".into())],
            ),
            (
                "[emerg] 1#1: BIO_new_file(\"/etc/letsencrypt/dh.pem\") failed (SSL: error:80000002:system library::No such file or directory:calling fopen(/etc/letsencrypt/dh.pem, r))",
                vec![Remedy::DiffieHellman("/etc/letsencrypt/dh.pem".into())],
            ),
            (
                "[emerg] 13#13: cannot load CRL \"/etc/ssl/crl.pem\": BIO_new_file() failed (SSL: error:80000002:system library::No such file or directory)",
                vec![Remedy::Revocations("/etc/ssl/crl.pem".into())],
            ),
            (
                "[ALERT]    (14) : config : parsing [/etc/haproxy/haproxy.cfg:9] : 'bind :8443' in section 'frontend' : unable to stat SSL certificate from file 'certs/' : No such file or directory.",
                stand_in("/etc/nginx/certs/"),
            ),
            (
                "[ALERT]    (3) : [haproxy.main()] Cannot chroot(/srv/jail).: No such file or directory",
                vec![Remedy::Make("/srv/jail".into())],
            ),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn paths_are_written_as_people_write_them() {
        for (given, expected) in
            [("/tmp/x/./body", "/tmp/x/body"), ("/tmp//x", "/tmp/x"), ("/etc/certs/", "/etc/certs/")]
        {
            assert_eq!(plain(given.into()).display().to_string(), expected);
        }
    }

    #[test]
    fn what_is_wrong_with_the_file_itself_is_left_to_be_said() {
        for line in [
            "nginx: [emerg] open() \"/etc/nginx/mime.types\" failed (2: No such file or directory) in /etc/nginx/nginx.conf:12",
            "nginx: [emerg] unknown directive \"upstrem\" in /etc/nginx/nginx.conf:3",
            "[ALERT]    (8) : config : parsing [/etc/haproxy/haproxy.cfg:3] : unknown keyword 'foo' in 'global' section",
            "open() \"/etc/nginx/htpasswd\" failed (13: Permission denied)",
        ] {
            assert_eq!(of(line), [], "{line}");
        }
    }
}
