//! What a running balancer itself says of its servers, and where it is asked. The readers are next to those of its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::balancer::read::configuration::Configuration;
use crate::balancer::read::endpoint::Endpoint;

/// Servers as the balancer itself knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReportedServers {
    /// The servers of each group, with their weights.
    Groups(BTreeMap<String, Vec<(Endpoint, u64)>>),
    /// All of them, in no groups.
    All(Vec<Endpoint>),
}

/// Where a running balancer reports its servers.
#[derive(Clone, Copy)]
pub(crate) enum ServerReport {
    /// A command on whichever of its unix sockets understands it.
    Socket { command: &'static str, read: fn(&str) -> Option<ReportedServers> },
    /// JSON at whichever of its ports serves it.
    Api { path: &'static str, read: fn(&Value) -> Option<ReportedServers> },
    /// Its program prints the configuration that it makes of the file.
    Printed(fn(&Path) -> Option<Configuration>),
}
