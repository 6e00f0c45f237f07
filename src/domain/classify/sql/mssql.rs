//! T-SQL's statements: what each verb does. Statements need no semicolon between them, so a batch is walked as one:
//! where one statement has been understood to its end, the next begins.

use super::{
    super::Effect,
    functions::{self, Call},
    lex::{Kind, Token},
    parser::{Doubt, Parser, Place, Walk},
    words,
};

/// DBCC commands that only tell.
const DBCC_TELLS: &[&str] = &[
    "useroptions",
    "opentran",
    "inputbuffer",
    "outputbuffer",
    "show_statistics",
    "showcontig",
    "tracestatus",
    "proccache",
    "help",
];

/// Those of them that show values of columns, or what others said.
const DBCC_SHOWS: &[&str] = &["show_statistics", "inputbuffer", "outputbuffer"];

/// Cuts a text into batches at lines that hold only GO. A server never sees them; clients cut there.
pub(super) fn batches<'t>(tokens: &'t [Token], lower: &str) -> Vec<&'t [Token]> {
    let is_go = |index: usize| {
        let token = tokens[index];
        let alone = |next: usize| tokens.get(next).is_none_or(|token| token.first_on_line);
        token.kind == Kind::Word
            && token.first_on_line
            && &lower[token.start as usize..token.end as usize] == "go"
            && (alone(index + 1) || (tokens[index + 1].kind == Kind::Number && alone(index + 2)))
    };
    let mut batches = Vec::new();
    let mut from = 0;
    let mut index = 0;
    while index < tokens.len() {
        if is_go(index) {
            batches.push(&tokens[from..index]);
            index += 1;
            if tokens.get(index).is_some_and(|token| !token.first_on_line) {
                index += 1;
            }
            from = index;
        } else {
            index += 1;
        }
    }
    batches.push(&tokens[from..]);
    batches
}

impl Parser<'_> {
    /// Judges one batch of T-SQL.
    pub(super) fn mssql(&mut self) -> Walk {
        let mut first = true;
        loop {
            while self.eat_kind(Kind::Semicolon) {}
            if self.ended() {
                return Ok(());
            }
            let before = self.at;
            self.mssql_statement(first)?;
            if self.at == before {
                return self.doubt("this is not understood");
            }
            first = false;
        }
    }

    fn mssql_statement(&mut self, first: bool) -> Walk {
        let verb = self.word(0);
        match verb {
            "select" => self.query(),
            "with" => {
                if self.word(1) == "xmlnamespaces" {
                    self.at += 2;
                    self.skip_parens()?;
                    if !self.eat_kind(Kind::Comma) {
                        return Ok(());
                    }
                    // Behind the comma the list of common table expressions goes on as if WITH stood there.
                    self.at -= 1;
                    return self.query_behind_with();
                }
                self.query()
            }
            "" if self.kind(0) == Some(Kind::Open) && self.opens_query() => self.query(),
            "update" if self.word(1) == "statistics" => self.administration("it is maintenance"),
            "insert" | "update" | "delete" | "merge" => self.change(),
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
                if self.eat("with") {
                    self.skip_parens()?;
                }
                Ok(())
            }
            "declare" => self.mssql_declare(),
            "set" => self.mssql_set(),
            "exec" | "execute" => {
                self.at += 1;
                self.mssql_execute()
            }
            "if" | "while" => {
                self.found.kind(verb);
                self.at += 1;
                self.expression(Place::Clause)
            }
            "else" | "break" | "continue" => {
                self.at += 1;
                Ok(())
            }
            "begin" => self.mssql_begin(),
            "end" => {
                self.at += 1;
                if self.eat("conversation") {
                    return self.service_broker();
                }
                self.eat_any(&["try", "catch"]);
                Ok(())
            }
            "commit" | "rollback" | "save" => {
                self.at += 1;
                self.mssql_transaction()
            }
            "print" | "return" | "throw" => {
                self.found.kind(verb);
                self.at += 1;
                self.expression(Place::Clause)
            }
            "raiserror" => {
                self.found.kind(verb);
                self.at += 1;
                if self.kind(0) == Some(Kind::Open) {
                    self.parens()?;
                } else {
                    self.expression(Place::Clause)?;
                }
                if self.eat("with") {
                    while matches!(self.word(0), "log" | "nowait" | "seterror") {
                        if self.word(0) == "log" {
                            self.found.effect(Effect::Write, || {
                                "RAISERROR … WITH LOG writes to the server's log".into()
                            });
                        }
                        self.at += 1;
                        self.eat_kind(Kind::Comma);
                    }
                }
                Ok(())
            }
            "goto" => {
                self.at += 2;
                Ok(())
            }
            "waitfor" => {
                self.found.kind("waitfor");
                self.at += 1;
                if self.kind(0) == Some(Kind::Open) {
                    self.found.effect(Effect::Write, || {
                        "WAITFOR (…) takes messages from a queue".into()
                    });
                    return self.skip_parens();
                }
                self.eat_any(&["delay", "time"]);
                self.at += 1;
                Ok(())
            }
            "create" | "alter" | "drop" => self.mssql_definition(),
            "enable" | "disable" if self.word(1) == "trigger" => {
                self.found.kind(&format!("{verb} trigger"));
                self.found
                    .effect(Effect::Schema, || "it switches a trigger".into());
                self.skip_to_semicolon();
                Ok(())
            }
            "grant" | "revoke" | "deny" => self.administration("it changes who may do what"),
            "open" | "close" if matches!(self.word(1), "symmetric" | "master" | "all") => {
                self.administration("it opens or closes a key")
            }
            "open" | "close" | "fetch" | "deallocate" => {
                self.found.kind(verb);
                self.found
                    .effect(Effect::Write, || "it moves a cursor of the session".into());
                self.at += 1;
                while self.eat_any(&[
                    "next", "prior", "first", "last", "absolute", "relative", "from", "global",
                ]) || matches!(self.kind(0), Some(Kind::Number))
                {
                    self.at += usize::from(self.kind(0) == Some(Kind::Number));
                }
                self.at += 1;
                if self.eat("into") {
                    self.expression(Place::Clause)?;
                }
                Ok(())
            }
            "use" => {
                self.found.kind("use");
                self.found.effect(Effect::Write, || {
                    "it changes the database of the session".into()
                });
                self.at += 1;
                self.name();
                Ok(())
            }
            "send" | "receive" | "get" | "move" => self.service_broker(),
            "updatetext" | "writetext" => {
                self.found.kind(verb);
                self.found
                    .effect(Effect::Write, || "it changes a text value in place".into());
                self.at += 1;
                self.expression(Place::Clause)
            }
            "readtext" => {
                self.found.kind(verb);
                self.at += 1;
                if let Some(mut column) = self.name() {
                    column.0.pop();
                    self.found.reads(column.dotted());
                }
                self.expression(Place::Clause)
            }
            "dbcc" => {
                if DBCC_TELLS.contains(&self.word(1)) {
                    self.found.kind("dbcc");
                    self.found.runs_unjudged |= DBCC_SHOWS.contains(&self.word(1));
                    self.at += 2;
                    if self.kind(0) == Some(Kind::Open) {
                        self.skip_parens()?;
                    }
                    if self.eat("with") {
                        self.at += 1;
                    }
                    return Ok(());
                }
                self.administration("DBCC is maintenance of the server")
            }
            "bulk" => self.administration("BULK INSERT reads a file of the server"),
            "backup" | "restore" | "kill" | "checkpoint" | "reconfigure" | "shutdown"
            | "setuser" | "revert" | "load" | "dump" | "add" | "disk" | "rename" => {
                self.administration("it is administration of the server")
            }
            _ if self.kind(0) == Some(Kind::OpenBrace) => {
                // ODBC: {call procedure(…)}, {? = call procedure}
                self.at += 1;
                if self.eat_kind(Kind::Parameter) {
                    self.at += 1;
                }
                if !self.eat("call") {
                    return self.doubt("a brace opens something unknown");
                }
                self.mssql_execute()?;
                self.eat_kind(Kind::CloseBrace);
                Ok(())
            }
            _ if self.kind(0) == Some(Kind::Word) && self.operator(1) == ":" => {
                self.at += 2;
                Ok(())
            }
            // Only the first statement of a batch may leave EXEC out.
            _ if first
                && matches!(self.kind(0), Some(Kind::Word | Kind::Quoted))
                && !words::starts_statement(self.dialect, verb) =>
            {
                self.mssql_execute()
            }
            _ => self.doubt("this is no statement of T-SQL that is known here"),
        }
    }

    fn query_behind_with(&mut self) -> Walk {
        self.query_with_list()
    }

    /// What is as dangerous as it gets takes everything up to the semicolon with it.
    fn administration(&mut self, why: &str) -> Walk {
        self.whole(Effect::Admin, why)?;
        self.skip_to_semicolon();
        Ok(())
    }

    fn skip_to_semicolon(&mut self) {
        while !self.ended() && self.kind(0) != Some(Kind::Semicolon) {
            self.at += 1;
        }
    }

    fn service_broker(&mut self) -> Walk {
        self.found.kind("service broker");
        self.found
            .effect(Effect::Write, || "it sends or takes messages".into());
        self.skip_to_semicolon();
        Ok(())
    }

    fn mssql_transaction(&mut self) -> Walk {
        self.found.kind("transaction");
        self.found.effect(Effect::Write, || {
            "it opens or ends a transaction, and with it whatever the transaction protects".into()
        });
        if self.eat_any(&["tran", "transaction", "work"])
            && (self.kind(0) == Some(Kind::Variable)
                || self.kind(0) == Some(Kind::Quoted)
                || (self.kind(0) == Some(Kind::Word)
                    && !words::starts_statement(self.dialect, self.word(0))
                    && !matches!(self.word(0), "end" | "with" | "fetch")))
        {
            self.at += 1;
        }
        if self.word(0) == "with" && matches!(self.word(1), "mark" | "") {
            self.at += 1;
            if self.eat("mark") {
                self.eat_kind(Kind::Text);
            } else if self.kind(0) == Some(Kind::Open) {
                self.skip_parens()?;
            }
        }
        Ok(())
    }

    fn mssql_begin(&mut self) -> Walk {
        self.at += 1;
        match self.word(0) {
            "tran" | "transaction" => self.mssql_transaction(),
            "distributed" => {
                self.at += 1;
                self.mssql_transaction()
            }
            "dialog" | "conversation" => self.service_broker(),
            "try" | "catch" => {
                self.at += 1;
                Ok(())
            }
            "atomic" => {
                self.at += 1;
                if self.eat("with") {
                    self.skip_parens()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn mssql_declare(&mut self) -> Walk {
        self.found.kind("declare");
        self.at += 1;
        if self.kind(0) != Some(Kind::Variable) {
            // DECLARE name [INSENSITIVE] [SCROLL] CURSOR … FOR query
            self.name();
            return self.mssql_cursor();
        }
        loop {
            if !self.eat_kind(Kind::Variable) {
                return Ok(());
            }
            self.eat("as");
            match self.word(0) {
                "table" => {
                    self.at += 1;
                    let from = self.at;
                    self.skip_parens()?;
                    let kinds = self.tokens[from..self.at].iter().map(|token| token.kind);
                    let kinds: Vec<Kind> = kinds.collect();
                    let calls = |of: &[Kind]| of[0] == Kind::Dot && of[2] == Kind::Open;
                    if kinds.windows(3).any(calls) {
                        return self.doubt("a column of a table variable calls something");
                    }
                }
                "cursor" => return self.mssql_cursor(),
                _ => {
                    self.type_name()?;
                    self.eat("not");
                    self.eat("null");
                }
            }
            if self.operator(0) == "=" {
                self.at += 1;
                self.expression(Place::Join)?;
            }
            if !self.eat_kind(Kind::Comma) {
                return Ok(());
            }
        }
    }

    fn mssql_cursor(&mut self) -> Walk {
        self.found.kind("declare cursor");
        self.found.effect(Effect::Write, || {
            "it declares a cursor in the session".into()
        });
        while matches!(self.kind(0), Some(Kind::Word))
            && self.word(0) != "for"
            && !words::starts_statement(self.dialect, self.word(0))
        {
            self.at += 1;
        }
        if self.eat("for") {
            self.query()?;
        }
        Ok(())
    }

    fn mssql_set(&mut self) -> Walk {
        self.found.kind("set");
        self.at += 1;
        if self.kind(0) == Some(Kind::Variable) {
            self.at += 1;
            if self.operator(0).ends_with('=') && self.word(1) == "cursor" {
                self.at += 1;
                return self.mssql_cursor();
            }
            if self.kind(0) == Some(Kind::Dot) {
                // A method that changes the variable itself: SET @xml.modify('…')
                self.at += 2;
                return self.skip_parens();
            }
            return self.expression(Place::Clause);
        }
        self.found.effect(Effect::Write, || {
            "it changes a setting of the session".into()
        });
        match self.word(0) {
            "transaction" => {
                // SET TRANSACTION ISOLATION LEVEL READ COMMITTED
                self.at += 3;
                self.eat_any(&["read", "repeatable"]);
                self.at += 1;
                Ok(())
            }
            "identity_insert" => {
                self.at += 1;
                if let Some(name) = self.name() {
                    self.found.writes(name.dotted());
                }
                self.at += 1;
                Ok(())
            }
            "statistics" => {
                self.at += 1;
                loop {
                    self.at += 1;
                    if !self.eat_kind(Kind::Comma) {
                        break;
                    }
                }
                self.at += 1;
                Ok(())
            }
            _ => {
                // SET name[, name] ON | OFF | value
                loop {
                    self.at += 1;
                    if !self.eat_kind(Kind::Comma) {
                        break;
                    }
                }
                if self.operator(0) == "-" {
                    self.at += 1;
                }
                if !self.ended() && self.kind(0) != Some(Kind::Semicolon) {
                    self.at += 1;
                }
                Ok(())
            }
        }
    }

    /// A procedure and its arguments; or text, or a context.
    fn mssql_execute(&mut self) -> Walk {
        self.found.kind("execute");
        if self.word(0) == "as" {
            return self.administration("EXECUTE AS changes on whose behalf the session acts");
        }
        if self.kind(0) == Some(Kind::Variable) && self.operator(1) == "=" {
            self.at += 2;
        }
        match self.kind(0) {
            Some(Kind::Open) => {
                self.found.unbounded = true;
                self.found.effect(Effect::Admin, || {
                    "EXEC (…) runs SQL that is put together as text, which is not judged".into()
                });
                self.skip_parens()?;
                if self.eat_any(&["as", "at"]) {
                    self.at += 1;
                    if self.operator(0) == "=" {
                        self.at += 2;
                    }
                    self.name();
                }
                return Ok(());
            }
            Some(Kind::Variable) => {
                self.found.unbounded = true;
                self.found.effect(Effect::Admin, || {
                    "EXEC @name runs a procedure whose name is not shown".into()
                });
                self.at += 1;
            }
            _ => {
                let Some(name) = self.name() else {
                    return self.doubt("EXEC without a procedure");
                };
                let dotted = name.dotted();
                self.found.functions.insert(dotted.clone());
                match functions::procedure(name.last()) {
                    Call::Harmless => {}
                    Call::Has(effect) => self.found.effect(effect, || {
                        format!("the procedure {dotted} changes something each time it runs")
                    }),
                    Call::RunsText | Call::Remote | Call::Files => {
                        self.found.unbounded = true;
                        self.found.effect(Effect::Admin, || {
                            format!("{dotted} runs SQL or code handed to it as text, which is not judged")
                        });
                    }
                    Call::Unlisted if name.last().starts_with("xp_") => {
                        self.found.unbounded = true;
                        self.found.effect(Effect::Admin, || {
                            format!("{dotted} is an extended procedure: it leaves the database")
                        });
                    }
                    Call::Unlisted => {
                        self.found.unbounded = true;
                        self.found.effect(Effect::Write, || {
                            format!("it calls the procedure {dotted}, which could do anything")
                        });
                    }
                }
            }
        }
        if self.kind(0) == Some(Kind::Operator) && self.operator(0) == ";" {
            self.at += 2;
        }
        self.mssql_arguments()
    }

    /// Arguments are constants and variables; anything else begins the next statement.
    fn mssql_arguments(&mut self) -> Walk {
        if self.kind(0) == Some(Kind::Open) {
            // {call procedure(1, 2)}
            self.parens()?;
        }
        self.expression(Place::Clause)?;
        Ok(())
    }

    fn mssql_definition(&mut self) -> Walk {
        let verb = self.word(0).to_owned();
        self.at += 1;
        if self.word(0) == "or" {
            self.at += 2;
        }
        let mut what = self.word(0).to_owned();
        if what.is_empty() {
            return self.doubt("a definition of nothing");
        }
        while matches!(
            self.word(0),
            "unique"
                | "clustered"
                | "nonclustered"
                | "columnstore"
                | "primary"
                | "spatial"
                | "selective"
                | "fulltext"
                | "external"
                | "server"
                | "database"
                | "application"
                | "symmetric"
                | "asymmetric"
                | "master"
                | "security"
                | "event"
                | "availability"
                | "resource"
                | "column"
                | "cryptographic"
                | "message"
                | "remote"
                | "workload"
                | "broker"
                | "xml"
                | "partition"
        ) && !matches!(
            self.word(1),
            "" | "if" | "set" | "add" | "modify" | "collate"
        ) && matches!(
            self.word(1),
            "index"
                | "clustered"
                | "nonclustered"
                | "columnstore"
                | "xml"
                | "catalog"
                | "stoplist"
                | "data"
                | "file"
                | "table"
                | "library"
                | "language"
                | "resource"
                | "model"
                | "role"
                | "audit"
                | "configuration"
                | "scoped"
                | "encryption"
                | "key"
                | "policy"
                | "session"
                | "notification"
                | "group"
                | "governor"
                | "pool"
                | "master"
                | "provider"
                | "type"
                | "service"
                | "priority"
                | "schema"
                | "function"
                | "scheme"
                | "primary"
                | "classifier"
                | "property"
                | "credential"
        ) {
            self.at += 1;
            what = format!("{what} {}", self.word(0));
        }
        self.at += 1;
        self.found.kind(&format!("{verb} {what}"));
        let doing = match verb.as_str() {
            "create" => "creates",
            "alter" => "changes",
            _ => "removes",
        };
        let schema = matches!(
            what.rsplit(' ').next().unwrap_or_default(),
            "table"
                | "view"
                | "index"
                | "procedure"
                | "proc"
                | "function"
                | "trigger"
                | "type"
                | "sequence"
                | "synonym"
                | "schema"
                | "statistics"
                | "rule"
                | "default"
                | "service"
                | "queue"
                | "contract"
                | "collection"
                | "catalog"
                | "stoplist"
                | "aggregate"
                | "scheme"
                | "notification"
                | "list"
                | "constraint"
                | "column"
                | "route"
        ) && what != "master"
            && !what.starts_with("server");
        let effect = if schema {
            Effect::Schema
        } else {
            Effect::Admin
        };
        self.found.effect(effect, || {
            format!("it {doing} {} {what}", words::article(&what))
        });
        if verb == "drop" && matches!(what.as_str(), "table" | "database" | "schema") {
            self.found.unbounded = true;
            self.found.effect(Effect::Destructive, || {
                format!("it removes a {what} and what is in it")
            });
        }
        if matches!(
            what.as_str(),
            "table"
                | "view"
                | "index"
                | "procedure"
                | "proc"
                | "function"
                | "trigger"
                | "sequence"
                | "synonym"
                | "type"
                | "schema"
        ) {
            if self.eat("if") {
                self.eat("exists");
            }
            while let Some(name) = self.name() {
                self.found.writes(name.dotted());
                if verb != "drop" || !self.eat_kind(Kind::Comma) {
                    break;
                }
            }
        }
        // A routine's or view's definition is the rest of its batch.
        if verb != "drop"
            && matches!(
                what.as_str(),
                "procedure" | "proc" | "function" | "trigger" | "view"
            )
        {
            self.at = self.tokens.len();
            return Ok(());
        }
        self.mssql_definition_rest()
    }

    fn mssql_definition_rest(&mut self) -> Walk {
        self.only_known_calls = true;
        while !self.ended() && self.kind(0) != Some(Kind::Semicolon) {
            let word = self.word(0);
            let next = self.word(1);
            let begins = match word {
                "drop" | "alter" | "add" => {
                    word != "add"
                        && !matches!(
                            next,
                            "column"
                                | "constraint"
                                | "period"
                                | "member"
                                | "if"
                                | "persisted"
                                | "sparse"
                                | "rowguidcol"
                                | "masked"
                                | "hidden"
                                | ""
                        )
                }
                "set" | "authorization" | "table" | "index" | "view" | "schema" | "database"
                | "procedure" | "trigger" | "proc" | "disk" | "load" | "open" | "close"
                | "checkpoint" | "save" | "read" | "continue" => false,
                "update" | "delete" => !matches!(self.word_before(), "on" | "for" | "after" | "of"),
                "insert" | "select" | "exec" | "execute" => {
                    !matches!(self.word_before(), "for" | "after" | "of")
                }
                _ => words::starts_statement(self.dialect, word),
            };
            if begins {
                break;
            }
            if word == "on" && matches!(self.kind(1), Some(Kind::Word | Kind::Quoted)) {
                self.at += 1;
                if !matches!(
                    self.word(0),
                    "delete" | "update" | "primary" | "all" | "database"
                ) {
                    if let Some(name) = self.name() {
                        self.found.writes(name.dotted());
                    }
                } else {
                    self.at += 1;
                }
                continue;
            }
            if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted))
                && self.kind(1) == Some(Kind::Open)
            {
                let start = self.at;
                if let Some(name) = self.name() {
                    self.call(&name, start)?;
                }
                continue;
            }
            self.at += 1;
        }
        self.only_known_calls = false;
        Ok(())
    }

    /// A list of common table expressions, from the token before its first name.
    fn query_with_list(&mut self) -> Result<(), Doubt> {
        let scope = self.ctes.len();
        self.with()?;
        match self.word(0) {
            "insert" | "update" | "delete" | "merge" => self.change()?,
            _ => self.query_body()?,
        }
        self.ctes.truncate(scope);
        Ok(())
    }
}
