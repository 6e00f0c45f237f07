//! SQLite's statements: what each verb does.

use super::{
    super::Effect,
    lex::Kind,
    parser::{Parser, Walk},
    words,
};

/// Pragmas that only tell when they are given no value.
const TELLS: &[&str] = &[
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "cell_size_check",
    "checkpoint_fullfsync",
    "defer_foreign_keys",
    "encoding",
    "foreign_keys",
    "fullfsync",
    "hard_heap_limit",
    "ignore_check_constraints",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "mmap_size",
    "page_size",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "schema_version",
    "secure_delete",
    "soft_heap_limit",
    "synchronous",
    "temp_store",
    "threads",
    "trusted_schema",
    "user_version",
    "wal_autocheckpoint",
    "writable_schema",
    "analysis_limit",
];

/// Pragmas that only tell, with an argument or without.
const ONLY_TELLS: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "page_count",
    "pragma_list",
    "quick_check",
    "stats",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Pragmas that take a safeguard away from the database file.
const DANGEROUS: &[&str] = &[
    "writable_schema",
    "trusted_schema",
    "query_only",
    "temp_store_directory",
    "data_store_directory",
    "key",
    "rekey",
    "hexkey",
    "hexrekey",
    "activate_extensions",
];

impl Parser<'_> {
    /// Judges one statement of SQLite.
    pub(super) fn sqlite(&mut self) -> Walk {
        self.nested(Self::sqlite_here)
    }

    fn sqlite_here(&mut self) -> Walk {
        if self.ended() {
            return Ok(());
        }
        match self.word(0) {
            "select" | "values" | "with" => {
                self.query()?;
                self.must_be_over()
            }
            "insert" | "replace" | "update" | "delete" => {
                self.change()?;
                self.must_be_over()
            }
            "explain" => self.sqlite_explain(),
            "pragma" => self.pragma(),
            "create" | "drop" | "alter" => self.sqlite_definition(),
            "attach" | "detach" => {
                self.whole(Effect::Admin, "it opens or closes another database file")
            }
            "vacuum" => {
                let into = (0..6).any(|ahead| self.word(ahead) == "into");
                if into {
                    self.whole(Effect::Admin, "VACUUM INTO writes a file")
                } else {
                    self.whole(Effect::Admin, "it is maintenance of the database")
                }
            }
            "reindex" | "analyze" => self.whole(Effect::Admin, "it is maintenance of the database"),
            "begin" | "commit" | "end" | "rollback" | "savepoint" | "release" => self.whole(
                Effect::Write,
                "it opens or ends a transaction, and with it whatever the transaction protects",
            ),
            _ => self.doubt("this is no statement of SQLite that is known here"),
        }
    }

    /// EXPLAIN never runs what it explains, except that some pragmas act as soon as they are prepared.
    fn sqlite_explain(&mut self) -> Walk {
        self.at += 1;
        if self.eat("query") {
            self.eat("plan");
        }
        let before = std::mem::take(&mut self.found);
        let is_pragma = self.word(0) == "pragma";
        self.sqlite()?;
        let explained = std::mem::replace(&mut self.found, before);
        self.found.kind("explain");
        if is_pragma {
            self.found.merge(explained);
        } else {
            self.found.merge(explained.only_planned());
        }
        Ok(())
    }

    fn pragma(&mut self) -> Walk {
        self.found.kind("pragma");
        self.at += 1;
        let Some(name) = self.name() else {
            return self.doubt("PRAGMA without a name");
        };
        let pragma = name.last().to_owned();
        let has_value = !self.ended();
        let harmless = ONLY_TELLS.contains(&pragma.as_str())
            || (!has_value && TELLS.contains(&pragma.as_str()));
        if harmless {
            return Ok(());
        }
        if DANGEROUS.contains(&pragma.as_str()) {
            self.found.effect(Effect::Admin, || {
                format!("PRAGMA {pragma} takes a safeguard away")
            });
        } else {
            self.found.effect(Effect::Write, || {
                format!("PRAGMA {pragma} changes how the database behaves")
            });
        }
        Ok(())
    }

    fn sqlite_definition(&mut self) -> Walk {
        let verb = self.word(0).to_owned();
        self.at += 1;
        while self.eat_any(&["temp", "temporary", "unique", "virtual"]) {}
        let what = self.word(0).to_owned();
        if what.is_empty() {
            return self.doubt("a definition of nothing");
        }
        self.at += 1;
        self.found.kind(&format!("{verb} {what}"));
        let doing = match verb.as_str() {
            "create" => "creates",
            "alter" => "changes",
            _ => "removes",
        };
        self.found.effect(Effect::Schema, || {
            format!("it {doing} {} {what}", words::article(&what))
        });
        if verb == "drop" && what == "table" {
            self.found.unbounded = true;
            self.found.effect(Effect::Destructive, || {
                "it removes a table and what is in it".into()
            });
        }
        if what == "trigger" {
            // Its body is a list of statements of its own; here only its name counts.
            if self.eat("if") {
                self.eat("not");
                self.eat("exists");
            }
            if let Some(name) = self.name() {
                self.found.writes(name.dotted());
            }
            return Ok(());
        }
        self.definition_details(&verb, &what)?;
        if self.kind(0) == Some(Kind::Semicolon) {
            self.at += 1;
        }
        Ok(())
    }
}
