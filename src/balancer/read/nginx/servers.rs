//! Which `server` block of an `nginx.conf` responds to a host on a port, as far as the file alone decides it.

use crate::balancer::read::configuration::ServerBlock;

/// Why a block responds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Because {
    /// A name of it is the host, or a pattern fits.
    Named,
    /// No block of that port has the host's name.
    Default,
}

/// A port of a block, and whether it is the default there.
struct ListenLine<'b> {
    address: &'b str,
    port: u16,
    is_default: bool,
}

/// None where addresses or regular expressions decide too.
pub(crate) fn responding<'b>(blocks: &'b [ServerBlock], host: &str, port: u16) -> Option<(&'b ServerBlock, Because)> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let on_port: Vec<(&ServerBlock, ListenLine)> =
        blocks.iter().filter_map(|block| Some((block, block.lines().find(|line| line.port == port)?))).collect();
    let (first, line) = on_port.first()?;
    // One that listens on an address alone is asked before those that listen on all.
    if on_port.iter().any(|(_, other)| other.address != line.address) {
        return None;
    }
    let named = |fits: &dyn Fn(&str) -> bool| on_port.iter().find(|(block, _)| block.names.iter().any(|it| fits(it)));
    let exact = |name: &str| name.strip_prefix('.').unwrap_or(name).eq_ignore_ascii_case(&host);
    if let Some((block, _)) = named(&exact) {
        return Some((block, Because::Named));
    }
    let wildcards =
        || on_port.iter().flat_map(|(block, _)| block.names.iter().map(move |name| (*block, name.as_str())));
    // The longest that begins with an asterisk, then the longest that ends with one.
    for is_fit in [fits_end, fits_beginning] {
        if let Some((block, _)) = wildcards().filter(|(_, name)| is_fit(name, &host)).max_by_key(|(_, name)| name.len())
        {
            return Some((block, Because::Named));
        }
    }
    if wildcards().any(|(_, name)| name.starts_with('~') || name.contains('$')) {
        return None;
    }
    let default = on_port.iter().find(|(_, line)| line.is_default).map_or(first, |(block, _)| block);
    Some((default, Because::Default))
}

fn fits_end(name: &str, host: &str) -> bool {
    let end = name.strip_prefix('*').or_else(|| Some(name).filter(|it| it.starts_with('.')));
    end.is_some_and(|end| end.starts_with('.') && host.ends_with(&end.to_ascii_lowercase()))
}

fn fits_beginning(name: &str, host: &str) -> bool {
    name.strip_suffix(".*").is_some_and(|begin| host.starts_with(&format!("{}.", begin.to_ascii_lowercase())))
}

impl ServerBlock {
    fn lines(&self) -> impl Iterator<Item = ListenLine<'_>> {
        // What NGINX takes where nothing is written, as root.
        let usual = ListenLine { address: "*", port: 80, is_default: false };
        let written = self.listen.iter().filter_map(|words| {
            let (address, parameters) = words.split_first()?;
            let (address, port) =
                match address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
                    Some((host, port)) => (host, port.parse().ok()?),
                    None => address.parse().map_or((address.as_str(), 80), |port| ("*", port)),
                };
            // Those of both families are asked in the same way.
            let address = if ["*", "0.0.0.0", "[::]"].contains(&address) { "*" } else { address };
            let is_default = parameters.iter().any(|it| ["default_server", "default"].contains(&it.as_str()));
            Some(ListenLine { address, port, is_default })
        });
        written.chain(self.listen.is_empty().then_some(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(place: &str, listen: &[&str], names: &str) -> ServerBlock {
        let words = |text: &&str| text.split(' ').map(str::to_owned).collect();
        ServerBlock {
            place: place.to_owned(),
            listen: listen.iter().map(words).collect(),
            names: names.split_whitespace().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn a_name_decides_then_a_pattern_and_then_the_default() {
        let blocks = [
            block("a", &["80", "[::]:80"], "shop.example www.shop.example"),
            block("b", &["80 default_server"], "_"),
            block("c", &["*:80"], "*.shop.example .shop.test mail.*"),
            block("d", &["0.0.0.0:80"], "*.api.shop.example"),
            block("e", &["443 ssl", "127.0.0.1:8080"], "~^x"),
            block("f", &[], ""),
        ];
        for (host, port, expected) in [
            ("Shop.Example", 80, Some(("a", Because::Named))),
            ("img.shop.example", 80, Some(("c", Because::Named))),
            ("v1.api.shop.example", 80, Some(("d", Because::Named))),
            ("shop.test", 80, Some(("c", Because::Named))),
            ("x.shop.test", 80, Some(("c", Because::Named))),
            ("mail.example", 80, Some(("c", Because::Named))),
            ("other.example", 80, Some(("b", Because::Default))),
            // A regular expression may fit.
            ("shop.example", 443, None),
            ("shop.example", 8081, None),
        ] {
            let found = responding(&blocks, host, port).map(|(block, why)| (block.place.as_str(), why));
            assert_eq!(found, expected, "{host}:{port}");
        }
    }

    #[test]
    fn addresses_decide_before_names_and_without_a_mark_the_first_is_the_default() {
        let two = [block("a", &["10.0.0.1:80"], "x"), block("b", &["80"], "shop.example")];
        assert_eq!(responding(&two, "shop.example", 80), None);
        let two = [block("a", &["8080"], "x"), block("b", &["8080"], "y")];
        assert_eq!(
            responding(&two, "z", 8080).map(|(block, why)| (block.place.as_str(), why)),
            Some(("a", Because::Default))
        );
        assert_eq!(responding(&[block("a", &[], "")], "z", 80).map(|(_, why)| why), Some(Because::Default));
    }
}
