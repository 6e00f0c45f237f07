//! A server's catalog as a judgement uses it.

use super::{super::server::ServerCatalog, Dialect};

/// A catalog, with what its definitions do remembered once it has been judged. Immutable: a newer snapshot is a new one.
#[derive(Debug)]
pub struct JudgedCatalog {
    dialect: Dialect,
    catalog: ServerCatalog,
}

impl JudgedCatalog {
    /// `catalog` as a server of `dialect` tells it. Nothing is judged before a statement needs it.
    pub fn new(dialect: Dialect, catalog: ServerCatalog) -> Self {
        Self { dialect, catalog }
    }

    /// Whose grammar its definitions are in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What the server told.
    pub fn catalog(&self) -> &ServerCatalog {
        &self.catalog
    }
}
