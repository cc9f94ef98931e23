//! What is done to the fleet while the sample is taken: steps on a time line, as a person types them. `run` carries them out.

pub(crate) mod run;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::wire::{Action, Fault, FaultKind, Moment, Time};
use verdict::rules::Drill;

/// Steps with their times, typed as `kill:9002@2s,start@6s`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scenario {
    /// In the order of their times.
    pub(crate) steps: Vec<ScenarioStep>,
}

/// A step of a scenario, with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ScenarioStep {
    /// Since the sample began.
    pub(crate) at: Duration,
    pub(crate) action: StepAction,
    /// To which backend; None means all to which it applies.
    pub(crate) backend: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum StepAction {
    /// Done to the process of a backend.
    Act(Action),
    /// Misbehaviour inside a backend.
    Fault(Fault),
    /// The end of all misbehaviour.
    Clear,
    /// To the host that it runs on.
    Host(Reach),
    /// A command line for `sh`.
    Command(String),
}

http::named_enum! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum Reach {
        /// Nothing that is sent there is answered.
        Gone => "gone",
        /// The way there is known to end.
        Unreachable => "unreachable",
        /// The host is reached as before.
        Back => "back",
    }

    fn name;
}

type ChangeReach = dyn Fn(&str, Reach) -> Result<(), String> + Send + Sync;

/// Changes how the host of a backend is reached, by its name. Only a rehearsal can: elsewhere hosts are not ours.
#[derive(Clone)]
pub(crate) struct HostControl(Arc<ChangeReach>);

impl HostControl {
    pub(crate) fn new(change: impl Fn(&str, Reach) -> Result<(), String> + Send + Sync + 'static) -> HostControl {
        HostControl(Arc::new(change))
    }

    fn reach(&self, backend: &str, reach: Reach) -> Result<(), String> {
        (self.0)(backend, reach)
    }
}

impl fmt::Debug for HostControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostControl")
    }
}

/// A step that was carried out, or was to be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct StepResult {
    pub(crate) step: ScenarioStep,
    /// When the step began.
    pub(crate) at: Moment,
    /// When the step had ended.
    pub(crate) ended: Moment,
    /// Whether it was carried out: where not, nothing follows from what came after.
    pub(crate) is_done: bool,
    /// Why not, or what a command printed.
    pub(crate) result: Option<String>,
}

impl StepAction {
    /// Whether it may cost requests even behind a good balancer.
    pub(crate) fn is_rough(&self) -> bool {
        match self {
            StepAction::Act(Action::Kill | Action::Pause) | StepAction::Fault(_) => true,
            StepAction::Host(reach) => *reach != Reach::Back,
            StepAction::Act(Action::Resume | Action::Drain | Action::Start | Action::Ready | Action::Unready) => false,
            StepAction::Clear | StepAction::Command(_) => false,
        }
    }

    /// Whether it takes a backend out of service, or puts it back in.
    pub(crate) fn breaks(&self) -> Option<bool> {
        match self {
            StepAction::Act(Action::Kill | Action::Pause | Action::Drain | Action::Unready) | StepAction::Fault(_) => {
                Some(true)
            }
            StepAction::Act(Action::Resume | Action::Start | Action::Ready) | StepAction::Clear => Some(false),
            StepAction::Host(reach) => Some(*reach != Reach::Back),
            StepAction::Command(_) => None,
        }
    }

    /// Whether it starts a new process in place of one that has ended.
    pub(crate) fn starts(&self) -> bool {
        matches!(self, StepAction::Act(Action::Start))
    }
}

impl ScenarioStep {
    /// Whether this one, before the other in the list, has to end before that begins, if both are for one backend: at one time, and where
    /// that starts a process while the one before it may still be ending.
    fn precedes(&self, other: &ScenarioStep) -> bool {
        let is_command = |step: &ScenarioStep| matches!(step.action, StepAction::Command(_));
        let is_alike = self.backend.is_none() || other.backend.is_none() || self.backend == other.backend;
        let ends_process = matches!(self.action, StepAction::Act(Action::Kill | Action::Drain));
        let is_waited_for = self.at == other.at || ends_process && other.action.starts();
        is_waited_for && is_alike && !is_command(self) && !is_command(other)
    }
}

impl fmt::Display for ScenarioStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            StepAction::Act(action) => f.write_str(action.name())?,
            StepAction::Fault(fault) => fault.fmt(f)?,
            StepAction::Clear => f.write_str("clear")?,
            StepAction::Host(reach) => f.write_str(reach.name())?,
            StepAction::Command(command) => return f.write_str(command),
        }
        self.backend.as_ref().map_or(Ok(()), |backend| write!(f, " {backend}"))
    }
}

impl Scenario {
    /// What such a plan asks of a balancer.
    pub(crate) fn drill(&self) -> Drill {
        match (self.steps.is_empty(), self.steps.iter().any(|step| step.action.is_rough())) {
            (true, _) => Drill::None,
            (false, true) => Drill::Rough,
            (false, false) => Drill::Graceful,
        }
    }

    /// Adds a command to the time line.
    pub(crate) fn add_command(&mut self, command: String, at: Duration) {
        self.steps.push(ScenarioStep { at, action: StepAction::Command(command), backend: None });
        self.steps.sort_by_key(|step| step.at);
    }

    /// Replaces words in commands.
    pub(crate) fn place(&mut self, words: &[(&str, &str)]) {
        for step in &mut self.steps {
            if let StepAction::Command(command) = &mut step.action {
                words.iter().for_each(|(word, meaning)| *command = command.replace(word, meaning));
            }
        }
    }

    /// Steps that change how a host is reached.
    pub(crate) fn of_hosts(&self) -> impl Iterator<Item = &ScenarioStep> {
        self.steps.iter().filter(|step| matches!(step.action, StepAction::Host(_)))
    }

    /// When the last thing is done.
    pub(crate) fn end(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |step| step.at)
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let mut steps = Vec::new();
        let mut backend = None;
        for part in text.split(',') {
            let mut step = step(part.trim()).map_err(|why| format!("{part}: {why}"))?;
            // What is done next is done to the same one, unless another is named.
            backend = step.backend.take().or(backend);
            step.backend.clone_from(&backend);
            steps.push(step);
        }
        steps.sort_by_key(|step| step.at);
        Ok(Scenario { steps })
    }
}

fn step(text: &str) -> Result<ScenarioStep, String> {
    let (what, at) = text.rsplit_once('@').ok_or("expected what and when, such as kill:9002@2s")?;
    let at = Time::from_start(at).ok_or("expected a time after @, such as @2s or @500ms")?;
    let whole = action(what);
    if let Ok(action) = whole {
        return Ok(ScenarioStep { at, action, backend: None });
    }
    // The longest beginning that is an action; what follows is a name, in which there may be colons too.
    let places = what.rmatch_indices(':').map(|(place, _)| place);
    let mut named = places.filter_map(|place| Some((action(&what[..place]).ok()?, &what[place + 1..])));
    match named.next() {
        Some((action, name)) if !name.is_empty() => Ok(ScenarioStep { at, action, backend: Some(name.to_owned()) }),
        Some(_) | None => whole.map(|action| ScenarioStep { at, action, backend: None }),
    }
}

/// The words with which an action may begin.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let actions = Action::ALL.map(Action::name).into_iter().chain(Reach::ALL.map(Reach::name));
    actions.chain(FaultKind::ALL.map(FaultKind::name)).chain(["clear"])
}

fn action(text: &str) -> Result<StepAction, String> {
    if text == "clear" {
        return Ok(StepAction::Clear);
    }
    if let Some(action) = Action::ALL.into_iter().find(|action| action.name() == text) {
        return Ok(StepAction::Act(action));
    }
    if let Some(reach) = Reach::ALL.into_iter().find(|reach| reach.name() == text) {
        return Ok(StepAction::Host(reach));
    }
    let actions = Action::ALL.map(Action::name).join(", ");
    let hosts = Reach::ALL.map(Reach::name).join(", ");
    text.parse()
        .map(StepAction::Fault)
        .map_err(|why| format!("expected {actions}, clear, a fault, or in a rehearsal {hosts}; of faults: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, String> {
        let describe = |step: &ScenarioStep| format!("{step} @{:?}", step.at);
        text.parse().map(|scenario: Scenario| scenario.steps.iter().map(describe).collect())
    }

    #[test]
    fn a_start_waits_for_the_end_of_the_process_before_and_nothing_else_of_another_time_waits() {
        let scenario: Scenario = "drain:a@1s,kill:b@1s,kill:a@2s,start:a@3s,resume:a@3s".parse().unwrap();
        let [drain, other, kill, start, resume] = scenario.steps.as_slice() else { panic!("{scenario:?}") };
        assert!(drain.precedes(start) && kill.precedes(start) && start.precedes(resume));
        assert!(!other.precedes(start) && !drain.precedes(kill) && !kill.precedes(resume));
    }

    #[test]
    fn steps_name_what_whom_and_when() {
        let expected = ["kill 9002 @2s".to_owned(), "start 9002 @6s".to_owned()];
        assert_eq!(parsed("kill:9002@2s,start@6s").unwrap(), expected);
        assert_eq!(parsed("start@6s").unwrap(), ["start @6s"]);
        assert_eq!(parsed("clear@3s,status:503:10%:9001@500ms").unwrap(), ["status:503:10% 9001 @500ms", "clear @3s"]);
        assert_eq!(parsed("status:503@1s").unwrap(), ["status:503 @1s"]);
        assert_eq!(
            parsed("gone:[fd00::5]:80@2s,back@3s,unreachable:app1@4s").unwrap(),
            ["gone [fd00::5]:80 @2s", "back [fd00::5]:80 @3s", "unreachable app1 @4s"]
        );
        assert_eq!(
            parsed("kill:[fd00::5]:80@2s,hang:10%:unix:/run/app.sock@3s").unwrap(),
            ["kill [fd00::5]:80 @2s", "hang:10% unix:/run/app.sock @3s",]
        );
        assert_eq!(parsed("latency:200ms±50ms:9003@1s").unwrap(), ["latency:200ms±50ms 9003 @1s"]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in
            [("kill:9002", "when"), ("kill@soon", "time after @"), ("burn:9002@1s", "expected kill"), ("", "when")]
        {
            assert!(parsed(text).unwrap_err().contains(part), "{text}: {:?}", parsed(text));
        }
    }

    #[test]
    fn a_drain_is_graceful_and_a_kill_is_not() {
        let drill = |text: &str| text.parse::<Scenario>().unwrap().drill();
        assert_eq!(drill("drain:9002@1s,start@3s"), Drill::Graceful);
        assert_eq!(drill("kill:9002@1s,start@3s"), Drill::Rough);
        assert_eq!(Scenario::default().drill(), Drill::None);
    }
}
