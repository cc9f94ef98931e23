//! The private copy of this machine in which a command does its work: the same command line, run again within a world. What it writes
//! is gone with it, reports apart.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use world::World;

use crate::balancer::path::folders;
use crate::config::output::Output;
use crate::rehearse::{self, UrlTarget};

/// Folders of balancers' own that they write to, by their names.
pub(super) const DATA: &str = "/var/lib";

/// What a command needs of this machine in its private copy.
pub(super) struct Private {
    /// Folders that are empty there, beside the usual ones.
    pub(super) own: Vec<PathBuf>,
    /// That of the balancer.
    pub(super) program: Option<PathBuf>,
    /// Files and folders that it reads although they may lie in folders that are empty there.
    pub(super) visible: Vec<PathBuf>,
    /// URLs whose names lead to the private copy.
    pub(super) urls: Vec<String>,
}

impl Private {
    /// Starts this command again within, with `--within`. Returns only with the reason why that cannot be.
    pub(super) fn enter(self, outputs: Vec<Output>) -> Result<anyhow::Error> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        let mut command: Vec<OsString> = vec![program.into()];
        command.extend(words);
        command.push("--within".into());
        // Reports are the one thing that leaves the world: their files are opened before it is entered.
        let mut open = Vec::new();
        for output in outputs.into_iter().filter_map(|output| output.file) {
            let file =
                std::fs::File::create(&output).with_context(|| format!("failed to write {}", output.display()))?;
            fcntl_setfd(&file, FdFlags::empty()).context("failed to hand over a file")?;
            let there = format!("/proc/self/fd/{}", file.as_raw_fd());
            for word in &mut command {
                rename(word, &output, &there);
            }
            open.push(file);
        }
        let mut world = World::new(command);
        world.own.extend(self.own);
        world.visible = self.visible;
        world.visible.extend(std::env::current_dir());
        // A link to it may lead to where it has its own files.
        let program = self.program.and_then(|program| program.canonicalize().ok());
        world.visible.extend(program.as_deref().and_then(Path::parent).map(Path::to_owned));
        world.programs = folders();
        let places = self.urls.iter().filter_map(|url| UrlTarget::of(url).ok());
        let names = places.filter(|place| place.address().is_none() && place.host != "localhost");
        world.hosts = names.map(|place| format!("127.0.0.1 {}\n", place.host)).collect();
        Ok(rehearse::explain(world.enter()))
    }
}

/// Has a report written through an open file: `html=report.html` becomes `html=/proc/self/fd/7`.
fn rename(word: &mut OsString, file: &Path, there: &str) {
    let Some(text) = word.to_str() else { return };
    let name = file.to_string_lossy();
    if text == name {
        *word = there.into();
    } else if let Some(format) = text.strip_suffix(name.as_ref()).filter(|format| format.ends_with('=')) {
        *word = format!("{format}{there}").into();
    }
}
