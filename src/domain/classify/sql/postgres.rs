//! PostgreSQL's statements: what each verb does.

use super::{
    super::Effect,
    lex::Kind,
    parser::{Name, Parser, Place, Walk},
    words,
};

impl Parser<'_> {
    /// Judges one statement of PostgreSQL.
    pub(super) fn postgres(&mut self) -> Walk {
        self.nested(Self::postgres_here)
    }

    fn postgres_here(&mut self) -> Walk {
        if self.ended() {
            return Ok(());
        }
        let verb = self.word(0);
        match verb {
            "select" | "values" | "table" | "with" => {
                self.query()?;
                self.must_be_over()
            }
            "" if self.kind(0) == Some(Kind::Open) && self.opens_query() => {
                self.query()?;
                self.must_be_over()
            }
            "insert" | "update" | "delete" | "merge" => {
                self.change()?;
                self.must_be_over()
            }
            "explain" => self.postgres_explain(),
            "copy" => self.copy(),
            "show" => self.postgres_show(),
            "truncate" => {
                self.found.kind("truncate");
                self.found.unbounded = true;
                self.found
                    .effect(Effect::Destructive, || "TRUNCATE removes every row".into());
                self.at += 1;
                self.eat("table");
                loop {
                    self.eat("only");
                    let Some(name) = self.name() else { break };
                    self.found.writes(name.dotted());
                    if self.operator(0) == "*" {
                        self.at += 1;
                    }
                    if !self.eat_kind(Kind::Comma) {
                        break;
                    }
                }
                Ok(())
            }
            "create" | "alter" | "drop" => self.postgres_definition(),
            "comment" => self.whole(Effect::Schema, "it changes a comment"),
            "security" => self.whole(Effect::Admin, "a security label decides who may do what"),
            "import" => self.whole(Effect::Schema, "it creates foreign tables"),
            "refresh" => {
                self.whole(Effect::Write, "it fills a materialized view again")?;
                self.at = 3;
                self.eat("concurrently");
                if let Some(name) = self.name() {
                    self.found.writes(name.dotted());
                }
                Ok(())
            }
            "grant" | "revoke" => self.whole(Effect::Admin, "it changes who may do what"),
            "reassign" => self.whole(Effect::Admin, "it changes who owns what"),
            "set" | "reset" => self.postgres_set(),
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint"
            | "release" => self.whole(
                Effect::Write,
                "it opens or ends a transaction, and with it whatever the transaction protects",
            ),
            "prepare" if self.word(1) == "transaction" => {
                self.whole(Effect::Write, "it ends a transaction in two phases")
            }
            "prepare" => {
                self.found.kind("prepare");
                self.found.effect(Effect::Write, || {
                    "it keeps a prepared statement in the session".into()
                });
                self.at += 1;
                self.name();
                if self.kind(0) == Some(Kind::Open) {
                    self.skip_parens()?;
                }
                if self.eat("as") {
                    self.postgres()?;
                }
                Ok(())
            }
            "execute" => {
                self.found.unbounded = true;
                self.whole(
                    Effect::Admin,
                    "EXECUTE runs a prepared statement that is not shown here",
                )
            }
            "deallocate" | "discard" | "close" | "fetch" | "move" | "listen" | "unlisten"
            | "notify" => self.whole(Effect::Write, "it changes the state of the session"),
            "declare" => {
                self.found.kind("declare cursor");
                self.found
                    .effect(Effect::Write, || "it opens a cursor in the session".into());
                while !self.ended() && self.word(0) != "for" {
                    self.at += 1;
                }
                self.at += 1;
                if self.ended() {
                    return Ok(());
                }
                self.query()
            }
            "lock" => {
                self.found.kind("lock");
                self.found
                    .effect(Effect::Write, || "it locks tables".into());
                self.at += 1;
                self.eat("table");
                loop {
                    self.eat("only");
                    let Some(name) = self.name() else { break };
                    self.found.writes(name.dotted());
                    if self.operator(0) == "*" {
                        self.at += 1;
                    }
                    if !self.eat_kind(Kind::Comma) {
                        return Ok(());
                    }
                }
                Ok(())
            }
            "do" => {
                self.found.unbounded = true;
                self.whole(
                    Effect::Admin,
                    "DO runs a block of code, which is not judged",
                )
            }
            "call" => {
                self.found.kind("call");
                self.found.unbounded = true;
                self.at += 1;
                let start = self.at;
                if let Some(name) = self.name() {
                    let dotted = name.dotted();
                    self.found.effect_at_planning(
                        Effect::Write,
                        format!("it calls the procedure {dotted}, which could do anything"),
                    );
                    if self.kind(0) == Some(Kind::Open) {
                        self.call(&name, start)?;
                    }
                }
                self.rest()
            }
            "vacuum" | "analyze" | "analyse" | "cluster" | "reindex" | "checkpoint" | "load" => {
                self.whole(Effect::Admin, "it is maintenance of the server")
            }
            "" => self.doubt("no statement begins like this"),
            _ => self.doubt("this is no statement of PostgreSQL that is known here"),
        }
    }

    /// A statement that is judged by its verb alone.
    pub(super) fn whole(&mut self, effect: Effect, why: &str) -> Walk {
        let verb = self.word(0).to_owned();
        self.found.kind(&verb);
        self.found.effect(effect, || why.to_owned());
        Ok(())
    }

    /// Nothing may follow what has been understood.
    pub(super) fn must_be_over(&self) -> Walk {
        if self.ended() {
            Ok(())
        } else {
            self.doubt("something follows that is not understood")
        }
    }

    fn postgres_explain(&mut self) -> Walk {
        self.at += 1;
        let mut runs = false;
        if self.kind(0) == Some(Kind::Open) && !self.opens_query() {
            // The last mention of an option counts; any doubt counts as yes.
            self.at += 1;
            while !self.ended() && self.kind(0) != Some(Kind::Close) {
                let option = match self.kind(0) {
                    Some(Kind::Word | Kind::Quoted) => self.folded(self.at).to_ascii_lowercase(),
                    _ => String::new(),
                };
                self.at += 1;
                if matches!(option.as_str(), "analyze" | "analyse") {
                    let value = match self.kind(0) {
                        Some(Kind::Comma | Kind::Close) | None => "true".to_owned(),
                        _ => {
                            let value = self
                                .source(self.at)
                                .trim_matches(['\'', '"'])
                                .to_ascii_lowercase();
                            self.at += 1;
                            value
                        }
                    };
                    runs = !matches!(value.as_str(), "false" | "off" | "0");
                }
                while !self.ended() && !matches!(self.kind(0), Some(Kind::Comma | Kind::Close)) {
                    self.at += 1;
                }
                self.eat_kind(Kind::Comma);
            }
            self.at += 1;
        } else {
            while let Some(option) = match self.word(0) {
                "analyze" | "analyse" | "verbose" => Some(self.word(0)),
                _ => None,
            } {
                runs |= option != "verbose";
                self.at += 1;
            }
        }
        let before = std::mem::take(&mut self.found);
        self.explained(runs)?;
        let explained = std::mem::replace(&mut self.found, before);
        self.found.kind("explain");
        if runs {
            self.found.kind("explain analyze");
            self.found.merge(explained);
        } else {
            self.found.merge(explained.only_planned());
        }
        Ok(())
    }

    fn explained(&mut self, runs: bool) -> Walk {
        match self.word(0) {
            "execute" if !runs => {
                // The prepared statement was judged when it was prepared; only its arguments are here.
                self.at += 1;
                self.name();
                if self.kind(0) == Some(Kind::Open) {
                    self.parens()?;
                }
                self.as_rest();
                Ok(())
            }
            "create" => {
                self.postgres_definition()?;
                Ok(())
            }
            "select" | "values" | "table" | "with" | "insert" | "update" | "delete" | "merge"
            | "declare" | "execute" | "refresh" => self.postgres(),
            _ if self.kind(0) == Some(Kind::Open) => self.postgres(),
            _ => self.doubt("EXPLAIN of something that cannot be explained"),
        }
    }

    fn as_rest(&mut self) {
        self.at = self.tokens.len();
    }

    fn copy(&mut self) -> Walk {
        self.found.kind("copy");
        self.at += 1;
        self.eat("binary");
        if self.kind(0) == Some(Kind::Open) {
            self.at += 1;
            match self.word(0) {
                "insert" | "update" | "delete" | "merge" => self.change()?,
                _ => self.query()?,
            }
            if !self.eat_kind(Kind::Close) {
                return self.doubt("the query of COPY does not end where it should");
            }
            return self.copy_to(None);
        }
        let Some(name) = self.name() else {
            return self.doubt("COPY without a table");
        };
        if self.kind(0) == Some(Kind::Open) {
            self.skip_parens()?;
        }
        self.copy_to(Some(name))
    }

    fn copy_to(&mut self, table: Option<Name>) -> Walk {
        let into_table = self.word(0) == "from";
        if !into_table && self.word(0) != "to" {
            return self.doubt("COPY without FROM or TO");
        }
        self.at += 1;
        if let Some(table) = table {
            if into_table {
                self.found.writes(table.dotted());
                self.found
                    .effect(Effect::Write, || "COPY FROM adds rows".into());
            } else {
                self.relation(&table);
            }
        }
        match self.word(0) {
            "program" => self.found.effect(Effect::Admin, || {
                "COPY … PROGRAM runs a program on the server".into()
            }),
            "stdin" | "stdout" => {}
            _ => self.found.effect(Effect::Admin, || {
                "COPY reads or writes a file of the server".into()
            }),
        }
        self.at += 1;
        // The options hold no queries; WHERE of COPY FROM may call functions.
        while !self.ended() {
            if self.eat("where") {
                return self.expression(Place::Parens);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn postgres_show(&mut self) -> Walk {
        self.found.kind("show");
        self.at += 1;
        let Some(name) = self.name() else {
            return self.doubt("SHOW without a name");
        };
        if words::setting_is_secret(&name.dotted()) {
            self.found.effect(Effect::Secret, || {
                format!("the setting {} holds a credential", name.dotted())
            });
        }
        self.as_rest();
        Ok(())
    }

    fn postgres_set(&mut self) -> Walk {
        self.found.kind(self.word(0).to_owned().as_str());
        self.at += 1;
        self.eat_any(&["local", "session"]);
        match self.word(0) {
            "role" | "authorization" | "session_authorization" => {
                self.found.effect(Effect::Admin, || {
                    "it changes on whose behalf the session acts".into()
                });
            }
            "session_replication_role" | "row_security" => {
                self.found.effect(Effect::Admin, || {
                    "it switches off rules and triggers, or row security".into()
                });
            }
            _ => self.found.effect(Effect::Write, || {
                "it changes a setting of the session".into()
            }),
        }
        Ok(())
    }

    fn postgres_definition(&mut self) -> Walk {
        let verb = self.word(0).to_owned();
        self.at += 1;
        if self.word(0) == "or" {
            self.at += 2;
        }
        while self.eat_any(&[
            "local",
            "global",
            "temporary",
            "temp",
            "unlogged",
            "recursive",
            "unique",
            "trusted",
            "procedural",
            "constraint",
            "default",
        ]) {}
        let what = match (self.word(0), self.word(1)) {
            (
                first @ ("materialized" | "foreign" | "event" | "text" | "user" | "access"
                | "operator" | "large" | "owned"),
                second,
            ) if matches!(
                second,
                "view"
                    | "table"
                    | "data"
                    | "trigger"
                    | "search"
                    | "mapping"
                    | "method"
                    | "class"
                    | "family"
                    | "object"
                    | "by"
            ) =>
            {
                self.at += 2;
                format!("{first} {second}")
            }
            ("", _) => return self.doubt("a definition of nothing"),
            (first, _) => {
                self.at += 1;
                first.to_owned()
            }
        };
        self.found.kind(&format!("{verb} {what}"));
        let doing = match verb.as_str() {
            "create" => "creates",
            "alter" => "changes",
            _ => "removes",
        };
        let effect = match what.as_str() {
            "role" | "user" | "group" | "user mapping" | "database" | "tablespace" | "server"
            | "subscription" | "extension" | "language" | "event trigger" | "access method"
            | "foreign data" | "system" | "policy" | "privileges" | "owned by" | "publication" => {
                Effect::Admin
            }
            _ => Effect::Schema,
        };
        self.found.effect(effect, || {
            format!("it {doing} {} {what}", words::article(&what))
        });
        if verb == "drop"
            && matches!(
                what.as_str(),
                "table" | "schema" | "database" | "materialized view" | "owned by" | "tablespace"
            )
        {
            self.found.unbounded = true;
            self.found.effect(Effect::Destructive, || {
                format!("it removes a {what} and what is in it")
            });
        }
        self.definition_details(&verb, &what)
    }

    /// The names a definition is about, the query it holds, and what in it is worse than a definition.
    pub(super) fn definition_details(&mut self, verb: &str, what: &str) -> Walk {
        self.eat("concurrently");
        if self.eat("if") {
            self.eat("not");
            self.eat("exists");
        }
        self.eat("concurrently");
        let named = !matches!(
            what,
            "owned by" | "privileges" | "system" | "cast" | "operator class" | "operator family"
        );
        if named && !matches!(self.word(0), "on" | "for") {
            loop {
                self.eat("only");
                let Some(name) = self.name() else { break };
                if !matches!(
                    what,
                    "role" | "user" | "group" | "function" | "procedure" | "routine" | "aggregate"
                ) {
                    self.found.writes(name.dotted());
                }
                if verb != "drop" || !self.eat_kind(Kind::Comma) {
                    break;
                }
            }
        }
        self.only_known_calls = true;
        // What cannot be walked in a definition does not make it less of one.
        let mut back = self.at;
        while !self.ended() {
            match self.word(0) {
                "on" if matches!(what, "index" | "trigger" | "rule" | "policy") => {
                    self.at += 1;
                    self.eat("only");
                    if let Some(name) = self.name()
                        && !matches!(name.last(), "select" | "insert" | "update" | "delete")
                    {
                        self.found.writes(name.dotted());
                    }
                }
                "owner" if self.word(1) == "to" => {
                    self.found
                        .effect(Effect::Admin, || "it changes who owns what".into());
                    self.at += 1;
                }
                "select" | "values" | "with" | "table" | "execute"
                    if matches!(what, "table" | "view" | "materialized view")
                        && verb == "create"
                        && (self.word_before() == "as" || self.word_before() == "data")
                        || (matches!(what, "table" | "view" | "materialized view")
                            && self.word_before() == "as") =>
                {
                    self.only_known_calls = false;
                    let walked = if self.word(0) == "execute" {
                        self.whole(
                            Effect::Admin,
                            "EXECUTE runs a prepared statement that is not shown here",
                        )
                    } else {
                        self.query()
                    };
                    self.only_known_calls = true;
                    walked?;
                }
                _ => {
                    if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted))
                        && self.kind(1) == Some(Kind::Open)
                        && !words::is_never_a_function(self.dialect, self.word(0))
                    {
                        let start = self.at;
                        if let Some(name) = self.name() {
                            self.call(&name, start)?;
                        }
                    } else {
                        self.at += 1;
                    }
                }
            }
            if self.at == back {
                self.at += 1;
            }
            back = self.at;
        }
        self.only_known_calls = false;
        Ok(())
    }
}
