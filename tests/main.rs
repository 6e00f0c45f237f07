//! Everything that looks at the product from outside, in one binary, so that the servers it needs start once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail a test as tests may"
)]

mod architecture;
mod auth;
mod classify;
mod cli;
mod dependencies;
mod entra;
mod exfiltration;
mod guarded_mariadb;
mod guarded_mssql;
mod guarded_postgres;
mod host;
mod http;
mod key_vault;
mod kill;
mod live_catalog;
mod masking;
mod mcp;
mod messages;
mod policy;
mod promises;
mod pseudonyms;
mod record;
mod shared_record;
mod simulation;
mod store;
mod support;
mod targets;
mod telemetry;
