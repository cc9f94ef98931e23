//! PURE. What the ledger means: one rule, one file; each gives findings.

pub mod statistics;
