//! What a check with a file of the user's own needs in the private copy of this machine: names that lead somewhere, addresses and folders
//! that its backends can have, and a folder of the file in which it can write.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use verdict::surroundings::Surrounding;
use world::names::WorldNames;

pub(crate) struct PrivateCopy {
    names: WorldNames,
}

impl PrivateCopy {
    /// For a configuration in that folder, and backends with these addresses and sockets.
    pub(crate) fn settle(folder: &Path, addresses: &[IpAddr], sockets: &[String]) -> Result<PrivateCopy> {
        let names = WorldNames::new(Vec::new());
        names.serve(Path::new(world::BACKENDS_NETWORK)).context("failed to serve names")?;
        // The file's sockets and logs are next to it, and a command of the check may change it.
        world::open_folder(folder).with_context(|| format!("failed to copy {}", folder.display()))?;
        if let Ok(here) = std::env::current_dir() {
            std::env::set_current_dir(&here).with_context(|| format!("failed to enter {}", here.display()))?;
        }
        make_way(sockets)?;
        for address in addresses.iter().filter(|ip| !ip.is_unspecified() && !world::is_own(**ip)) {
            world::add_address(*address).with_context(|| format!("failed to add {address} to this world"))?;
        }
        Ok(PrivateCopy { names })
    }

    /// Names that were looked up in the copy.
    pub(crate) fn notes(&self) -> Vec<Surrounding> {
        let asked = self.names.asked().into_iter();
        let invented = asked.filter(|asked| !asked.addresses.iter().any(IpAddr::is_loopback));
        invented.map(|asked| Surrounding::DeadName { name: asked.name }).collect()
    }
}

/// Folders of sockets, which backends write to.
pub(super) fn make_way(sockets: &[String]) -> Result<()> {
    for folder in sockets.iter().filter_map(|path| Path::new(path).parent()) {
        let probe = folder.join(".world-probe");
        let make = || {
            world::make_missing(folder)?;
            if fs::write(&probe, "").is_err() {
                world::open_folder(folder)?;
            }
            let _ = fs::remove_file(&probe);
            Ok::<(), std::io::Error>(())
        };
        make().with_context(|| format!("failed to make {}", folder.display()))?;
    }
    Ok(())
}
