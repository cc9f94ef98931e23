//! An `nginx.conf` on this machine, with the files that it includes; or what `nginx -T` printed, which has them all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::balancer::read::configuration::{ConfigFile, Configuration};
use crate::balancer::read::nginx;
use crate::balancer::read::nginx::tokens::Wrong;

/// Before each file in what `nginx -T` prints.
const DUMPED: &str = "# configuration file ";

/// Reads it, and what it includes as NGINX finds it: relative to the folder of the file.
pub(crate) fn read(file: &Path) -> Result<Configuration> {
    let text = text_of(file).with_context(|| format!("failed to read {}", file.display()))?;
    if let Some(read) = read_dump(&text) {
        return Ok(read?);
    }
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let included = |pattern: &str| included(&folder.join(pattern));
    Ok(nginx::read(&ConfigFile { name: file.display().to_string(), text }, &included)?)
}

/// What NGINX itself puts together from that file.
pub(crate) fn printed(file: &Path) -> Option<Configuration> {
    let output = Command::new("nginx")
        .args(["-T", "-c"])
        .arg(file)
        .current_dir(file.parent().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .output()
        .ok()?;
    read_dump(&String::from_utf8_lossy(&output.stdout))?.ok()
}

/// Reads what `nginx -T` printed; None if it is nothing of that kind.
fn read_dump(text: &str) -> Option<Result<Configuration, Wrong>> {
    let (main, files) = dumped(text)?;
    let folder = Path::new(&main.name).parent().unwrap_or(Path::new("/")).to_owned();
    let included = |pattern: &str| Ok(matching(&folder.join(pattern), &files));
    Some(nginx::read(&main, &included))
}

/// In any encoding: what is no UTF-8 stands in comments and texts.
fn text_of(file: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}

/// A pattern that no file fits includes nothing, a name that no file has is an error.
fn included(pattern: &Path) -> Result<Vec<ConfigFile>, String> {
    let text = pattern.to_string_lossy();
    let files: Vec<PathBuf> = if is_pattern(&text) {
        glob::glob(&text).map_err(|why| why.to_string())?.filter_map(Result::ok).collect()
    } else {
        vec![pattern.to_owned()]
    };
    let read = |file: PathBuf| {
        let text = text_of(&file).map_err(|why| why.to_string())?;
        Ok(ConfigFile { name: file.display().to_string(), text })
    };
    files.into_iter().map(read).collect()
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The first file of what `nginx -T` printed, and all of them by their names; None if it is nothing of that kind.
fn dumped(text: &str) -> Option<(ConfigFile, BTreeMap<PathBuf, String>)> {
    let heading = |line: &str| Some(line.strip_prefix(DUMPED)?.trim_end().strip_suffix(':')?.to_owned());
    let mut lines = text.lines().skip_while(|line| line.starts_with("nginx: ") || line.trim().is_empty());
    let first = heading(lines.next()?)?;
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::from([(PathBuf::from(&first), String::new())]);
    let mut current = PathBuf::from(&first);
    for line in lines {
        match heading(line) {
            Some(name) => {
                current = PathBuf::from(name);
                files.entry(current.clone()).or_default();
            }
            None => files.entry(current.clone()).or_default().extend([line, "\n"]),
        }
    }
    let main = ConfigFile { text: files.get(Path::new(&first))?.clone(), name: first };
    Some((main, files))
}

fn matching(pattern: &Path, files: &BTreeMap<PathBuf, String>) -> Vec<ConfigFile> {
    let fits = |file: &Path| match glob::Pattern::new(&pattern.to_string_lossy()) {
        Ok(pattern) if is_pattern(pattern.as_str()) => pattern.matches_path(file),
        _ => file == pattern,
    };
    let source =
        |(name, text): (&PathBuf, &String)| ConfigFile { name: name.display().to_string(), text: text.clone() };
    files.iter().filter(|(name, _)| fits(name)).map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_prints_of_itself_is_read_once() {
        let text = "# configuration file /etc/nginx/nginx.conf:\nhttp {\n include conf.d/*.conf;\n include mime.types;\n}\n\n\
                    # configuration file /etc/nginx/conf.d/a.conf:\nupstream a { server b:1; }\n\n\
                    # configuration file /etc/nginx/mime.types:\ntypes { text/html html; }\n";
        let (main, files) = dumped(text).unwrap();
        let folder = Path::new("/etc/nginx");
        let included = |pattern: &str| Ok(matching(&folder.join(pattern), &files));
        let found = nginx::read(&main, &included).unwrap();
        assert_eq!((found.upstreams.len(), found.not_read.len()), (1, 0), "{found:?}");
        assert_eq!(found.upstreams[0].servers[0].place, "/etc/nginx/conf.d/a.conf, line 1");
        assert!(dumped("http {}").is_none());
    }
}
