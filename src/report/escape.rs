//! PURE. What came from the network, where people read it.

/// Nothing that came from the network may steer a terminal or hide in a report.
pub fn harmless(text: &str) -> String {
    let escape = |character: char| match character {
        '\n' => " ".to_owned(),
        control if control.is_control() || matches!(control, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
            control.escape_unicode().to_string()
        }
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

/// For text and for values of attributes in HTML.
pub fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    };
    harmless(text).chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[31mb\nc\u{202e}"), "a\\u{1b}[31mb c\\u{202e}");
    }
}
