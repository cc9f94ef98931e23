//! Sentences on lines of a terminal's width.

/// Appends a text after `first`; further lines are indented as far.
pub(crate) fn wrapped(first: &str, text: &str, width: usize) -> String {
    let trimmed = text.trim_start();
    let mut out = format!("{first}{}", &text[..text.len() - trimmed.len()]);
    let indent = out.chars().count();
    let mut column = indent;
    for word in trimmed.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

/// Of the terminal that standard error is, as it is now: it may have been made narrower.
pub(crate) fn columns() -> usize {
    columns_of(std::io::stderr())
}

/// The columns of the terminal behind a stream; 80 if it is none.
pub(crate) fn columns_of(stream: impl rustix::fd::AsFd) -> usize {
    rustix::termios::tcgetwinsize(stream).map_or(80, |size| usize::from(size.ws_col).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_keep_their_indent() {
        assert_eq!(wrapped("  a: ", "one two three", 12), "  a: one two\n     three\n");
        assert_eq!(wrapped("", "a-word-that-is-too-long for it", 6), "a-word-that-is-too-long\nfor it\n");
    }
}
