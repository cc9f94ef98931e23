//! What all documents have in common: names, labels, the namespace.

use std::fmt;

use crate::balancer::containers::FleetToken;
use crate::balancer::lines::Lines;
use crate::balancer::options::Options;
use crate::topology::Topology;

/// Where the API of each pod listens.
pub(super) const CONTROL: u16 = 9000;
/// Resolves to all pods.
pub(super) const HEADLESS: &str = "uuid-headless";
/// The Secret with the token of all APIs, where no other is named.
const SECRET: &str = "uuid-token";

/// What all documents have in common.
#[derive(Clone, Copy)]
pub(super) struct Cluster<'a> {
    pub(super) options: &'a Options,
    pub(super) topology: &'a Topology,
    pub(super) port: u16,
}

/// What a document is of, as its labels say.
#[derive(Clone, Copy)]
pub(super) enum Component<'a> {
    /// The fleet as a whole.
    Fleet,
    /// The one with this name, where each has a Deployment of its own.
    Backend(&'a str),
    Check,
}

impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = match self {
            Component::Fleet | Component::Backend(_) => "backend",
            Component::Check => "check",
        };
        write!(
            f,
            "app.kubernetes.io/name: uuid-generator, app.kubernetes.io/instance: uuid, app.kubernetes.io/component: {component}"
        )?;
        match self {
            Component::Backend(name) => write!(f, ", backend: \"{name}\""),
            Component::Fleet | Component::Check => Ok(()),
        }
    }
}

impl Cluster<'_> {
    /// Writes the lines with which a document begins.
    pub(super) fn document(self, text: &mut Lines, api: &str, kind: &str, name: &str, component: Component<'_>) {
        text.add(0, "---")
            .add(0, format!("apiVersion: {api}"))
            .add(0, format!("kind: {kind}"))
            .add(0, "metadata:")
            .add(2, format!("name: {name}"));
        let namespace = self.options.containers.namespace.as_ref();
        text.maybe(2, namespace.map(|namespace| format!("namespace: {namespace}")));
        text.add(2, format!("labels: {{ {component} }}"));
    }

    /// The Secret that has the token.
    pub(super) fn secret(self) -> String {
        match &self.options.containers.token {
            Some(FleetToken::Secret(name)) => name.to_string(),
            Some(FleetToken::New(_)) | None => SECRET.to_owned(),
        }
    }
    pub(super) fn replicas(self) -> usize {
        self.options.containers.replicas.map_or(self.topology.backends.len(), |count| usize::from(count.get()))
    }

    pub(super) fn is_weighted(self) -> bool {
        self.topology.is_weighted()
    }
}
