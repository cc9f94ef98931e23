//! `demo`: a fleet, a balancer in front of it, a first check, and light traffic until CTRL+C.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_blocking;

use crate::args::demo::DemoArgs;
use crate::balancer::Balancer;
use crate::balancer::run::installed;
use crate::check::{self, CheckWatch, CookieUse, Visitor};
use crate::remote::LiveEvent;
use crate::report::{ReportFormat, Style, render};
use crate::stack::{Front, Setup, Stack};
use crate::topology::{Policy, Topology};
use crate::wire::{CheckNews, ClientTimes};

const PORT: u16 = 8080;
/// Requests of the sample of the first check.
const REQUESTS: u64 = 3000;
/// From one request of the light traffic to the next.
const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
/// A check tells five times a second how it goes: one that was silent for that time has ended without a word.
const SILENT: Duration = Duration::from_secs(3);

/// Runs the demo until a signal stops it.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let front = match (&args.with, installed::first()) {
        (Some(with), _) => Front::of(with, None)?,
        (None, Some(balancer)) => Front { balancer, own: None },
        (None, None) => {
            println!(
                "No balancer is installed, so a small built-in one takes its place. To see a real one:\n  \
                 sudo apt-get install nginx\n"
            );
            Front { balancer: Balancer::BUILT_IN, own: None }
        }
    };
    let port = args.listen.or_else(|| std::net::TcpListener::bind(("127.0.0.1", PORT)).is_ok().then_some(PORT));
    // Commands find the demo's fleet by its backends, beside another one.
    let (location, balancing, control) = (args.location, args.balancing, args.control);
    let setup = Setup { location, keeps_names: false, balancing, port, control };
    let mut stack = tokio::select! {
        stack = Stack::start(&front, &setup) => stack?,
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let lost = stack.lost();
    let result = tokio::select! {
        result = show(&mut stack) => result,
        problem = lost => Err(problem.into()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    stack.stop().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// The first check, where to look, and then traffic without end.
async fn show(stack: &mut Stack) -> Result<()> {
    let (count, title) = (stack.topology.backends.len(), stack.front.balancer.title);
    println!("{count} backends behind {title}. A first check:\n");
    let watch = CheckWatch::default();
    let plan = stack.plan(Some(REQUESTS));
    stack.announce().await?;
    let check::RunEnd::Judged(report) = check::run(std::slice::from_ref(&plan), &watch, None).await? else {
        return Ok(());
    };
    let style = Style::of_terminal(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    print!("{}", render(&report, ReportFormat::Text, &style));
    println!("{}", invitation(&stack.topology, &stack.remote.view(), &stack.url, &stack.expectation_words()));
    traffic(stack).await
}

/// Where to look, and what to try.
fn invitation(topology: &Topology, view: &str, url: &str, expectations: &[String]) -> String {
    let backends = &topology.backends;
    let victim = backends.get(1).or(backends.first()).map(|backend| &*backend.name).unwrap_or_default();
    // What the page of a backend calls it.
    let is_port = backends.iter().all(|backend| backend.name == backend.generator.to_string());
    let (page, what) = if is_port { ("Generator", "number") } else { ("Backend", "name") };
    let reloads = match &topology.policy {
        Policy::RoundRobin | Policy::LeastConnections | Policy::LeastTime | Policy::Random | Policy::TwoChoices => {
            "changes".to_owned()
        }
        Policy::Source | Policy::Uri | Policy::Sticky(_) => "stays".to_owned(),
        Policy::Header(name) => format!("depends on the header {name}"),
        Policy::Cookie(name) => format!("depends on the cookie {name}"),
    };
    let expect = if expectations.is_empty() { String::new() } else { format!(" --expect {}", expectations.join(",")) };
    format!(
        "Watch it, break it, take the tour: {view}\n\n\
         Look at {url} and reload: the {what} {reloads}.\n\
         Light traffic goes on, and pauses while a check runs. From another terminal:\n\n  \
         curl -s {url} | grep {page}\n  \
         uuid-generator fleet kill {victim}      then reload; `fleet start {victim}` undoes it\n  \
         uuid-generator fault {victim} latency 200ms\n  uuid-generator check {url}{expect}\n\n\
         CTRL+C ends all of it and removes what it made."
    )
}

/// Light traffic without end, each request a visitor of its own. It pauses while a check of this fleet runs: it would take turns of the
/// balancer that the check then misses. Who looks at the live view may change how the balancer balances.
async fn traffic(stack: &mut Stack) -> Result<()> {
    let mut events = stack.remote.watch().await?;
    let mut every = tokio::time::interval(EVERY);
    let mut report = tokio::time::interval(Duration::from_secs(1));
    let (sender, mut times) = unbounded_channel();
    let mut checking: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = every.tick() => {
                if checking.is_some_and(|heard| heard.elapsed() < SILENT) {
                    continue;
                }
                let (url, sender) = (stack.url.clone(), sender.clone());
                // Whatever comes: somebody may break something just now. One that waits does not hold up the next.
                spawn_blocking(move || {
                    let visited = Visitor::new(&url, PATIENCE, CookieUse::Ignored)?.visit()?;
                    if visited.status > 0 {
                        let _ = sender.send((visited.client.seconds * 1e6) as u32);
                    }
                    anyhow::Ok(())
                });
            }
            _ = report.tick() => {
                let microseconds: Vec<u32> = std::iter::from_fn(|| times.try_recv().ok()).collect();
                // A fleet that does not hear is no reason to stop the traffic.
                let _ = stack.remote.client_times(&ClientTimes { microseconds }).await;
            }
            event = events.next() => match event? {
                Some(LiveEvent::Balance(wanted)) => stack.apply(&wanted).await?,
                Some(LiveEvent::Snapshot(snapshot)) => checking = hear(snapshot.check, checking),
                Some(LiveEvent::Frame(frame)) => checking = hear(frame.check, checking),
                None => events = stack.remote.watch().await?,
            },
        }
    }
}

/// When a check that still runs was heard last.
fn hear(news: Option<CheckNews>, before: Option<Instant>) -> Option<Instant> {
    news.map_or(before, |news| (!news.is_over()).then(Instant::now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::NamedBackends;

    #[test]
    fn the_invitation_calls_backends_and_what_a_reload_shows_by_their_names() {
        let named: NamedBackends = "app1=127.0.0.1:9101,app2=127.0.0.1:9102".parse().unwrap();
        let mut topology = Topology::of_named(named);
        let text = |topology: &Topology| invitation(topology, "http://127.0.0.1:9000/", "http://localhost:8080/", &[]);
        let said = text(&topology);
        for part in ["the name changes.", "grep Backend\n", "fleet kill app2 ", "check http://localhost:8080/\n"] {
            assert!(said.contains(part), "{said}");
        }
        topology.policy = Policy::Source;
        assert!(text(&topology).contains("the name stays."));
    }
}
