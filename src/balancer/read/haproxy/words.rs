//! A line of a `haproxy.cfg` as words.

/// Of a line: quotes, backslashes and comments as in section 2.2 of HAProxy's manual, variables as in section 2.3.
pub(super) fn words(line: &str, environment: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => {
                word.extend(characters.next());
                begun = true;
            }
            ('"' | '\'', None) => {
                quote = Some(character);
                begun = true;
            }
            // Nowhere else.
            ('$', Some('"')) => match variable(characters.as_str()) {
                Some((name, default, length)) => {
                    word += &environment(name).unwrap_or_else(|| default.to_owned());
                    characters = characters.as_str()[length..].chars();
                }
                None => word.push('$'),
            },
            (end, Some(open)) if end == open => quote = None,
            ('#', None) => break,
            (blank, None) if blank.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (other, _) => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Replaces variables in the address of a line, which HAProxy does without quotes too. Those that nobody sets.
pub(super) fn expand_address(words: &mut [String], environment: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let place = match words.first().map(String::as_str) {
        Some("server" | "peer" | "mailer") => 2,
        Some("server-template") => 3,
        _ => return Vec::new(),
    };
    let Some(address) = words.get_mut(place) else { return Vec::new() };
    let (mut expanded, mut unset) = (String::new(), Vec::new());
    let mut rest = address.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        expanded += before;
        rest = match variable(after) {
            Some((name, default, length)) => {
                let value = environment(name);
                if value.is_none() && default.is_empty() {
                    unset.push(name.to_owned());
                }
                expanded += value.as_deref().unwrap_or(default);
                &after[length..]
            }
            None => {
                expanded.push('$');
                after
            }
        };
    }
    *address = expanded + rest;
    unset
}

/// The name of a variable that begins there, what it is where nobody sets it, and how long it is written: `NAME`, `{NAME}`, `{NAME-default}`.
fn variable(text: &str) -> Option<(&str, &str, usize)> {
    let length = |text: &str| text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let Some(inner) = text.strip_prefix('{') else {
        let length = length(text);
        return (length > 0).then_some((&text[..length], "", length));
    };
    let inner = &inner[..inner.find('}')?];
    let (name, rest) = inner.split_at(length(inner));
    let default = if rest.is_empty() { "" } else { rest.strip_prefix('-')? };
    (!name.is_empty()).then_some((name, default, inner.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::{expand_address, words};

    #[test]
    fn variables_of_an_address_need_no_quotes() {
        let environment = |name: &str| (name == "HOST").then(|| "app.internal".to_owned());
        for (line, expected, unset) in [
            ("server a ${HOST}:80 cookie ${HOST}", "server a app.internal:80 cookie ${HOST}", None),
            ("server-template a 3 $HOST:80", "server-template a 3 app.internal:80", None),
            ("server a ${GONE}:80$", "server a :80$", Some("GONE")),
            ("server a ${GONE-b}:80", "server a b:80", None),
            ("bind ${GONE}:80", "bind ${GONE}:80", None),
        ] {
            let mut words = words(line, &environment);
            let without_value = expand_address(&mut words, &environment);
            assert_eq!(words.join(" "), expected);
            assert_eq!(without_value.first().map(String::as_str), unset, "{line}");
        }
    }

    #[test]
    fn words_are_as_haproxy_reads_them() {
        let words = |line| words(line, &|_| None);
        assert_eq!(words(r#"  acl "a b" c\ d 'e # "f' # g"#), ["acl", "a b", "c d", "e # \"f"]);
        assert_eq!(words("# nothing"), Vec::<String>::new());
        assert_eq!(words(r#"a "$ ${" $B"#), ["a", "$ ${", "$B"]);
    }
}
