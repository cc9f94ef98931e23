//! Backends with names and addresses of their own: `app1=10.20.0.11:8080,[fd00::5]:80,unix:/run/app.sock`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::host::Host;
use crate::platform::LONGEST_SOCKET_PATH;

/// A fleet has at most this many backends.
pub(crate) const MAX_BACKENDS: usize = 1000;

/// Where a backend listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Address {
    /// A port of every address that the host resolves to.
    Tcp(Host, u16),
    /// The file of a unix socket.
    Unix(PathBuf),
}

/// As it is typed, and as a balancer writes it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.as_str().contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>&\"'@,=".contains(&byte));
            return if path.starts_with('/') && path.len() <= LONGEST_SOCKET_PATH && plain {
                Ok(Address::Unix(path.into()))
            } else {
                Err(format!(
                    "expected a path such as unix:/run/app.sock of at most {LONGEST_SOCKET_PATH} bytes, found {text:?}"
                ))
            };
        }
        let expected = || {
            format!(
                "expected an address and a port, such as 10.20.0.11:8080, [fd00::5]:80 or unix:/run/app.sock, found {text:?}"
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        // `fd00::5:80` could be read in two ways.
        let is_plain = host.starts_with('[') && host.ends_with(']') || !host.contains(':');
        let port = port.parse().ok().filter(|port| *port > 0 && is_plain).ok_or_else(expected)?;
        Ok(Address::Tcp(host.parse().map_err(|_| expected())?, port))
    }
}

/// A backend and all of its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamedBackend {
    pub(crate) name: String,
    /// At least one address.
    pub(crate) addresses: Vec<Address>,
}

/// Backends in the order in which they were named; a name that is repeated adds an address to its backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamedBackends(pub(crate) Vec<NamedBackend>);

/// What backends of ports are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BackendName {
    /// The name of the machine.
    Machine,
    Own(String),
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(text: &str) -> Result<BackendName, String> {
        match text {
            "hostname" => Ok(BackendName::Machine),
            text => read_name(text).map(|name| BackendName::Own(name.to_owned())),
        }
    }
}

impl NamedBackends {
    /// Backends on these ports: one has the name itself, several have their port after it.
    pub(crate) fn of_ports(
        name: &BackendName,
        machine: &str,
        host: &Host,
        ports: &[u16],
    ) -> Result<NamedBackends, String> {
        let name = match name {
            BackendName::Machine => machine,
            BackendName::Own(name) => name,
        };
        let backend = |port: &u16| {
            let name = if ports.len() == 1 { name.to_owned() } else { format!("{name}-{port}") };
            let name = read_name(&name)?.to_owned();
            Ok(NamedBackend { name, addresses: vec![Address::Tcp(host.clone(), *port)] })
        };
        ports.iter().map(backend).collect::<Result<_, _>>().map(NamedBackends)
    }
}

/// The form that can be parsed again.
impl fmt::Display for NamedBackends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |backend: &NamedBackend| -> Vec<String> {
            let typed = |address: &Address| match address.to_string() {
                own if own == backend.name => own,
                other => format!("{}={other}", backend.name),
            };
            backend.addresses.iter().map(typed).collect()
        };
        f.write_str(&self.0.iter().flat_map(each).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for NamedBackends {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedBackends, String> {
        let mut all: Vec<NamedBackend> = Vec::new();
        let mut taken = BTreeSet::new();
        for part in text.split(',').map(str::trim) {
            let (name, address) = match part.split_once('=') {
                // One that is called by its first address has others under that name.
                Some((name, address)) if all.iter().any(|known| known.name == name.trim()) => {
                    (name.trim().to_owned(), address.trim().parse()?)
                }
                Some((name, address)) => (read_name(name.trim())?.to_owned(), address.trim().parse()?),
                None => (part.to_owned(), part.parse::<Address>()?),
            };
            if !taken.insert(Address::clone(&address)) {
                return Err(format!("{address}: named more than once"));
            }
            match all.iter_mut().find(|backend| backend.name == name) {
                Some(backend) if backend.addresses.len() == MOST_ADDRESSES => {
                    return Err(format!("{name}: a backend has {MOST_ADDRESSES} addresses at most"));
                }
                Some(backend) => backend.addresses.push(address),
                None => all.push(NamedBackend { name, addresses: vec![address] }),
            }
        }
        match all.len() {
            count if count > MAX_BACKENDS => Err(format!("{count} backends: a fleet has {MAX_BACKENDS} at most")),
            _ => Ok(NamedBackends(all)),
        }
    }
}

/// All listening sockets of a backend go to it in one message.
const MOST_ADDRESSES: usize = 16;

/// As long as a label of DNS.
const LONGEST_NAME: usize = 63;

/// Names stand in headers, commands, configurations of balancers and labels of metrics.
fn read_name(name: &str) -> Result<&str, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = name.starts_with(|it: char| it.is_ascii_alphanumeric());
    if begins && name.len() <= LONGEST_NAME && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(format!(
            "expected a name of at most {LONGEST_NAME} letters, digits and any of -_. that begins with a letter or a digit, found {name:?}"
        ))
    }
}

/// Backends as commands name them: `app1`, `9001-9003,9010`, `10.20.0.11:8080`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct BackendSelection(pub(crate) Vec<String>);

impl FromStr for BackendSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<BackendSelection, String> {
        let mut names = Vec::new();
        for part in text.split(',').map(str::trim) {
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            match part.split_once('-').map(|(first, last)| (first.trim(), last.trim())) {
                Some((first, last)) if is_number(first) && is_number(last) => {
                    let expected =
                        || format!("expected a range of ports from low to high, such as 9001-9003, found {part:?}");
                    let (first, last): (u16, u16) =
                        (first.parse().map_err(|_| expected())?, last.parse().map_err(|_| expected())?);
                    if first > last {
                        return Err(expected());
                    }
                    names.extend((first..=last).map(|port| port.to_string()));
                }
                _ if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    return Err(format!("expected names of backends, such as 9002, 9001-9003 or app1, found {text:?}"));
                }
                _ => names.push(part.to_owned()),
            }
        }
        Ok(BackendSelection(names))
    }
}

/// What is wrong with names that no backend has, and which there are; of many the first and the last.
pub(crate) fn no_such_backend<'a>(unknown: &[String], names: impl Iterator<Item = &'a str>) -> String {
    const LISTED: usize = 16;
    let names: Vec<&str> = names.collect();
    let known = match names.as_slice() {
        [first, .., last] if names.len() > LISTED => format!("{first} to {last}"),
        few => few.join(", "),
    };
    format!("this fleet has no backend {}, only {known}", unknown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_has_a_name_and_any_number_of_addresses() {
        let text =
            "app1=10.20.0.11:8080,app2=10.20.0.12:8080,app1=[fd00::5]:80,unix:/run/app.sock,[::1]:81,localhost:82";
        let NamedBackends(all) = text.parse().unwrap();
        let names: Vec<(&str, usize)> = all.iter().map(|it| (it.name.as_str(), it.addresses.len())).collect();
        assert_eq!(names, [("app1", 2), ("app2", 1), ("unix:/run/app.sock", 1), ("[::1]:81", 1), ("localhost:82", 1)]);
        let written = NamedBackends(all.clone()).to_string();
        assert_eq!(written.parse(), Ok(NamedBackends(all)));
        assert_eq!(
            " a = 10.0.0.1:1 , b=10.0.0.1:2".parse::<NamedBackends>().unwrap().to_string(),
            "a=10.0.0.1:1,b=10.0.0.1:2"
        );
    }

    #[test]
    fn backends_of_ports_may_be_called_as_their_machine() {
        let named = |name: &str, ports: &[u16]| {
            let name = name.parse::<BackendName>()?;
            NamedBackends::of_ports(&name, "uuid-2", &"0.0.0.0".parse().unwrap(), ports).map(|all| all.to_string())
        };
        assert_eq!(named("hostname", &[9001]), Ok("uuid-2=0.0.0.0:9001".to_owned()));
        assert_eq!(named("app", &[9001, 9002]), Ok("app-9001=0.0.0.0:9001,app-9002=0.0.0.0:9002".to_owned()));
        assert!(named("a b", &[9001]).is_err() && named(&"a".repeat(60), &[9001, 9002]).is_err());
    }

    #[test]
    fn what_is_no_backend_is_named_with_what_was_expected() {
        for (text, part) in [
            ("", "an address and a port"),
            ("9001", "an address and a port"),
            ("10.0.0.1:0", "an address and a port"),
            ("10.0.0.1:70000", "an address and a port"),
            ("fd00::5:80", "an address and a port"),
            ("a=", "an address and a port"),
            ("=10.0.0.1:1", "expected a name"),
            ("a b=10.0.0.1:1", "expected a name"),
            ("-a=10.0.0.1:1", "expected a name"),
            ("unix:run/app.sock", "unix:/run/app.sock"),
            ("unix:/a<b", "unix:/run/app.sock"),
            ("10.0.0.1:1,a=10.0.0.1:1", "more than once"),
        ] {
            let error = text.parse::<NamedBackends>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let many: Vec<String> = (0..1001).map(|place| format!("10.0.{}.{}:80", place / 250, place % 250)).collect();
        assert!(many.join(",").parse::<NamedBackends>().unwrap_err().contains("1000 at most"));
    }

    #[test]
    fn commands_name_backends_by_name_and_ranges_of_ports() {
        let names = |text: &str| text.parse::<BackendSelection>().map(|BackendSelection(names)| names.join(" "));
        assert_eq!(names("9001-9003, 9010"), Ok("9001 9002 9003 9010".to_owned()));
        assert_eq!(
            names("web-1,[fd00::5]:80,unix:/run/app.sock"),
            Ok("web-1 [fd00::5]:80 unix:/run/app.sock".to_owned())
        );
        for text in ["", "a,", "9003-9001", "1-70000", "a b"] {
            assert!(names(text).is_err(), "{text}");
        }
    }
}
