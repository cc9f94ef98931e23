//! `send`: a few requests in sequence, and which backend responded to each.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::choice::choice;
use super::print::{in_locale, print};
use crate::args::OutputFormat;
use crate::args::send::SendArgs;
use crate::check::plan::{Backing, CheckPlan, Trust};
use crate::check::{CookieUse, Visited, Visitor};
use crate::config::request;
use crate::error::Problem;
use crate::remote::Remote;
use crate::report::phrases::what_came;
use crate::wrap::columns_of;
use verdict::facts::responses::ObservedProcess;

/// Names in a line, where they are short: turns of two, three and four backends stand below each other.
const ROW: usize = 12;
const GAP: &str = "  ";

/// Sends them. Exit status 1 if one of them got no response of a backend.
pub(super) async fn run(args: SendArgs) -> Result<ExitCode> {
    let url = match args.url {
        Some(url) => url,
        None => balancer_of(&choice(&args.fleet)?.find(&[])?).await?,
    };
    let trust = match (args.insecure, args.ca) {
        (true, _) => Trust::Anyone,
        (false, Some(file)) => Trust::Also(file),
        (false, None) => Trust::Machine,
    };
    let cookies = if args.keep_cookies { CookieUse::Kept } else { CookieUse::Ignored };
    let mut plan = CheckPlan::new(url, Backing::Any);
    plan.target.trust = trust;
    plan.load.timeout = args.timeout.0;
    plan.request = request::without_body(&args.method, &args.header)?;
    let mut visitor = Visitor::of(&plan, cookies)?;
    let visits: Vec<Visited> = (0..args.requests).map(|_| visitor.visit()).collect::<Result<_>>()?;
    let processes = visitor.into_processes();
    let text = match args.format {
        OutputFormat::Json => format!("{}\n", object(&visits, &processes)),
        OutputFormat::Text => in_locale(table(&visits, &processes)),
    };
    print(text.as_bytes())?;
    let all = visits.iter().all(|visit| visit.backend.is_some());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As whoever keeps the balancer has said it to the fleet.
async fn balancer_of(fleet: &Remote) -> Result<String> {
    let front = fleet.front().await?.ok_or_else(|| {
        Problem::new(format!("the fleet at {} knows no balancer in front of it", fleet.control()))
            .hint("give the URL of the balancer, such as http://localhost:8080/uuid")
    })?;
    Ok(front.url)
}

fn object(visits: &[Visited], processes: &[(String, ObservedProcess)]) -> serde_json::Value {
    let each = visits
        .iter()
        .map(|visit| json!({ "backend": visit.backend, "status": visit.status, "seen": what_came(&visit.client) }));
    let processes = processes.iter().map(|(backend, process)| {
        json!({ "backend": backend, "instance": process.instance.to_string(), "answers": process.responses })
    });
    json!({
        "version": 1,
        "requests": visits.len(),
        "answers": each.collect::<Vec<_>>(),
        "processes": processes.collect::<Vec<_>>(),
    })
}

/// Backends in the order of their responses, then each kind of response with its count.
fn table(visits: &[Visited], processes: &[(String, ObservedProcess)]) -> String {
    let mut text = String::new();
    if visits.iter().any(|visit| visit.backend.is_some()) {
        let names: Vec<&str> = visits.iter().map(|visit| visit.backend.as_deref().unwrap_or("-")).collect();
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let fit = (columns_of(std::io::stdout()) + GAP.len()) / (longest + GAP.len());
        for row in names.chunks(fit.clamp(1, ROW)) {
            text += &format!("{}\n", row.join(GAP));
        }
        text.push('\n');
    }
    let mut backends: BTreeMap<&str, usize> = BTreeMap::new();
    // What no backend responded to is counted by what came instead, whatever time each took.
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for visit in visits {
        match &visit.backend {
            Some(backend) => *backends.entry(backend).or_default() += 1,
            None => *others.entry(kind(visit)).or_default() += 1,
        }
    }
    if !backends.is_empty() {
        let counted = backends.iter().map(|(name, count)| format!("{count} × {name}{}", shared(name, processes)));
        text += &format!("{}\n", counted.collect::<Vec<_>>().join(" · "));
    }
    others.iter().for_each(|(kind, count)| text += &format!("{count} × {kind}\n"));
    let refused: BTreeSet<&String> = visits.iter().flat_map(|visit| &visit.refused_cookies).collect();
    refused.iter().for_each(|why| text += &format!("cookie not sent back: {why}\n"));
    text
}

/// Which processes gave that name, where it is not one's alone: those of several fleets, or one that was started again.
fn shared(name: &str, processes: &[(String, ObservedProcess)]) -> String {
    let alike = processes.iter().filter(|(named, _)| named == name);
    let counts: Vec<String> = alike.map(|(_, process)| process.responses.to_string()).collect();
    if counts.len() < 2 { String::new() } else { format!(" ({} processes: {})", counts.len(), counts.join(", ")) }
}

fn kind(visit: &Visited) -> String {
    let kind = what_came(&visit.client);
    visit.location.iter().fold(kind, |kind, location| format!("{kind}, Location: {location}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict::finding::ClientWitness;
    use verdict::observation::{Backend, ClientOutcome};
    use verdict::{Instance, Moment};

    fn visit(backend: Option<&str>, outcome: ClientOutcome, status: Option<u16>, seconds: f64) -> Visited {
        let backend = backend.map(str::to_owned);
        let location = (status == Some(301)).then(|| "http://localhost:8080/uuid/".to_owned());
        let client = ClientWitness { outcome, status, backend: backend.clone(), seconds, reused: false, flaw: None };
        Visited {
            backend,
            status: status.unwrap_or_default(),
            client,
            location,
            refused_cookies: Vec::new(),
            head: String::new(),
        }
    }

    #[test]
    fn what_is_alike_is_counted_in_one_line_whatever_time_it_took() {
        let moved = [0.001, 0.002, 0.3].map(|seconds| visit(None, ClientOutcome::Response, Some(301), seconds));
        let text = table(&moved, &[]);
        assert!(text.starts_with("3 × 301") && text.contains("8080/uuid/") && text.lines().count() == 1, "{text}");
        let tls = [0.001, 0.002].map(|seconds| visit(None, ClientOutcome::TlsFailed, None, seconds));
        assert!(table(&tls, &[]).starts_with("2 × "), "{}", table(&tls, &[]));
    }

    #[test]
    fn backends_are_shown_in_their_order_and_counted() {
        let answered = |name| visit(Some(name), ClientOutcome::Response, Some(200), 0.001);
        let refused = visit(None, ClientOutcome::Refused, None, 0.0);
        let text = table(&[answered("9001"), answered("9002"), refused, answered("9001")], &[]);
        assert!(text.starts_with("9001  9002  -  9001\n\n2 × 9001 · 1 × 9002\n1 × "), "{text}");
        let process = |instance, responses| {
            let (backend, first) = (Backend(0), Moment::default());
            let process = ObservedProcess { instance: Instance(instance), backend, responses, first, last: first };
            ("9001".to_owned(), process)
        };
        let visits = [answered("9001"), answered("9001"), answered("9001"), answered("9002")];
        let text = table(&visits, &[process(7, 2), process(3, 1)]);
        assert!(text.ends_with("3 × 9001 (2 processes: 2, 1) · 1 × 9002\n"), "{text}");
        let long: Vec<Visited> = (0..40).map(|_| answered("payments-7d9b5c6f48-x2x4z")).collect();
        assert!(table(&long, &[]).lines().all(|line| line.chars().count() <= 80), "{}", table(&long, &[]));
    }
}
