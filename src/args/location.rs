//! Where the backends are, for commands that write configuration for a fleet or start one.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::fleet::FleetConfig;
use crate::config::text::Flag;
use crate::topology::{Host, NamedBackend, NamedBackends, Ports, Sockets, StartFaults};

/// Each option overrides the fleet's own settings.
#[derive(Args, Clone, PartialEq, Default, Debug)]
pub(crate) struct LocationArgs {
    /// Ports of the backends [default: those of the fleet's own settings]
    #[arg(long, value_name = "PORTS", help_heading = "Fleet")]
    ports: Option<Ports>,

    /// Backends by name and address [default: those of the fleet's own settings]
    #[arg(long, value_name = "BACKENDS", help_heading = "Fleet", conflicts_with_all = ["ports", "host", "sockets"])]
    backends: Option<NamedBackends>,

    /// Host on which backends listen [default: that of the fleet's own settings]
    #[arg(long, value_name = "HOST", help_heading = "Fleet")]
    host: Option<Host>,

    /// Directory of the unix sockets on which backends listen: FOLDER/9001.sock and so on [default: that of the fleet's own settings]
    #[arg(long, value_name = "FOLDER", help_heading = "Fleet")]
    sockets: Option<Sockets>,

    /// Use the PROXY protocol on connections to backends [default: as in the fleet's own settings]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Fleet")]
    proxy_protocol: Option<Flag>,

    /// Faults that backends have from their start, such as latency:100ms,close:10%:9002 [default: those of the fleet's own settings]
    #[arg(long, value_name = "FAULTS", help_heading = "Fleet")]
    fault: Option<StartFaults>,

    /// File with settings of the fleet and the balancer, and checks [default: uuid-generator.toml in the working directory, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl LocationArgs {
    /// The options that are given, but for the file.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let LocationArgs { ports, backends, host, sockets, proxy_protocol, fault, config: _ } = self;
        let all = [
            ("--ports", ports.is_some()),
            ("--backends", backends.is_some()),
            ("--host", host.is_some()),
            ("--sockets", sockets.is_some()),
            ("--proxy-protocol", proxy_protocol.is_some()),
            ("--fault", fault.is_some()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    /// The same location with other ports.
    pub(crate) fn with_ports(self, ports: Ports) -> LocationArgs {
        LocationArgs { ports: Some(ports), ..self }
    }

    /// The same location with backends of these names and addresses.
    pub(crate) fn with_backends(self, backends: Vec<NamedBackend>) -> LocationArgs {
        LocationArgs { ports: None, host: None, backends: Some(NamedBackends(backends)), ..self }
    }

    /// Whether ports were typed.
    pub(crate) fn names_ports(&self) -> bool {
        self.ports.is_some()
    }

    /// Whether a host was typed.
    pub(crate) fn names_host(&self) -> bool {
        self.host.is_some()
    }

    /// Whether faults were typed.
    pub(crate) fn names_faults(&self) -> bool {
        self.fault.is_some()
    }

    /// The file that was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// As settings of which nothing else is known.
    pub(crate) fn config(&self) -> FleetConfig {
        let LocationArgs { ports, backends, host, sockets, proxy_protocol, fault, config } = self.clone();
        FleetConfig { ports, backends, host, sockets, proxy_protocol, fault, config, ..FleetConfig::default() }
    }

    /// As arguments for a fleet that we start.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let argument = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let arguments = [
            argument("ports", self.ports.as_ref().map(Ports::to_string)),
            argument("backends", self.backends.as_ref().map(NamedBackends::to_string)),
            argument("host", self.host.as_ref().map(Host::to_string)),
            argument("sockets", self.sockets.as_ref().map(|sockets| sockets.folder().display().to_string())),
            argument("proxy-protocol", self.proxy_protocol.map(|Flag(on)| on.to_string())),
            argument("fault", self.fault.as_ref().map(StartFaults::to_string)),
            argument("config", self.config.as_ref().map(|file| file.display().to_string())),
        ];
        arguments.into_iter().flatten().collect()
    }
}
