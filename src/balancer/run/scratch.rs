//! The folder of a balancer's files: where one can be made, and what was left of those whose processes were killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::getuid;

use crate::error::Problem;

const PREFIX: &str = "uuid-generator-";
/// A folder that is younger may be one whose maker has not locked it yet.
const YOUNG: Duration = Duration::from_secs(10);

/// A folder of this run alone. It is locked as long as a process that needs it lives: one that nobody locks is left over.
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// In the first folder for temporary files that lets us. What killed processes left there is removed on the way.
    pub(crate) fn make() -> Result<Scratch, Problem> {
        let folders = folders();
        folders.iter().for_each(|folder| sweep(folder));
        let mut refusals = Vec::new();
        for folder in &folders {
            match make_in(folder) {
                Ok(scratch) => return Ok(scratch),
                Err(why) => refusals.push(format!("{}: {why}", folder.display())),
            }
        }
        let problem = Problem::new(format!("no folder for the balancer's files ({})", refusals.join("; ")));
        Err(problem.hint("set TMPDIR to a folder that can be written"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Holds a folder that another process has made. Whoever holds it drops it last.
pub(crate) fn hold(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    folder.lock_shared()?;
    Ok(folder)
}

/// The user's own choice, else those that machines and containers have, the best first.
fn folders() -> Vec<PathBuf> {
    let mut folders = vec![std::env::temp_dir()];
    for folder in ["/tmp", "/dev/shm", "/var/tmp"].map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn make_in(folder: &Path) -> io::Result<Scratch> {
    let path = folder.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&path)?;
    let make = || -> io::Result<Scratch> {
        let lock = hold(&path)?;
        // A full disk shows only when something is written.
        fs::write(path.join("balancer"), "uuid-generator\n")?;
        Ok(Scratch { path: path.clone(), _lock: lock })
    };
    make().inspect_err(|_| {
        let _ = fs::remove_dir_all(&path);
    })
}

/// Removes folders of ours that no process holds.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if id.is_some_and(|id| id.len() == 32 && uuid::Uuid::try_parse(id).is_ok()) && is_left(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left(folder: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(folder) else { return false };
    let old = metadata.created().or(metadata.modified()).ok().and_then(|made| made.elapsed().ok());
    metadata.is_dir()
        && metadata.uid() == getuid().as_raw()
        && old.is_some_and(|age| age >= YOUNG)
        && File::open(folder).is_ok_and(|folder| folder.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_left_over_when_nobody_holds_it_and_it_is_no_longer_young() {
        let place = std::env::temp_dir().join(format!("scratch-test-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let scratch = make_in(&place).unwrap();
        let path = scratch.path().to_owned();
        assert!(!is_left(&path), "it is young");
        assert!(File::open(&path).unwrap().try_lock().is_err(), "it is held");
        let also = hold(&path).unwrap();
        drop(scratch);
        assert!(File::open(&path).unwrap().try_lock().is_err(), "it is held by another");
        drop(also);
        assert!(File::open(&path).unwrap().try_lock().is_ok());
        sweep(&place);
        assert!(path.exists(), "its maker may not have locked it yet");
        fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_place_for_a_balancer() {
        assert!(make_in(Path::new("/proc")).is_err());
        assert!(make_in(Path::new("/no/such/folder")).is_err());
    }
}
