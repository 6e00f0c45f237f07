//! What has happened to a request, and what may happen next.

mod decide;
mod event;
mod state;

#[cfg(test)]
mod laws;

pub use decide::*;
pub use event::*;
pub use state::*;
