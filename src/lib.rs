//! Portcullis: the gate between AI agents and production.
//!
//! A request comes in at a door, becomes a principal and an operation, and goes through the one pipeline: judged, decided,
//! recorded, run with the least credential, masked, recorded, disclosed.
//!
//! ```text
//! main -> cli -> app -> {api, mcp} -> door -> gateway -> domain
//!                app -> {auth, catalog, store, bus, targets} -> gateway::ports -> domain
//! ```
//!
//! Nothing points back out; `tests/architecture.rs` reads it from the `use` lines.
//!
//! | room | owns | refuses to know |
//! |---|---|---|
//! | [`domain`] | what is true: facts, rules, states, masking, the chain; pure | I/O, time, randomness |
//! | [`gateway`] | the pipeline, and the four ports it needs | protocols, drivers, clouds |
//! | [`auth`] | a bearer token becomes a principal, or a reason why not | policy's rules |
//! | [`catalog`] | the policy in force, its secrets resolved, replaced while running | what a policy means |
//! | [`store`] | append after an expected head, durably; search | policy, targets |
//! | [`bus`] | telling approvers, and hearing from them | the store |
//! | [`targets`] | run one permitted operation, stream back what comes | deciding, hiding |
//! | [`door`] | what every door does in the same way | any one protocol |
//! | [`api`] | routes, bodies, problem+json, the OpenAPI document | drivers |
//! | [`mcp`] | the Model Context Protocol: tools, tasks, where to get a token | drivers |
//! | [`cli`] | arguments in, exit codes out | everything a room already does |
//! | [`identity`] | who this process is to Azure: its access tokens | what they are for |
//! | [`vault`] | keys that stay in Azure Key Vault, and its secrets | what they are for |
//! | [`app`] | names each port and its implementation together | nothing else does |

pub mod api;
pub mod app;
pub mod auth;
pub mod bus;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod domain;
pub mod door;
pub mod gateway;
pub mod identity;
pub mod mcp;
pub mod store;
pub mod targets;
pub mod telemetry;
pub mod vault;
