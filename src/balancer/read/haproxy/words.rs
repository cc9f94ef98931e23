//! PURE. A line of a `haproxy.cfg` as words.

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
    use super::words;

    #[test]
    fn words_are_as_haproxy_reads_them() {
        let words = |line| words(line, &|_| None);
        assert_eq!(words(r#"  acl "a b" c\ d 'e # "f' # g"#), ["acl", "a b", "c d", "e # \"f"]);
        assert_eq!(words("# nothing"), Vec::<String>::new());
        assert_eq!(words(r#"a "$ ${" $B"#), ["a", "$ ${", "$B"]);
    }
}
