//! A world of its own for a program that may touch nothing of this machine: it sees the machine's files and can change none of them,
//! finds the machine's addresses and reaches no other machine, and every name has an address. It runs as root or as any user, and ends
//! with the process that made it. It knows nothing of balancers or checks.
//!
//! A world is entered in stages, each the same program started anew with words of its own ([`run_stage`] first thing in `main`): the
//! outermost, which stays in the machine's files; the first process within, which builds the world and collects orphans; and the command.

mod error;
mod files;
mod filter;
mod mounts;
pub mod names;
mod netlink;
mod network;
pub mod scout;
mod stage;
mod world;

pub use error::{Error, Forbidden};
pub use files::{FOLDER, empty_folder, lay, lay_folder, make_missing, open_folder};
pub use network::{
    BACKENDS, BACKENDS_NETWORK, BACKENDS_V6, BALANCER, BALANCER_NETWORK, BALANCER_V6, add_address, add_network, bar,
    is_own, reopen, silence, within,
};
pub use stage::{refusal, run_stage};
pub use world::{USUAL, World};
