//! See and prove what a load balancer does.
//!
//! # Layout
//!
//! In the order of a request's journey, the module boundary being the process boundary:
//!
//! - [`cli`]: what was typed, and what it means
//! - [`fleet`]: the supervisor process, which starts and watches the backends
//! - [`backend`]: each backend process, which answers and records
//! - [`check`]: drives requests through a balancer, joins both ends of each, judges
//! - [`top`]: the live view in a terminal; that in a browser is served by the fleet
//! - [`balancer`]: configuration for the balancer in front of them
//! - below them: [`topology`] (who is in the fleet), [`journal`] (what a backend recorded), [`runfile`] (where a running fleet is),
//!   [`remote`] (how another process speaks to it), [`io`] (how a descriptor waits, and what time it is), [`chunks`] (the framing of a body), `numbers` (as people read them), and [`wire`] (what crosses a process)

pub mod backend;
pub mod balancer;
pub mod check;
pub mod chunks;
pub mod cli;
mod escape;
pub mod fleet;
pub mod io;
pub mod journal;
pub mod remote;
pub mod report;
pub mod runfile;
pub mod top;
pub mod topology;
pub mod wire;
