//! Expressions: walked token by token, to see every call, every subquery and every operator, and where they end. Their
//! precedence changes nothing about what they do, so it is not looked at.

use super::{
    super::Effect,
    Dialect,
    catalog::JudgedCatalog,
    findings::UsedOperator,
    functions,
    lex::Kind,
    parser::{Doubt, Parser, Place, Walk},
    words,
};

impl Parser<'_> {
    /// Parentheses that may hold a query, or a list of expressions.
    pub(super) fn parens(&mut self) -> Walk {
        self.nested(Self::parens_here)
    }

    pub(super) fn parens_here(&mut self) -> Walk {
        if !self.eat_kind(Kind::Open) {
            return self.doubt("a parenthesis was expected");
        }
        if self.starts_query(0)
            && !(self.word(0) == "values"
                && self.kind(1) != Some(Kind::Open)
                && self.word(1) != "row")
            && !(self.word(0) == "table" && self.kind(1) == Some(Kind::Close))
        {
            self.query()?;
        }
        loop {
            self.expression(Place::Parens)?;
            match self.kind(0) {
                Some(Kind::Close) => {
                    self.at += 1;
                    return Ok(());
                }
                _ if matches!(self.word(0), "union" | "intersect" | "except")
                    || (self.word(0) == "minus" && self.dialect == Dialect::Mysql) =>
                {
                    self.at += 1;
                    self.eat_any(&["all", "distinct"]);
                    self.query_body()?;
                }
                _ if self.word(0) == "into" => self.select_into()?,
                _ if self.word(0) == "for" => self.for_clause()?,
                _ => return self.doubt("a parenthesis does not end where it should"),
            }
        }
    }

    /// Walks an expression (or several, with commas) up to what ends it in `place`.
    pub(super) fn expression(&mut self, place: Place) -> Walk {
        let mut cases = 0usize;
        loop {
            let Some(kind) = self.kind(0) else {
                return Ok(());
            };
            match kind {
                Kind::Semicolon | Kind::Close | Kind::CloseBracket => return Ok(()),
                Kind::Comma | Kind::CloseBrace if place == Place::Join => return Ok(()),
                Kind::Number => self.at += 1,
                Kind::Comma => {
                    self.at += 1;
                    if matches!(self.kind(0), None | Some(Kind::Semicolon))
                        || self.word(0) == "from"
                    {
                        return self.doubt("nothing follows a comma");
                    }
                }
                Kind::Parameter => {
                    self.at += 1;
                    if self.kind(0) == Some(Kind::Open) && self.dialect != Dialect::Postgres {
                        return self.doubt("a parameter is called like a function");
                    }
                }
                Kind::Text => {
                    self.at += 1;
                    if self.kind(0) == Some(Kind::Open) && !self.only_known_calls {
                        // A string in MySQL may be a quoted name, if ANSI_QUOTES is on.
                        self.unknown_call("a quoted name");
                    }
                }
                Kind::Open => self.parens()?,
                Kind::OpenBracket => {
                    self.at += 1;
                    self.expression(Place::Parens)?;
                    if !self.eat_kind(Kind::CloseBracket) {
                        return self.doubt("a bracket is never closed");
                    }
                }
                Kind::OpenBrace => {
                    // ODBC: {d '…'}, {t '…'}, {ts '…'}, {fn now()}; in MySQL also {date '…'} and the like.
                    self.at += 1;
                    let known = ["d", "t", "ts", "fn", "guid", "date", "time", "timestamp"];
                    if !self.eat_any(&known) {
                        return self.doubt("a brace opens something unknown");
                    }
                }
                Kind::CloseBrace => {
                    if !matches!(self.dialect, Dialect::Mysql | Dialect::Mssql) {
                        return self.doubt("a brace closes nothing");
                    }
                    self.at += 1;
                }
                Kind::Dot => {
                    self.at += 1;
                    if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted)) {
                        self.field()?;
                    }
                }
                Kind::Operator => self.operator_in_expression()?,
                Kind::Variable => {
                    self.at += 1;
                    if self.dialect == Dialect::Mysql && self.operator(0) == ":=" {
                        self.found.effect_at_planning(
                            Effect::Write,
                            "`:=` sets a variable of the session".into(),
                        );
                    }
                }
                Kind::Quoted => self.name_in_expression()?,
                Kind::Word => {
                    let word = self.word(0);
                    if self.kind(1) != Some(Kind::Dot) {
                        if place != Place::Parens
                            && (word == "select" || self.ends(place, word))
                            && !(cases > 0 && word == "else")
                        {
                            return Ok(());
                        }
                        if self.dialect == Dialect::Mssql
                            && place != Place::Parens
                            && matches!(word, "conversation" | "send" | "receive" | "throw")
                        {
                            return Ok(());
                        }
                        if place == Place::Parens
                            && matches!(word, "union" | "intersect" | "except" | "into")
                            && words::ends_clause(self.dialect, word)
                        {
                            return Ok(());
                        }
                        if word == "for"
                            && place == Place::Parens
                            && (matches!(self.word(1), "update" | "share" | "key")
                                || self.word(1) == "no" && self.word(2) == "key")
                        {
                            return Ok(());
                        }
                        match word {
                            "when" if cases == 0 && place == Place::Join => return Ok(()),
                            "case" => cases += 1,
                            "end" if cases > 0 => {
                                cases -= 1;
                                self.at += 1;
                                continue;
                            }
                            "end" if self.dialect == Dialect::Mssql => return Ok(()),
                            "as" => {
                                self.at += 1;
                                self.after_as(place)?;
                                continue;
                            }
                            _ => {}
                        }
                        if self.keyword()? {
                            continue;
                        }
                    }
                    self.name_in_expression()?;
                }
            }
        }
    }

    pub(super) fn ends(&self, place: Place, word: &str) -> bool {
        if place == Place::Join && self.is_join_word(word) {
            let is_function = matches!(word, "left" | "right") && self.kind(1) == Some(Kind::Open);
            return !is_function;
        }
        if place == Place::Join && self.dialect == Dialect::Mssql && word == "on" {
            return true;
        }
        if place == Place::Join && matches!(word, "on" | "using") {
            return true;
        }
        // IS DISTINCT FROM, and functions with keywords between their arguments, are in `keyword`.
        words::ends_clause(self.dialect, word)
    }

    /// Behind AS stands an alias or a type; neither is ever a function.
    pub(super) fn after_as(&mut self, place: Place) -> Walk {
        let strict = matches!(
            self.dialect,
            Dialect::Mysql | Dialect::Mssql | Dialect::Sqlite
        );
        match self.kind(0) {
            Some(Kind::Word) if strict && words::ends_clause(self.dialect, self.word(0)) => Ok(()),
            Some(Kind::Word | Kind::Quoted) if place == Place::Parens => self.type_name(),
            Some(Kind::Word | Kind::Quoted | Kind::Text | Kind::Variable) => {
                self.at += 1;
                self.unicode_escape();
                if self.kind(0) == Some(Kind::Open) {
                    // Nothing in a clause takes a list behind an alias; SELECT … AS f (x) is no SQL.
                    return self.parens();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The name of a type, with its modifiers.
    pub(super) fn type_name(&mut self) -> Walk {
        self.eat("setof");
        let first = self.word(0);
        let Some(name) = self.name() else {
            return self.doubt("a type was expected");
        };
        if let Some(catalog) = self.place.catalog {
            self.found.uses.casts = true;
            if catalog.has_relation(name.last()) {
                self.found.uses.rows.insert(name);
            }
        }
        match first {
            "double" => {
                self.eat("precision");
            }
            "character" | "char" | "national" | "nchar" | "bit" | "binary" | "native" => {
                self.eat_any(&["character", "char", "large"]);
                self.eat_any(&["varying", "object"]);
            }
            "long" => {
                self.eat_any(&["varchar", "varbinary"]);
            }
            "interval" => {
                while self.eat_any(&["year", "month", "day", "hour", "minute", "second", "to"]) {}
                // MariaDB: INTERVAL DAY_SECOND(6)
                self.eat("day_second");
            }
            _ => {}
        }
        if self.kind(0) == Some(Kind::Open) {
            self.parens()?;
        }
        if matches!(first, "time" | "timestamp")
            && matches!(self.word(0), "with" | "without")
            && self.word(1) == "time"
        {
            self.at += 3;
        }
        Ok(())
    }

    /// A part behind a dot that is not part of a plain name: `(row).field`, `a[1].field`, `@xml.value('…')`.
    pub(super) fn field(&mut self) -> Walk {
        let start = self.at;
        let Some(name) = self.name() else {
            return Ok(());
        };
        if self.dialect == Dialect::Postgres && self.kind(0) != Some(Kind::Open) {
            // `('s'::regclass).nextval` calls nextval: any function of one argument can be written like a field.
            for field in name.0 {
                self.field_of(None, field);
            }
        } else if self.kind(0) == Some(Kind::Open) {
            if self.dialect == Dialect::Mssql {
                if !words::is_method(name.last()) {
                    self.call(&name, start)?;
                }
            } else {
                self.users_call(&name, false);
            }
        }
        Ok(())
    }

    pub(super) fn operator_in_expression(&mut self) -> Walk {
        let operator = self.operator(0);
        match self.dialect {
            Dialect::Postgres => {
                if operator == "::" {
                    self.at += 1;
                    return self.type_name();
                }
                if !matches!(operator, ":=" | "=>" | ":" | "..") && !self.only_known_calls {
                    self.users_operator(None, operator);
                }
            }
            Dialect::Mysql if operator == ":=" => {
                self.found.effect_at_planning(
                    Effect::Write,
                    "`:=` sets a variable of the session".into(),
                );
            }
            _ => {}
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a keyword that has a form of its own; true if it was one.
    pub(super) fn keyword(&mut self) -> Result<bool, Doubt> {
        let word = self.word(0);
        match word {
            "distinct" if self.word(1) == "from" && matches!(self.word_before(), "is" | "not") => {
                self.at += 2;
            }
            "collation" if self.word(1) == "for" && self.kind(2) == Some(Kind::Open) => {
                self.at += 2
            }
            "of" if matches!(self.word_before(), "is" | "not" | "member") => self.at += 1,
            "within" if self.word(1) == "group" && self.kind(2) == Some(Kind::Open) => {
                self.at += 2;
            }
            // ON CONFLICT (…) DO, and MERGE's INSERT (…) VALUES: nothing of the sort can follow a call there.
            "conflict"
                if self.word_before() == "on"
                    && self.kind(1) == Some(Kind::Open)
                    && self.word_behind_parens(1) == "do" =>
            {
                self.at += 1;
            }
            "insert"
                if self.word_before() == "then"
                    && self.kind(1) == Some(Kind::Open)
                    && matches!(
                        self.word_behind_parens(1),
                        "values" | "default" | "overriding"
                    ) =>
            {
                self.at += 1;
            }
            "over" | "filter"
                if (self.kind_before() == Some(Kind::Close) || self.word_before() == "nulls")
                    && matches!(self.kind(1), Some(Kind::Open)) =>
            {
                self.at += 1;
            }
            "zone" if self.word_before() == "time" => self.at += 1,
            "by" if matches!(self.word_before(), "group" | "order" | "partition") => {
                self.at += 1;
            }
            "sets" if self.word_before() == "grouping" => self.at += 1,
            "cube" | "rollup"
                if matches!(self.word_before(), "by" | "sets" | "all" | "distinct")
                    || self.in_group_by
                        && matches!(self.kind_before(), Some(Kind::Comma | Kind::Open))
                        && self.kind(1) == Some(Kind::Open) =>
            {
                self.at += 1;
            }
            "first" | "next" if self.word_before() == "fetch" => self.at += 1,
            "escape" | "uescape" if self.kind(1) == Some(Kind::Open) && self.behind_operand() => {
                self.at += 1;
            }
            "against"
                if self.dialect == Dialect::Mysql
                    && self.kind(1) == Some(Kind::Open)
                    && self.behind_operand() =>
            {
                self.at += 1;
            }
            "ilike" | "similar" if self.behind_operand() || self.word_before() == "not" => {
                self.at += 1;
            }
            "columns" if self.kind(1) == Some(Kind::Open) && self.behind_operand() => {
                self.at += 1;
                self.table_columns()?;
            }
            "operator" if self.dialect == Dialect::Postgres && self.kind(1) == Some(Kind::Open) => {
                return self.qualified_operator();
            }
            "next" | "previous" if self.word(1) == "value" && self.word(2) == "for" => {
                if word == "next" {
                    self.found.effect_at_planning(
                        Effect::Write,
                        "NEXT VALUE FOR advances a sequence".into(),
                    );
                }
                self.at += 3;
                if let Some(name) = self.name() {
                    if word == "next" {
                        self.found.writes(name.dotted());
                    } else {
                        self.found.reads(name.dotted());
                    }
                }
            }
            "select" | "insert" | "delete" | "update" | "merge" | "drop" | "create" | "alter"
                if words::starts_statement(self.dialect, word)
                    // ON DUPLICATE KEY UPDATE
                    && !matches!(self.word_before(), "key" | "do") =>
            {
                return self.doubt("a statement begins inside an expression");
            }
            "in" if self.dialect == Dialect::Sqlite
                && matches!(self.kind(1), Some(Kind::Word | Kind::Quoted)) =>
            {
                // SQLite: x IN table, x IN table_function(…)
                self.at += 1;
                let start = self.at;
                if let Some(name) = self.name() {
                    if self.kind(0) == Some(Kind::Open) {
                        self.call(&name, start)?;
                    } else {
                        self.relation(&name);
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// COLUMNS (…) of JSON_TABLE and XMLTABLE: names, types and paths; only DEFAULT holds expressions, in PostgreSQL.
    pub(super) fn table_columns(&mut self) -> Walk {
        self.nested(Self::table_columns_here)
    }

    pub(super) fn table_columns_here(&mut self) -> Walk {
        if !self.eat_kind(Kind::Open) {
            return Ok(());
        }
        loop {
            match self.kind(0) {
                Some(Kind::Close) => {
                    self.at += 1;
                    return Ok(());
                }
                Some(Kind::Word)
                    if self.word(0) == "columns" && self.kind(1) == Some(Kind::Open) =>
                {
                    self.at += 1;
                    self.table_columns()?;
                }
                Some(Kind::Word)
                    if self.kind(1) == Some(Kind::Open)
                        && words::is_type(self.dialect, self.word(0)) =>
                {
                    self.at += 1;
                }
                Some(Kind::Word | Kind::Quoted) if self.word(0) != "nested" => {
                    self.name_in_expression()?;
                }
                Some(Kind::Operator) => self.operator_in_expression()?,
                Some(Kind::Open) => self.parens()?,
                Some(_) => self.at += 1,
                None => return self.doubt("a parenthesis is never closed"),
            }
        }
    }

    /// OPERATOR(schema.+): anything but pg_catalog's own could be anyone's.
    pub(super) fn qualified_operator(&mut self) -> Result<bool, Doubt> {
        let back = self.at;
        self.at += 2;
        let mut schema = Vec::new();
        while matches!(self.kind(0), Some(Kind::Word | Kind::Quoted)) {
            schema.push(self.folded(self.at).into_owned());
            self.at += 1;
            if !self.eat_kind(Kind::Dot) {
                break;
            }
        }
        let operator = self.operator(0);
        if operator.is_empty() || self.kind(1) != Some(Kind::Close) {
            // A function that is called `operator`.
            self.at = back;
            return Ok(false);
        }
        self.at += 2;
        self.users_operator(schema.pop(), operator);
        Ok(true)
    }

    /// An operator that users may have made.
    fn users_operator(&mut self, schema: Option<String>, operator: &str) {
        let builtin = schema.as_ref().is_none_or(|schema| schema == "pg_catalog")
            && functions::is_postgres_operator(operator);
        match self.place.catalog {
            Some(catalog) => {
                if !builtin || catalog.catalog().operators.contains_key(operator) {
                    let used = UsedOperator {
                        schema,
                        symbol: operator.to_owned(),
                        builtin,
                        untyped: self.beside_untyped(),
                    };
                    self.found.uses.operators.insert(used);
                }
            }
            None if builtin => {}
            None => {
                self.found.runs_unjudged = true;
                self.found
                    .effect_at_planning(Effect::Write, unknown_operator(operator));
            }
        }
    }

    /// Whether a literal, which becomes whatever type its operator wants, could be an operand here.
    fn beside_untyped(&self) -> bool {
        let untyped = |kind: Option<Kind>, word: &str| {
            matches!(
                kind,
                Some(Kind::Text | Kind::Parameter | Kind::Open | Kind::Close)
            ) || word == "null"
        };
        untyped(self.kind_before(), self.word_before()) || untyped(self.kind(1), self.word(1))
    }

    /// `qualifier.field`: PostgreSQL reads it as a call of `field` where the qualifier has no such column.
    fn field_of(&mut self, qualifier: Option<String>, field: String) {
        let users = |catalog: &JudgedCatalog| catalog.has_routine(&field);
        if self.dialect == Dialect::Postgres
            && (functions::effect(self.dialect, &field).is_some()
                || self.place.catalog.is_some_and(users))
        {
            self.fields.push((qualifier, field));
        }
    }

    /// A name in an expression: a column, a keyword, or a call.
    pub(super) fn name_in_expression(&mut self) -> Walk {
        let start = self.at;
        let single = self.word(0);
        let keyword_call = self.kind(0) == Some(Kind::Word)
            && self.kind(1) == Some(Kind::Open)
            && words::is_never_a_function(self.dialect, single);
        if keyword_call {
            self.at += 1;
            return Ok(());
        }
        if self.kind(0) == Some(Kind::Word)
            && self.kind(1) != Some(Kind::Dot)
            && self.kind(1) != Some(Kind::Open)
            && self.word(1) != "uescape"
        {
            if self.dialect == Dialect::Postgres
                && matches!(single, "timestamp" | "time" | "interval")
                && self.kind(1) == Some(Kind::Text)
            {
                self.at += 2;
                if single == "interval" {
                    while self.eat_any(&["year", "month", "day", "hour", "minute", "second", "to"])
                    {
                        if self.word_before() == "second" && self.kind(0) == Some(Kind::Open) {
                            self.skip_parens()?;
                        }
                    }
                }
                return Ok(());
            }
            self.at += 1;
            return Ok(());
        }
        let Some(name) = self.name() else {
            return self.doubt("a name was expected");
        };
        if self.kind(0) == Some(Kind::Open) {
            return self.call(&name, start);
        }
        if self.dialect == Dialect::Mysql && name.0.len() > 1 && matches!(name.last(), "nextval") {
            self.found
                .effect(Effect::Write, || "nextval advances a sequence".into());
        }
        let mut parts = name.0;
        if let (Some(field), Some(qualifier)) = (parts.pop(), parts.pop()) {
            self.field_of(Some(qualifier), field);
        }
        Ok(())
    }
}

/// Why an operator nobody knows is no read.
pub(super) fn unknown_operator(operator: &str) -> String {
    format!("the operator {operator} is not built in; the function behind it could do anything")
}
