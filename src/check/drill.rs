//! PURE. What is done to the fleet while the sample is taken: steps on a time line, as a person types them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::wire::{Action, Fault, Generator, Time};
use verdict::rules::Drill;

/// `kill:9002@2s,start@6s`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// By time.
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Since the sample began.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// To which backend; None means all to which it applies.
    pub backend: Option<Generator>,
}

/// What is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// To a process.
    Act(Action),
    /// Misbehaviour inside a backend.
    Fault(Fault),
    /// The end of all misbehaviour.
    Clear,
    /// A command line for `sh`.
    Command(String),
}

impl Deed {
    /// Whether it may cost requests even behind a good balancer.
    fn is_rough(&self) -> bool {
        match self {
            Deed::Act(Action::Kill | Action::Pause) | Deed::Fault(_) => true,
            Deed::Act(Action::Resume | Action::Drain | Action::Start | Action::Ready | Action::Unready) => false,
            Deed::Clear | Deed::Command(_) => false,
        }
    }

    /// Whether it takes a backend out of service, or puts it back in.
    pub fn breaks(&self) -> Option<bool> {
        match self {
            Deed::Act(Action::Kill | Action::Pause | Action::Drain | Action::Unready) | Deed::Fault(_) => Some(true),
            Deed::Act(Action::Resume | Action::Start | Action::Ready) | Deed::Clear => Some(false),
            Deed::Command(_) => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Deed::Act(action) => f.write_str(action.name())?,
            Deed::Fault(fault) => fault.fmt(f)?,
            Deed::Clear => f.write_str("clear")?,
            Deed::Command(command) => return f.write_str(command),
        }
        self.backend.map_or(Ok(()), |backend| write!(f, " {backend}"))
    }
}

impl Plan {
    /// What such a plan asks of a balancer.
    pub fn drill(&self) -> Drill {
        match (self.steps.is_empty(), self.steps.iter().any(|step| step.deed.is_rough())) {
            (true, _) => Drill::None,
            (false, true) => Drill::Rough,
            (false, false) => Drill::Graceful,
        }
    }

    /// Adds a command to the time line.
    pub fn add_command(&mut self, command: String, at: Duration) {
        self.steps.push(Step { at, deed: Deed::Command(command), backend: None });
        self.steps.sort_by_key(|step| step.at);
    }

    /// Replaces words in commands.
    pub fn place(&mut self, words: &[(&str, &str)]) {
        for step in &mut self.steps {
            if let Deed::Command(command) = &mut step.deed {
                words.iter().for_each(|(word, meaning)| *command = command.replace(word, meaning));
            }
        }
    }

    /// When the last thing is done.
    pub fn end(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |step| step.at)
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Plan, String> {
        let mut steps = Vec::new();
        let mut backend = None;
        for part in text.split(',') {
            let mut step = step(part.trim()).map_err(|why| format!("{part}: {why}"))?;
            // What is done next is done to the same one, unless another is named.
            backend = step.backend.or(backend);
            step.backend = backend;
            steps.push(step);
        }
        steps.sort_by_key(|step| step.at);
        Ok(Plan { steps })
    }
}

fn step(text: &str) -> Result<Step, String> {
    let (what, at) = text.rsplit_once('@').ok_or("expected what and when, such as kill:9002@2s")?;
    let Time(at) = at.parse().map_err(|_| "expected a time after @, such as @2s or @500ms".to_owned())?;
    let whole = deed(what);
    if let Ok(deed) = whole {
        return Ok(Step { at, deed, backend: None });
    }
    let last = what.rsplit_once(':').and_then(|(what, port)| Some((what, port.parse().ok()?)));
    match last {
        Some((what, port)) => Ok(Step { at, deed: deed(what)?, backend: Some(Generator(port)) }),
        None => whole.map(|deed| Step { at, deed, backend: None }),
    }
}

fn deed(text: &str) -> Result<Deed, String> {
    if text == "clear" {
        return Ok(Deed::Clear);
    }
    if let Some(action) = Action::ALL.into_iter().find(|action| action.name() == text) {
        return Ok(Deed::Act(action));
    }
    let actions = Action::ALL.map(Action::name).join(", ");
    text.parse().map(Deed::Fault).map_err(|why| format!("expected {actions}, clear, or a fault; of faults: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Vec<String>, String> {
        let told = |step: &Step| format!("{step} @{:?}", step.at);
        text.parse().map(|plan: Plan| plan.steps.iter().map(told).collect())
    }

    #[test]
    fn steps_name_what_whom_and_when() {
        let expected = ["kill 9002 @2s".to_owned(), "start 9002 @6s".to_owned()];
        assert_eq!(plan("kill:9002@2s,start@6s").unwrap(), expected);
        assert_eq!(plan("start@6s").unwrap(), ["start @6s"]);
        assert_eq!(plan("clear@3s,status:503:10%:9001@500ms").unwrap(), ["status:503:10% 9001 @500ms", "clear @3s"]);
        assert_eq!(plan("status:503@1s").unwrap(), ["status:503 @1s"]);
        assert_eq!(plan("latency:200ms±50ms:9003@1s").unwrap(), ["latency:200ms±50ms 9003 @1s"]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in
            [("kill:9002", "when"), ("kill@soon", "time after @"), ("burn:9002@1s", "expected kill"), ("", "when")]
        {
            assert!(plan(text).unwrap_err().contains(part), "{text}: {:?}", plan(text));
        }
    }

    #[test]
    fn a_drain_is_graceful_and_a_kill_is_not() {
        let drill = |text: &str| text.parse::<Plan>().unwrap().drill();
        assert_eq!(drill("drain:9002@1s,start@3s"), Drill::Graceful);
        assert_eq!(drill("kill:9002@1s,start@3s"), Drill::Rough);
        assert_eq!(Plan::default().drill(), Drill::None);
    }
}
