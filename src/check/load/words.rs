//! Responses as people read them: their heads, and what those say that no backend of ours gave: balancers have a sentence of why they refuse.

use http::{Field, ResponseHead};

use crate::escape::without_markup;

/// Of the words of a body, as much as a line of a report holds.
const SHOWN: usize = 160;

/// What it says beyond its status; none if nothing, or no text.
pub(super) fn beyond_status(status: u16, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let is_page = text.trim_start().starts_with('<');
    let body = text.split_once("</head>").map_or(&*text, |(_, body)| body);
    let plain = if is_page { without_markup(body) } else { text.into_owned() };
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    for said in [status.to_string().as_str(), http::reason(status)] {
        let said: Vec<&str> = said.split_whitespace().collect();
        let is_said =
            words.get(..said.len()).is_some_and(|begin| begin.join(" ").eq_ignore_ascii_case(&said.join(" ")));
        if is_said && !said.is_empty() {
            words.drain(..said.len());
        }
    }
    // A single word is a name or a number.
    if words.len() < 2 {
        return None;
    }
    let line = words.join(" ");
    let end = line.char_indices().nth(SHOWN).map_or(line.len(), |(end, _)| end);
    let more = if end < line.len() { " …" } else { "" };
    Some(format!("{}{more}", &line[..end]))
}

/// A head of HTTP/2 as people write it.
pub(super) fn of_head(head: &ResponseHead) -> Vec<u8> {
    let mut text = format!("HTTP/2 {}\r\n", head.status).into_bytes();
    head.fields.iter().for_each(|Field { name, value }| http::encode::field(&mut text, name, value));
    http::encode::end_of_head(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_says_why_beyond_its_status() {
        for (status, body, words) in [
            (503, "no healthy upstream", Some("no healthy upstream")),
            (
                503,
                "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n",
                Some("No server is available to handle this request."),
            ),
            (
                502,
                "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n",
                None,
            ),
            (502, "Bad Gateway", None),
            (503, "no available server\n", Some("no available server")),
            (503, "", None),
        ] {
            assert_eq!(beyond_status(status, body.as_bytes()).as_deref(), words, "{body}");
        }
        let long = beyond_status(500, "why ".repeat(100).as_bytes()).unwrap();
        assert!(long.ends_with(" …") && long.chars().count() == SHOWN + 2, "{long}");
    }
}
