//! What findings say, as data: the facts of each rule and its description. How they are judged stands in `rules`.

pub mod account;
pub mod algorithm;
pub mod backups;
mod by_number;
pub mod connections;
pub mod copies;
mod description;
pub mod fleets;
pub mod identity;
pub mod limit;
pub mod reach;
pub mod records;
pub mod recovery;
pub mod requests;
pub mod resilience;
pub mod responses;
pub mod rotation;
pub mod shares;
pub mod split;
pub mod stickiness;
pub mod streams;
pub mod tls;
pub mod unit;

pub use description::RuleDescription;
