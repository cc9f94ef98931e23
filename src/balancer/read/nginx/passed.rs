//! Servers to which NGINX passes requests without an `upstream` block: those of a URL, and those that a variable names.

use crate::balancer::read::configuration::{Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::endpoint::server_of_url;
use crate::topology::Policy;

/// Where requests are passed to, and what variables may be.
#[derive(Default)]
pub(super) struct PassedUrls {
    /// Each with its place.
    urls: Vec<(String, String)>,
    /// Variables with their dollar sign, and values without variables.
    set: Vec<(String, String)>,
}

impl PassedUrls {
    pub(super) fn pass_to(&mut self, url: &str, place: String) {
        self.urls.push((url.to_owned(), place));
    }

    pub(super) fn set(&mut self, variable: &str, value: &str) {
        if !value.contains('$') {
            self.set.push((variable.to_owned(), value.to_owned()));
        }
    }

    /// A group of each server that no block stands for.
    pub(super) fn groups(&self, blocks: &[Upstream]) -> Vec<Upstream> {
        // A server that any URL names without variables is one that a variable finds, too.
        let (computed, written): (Vec<_>, Vec<_>) = self.urls.iter().partition(|(url, _)| url.contains('$'));
        let written = written.into_iter().filter_map(|(url, place)| group(url, place));
        let computed = computed.into_iter().flat_map(|(url, place)| {
            self.values(url).into_iter().filter_map(move |url| Some(resolved(group(before_path(&url), place)?)))
        });
        let mut groups: Vec<Upstream> = Vec::new();
        for group in written.chain(computed) {
            // NGINX compares names of blocks as those of hosts.
            if !blocks.iter().chain(&groups).any(|known| known.name.eq_ignore_ascii_case(&group.name)) {
                groups.push(group);
            }
        }
        groups
    }

    /// The URL with each value of a variable that it begins with, or that is its host.
    fn values(&self, url: &str) -> Vec<String> {
        let start = url.find("://").map_or(0, |at| at + 3);
        let Some(name) = url[start..].strip_prefix('$') else { return vec![url.to_owned()] };
        let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let (name, rest) = match name.strip_prefix('{').and_then(|name| name.split_once('}')) {
            Some(braced) => braced,
            None => name.split_at(name.find(|it| !is_name(it)).unwrap_or(name.len())),
        };
        let own = self.set.iter().filter(|(variable, _)| variable.strip_prefix('$') == Some(name));
        own.map(|(_, value)| format!("{}{value}{rest}", &url[..start])).collect()
    }
}

/// The addresses of its host, in turn, as NGINX found them when it started.
fn group(url: &str, place: &str) -> Option<Upstream> {
    let (server, endpoint) = server_of_url(url).filter(|(server, _)| !server.is_empty())?;
    let mut upstream = Upstream::named(server);
    upstream.servers.push(UpstreamServer::at(server, endpoint, place));
    Some(upstream)
}

/// A resolver is asked while NGINX runs: each request begins at a random one of its addresses (`ngx_resolver_export`).
fn resolved(mut group: Upstream) -> Upstream {
    group.method = UpstreamMethod::Known(Policy::Random);
    group.servers.iter_mut().for_each(|server| server.takes = Takes::Resolved);
    group
}

/// Without variables that begin with the slash of the path.
fn before_path(url: &str) -> &str {
    let end = ["$request_uri", "$uri"].iter().filter_map(|it| url.find(it)).min();
    &url[..end.unwrap_or(url.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::endpoint::Endpoint;

    fn groups(set: &[(&str, &str)], urls: &[&str]) -> Vec<(String, UpstreamMethod)> {
        let mut passed = PassedUrls::default();
        set.iter().for_each(|(variable, value)| passed.set(variable, value));
        urls.iter().for_each(|url| passed.pass_to(url, "a.conf, line 1".to_owned()));
        let groups = passed.groups(&[Upstream::named("block")]);
        groups.into_iter().map(|it| (it.name, it.method)).collect()
    }

    #[test]
    fn a_name_that_a_variable_brings_is_resolved_for_each_request() {
        let app = vec![("app.svc:8080".to_owned(), UpstreamMethod::Known(Policy::Random))];
        for (value, url) in [
            ("app.svc", "http://$app:8080"),
            ("app.svc:8080", "http://${app}/v1/"),
            ("app.svc", "http://$app:8080$request_uri"),
            ("http://app.svc:8080", "$app"),
            ("http://app.svc:8080", "$app$uri"),
            ("", "http://app.svc:8080$request_uri"),
        ] {
            assert_eq!(groups(&[("$app", value)], &[url]), app, "{value} {url}");
        }
        let mut passed = PassedUrls::default();
        passed.set("$app", "app.svc");
        passed.pass_to("https://$app", "a.conf, line 1".to_owned());
        let server = passed.groups(&[]).remove(0).servers.remove(0);
        assert_eq!((server.endpoint, server.takes), (Endpoint::Tcp("app.svc".to_owned(), 443), Takes::Resolved));
    }

    #[test]
    fn a_server_that_is_written_too_has_its_turns_and_a_block_its_own_method() {
        let turns = vec![("app:80".to_owned(), UpstreamMethod::Known(Policy::RoundRobin))];
        assert_eq!(groups(&[("$app", "app:80")], &["http://$app", "http://app:80/"]), turns);
        assert_eq!(groups(&[("$app", "block")], &["http://$app", "http://block", "http://Block/"]), []);
    }

    #[test]
    fn what_else_is_computed_names_no_server() {
        for (value, url) in [
            ("$host", "http://$app"),
            ("app", "http://$other"),
            ("app", "http://$app:$port"),
            ("app", "http://$app$suffix"),
            ("app", "http://$app.$domain:80"),
            ("", "http://$app"),
        ] {
            assert_eq!(groups(&[("$app", value)], &[url]), [], "{value} {url}");
        }
    }
}
