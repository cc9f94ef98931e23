//! Where a running fleet is, for other commands of the same user: one small file in a folder of this user alone, there as long as its
//! supervisor lives. A file whose supervisor is gone is ignored and swept away. Where no folder is safe or writable (a container
//! without `/tmp`, a full disk, a folder that somebody else made first), the same text is in a file in memory that the supervisor
//! holds open, which only its user may read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::platform::means;

/// How a running fleet is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// The supervisor's process id.
    pub(crate) pid: u32,
    /// The base of its API: `http://127.0.0.1:9000`.
    pub(crate) control: String,
    /// What the API wants to see before it changes anything.
    pub(crate) token: String,
    /// The names of its backends.
    pub(crate) backends: Vec<String>,
}

/// The file of this process' own fleet. Dropping removes it.
pub(crate) struct Runfile {
    /// None where the file exists in memory alone.
    path: Option<PathBuf>,
    /// Locked, which is how others know that this process lives; or the file in memory.
    _file: File,
}

/// Names the file in memory among the open files of its process.
const IN_MEMORY: &str = "uuid-generator run file";

impl Runfile {
    /// Makes this fleet known.
    pub(crate) fn publish(whereabouts: &Whereabouts) -> Result<Runfile> {
        Runfile::publish_in(&folders(), whereabouts)
    }

    fn publish_in(folders: &[PathBuf], whereabouts: &Whereabouts) -> Result<Runfile> {
        let text = serde_json::to_vec(whereabouts)?;
        for folder in folders {
            // A reason why not is none to stop: there are others.
            if make(folder).is_ok()
                && let Ok(runfile) = write(folder, whereabouts.pid, &text)
            {
                return Ok(runfile);
            }
        }
        let file = means().file_in_memory(IN_MEMORY).context("failed to make a run file in memory")?;
        let mut file = File::from(file);
        file.write_all(&text).context("failed to write the run file in memory")?;
        Ok(Runfile { path: None, _file: file })
    }

    /// All fleets of this user that run now, the oldest process first.
    pub(crate) fn find_all() -> Vec<Whereabouts> {
        let mut found = find_in(&folders());
        if found.is_empty() {
            found = find_in_memory();
        }
        found.sort_by_key(|whereabouts| whereabouts.pid);
        found
    }
}

impl Drop for Runfile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// The best folder that is there or can be made, and that this user alone may enter.
pub(crate) fn folder() -> Option<PathBuf> {
    folders().into_iter().find(|folder| make(folder).is_ok())
}

/// Where the file may be, the best first. Who names a runtime directory means that one and no other.
fn folders() -> Vec<PathBuf> {
    let uid = getuid().as_raw();
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    if let Some(runtime) = set("XDG_RUNTIME_DIR") {
        return vec![runtime.join("uuid-generator")];
    }
    let session = PathBuf::from(format!("/run/user/{uid}/uuid-generator"));
    let temporary = set("TMPDIR").unwrap_or_else(|| "/tmp".into());
    let shared = [temporary, "/dev/shm".into(), "/var/tmp".into()];
    [session].into_iter().chain(shared.map(|folder| folder.join(format!("uuid-generator-{uid}")))).collect()
}

/// The folder itself, not those above it: they are not ours to make.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) if is_safe(folder) => Ok(()),
        Ok(()) | Err(_) => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// A folder, no link to one, of this user, that nobody else may enter.
fn is_safe(folder: &Path) -> bool {
    let metadata = fs::symlink_metadata(folder);
    metadata.is_ok_and(|it| it.is_dir() && it.uid() == getuid().as_raw() && it.mode() & 0o077 == 0)
}

fn write(folder: &Path, pid: u32, text: &[u8]) -> io::Result<Runfile> {
    let path = folder.join(format!("{pid}.json"));
    let draft = path.with_extension("draft");
    // Of an earlier process with the same id, which was killed while it wrote.
    let _ = fs::remove_file(&draft);
    let publish = || -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(text)?;
        // Only now under the name that others look for: they would take it for abandoned before it is locked.
        fs::rename(&draft, &path)?;
        Ok(file)
    };
    let file = publish().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })?;
    Ok(Runfile { path: Some(path), _file: file })
}

fn find_in(folders: &[PathBuf]) -> Vec<Whereabouts> {
    let entries = folders.iter().filter(|folder| is_safe(folder)).filter_map(|folder| fs::read_dir(folder).ok());
    let mut found = Vec::new();
    for path in entries.flatten().flatten().map(|entry| entry.path()) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => found.extend(read_if_alive(&path)),
            Some("draft") => sweep_draft(&path),
            _ => {}
        }
    }
    // A folder may be reached by two names.
    found.sort_by_key(|whereabouts: &Whereabouts| whereabouts.pid);
    found.dedup();
    found
}

fn read_if_alive(path: &Path) -> Option<Whereabouts> {
    let mut file = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Nobody holds it: its supervisor was killed before it could remove it.
        let _ = fs::remove_file(path);
        return None;
    }
    read(&mut file)
}

/// Removes what a process left that was killed while it wrote.
fn sweep_draft(path: &Path) {
    let pid = path.file_stem().and_then(|pid| Pid::from_raw(pid.to_str()?.parse().ok()?));
    if pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
        let _ = fs::remove_file(path);
    }
}

fn find_in_memory() -> Vec<Whereabouts> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let is_own = |path: &PathBuf| fs::metadata(path).is_ok_and(|it| it.uid() == getuid().as_raw());
    processes
        .flatten()
        .map(|entry| entry.path())
        .filter(is_own)
        .filter_map(|path| read_from(&path.join("fd")))
        .collect()
}

/// From the open files of a process.
fn read_from(files: &Path) -> Option<Whereabouts> {
    let wanted = PathBuf::from(format!("/memfd:{IN_MEMORY} (deleted)"));
    let mut files = fs::read_dir(files).ok()?.flatten().map(|entry| entry.path());
    let path = files.find(|path| fs::read_link(path).is_ok_and(|target| target == wanted))?;
    read(&mut File::open(path).ok()?)
}

fn read(file: &mut File) -> Option<Whereabouts> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("runfile-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Place(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn fleet(pid: u32) -> Whereabouts {
        Whereabouts {
            pid,
            control: "http://127.0.0.1:9000".to_owned(),
            token: "secret".to_owned(),
            backends: vec!["9001".to_owned()],
        }
    }

    #[test]
    fn a_folder_that_is_not_safe_or_not_there_is_passed_over() {
        let place = Place::new("others");
        let folder = |name: &str| place.0.join(name);
        fs::create_dir(folder("open")).unwrap();
        fs::set_permissions(folder("open"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder("aim")).unwrap();
        fs::set_permissions(folder("aim"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink(folder("aim"), folder("link")).unwrap();
        fs::write(folder("file"), "").unwrap();
        let all = ["open", "link", "file", "missing/below", "good"].map(folder);
        let runfile = Runfile::publish_in(&all, &fleet(1)).unwrap();
        assert_eq!(runfile.path.as_deref(), Some(&*folder("good/1.json")));
        assert_eq!(fs::metadata(folder("good")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(find_in(&all), [fleet(1)]);
        drop(runfile);
        assert_eq!((find_in(&all), fs::read_dir(folder("good")).unwrap().count()), (vec![], 0));
        assert_eq!(fs::read_dir(folder("aim")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_no_hindrance_and_swept_away() {
        let place = Place::new("stale");
        fs::set_permissions(&place.0, fs::Permissions::from_mode(0o700)).unwrap();
        for name in ["1.draft", "4194305.draft", "7.json"] {
            fs::write(place.0.join(name), "half").unwrap();
        }
        let folders = [place.0.clone()];
        let runfile = Runfile::publish_in(&folders, &fleet(1)).unwrap();
        assert_eq!(find_in(&folders), [fleet(1)]);
        let left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["1.json"]);
        drop(runfile);
    }

    #[test]
    fn without_any_folder_it_is_in_memory_and_goes_with_its_process() {
        let folders = [PathBuf::from("/proc/nothing/can/be/made/here")];
        let runfile = Runfile::publish_in(&folders, &fleet(std::process::id())).unwrap();
        assert!(runfile.path.is_none());
        assert!(find_in_memory().contains(&fleet(std::process::id())));
        drop(runfile);
        assert!(!find_in_memory().contains(&fleet(std::process::id())));
    }
}
