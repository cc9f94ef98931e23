//! What balancers that log JSON say to people: Caddy always does, Traefik and HAProxy if they are configured so.

use std::borrow::Cow;

use serde_json::Value;

/// Lines of a log, those in JSON rewritten as a person would write them: `error: unrecognized directive: x`.
pub(crate) fn plain(lines: &str) -> String {
    let all: Vec<Cow<str>> = lines.lines().map(line).collect();
    all.join("\n")
}

fn line(line: &str) -> Cow<'_, str> {
    let object =
        Some(line.trim()).filter(|it| it.starts_with('{')).and_then(|it| serde_json::from_str::<Value>(it).ok());
    let message = object.as_ref().and_then(|it| {
        let of = |key: &str| it.get(key).and_then(Value::as_str);
        let parts = [of("level"), of("msg").or_else(|| of("message")), of("error")];
        parts[1].map(|_| parts.into_iter().flatten().collect::<Vec<_>>().join(": "))
    });
    message.map_or(Cow::Borrowed(line), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_said_in_words_and_all_else_stays() {
        let caddy =
            r#"{"level":"error","ts":1795.7,"msg":"adapting config","error":"Caddyfile:2: unrecognized directive: x"}"#;
        let traefik = r#"{"level":"error","time":"2026-11-29T03:00:00Z","message":"no such file"}"#;
        for (log, expected) in [
            (caddy, "error: adapting config: Caddyfile:2: unrecognized directive: x"),
            (traefik, "error: no such file"),
            ("nginx: [emerg] {\n{\"a\":1}", "nginx: [emerg] {\n{\"a\":1}"),
        ] {
            assert_eq!(plain(log), expected);
        }
    }
}
