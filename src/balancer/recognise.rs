//! Whose configuration a file is: by its name, and where that leaves it open by what is at its top. Each balancer's descriptor says what it recognises.

use std::path::Path;

use serde_json::Value;

use crate::balancer::list::Balancer;
use crate::balancer::product::UnknownFile;
use crate::balancer::read::document::load_all;

/// The first of the list whose the file is most likely.
pub(crate) fn recognise(file: &Path) -> Balancer {
    let name = file.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_lowercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    let is_tree = matches!(extension, "json" | "yaml" | "yml" | "toml") && !file.is_dir();
    let tree = is_tree.then(|| load_all(file).ok().map(|all| all.into_iter().next().unwrap_or(Value::Null)));
    let unparsed = matches!(tree, Some(None)).then(|| std::fs::read(file).unwrap_or_default());
    let unparsed = unparsed.as_deref().map(String::from_utf8_lossy);
    let unknown = UnknownFile {
        name: &name,
        extension,
        is_folder: file.is_dir(),
        tree: tree.as_ref().and_then(Option::as_ref),
        unparsed: unparsed.as_deref(),
    };
    let likelihood = |balancer: &Balancer| (balancer.recognises)(&unknown);
    // `max_by_key` takes the last of equals.
    Balancer::ALL.into_iter().rev().max_by_key(likelihood).unwrap_or(Balancer::BUILT_IN)
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
