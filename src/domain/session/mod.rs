//! What has happened to a request, and what may happen next.

mod decide;
mod event;
mod state;

pub use decide::*;
pub use event::*;
pub use state::*;
