//! The words of an `nginx.conf`, as NGINX takes them apart, and where they are.

use std::fmt;

use crate::balancer::read::configuration::ConfigFile;

/// What is wrong with a configuration, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub(crate) file: String,
    /// Number of the line, from 1.
    pub(crate) line: usize,
    /// What is wrong, in a few words.
    pub(crate) what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Wrong {}

pub(super) enum ConfigToken {
    Word(String),
    /// The semicolon `;`, which ends a directive.
    End,
    /// The brace `{`, which opens a block.
    Open,
    /// The brace `}`, which closes a block.
    Close,
}

pub(super) struct Tokens<'t> {
    file: &'t str,
    rest: &'t str,
    line: usize,
}

impl Tokens<'_> {
    pub(super) fn of(source: &ConfigFile) -> Tokens<'_> {
        Tokens { file: &source.name, rest: &source.text, line: 1 }
    }

    pub(super) fn place(&self) -> String {
        format!("{}, line {}", self.file, self.line)
    }

    pub(super) fn wrong(&self, what: &str) -> Wrong {
        Wrong { file: self.file.to_owned(), line: self.line, what: what.to_owned() }
    }

    fn skip(&mut self, bytes: usize) -> &str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.line += skipped.matches('\n').count();
        skipped
    }

    /// Past spaces and comments.
    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start_matches(is_blank).len();
            self.skip(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(comment);
        }
    }

    /// As `ngx_conf_read_token` reads: a quote is one only at the beginning of a word, `}` ends no word, `${` is part of one.
    pub(super) fn next(&mut self) -> Result<Option<ConfigToken>, Wrong> {
        self.skip_blank();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            ';' => ConfigToken::End,
            '{' => ConfigToken::Open,
            '}' => ConfigToken::Close,
            '"' | '\'' => return self.quoted(first).map(Some),
            _ => return Ok(Some(self.bare())),
        };
        self.skip(1);
        Ok(Some(token))
    }

    fn bare(&mut self) -> ConfigToken {
        let (mut word, mut escaped, mut variable) = (String::new(), false, false);
        let mut length = self.rest.len();
        for (place, character) in self.rest.char_indices() {
            if escaped {
                escaped = false;
                push_escaped(&mut word, character);
                continue;
            }
            let in_variable = variable && character == '{';
            variable = character == '$';
            match character {
                '\\' => escaped = true,
                '{' if in_variable => word.push(character),
                ';' | '{' => {
                    length = place;
                    break;
                }
                blank if is_blank(blank) => {
                    length = place;
                    break;
                }
                other => word.push(other),
            }
        }
        self.skip(length);
        ConfigToken::Word(word)
    }

    fn quoted(&mut self, quote: char) -> Result<ConfigToken, Wrong> {
        let (mut word, mut escaped) = (String::new(), false);
        for (place, character) in self.rest.char_indices().skip(1) {
            match character {
                _ if escaped => {
                    escaped = false;
                    push_escaped(&mut word, character);
                }
                '\\' => escaped = true,
                _ if character == quote => {
                    self.skip(place + 1);
                    return Ok(ConfigToken::Word(word));
                }
                _ => word.push(character),
            }
        }
        Err(self.wrong("a quote that does not end"))
    }

    /// Past a block that has begun, and all in it.
    pub(super) fn skip_block(&mut self) -> Result<(), Wrong> {
        let mut depth = 1usize;
        while depth > 0 {
            match self.next()? {
                Some(ConfigToken::Open) => depth += 1,
                Some(ConfigToken::Close) => depth -= 1,
                Some(ConfigToken::Word(_) | ConfigToken::End) => {}
                None => return Err(self.wrong("a `{` without its `}`")),
            }
        }
        Ok(())
    }

    /// Skips a block of Lua, whose comments and strings may hold any brace (Lua 5.1, section 2.1).
    pub(super) fn skip_lua(&mut self) -> Result<(), Wrong> {
        let mut depth = 1usize;
        while depth > 0 {
            let Some(at) = self.rest.find(['{', '}', '"', '\'', '-', '[']) else {
                return Err(self.wrong("a block of Lua without its `}`"));
            };
            self.skip(at);
            let comment = self.rest.starts_with("--");
            if comment {
                self.skip(2);
            }
            if let Some(end) = long_bracket(self.rest) {
                let length = self.rest.find(&end).map(|at| at + end.len());
                self.skip(length.ok_or_else(|| self.wrong("a long bracket of Lua that does not end"))?);
            } else if comment {
                let line = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(line);
            } else {
                match self.rest.chars().next() {
                    Some('{') => depth += 1,
                    Some('}') => depth -= 1,
                    Some(quote @ ('"' | '\'')) => {
                        self.quoted(quote)?;
                        continue;
                    }
                    _ => {}
                }
                self.skip(1);
            }
        }
        Ok(())
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// What a backslash makes of a character: NGINX drops it before few, and else it stays.
fn push_escaped(word: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => word.push(character),
        't' => word.push('\t'),
        'r' => word.push('\r'),
        'n' => word.push('\n'),
        other => word.extend(['\\', other]),
    }
}

/// The end of a long string or comment of Lua, if one begins here: `]]` of `[[`, `]==]` of `[==[`.
fn long_bracket(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[')?;
    let level = inner.len() - inner.trim_start_matches('=').len();
    inner[level..].starts_with('[').then(|| format!("]{}]", "=".repeat(level)))
}
