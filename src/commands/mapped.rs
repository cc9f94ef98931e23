//! `rehearse --map`: where no private copy of this machine can be had, a copy of the configuration in which servers are backends on loopback.
//! It is checked as a file of the user's own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

use crate::args::check::CheckArgs;
use crate::args::rehearse::RehearseArgs;
use crate::args::{Args, Command};
use crate::balancer::{Scratch, expected};
use crate::error::Problem;
use crate::rehearse::UrlTarget;

/// Files up to this length may name servers.
const LONGEST: u64 = 1 << 20;
/// A folder with more files than that is no configuration.
const MOST: usize = 10_000;

/// The check of a copy, which is removed when this is dropped.
pub(super) struct MappedCheck {
    pub(super) check: CheckArgs,
    _copy: RewrittenCopy,
}

struct RewrittenCopy(Scratch);

impl Drop for RewrittenCopy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.path());
    }
}

/// Limits of what is copied.
struct CopyLimits {
    left: usize,
    but: PathBuf,
}

/// Whether servers are mapped, and have to be: where private copies of this machine are permitted, the file itself is rehearsed.
pub(super) fn is_needed(args: &RehearseArgs) -> bool {
    let is_needed = !args.map.is_empty() && world::refusal().is_some();
    if !args.map.is_empty() && !is_needed {
        eprintln!("--map is not needed: this machine permits private copies, and the file is rehearsed unchanged");
    }
    is_needed
}

/// Makes the copy. What differs from the file is printed, a line each.
pub(super) fn prepare(args: &RehearseArgs) -> Result<MappedCheck> {
    let file = fs::canonicalize(&args.file).with_context(|| args.file.display().to_string())?;
    if file.is_dir() {
        let problem = Problem::new("it is a directory").on(format!("failed to read {}", args.file.display()));
        return Err(problem.hint("--map rewrites one file: name that one").into());
    }
    let [url] = args.check.url.as_slice() else {
        return Err(Problem::new("--map: one URL").hint("give one that a client of production asks for").into());
    };
    let target = UrlTarget::of(url)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let copy = RewrittenCopy(Scratch::make()?);
    let place = copy.0.path().join("configuration");
    let mut counts = vec![0; args.map.len()];
    // The copy may lie in the folder itself.
    let mut limits = CopyLimits { left: MOST, but: fs::canonicalize(copy.0.path())? };
    copy_folder(folder, &place, &mut limits, &mut |text| {
        // What names files of the folder names those of the copy.
        let mut text = text.replace(&format!("{}/", folder.display()), &format!("{}/", place.display()));
        for (map, count) in args.map.iter().zip(&mut counts) {
            let (mapped, found) = map.apply(&text);
            (text, *count) = (mapped, *count + found);
        }
        text
    })?;
    for (map, count) in args.map.iter().zip(&counts) {
        if *count == 0 {
            return Err(Problem::new(format!("{} stands nowhere in {}", map.server, folder.display()))
                .on(format!("--map {}={}", map.server, map.port))
                .hint("write it as the file does; else check the balancer that runs: check URL --identity header:NAME")
                .into());
        }
        eprintln!("{} is backend {} in a copy of the file: {count} ×", map.server, map.port);
    }
    let copied = place.join(file.file_name().unwrap_or_default());
    let ports: Vec<String> = args.map.iter().map(|map| map.port.to_string()).collect();
    let words =
        ["uuid-generator", "check", "--with", args.balancer.name, "--ports", &ports.join(",")].map(str::to_owned);
    let mut words = words.to_vec();
    words.extend(["--balancer-config".to_owned(), copied.display().to_string()]);
    words.extend(["--listen".to_owned(), target.port.to_string()]);
    words.extend(expected_of(args, &copied)?);
    let Some(Command::Check(mut check)) = Args::try_parse_from(words)?.command else { unreachable!("it is a check") };
    check.check = match target.address() {
        Some(_) => args.check.clone(),
        None => args.check.clone().at_address(format!("{}:{}:127.0.0.1", target.host, target.port)),
    };
    check.report = args.report.clone();
    Ok(MappedCheck { check: *check, _copy: copy })
}

/// Options that expect what the copy says, if it is understood.
fn expected_of(args: &RehearseArgs, copied: &Path) -> Result<Vec<String>> {
    let Some(read) = args.balancer.read else { return Ok(Vec::new()) };
    let name = args.file.display().to_string();
    let configuration = match read(copied) {
        Ok(configuration) => configuration,
        // What is wrong with it the balancer says best.
        Err(why) => {
            eprintln!("not understood, and not judged: {why:#}");
            return Ok(Vec::new());
        }
    };
    match (expected::choose(&configuration, &name, args.upstream.as_deref()), &args.upstream) {
        (Ok(upstream), _) => {
            Ok(["--from", &copied.display().to_string(), "--upstream", &upstream.name].map(str::to_owned).to_vec())
        }
        (Err((what, hint)), Some(_)) => Err(Problem::new(what).hint(hint).into()),
        (Err((what, hint)), None) => {
            eprintln!("not judged: {what} ({hint})");
            Ok(Vec::new())
        }
    }
}

fn copy_folder(from: &Path, to: &Path, limits: &mut CopyLimits, map: &mut dyn FnMut(&str) -> String) -> Result<()> {
    let about = |path: &Path| format!("failed to copy {}", path.display());
    fs::create_dir(to).with_context(|| about(from))?;
    for entry in fs::read_dir(from).with_context(|| about(from))? {
        let path = entry.with_context(|| about(from))?.path();
        // Links lead to what they name; what cannot be read here the balancer cannot read either.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let target = to.join(path.file_name().unwrap_or_default());
        if path == limits.but {
            continue;
        }
        limits.left = limits.left.checked_sub(1).ok_or_else(|| {
            let problem = Problem::new(format!("more than {MOST} files")).on(from.display());
            problem.hint("put the configuration in a folder of its own")
        })?;
        if metadata.is_dir() {
            copy_folder(&path, &target, limits, map)?;
        } else if metadata.is_file() {
            let Ok(content) = fs::read(&path) else { continue };
            let text = std::str::from_utf8(&content).ok().filter(|_| metadata.len() <= LONGEST);
            match text {
                Some(text) => fs::write(&target, map(text)),
                None => fs::write(&target, &content),
            }
            .with_context(|| about(&path))?;
        }
    }
    Ok(())
}
