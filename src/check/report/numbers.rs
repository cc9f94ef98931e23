//! PURE. Figures as people read them, the same in every form.

pub use crate::check::verdict::grouped;

/// Seconds, to three digits: `245 µs`, `2.45 ms`, `1.02 s`.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        0.0 => return "0 s".to_owned(),
        ..0.000_999_5 => (seconds * 1e6, "µs"),
        ..0.999_5 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    match value {
        ..9.995 => format!("{value:.2} {unit}"),
        ..99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A share of 0 to 1: `33.34 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

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
    fn times_have_three_digits_and_a_fitting_unit() {
        let times = [0.000_007_1, 0.000_245, 0.002_447, 0.0115, 0.999_4, 0.999_9, 12.345, 250.0];
        let expected = ["7.10 µs", "245 µs", "2.45 ms", "11.5 ms", "999 ms", "1.00 s", "12.3 s", "250 s"];
        assert_eq!(times.map(time), expected);
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[31mb\nc\u{202e}"), "a\\u{1b}[31mb c\\u{202e}");
    }
}
