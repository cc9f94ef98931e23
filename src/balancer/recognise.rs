//! Whose configuration a file is: by its name, and where that leaves it open by what is at its top.

use std::path::Path;

use serde_json::Value;

use crate::balancer::document::{get, load};
use crate::balancer::list::Balancer;
use crate::balancer::{caddy, envoy, haproxy, nginx, traefik};

/// NGINX's if nothing says otherwise.
pub(crate) fn recognise(file: &Path) -> Balancer {
    let name = file.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_lowercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    let product = match extension {
        "cfg" => &haproxy::HAPROXY,
        "json" | "yaml" | "yml" | "toml" => {
            let tree = load(file).unwrap_or(Value::Null);
            let has = |keys: &[&str]| keys.iter().any(|key| get(&tree, key).is_some());
            if has(&["apps"]) {
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
            ("envoy.json", "{\"staticResources\": {}}", "envoy"),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            assert_eq!(recognise(&file).name, expected, "{name}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
