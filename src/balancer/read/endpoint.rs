//! Where a server listens, as addresses and URLs of configurations say it.

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    /// A name or an address, and a port: 80 if none is written.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(String),
    /// The pods behind a Service of Kubernetes.
    Pods(PodSet),
    /// Neither, such as a port that is a variable.
    Other,
}

/// The pods of a Service, as far as manifests name them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct PodSet {
    /// Deployments, StatefulSets and the like, whose pods have names that begin with theirs.
    pub(crate) workloads: Vec<String>,
    /// Backends as the arguments in their pods call them.
    pub(crate) backends: Vec<String>,
}

impl PodSet {
    /// Whether a backend is one of them, by its name or by its pod's.
    pub(crate) fn has(&self, name: &str, pod: Option<&str>) -> bool {
        self.backends.iter().any(|it| it == name)
            || [Some(name), pod].into_iter().flatten().any(|it| self.workloads.iter().any(|own| is_pod_of(own, it)))
    }
}

/// Whether a pod's name is the workload's with what Kubernetes appends: an ordinal or five characters at random, with the hash of a
/// Deployment's ReplicaSet before these.
fn is_pod_of(workload: &str, pod: &str) -> bool {
    let Some(rest) = pod.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-')) else { return pod == workload };
    let is_random = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| SAFE.contains(&byte))
    };
    match rest.split_once('-') {
        Some((hash, random)) => is_random(hash, 1..=10) && is_random(random, 5..=5),
        None => is_random(rest, 5..=5) || !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Of these characters Kubernetes makes names at random: no vowels, and no digits that look like them.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Where a URL of a backend leads, such as `http://10.0.0.1:8080`.
pub(crate) fn endpoint_of_url(url: &str) -> Endpoint {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = if scheme == "https" { 443 } else { 80 };
    match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => {
            port.parse().map_or(Endpoint::Other, |port| Endpoint::Tcp(host.trim_matches(['[', ']']).to_owned(), port))
        }
        None if authority.is_empty() => Endpoint::Other,
        None => Endpoint::Tcp(authority.trim_matches(['[', ']']).to_owned(), port),
    }
}

/// Parses the address of an NGINX `server` line.
pub(super) fn endpoint(address: &str) -> Endpoint {
    if let Some(path) = address.strip_prefix("unix:") {
        return Endpoint::Unix(path.to_owned());
    }
    match address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) => port.parse().map_or(Endpoint::Other, |port| Endpoint::Tcp(host.to_owned(), port)),
        None => Endpoint::Tcp(address.to_owned(), 80),
    }
}

/// The server of a URL of NGINX without variables, as it is written and where it listens.
pub(super) fn server_of_url(url: &str) -> Option<(&str, Endpoint)> {
    let (scheme, rest) = url.split_once("://").filter(|_| !url.contains('$'))?;
    let server = match rest.strip_prefix("unix:") {
        Some(path) => &rest[..5 + path.find(':').unwrap_or(path.len())],
        None => rest.split('/').next()?,
    };
    let usual = if scheme.ends_with('s') { 443 } else { 80 };
    let endpoint = match endpoint(server) {
        Endpoint::Tcp(host, 80) if host == server => Endpoint::Tcp(host, usual),
        other => other,
    };
    Some((server, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_recognised_by_what_kubernetes_appends_to_the_name_of_its_workload() {
        for (pod, is_one) in [
            ("shop-6c9f8d7b5-x2x4z", true),
            ("shop-0", true),
            ("shop-12", true),
            ("shop-x2x4z", true),
            ("shop", true),
            ("shop-canary-6c9f8d7b5-x2x4z", false),
            ("shop-canary-0", false),
            ("shop-v2", false),
            ("shop-canary", false),
            ("shopping-0", false),
            ("shop-", false),
        ] {
            assert_eq!(is_pod_of("shop", pod), is_one, "{pod}");
        }
        let set = PodSet { workloads: vec!["uuid-9001".to_owned()], backends: vec!["9001".to_owned()] };
        assert!(set.has("9001", None) && set.has("x", Some("uuid-9001-0")) && !set.has("9002", Some("uuid-9002-0")));
    }

    #[test]
    fn the_server_of_a_url_is_read_with_the_port_of_its_scheme() {
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        for (url, server, endpoint) in [
            ("http://10.0.0.1:3000/v1/", "10.0.0.1:3000", tcp("10.0.0.1", 3000)),
            ("https://app.internal", "app.internal", tcp("app.internal", 443)),
            ("grpc://[fd00::1]:50051", "[fd00::1]:50051", tcp("[fd00::1]", 50051)),
            ("http://unix:/run/app.sock:/x", "unix:/run/app.sock", Endpoint::Unix("/run/app.sock".to_owned())),
        ] {
            assert_eq!(server_of_url(url), Some((server, endpoint)), "{url}");
        }
        assert_eq!((server_of_url("http://$app"), server_of_url("app")), (None, None));
    }
}
