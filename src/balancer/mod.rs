//! The balancer in front of the fleet: what is known of each, writers of its configuration, readers of it, the launcher of a real one, and a small one
//! that is built in.
//!
//! What a balancer does not support is an error that names the nearest thing, never left out in silence.

mod caddy;

mod choice;
mod compose;
mod containers;
mod document;
mod endpoint;
mod envoy;
pub(crate) mod expected;
mod fallback;
pub(crate) mod guard;
mod haproxy;
pub(crate) mod installed;
mod kubernetes;
pub(crate) mod launch;
mod limits;
mod lines;
mod list;
pub(crate) mod nginx;
mod nginx_files;
pub(crate) mod nginx_servers;
mod nginx_tokens;
mod nginx_variables;
mod options;
mod own;
pub(crate) mod path;
mod product;
pub(crate) mod read;
mod read_caddy;
mod read_envoy;
mod read_files;
mod read_haproxy;
mod read_kubernetes;
mod read_traefik;
pub(crate) mod recognise;
pub(crate) mod reported;
mod scratch;
mod topic;
mod traefik;
mod written;

pub(crate) use containers::{Containers, DnsLabel, FleetToken, Image};
pub(crate) use list::Balancer;
pub(crate) use options::{BalancerVersion, For, Listen, Options};
pub(crate) use product::{CertificateStore, Program};
pub(crate) use scratch::Scratch;
pub(crate) use topic::HintTopic;
pub(crate) use written::WrittenConfig;

#[cfg(test)]
mod tests;
