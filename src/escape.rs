//! Text for people: what others wrote, such as what came from the network or what a balancer prints, made harmless; and our own signs where
//! a locale has none.

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

/// Makes text of several lines harmless. Tabs stay.
pub(crate) fn harmless_lines(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('\t').map(harmless).collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Of a log whose writer colours it whoever reads: without the sequences of terminals that do (SGR).
pub(crate) fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_digit() || it == ';');
        plain + rest.strip_prefix('m').unwrap_or(part)
    })
}

/// A page as text: each of its tags ends a line.
pub(crate) fn without_markup(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut is_tag = false;
    for character in page.chars() {
        match character {
            '<' => is_tag = true,
            '>' => {
                is_tag = false;
                text.push('\n');
            }
            _ if is_tag => {}
            plain => text.push(plain),
        }
    }
    text
}

/// Controls, and what Unicode has to steer (bidirectional formatting, tags) or to show nothing (zero width, fillers).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether the user's locale is one of ASCII alone: `LC_ALL=C`. One that is not set says nothing, as in most containers.
pub(crate) fn is_ascii_locale() -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        (!value.is_empty()).then_some(value)
    });
    named.is_some_and(|locale| locale == "C" || locale == "POSIX")
}

/// With our own signs in ASCII. Text of others stays.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '█' | '▇' | '▆' | '▅' => out.push('#'),
            '▄' | '▃' | '▂' | '▁' => out.push(':'),
            '┃' | '│' => out.push('|'),
            '░' | '·' => out.push('.'),
            '●' => out.push('*'),
            '✕' | '×' => out.push('x'),
            '‖' => out.push('='),
            '–' => out.push('-'),
            '↑' => out.push('^'),
            '↓' => out.push('v'),
            'µ' => out.push('u'),
            '…' => out.push_str("..."),
            '→' => out.push_str("->"),
            '≥' => out.push_str(">="),
            '±' => out.push_str("+-"),
            '§' => out.push_str("section "),
            'χ' => out.push_str("chi"),
            '²' => out.push('2'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[31mb\nc\u{202e}"), "a\\u{1b}[31mb c\\u{202e}");
        assert_eq!(without_colours("\x1b[90m12:00\x1b[0m \x1b[1;31mERR\x1b[0m no\nsuch"), "12:00 ERR no\nsuch");
        assert_eq!(harmless("\u{2066}\u{200f}\u{9b}é語"), "\\u{2066}\\u{200f}\\u{9b}é語");
    }

    #[test]
    fn our_own_signs_have_a_spelling_in_ascii() {
        assert_eq!(ascii("██┃·· ≥ 5 µs → a · b…"), "##|.. >= 5 us -> a . b...");
        assert_eq!(ascii("naïve"), "naïve");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(harmless_lines("a\r\n\tb\x07\n"), "a\n\tb\\u{7}");
    }
}
