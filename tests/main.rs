//! Tests of the whole program, a module a theme.

#![allow(unreachable_pub, reason = "in a test binary nothing is reachable from outside")]

mod api;
mod architecture;
mod axe;
mod backend_tls;
mod check;
mod check_inputs;
mod check_nginx;
mod config;
mod configuration;
mod containers;
mod control;
mod faults;
mod fleet;
mod fleets;
mod grpc;
mod hosts;
mod http;
mod http2;
mod killed;
mod kubernetes;
mod ledger;
mod live;
mod names;
mod nginx;
mod packaging;
mod page;
mod parquet;
mod planted;
mod portable;
mod private;
mod proxy_protocol;
mod readme;
mod rehearse;
mod rehearse_kinds;
mod soak;
mod sockets;
mod stack;
mod start;
mod stream_clients;
mod streams;
mod support;
mod tls;
mod token;
mod words;
