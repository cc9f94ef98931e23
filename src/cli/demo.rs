//! `uuid-generator demo`: a fleet, a balancer in front of it, a first check, and light traffic until CTRL+C.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::args::demo::DemoArgs;
use crate::balancer::installed;
use crate::check::plan::{Backing, Plan, Trust};
use crate::check::{self, Visitor, Watch};
use crate::cli::stage::{Front, Stage, Wish, expectations, front};
use crate::remote::LiveEvent;
use crate::report::{Format, Style, render};
use crate::topology::Algorithm;

const PORT: u16 = 8080;
const REQUESTS: u64 = 3000;
/// Of the light traffic.
const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until it is stopped.
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let front = match (&args.with, installed::first()) {
        (Some(with), _) => front(with, None)?,
        (None, Some(balancer)) => Front::Real(balancer),
        (None, None) => {
            println!(
                "No balancer is installed, so a small one that is built in stands in for it. To see a real one:\n  \
                 sudo apt-get install nginx\n"
            );
            Front::BuiltIn
        }
    };
    let port = args.listen.or_else(|| std::net::TcpListener::bind(("127.0.0.1", PORT)).is_ok().then_some(PORT));
    let wish = Wish { location: args.location.clone(), balancing: args.balancing.clone(), port, control: args.control };
    let stage = tokio::select! {
        stage = Stage::set(&front, &wish) => stage?,
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let mut stage = stage;
    let shown = show(&mut stage, &front);
    let result = tokio::select! {
        result = shown => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    stage.strike().await;
    result.map(|()| ExitCode::SUCCESS)
}

/// The first check, where to look, and then traffic without end.
async fn show(stage: &mut Stage, front: &Front) -> Result<()> {
    let name = match front {
        Front::Real(balancer) | Front::Own(balancer, _) => balancer.title,
        Front::BuiltIn => "the built-in balancer",
    };
    println!("{} backends behind {name}. A first check:\n", stage.topology.members.len());
    let watch = Watch::default();
    let plan = plan_of(stage, Some(REQUESTS));
    stage.tell_what_stands().await?;
    let check::Run::Judged(report) = check::run(std::slice::from_ref(&plan), &watch).await? else { return Ok(()) };
    let style = Style::of_terminal(std::io::IsTerminal::is_terminal(&std::io::stdout()));
    print!("{}", render(&report, Format::Text, &style));
    let ports: Vec<String> = stage.topology.generators().map(|generator| generator.to_string()).collect();
    let victim = ports.get(1).or(ports.first()).cloned().unwrap_or_default();
    println!(
        "Watch it, break it, take the tour: {}\n\n\
         Look at {} and reload: the number changes. Light traffic goes on. From another terminal:\n\n  \
         curl -s {} | grep Generator\n  uuid-generator fleet kill {victim}      then reload; `fleet start {victim}` brings it back\n  \
         uuid-generator fault {victim} latency 200ms\n  uuid-generator check {}\n\nCTRL+C ends all of it and removes what it made.",
        stage.remote.view(),
        stage.url,
        stage.url,
        stage.url
    );
    traffic(stage).await
}

/// Light traffic without end, each request a visitor of its own. A wish of somebody who looks changes the balancer.
async fn traffic(stage: &mut Stage) -> Result<()> {
    let mut events = stage.remote.watch().await?;
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {
                let url = stage.url.clone();
                // Whatever comes: somebody may break something just now. One that waits does not hold up the next.
                spawn_blocking(move || Visitor::new(&url, &Trust::Machine, PATIENCE, false)?.visit());
            }
            event = events.next() => match event? {
                Some(LiveEvent::Wish(wish)) => stage.fulfil(&wish).await?,
                Some(LiveEvent::Snapshot(_) | LiveEvent::Frame(_)) => {}
                None => events = stage.remote.watch().await?,
            },
        }
    }
}

/// A check of what stands on the stage, against what the balancer was told.
pub(crate) fn plan_of(stage: &Stage, requests: Option<u64>) -> Plan {
    let (key_headers, key_cookies) = match &stage.topology.algorithm {
        Algorithm::Header(name) => (vec![name.to_string()], Vec::new()),
        Algorithm::Cookie(name) => (Vec::new(), vec![name.to_string()]),
        _ => Default::default(),
    };
    Plan {
        requests,
        expectations: expectations(&stage.topology, &stage.front),
        key_headers,
        key_cookies,
        ..Plan::new(stage.url.clone(), Backing::Fleet(Some(stage.supervisor)))
    }
}
