//! The forms: what each of them must show of the same reports, and that nothing hostile gets through.

use crate::report::{Format, Style, example, junit, render};
use verdict::report::Verdict;

const PLAIN: Style = Style { colour: false, width: 110 };

fn form(format: Format, report: &verdict::report::Report) -> String {
    render(report, format, &PLAIN)
}

#[test]
fn the_terminal_shows_a_check_on_one_screen_with_the_verdict_last() {
    let text = form(Format::Text, &example::of(example::passing()));
    assert!(text.lines().count() <= 45, "{text}");
    assert_eq!(text.trim().lines().last(), Some("PASS: all that was required holds"));
    for part in [
        "4,000  delivered",
        "9002",
        "33.33 %",
        "round robin, one cursor",
        "p99.99",
        "2 health probes",
        "1 requests of others",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let text = form(Format::Text, &example::of(example::failing()));
    assert_eq!(text.trim().lines().last(), Some("FAIL: 2 POSTs reached backends more than once"));
    assert!(text.contains("see: RFC 9110 §9.2.2") && text.contains("hint: leave out non_idempotent"));
    let text = form(Format::Text, &example::of(example::broken()));
    assert!(
        text.contains("kill 9002")
            && text.contains("back after 6.75 s")
            && text.contains("12 client errors were allowed for")
    );
}

#[test]
fn colours_say_nothing_that_words_do_not() {
    for report in example::all() {
        let coloured = render(&report, Format::Text, &Style { colour: true, ..PLAIN });
        assert!(coloured.contains("\x1b[1"));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some(start) = rest.find("\x1b[") {
            plain.push_str(&rest[..start]);
            rest = &rest[start + rest[start..].find('m').unwrap() + 1..];
        }
        assert_eq!(plain + rest, form(Format::Text, &report));
    }
}

#[test]
fn several_checks_end_with_all_verdicts() {
    let report = example::all().pop().unwrap();
    let text = form(Format::Text, &report);
    assert_eq!((text.trim().lines().last(), report.verdict), (Some("FAIL"), Verdict::Fail));
    assert!(text.contains("FAIL  posts: 2 POSTs"));
}

#[test]
fn nothing_hostile_steers_a_terminal_a_page_or_a_parser() {
    let report = example::of(example::hostile());
    let text = form(Format::Text, &report);
    assert!(!text.chars().any(|it| it.is_control() && it != '\n') && !text.contains('\u{202e}'), "{text:?}");
    let html = form(Format::Html, &report);
    assert!(!html.contains("<script") && !html.contains('\x1b') && html.contains("&lt;script&gt;"));
    let markdown = form(Format::Markdown, &report);
    assert!(!markdown.contains("<script") && markdown.contains("&lt;script&gt;") && markdown.contains("\\|\\`a\\`"));
    let xml = junit(&report);
    assert!(!xml.contains("<script") && !xml.contains('\x1b') && !xml.contains("]]>\""), "{xml}");
}

/// Tags that open are closed, in order: enough for what is written here.
fn is_well_formed(xml: &str, empty: &[&str]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').ok_or("a tag without its end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        match tag {
            _ if tag.starts_with(['?', '!']) || tag.ends_with('/') || empty.contains(&name) => {}
            _ if tag.starts_with('/') => match open.pop() {
                Some(last) if last == name => {}
                other => return Err(format!("</{name}> closes {other:?}")),
            },
            _ => open.push(name),
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

#[test]
fn junit_is_well_formed_and_counts_what_fails_and_what_is_open() {
    for report in example::all() {
        assert_eq!(is_well_formed(&junit(&report), &[]), Ok(()));
    }
    let xml = junit(&example::of(example::failing()));
    assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"1\""), "{xml}");
    assert!(xml.contains("<failure type=\"repeated\" message=\"2 POSTs reached backends more than once\">"));
    assert!(xml.contains("<error type=\"inconclusive\""));
}

#[test]
fn the_page_is_whole_and_needs_nothing_from_outside() {
    for report in example::all() {
        let html = form(Format::Html, &report);
        let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
        let without_style = html[..style.start].to_owned() + &html[style.end + "</style>".len()..];
        assert_eq!(is_well_formed(&without_style, &["meta", "link", "br"]), Ok(()));
        assert!(!html.contains("http-equiv=\"refresh\"") && !html.contains("src=") && !html.contains("@import"));
        assert!(html.contains("default-src 'none'") && html.contains("<svg") && html.contains("</html>"));
    }
    let html = form(Format::Html, &example::of(example::broken()));
    for part in ["9001", "9002", "9003", "kill 9002", "6.75 s", "p99.99"] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn markdown_has_a_table_row_for_each_fate_share_and_finding() {
    let markdown = form(Format::Markdown, &example::of(example::failing()));
    assert!(markdown.starts_with("## ❌ posts: fail\n"), "{markdown}");
    for row in [
        "| delivered | 3,998 |",
        "| duplicated | 2 |",
        "| 9002 | 1,000 | 33.33 % | 33.33 % |",
        "| ❌ fail | repeated |",
        "| ❔ open | stickiness |",
    ] {
        assert!(markdown.contains(row), "{row} is missing in\n{markdown}");
    }
}
