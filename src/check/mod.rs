//! `check`: drive requests through a balancer, join both ends of each, judge, report.

pub mod observation;
pub mod report;
pub mod traffic;
