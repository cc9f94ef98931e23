//! PURE. Text that others wrote, such as what came from the network or what a balancer prints, where people read it.

/// On one line. Nothing of it steers a terminal, changes the direction of what stands around it, or hides.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push(' '),
            hidden if is_hidden(hidden) => shown.extend(hidden.escape_unicode()),
            plain => shown.push(plain),
        }
    }
    shown
}

/// The same for text of several lines. Tabs stay.
pub(crate) fn harmless_lines(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('\t').map(harmless).collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Controls, and what Unicode has to steer (bidirectional formatting, tags) or to show nothing (zero width, fillers).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[31mb\nc\u{202e}"), "a\\u{1b}[31mb c\\u{202e}");
        assert_eq!(harmless("\u{2066}\u{200f}\u{9b}é語"), "\\u{2066}\\u{200f}\\u{9b}é語");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(harmless_lines("a\r\n\tb\x07\n"), "a\n\tb\\u{7}");
    }
}
