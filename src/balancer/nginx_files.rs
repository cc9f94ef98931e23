//! An `nginx.conf` on this machine, with the files that it includes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::balancer::read::{Configuration, Source};

/// Reads it, and what it includes as NGINX finds it: relative to the folder of the file.
pub fn read(file: &Path) -> Result<Configuration> {
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let included = |pattern: &str| included(&folder.join(pattern));
    Ok(Configuration::read(&Source { name: file.display().to_string(), text }, &included)?)
}

/// A pattern that no file fits includes nothing, a name that no file has is an error.
fn included(pattern: &Path) -> Result<Vec<Source>, String> {
    let text = pattern.to_string_lossy();
    let is_pattern = text.contains(['*', '?', '[']);
    let files: Vec<PathBuf> = match is_pattern {
        true => glob::glob(&text).map_err(|why| why.to_string())?.filter_map(Result::ok).collect(),
        false => vec![pattern.to_owned()],
    };
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(|why| why.to_string())?;
        Ok(Source { name: file.display().to_string(), text })
    };
    files.into_iter().map(read).collect()
}
