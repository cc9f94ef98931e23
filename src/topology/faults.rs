//! Faults that backends have from their start, as they are typed: `latency:100ms`, `close:10%:9002,status:503:1%`.

use std::fmt;
use std::str::FromStr;

use crate::wire::{BadCertificate, Fault};

/// Faults of some backends, or of all.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct StartFaults(Vec<StartFault>);

/// A fault, and the name of its backend; none means all.
#[derive(Clone, PartialEq, Debug)]
struct StartFault {
    fault: Fault,
    backend: Option<String>,
}

impl StartFaults {
    /// Those of that backend, the latest of each kind.
    pub(crate) fn of(&self, name: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let its = self.0.iter().filter(|it| it.backend.as_deref().is_none_or(|backend| backend == name));
        its.for_each(|it| it.fault.add_to(&mut faults));
        faults
    }

    /// Whether one is of a backend by its name.
    pub(crate) fn are_named(&self) -> bool {
        self.0.iter().any(|it| it.backend.is_some())
    }

    /// The first bad certificate of any.
    pub(crate) fn certificate(&self) -> Option<BadCertificate> {
        self.0.iter().find_map(|it| if let Fault::Certificate(bad) = it.fault { bad } else { None })
    }

    /// The first that a backend which speaks HTTP/1 alone cannot have.
    pub(crate) fn of_http2(&self) -> Option<Fault> {
        self.0.iter().map(|it| it.fault).find(|fault| fault.needs_http2())
    }

    /// The first backend that none of these is.
    pub(crate) fn unknown(&self, names: &[&str]) -> Option<&str> {
        self.0.iter().filter_map(|it| it.backend.as_deref()).find(|backend| !names.contains(backend))
    }
}

impl FromStr for StartFaults {
    type Err = String;

    fn from_str(text: &str) -> Result<StartFaults, String> {
        let all: Vec<StartFault> = text.split(',').map(|part| one(part.trim())).collect::<Result<_, _>>()?;
        for (place, it) in all.iter().enumerate() {
            let is_same = |other: &&StartFault| other.fault.kind() == it.fault.kind() && other.backend == it.backend;
            if let Some(first) = all[..place].iter().find(is_same) {
                return Err(format!("{} and {}: a backend has one fault of each kind", first.fault, it.fault));
            }
        }
        Ok(StartFaults(all))
    }
}

fn one(text: &str) -> Result<StartFault, String> {
    let why = match text.parse() {
        Ok(fault) => return Ok(StartFault { fault, backend: None }),
        Err(why) => why,
    };
    let named = text.rsplit_once(':').filter(|(_, name)| !name.is_empty() && !name.ends_with('%'));
    let fault = named.and_then(|(fault, name)| Some((fault.parse().ok()?, name)));
    fault
        .map(|(fault, name)| StartFault { fault, backend: Some(name.to_owned()) })
        .ok_or_else(|| format!("{text}: {why}; a backend's name may follow, such as latency:100ms:9002"))
}

/// The form that can be parsed again.
impl fmt::Display for StartFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, it) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { "," };
            write!(f, "{between}{}", it.fault)?;
            it.backend.iter().try_for_each(|backend| write!(f, ":{backend}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_of_all_backends_or_of_the_one_that_is_named() {
        let faults: StartFaults = "latency:100ms, status:503:10%:9002,hang:app-1".parse().unwrap();
        let words = |name: &str| faults.of(name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(words("9001"), ["latency:100ms"]);
        assert_eq!(words("9002"), ["latency:100ms", "status:503:10%"]);
        assert_eq!(words("app-1"), ["latency:100ms", "hang"]);
        assert_eq!(faults.unknown(&["9001", "9002"]), Some("app-1"));
        assert!(faults.are_named());
        assert!(!"latency:100ms".parse::<StartFaults>().unwrap().are_named());
        assert_eq!(faults.to_string().parse(), Ok(faults));
    }

    #[test]
    fn a_backend_has_one_fault_of_each_kind() {
        let why = |text: &str| text.parse::<StartFaults>().err();
        assert_eq!(
            why("latency:100ms,latency:200ms").as_deref(),
            Some("latency:100ms and latency:200ms: a backend has one fault of each kind")
        );
        assert!(why("hang:9001,hang:5%:9001").is_some());
        for fine in ["latency:100ms,latency:200ms:9002", "hang:9001,hang:9002", "hang,reset"] {
            assert_eq!(why(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_is_no_fault_says_what_was_expected() {
        for text in ["", "slow", "latency", "status:99:9002", "close:10%:"] {
            let why = text.parse::<StartFaults>().unwrap_err();
            assert!(why.contains("such as latency:100ms:9002"), "{text}: {why}");
        }
    }
}
