//! What people call backends, by the small ids that records carry.

use std::collections::HashMap;
use std::sync::Arc;

use crate::wire::Generator;

/// The names of a fleet. Clones share them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FleetNames(Arc<HashMap<Generator, String>>);

impl FleetNames {
    /// The name of one; `?` for one that is not of the fleet.
    pub(crate) fn of(&self, id: Generator) -> &str {
        self.0.get(&id).map_or("?", String::as_str)
    }
}

impl FromIterator<(Generator, String)> for FleetNames {
    fn from_iter<T: IntoIterator<Item = (Generator, String)>>(names: T) -> FleetNames {
        FleetNames(Arc::new(names.into_iter().collect()))
    }
}
