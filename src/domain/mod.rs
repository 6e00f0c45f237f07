//! The pure core: what a request is, how dangerous it is, what policy says of it, what has happened to it, and what
//! of its result may be seen.
//!
//! INVARIANT: nothing in here is async, reads a clock, draws randomness or does I/O. Ids and time come in as
//! arguments, so every rule can be tested as a function and simulated without a machine.

pub mod approval;
pub mod classify;
pub mod connection;
pub mod id;
pub mod masking;
pub mod operation;
pub mod policy;
pub mod principal;
pub mod record;
pub mod rewrite;
pub mod session;
pub mod trace;
