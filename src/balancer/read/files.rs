//! Configurations of HAProxy, Envoy, Traefik and Caddy on this machine with the files that they name, and manifests of Kubernetes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::balancer::options::BalancerVersion;
use crate::balancer::path::on_path;
use crate::balancer::read::configuration::{ConfigFile, Configuration};
use crate::balancer::read::traefik::DynamicSource;
use crate::balancer::read::{caddy, document, envoy, haproxy, kubernetes, messages, traefik};
use crate::error::Problem;
use crate::escape::harmless_lines;

/// A file, or those of a folder.
pub(crate) fn haproxy(file: &Path) -> Result<Configuration> {
    let files = if file.is_dir() { haproxy_folder(file)? } else { vec![file.to_owned()] };
    haproxy_files(&files, None)
}

/// Files that HAProxy reads as one. Comments may hold bytes that are not UTF-8.
pub(crate) fn haproxy_files(files: &[PathBuf], version: Option<BalancerVersion>) -> Result<Configuration> {
    let source = |file: &PathBuf| -> Result<ConfigFile> {
        let text = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        Ok(ConfigFile { name: file.display().to_string(), text: String::from_utf8_lossy(&text).into_owned() })
    };
    let sources: Vec<ConfigFile> = files.iter().map(source).collect::<Result<_>>()?;
    Ok(haproxy::read(&sources, version, &|name| std::env::var(name).ok(), &Path::exists))
}

/// What HAProxy reads of a folder: its visible files `*.cfg`, in the order of the bytes of their names.
pub(crate) fn haproxy_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let is_read = |file: &PathBuf| {
        let is_hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        has_extension(file, &["cfg"]) && !is_hidden && file.is_file()
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|it| it.path()).filter(is_read).collect();
    files.sort();
    if files.is_empty() {
        let hint = "HAProxy reads the files *.cfg of a directory, and no others";
        return Err(Problem::new("no file *.cfg is in it").on(folder.display()).hint(hint).into());
    }
    Ok(files)
}

/// The file, and files of clusters and endpoints that it names, which Envoy finds from its working directory.
pub(crate) fn envoy(file: &Path) -> Result<Configuration> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let load = |path: &str| document::load(&folder.join(path)).map_err(|why| format!("{why:#}"));
    Ok(envoy::read(&file.display().to_string(), &document::load(file)?, &load))
}

/// The static file, and the dynamic ones that it names, which Traefik finds from its working directory.
pub(crate) fn traefik(file: &Path) -> Result<Configuration> {
    let fixed = document::load(file)?;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let (dynamic, mut not_read) = traefik::dynamic(&file.display().to_string(), &fixed);
    let files = match dynamic {
        Some(DynamicSource::File(name)) => vec![folder.join(name)],
        Some(DynamicSource::Folder(name)) => {
            let entries = std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten().map(|it| it.path());
            let mut files: Vec<PathBuf> = entries.filter(|it| has_extension(it, &["yml", "yaml", "toml"])).collect();
            files.sort();
            files
        }
        // A dynamic file by itself.
        None => vec![file.to_owned()],
    };
    let mut documents = Vec::new();
    for file in files {
        match document::load(&file) {
            Ok(document) => documents.push((file.display().to_string(), document)),
            Err(why) => not_read.push(format!("{why:#}")),
        }
    }
    let mut configuration = traefik::read(&documents);
    configuration.not_read.extend(not_read);
    configuration.storages = traefik::storages(&fixed);
    Ok(configuration)
}

/// The manifests of a file, or of all files of a folder.
pub(crate) fn kubernetes(file: &Path) -> Result<Configuration> {
    let name = file.display().to_string();
    let mut files = vec![file.to_owned()];
    if file.is_dir() {
        let entries = std::fs::read_dir(file).with_context(|| format!("failed to read {name}"))?;
        files =
            entries.flatten().map(|it| it.path()).filter(|it| has_extension(it, &["yaml", "yml", "json"])).collect();
        files.sort();
    }
    let mut documents = Vec::new();
    for file in files {
        documents.extend(document::load_all(&file).map_err(|why| {
            Problem::new(format!("{why:#}"))
                .hint("templates are written out by `helm template` or `kubectl kustomize`: give what these print")
        })?);
    }
    kubernetes::read(&name, &documents).map_err(|what| {
        let hint = "give the file that has it, or what `kubectl kustomize` or `kubectl get httproute,ingress,service -o yaml` prints";
        Problem::new(what).on(name).hint(hint).into()
    })
}

fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    file.extension().is_some_and(|own| extensions.iter().any(|it| own == *it))
}

/// Its JSON, into which Caddy itself translates a Caddyfile.
pub(crate) fn caddy(file: &Path) -> Result<Configuration> {
    let name = file.display().to_string();
    if file.extension().is_some_and(|extension| extension == "json") {
        return Ok(caddy::read(&name, &document::load(file)?));
    }
    let program = on_path("caddy").context("a Caddyfile is translated by caddy, which is not installed")?;
    let output = Command::new(program)
        .args(["adapt", "--adapter", "caddyfile", "--config"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("failed to run caddy adapt")?;
    if !output.status.success() {
        bail!(
            "caddy adapt refuses {name}: {}",
            harmless_lines(messages::plain(&String::from_utf8_lossy(&output.stderr)).trim())
        );
    }
    Ok(caddy::read(&name, &serde_json::from_slice(&output.stdout).context("failed to read what caddy adapt prints")?))
}
