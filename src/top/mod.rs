//! The live view in a terminal: the same events, the same actions, by keys.

mod model;
mod screen;

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

use crate::error::Problem;
use crate::remote::{LiveEvent, Remote};
use crate::wire::Action;
use model::{Model, SelectionStep};

/// How long ends of backends and starts of new ones are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that one key sends.
const REQUESTS: u32 = 30;

/// Shows a fleet until `q`, CTRL+C or its end.
pub(crate) async fn run(remote: Remote) -> Result<()> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Problem::new("top needs a terminal").hint("for programs there is fleet status --format json"))?;
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(Problem::new("top needs a terminal that it can draw on, and TERM is dumb")
            .hint("fleet status shows the same once"))?;
    }
    let mut events = remote.watch().await?;
    let Some(LiveEvent::Snapshot(snapshot)) = events.next().await? else { bail!("the fleet has just ended") };
    let mut model = Model::new(snapshot);
    let keys = keys();
    let (said, hear) = unbounded_channel();
    let mut terminal = ratatui::try_init().context("failed to take over the terminal")?;
    let ended = watch(&remote, &mut terminal, &mut model, &mut events, keys, (said, hear)).await;
    ratatui::restore();
    if ended? {
        Ok(())
    } else {
        println!("The fleet has ended.");
        Ok(())
    }
}

/// Whether it was the person who ended it.
async fn watch(
    remote: &Remote,
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    events: &mut crate::remote::Events,
    mut keys: UnboundedReceiver<Event>,
    (said, mut hear): (UnboundedSender<String>, UnboundedReceiver<String>),
) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        terminal.draw(|frame| screen::draw_in_locale(frame, model))?;
        tokio::select! {
            event = events.next() => match event? {
                Some(LiveEvent::Frame(frame)) => model.frame(frame),
                Some(LiveEvent::Snapshot(snapshot)) => *model = Model::new(snapshot),
                Some(LiveEvent::Balance(_)) => {}
                // Too slow, or the fleet has ended.
                None => match remote.watch().await {
                    Ok(again) => *events = again,
                    Err(_) => return Ok(false),
                },
            },
            Some(what) = hear.recv() => model.message = what,
            Some(event) = keys.recv() => if let Event::Key(key) = event && key.kind != KeyEventKind::Release {
                match interpret(key, model) {
                    KeyAction::Nothing => {}
                    KeyAction::End => return Ok(true),
                    KeyAction::Select(step) => model.select(step),
                    KeyAction::Command(command) => obey(remote.clone(), command, said.clone(), model),
                }
            },
            _ = terminate.recv() => return Ok(true),
        }
    }
}

/// What a key does.
#[derive(Clone, PartialEq, Eq, Debug)]
enum KeyAction {
    Nothing,
    End,
    Select(SelectionStep),
    Command(ViewCommand),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum ViewCommand {
    Act(Action, String),
    Fault(&'static str, String),
    Clear(Option<String>),
    Send,
    Check,
}

fn interpret(key: KeyEvent, model: &Model) -> KeyAction {
    let backend = model.selected();
    let act = |action| KeyAction::Command(ViewCommand::Act(action, backend.clone()));
    let fault = |fault| KeyAction::Command(ViewCommand::Fault(fault, backend.clone()));
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => KeyAction::End,
        KeyCode::Char('q') | KeyCode::Esc => KeyAction::End,
        KeyCode::Down | KeyCode::Char('j') => KeyAction::Select(SelectionStep::Next),
        KeyCode::Up => KeyAction::Select(SelectionStep::Previous),
        KeyCode::Char('k') => act(Action::Kill),
        KeyCode::Char('p') => act(Action::Pause),
        KeyCode::Char('r') => act(Action::Resume),
        KeyCode::Char('d') => act(Action::Drain),
        KeyCode::Char('s') => act(Action::Start),
        KeyCode::Char('l') => fault("latency:200ms"),
        KeyCode::Char('e') => fault("status:503:50%"),
        KeyCode::Char('x') => fault("reset:50%"),
        KeyCode::Char('u') => fault("unhealthy"),
        KeyCode::Char('c') => KeyAction::Command(ViewCommand::Clear(Some(backend))),
        KeyCode::Char('C') => KeyAction::Command(ViewCommand::Clear(None)),
        KeyCode::Char('n') => KeyAction::Command(ViewCommand::Send),
        KeyCode::Char('t') => KeyAction::Command(ViewCommand::Check),
        _ => KeyAction::Nothing,
    }
}

/// Does it meanwhile, and says how it went.
fn obey(remote: Remote, command: ViewCommand, said: UnboundedSender<String>, model: &mut Model) {
    let name = match &command {
        ViewCommand::Act(action, backend) => format!("{} {backend}", action.name()),
        ViewCommand::Fault(fault, backend) => format!("{fault} at {backend}"),
        ViewCommand::Clear(Some(backend)) => format!("clear {backend}"),
        ViewCommand::Clear(None) => "clear all faults".to_owned(),
        ViewCommand::Send => format!("{REQUESTS} requests"),
        ViewCommand::Check => "a check".to_owned(),
    };
    model.message = format!("{name} …");
    spawn_local(async move {
        let result = match command {
            ViewCommand::Act(action, backend) => remote.act(action, &[backend], PATIENCE).await.map(|_| ()),
            ViewCommand::Fault(fault, backend) => match fault.parse() {
                Ok(fault) => remote.fault(&[fault], &[backend]).await.map(|_| ()),
                Err(_) => Ok(()),
            },
            ViewCommand::Clear(backend) => remote.clear(backend.as_slice()).await.map(|_| ()),
            ViewCommand::Send => remote.send(REQUESTS, PATIENCE).await,
            ViewCommand::Check => remote.check().await,
        };
        let _ = said.send(match result {
            Ok(()) => format!("{name}: done"),
            Err(error) => format!("{name}: {error:#}"),
        });
    });
}

/// Keys as they are typed. The thread waits for them until the program ends.
fn keys() -> UnboundedReceiver<Event> {
    let (typed, keys) = unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if typed.send(event).is_err() {
                return;
            }
        }
    });
    keys
}
