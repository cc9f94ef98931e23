//! Readers of balancers' files, and of what a running balancer says of its servers: a pure one for each balancer, all with the same
//! `Configuration` as result. `files` and `nginx::files` bring them what is on this machine.

pub(super) mod caddy;
pub(super) mod configuration;
pub(super) mod document;
mod endpoint;
pub(super) mod envoy;
pub(super) mod files;
pub(super) mod haproxy;
mod key_changes;
mod kubernetes;
pub(crate) mod messages;
pub(crate) mod nginx;
pub(crate) mod reported;
mod time;
pub(super) mod traefik;

pub(crate) use configuration::{AtOnce, Configuration, SplitPart, Takes, Upstream, UpstreamMethod, UpstreamServer};
pub(crate) use endpoint::Endpoint;
