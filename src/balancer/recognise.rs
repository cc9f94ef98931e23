//! Whose configuration a file is: by its name, and where that leaves it open by what is at its top.

use std::path::Path;

use serde_json::Value;

use crate::balancer::document::{get, load_all};
use crate::balancer::list::Balancer;
use crate::balancer::product::Product;
use crate::balancer::{caddy, envoy, haproxy, kubernetes, nginx, traefik};

/// NGINX's if nothing says otherwise.
pub(crate) fn recognise(file: &Path) -> Balancer {
    let name = file.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_lowercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    let product = match extension {
        _ if file.is_dir() => &kubernetes::KUBERNETES,
        "cfg" => &haproxy::HAPROXY,
        "json" | "yaml" | "yml" | "toml" => {
            let Some(tree) = load_all(file).ok().map(|all| all.into_iter().next().unwrap_or(Value::Null)) else {
                return Balancer::of(of_what_is_no_tree(file));
            };
            let has = |keys: &[&str]| keys.iter().any(|key| get(&tree, key).is_some());
            if has(&["kind"]) && has(&["metadata", "api_version", "items"]) {
                &kubernetes::KUBERNETES
            } else if has(&["apps"]) {
                &caddy::CADDY
            } else if has(&["entry_points", "providers", "http"]) {
                &traefik::TRAEFIK
            } else {
                &envoy::ENVOY
            }
        }
        _ if name.contains("caddyfile") => &caddy::CADDY,
        _ => &nginx::NGINX,
    };
    Balancer::of(product)
}

/// A template of a manifest is no YAML; its reader says what makes one of it.
fn of_what_is_no_tree(file: &Path) -> &'static Product {
    let text = std::fs::read(file).unwrap_or_default();
    let is_manifest = String::from_utf8_lossy(&text).lines().any(|line| line.starts_with("apiVersion:"));
    if is_manifest { &kubernetes::KUBERNETES } else { &envoy::ENVOY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognised_by_its_name_or_by_what_is_at_its_top() {
        let folder = std::env::temp_dir().join(format!("recognise-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text, expected) in [
            ("nginx.conf", "", "nginx"),
            ("shop", "upstream a { server b; }", "nginx"),
            ("haproxy.cfg", "", "haproxy"),
            ("Caddyfile", "", "caddy"),
            ("caddy.json", "{\"apps\": {}}", "caddy"),
            ("traefik.yml", "entryPoints: {}", "traefik"),
            ("dynamic.toml", "[http.services]", "traefik"),
            ("envoy.yaml", "static_resources: {}", "envoy"),
            ("route.yaml", "# a\n---\napiVersion: v1\nkind: Service\n---\nkind: HTTPRoute\n", "kubernetes"),
            ("template.yaml", "apiVersion: v1\nkind: Service\n{{- if .Values.on }}\n", "kubernetes"),
            ("envoy.json", "{\"staticResources\": {}}", "envoy"),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            assert_eq!(recognise(&file).name, expected, "{name}");
        }
        assert_eq!(recognise(&folder).name, "kubernetes");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
