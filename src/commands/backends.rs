//! The backends of a fleet, in a table.

use std::fmt::Write;

use crate::wire::{Fault, FleetStatus, MemberState};

/// The state of each backend, for a person.
pub(super) fn table(status: &FleetStatus) -> String {
    let mut table = format!("fleet {} · API {}\n\n", status.pid, status.control);
    let _ = writeln!(table, "BACKEND  STATE     PID      ATTEMPTS  IN FLIGHT  RESTARTS");
    for member in &status.members {
        let pid = member.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let _ = write!(
            table,
            "{:<7}  {:<8}  {pid:<7}  {:>8}  {:>9}  {:>8}",
            member.generator.to_string(),
            member.state,
            member.attempts,
            member.in_flight,
            member.restarts
        );
        if let (MemberState::Gone, Some(end)) = (member.state, &member.last_end) {
            let _ = write!(table, "  {end}");
        }
        if member.lost > 0 {
            let _ = write!(table, "  {} records lost", member.lost);
        }
        if !member.faults.is_empty() {
            let faults: Vec<String> = member.faults.iter().map(Fault::to_string).collect();
            let _ = write!(table, "  {}", faults.join(", "));
        }
        table.push('\n');
    }
    table
}
