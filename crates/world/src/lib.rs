//! A world of its own for a program that may touch nothing of this machine: it sees the machine's files and can change none of them,
//! finds the machine's addresses and reaches no other machine, and every name has an address. It runs as root or as any user, and ends
//! with the process that made it. It knows nothing of balancers or checks.
//!
//! A world is entered in stages, each the same program started anew with words of its own ([`run_stage`] first thing in `main`): the
//! outermost, which stays in the machine's files; the first process within, which builds the world and collects orphans; and the command.

mod files;
mod filter;
mod mounts;
pub mod names;
mod netlink;
mod network;
pub mod scout;
mod stage;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use files::{FOLDER, empty_folder, lay, make_missing, open_folder};
pub use network::{
    BACKENDS, BACKENDS_V6, BALANCER, BALANCER_V6, add_address, add_network, bar, is_own, reopen, silence, within,
};
pub use stage::run_stage;

/// The network to which every other address belongs, for [`within`].
pub const BACKENDS_NETWORK: &str = "/run/world/backends";
/// The network of the command itself.
pub const BALANCER_NETWORK: &str = "/run/world/balancer";

/// What a world is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct World {
    /// Folders that are empty in the world but for the same folders, and can be written. Missing ones are passed over.
    pub own: Vec<PathBuf>,
    /// Files and folders in these that stay visible, and cannot be written.
    pub visible: Vec<PathBuf>,
    /// Names of this machine within the world: `127.0.0.1 shop.example`.
    pub hosts: String,
    /// What runs in it.
    #[serde(skip)]
    pub command: Vec<OsString>,
}

/// Folders that a server writes to, on every machine.
pub const USUAL: [&str; 6] = ["/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/spool"];

impl World {
    /// Around this command, with the usual folders of its own.
    pub fn new(command: Vec<OsString>) -> World {
        let own = USUAL.map(PathBuf::from).to_vec();
        World { own, visible: Vec::new(), hosts: String::new(), command }
    }

    /// Becomes the outermost process of the world; it ends with the status of the command. Returns only if that cannot be.
    pub fn enter(&self) -> Error {
        stage::become_outermost(self)
    }
}

/// Why no world can be entered here, in a few words. It is tried, with processes of its own, and costs some milliseconds.
pub fn refusal() -> Option<String> {
    stage::refusal()
}

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not let this user make namespaces.
    #[error("this machine does not let this user make namespaces ({0})")]
    Forbidden(Forbidden),
    /// `/proc` of another container is masked.
    #[error("/proc cannot be mounted here, as in most containers ({0})")]
    Proc(io::Error),
    /// Something of the machine could be changed from within.
    #[error("{0} could be written from within, so nothing was started")]
    Writable(PathBuf),
    /// A step of it.
    #[error("failed {what}: {why}")]
    Step {
        /// `to do something`.
        what: String,
        /// What the kernel says.
        why: io::Error,
    },
}

/// Who forbids it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forbidden {
    /// Ubuntu, from 23.10 on.
    #[error("kernel.apparmor_restrict_unprivileged_userns is 1")]
    AppArmor,
    /// Debian's switch.
    #[error("kernel.unprivileged_userns_clone is 0")]
    Clone,
    /// None are left, or none are wanted.
    #[error("user.max_user_namespaces, or another limit of namespaces, is used up")]
    Count,
    /// A container's filter, most likely.
    #[error("the kernel or a container's filter refuses it")]
    Other,
}

type Result<T> = std::result::Result<T, Error>;

fn failed(what: impl Into<String>, why: impl Into<io::Error>) -> Error {
    Error::Step { what: what.into(), why: why.into() }
}
