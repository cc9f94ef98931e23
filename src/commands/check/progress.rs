//! How far a check is, on standard error, for those who wait.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::check::CheckWatch;
use crate::commands::print::in_locale;
use crate::report::Detail;
use crate::wrap::columns;
use verdict::numbers::grouped;

/// The line of progress, which is shown until this is dropped.
pub(super) struct ProgressLine {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// One line that is overwritten.
    Terminal,
    /// A line now and then, for logs.
    Lines,
    /// A line for each phase, and now and then.
    Phases,
}

const LOOK: Duration = Duration::from_millis(100);
const FIRST_LINE: Duration = Duration::from_secs(1);
const LINES: Duration = Duration::from_secs(5);

impl ProgressLine {
    pub(super) fn show(watch: Arc<CheckWatch>, detail: Detail) -> ProgressLine {
        let overwrites = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let form = match (detail, overwrites) {
            (Detail::Quiet, _) => return ProgressLine { over: Arc::default(), thread: None },
            (Detail::Verbose, _) => Form::Phases,
            (Detail::Usual, true) => Form::Terminal,
            (Detail::Usual, false) => Form::Lines,
        };
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::thread::spawn(move || follow(&watch, form, &ended));
        ProgressLine { over, thread: Some(thread) }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn follow(watch: &CheckWatch, form: Form, over: &AtomicBool) {
    let begin = Instant::now();
    let mut next = FIRST_LINE;
    let mut phase = "";
    while !over.load(Ordering::Relaxed) {
        let now = begin.elapsed();
        let state = ProgressState::of(watch);
        match form {
            Form::Terminal => write(&format!("\r\x1b[K{}", in_locale(state.bar(columns())))),
            Form::Lines | Form::Phases => {
                let enters = form == Form::Phases && state.phase != phase;
                if enters || now >= next {
                    write(&in_locale(format!("{:>3} s · {}\n", now.as_secs(), state.line())));
                }
                while now >= next {
                    next += LINES;
                }
                phase = state.phase;
            }
        }
        std::thread::park_timeout(LOOK);
    }
    if form == Form::Terminal {
        write("\r\x1b[K");
    }
}

/// Nobody may read it: that ends no check.
fn write(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// What progress shows at one moment.
struct ProgressState {
    phase: &'static str,
    sent: u64,
    /// 0 if it is not known.
    total: u64,
    errors: u64,
}

impl ProgressState {
    fn of(watch: &CheckWatch) -> ProgressState {
        ProgressState {
            phase: watch.phase.lock().map_or("", |phase| *phase),
            sent: watch.progress.sent(),
            total: watch.total.load(Ordering::Relaxed),
            errors: watch.progress.errors(),
        }
    }

    fn errors(&self) -> String {
        if self.errors > 0 { format!(" · {} errors", grouped(self.errors)) } else { String::new() }
    }

    fn line(&self) -> String {
        let phase = if self.phase.is_empty() { "starting" } else { self.phase };
        match (self.sent, self.total) {
            (0, _) => phase.to_owned(),
            (sent, 0) => format!("{phase} · {} requests{}", grouped(sent), self.errors()),
            (sent, total) => format!("{phase} · {} of {} requests{}", grouped(sent), grouped(total), self.errors()),
        }
    }

    /// Of a terminal with that many columns: a line that wraps could not be overwritten.
    fn bar(&self, columns: usize) -> String {
        const MOST: usize = 30;
        const LEAST: usize = 5;
        let room = columns.saturating_sub(1);
        let fitting = |text: &str| text.chars().take(room).collect::<String>();
        if self.sent == 0 || self.total == 0 {
            return fitting(&self.line());
        }
        let figures = format!("{} of {}{}", grouped(self.sent), grouped(self.total), self.errors());
        let width = room.saturating_sub(self.phase.chars().count() + figures.chars().count() + 2).min(MOST);
        if width < LEAST {
            return fitting(&format!("{} {figures}", self.phase));
        }
        let done = (self.sent * width as u64 / self.total).min(width as u64) as usize;
        let bar = format!("{}{}", "█".repeat(done), "░".repeat(width - done));
        format!("{} {bar} {figures}", self.phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_phase_and_how_far_it_is() {
        let state = |sent, total, errors| ProgressState { phase: "taking the sample", sent, total, errors };
        assert_eq!(state(0, 500, 0).line(), "taking the sample");
        assert_eq!(state(1240, 0, 0).line(), "taking the sample · 1,240 requests");
        assert_eq!(state(1240, 5000, 3).line(), "taking the sample · 1,240 of 5,000 requests · 3 errors");
        assert!(state(2500, 5000, 0).bar(80).contains(&"█".repeat(15)));
        assert!(state(9000, 5000, 0).bar(80).contains(&"█".repeat(30)));
        for columns in 1..120 {
            for state in [state(0, 500, 0), state(1240, 0, 12), state(15_760, 42_479, 1234)] {
                assert!(state.bar(columns).chars().count() < columns.max(2), "{columns}: {}", state.bar(columns));
            }
        }
    }
}
