//! What a read credential could do beyond reading, as whoever looks after the server would want to hear it.

use serde::Serialize;

/// One thing a read credential should not be able to do, or one reason it is of no use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Overreach {
    /// What it could do, in one sentence without its full stop.
    pub what: String,
    /// The statements that mend it, to be run by whoever owns the things in question, names quoted as that server wants
    /// them; or, for what no statement mends, what to change in the policy.
    pub mend: String,
}

impl Overreach {
    /// Puts the two together.
    pub(super) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: mend.into(),
        }
    }
}
