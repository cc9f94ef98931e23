//! `check`: drive requests through a balancer, join both ends of each, judge, report.

pub mod algorithm;
pub mod fate;
pub mod ledger;
pub mod observation;
pub mod report;
pub mod tally;
pub mod verdict;
