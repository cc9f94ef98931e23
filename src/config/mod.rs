//! What was typed, set and written, and what it means: layers merged once, then values of the domain. It starts nothing.

pub(crate) mod balancing;
pub(crate) mod check;
mod environment;
mod expectations;
mod file;
pub(crate) mod fleet;
mod layer;
mod mistake;
pub(crate) mod nearest;
pub(crate) mod output;
pub(crate) mod rehearse;
pub(crate) mod request;
mod streams;
pub(crate) mod suggest;
pub(crate) mod text;
pub(crate) mod token;

pub(crate) use file::FILE;
pub(crate) use layer::Layer;
