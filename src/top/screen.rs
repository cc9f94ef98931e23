//! What is known of a fleet to what a terminal shows.

use std::collections::BTreeSet;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState, Wrap};

use crate::escape::{ascii, harmless, is_ascii_locale};
use crate::top::model::Model;
use crate::wire::{BackendFigures, BackendState, BackendStatus, LatencyPercentiles, MarkKind, page};
use verdict::numbers::{grouped, time};

/// Below this the table leaves out what it can, and says so.
const NARROW: u16 = 80;
/// From this on it has room for everything.
const WIDE: u16 = 110;
/// Each key with what it does: they stay together at the end of a line.
const KEYS: [&str; 15] = [
    "q quit ·",
    "↑↓ select ·",
    "k kill",
    "p pause",
    "r resume",
    "d drain",
    "s start ·",
    "l slow",
    "e errors",
    "x resets",
    "u unhealthy",
    "c clear",
    "C clear all ·",
    "n send 30",
    "t check",
];

/// Draws all of it, with signs that the locale has.
pub(crate) fn draw_in_locale(frame: &mut Frame, model: &Model) {
    draw(frame, model);
    if is_ascii_locale() {
        for cell in &mut frame.buffer_mut().content {
            let plain: String = ascii(cell.symbol()).chars().take(1).collect();
            cell.set_symbol(&plain);
        }
    }
}

/// Draws the whole screen.
fn draw(frame: &mut Frame, model: &Model) {
    let backends = u16::try_from(model.backends.len()).unwrap_or(u16::MAX).saturating_add(1);
    let most = frame.area().height / 2;
    let width = frame.area().width;
    let message = message(model, width);
    let keys = keys(width);
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(backends.min(most.max(4))),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(2),
        Constraint::Min(2),
        Constraint::Length(lines(&message, width).min(3)),
        Constraint::Length((keys.len() as u16).min(4)),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(head(model, width)), rows[0]);
    table(frame, model, rows[1]);
    strip(frame, model, rows[2]);
    rate(frame, model, rows[3]);
    frame.render_widget(Paragraph::new(check(model)).wrap(Wrap { trim: true }), rows[4]);
    marks(frame, model, rows[5]);
    frame.render_widget(Paragraph::new(message).bold().wrap(Wrap { trim: true }), rows[6]);
    frame.render_widget(Paragraph::new(keys.join("\n")).dim(), rows[7]);
}

/// The keys, on lines of that width.
fn keys(width: u16) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for key in KEYS {
        match lines.last_mut() {
            // Groups of keys are separated by their dot.
            Some(line) if line.chars().count() + 2 + key.chars().count() <= usize::from(width) => {
                line.push_str(if line.ends_with('·') { " " } else { "  " });
                line.push_str(key);
            }
            Some(_) | None => lines.push(key.to_owned()),
        }
    }
    lines
}

/// How many lines a text takes at that width, words kept whole.
fn lines(text: &str, width: u16) -> u16 {
    let width = usize::from(width.max(1));
    let mut column = 0;
    let mut lines = 1;
    for word in text.split(' ').map(|word| word.chars().count()) {
        if column > 0 && column + 1 + word > width {
            lines += 1;
            column = word;
        } else {
            column += word + usize::from(column > 0);
        }
    }
    lines
}

/// What became of the latest key, else what the screen has no room for.
fn message(model: &Model, width: u16) -> String {
    if model.message.is_empty() && width < NARROW {
        format!("not shown at {width} columns: p99, faults; from {NARROW} on they are")
    } else {
        harmless(&model.message)
    }
}

/// The most of it that fits, what a reader can do without left out first.
fn head(model: &Model, width: u16) -> Line<'static> {
    let rate = format!("{} req/s", grouped(model.figures.rate));
    let (balancer, url, algorithm) = match &model.front {
        Some(front) => {
            let name = front.balancer.as_deref().unwrap_or("a balancer");
            let algorithm = front.algorithm.as_ref().map(|algorithm| format!(" · {algorithm}")).unwrap_or_default();
            (harmless(&format!("{name} at ")), harmless(&front.url), harmless(&algorithm))
        }
        None => ("no balancer yet: ".to_owned(), "run uuid-generator check URL".to_owned(), String::new()),
    };
    let choices = [
        ("uuid-generator top", format!(" · {rate} · {balancer}{url}{algorithm}")),
        ("top", format!(" · {rate} · {balancer}{url}{algorithm}")),
        ("top", format!(" · {rate} · {url}{algorithm}")),
        ("top", format!(" · {rate} · {url}")),
    ];
    let fits = |name: &str, text: &str| name.len() + text.chars().count() <= usize::from(width);
    let [.., least] = &choices;
    let (name, text) = choices.iter().find(|(name, text)| fits(name, text)).unwrap_or(least).clone();
    Line::from(vec![name.bold(), text.into()])
}

fn table(frame: &mut Frame, model: &Model, area: Rect) {
    let longest = model.backends.iter().map(|backend| backend.name.len()).max().unwrap_or_default();
    let columns = Columns::of(area.width, longest);
    let rows = model
        .backends
        .iter()
        .zip(&model.figures.backends)
        .enumerate()
        .map(|(place, (backend, figures))| row(place, backend, figures, &columns));
    let widths = columns.only(columns.widths()).map(|width| Constraint::Length(width as u16));
    // The bar of a share stands before its figure.
    let (bar, share) = if columns.bar > 0 { ("share", "") } else { ("", "share") };
    let names = columns.only([
        "backend", "state", bar, share, "expected", "req/s", "conns", "active", "streams", "p50", "p99", "errors",
        "faults",
    ]);
    let names = Row::new(names);
    let table =
        Table::new(rows, widths).header(names.dim()).row_highlight_style(Style::new().reversed()).column_spacing(1);
    let mut state = TableState::new().with_selected(model.selected_place());
    frame.render_stateful_widget(table, area, &mut state);
}

/// Which columns a width has room for.
struct Columns {
    /// Characters of a name; where there are fewer, its middle is left out.
    name: usize,
    /// Characters of the bar of a share; 0: names have its place.
    bar: usize,
    shown: [bool; 13],
}

impl Columns {
    /// The least characters of a name and of a bar that is seen.
    const LEAST: (usize, usize) = (7, 4);

    fn of(width: u16, longest_name: usize) -> Columns {
        let (bar, expected, all) = match width {
            WIDE.. => (16, true, true),
            NARROW.. => (6, false, true),
            _ => (4, false, false),
        };
        let (name, least_bar) = Columns::LEAST;
        let shown = [true, true, true, true, expected, true, expected, true, expected, true, all, true, all];
        let mut columns = Columns { name, bar, shown };
        let taken: usize = columns.only(columns.widths()).map(|width| width + 1).sum::<usize>() - 1;
        let spare = usize::from(width).saturating_sub(taken);
        let missing = longest_name.saturating_sub(name + spare);
        if missing == 0 {
            columns.name = longest_name.max(name);
        } else if bar >= least_bar + missing {
            (columns.name, columns.bar) = (longest_name, bar - missing);
        } else {
            // With the cell of its mark, and the space behind it.
            (columns.name, columns.bar) = (longest_name.min(name + spare + bar + 2), 0);
            columns.shown[2] = false;
        }
        columns
    }

    fn widths(&self) -> [usize; 13] {
        [self.name, 9, self.bar + 1, 6, 8, 6, 6, 6, 7, 8, 8, 6, 8]
    }

    fn only<T>(&self, all: [T; 13]) -> impl Iterator<Item = T> {
        all.into_iter().zip(self.shown).filter(|(_, shown)| *shown).map(|(it, _)| it)
    }
}

fn row(place: usize, backend: &BackendStatus, figures: &BackendFigures, columns: &Columns) -> Row<'static> {
    let state = match backend.state {
        BackendState::Ready => Span::from("● ready"),
        BackendState::Gone => "✕ gone".red(),
        BackendState::Paused => "‖ paused".red(),
        other => Span::from(other.to_string()).yellow(),
    };
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let faults: Vec<String> = backend.faults.iter().map(ToString::to_string).collect();
    let errors = grouped(figures.errors.into());
    let latency = |of: fn(&LatencyPercentiles) -> u64| {
        figures.latency.as_ref().map_or("–".to_owned(), |it| time(of(it) as f64 / 1e6))
    };
    Row::new(columns.only([
        Cell::from(Span::from(shortened(&backend.name, columns.name)).bold()),
        Cell::from(state),
        Cell::from(Span::from(bar(figures, columns.bar)).fg(colour(place))),
        Cell::from(percent(figures.share)),
        Cell::from(percent(figures.expected)),
        Cell::from(figures.rate.to_string()),
        Cell::from(figures.connections.to_string()),
        Cell::from(figures.in_flight.to_string()),
        // Of the requests in flight, streams and WebSockets that are open.
        Cell::from((figures.streams + figures.websockets).to_string()),
        Cell::from(latency(|it| it.p50)),
        Cell::from(latency(|it| it.p99)),
        Cell::from(if figures.errors > 0 { errors.red() } else { errors.into() }),
        Cell::from(faults.join(", ").red()),
    ]))
}

/// A name without its middle, in that many characters: names that are made by machines begin alike and differ at their end.
fn shortened(name: &str, room: usize) -> String {
    let count = name.chars().count();
    if count <= room {
        return name.to_owned();
    }
    let end = room.saturating_sub(1).div_ceil(2);
    let begin = room.saturating_sub(1 + end);
    name.chars().take(begin).chain(['…']).chain(name.chars().skip(count - end)).collect()
}

/// A character of each name: the last, or where these are alike the one, counted from the end, by which most names differ.
fn initials(names: &[&str]) -> Vec<char> {
    let from =
        |end: usize| -> Vec<char> { names.iter().map(|name| name.chars().nth_back(end).unwrap_or(' ')).collect() };
    let kinds = |characters: &[char]| characters.iter().collect::<BTreeSet<_>>().len();
    let longest = names.iter().map(|name| name.len()).max().unwrap_or_default();
    (1..longest).map(from).fold(from(0), |best, other| if kinds(&other) > kinds(&best) { other } else { best })
}

/// Full where the share is, with a line where it is expected to end.
fn bar(figures: &BackendFigures, width: usize) -> String {
    let cells = |share: f64| (share * width as f64).round() as usize;
    let full = cells(figures.share.unwrap_or_default());
    let end = figures.expected.map(cells);
    (0..=width)
        .map(|cell| match (Some(cell) == end, cell < full) {
            (true, _) => '│',
            (false, true) => '█',
            (false, false) => ' ',
        })
        .collect()
}

fn strip(frame: &mut Frame, model: &Model, area: Rect) {
    let block = Block::new().title("order: one cell per request, newest last".dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, height) = (usize::from(inner.width.max(1)), usize::from(inner.height));
    let shown: Vec<u16> = model.strip.iter().copied().collect();
    let shown = &shown[shown.len().saturating_sub(width * height)..];
    let letters = initials(&model.backends.iter().map(|backend| &*backend.name).collect::<Vec<_>>());
    let cell = |place: &u16| {
        let letter = letters.get(usize::from(*place)).copied();
        Span::styled(letter.unwrap_or('?').to_string(), Style::new().fg(Color::Black).bg(colour(usize::from(*place))))
    };
    let lines: Vec<Line> = shown.chunks(width).map(|row| Line::from_iter(row.iter().map(cell))).collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

fn rate(frame: &mut Frame, model: &Model, area: Rect) {
    let width = usize::from(area.width);
    let seconds: Vec<u64> = model.seconds.iter().copied().collect();
    let shown = &seconds[seconds.len().saturating_sub(width)..];
    let most = shown.iter().max().copied().unwrap_or_default();
    let height = height(shown);
    let cut = if height < most { format!(", plot ends at {}", grouped(height)) } else { String::new() };
    let of = if area.width < NARROW { "req/s" } else { "requests per second of all backends" };
    let title = format!("{of}, last {} s, peak {}{cut}", shown.len(), grouped(most));
    let plot = Sparkline::default().block(Block::new().title(title.dim()));
    frame.render_widget(plot.max(height).data(shown), area);
}

/// The value at the top of the plot: a short burst, such as a check, does not dwarf all else.
fn height(seconds: &[u64]) -> u64 {
    let mut busy: Vec<u64> = seconds.iter().copied().filter(|count| *count > 0).collect();
    busy.sort_unstable();
    let most = busy.last().copied().unwrap_or_default();
    busy.get(busy.len() * 3 / 4).map_or(0, |usual| most.min(2 * usual))
}

fn check(model: &Model) -> Line<'static> {
    let Some(check) = &model.check else { return Line::from("no check yet: t starts one".dim()) };
    match (&check.result, &check.error) {
        (_, Some(error)) => Line::from(format!("the check could not run: {}", harmless(error)).red()),
        (Some(result), _) => {
            let outcomes: Vec<String> =
                result.outcomes.iter().map(|(outcome, count)| format!("{} {outcome}", grouped(*count))).collect();
            let verdict = match result.verdict.as_str() {
                _ if is_stale(model) => format!("check (before a change): {}", result.verdict.to_uppercase()).dim(),
                "pass" => "check: PASS".green(),
                "fail" => "check: FAIL".red(),
                _ => "check: INCONCLUSIVE".yellow(),
            };
            let first = result.findings.first().map(|(_, summary, _)| harmless(summary)).unwrap_or_default();
            let algorithm = result.algorithm.clone().unwrap_or_default();
            Line::from(vec![verdict.bold(), format!(" {algorithm} · {} · {first}", outcomes.join(" · ")).into()])
        }
        (None, None) => Line::from(format!(
            "check: {} · {} of {}",
            harmless(&check.phase),
            grouped(check.sent),
            grouped(check.total)
        )),
    }
}

/// Whether backends, faults or the balancer have changed since the latest check ended: then its verdict is one of the past.
fn is_stale(model: &Model) -> bool {
    let since = model.marks.iter().rev().take_while(|mark| mark.kind != MarkKind::Check);
    let is_change = |kind| matches!(kind, MarkKind::Backend | MarkKind::Fault | MarkKind::Front);
    model.marks.iter().any(|mark| mark.kind == MarkKind::Check) && since.into_iter().any(|mark| is_change(mark.kind))
}

fn marks(frame: &mut Frame, model: &Model, area: Rect) {
    let block = Block::new().title("events, newest first".dim());
    let lines = model.marks.iter().rev().take(usize::from(area.height)).map(|mark| {
        let ago = model.at.saturating_sub(mark.at) / 1000;
        let whose = mark.backend.as_ref().map(|backend| format!("{backend} ")).unwrap_or_default();
        let times = if mark.count > 1 { format!("{} × ", mark.count) } else { String::new() };
        let text = Span::from(format!("{whose}{times}{}", harmless(&mark.text)));
        let text = match mark.kind {
            MarkKind::Error | MarkKind::Double | MarkKind::Lost => text.red(),
            _ => text,
        };
        Line::from(vec![format!("{ago:>4} s ago  ").dim(), text])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn colour(place: usize) -> Color {
    let hexadecimal = page::colour(place as u16);
    let part = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap_or_default();
    Color::Rgb(part(0), part(2), part(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::model::SelectionStep;
    use crate::top::model::tests::{frame, model};
    use crate::wire::{CheckNews, CheckResult, TimelineMark};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn shown(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn one_screen_tells_what_each_backend_does() {
        let mut model = model();
        model.frame(frame(111_000, 0));
        model.check = Some(CheckNews {
            result: Some(CheckResult {
                verdict: "fail".to_owned(),
                algorithm: Some("round robin".to_owned()),
                sent: 30,
                outcomes: vec![("delivered".to_owned(), 29), ("lost".to_owned(), 1)],
                client: None,
                findings: vec![("fail".to_owned(), "1 request was lost".to_owned(), None)],
            }),
            ..CheckNews::default()
        });
        model.message = "pause 9002: done".to_owned();
        let screen = shown(&model, 140, 30);
        for part in [
            "4 req/s · NGINX at http://localhost:8080/uuid · round-robin",
            "9001    ● ready",
            "75 %   75 %",
            " ████████████│",
            "2      7      2       41.0 µs  3.00 s",
            "122",
            "check: FAIL round robin · 29 delivered · 1 lost · 1 request was lost",
            "0 s ago  9002 paused",
            "pause 9002: done",
            "k kill",
        ] {
            assert!(screen.contains(part), "{part}\n{screen}");
        }
        let check =
            TimelineMark { kind: MarkKind::Check, text: "the check ends: fail".to_owned(), ..model.marks[0].clone() };
        model.marks.push_front(check);
        assert!(shown(&model, 140, 30).contains("check (before a change): FAIL round robin"));
    }

    #[test]
    fn eighty_columns_show_whole_figures_and_sixty_say_what_is_missing() {
        let mut model = model();
        model.frame(frame(111_000, 0));
        let screen = shown(&model, 80, 24);
        for part in
            ["share", "req/s", "active", "p50", "p99", "errors", "faults", "41.0 µs", "3.00 s", "● ready", "q quit"]
        {
            assert!(screen.contains(part), "{part}\n{screen}");
        }
        model.message =
            "balance: no balancer was started by this fleet, so it cannot be changed: start a demo, or check one of \
            your own with uuid-generator check URL"
                .to_owned();
        assert!(shown(&model, 80, 24).contains("check URL"), "{}", shown(&model, 80, 24));
        for (width, first) in [
            (80, "top · 4 req/s · NGINX at http://localhost:8080/uuid · round-robin"),
            (60, "top · 4 req/s · http://localhost:8080/uuid · round-robin"),
            (46, "top · 4 req/s · http://localhost:8080/uuid"),
        ] {
            assert!(shown(&model, width, 24).contains(first), "{}", shown(&model, width, 24));
        }
        model.message.clear();
        let screen = shown(&model, 120, 24);
        assert!(screen.contains("conns") && screen.contains("streams"), "{screen}");
        let screen = shown(&model, 60, 24);
        for part in ["active", "p50", "errors", "41.0 µs", "not shown at 60 columns: p99, faults", "q quit"] {
            assert!(screen.contains(part), "{part}\n{screen}");
        }
    }

    #[test]
    fn backends_are_told_apart_whose_names_begin_or_end_alike() {
        let mut model = model();
        model.frame(frame(111_000, 0));
        let names = ["uuid-7d9b5c6f48-x2x4z@127.0.0.1:9000", "uuid-7d9b5c6f48-x2x4z@127.0.0.2:9000"];
        model.backends.iter_mut().zip(names).for_each(|(backend, name)| name.clone_into(&mut backend.name));
        for (width, shown_names) in [
            (140, names),
            (120, ["uuid-7d9b5c6f48…@127.0.0.1:9000", "uuid-7d9b5c6f48…@127.0.0.2:9000"]),
            (80, ["uuid-7d….1:9000", "uuid-7d….2:9000"]),
            (60, ["uuid-7…1:9000", "uuid-7…2:9000"]),
        ] {
            let screen = shown(&model, width, 24);
            assert!(shown_names.iter().all(|name| screen.contains(name)), "{width}: {screen}");
            assert!(screen.contains("share"), "{width}: {screen}");
        }
        assert_eq!(initials(&names), ['1', '2']);
        assert_eq!(initials(&["9001", "9002", "9011"]), ['1', '2', '1']);
    }

    #[test]
    fn a_burst_does_not_dwarf_the_plot() {
        let mut seconds = vec![10; 60];
        assert_eq!(height(&seconds), 10);
        seconds[..2].fill(4000);
        assert_eq!(height(&seconds), 20);
        seconds[..30].fill(4000);
        assert_eq!((height(&seconds), height(&[0, 0]), height(&[])), (4000, 0, 0));
    }

    #[test]
    fn small_terminals_and_large_fleets_do_no_harm() {
        let mut model = model();
        for (width, height) in [(1, 1), (20, 5), (80, 24)] {
            shown(&model, width, height);
        }
        model.backends = (0..300).map(|_| model.backends[0].clone()).collect();
        model.figures.backends = vec![BackendFigures::default(); 300];
        (0..299).for_each(|_| model.select(SelectionStep::Next));
        assert!(shown(&model, 120, 30).contains("9001"));
    }
}
