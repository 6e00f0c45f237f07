//! The product from outside: the built binary, spoken to over HTTP. Every answer is held against `/openapi.json`.

mod api_clients;
mod approvals;
mod commands;
mod document;
mod identity;
mod lifecycle;
mod outcomes;
mod proxy;
mod refusals;
mod rewriting;
mod sessions;
mod ssh;

use crate::support::{
    gateway::{Caller, Gateway, shared, word},
    http,
};
