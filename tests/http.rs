//! The product from outside: the built binary, spoken to over HTTP. Every answer is held against `/openapi.json`.

mod api_clients;
mod approvals;
mod azure_cli;
mod commands;
mod document;
pub(crate) mod held_answers;
mod identity;
mod lifecycle;
mod outcomes;
pub(crate) mod proxy;
mod refusals;
mod rewriting;
mod sessions;
mod ssh;

use crate::support::{
    gateway::{Caller, Gateway, shared, word},
    http,
};
