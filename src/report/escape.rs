//! What came from the network, where people read it.

pub(crate) use crate::escape::harmless;

/// For text and for values of attributes in HTML.
pub(crate) fn escaped(text: &str) -> String {
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
