//! The hosts of backends, as far as a rehearsal can change how they are reached.

use std::net::IpAddr;

/// By names of backends; None: the host is the balancer's own.
#[derive(Clone)]
pub(crate) struct Hosts(Vec<(String, Option<IpAddr>)>);

impl Hosts {
    pub(crate) fn new(hosts: Vec<(String, Option<IpAddr>)>) -> Hosts {
        Hosts(hosts)
    }

    /// The address of a host that is that backend's alone; or why it has none.
    pub(crate) fn of(&self, backend: &str) -> Result<IpAddr, String> {
        let unknown = || {
            let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
            format!("no backend {backend}, only {}", names.join(", "))
        };
        let host = self.0.iter().find(|(name, _)| name == backend).ok_or_else(unknown)?.1;
        let own = || format!("{backend} runs on the balancer's own host, which cannot go");
        let host = host.filter(|host| !world::is_own(*host)).ok_or_else(own)?;
        let others = self.0.iter().filter(|(name, other)| name != backend && *other == Some(host));
        let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
        match others.as_slice() {
            [] => Ok(host),
            others => Err(format!("{backend} shares its host {host} with {}", others.join(", "))),
        }
    }

    /// Nothing that is sent to its host is answered.
    pub(crate) fn silence(&self, backend: &str) -> Result<(), String> {
        world::silence(self.of(backend)?).map_err(|why| why.to_string())
    }

    /// The way to its host is known to end.
    pub(crate) fn bar(&self, backend: &str) -> Result<(), String> {
        world::bar(self.of(backend)?).map_err(|why| why.to_string())
    }

    /// Lets the host be reached as before.
    pub(crate) fn reopen(&self, backend: &str) -> Result<(), String> {
        world::reopen(self.of(backend)?).map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_several_backends_share_or_that_is_the_balancers_cannot_go() {
        let at = |name: &str, ip: &str| (name.to_owned(), Some(ip.parse().unwrap()));
        let hosts = Hosts::new(vec![
            at("a", "10.0.0.1"),
            at("b", "10.0.0.2"),
            at("c", "10.0.0.2"),
            at("d", "127.0.0.1"),
            ("e".to_owned(), None),
        ]);
        assert_eq!(hosts.of("a"), Ok("10.0.0.1".parse().unwrap()));
        assert_eq!(hosts.of("b").unwrap_err(), "b shares its host 10.0.0.2 with c");
        for own in ["d", "e"] {
            assert!(hosts.of(own).unwrap_err().contains("the balancer's own host"));
        }
        assert_eq!(hosts.of("f").unwrap_err(), "no backend f, only a, b, c, d, e");
    }
}
