//! In what a balancer's surroundings differ from production while it is checked: of a rehearsal, and of a check in a private copy of the machine.

use serde::{Deserialize, Serialize};

/// A difference, and the line in which people read it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SurroundingLine {
    /// What differs.
    pub what: Surrounding,
    /// The same in words; only in a report that has been written.
    pub line: String,
}

impl SurroundingLine {
    /// Without the words, which the report writes.
    pub fn of(what: Surrounding) -> SurroundingLine {
        SurroundingLine { what, line: String::new() }
    }
}

/// What differs from production.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Surrounding {
    /// Our backends listen at the addresses of the configured servers.
    Backends {
        /// The groups of servers that they belong to, and where the file has them: `web`, `nginx.conf:12`. Two if another file takes its place.
        upstreams: Vec<(String, String)>,
        /// Names of the backends.
        backends: Vec<String>,
    },
    /// The health of a backend is checked at another address than its own.
    HealthAddress {
        /// Where it is checked.
        address: String,
        /// Name of the backend.
        backend: String,
    },
    /// A name has an address that was invented for it.
    InventedAddress {
        /// The name.
        name: String,
        /// Its addresses.
        addresses: Vec<String>,
    },
    /// A name has several addresses, of which the balancer uses one at a time.
    OneAddress {
        /// The name.
        name: String,
        /// How many it has.
        addresses: usize,
        /// Where the file has it: `envoy.yaml, cluster web`.
        place: String,
        /// What uses all of them, by the balancer's own words.
        instead: String,
    },
    /// A host that requests are passed to, and that is called almost as a group of servers in the file is: it may be mistyped.
    SimilarName {
        /// The name of the host.
        name: String,
        /// The name of the group.
        upstream: String,
        /// Where the file has it: `nginx.conf:12`.
        place: String,
    },
    /// The group lists the address of a server more than once: it gets the share of as many.
    RepeatedServer {
        /// What the file calls it.
        server: String,
        /// How many times it is listed.
        times: usize,
    },
    /// An option is about a server or a name that the balancer has not asked for: it may be mistyped.
    NotAsked {
        /// The option, such as `--answer auth.internal:9000`.
        option: String,
    },
    /// A name that the balancer looked up, behind which nobody is.
    DeadName {
        /// The name.
        name: String,
    },
    /// The balancer listens on an address that this machine lacks.
    AddedAddress {
        /// The address.
        address: String,
    },
    /// Clients have addresses of this network.
    Clients {
        /// The network, such as `203.0.96.0/19`.
        network: String,
        /// Whether it is too small to vary the source, and the file selects by it.
        too_small: bool,
    },
    /// A file or folder is not what the balancer would find in production.
    File {
        /// Its path.
        path: String,
        /// What it is instead.
        change: FileChange,
    },
    /// The file with the configuration was put where production has it.
    Placed {
        /// Where it was.
        file: String,
        /// Where production has it.
        at: String,
    },
    /// A certificate of a public authority is replaced by one of ours.
    Certificate {
        /// The names that it is for.
        names: Vec<String>,
        /// What would get it in production, as the configuration names it; null if it does not.
        resolver: Option<String>,
    },
    /// An account was made that this machine lacks.
    Account {
        /// Its name.
        name: String,
    },
    /// A group of accounts was made that this machine lacks.
    Group {
        /// Its name.
        name: String,
    },
    /// Datagrams are sent to an address at which nobody receives them.
    Datagrams {
        /// Such as that of a log server.
        address: String,
        /// How many were sent.
        count: u64,
    },
    /// The balancer connects to a server that is not one of the backends.
    OtherServer {
        /// Its address.
        address: String,
        /// Its name and port, if the balancer knows it by name.
        name: Option<String>,
        /// What the balancer gets there.
        response: StandInResponse,
    },
}

/// What a file or folder is instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// A certificate or key of ours: its own is missing or cannot be read.
    Certificate,
    /// A certificate or key of ours, as `--certificate stand-in` says.
    WantedCertificate,
    /// A list of revoked certificates that revokes none.
    Revocations,
    /// The Diffie-Hellman group ffdhe2048.
    DiffieHellman,
    /// Its own authorities, and ours.
    MoreAuthorities,
    /// A folder that was made, which this machine lacks.
    Made,
    /// A copy: what the balancer writes does not reach this machine.
    Copied,
}

/// What stands in for a server that is no backend gives to the balancer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StandInResponse {
    /// A response with this status.
    Status(u16),
    /// None: the balancer speaks this protocol.
    None {
        /// As far as it could be recognised.
        protocol: String,
    },
}
