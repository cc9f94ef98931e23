//! Lines of an `nginx.conf` that change what requests bring, before an upstream goes by it.

use crate::balancer::read::configuration::Upstream;
use crate::balancer::read::key_changes::KeyChanges;

#[derive(Default)]
pub(super) struct Rewrites {
    /// That change the path in `$uri`; `$request_uri` stays as the client sent it.
    paths: KeyChanges,
    headers: KeyChanges,
}

impl Rewrites {
    /// Notes a line of the file, if it is one of them.
    pub(super) fn note(&mut self, line: &[String], place: &str) {
        let Some((directive, values)) = line.split_first() else { return };
        let written = || format!("{place}: {}", line.join(" "));
        if gives_one_path(directive, values) {
            self.paths.path(written());
        }
        // Of the module headers-more.
        if ["more_set_input_headers", "more_clear_input_headers"].contains(&directive.as_str()) {
            for value in values.iter().filter(|it| !it.starts_with('-')) {
                self.headers.header(value.split(':').next().unwrap_or_default().trim(), written());
            }
        }
    }

    pub(super) fn apply(&self, upstreams: &mut [Upstream]) {
        self.headers.apply(&mut *upstreams);
        self.paths.apply(upstreams.iter_mut().filter(|it| it.key.as_deref().is_some_and(has_path)));
    }
}

/// Whether a key has the path as it is when a server is selected.
fn has_path(key: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_');
    let has = |variable: &str| key.split(variable).skip(1).any(|rest| !goes_on(rest));
    ["$uri", "$document_uri"].iter().any(|it| has(it))
        || ["${uri}", "${document_uri}"].iter().any(|it| key.contains(it))
}

/// Whether a line gives requests one path, whatever the client asked for.
fn gives_one_path(directive: &str, values: &[String]) -> bool {
    let is_constant = |uri: &str| uri.starts_with('/') && !uri.split('?').next().unwrap_or_default().contains('$');
    match (directive, values) {
        ("rewrite", [_, to]) => is_constant(to),
        ("rewrite", [_, to, flag]) => ["last", "break"].contains(&flag.as_str()) && is_constant(to),
        ("try_files", [.., last]) => is_constant(last),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::balancer::read::configuration::{ConfigFile, UpstreamMethod};
    use crate::topology::Policy;

    #[test]
    fn a_path_that_the_file_sets_is_no_key_unless_the_key_is_what_the_client_sent() {
        let method = |key: &str, line: &str| {
            let text = format!("upstream a {{ hash {key}; server b:1; }} server {{ {line} }}");
            let source = ConfigFile { name: "a.conf".to_owned(), text };
            read(&source, &|_| Ok(Vec::new())).unwrap().upstreams.remove(0).method
        };
        let known = UpstreamMethod::Known(Policy::Uri);
        for line in ["rewrite ^ /index.php last;", "rewrite ^/a /b;", "try_files $uri /index.php?$args;"] {
            let written = line.trim_end_matches(';');
            let why = format!("uri, and before that a.conf, line 1: {written}");
            assert_eq!(method("$uri", line), UpstreamMethod::Unknown(why.clone()));
            assert_eq!(method("$host${uri}", line), UpstreamMethod::Unknown(why));
            assert_eq!(method("$request_uri", line), known);
        }
        for line in [
            "rewrite ^/api/(.*) /$1 break;",
            "rewrite ^ https://b.example/ permanent;",
            "rewrite ^/old /new permanent;",
            "try_files $uri @app;",
            "try_files $uri =404;",
        ] {
            assert_eq!(method("$uri", line), known, "{line}");
        }
        let header = UpstreamMethod::Known(Policy::Header("x-user".parse().unwrap()));
        assert_eq!(method("$http_x_user", "more_set_input_headers 'X-Other: a';"), header);
        assert!(matches!(
            method("$http_x_user", "more_set_input_headers 'X-User: a';"),
            UpstreamMethod::Unknown(why) if why.contains("more_set_input_headers")
        ));
    }
}
