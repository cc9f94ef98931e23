//! The backends of a fleet, in a table.

use std::fmt::Write;

use crate::wire::{BackendState, Fault, FleetStatus};

/// The state of each backend, for a person.
pub(super) fn table(status: &FleetStatus) -> String {
    let mut table = format!("fleet {} · API {}\n\n", status.pid, status.control);
    let width = status.backends.iter().map(|backend| backend.name.len()).max().unwrap_or_default().max("BACKEND".len());
    let _ = writeln!(table, "{:<width$}  STATE     PID      ATTEMPTS  IN FLIGHT  RESTARTS", "BACKEND");
    for backend in &status.backends {
        let pid = backend.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let _ = write!(
            table,
            "{:<width$}  {:<8}  {pid:<7}  {:>8}  {:>9}  {:>8}",
            backend.name, backend.state, backend.attempts, backend.in_flight, backend.restarts
        );
        if let (BackendState::Gone, Some(end)) = (backend.state, &backend.last_end) {
            let _ = write!(table, "  {end}");
        }
        if backend.lost > 0 {
            let _ = write!(table, "  {} records lost", backend.lost);
        }
        if !backend.faults.is_empty() {
            let faults: Vec<String> = backend.faults.iter().map(Fault::to_string).collect();
            let _ = write!(table, "  {}", faults.join(", "));
        }
        table.push('\n');
    }
    table
}
