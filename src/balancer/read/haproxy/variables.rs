//! Variables of a `haproxy.cfg`, which are those of the environment unless the file sets them.

use std::collections::BTreeMap;

/// A variable of the environment, by its name.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Variables as the file sets and unsets them, over those of the environment.
pub(super) struct Variables<'e> {
    set: BTreeMap<String, Option<String>>,
    environment: Environment<'e>,
}

impl<'e> Variables<'e> {
    pub(super) fn new(environment: Environment<'e>) -> Variables<'e> {
        Variables { set: BTreeMap::new(), environment }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.set.get(name).cloned().unwrap_or_else(|| (self.environment)(name))
    }

    /// What a line of `global` says of them.
    pub(super) fn note(&mut self, words: &[String]) {
        match words {
            [set, name, value] if set == "setenv" => drop(self.set.insert(name.clone(), Some(value.clone()))),
            [set, name, value] if set == "presetenv" && self.get(name).is_none() => {
                self.set.insert(name.clone(), Some(value.clone()));
            }
            [unset, names @ ..] if unset == "unsetenv" => {
                self.set.extend(names.iter().map(|name| (name.clone(), None)));
            }
            _ => {}
        }
    }
}
