//! The settings of a fleet and their four layers: flags, environment, file, defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::de::value::MapDeserializer;
use serde::de::{IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};

use crate::balancer::nginx;
use crate::cli::balancing::Balancing;
use crate::cli::check::Wanted;
use crate::fleet::{ControlAddress, LogMode, Plan};
use crate::topology::{Algorithm, Host, HttpPath, Ports, Sockets, Weights};
use crate::wire::{Limits, Time};

/// Read if it is in the working directory.
pub const FILE: &str = "uuid-generator.toml";
const ENVIRONMENT: &str = "UUID_GENERATOR_";
const CONFIG_VARIABLE: &str = "UUID_GENERATOR_CONFIG";

/// One layer of settings: what it does not say, the next one does.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Ports of the backends, as a list of ports and ranges: up to 1,000 [default: 9001-9003]
    #[arg(long, value_name = "PORTS")]
    ports: Option<Ports>,

    /// Where they listen: a name or an address; localhost is both 127.0.0.1 and ::1, 0.0.0.0 all interfaces [default: localhost]
    #[arg(long, value_name = "HOST")]
    host: Option<Host>,

    /// A folder in which they also listen, on unix sockets: FOLDER/9001.sock and so on [default: ports alone]
    #[arg(long, value_name = "FOLDER")]
    sockets: Option<Sockets>,

    /// Connections to backends may begin with a PROXY protocol header, version 1 or 2: it tells who the client is [default: refused]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    proxy_protocol: Option<Flag>,

    /// Start a backend again when it died, after 0.1 s, then 0.2 s and so on up to 5 s [default: it stays gone]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    restart: Option<Flag>,

    /// How long requests in flight have to end when the fleet stops or a backend drains [default: 10s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Time>,

    /// How requests are shown on standard error [default: text]
    #[arg(long, value_enum, value_name = "MODE")]
    log: Option<LogMode>,

    /// Where the live view and the API listen; elsewhere than on loopback all of it needs the token [default: 127.0.0.1:9000, or any
    /// free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,

    /// Connections that a backend holds at once; more wait in the kernel's queue [default: 16384]
    #[arg(long, value_name = "COUNT", help_heading = "Bounds of each backend")]
    max_connections: Option<Count<1, 1_000_000>>,

    /// Bytes of a request's line and headers; more are refused with 431 or 414 [default: 32768]
    #[arg(long, value_name = "BYTES", help_heading = "Bounds of each backend")]
    max_header_bytes: Option<Count<256, 1_000_000>>,

    /// Time for a request's head to arrive; then it is refused with 408 [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Bounds of each backend")]
    header_timeout: Option<Time>,

    /// Time that a kept connection may wait for its next request; longer than balancers keep theirs, so that they close first [default: 3m]
    #[arg(long, value_name = "TIME", help_heading = "Bounds of each backend")]
    idle_timeout: Option<Time>,

    /// Time without progress of a body that comes or an answer that goes [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Bounds of each backend")]
    stall_timeout: Option<Time>,

    /// Records that a backend's journal holds until they are read: a power of two, 256 bytes each [default: 32768, fewer for large fleets]
    #[arg(long, value_name = "COUNT", help_heading = "Bounds of each backend")]
    journal_records: Option<PowerOfTwo>,

    /// The file with settings [default: uuid-generator.toml in the working directory, if it is there]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,

    /// What the balancer is told, of the file.
    #[arg(skip)]
    balancer: Balancing,

    /// Checks that the file holds.
    #[arg(skip)]
    check: Vec<Wanted>,
}

/// Where the backends are: the flags of commands that write configuration for a fleet, or start one.
#[derive(Args, Clone, PartialEq, Default, Debug)]
pub struct FleetFlags {
    /// Ports of the backends [default: as for the fleet itself]
    #[arg(long, value_name = "PORTS", help_heading = "Fleet")]
    ports: Option<Ports>,

    /// Where they listen [default: as for the fleet itself]
    #[arg(long, value_name = "HOST", help_heading = "Fleet")]
    host: Option<Host>,

    /// They are reached by unix sockets: FOLDER/9001.sock and so on [default: as for the fleet itself]
    #[arg(long, value_name = "FOLDER", help_heading = "Fleet")]
    sockets: Option<Sockets>,

    /// Connections to them begin with the PROXY protocol [default: as for the fleet itself]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Fleet")]
    proxy_protocol: Option<Flag>,

    /// The file with the fleet's settings, the balancer's, and checks [default: uuid-generator.toml in the working directory, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl FleetFlags {
    /// The fleet itself is told so.
    pub fn are_given(&self) -> bool {
        *self != FleetFlags { config: self.config.clone(), ..FleetFlags::default() }
    }

    /// The file that was named.
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// As settings of which nothing else is known.
    pub fn settings(&self) -> Settings {
        let FleetFlags { ports, host, sockets, proxy_protocol, config } = self.clone();
        Settings { ports, host, sockets, proxy_protocol, config, ..Settings::default() }
    }

    /// As a fleet is told them that is started.
    pub fn words(&self) -> Vec<String> {
        let word = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let config = self.config.as_ref().map(|file| file.display().to_string());
        let sockets = self.sockets.as_ref().map(|sockets| sockets.folder().display().to_string());
        let words = [
            word("ports", self.ports.as_ref().map(Ports::to_string)),
            word("host", self.host.as_ref().map(Host::to_string)),
            word("sockets", sockets),
            word("proxy-protocol", self.proxy_protocol.map(|Flag(on)| on.to_string())),
            word("config", config),
        ];
        words.into_iter().flatten().collect()
    }
}

/// All layers, and where the ports come from.
#[derive(Debug)]
pub struct Complete {
    settings: Settings,
    ports_origin: String,
}

impl Settings {
    /// Only these ports, if any, were given as flags.
    pub fn of_ports(ports: Option<Ports>) -> Settings {
        Settings { ports, ..Settings::default() }
    }

    /// Adds the environment and the file beneath these flags.
    pub fn complete(self) -> Result<Complete> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let key = name.to_str()?.strip_prefix(ENVIRONMENT)?.to_owned();
            Some((key, value))
        });
        self.over(environment.collect(), Path::new("."))
    }

    fn over(self, mut environment: BTreeMap<String, OsString>, directory: &Path) -> Result<Complete> {
        let named_by_environment =
            environment.remove(CONFIG_VARIABLE.trim_start_matches(ENVIRONMENT)).map(PathBuf::from);
        let environment = from_environment(environment)?;
        let (file, file_line) = match self.config.clone().or(named_by_environment) {
            Some(path) => from_file(&path)?,
            None if directory.join(FILE).exists() => from_file(&directory.join(FILE))?,
            None => Default::default(),
        };
        let ports_origin = if self.ports.is_some() {
            "from --ports".to_owned()
        } else if environment.ports.is_some() {
            format!("from {ENVIRONMENT}PORTS")
        } else {
            file_line.map_or("the default".to_owned(), |line| format!("from {line}"))
        };
        Ok(Complete { settings: self.or(environment).or(file), ports_origin })
    }

    fn or(self, next: Settings) -> Settings {
        Settings {
            ports: self.ports.or(next.ports),
            host: self.host.or(next.host),
            sockets: self.sockets.or(next.sockets),
            proxy_protocol: self.proxy_protocol.or(next.proxy_protocol),
            restart: self.restart.or(next.restart),
            grace: self.grace.or(next.grace),
            log: self.log.or(next.log),
            control: self.control.or(next.control),
            max_connections: self.max_connections.or(next.max_connections),
            max_header_bytes: self.max_header_bytes.or(next.max_header_bytes),
            header_timeout: self.header_timeout.or(next.header_timeout),
            idle_timeout: self.idle_timeout.or(next.idle_timeout),
            stall_timeout: self.stall_timeout.or(next.stall_timeout),
            journal_records: self.journal_records.or(next.journal_records),
            config: self.config.or(next.config),
            balancer: self.balancer.or(next.balancer),
            check: if self.check.is_empty() { next.check } else { self.check },
        }
    }
}

impl Complete {
    /// Ports and host, for those who look for the backends rather than start them.
    pub fn whereabouts(&self) -> Result<(Host, Ports)> {
        let host = self.settings.host.clone().map_or_else(|| "localhost".parse(), Ok).map_err(anyhow::Error::msg)?;
        Ok((host, self.settings.ports.clone().unwrap_or_else(Ports::of_the_original)))
    }

    /// Where unix sockets of the backends are.
    pub fn sockets(&self) -> Option<Sockets> {
        self.settings.sockets.clone()
    }

    /// Whether connections to backends may begin with a header of the PROXY protocol.
    pub fn proxy_protocol(&self) -> bool {
        self.settings.proxy_protocol.is_some_and(|Flag(on)| on)
    }

    /// What the file says that the balancer is told.
    pub fn balancing(&self) -> Balancing {
        self.settings.balancer.clone()
    }

    /// With the defaults, the fleet that is meant.
    pub fn plan(self) -> Result<Plan> {
        let (host, ports) = self.whereabouts()?;
        let proxy_protocol = self.proxy_protocol();
        let settings = self.settings;
        let time = |time: Option<Time>, default| time.map_or(default, |time| time.0);
        Ok(Plan {
            host,
            ports,
            ports_origin: self.ports_origin,
            sockets: settings.sockets,
            proxy_protocol,
            limits: Limits {
                connections: settings.max_connections.map_or(16_384, |count| count.0),
                header_bytes: settings.max_header_bytes.map_or(32 * 1024, |count| count.0),
                header_time: time(settings.header_timeout, Duration::from_secs(10)),
                idle_time: time(settings.idle_timeout, Duration::from_secs(180)),
                stall_time: time(settings.stall_timeout, Duration::from_secs(30)),
            },
            grace: time(settings.grace, Duration::from_secs(10)),
            restart: settings.restart.is_some_and(|restart| restart.0),
            log: settings.log.unwrap_or(LogMode::Text),
            control: settings.control.map_or_else(
                || ControlAddress::Preferred(SocketAddr::from(([127, 0, 0, 1], 9000))),
                ControlAddress::Required,
            ),
            journal: settings.journal_records.map(|count| count.0),
            advice: Box::new(|topology| {
                format!(
                    "To balance over them with NGINX, put this inside `http {{ … }}`, or as a file into /etc/nginx/conf.d:\n\n{}\n\
                     Reload it (nginx -s reload) and open http://localhost/uuid",
                    nginx::lines(topology)
                )
            }),
        })
    }
}

fn from_environment(variables: BTreeMap<String, OsString>) -> Result<Settings> {
    let known = Settings::augment_args(clap::Command::new("settings"));
    let known: Vec<&str> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
    let mut all = Settings::default();
    for (name, value) in variables {
        let variable = format!("{ENVIRONMENT}{name}");
        let key = name.to_ascii_lowercase().replace('_', "-");
        if !known.contains(&key.as_str()) {
            let known = known.iter().map(|key| format!("{ENVIRONMENT}{}", key.to_ascii_uppercase().replace('-', "_")));
            bail!("{variable}: no such setting; expected one of {}", known.collect::<Vec<_>>().join(", "));
        }
        let value = value.into_string().ok().with_context(|| format!("{variable}: its value is no UTF-8"))?;
        let one = MapDeserializer::new(std::iter::once((key.as_str(), Variable(&value))));
        let one = Settings::deserialize(one)
            .map_err(|error: serde::de::value::Error| anyhow::anyhow!("{variable}: {error}"))?;
        all = all.or(one);
    }
    Ok(all)
}

/// The value of a variable, for settings that are there or not.
struct Variable<'a>(&'a str);

impl<'de> IntoDeserializer<'de> for Variable<'de> {
    type Deserializer = Variable<'de>;

    fn into_deserializer(self) -> Variable<'de> {
        self
    }
}

impl<'de> Deserializer<'de> for Variable<'de> {
    type Error = serde::de::value::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The file's settings, and where in it the ports are.
fn from_file(path: &Path) -> Result<(Settings, Option<String>)> {
    let text = std::fs::read_to_string(path).map_err(|why| {
        let hint = "create it, or choose another with --config";
        anyhow::anyhow!("failed to read {}: {why}\n  hint: {hint}", path.display())
    })?;
    let settings = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        anyhow::anyhow!("{}, line {line}: {}", path.display(), error.message())
    })?;
    #[derive(Deserialize)]
    struct Where {
        ports: Option<toml::Spanned<toml::Value>>,
    }
    let ports = toml::from_str::<Where>(&text).ok().and_then(|place| place.ports);
    let line = ports.map(|ports| format!("{}, line {}", path.display(), line_of(&text, ports.span().start)));
    Ok((settings, line))
}

/// The checks that a file holds.
pub fn checks_of_file(path: &Path) -> Result<Vec<Wanted>> {
    Ok(from_file(path)?.0.check)
}

fn line_of(text: &str, position: usize) -> usize {
    text[..position.min(text.len())].matches('\n').count() + 1
}

/// `true` or `false`, also as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flag(bool);

impl FromStr for Flag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Flag, &'static str> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(Flag(true)),
            "false" | "0" | "no" | "off" => Ok(Flag(false)),
            _ => Err("expected true or false"),
        }
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> FromStr for Count<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (MIN..=MAX).contains(count));
        count.map(Count).ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}"))
    }
}

/// Records of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PowerOfTwo(u32);

impl FromStr for PowerOfTwo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PowerOfTwo, &'static str> {
        let count = text.parse().ok().filter(|count: &u32| count.is_power_of_two() && (64..=1 << 22).contains(count));
        count.map(PowerOfTwo).ok_or("expected a power of two from 64 to 4194304")
    }
}

/// A value of a file, or a variable of the environment: read as it would be typed.
struct TypedText(String);

impl<'de> Deserialize<'de> for TypedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TypedText, D::Error> {
        struct AsTyped;
        impl<'de> Visitor<'de> for AsTyped {
            type Value = TypedText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<TypedText, E> {
                Ok(TypedText(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<TypedText, E> {
                Ok(TypedText(number.to_string()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<TypedText, E> {
                Ok(TypedText(flag.to_string()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut parts: A) -> Result<TypedText, A::Error> {
                let mut all = Vec::new();
                while let Some(TypedText(part)) = parts.next_element()? {
                    all.push(part);
                }
                Ok(TypedText(all.join(",")))
            }
        }
        deserializer.deserialize_any(AsTyped)
    }
}

macro_rules! read_as_typed {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let TypedText(text) = TypedText::deserialize(deserializer)?;
                text.parse().map_err(|why| serde::de::Error::custom(format!("{why}, found {text:?}")))
            }
        }
    )*};
}

read_as_typed!(Flag, PowerOfTwo, Ports, Host, Sockets, Algorithm, HttpPath, Weights);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TypedText(text) = TypedText::deserialize(deserializer)?;
        text.parse().map_err(|why| serde::de::Error::custom(format!("{why}, found {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(flags: Settings, environment: &[(&str, &str)], file: &str) -> Result<Complete> {
        let directory = std::env::temp_dir().join(format!("uuid-generator-settings-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory)?;
        std::fs::write(directory.join(FILE), file)?;
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let complete = flags.over(environment, &directory);
        std::fs::remove_dir_all(directory)?;
        complete
    }

    fn flags(typed: &[&str]) -> Settings {
        use clap::FromArgMatches;
        let command = Settings::augment_args(clap::Command::new("test").no_binary_name(true));
        Settings::from_arg_matches(&command.try_get_matches_from(typed).unwrap()).unwrap()
    }

    #[test]
    fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
        let file = "ports = [1, \"2-3\"]\ngrace = \"1s\"\nlog = \"off\"\nrestart = true\n";
        let environment = [("GRACE", "2s"), ("LOG", "json"), ("MAX_CONNECTIONS", "7")];
        let plan = complete(flags(&["--grace", "3s"]), &environment, file).unwrap().plan().unwrap();
        assert_eq!(plan.grace, Duration::from_secs(3));
        assert_eq!((plan.log, plan.limits.connections), (LogMode::Json, 7));
        assert_eq!((plan.ports, plan.restart), ("1-3".parse().unwrap(), true));
        assert_eq!(plan.limits.idle_time, Duration::from_secs(180));
    }

    #[test]
    fn the_origin_of_the_ports_is_known() {
        let origin = |flags, environment: &[_], file| complete(flags, environment, file).unwrap().ports_origin;
        assert_eq!(origin(flags(&["--ports", "1"]), &[("PORTS", "2")], "ports = 3"), "from --ports");
        assert_eq!(origin(flags(&[]), &[("PORTS", "2")], "ports = 3"), "from UUID_GENERATOR_PORTS");
        assert!(origin(flags(&[]), &[], "\n\nports = 3").ends_with("uuid-generator.toml, line 3"));
    }

    #[test]
    fn a_bad_setting_is_named_with_its_place_and_what_was_expected() {
        let error = |environment: &[_], file| complete(flags(&[]), environment, file).unwrap_err().to_string();
        assert!(error(&[], "host = \"a\"\nprots = 1").ends_with("line 2: unknown field `prots`, expected one of `ports`, `host`, \
            `sockets`, `proxy-protocol`, `restart`, `grace`, `log`, `control`, `max-connections`, `max-header-bytes`, `header-timeout`, `idle-timeout`, \
            `stall-timeout`, `journal-records`, `balancer`, `check`"));
        assert!(
            error(&[], "\ngrace = 3")
                .ends_with("line 2: expected a time above 0 with its unit, such as 10s, 250ms or 1m, found \"3\"")
        );
        assert!(
            error(&[], "ports = {}").contains("line 1: invalid type: map, expected a text, a number, true or false")
        );
        assert!(error(&[], "ports").contains("line 1: "));
        assert_eq!(
            error(&[("JOURNAL_RECORDS", "100")], ""),
            "UUID_GENERATOR_JOURNAL_RECORDS: expected a power of two from 64 to 4194304, found \"100\""
        );
        assert!(error(&[("PRTS", "1")], "").starts_with(
            "UUID_GENERATOR_PRTS: no such setting; expected one of UUID_GENERATOR_PORTS, UUID_GENERATOR_HOST, "
        ));
        assert!(error(&[("LOG", "loud")], "").starts_with("UUID_GENERATOR_LOG: unknown variant `loud`"));
    }
}
