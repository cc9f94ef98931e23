//! What a check sends and where: headers, bodies, other routes, where ids are.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use regex_lite::Regex;

use crate::check::load::{BodyTransfer, Identity};
use crate::check::plan::{RequestPlan, Route, RouteTo};
use crate::error::Problem;

/// Bytes of a body at most: all bodies are held in memory.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// The user's own headers, and what the check does itself because one of them asked for it.
#[derive(PartialEq, Debug, Default)]
pub(super) struct Headers {
    pub(super) kept: Vec<(String, String)>,
    pub(super) transfer: BodyTransfer,
}

/// A request without a body: that method, and headers as they were typed.
pub(crate) fn without_body(method: &str, headers: &[String]) -> Result<RequestPlan, Problem> {
    let Headers { kept, transfer } = self::headers(headers)?;
    if transfer != BodyTransfer::default() {
        return Err(Problem::new("there is no body to send").on("Transfer-Encoding or Expect"));
    }
    Ok(RequestPlan { method: self::method(method)?, headers: kept, ..RequestPlan::default() })
}

/// In capital letters, as methods are: `get` is another method.
pub(super) fn method(text: &str) -> Result<String, Problem> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        Ok(text.to_owned())
    } else {
        Err(Problem::new("expected capital letters, such as GET or POST").on(format!("--method {text}")))
    }
}

/// Reads `Name: value`. Framing is the check's own: `Transfer-Encoding: chunked` means `--chunked`, and a length is never the user's.
pub(super) fn headers(texts: &[String]) -> Result<Headers, Problem> {
    let mut headers = Headers::default();
    for text in texts {
        let (name, value) = header(text)?;
        let refused = |hint: &str| {
            Problem::new("the check writes that header itself").on(format!("--header {text:?}")).hint(hint)
        };
        match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("transfer-encoding", "chunked") => headers.transfer.chunked = true,
            ("expect", "100-continue") => headers.transfer.expect_continue = true,
            ("transfer-encoding", _) => {
                return Err(refused("--chunked sends bodies in chunks; other codings are not sent"));
            }
            ("expect", _) => {
                return Err(refused("--expect-continue waits for 100 Continue; nothing else can be expected"));
            }
            ("content-length", _) => return Err(refused("leave it out: it is the length of --body or --body-bytes")),
            ("check-request-id" | "check-request-sent", _) => return Err(refused("leave it out")),
            _ => headers.kept.push((name, value)),
        }
    }
    Ok(headers)
}

fn header(text: &str) -> Result<(String, String), Problem> {
    let is_visible = |byte: u8| byte == b'\t' || (b' '..0x7f).contains(&byte);
    match text.split_once(':') {
        Some((name, value)) if http::is_token(name.as_bytes()) && value.bytes().all(is_visible) => {
            Ok((name.to_owned(), value.trim().to_owned()))
        }
        Some(_) | None => {
            let problem = Problem::new("expected `Name: value`").on(format!("--header {text:?}"));
            Err(problem.hint("such as --header 'X-Tenant: shop'"))
        }
    }
}

/// The bodies in their order: files, or standard input for `@-`.
pub(super) fn bodies(files: &[String]) -> Result<Vec<Arc<[u8]>>, Problem> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Problem::new("standard input can be read only once").on("--body @-"));
    }
    files.iter().map(|file| body(file)).collect()
}

fn is_stdin(file: &str) -> bool {
    matches!(file, "@-" | "-")
}

fn body(file: &str) -> Result<Arc<[u8]>, Problem> {
    let on = || format!("--body {file}");
    let failed = |why: std::io::Error| Problem::new(why.to_string()).on(on());
    let mut bytes = Vec::new();
    // One more than is taken, so that what is too long is known.
    let limit = MAX_BODY as u64 + 1;
    if is_stdin(file) {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?
    } else {
        // As curl writes it, or as it is.
        let path = file.strip_prefix('@').unwrap_or(file);
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?
    };
    if bytes.len() > MAX_BODY {
        Err(Problem::new(format!("larger than {} MiB", MAX_BODY / 1024 / 1024)).on(on()))
    } else {
        Ok(bytes.into())
    }
}

/// `HOST:PORT:ADDRESS`; `*` is any host.
pub(super) fn resolve(text: &str) -> Result<Route, Problem> {
    let wrong = || {
        Problem::new("expected HOST:PORT:ADDRESS, such as app.example.com:443:127.0.0.1")
            .on(format!("--resolve {text}"))
    };
    let parts = parts(text);
    let [host, port, address @ ..] = parts.as_slice() else { return Err(wrong()) };
    // An IPv6 address is taken with its brackets and without.
    let address = address.join(":");
    let address: IpAddr = bare(&address).parse().map_err(|_| wrong())?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let host = match *host {
        "" => return Err(wrong()),
        "*" => None,
        host => Some(bare(host).to_owned()),
    };
    Ok(Route { host, port: Some(port), to: RouteTo::Address(address) })
}

/// `HOST1:PORT1:HOST2:PORT2`; an empty part means any, or stays as it is.
pub(super) fn connect_to(text: &str) -> Result<Route, Problem> {
    let wrong = || {
        Problem::new("expected HOST1:PORT1:HOST2:PORT2, such as app.example.com:443:127.0.0.1:8443")
            .on(format!("--connect-to {text}"))
    };
    let parts = parts(text);
    let [host, port, to_host, to_port] = parts.as_slice() else { return Err(wrong()) };
    let host_of = |text: &str| (!text.is_empty()).then(|| bare(text).to_owned());
    let port_of = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().ok().filter(|port: &u16| *port > 0).map(Some).ok_or_else(wrong),
    };
    let to = RouteTo::Host(host_of(to_host), port_of(to_port)?);
    if to == RouteTo::Host(None, None) {
        return Err(wrong());
    }
    Ok(Route { host: host_of(host), port: port_of(port)?, to })
}

/// Between colons, those in brackets apart.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Reads `header:NAME`, `cookie:NAME`, `json:/pointer` or `regex:EXPRESSION`.
pub(super) fn identity(text: &str) -> Result<Identity, Problem> {
    let on = || format!("--identity {text}");
    match text.split_once(':') {
        Some(("header", name)) if !name.is_empty() => Ok(Identity::Header(name.to_owned())),
        Some(("cookie", name)) if !name.is_empty() => Ok(Identity::Cookie(name.to_owned())),
        Some(("json", pointer)) if pointer.is_empty() || pointer.starts_with('/') => {
            Ok(Identity::Json(pointer.to_owned()))
        }
        Some(("regex", expression)) => {
            Regex::new(expression).map(Identity::Regex).map_err(|why| Problem::new(why.to_string()).on(on()))
        }
        Some(_) | None => {
            Err(Problem::new("expected header:NAME, cookie:NAME, json:/pointer or regex:EXPRESSION").on(on()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_body_has_its_method_and_headers() {
        let plan = without_body("HEAD", &["Host: shop".to_owned()]).unwrap();
        assert_eq!((plan.method.as_str(), plan.headers), ("HEAD", vec![("Host".to_owned(), "shop".to_owned())]));
        assert!(without_body("get", &[]).is_err());
        assert!(without_body("POST", &["Transfer-Encoding: chunked".to_owned()]).is_err());
    }

    #[test]
    fn framing_is_never_a_header_of_the_user() {
        let of = |text: &str| headers(&[text.to_owned()]).map_err(|problem| problem.to_string());
        let asking = |transfer: BodyTransfer| Headers { transfer, ..Headers::default() };
        assert_eq!(
            of("Transfer-Encoding: chunked"),
            Ok(asking(BodyTransfer { chunked: true, expect_continue: false }))
        );
        assert_eq!(of("expect: 100-Continue"), Ok(asking(BodyTransfer { chunked: false, expect_continue: true })));
        let kept = vec![("Host".to_owned(), "a".to_owned())];
        assert_eq!(of("Host: a"), Ok(Headers { kept, ..Headers::default() }));
        for (text, part) in [
            ("Content-Length: 5", "itself"),
            ("Transfer-Encoding: gzip", "itself"),
            ("Expect: 200-ok", "itself"),
            ("Check-Request-Id: 1", "itself"),
            ("no-colon", "Name: value"),
            ("A: b\r\nC: d", "Name: value"),
            (": x", "Name: value"),
            ("A B: x", "Name: value"),
        ] {
            assert!(of(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn routes_are_read_as_curl_reads_them() {
        let address = |text: &str| RouteTo::Address(text.parse().unwrap());
        let route = |host: Option<&str>, port, to| Route { host: host.map(str::to_owned), port, to };
        let to = |host: Option<&str>, port| RouteTo::Host(host.map(str::to_owned), port);
        assert_eq!(
            resolve("a.example:443:127.0.0.1").unwrap(),
            route(Some("a.example"), Some(443), address("127.0.0.1"))
        );
        assert_eq!(resolve("*:80:[::1]").unwrap(), route(None, Some(80), address("::1")));
        assert_eq!(resolve("a:80:::1").unwrap(), route(Some("a"), Some(80), address("::1")));
        assert_eq!(connect_to("a:443:b:8443").unwrap(), route(Some("a"), Some(443), to(Some("b"), Some(8443))));
        assert_eq!(connect_to("::127.0.0.1:").unwrap(), route(None, None, to(Some("127.0.0.1"), None)));
        assert_eq!(connect_to("[::1]:80:[::2]:81").unwrap(), route(Some("::1"), Some(80), to(Some("::2"), Some(81))));
        for text in ["", "a", "a:80", "a:0:127.0.0.1", "a:80:b", "a:x:127.0.0.1", ":80:127.0.0.1"] {
            assert!(resolve(text).is_err(), "{text}");
        }
        for text in ["", "a:1:b", "a:1:b:2:3", ":::", "a:1::", "a:1:b:70000"] {
            assert!(connect_to(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_body_is_a_file_as_it_is_or_with_curls_sign() {
        let file = std::env::temp_dir().join(format!("uuid-generator-body-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, "{}").unwrap();
        let plain = file.display().to_string();
        let all = bodies(&[plain.clone(), format!("@{plain}")]).unwrap();
        assert!(all.len() == 2 && all.iter().all(|body| **body == *b"{}"));
        std::fs::remove_file(file).unwrap();
        assert!(bodies(&[plain]).unwrap_err().to_string().contains("--body"));
        assert!(bodies(&["@-".to_owned(), "-".to_owned()]).unwrap_err().to_string().contains("once"));
    }
}
