//! The backends of a fleet, in a table.

use std::fmt::Write;
use std::io::IsTerminal;

use crate::wire::{BackendState, BackendStatus, Fault, FleetStatus};
use crate::wrap::{columns_of, wrapped};

/// The state of each backend, for a person. What more there is to say of one stands after its columns, or below it where a line of the
/// terminal is too short.
pub(super) fn table(status: &FleetStatus) -> String {
    let output = std::io::stdout();
    table_of(status, if output.is_terminal() { columns_of(output) } else { usize::MAX })
}

fn table_of(status: &FleetStatus, columns: usize) -> String {
    let mut table = format!("fleet {} · API {}\n\n", status.pid, status.control);
    let width = status.backends.iter().map(|backend| backend.name.len()).max().unwrap_or_default().max("BACKEND".len());
    let head = format!("{:<width$}  STATE     PID      ATTEMPTS  IN FLIGHT  RESTARTS", "BACKEND");
    let fits = |notes: &String| head.len() + 2 + notes.chars().count() <= columns;
    let notes: Vec<String> = status.backends.iter().map(notes).collect();
    let is_headed = notes.iter().any(|notes| !notes.is_empty() && fits(notes));
    let _ = writeln!(table, "{head}{}", if is_headed { "  NOTES" } else { "" });
    for (backend, notes) in status.backends.iter().zip(notes) {
        let pid = backend.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let _ = write!(
            table,
            "{:<width$}  {:<8}  {pid:<7}  {:>8}  {:>9}  {:>8}",
            backend.name, backend.state, backend.attempts, backend.in_flight, backend.restarts
        );
        table += &match notes {
            none if none.is_empty() => "\n".to_owned(),
            short if fits(&short) => format!("  {short}\n"),
            long => format!("\n{}", wrapped("    ", &long, columns)),
        };
    }
    table
}

/// How it ended, what is unknown of it, its faults.
fn notes(backend: &BackendStatus) -> String {
    let end = backend.last_end.as_ref().filter(|_| backend.state == BackendState::Gone);
    let lost = Some(backend.lost).filter(|lost| *lost > 0).map(|lost| format!("{lost} records lost"));
    let faults = backend.faults.iter().map(Fault::to_string);
    end.map(ToString::to_string).into_iter().chain(lost).chain(faults).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sample::{backend, fleet};

    #[test]
    fn what_does_not_fit_behind_a_backend_stands_below_it() {
        let mut killed = backend(9002);
        (killed.state, killed.last_end) = (BackendState::Gone, Some("signal 9, SIGKILL".to_owned()));
        killed.faults = vec!["latency:200ms".parse().unwrap()];
        let status = fleet(vec![backend(9001), killed]);
        let wide = table_of(&status, 120);
        assert!(
            wide.contains("RESTARTS  NOTES\n") && wide.ends_with("         0  signal 9, SIGKILL, latency:200ms\n"),
            "{wide}"
        );
        let narrow = table_of(&status, 60);
        assert!(narrow.ends_with("         0\n    signal 9, SIGKILL, latency:200ms\n"), "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 60), "{narrow}");
    }
}
