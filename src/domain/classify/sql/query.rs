//! Queries: WITH, SELECT and its relatives, and the clauses that make a query more than a read.

use super::{
    super::Effect,
    Dialect,
    lex::Kind,
    parser::{MOST_CTES, Name, Parser, Place, Walk},
    words,
};

impl Parser<'_> {
    pub(super) fn starts_query(&self, ahead: usize) -> bool {
        match self.word(ahead) {
            "select" | "with" => true,
            "values" => true,
            "table" => matches!(self.dialect, Dialect::Postgres | Dialect::Mysql),
            _ => false,
        }
    }

    /// Whether the parentheses that open here hold a query, perhaps within more parentheses.
    pub(super) fn opens_query(&self) -> bool {
        let opens = (0..)
            .take_while(|ahead| self.kind(*ahead) == Some(Kind::Open))
            .count();
        opens > 0 && self.starts_query(opens)
    }

    /// A whole query, WITH included; or, behind WITH, the statement that uses it.
    pub(super) fn query(&mut self) -> Walk {
        self.nested(Self::query_here)
    }

    pub(super) fn query_here(&mut self) -> Walk {
        let scope = self.ctes.len();
        if self.word(0) == "with" {
            self.with()?;
        }
        match self.word(0) {
            "insert" | "update" | "delete" | "merge" | "replace" => self.change()?,
            _ => self.query_body()?,
        }
        self.ctes.truncate(scope);
        Ok(())
    }

    /// The list of common table expressions; stands at WITH.
    pub(super) fn with(&mut self) -> Walk {
        self.at += 1;
        // In PostgreSQL only RECURSIVE lets a name refer to itself; elsewhere, having it in scope early is harmless
        // only if the server does so too.
        let recursive = self.eat("recursive") || self.dialect == Dialect::Mssql;
        if recursive || self.dialect == Dialect::Sqlite {
            let names = self.cte_names();
            self.ctes.extend(names);
        }
        loop {
            let Some(name) = self.name() else {
                return self.doubt("WITH without a name");
            };
            let name = self.as_spelled(&name);
            if self.kind(0) == Some(Kind::Open) {
                self.skip_parens()?;
            }
            if !self.eat("as") {
                return self.doubt("WITH without AS");
            }
            if self.word(0) == "not" && self.word(1) == "materialized" {
                self.at += 2;
            } else {
                self.eat("materialized");
            }
            if !self.eat_kind(Kind::Open) {
                return self.doubt("WITH without a query");
            }
            if self.kind(0) == Some(Kind::Open) || self.starts_query(0) {
                self.query()?;
            } else if matches!(self.word(0), "insert" | "update" | "delete" | "merge") {
                self.change()?;
            } else {
                return self.doubt("WITH holds something that is no query");
            }
            if !self.eat_kind(Kind::Close) {
                return self.doubt("a query in WITH does not end where it should");
            }
            self.ctes.push(name);
            if self.ctes.len() > MOST_CTES {
                return self.doubt("WITH defines more names than are judged");
            }
            self.search_and_cycle();
            if !self.eat_kind(Kind::Comma) {
                return Ok(());
            }
        }
    }

    /// The `name` that was just taken, as common table expressions are told apart by: in MySQL by its spelling too, as
    /// whether case matters is a setting there, and what may be a table of the database counts as one.
    pub(super) fn as_spelled(&self, name: &Name) -> String {
        match self.at.checked_sub(1) {
            Some(last) if self.dialect == Dialect::Mysql => {
                self.source(last).trim_matches(['`', '"']).to_owned()
            }
            _ => name.dotted(),
        }
    }

    /// The names that the WITH list here defines.
    pub(super) fn cte_names(&mut self) -> Vec<String> {
        let back = self.at;
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(self.as_spelled(&name));
            while !self.ended() && self.kind(0) != Some(Kind::Open) {
                self.at += 1;
            }
            if self.skip_parens().is_err() {
                break;
            }
            if self.word(0) == "as" {
                while !self.ended() && self.kind(0) != Some(Kind::Open) {
                    self.at += 1;
                }
                if self.skip_parens().is_err() {
                    break;
                }
            }
            self.search_and_cycle();
            if !self.eat_kind(Kind::Comma) {
                break;
            }
        }
        self.at = back;
        names
    }

    /// SEARCH and CYCLE of PostgreSQL, CYCLE … RESTRICT of MariaDB: names and constants only.
    pub(super) fn search_and_cycle(&mut self) {
        while matches!(self.word(0), "search" | "cycle") {
            self.at += 1;
            while !self.ended() {
                match self.kind(0) {
                    Some(Kind::Comma)
                        if matches!(self.kind(2), Some(Kind::Open)) || self.word(2) == "as" =>
                    {
                        return;
                    }
                    Some(Kind::Close | Kind::Open | Kind::Semicolon) => return,
                    _ if matches!(
                        self.word(0),
                        "select"
                            | "values"
                            | "insert"
                            | "update"
                            | "delete"
                            | "merge"
                            | "table"
                            | "cycle"
                    ) =>
                    {
                        break;
                    }
                    _ => self.at += 1,
                }
            }
        }
    }

    /// Queries joined by UNION and the like, and the clauses behind them.
    pub(super) fn query_body(&mut self) -> Walk {
        self.query_term()?;
        self.clauses()
    }

    pub(super) fn query_term(&mut self) -> Walk {
        match self.word(0) {
            "select" => {
                self.at += 1;
                self.found.kind("select");
                if self.dialect == Dialect::Mysql {
                    // Words that a parenthesis may follow without being called.
                    while words::modifies_select(self.word(0)) {
                        self.at += 1;
                    }
                }
                Ok(())
            }
            "values" => {
                self.at += 1;
                self.found.kind("values");
                Ok(())
            }
            "table" => {
                self.at += 1;
                self.found.kind("table");
                self.eat("only");
                let parens = self.eat_kind(Kind::Open);
                let Some(name) = self.name() else {
                    return self.doubt("TABLE without a name");
                };
                if parens && !self.eat_kind(Kind::Close) {
                    return self.doubt("a parenthesis is never closed");
                }
                self.relation(&name);
                if self.operator(0) == "*" {
                    self.at += 1;
                }
                Ok(())
            }
            "with" => self.query(),
            _ if self.kind(0) == Some(Kind::Open) => {
                self.at += 1;
                self.query()?;
                if !self.eat_kind(Kind::Close) {
                    return self.doubt("a query in parentheses does not end where it should");
                }
                Ok(())
            }
            _ => self.doubt("a query was expected"),
        }
    }

    /// Clause after clause, up to what cannot belong to a query.
    pub(super) fn clauses(&mut self) -> Walk {
        loop {
            self.expression(Place::Clause)?;
            match self.word(0) {
                "from" => {
                    self.at += 1;
                    self.table_list()?;
                }
                "into" => self.select_into()?,
                "union" | "intersect" | "except" | "minus" => {
                    self.at += 1;
                    self.eat_any(&["all", "distinct"]);
                    if self.dialect == Dialect::Postgres && self.eat("corresponding") {
                        return self.doubt("CORRESPONDING is not known here");
                    }
                    self.query_term()?;
                }
                "for" => self.for_clause()?,
                "lock" if self.dialect == Dialect::Mysql => {
                    self.at += 1;
                    self.lock("LOCK IN SHARE MODE locks the rows it reads");
                }
                "procedure" if self.dialect == Dialect::Mysql => self.at += 1,
                // A FETCH that does not belong to OFFSET is a cursor's.
                "fetch"
                    if self.dialect == Dialect::Mssql
                        && !matches!(self.word_before(), "row" | "rows") =>
                {
                    return Ok(());
                }
                "where" | "group" | "having" | "window" | "order" | "limit" | "offset"
                | "fetch" | "qualify" => {
                    self.in_group_by = self.word(0) == "group";
                    self.at += 1;
                    self.eat("by");
                    if matches!(self.kind(0), None | Some(Kind::Semicolon | Kind::Close)) {
                        return self.doubt("a clause holds nothing");
                    }
                }
                "option" if self.dialect == Dialect::Mssql => {
                    self.at += 1;
                    self.skip_parens()?;
                }
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn lock(&mut self, why: &str) {
        self.found.kind("lock");
        if self.dialect == Dialect::Mysql {
            // Planning reads tables of one row, and locks that row.
            self.found.effect_at_planning(Effect::Write, why.to_owned());
        } else {
            self.found.effect(Effect::Write, || why.to_owned());
        }
    }

    pub(super) fn for_clause(&mut self) -> Walk {
        self.at += 1;
        match self.word(0) {
            "update" | "share" | "no" | "key" => {
                self.at += 1;
                self.lock("FOR UPDATE or FOR SHARE locks the rows it reads");
            }
            "read" if self.word(1) == "only" => self.at += 2,
            "xml" | "json" | "browse" if self.dialect == Dialect::Mssql => {
                self.at += 1;
                // FOR XML PATH('x'), ROOT('y'): options that look like calls, of literals only.
                loop {
                    match self.kind(0) {
                        Some(Kind::Word) if !words::ends_clause(self.dialect, self.word(0)) => {
                            self.at += 1;
                        }
                        Some(Kind::Comma) => self.at += 1,
                        Some(Kind::Open) => self.skip_parens()?,
                        _ => break,
                    }
                }
            }
            "system_time" => self.at += 1,
            _ => return self.doubt("FOR is followed by something unknown"),
        }
        Ok(())
    }

    pub(super) fn select_into(&mut self) -> Walk {
        self.at += 1;
        if self.dialect == Dialect::Mysql {
            if self.eat_any(&["outfile", "dumpfile"]) {
                self.found.kind("into outfile");
                self.found.effect(Effect::Admin, || {
                    "INTO OUTFILE writes a file on the server".into()
                });
            } else {
                self.found.kind("into variable");
                self.found.effect(Effect::Write, || {
                    "INTO sets a variable of the session".into()
                });
            }
            return Ok(());
        }
        self.eat_any(&["local", "global"]);
        self.eat_any(&["temp", "temporary", "unlogged"]);
        self.eat("table");
        self.found.kind("select into");
        self.found
            .effect(Effect::Schema, || "SELECT INTO creates a table".into());
        if let Some(name) = self.name() {
            self.found.writes(name.dotted());
        }
        Ok(())
    }
}
