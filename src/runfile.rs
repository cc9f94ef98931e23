//! Where a running fleet is: one small file in the user's runtime directory, there as long as its supervisor lives. It is found
//! by other commands of the same user; a file whose supervisor is gone is ignored and swept away.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use crate::wire::Generator;

/// What the file says, and so how to reach a fleet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The supervisor's process id.
    pub pid: u32,
    /// The base of its API: `http://127.0.0.1:9000`.
    pub control: String,
    /// What the API wants to see before it changes anything.
    pub token: String,
    /// Its backends.
    pub generators: Vec<Generator>,
}

/// The file of this process' own fleet. It is locked, which is how others know that this process lives; dropping removes it.
pub struct Runfile {
    path: PathBuf,
    _lock: File,
}

impl Runfile {
    /// Makes this fleet known.
    pub fn publish(whereabouts: &Whereabouts) -> Result<Runfile> {
        let directory = directory()?;
        let path = directory.join(format!("{}.json", whereabouts.pid));
        let draft = path.with_extension("draft");
        let publish = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(&serde_json::to_vec(whereabouts)?)?;
            // Only now under the name that others look for: they would take it for abandoned before it is locked.
            fs::rename(&draft, &path)?;
            Ok(file)
        };
        let lock = publish().with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Runfile { path, _lock: lock })
    }

    /// All fleets of this user that run now, the oldest process first.
    pub fn find_all() -> Result<Vec<Whereabouts>> {
        let directory = directory()?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.extend(read_if_alive(&path));
            }
        }
        found.sort_by_key(|whereabouts| whereabouts.pid);
        Ok(found)
    }
}

impl Drop for Runfile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read_if_alive(path: &Path) -> Option<Whereabouts> {
    let mut file = File::open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Nobody holds it: its supervisor was killed before it could remove it.
        let _ = fs::remove_file(path);
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// `$XDG_RUNTIME_DIR/uuid-generator`, or a directory of this user alone in the directory for temporary files.
fn directory() -> Result<PathBuf> {
    let uid = getuid().as_raw();
    let path = match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| Path::new(directory).is_dir()) {
        Some(runtime) => Path::new(&runtime).join("uuid-generator"),
        None => std::env::temp_dir().join(format!("uuid-generator-{uid}")),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to create {}", path.display()));
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(&path).with_context(|| format!("failed to look at {}", path.display()))?;
    ensure!(
        metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o077 == 0,
        "{} is not a directory of this user alone\n  hint: remove it, or set XDG_RUNTIME_DIR to one that is",
        path.display()
    );
    Ok(path)
}
