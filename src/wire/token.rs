//! The token of a fleet's API: who has it may change the fleet. It is never shown.

use std::fmt;
use std::str::FromStr;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
const LONGEST: usize = 512;

/// What `Authorization: Bearer` carries (RFC 6750 §2.1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// A random token, which cannot be guessed.
    pub(crate) fn random() -> Token {
        Token(uuid::Uuid::new_v4().simple().to_string())
    }

    /// For the header; nothing else may print it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whatever prints a whole configuration does not print this.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A text that is no token. It is not repeated: it may be one with a typing error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a token of 16 to 512 letters, digits and any of -._~+/=")]
pub(crate) struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Token, NotAToken> {
        // An editor ends a file with a new line.
        let text = text.trim_end_matches(['\r', '\n']);
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if plain && (SHORTEST..=LONGEST).contains(&text.len()) { Ok(Token(text.to_owned())) } else { Err(NotAToken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_is_never_shown() {
        let token: Token = "0123456789abcdef\r\n".parse().unwrap();
        assert_eq!(token.as_str(), "0123456789abcdef");
        assert!(!format!("{token:?}").contains("0123"));
        for text in ["", "short", "0123456789abcde f", "0123456789abcdef\nX", "0123456789abcdéf", &"a".repeat(513)] {
            assert_eq!(text.parse::<Token>(), Err(NotAToken), "{text}");
        }
    }
}
