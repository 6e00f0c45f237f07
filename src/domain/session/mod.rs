//! What has happened to a request, and what may happen next.

mod decide;
mod event;
mod state;
mod verdict;

#[cfg(test)]
mod laws;

pub use decide::*;
pub use event::*;
pub use state::*;
pub use verdict::{verdict, verdict_on_rewritten};
