//! `split_clients` of NGINX: a variable that names one of several upstreams, each for a part of the requests, and the `proxy_pass` that
//! uses it.

use super::tokens::{ConfigToken, Tokens, Wrong};
use crate::balancer::read::configuration::Upstream;

/// A block, and what leads to upstreams.
#[derive(Default)]
pub(super) struct ClientSplits {
    all: Vec<ClientSplit>,
    /// Hosts of all URLs to which requests are passed: names, addresses, variables.
    passed: Vec<String>,
    /// Variables that are set elsewhere.
    set: Vec<String>,
}

/// A `split_clients` block.
pub(super) struct ClientSplit {
    key: String,
    variable: String,
    /// As written: a percentage or `*`, and a value.
    parts: Vec<(String, String)>,
}

/// All requests, in parts of a hundredth of a percent.
const WHOLE: u32 = 10_000;

impl ClientSplits {
    pub(super) fn add(&mut self, split: ClientSplit) {
        self.all.push(split);
    }

    /// Requests are passed to that URL.
    pub(super) fn pass_to(&mut self, url: &str) {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        // Variables that begin with the slash of the path.
        let end = ["/", "$request_uri", "$uri"].iter().filter_map(|it| rest.find(it)).min();
        let host = &rest[..end.unwrap_or(rest.len())];
        self.passed.push(host.to_owned());
    }

    pub(super) fn set(&mut self, variable: &str) {
        self.set.push(variable.to_owned());
    }

    /// Makes a group of the upstreams of each split that alone decides who gets a request, and alone leads to them: then who was asked says
    /// that it decided.
    pub(super) fn join(&self, upstreams: &mut Vec<Upstream>) {
        for split in &self.all {
            let Some(weights) = split.weights() else { continue };
            if !self.is_alone(split, &weights) {
                continue;
            }
            let find = |(name, weight): &(String, u32)| {
                Some((upstreams.iter().find(|it| it.name == *name).cloned()?, *weight))
            };
            let Some(parts) = weights.iter().map(find).collect::<Option<Vec<_>>>() else { continue };
            upstreams.retain(|it| !weights.iter().any(|(name, _)| *name == it.name));
            upstreams.push(Upstream { name: split.variable.clone(), ..Upstream::split(parts) });
        }
    }

    fn is_alone(&self, split: &ClientSplit, weights: &[(String, u32)]) -> bool {
        // Of other keys nobody knows how many values clients bring.
        let is_of_requests = ["$request_id", "${request_id}"].iter().any(|it| split.key.contains(it));
        let is_part = |host: &str| weights.iter().any(|(name, _)| name.eq_ignore_ascii_case(host));
        let leads_there = |host: &&String| **host == split.variable || host.contains('$') || is_part(host);
        let is_used = self.passed.contains(&split.variable);
        let is_only = self.passed.iter().filter(leads_there).all(|host| *host == split.variable);
        is_of_requests && is_used && is_only && !self.set.contains(&split.variable)
    }
}

impl ClientSplit {
    /// Reads up to the `}` of its block.
    pub(super) fn read(key: &str, variable: &str, tokens: &mut Tokens) -> Result<ClientSplit, Wrong> {
        let (mut parts, mut words) = (Vec::new(), Vec::<String>::new());
        while let Some(token) = tokens.next()? {
            match token {
                ConfigToken::Word(word) => words.push(word),
                ConfigToken::End => match words.as_slice() {
                    [part, value] => {
                        parts.push((part.clone(), value.clone()));
                        words.clear();
                    }
                    _ => return Err(tokens.wrong("split_clients: expected a part and a value")),
                },
                ConfigToken::Close => {
                    return Ok(ClientSplit { key: key.to_owned(), variable: variable.to_owned(), parts });
                }
                ConfigToken::Open => return Err(tokens.wrong("split_clients: a block within it")),
            }
        }
        Err(tokens.wrong("split_clients without its `}`"))
    }

    /// The upstreams with their parts; `*` is what the others leave. None if it is not understood.
    fn weights(&self) -> Option<Vec<(String, u32)>> {
        let mut left = WHOLE;
        let mut weights: Vec<(String, u32)> = Vec::new();
        for (part, name) in &self.parts {
            let weight = if part == "*" { left } else { hundredths(part)? };
            left = left.checked_sub(weight)?;
            match weights.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known += weight,
                None => weights.push((name.clone(), weight)),
            }
        }
        // Else the variable is empty for some requests.
        (left == 0).then_some(weights)
    }
}

/// `0.5%` is 50 hundredths of a percent.
fn hundredths(part: &str) -> Option<u32> {
    let number = part.strip_suffix('%')?;
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let rest = format!("{rest:0<2}");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if rest.len() != 2 || !is_number(whole) || !is_number(&rest) {
        return None;
    }
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(rest.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::balancer::read::configuration::{ConfigFile, UpstreamMethod};

    fn group(http: &str) -> (Vec<String>, UpstreamMethod) {
        let text = format!("http {{ upstream blue {{ server a:1; }} upstream green {{ server b:1; }} {http} }}");
        let source = ConfigFile { name: "a.conf".to_owned(), text };
        let mut all = read(&source, &|_| Ok(Vec::new())).unwrap().upstreams;
        let names = all.iter().map(|it| it.name.clone()).collect();
        (names, all.pop().unwrap().method)
    }

    const SPLIT: &str = "split_clients \"${remote_addr}$request_id\" $pool { 0.5% green; # few\n * blue; }";

    #[test]
    fn a_split_by_the_id_of_requests_has_the_parts_that_it_says() {
        let (names, method) = group(&format!(
            "{SPLIT} server {{ location / {{ proxy_pass http://$pool/x; }} location /m {{ proxy_pass http://10.9.9.9:80$request_uri; }} }}"
        ));
        let UpstreamMethod::Split(parts) = method else { panic!("{method:?}") };
        let weights: Vec<(&str, u32)> = parts.iter().map(|it| (it.name.as_str(), it.weight)).collect();
        assert_eq!((names, weights), (vec!["$pool".to_owned()], vec![("green", 50), ("blue", 9_950)]));
        for (part, number) in
            [("10%", Some(1_000)), ("33.3%", Some(3_330)), ("1.234%", None), ("x%", None), ("5", None)]
        {
            assert_eq!(hundredths(part), number, "{part}");
        }
    }

    #[test]
    fn what_else_leads_to_the_upstreams_leaves_the_split_open() {
        for more in [
            "location /a { proxy_pass http://blue; }",
            "location /a { proxy_pass http://$other; }",
            "location /a { set $pool green; }",
        ] {
            let text = format!("{SPLIT} server {{ location / {{ proxy_pass http://$pool; }} {more} }}");
            assert_eq!(group(&text).0, ["blue", "green"], "{more}");
        }
        let by_client = SPLIT.replace("$request_id", "");
        let (names, _) = group(&format!("{by_client} server {{ location / {{ proxy_pass http://$pool; }} }}"));
        assert_eq!(names, ["blue", "green"]);
        // One that nobody uses, and one whose parts are no upstreams.
        let (names, _) = group(SPLIT);
        assert_eq!(names, ["blue", "green"]);
        let (names, _) =
            group("split_clients $request_id $v { 50% a; * b; } server { location / { proxy_pass http://$v; } }");
        assert_eq!(names, ["blue", "green"]);
    }
}
