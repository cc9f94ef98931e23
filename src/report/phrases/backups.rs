//! The phrase of backups that got requests, or none.

use verdict::facts::backups::{BackupFacts, BackupUse};
use verdict::numbers::{count_of, time};

use super::phrase::{Phrase, listed};

pub(super) fn backups(facts: &BackupFacts) -> Phrase {
    let names = listed(&facts.backups);
    let verb = if facts.backups.len() == 1 { "is a backup" } else { "are backups" };
    if facts.when == Some(BackupUse::Never) {
        let failed = count_of(facts.failures, "request");
        return Phrase::of(format!("{names} {verb} and got none while all others were broken, and {failed} failed"))
            .try_this("does the balancer know the backup, and how does it find out that the others are gone?");
    }
    if facts.requests == 0 {
        return Phrase::of(format!("{names} {verb} and got no requests while another backend was ready"));
    }
    let requests = count_of(facts.requests, "request");
    let when = match facts.when {
        None | Some(BackupUse::Never) => "",
        Some(BackupUse::Before) => " before the outage",
        Some(BackupUse::During) if facts.may_overflow => " while only some of the others were broken",
        Some(BackupUse::During) => " while only some of the others were broken, and one of the rest was idle",
        Some(BackupUse::After) => " after the others had recovered",
        Some(BackupUse::Both) => " before the outage and after the others had recovered",
        Some(BackupUse::AtTheEnd) => " in the last second, when the balancer may not have found the others well again",
    };
    let hint = match facts.when {
        Some(BackupUse::AtTheEnd) => {
            let keeps_away = match facts.keeps_away {
                Some(seconds) => format!(
                    "the balancer keeps away from a failed server for up to {}, by its configuration",
                    time(seconds)
                ),
                None => "--from FILE says how long the balancer keeps away from a failed server, and without it that may be a \
                         minute"
                    .to_owned(),
            };
            format!("a longer --duration shows whether the traffic goes back; {keeps_away}")
        }
        Some(BackupUse::During) => {
            "balancers with priorities may leave one by degrees: Envoy overprovisioning_factor (1.4) sends to the next priority as soon as \
             a third of the first is gone; others use a backup when all are gone"
                .to_owned()
        }
        _ if facts.may_overflow => "check again with -c 1: a backup gets nothing then, unless it is none".to_owned(),
        _ if !facts.avoided.is_empty() => "check again a minute later".to_owned(),
        Some(BackupUse::After) => {
            "find out what keeps the traffic there: sessions, kept connections, or how failed servers are tried again"
                .to_owned()
        }
        _ => "check that it is marked as `backup`, and that the running configuration says so (reload)".to_owned(),
    };
    let phrase = Phrase::of(format!("{names} {verb} and got {requests}{when}")).try_this(hint);
    if facts.without_records {
        return phrase.because(vec!["another backend may have failed them first: only records would tell".to_owned()]);
    }
    let mut excuses = Vec::new();
    if facts.may_overflow {
        excuses.push(
            "all others were at work each time: a limit of theirs (max_conns) leaves the rest to backups".to_owned(),
        );
    }
    if facts.failures > 0 {
        excuses.push(format!("other backends failed {}", count_of(facts.failures, "request")));
    }
    if !facts.avoided.is_empty() {
        let names = listed(&facts.avoided);
        excuses.push(format!("a balancer may keep away from {names} for what was until shortly before"));
    }
    if excuses.is_empty() { phrase } else { phrase.because(excuses) }
}
