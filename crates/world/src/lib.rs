//! A world of its own for a program that may touch nothing of this machine: it sees the machine's files and can change none of them,
//! finds the machine's addresses and reaches no other machine, and every name has an address. It runs as root or as any user, and ends
//! with the process that made it. It knows nothing of balancers or checks.
//!
//! A world is entered in stages, each the same program run again with arguments of its own ([`run_stage`] first thing in `main`): the
//! outermost, which stays in the machine's files; the first process within, which builds the world and collects orphans; and the command.

// Everywhere: what a world is made of, its names, who is seen in it.
mod error;
pub mod names;
pub mod scout;
mod world;

// What makes one is Linux's. Elsewhere each of it says that there is none.
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod stage;

#[cfg(not(target_os = "linux"))]
use elsewhere::{self as files, self as network, self as stage};

pub use error::{Error, Forbidden};
pub use files::{FOLDER, empty_folder, lay, lay_folder, make_missing, open_folder};
pub use network::{
    BACKENDS, BACKENDS_NETWORK, BACKENDS_V6, BALANCER, BALANCER_NETWORK, BALANCER_V6, add_address, add_network, bar,
    is_own, reopen, silence, within,
};
pub use stage::{refusal, run_stage};
pub use world::{USUAL, World};
