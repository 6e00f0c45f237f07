//! FROM lists: which relations a statement reads, under which aliases, and what it locks or gives away by that.

use super::{
    super::{Effect, name},
    Dialect,
    findings::Called,
    functions::{self, Call},
    lex::Kind,
    parser::{Name, Parser, Place, Walk},
    words,
};

impl Parser<'_> {
    pub(super) fn table_list(&mut self) -> Walk {
        self.table_item()?;
        loop {
            if self.eat_kind(Kind::Comma) {
                self.table_item()?;
                continue;
            }
            match self.word(0) {
                "on" => {
                    self.at += 1;
                    self.expression(Place::Join)?;
                }
                "using" if self.kind(1) == Some(Kind::Open) => {
                    self.at += 1;
                    self.skip_parens()?;
                    if self.eat("as") {
                        self.at += 1;
                    }
                }
                "outer" | "cross" if self.word(1) == "apply" => {
                    self.at += 2;
                    self.table_item()?;
                }
                word if self.is_join_word(word) => {
                    while {
                        let word = self.word(0);
                        self.is_join_word(word)
                            || (self.dialect == Dialect::Mssql
                                && matches!(word, "hash" | "loop" | "merge" | "remote"))
                    } {
                        self.at += 1;
                        if matches!(self.word_before(), "join" | "straight_join") {
                            break;
                        }
                    }
                    self.table_item()?;
                }
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn is_join_word(&self, word: &str) -> bool {
        match word {
            "join" | "inner" | "left" | "right" | "full" | "cross" | "natural" | "outer" => true,
            "straight_join" => self.dialect == Dialect::Mysql,
            _ => false,
        }
    }

    pub(super) fn table_item(&mut self) -> Walk {
        self.nested(Self::table_item_here)
    }

    pub(super) fn table_item_here(&mut self) -> Walk {
        self.eat("lateral");
        let mut standing_for = None;
        match self.kind(0) {
            Some(Kind::Open) => self.table_parens()?,
            Some(Kind::OpenBrace) if self.dialect == Dialect::Mysql => {
                // ODBC: { OJ t1 LEFT JOIN t2 ON … }
                self.at += 1;
                self.eat("oj");
                self.table_list()?;
                if !self.eat_kind(Kind::CloseBrace) {
                    return self.doubt("a brace is never closed");
                }
            }
            Some(Kind::Variable | Kind::Parameter) => {
                self.at += 1;
                if self.kind(0) == Some(Kind::Dot) {
                    // T-SQL: @xml.nodes('…')
                    self.at += 2;
                    if self.kind(0) == Some(Kind::Open) {
                        self.parens()?;
                    }
                }
            }
            Some(Kind::Operator) if self.dialect == Dialect::Mssql && self.operator(0) == "::" => {
                // The old way to call a system function: FROM ::fn_helpcollations()
                self.at += 1;
                return self.table_item();
            }
            Some(Kind::Text) if self.dialect == Dialect::Sqlite => {
                let name = self.source(self.at).trim_matches('\'').to_ascii_lowercase();
                self.at += 1;
                self.relation(&Name(vec![name]));
            }
            Some(Kind::Word | Kind::Quoted) => {
                if self.dialect == Dialect::Postgres
                    && self.word(0) == "rows"
                    && self.word(1) == "from"
                    && self.kind(2) == Some(Kind::Open)
                {
                    self.at += 2;
                    self.parens()?;
                } else if self.dialect == Dialect::Postgres
                    && self.word(0) == "only"
                    && self.kind(1) == Some(Kind::Open)
                {
                    self.at += 1;
                    self.table_parens()?;
                } else {
                    if self.dialect == Dialect::Postgres {
                        self.eat("only");
                    }
                    if words::ends_clause(self.dialect, self.word(0)) {
                        return self.doubt("FROM without a table");
                    }
                    let start = self.at;
                    let Some(name) = self.name() else {
                        return self.doubt("FROM without a table");
                    };
                    if self.kind(0) == Some(Kind::Open) && !self.opens_table_hints() {
                        let special = name.0.len() == 1
                            && self.tokens[start].kind == Kind::Word
                            && words::is_never_a_function(self.dialect, name.last());
                        if !special {
                            self.call(&name, start)?;
                        }
                        self.parens()?;
                        while self.dialect == Dialect::Mssql && self.eat_kind(Kind::Dot) {
                            // OPENDATASOURCE(…).database.schema.table
                            self.name();
                        }
                        if self.word(0) == "with" && self.word(1) == "ordinality" {
                            self.at += 2;
                        }
                    } else {
                        self.relation(&name);
                        standing_for = Some(name);
                        if self.dialect == Dialect::Postgres && self.operator(0) == "*" {
                            self.at += 1;
                        }
                    }
                }
            }
            _ => return self.doubt("FROM without a table"),
        }
        self.after_table_item(standing_for)
    }

    pub(super) fn table_parens(&mut self) -> Walk {
        self.at += 1;
        if self.starts_query(0) || (self.dialect == Dialect::Mssql && self.word(0) == "delete") {
            self.query()?;
        } else if self.dialect == Dialect::Mssql
            && matches!(self.word(0), "insert" | "update" | "merge")
        {
            self.change()?;
        } else {
            self.table_list()?;
        }
        // What looked like a parenthesised table may have been a parenthesised query.
        if matches!(
            self.word(0),
            "union"
                | "intersect"
                | "except"
                | "minus"
                | "order"
                | "limit"
                | "offset"
                | "fetch"
                | "for"
                | "into"
        ) {
            self.clauses()?;
        }
        if !self.eat_kind(Kind::Close) {
            return self.doubt("a parenthesis in FROM does not end where it should");
        }
        Ok(())
    }

    /// Samples, hints, periods, aliases and column lists behind a table.
    pub(super) fn after_table_item(&mut self, standing_for: Option<Name>) -> Walk {
        loop {
            match self.word(0) {
                "tablesample" => {
                    self.at += 1;
                    let start = self.at;
                    if self.kind(0) != Some(Kind::Open)
                        && let Some(name) = self.name()
                        && self.kind(0) == Some(Kind::Open)
                        && self.dialect == Dialect::Postgres
                    {
                        self.call(&name, start)?;
                    }
                    if self.kind(0) == Some(Kind::Open) {
                        self.parens()?;
                    }
                    if self.word(0) == "repeatable" {
                        self.at += 1;
                        self.parens()?;
                    }
                }
                "for" if matches!(self.word(1), "system_time" | "portion" | "application_time") => {
                    self.at += 2;
                    self.period()?;
                }
                "as" if self.word(1) == "of" => {
                    self.at += 1;
                    self.period()?;
                }
                "with" if self.dialect == Dialect::Mssql && self.kind(1) == Some(Kind::Open) => {
                    self.at += 1;
                    self.table_hints_or_columns()?;
                }
                "pivot" | "unpivot"
                    if self.dialect == Dialect::Mssql && self.kind(1) == Some(Kind::Open) =>
                {
                    self.at += 1;
                    self.parens()?;
                }
                "partition"
                    if self.dialect == Dialect::Mysql && self.kind(1) == Some(Kind::Open) =>
                {
                    self.at += 1;
                    self.skip_parens()?;
                }
                "use" | "force" | "ignore"
                    if self.dialect == Dialect::Mysql
                        && matches!(self.word(1), "index" | "key") =>
                {
                    while !matches!(self.kind(0), Some(Kind::Open) | None) {
                        self.at += 1;
                    }
                    self.skip_parens()?;
                }
                "indexed" if self.dialect == Dialect::Sqlite && self.word(1) == "by" => {
                    self.at += 3;
                }
                "not" if self.dialect == Dialect::Sqlite && self.word(1) == "indexed" => {
                    self.at += 2;
                }
                "as" => {
                    self.at += 1;
                    if self.kind(0) == Some(Kind::Open) {
                        self.skip_parens()?;
                        continue;
                    }
                    self.alias(standing_for.as_ref())?;
                }
                word => match self.kind(0) {
                    Some(Kind::Word)
                        if !words::ends_table_item(self.dialect, word)
                            && !(self.is_join_word(word)) =>
                    {
                        self.alias(standing_for.as_ref())?;
                    }
                    Some(Kind::Quoted) => self.alias(standing_for.as_ref())?,
                    Some(Kind::Text) if self.dialect != Dialect::Postgres => {
                        self.alias(standing_for.as_ref())?;
                    }
                    Some(Kind::Open) if self.opens_table_hints() => {
                        self.table_hints_or_columns()?;
                    }
                    _ => return Ok(()),
                },
            }
        }
    }

    /// An alias, and the names it gives to columns.
    pub(super) fn alias(&mut self, standing_for: Option<&Name>) -> Walk {
        if self.ended() {
            return self.doubt("an alias was expected");
        }
        if matches!(self.kind(0), Some(Kind::Word | Kind::Quoted)) {
            let alias = Name(vec![self.folded(self.at).into_owned()]).dotted();
            let alias = (alias, standing_for.map(Name::dotted));
            if self.aliases.last() != Some(&alias) {
                self.aliases.push(alias);
            }
        }
        self.at += 1;
        self.unicode_escape();
        if self.kind(0) == Some(Kind::Open) {
            self.table_hints_or_columns()?;
        }
        Ok(())
    }

    /// `FOR SYSTEM_TIME AS OF x`, `FROM a TO b`, `BETWEEN a AND b`, `CONTAINED IN (a, b)`, `ALL`.
    pub(super) fn period(&mut self) -> Walk {
        loop {
            self.eat_any(&[
                "as",
                "of",
                "from",
                "to",
                "between",
                "and",
                "all",
                "contained",
                "in",
                "timestamp",
                "transaction",
                "system_time",
            ]);
            match self.kind(0) {
                Some(Kind::Text | Kind::Number | Kind::Parameter) => self.at += 1,
                Some(Kind::Variable) => self.at += 1,
                Some(Kind::Operator) => self.operator_in_expression()?,
                Some(Kind::Open) => self.parens()?,
                Some(Kind::Word)
                    if matches!(
                        self.word(0),
                        "to" | "and"
                            | "of"
                            | "timestamp"
                            | "transaction"
                            | "from"
                            | "between"
                            | "contained"
                            | "interval"
                            | "in"
                    ) => {}
                Some(Kind::Word | Kind::Quoted) if self.kind(1) == Some(Kind::Open) => {
                    let start = self.at;
                    if let Some(name) = self.name() {
                        self.call(&name, start)?;
                    }
                    self.parens()?;
                }
                _ => return Ok(()),
            }
            if self.word(0) == "interval" {
                self.at += 1;
            }
        }
    }

    /// T-SQL: `t (NOLOCK)`, a table hint without WITH.
    pub(super) fn opens_table_hints(&self) -> bool {
        self.dialect == Dialect::Mssql
            && self.kind(0) == Some(Kind::Open)
            && matches!(self.kind(2), Some(Kind::Close | Kind::Comma | Kind::Open))
            && words::is_table_hint(self.word(1))
    }

    pub(super) fn table_hints_or_columns(&mut self) -> Walk {
        let start = self.at;
        self.skip_parens()?;
        if self.dialect == Dialect::Mssql {
            for index in start..self.at {
                if self.tokens[index].kind == Kind::Word
                    && words::is_locking_hint(self.lowered(index))
                {
                    self.lock("a table hint locks what it reads");
                }
            }
        }
        Ok(())
    }

    /// A relation that is read, unless the name is that of a common table expression.
    pub(super) fn relation(&mut self, name: &Name) {
        if name.0.is_empty() {
            return;
        }
        let dotted = name.dotted();
        if self.relations.last() != Some(&dotted) {
            self.relations.push(dotted.clone());
        }
        if name.0.len() == 1 && self.ctes.contains(&self.as_spelled(name)) {
            return;
        }
        if name.0.len() == 1 && name.last() == "dual" && self.dialect == Dialect::Mysql {
            return;
        }
        if let Some(columns) = words::credential_columns(self.dialect, &dotted)
            && !self.credentials.iter().any(|(known, _)| *known == dotted)
        {
            self.credentials.push((dotted.clone(), columns));
        }
        if self.dialect == Dialect::Sqlite
            && name.last().starts_with("pragma_")
            && functions::builtin(self.dialect, name.last()) == Call::Unlisted
        {
            self.found.effect(Effect::Write, || {
                format!("{dotted} is no pragma known to only tell")
            });
        }
        self.found.reads(dotted);
    }

    /// What only the whole statement shows.
    pub(super) fn settle(&mut self) {
        self.settle_fields();
        self.settle_credentials();
        self.settle_uses();
    }

    /// Fields that are calls. A table's row is taken by no built-in with an effect; `x` in `FROM f() x` may be any value.
    fn settle_fields(&mut self) {
        for (qualifier, field) in std::mem::take(&mut self.fields) {
            let relations = qualifier.map(|qualifier| self.relations_called(&qualifier));
            let relations = relations.unwrap_or_default();
            let name = Name(vec![field]);
            let effect = functions::effect(self.dialect, name.last());
            if let Some(effect) = effect.filter(|_| relations.is_empty()) {
                self.found.functions.insert(name.dotted());
                self.found.effect_at_planning(
                    effect,
                    format!("{} is a function here, and has an effect", name.dotted()),
                );
            }
            if self.place.catalog.is_some() {
                self.found.uses.calls.insert(Called {
                    name,
                    builtin: true,
                    field_of: Some(relations),
                });
            }
        }
    }

    /// Which of its words a catalog can say more about.
    fn settle_uses(&mut self) {
        let Some(catalog) = self.place.catalog else {
            return;
        };
        self.found.uses.statements = 1;
        for index in 0..self.tokens.len() {
            if matches!(self.tokens[index].kind, Kind::Word | Kind::Quoted) {
                let word = self.folded(index);
                let may_replace =
                    word == "replace" && (index == 0 || self.word_at(index - 1) == "or");
                let uses = &mut self.found.uses;
                uses.says_default |= word == "default";
                uses.updates |= matches!(&*word, "conflict" | "duplicate");
                uses.replaces |= may_replace;
                if catalog.has_type(&word) {
                    uses.types.insert(word.into_owned());
                }
            }
        }
    }

    /// Every relation that goes by this name somewhere in the statement; none, if it could be something else.
    fn relations_called(&self, name: &str) -> Vec<String> {
        let called = Name(vec![name.to_owned()]).dotted();
        let aliases = self.aliases.iter().filter(|(alias, _)| *alias == called);
        let mut relations = Vec::new();
        for (_, real) in aliases {
            match real {
                Some(real) => relations.push(real.clone()),
                None => return Vec::new(),
            }
        }
        relations.extend(
            self.relations
                .iter()
                .filter(|relation| {
                    let parts = name::parts(relation).unwrap_or_default();
                    parts.last().is_some_and(|part| part.text == name)
                })
                .cloned(),
        );
        // A common table expression is none of the catalog's.
        let is_object = |relation: &String| {
            let objects = &self.found.objects;
            objects.iter().any(|object| object.name == *relation)
        };
        if relations.iter().all(is_object) {
            relations
        } else {
            Vec::new()
        }
    }

    /// Whether what holds a credential is read in a way that could show it: by its column, by a star, or as a whole.
    fn settle_credentials(&mut self) {
        for (relation, columns) in std::mem::take(&mut self.credentials) {
            let last = relation.rsplit('.').next().unwrap_or(&relation);
            let aliases: Vec<&str> = self
                .aliases
                .iter()
                .filter(|(_, real)| real.as_deref() == Some(relation.as_str()))
                .map(|(alias, _)| alias.as_str())
                .collect();
            let names = if aliases.is_empty() {
                vec![last]
            } else {
                aliases
            };
            let mut mentions = 0;
            let shown = (0..self.tokens.len()).any(|index| {
                let before = index.checked_sub(1).map(|before| self.tokens[before].kind);
                let after = self.tokens.get(index + 1).map(|token| token.kind);
                match self.tokens[index].kind {
                    Kind::Operator => {
                        // count(*) shows nothing.
                        self.source(index) == "*"
                            && !(before == Some(Kind::Open) && after == Some(Kind::Close))
                    }
                    Kind::Word | Kind::Quoted => {
                        let name = self.folded(index);
                        let whole = self.dialect == Dialect::Postgres
                            && names.contains(&name.as_ref())
                            && after != Some(Kind::Dot);
                        mentions += usize::from(whole);
                        columns.contains(&name.as_ref())
                            || (whole && after == Some(Kind::Open))
                            || matches!(name.as_ref(), "table" | "copy" | "natural" | "handler")
                    }
                    _ => false,
                }
            });
            if shown || mentions > names.len() {
                self.found
                    .effect(Effect::Secret, || format!("{relation} holds credentials"));
            }
        }
    }
}
