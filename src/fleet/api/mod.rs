//! The supervisor's API and the page that uses it, in a thread of their own: what clients of it do cannot hold up the reading of
//! journals. It turns HTTP into commands to the supervisor's loop and knows nothing itself.
//!
//! | | |
//! |---|---|
//! | `GET /v1/fleet` | the status of all backends |
//! | `POST /v1/fleet/{action}?backends=9001,9002` | kill, pause, resume, drain, start, ready, unready; without backends all to which it applies. Answers the status once it is done |
//! | `POST /v1/fleet/fault?backends=9001,9002&fault=status:503:10%25` | each `fault` is added, instead of the one of its kind; without backends to all that run. Answers the status once it is in effect |
//! | `POST /v1/fleet/clear?backends=9001,9002` | no faults any more |
//! | `GET /v1/records?since=…&until=…&run=…&from=…&limit=…` | ended attempts and those in flight |
//! | `GET /v1/records/batch?from=…&limit=…` | the same as bytes, without a filter: `wire/batch.rs` |
//! | `GET /v1/live` | server-sent events: `snapshot`, `frame` ten times a second, `balance` |
//! | `PUT /v1/front`, `POST /v1/front/balance` | the balancer in front of the fleet; how somebody wants it to balance |
//! | `POST /v1/front/latency` | how long responses took for a client of the balancer |
//! | `POST /v1/send`, `POST /v1/check`, `PUT /v1/check/news` | requests now; a check; how a check goes |
//! | `GET /metrics` | for Prometheus |
//! | `GET /livez` | whether the supervisor answers; needs no token |
//! | `GET /v1/openapi.json` | all of this, for programs |
//! | `GET /` | the live view |
//!
//! `access` says who may what, `server` bounds what connections may cost.

mod access;
mod answer;
mod backends;
pub(crate) mod command;
mod connection;
pub(crate) mod feed;
mod job;
mod live;
mod page;
mod records;
mod routes;
pub(crate) mod server;
mod state;
