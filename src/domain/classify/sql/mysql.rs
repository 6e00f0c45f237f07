//! The statements of MySQL and MariaDB: what each verb does. Both are judged at once, so a statement that only one of
//! them has is judged as if it ran.

use super::{
    super::Effect,
    lex::{Kind, Token},
    parser::{Parser, Place, Walk},
    words,
};

/// The relation through which statements of sessions are seen, and values that messages about them quote.
const STATEMENTS: &str = "information_schema.processlist";

/// What SHOW shows them by.
const SHOWS_STATEMENTS: [&str; 13] = [
    "processlist",
    "warnings",
    "errors",
    "events",
    "engine",
    "profiles",
    "explain",
    "analyze",
    "slave",
    "slaves",
    "replica",
    "replicas",
    "all",
];

impl Parser<'_> {
    /// Judges one statement of MySQL or MariaDB. `in_routine`: the text began with the definition of a routine, whose
    /// body's statements come here one by one.
    pub(super) fn mysql(&mut self, in_routine: bool) -> Walk {
        self.nested(|parser| parser.mysql_here(in_routine))
    }

    fn mysql_here(&mut self, in_routine: bool) -> Walk {
        if self.ended() {
            return Ok(());
        }
        let verb = self.word(0);
        match verb {
            "select" | "values" | "with" => {
                self.query()?;
                self.must_be_over()
            }
            "table" => {
                self.query()?;
                self.must_be_over()
            }
            "" if self.kind(0) == Some(Kind::Open) && self.opens_query() => {
                self.query()?;
                self.must_be_over()
            }
            "insert" | "replace" | "update" | "delete" => {
                self.change()?;
                self.must_be_over()
            }
            "explain" | "describe" | "desc" | "analyze" => self.mysql_explain(),
            "show" => self.mysql_show(),
            "help" | "checksum" => {
                self.found.kind(verb);
                if verb == "checksum" {
                    self.at += 1;
                    self.eat_any(&["table", "tables"]);
                    while let Some(name) = self.name() {
                        self.relation(&name);
                        if !self.eat_kind(Kind::Comma) {
                            break;
                        }
                    }
                }
                Ok(())
            }
            "truncate" => {
                self.found.kind("truncate");
                self.found.unbounded = true;
                self.found
                    .effect(Effect::Destructive, || "TRUNCATE removes every row".into());
                self.at += 1;
                self.eat("table");
                if let Some(name) = self.name() {
                    self.found.writes(name.dotted());
                }
                Ok(())
            }
            "create" | "alter" | "drop" => self.mysql_definition(),
            "rename" => {
                if self.word(1) == "user" {
                    return self.whole(Effect::Admin, "it renames an account");
                }
                self.whole(Effect::Schema, "it renames tables")?;
                self.at += 1;
                while !self.ended() {
                    if self.kind(0) == Some(Kind::Comma)
                        || matches!(self.word(0), "table" | "tables" | "to" | "if" | "exists")
                    {
                        self.at += 1;
                    } else if let Some(name) = self.name() {
                        self.found.writes(name.dotted());
                    } else {
                        self.at += 1;
                    }
                }
                Ok(())
            }
            "set" => self.mysql_set(),
            "grant" | "revoke" => self.whole(Effect::Admin, "it changes who may do what"),
            "start"
                if matches!(
                    self.word(1),
                    "slave" | "replica" | "group_replication" | "all"
                ) =>
            {
                self.whole(Effect::Admin, "it changes how the server replicates")
            }
            "begin" if self.word(1) == "not" => {
                self.found.unbounded = true;
                self.whole(Effect::Admin, "it runs a block of code")?;
                self.at += 3;
                self.mysql(true)
            }
            "if" | "case" | "loop" | "repeat" | "while" | "for" if !in_routine => {
                self.found.unbounded = true;
                self.whole(Effect::Admin, "it runs a block of code")?;
                self.mysql_control()
            }
            "begin" if !in_routine && (self.tokens.len() == 1 || self.word(1) == "work") => {
                self.mysql_transaction()
            }
            "start" | "commit" | "rollback" | "savepoint" | "release" | "xa" => {
                self.mysql_transaction()
            }
            "lock" | "unlock" => {
                self.found.kind(verb);
                let (effect, why) = if matches!(self.word(1), "instance" | "binlog") {
                    (Effect::Admin, "it locks the server for a backup")
                } else {
                    (Effect::Write, "it locks or unlocks tables")
                };
                self.found.effect(effect, || why.into());
                self.at += 2;
                while let Some(name) = self.name() {
                    if verb == "lock" {
                        self.found.writes(name.dotted());
                    }
                    while !self.ended() && self.kind(0) != Some(Kind::Comma) {
                        self.at += 1;
                    }
                    if !self.eat_kind(Kind::Comma) {
                        break;
                    }
                }
                Ok(())
            }
            "do" => {
                self.found.kind("do");
                self.at += 1;
                self.expression(Place::Parens)?;
                self.must_be_over()
            }
            "call" => {
                self.found.kind("call");
                self.found.unbounded = true;
                self.at += 1;
                let name = self.name().map_or(String::new(), |name| name.dotted());
                self.found.effect(Effect::Write, || {
                    format!("it calls the procedure {name}, which could do anything")
                });
                self.rest()
            }
            "prepare" => {
                self.found.unbounded = true;
                self.whole(
                    Effect::Admin,
                    "PREPARE takes SQL as text, which is not judged",
                )
            }
            "execute" => {
                self.found.unbounded = true;
                self.whole(
                    Effect::Admin,
                    "EXECUTE runs a statement that is not shown here",
                )
            }
            "deallocate" | "handler" | "use" => {
                self.whole(Effect::Write, "it changes the state of the session")
            }
            "load" => {
                self.found.unbounded = false;
                self.whole(Effect::Admin, "LOAD reads a file into tables")?;
                if let Some(table) =
                    (0..self.tokens.len()).find(|ahead| self.word(*ahead) == "table")
                {
                    self.at = table + 1;
                    if let Some(name) = self.name() {
                        self.found.writes(name.dotted());
                    }
                }
                Ok(())
            }
            "import" | "binlog" | "change" | "purge" | "reset" | "stop" | "flush" | "cache"
            | "kill" | "install" | "uninstall" | "shutdown" | "restart" | "clone" | "optimize"
            | "repair" | "check" | "backup" => {
                self.whole(Effect::Admin, "it is administration of the server")
            }
            "signal" | "resignal" => self.whole(Effect::Write, "it raises a condition"),
            "get" => self.whole(Effect::Write, "it sets variables from the last diagnostics"),
            _ if in_routine => self.mysql_control(),
            "" => self.doubt("no statement begins like this"),
            _ => self.doubt("this is no statement of MySQL that is known here"),
        }
    }

    fn mysql_transaction(&mut self) -> Walk {
        self.whole(
            Effect::Write,
            "it opens or ends a transaction, and with it whatever the transaction protects",
        )
    }

    /// What only stands in the body of a routine.
    fn mysql_control(&mut self) -> Walk {
        self.found.kind("routine body");
        self.found
            .effect(Effect::Write, || "it is code of a routine".into());
        while !self.ended() {
            if self.at > 0
                && matches!(
                    self.word_before(),
                    "then" | "else" | "do" | "begin" | "loop" | "repeat" | "for"
                )
                && words::begins_routine_step(self.word(0))
            {
                return self.mysql(true);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn mysql_explain(&mut self) -> Walk {
        let verb = self.word(0);
        if verb == "analyze"
            && (matches!(
                self.word(1),
                "table" | "tables" | "local" | "no_write_to_binlog"
            ))
        {
            return self.whole(Effect::Admin, "it is maintenance of the server");
        }
        self.at += 1;
        let mut runs = verb == "analyze";
        loop {
            match self.word(0) {
                "analyze" => {
                    runs = true;
                    self.at += 1;
                }
                "extended" | "partitions" if !matches!(self.kind(1), None | Some(Kind::Dot)) => {
                    self.at += 1;
                }
                "format" if self.operator(1) == "=" => self.at += 3,
                "into" if self.kind(1) == Some(Kind::Variable) => {
                    self.found.effect(Effect::Write, || {
                        "INTO sets a variable of the session".into()
                    });
                    self.at += 2;
                }
                "for" if matches!(self.word(1), "schema" | "database") => self.at += 3,
                _ => break,
            }
        }
        let before = std::mem::take(&mut self.found);
        match self.word(0) {
            "select" | "insert" | "replace" | "update" | "delete" | "table" | "values" | "with" => {
                self.mysql(false)?;
            }
            "for" if self.word(1) == "connection" => {
                self.found.reads(STATEMENTS.to_owned());
                self.at = self.tokens.len();
            }
            "" if self.kind(0) == Some(Kind::Open) => self.mysql(false)?,
            _ => {
                let Some(name) = self.name() else {
                    return self.doubt("EXPLAIN of something that cannot be explained");
                };
                if self.tokens.len() > self.at + 1 {
                    return self.doubt("EXPLAIN of something that cannot be explained");
                }
                self.relation(&name);
            }
        }
        let explained = std::mem::replace(&mut self.found, before);
        self.found.kind("explain");
        if runs {
            self.found.kind("explain analyze");
            self.found.merge(explained);
        } else {
            // Planning reads tables and folds constants, which may call a stored function.
            self.found.merge(explained.only_planned());
        }
        Ok(())
    }

    fn mysql_show(&mut self) -> Walk {
        self.found.kind("show");
        self.at += 1;
        if self.word(0) == "grants" && self.word(1) == "for" {
            self.found.effect(Effect::Secret, || {
                "SHOW GRANTS FOR shows the password hash of another account, in MariaDB".into()
            });
        }
        if (0..2).any(|ahead| SHOWS_STATEMENTS.contains(&self.word(ahead))) {
            self.found.reads(STATEMENTS.to_owned());
        }
        if self.word(0) == "create" && self.word(1) == "user" {
            self.found.effect(Effect::Secret, || {
                "SHOW CREATE USER shows how an account authenticates".into()
            });
        }
        while !self.ended() {
            match self.word(0) {
                "where" => {
                    self.at += 1;
                    self.expression(Place::Parens)?;
                }
                "from" | "in" | "table" | "view"
                    if matches!(self.kind(1), Some(Kind::Word | Kind::Quoted)) =>
                {
                    self.at += 1;
                    if let Some(name) = self.name() {
                        self.relation(&name);
                    }
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn mysql_set(&mut self) -> Walk {
        self.found.kind("set");
        self.at += 1;
        if self.word(0) == "statement" {
            // SET STATEMENT name = value FOR statement
            self.found.effect(Effect::Write, || {
                "it changes settings for a statement".into()
            });
            let Some(at) = (self.at..self.tokens.len()).find(|index| {
                self.tokens[*index].kind == Kind::Word
                    && self.source(*index).eq_ignore_ascii_case("for")
            }) else {
                return self.doubt("SET STATEMENT without FOR");
            };
            self.at = at + 1;
            return self.mysql(false);
        }
        let admin = matches!(self.word(0), "password" | "default" | "role" | "resource");
        let global = (self.at..self.tokens.len()).any(|index| {
            let source = self.source(index).to_ascii_lowercase();
            let begins = index == self.at || self.tokens[index - 1].kind == Kind::Comma;
            begins
                && (matches!(source.as_str(), "global" | "persist" | "persist_only")
                    || source.starts_with("@@global.")
                    || source.starts_with("@@persist"))
        });
        if admin {
            self.found.effect(Effect::Admin, || {
                "it changes a password, a role or on whose behalf the session acts".into()
            });
        } else if global {
            self.found
                .effect(Effect::Admin, || "it changes how the server runs".into());
        } else {
            self.found.effect(Effect::Write, || {
                "it changes a setting or a variable of the session".into()
            });
        }
        self.expression(Place::Parens)
    }

    fn mysql_definition(&mut self) -> Walk {
        let verb = self.word(0).to_owned();
        self.at += 1;
        if self.word(0) == "or" {
            self.at += 2;
        }
        loop {
            match self.word(0) {
                "temporary" | "unique" | "fulltext" | "spatial" | "online" | "offline"
                | "ignore" | "aggregate" | "undo" | "public" => self.at += 1,
                "algorithm" | "definer" => {
                    // ALGORITHM = x, DEFINER = user@host
                    self.at += 2;
                    if self.kind(0) == Some(Kind::Operator) {
                        self.at += 1;
                    }
                    self.at += usize::from(!matches!(self.kind(0), Some(Kind::Variable)));
                    if self.kind(0) == Some(Kind::Open) {
                        self.skip_parens()?;
                    }
                    self.eat_kind(Kind::Variable);
                    self.eat_kind(Kind::Text);
                }
                "sql" if self.word(1) == "security" => self.at += 3,
                _ => break,
            }
        }
        let what = match self.word(0) {
            "" => return self.doubt("a definition of nothing"),
            "package" if self.word(1) == "body" => "package body".to_owned(),
            word => word.to_owned(),
        };
        self.at += 1;
        self.found.kind(&format!("{verb} {what}"));
        let doing = match verb.as_str() {
            "create" => "creates",
            "alter" => "changes",
            _ => "removes",
        };
        let effect = match what.as_str() {
            "user" | "role" | "server" | "tablespace" | "logfile" | "instance" | "resource"
            | "spatial" => Effect::Admin,
            "database" | "schema" if verb != "create" => Effect::Admin,
            "function" if (0..self.tokens.len()).any(|ahead| self.word(ahead) == "soname") => {
                Effect::Admin
            }
            "prepare" => Effect::Write,
            _ => Effect::Schema,
        };
        self.found.effect(effect, || {
            format!("it {doing} {} {what}", words::article(&what))
        });
        if verb == "drop" && matches!(what.as_str(), "table" | "tables" | "database" | "schema") {
            self.found.unbounded = true;
            self.found.effect(Effect::Destructive, || {
                format!("it removes a {what} and what is in it")
            });
        }
        match what.as_str() {
            "procedure" | "function" | "trigger" | "event" | "package" | "package body" => {
                self.mysql_routine()
            }
            "user" | "role" | "server" => Ok(()),
            _ => {
                self.definition_details(&verb, &what)?;
                self.mysql_table_query()
            }
        }
    }

    /// `CREATE TABLE t [(…)] [options] [AS] SELECT …` without an AS that `definition_details` would look for.
    fn mysql_table_query(&mut self) -> Walk {
        let end = self.tokens.len();
        let select = (2..end).find(|index| {
            let token: &Token = &self.tokens[*index];
            token.kind == Kind::Word
                && self.source(*index).eq_ignore_ascii_case("select")
                && !self.source(*index - 1).eq_ignore_ascii_case("as")
        });
        if let Some(select) = select {
            self.at = select;
            // Inside parentheses only the query itself is walked, not what closes around it.
            self.query()?;
        }
        self.at = end;
        Ok(())
    }

    /// A routine's body begins somewhere behind its head; where it does, its first statement is judged too.
    fn mysql_routine(&mut self) -> Walk {
        if self.eat("if") {
            self.eat("not");
            self.eat("exists");
        }
        if let Some(name) = self.name() {
            self.found.writes(name.dotted());
        }
        while !self.ended() {
            if matches!(
                self.word(0),
                "insert" | "replace" | "delete" | "truncate" | "drop" | "grant" | "revoke" | "load"
            ) && matches!(
                self.word_before(),
                "do" | "begin" | "row" | "then" | "else" | "data" | "sql" | ""
            ) && !words::ends_clause(self.dialect, self.word_before())
                && self.kind(1) == Some(Kind::Word)
            {
                return self.mysql(true);
            }
            self.at += 1;
        }
        Ok(())
    }
}
