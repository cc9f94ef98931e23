//! What a world is made of.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a world is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct World {
    /// Folders that are empty in the world but for the same folders, and can be written. Missing ones are passed over.
    pub own: Vec<PathBuf>,
    /// Files and folders in these that stay visible, and cannot be written.
    pub visible: Vec<PathBuf>,
    /// Folders with programs: PATH in the world. They stay visible, too.
    pub programs: Vec<PathBuf>,
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
        World { own, visible: Vec::new(), programs: Vec::new(), hosts: String::new(), command }
    }
}
