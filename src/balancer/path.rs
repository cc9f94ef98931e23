//! Where programs of balancers are, and paths as a shell takes them.

use std::path::{Path, PathBuf};

/// The file of that program: on PATH, or where balancers are installed although it is not on every user's PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Folders with programs: those on PATH, then those of servers, which are not on every user's PATH.
pub(crate) fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for servers in ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from) {
        if !folders.contains(&servers) {
            folders.push(servers);
        }
    }
    folders
}

/// Quotes a path as one word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
