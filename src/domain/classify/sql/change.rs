//! Statements that change rows: INSERT, UPDATE, DELETE, MERGE, REPLACE; which rows they are about, and whether any
//! condition says so.

use super::{
    super::Effect,
    Dialect,
    lex::Kind,
    parser::{Name, Parser, Place, Walk},
    words,
};

impl Parser<'_> {
    /// INSERT, UPDATE, DELETE, MERGE or REPLACE, from its verb to its end.
    pub(super) fn change(&mut self) -> Walk {
        let verb = self.word(0);
        self.found.kind(verb);
        self.at += 1;
        match verb {
            "insert" | "replace" => self.insert(),
            "update" => self.update(),
            "delete" => self.delete(),
            _ => self.merge(),
        }
    }

    fn insert(&mut self) -> Walk {
        self.found
            .effect(Effect::Write, || "it adds or replaces rows".into());
        self.eat_any(&["low_priority", "delayed", "high_priority", "quick"]);
        if self.eat("or") {
            self.at += 1;
        }
        self.eat("ignore");
        self.top()?;
        self.eat("into");
        self.target();
        if self.dialect == Dialect::Mysql && self.eat("partition") {
            self.skip_parens()?;
        }
        if self.dialect == Dialect::Mssql && self.word(0) == "with" {
            self.at += 1;
            self.skip_parens()?;
        }
        if self.eat("as")
            || matches!(self.kind(0), Some(Kind::Word | Kind::Quoted))
                && !matches!(
                    self.word(0),
                    "values"
                        | "value"
                        | "select"
                        | "set"
                        | "default"
                        | "table"
                        | "with"
                        | "overriding"
                        | "exec"
                        | "execute"
                        | "output"
                        | "on"
                        | "returning"
                )
        {
            self.at += 1;
        }
        if self.kind(0) == Some(Kind::Open) && !self.opens_query() {
            self.skip_parens()?;
        }
        if self.eat("overriding") {
            self.at += 2;
        }
        if matches!(self.word(0), "with" | "select" | "table") && self.dialect != Dialect::Mssql {
            self.query()?;
        }
        self.rest()
    }

    fn update(&mut self) -> Walk {
        self.found
            .effect(Effect::Write, || "it changes rows".into());
        self.eat_any(&["low_priority"]);
        if self.dialect == Dialect::Sqlite && self.eat("or") {
            self.at += 1;
        }
        self.eat("ignore");
        self.top()?;
        let aliases = self.aliases.len();
        let reads = self.found.objects.clone();
        let since = self.relations.len();
        self.table_list()?;
        let named = self.aliases.len() == aliases;
        let mut before_from = self.relations[since..].to_vec();
        self.found.objects = reads;
        if self.eat("set") {
            self.expression(Place::Clause)?;
        }
        if self.dialect == Dialect::Mssql {
            self.output_into()?;
        }
        if self.word(0) == "from" {
            self.at += 1;
            self.table_list()?;
            if named
                && before_from.len() == 1
                && let Some(real) = self.stands_for(&before_from[0], aliases)
            {
                before_from = vec![real];
            }
        }
        for name in before_from {
            self.changes(name);
        }
        self.condition("it changes every row: no condition says which")?;
        self.rest()
    }

    fn delete(&mut self) -> Walk {
        self.found
            .effect(Effect::Destructive, || "it deletes rows".into());
        while self.eat_any(&["low_priority", "quick", "ignore", "history"]) {}
        self.top()?;
        let aliases = self.aliases.len();
        let mut targets = Vec::new();
        if self.eat("from") || self.dialect != Dialect::Mysql {
            self.eat("from");
        }
        if self.dialect == Dialect::Postgres {
            self.eat("only");
        }
        let parens = self.kind(0) == Some(Kind::Open);
        if parens {
            self.at += 1;
        }
        loop {
            let start = self.at;
            let Some(name) = self.name() else { break };
            if self.kind(0) == Some(Kind::Open) && self.dialect == Dialect::Mssql {
                if !self.opens_table_hints() {
                    self.call(&name, start)?;
                    self.parens()?;
                } else {
                    self.skip_parens()?;
                }
            } else {
                targets.push(name);
            }
            if self.kind(0) == Some(Kind::Dot) && self.operator(1) == "*" {
                self.at += 2;
            }
            if self.operator(0) == "*" {
                self.at += 1;
            }
            if !self.eat_kind(Kind::Comma) {
                break;
            }
        }
        if parens {
            self.eat_kind(Kind::Close);
        }
        if self.kind(0) == Some(Kind::Variable) {
            self.at += 1;
        }
        if self.dialect == Dialect::Mssql && self.word(0) == "with" {
            self.at += 1;
            self.skip_parens()?;
        }
        if self.dialect == Dialect::Mysql && self.eat("partition") {
            self.skip_parens()?;
        }
        if self.eat("for") {
            // FOR PORTION OF period FROM a TO b
            while !self.ended() && self.word(0) != "where" && self.kind(0) != Some(Kind::Close) {
                self.at += 1;
            }
        }
        if self.eat("as")
            || matches!(self.kind(0), Some(Kind::Word | Kind::Quoted))
                && !words::ends_table_item(self.dialect, self.word(0))
                && !matches!(self.word(0), "before" | "output" | "not" | "indexed")
        {
            self.at += 1;
        }
        if self.word(0) == "before" && self.dialect == Dialect::Mysql {
            // DELETE HISTORY … BEFORE SYSTEM_TIME
            self.at += 1;
            self.expression(Place::Clause)?;
        }
        if self.dialect == Dialect::Mssql {
            self.output_into()?;
        }
        if matches!(self.word(0), "using" | "from") {
            self.at += 1;
            self.table_list()?;
        }
        for target in targets {
            let name = (target.0.len() == 1)
                .then(|| self.stands_for(&target.dotted(), aliases))
                .flatten()
                .unwrap_or_else(|| target.dotted());
            self.changes(name);
        }
        self.condition("it deletes every row: no condition says which")?;
        self.rest()
    }

    fn merge(&mut self) -> Walk {
        self.found
            .effect(Effect::Write, || "MERGE adds and changes rows".into());
        self.top()?;
        self.eat("into");
        self.eat("only");
        self.target();
        if self.word(0) == "with" {
            self.at += 1;
            self.skip_parens()?;
        }
        self.eat("as");
        if self.word(0) != "using" {
            self.at += 1;
        }
        if self.eat("using") {
            let before = self.at;
            self.table_list()?;
            // The join's condition is what says which rows.
            if let Some(on) = (before..self.at).find(|index| self.word_is(*index, "on"))
                && self.always_true(on + 1, self.at)
            {
                self.found.unbounded = true;
            }
        }
        let mut by_source = false;
        for index in self.at..self.tokens.len() {
            if self.tokens[index].kind == Kind::Semicolon {
                break;
            }
            if self.word_is(index, "when") {
                by_source = false;
            } else if self.word_is(index, "source") {
                by_source = true;
            } else if self.word_is(index, "delete") && self.word_is(index - 1, "then") {
                self.found
                    .effect(Effect::Destructive, || "MERGE deletes rows".into());
                self.found.unbounded |= by_source;
            }
        }
        while !self.ended() && self.kind(0) != Some(Kind::Close) {
            let before = self.at;
            self.expression(Place::Clause)?;
            if self.at == before {
                if self.kind(0) == Some(Kind::Semicolon) {
                    break;
                }
                self.at += 1;
            }
        }
        Ok(())
    }

    /// `TOP (n) [PERCENT]` of T-SQL.
    fn top(&mut self) -> Walk {
        if self.dialect == Dialect::Mssql && self.eat("top") {
            if self.kind(0) == Some(Kind::Open) {
                self.parens()?;
            } else {
                self.at += 1;
            }
            self.eat("percent");
        }
        Ok(())
    }

    /// The table that is changed.
    fn target(&mut self) -> Option<Name> {
        self.eat("only");
        let start = self.at;
        if self.eat_kind(Kind::Variable) {
            return None;
        }
        let name = self.name()?;
        if self.dialect == Dialect::Mssql
            && self.kind(0) == Some(Kind::Open)
            && matches!(name.last(), "openquery" | "openrowset" | "opendatasource")
        {
            let _ = self.call(&name, start);
            let _ = self.skip_parens();
            return None;
        }
        self.found.writes(name.dotted());
        if self.operator(0) == "*" {
            self.at += 1;
        }
        Some(name)
    }

    fn output_into(&mut self) -> Walk {
        if self.eat("output") {
            self.expression(Place::Clause)?;
            if self.eat("into") {
                self.target();
                if self.kind(0) == Some(Kind::Open) {
                    self.skip_parens()?;
                }
            }
            if self.word(0) == "output" {
                self.at += 1;
                self.expression(Place::Clause)?;
            }
        }
        Ok(())
    }

    /// What an alias of this statement's own FROM lists stands for.
    fn stands_for(&self, alias: &str, since: usize) -> Option<String> {
        self.aliases[since..]
            .iter()
            .find(|(name, _)| name == alias)
            .and_then(|(_, real)| real.clone())
    }

    /// Notes a table as changed. Changing a common table expression of T-SQL changes what it reads.
    fn changes(&mut self, name: String) {
        if self.dialect == Dialect::Mssql && self.ctes.contains(&name) {
            for object in std::mem::take(&mut self.found.objects) {
                self.found.writes(object.name);
            }
            return;
        }
        self.found.writes(name);
    }

    /// WHERE, if there is one; without one, or with one that is always true, the statement is unbounded.
    fn condition(&mut self, unbounded: &str) -> Walk {
        if self.word(0) == "where" {
            self.at += 1;
            let start = self.at;
            self.expression(Place::Clause)?;
            if self.always_true(start, self.at) {
                self.found.unbounded = true;
            }
        } else {
            self.found.unbounded = true;
            let worst = if unbounded.starts_with("it deletes") {
                Effect::Destructive
            } else {
                Effect::Write
            };
            self.found.effect(worst, || unbounded.to_owned());
        }
        Ok(())
    }

    /// Whatever else belongs to the statement: queries, lists of values, ON CONFLICT, RETURNING.
    pub(super) fn rest(&mut self) -> Walk {
        loop {
            let before = self.at;
            self.expression(Place::Clause)?;
            match self.word(0) {
                "from" => {
                    self.at += 1;
                    self.table_list()?;
                }
                "select" | "with" | "table" if self.dialect != Dialect::Mssql => self.query()?,
                "select" if self.at > 0 && self.dialect == Dialect::Mssql && !self.ended() => {
                    return Ok(());
                }
                "into" | "where" | "group" | "having" | "union" | "intersect" | "except"
                | "order" | "limit" | "offset" | "fetch" | "window" | "returning" | "for"
                | "procedure" | "lock"
                    if self.dialect != Dialect::Mssql =>
                {
                    self.at += 1;
                }
                "into" | "where" | "order" | "for" => self.at += 1,
                "option" => {
                    self.at += 1;
                    self.skip_parens()?;
                }
                _ if self.at == before => return Ok(()),
                _ => {}
            }
        }
    }

    fn word_is(&self, index: usize, word: &str) -> bool {
        self.tokens[index].kind == Kind::Word && self.source(index).eq_ignore_ascii_case(word)
    }

    /// Whether the condition in these tokens selects every row, as far as its text shows: it names no column, or
    /// compares one with itself.
    pub(super) fn always_true(&self, start: usize, end: usize) -> bool {
        let (start, end) = self.without_parens(start, end);
        if start >= end {
            return true;
        }
        let alternatives = self.split(start, end, "or");
        if alternatives.len() > 1 {
            return alternatives
                .iter()
                .any(|(start, end)| self.always_true(*start, *end));
        }
        let all = self.split(start, end, "and");
        if all.len() > 1 && !self.holds_between(start, end) {
            return all
                .iter()
                .all(|(start, end)| self.always_true(*start, *end));
        }
        self.names_no_column(start, end) || self.compares_with_itself(start, end)
    }

    fn without_parens(&self, mut start: usize, mut end: usize) -> (usize, usize) {
        while end > start + 1
            && self.tokens[start].kind == Kind::Open
            && self.closes_at(start, end) == Some(end - 1)
        {
            start += 1;
            end -= 1;
        }
        (start, end)
    }

    fn closes_at(&self, open: usize, end: usize) -> Option<usize> {
        let mut depth = 0usize;
        for index in open..end {
            match self.tokens[index].kind {
                Kind::Open => depth += 1,
                Kind::Close => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn split(&self, start: usize, end: usize, word: &str) -> Vec<(usize, usize)> {
        let mut parts = Vec::new();
        let mut depth = 0usize;
        let mut from = start;
        for index in start..end {
            match self.tokens[index].kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Operator
                    if depth == 0
                        && self.dialect == Dialect::Mysql
                        && ((word == "or" && self.source(index) == "||")
                            || (word == "and" && self.source(index) == "&&")) =>
                {
                    parts.push((from, index));
                    from = index + 1;
                }
                Kind::Word if depth == 0 && self.word_is(index, word) => {
                    parts.push((from, index));
                    from = index + 1;
                }
                _ => {}
            }
        }
        parts.push((from, end));
        parts
    }

    fn holds_between(&self, start: usize, end: usize) -> bool {
        (start..end).any(|index| self.word_is(index, "between"))
    }

    fn names_no_column(&self, start: usize, end: usize) -> bool {
        for index in start..end {
            match self.tokens[index].kind {
                Kind::Quoted => return false,
                Kind::Word => {
                    let word = self.source(index).to_ascii_lowercase();
                    let keyword = matches!(
                        word.as_str(),
                        "true"
                            | "false"
                            | "null"
                            | "is"
                            | "not"
                            | "and"
                            | "or"
                            | "in"
                            | "like"
                            | "ilike"
                            | "between"
                            | "case"
                            | "when"
                            | "then"
                            | "else"
                            | "end"
                            | "exists"
                            | "select"
                            | "unknown"
                            | "distinct"
                            | "from"
                            | "xor"
                            | "div"
                            | "cast"
                            | "as"
                    );
                    // A name behind `::` is a type, and one before a parenthesis is a function.
                    let is_type = index > start && self.source(index - 1) == "::";
                    let is_call = self
                        .tokens
                        .get(index + 1)
                        .is_some_and(|next| next.kind == Kind::Open);
                    if word == "current" {
                        return false;
                    }
                    if !keyword && !is_type && !is_call {
                        return false;
                    }
                }
                _ => {}
            }
        }
        // A condition that is plainly false touches nothing.
        let texts: Vec<&str> = (start..end).map(|index| self.source(index)).collect();
        let plainly_false = match texts.as_slice() {
            [word] => word.eq_ignore_ascii_case("false") || *word == "0",
            [left, "=", right] => {
                left.bytes().all(|byte| byte.is_ascii_digit())
                    && right.bytes().all(|byte| byte.is_ascii_digit())
                    && left.trim_start_matches('0') != right.trim_start_matches('0')
            }
            _ => false,
        };
        !plainly_false
    }

    fn compares_with_itself(&self, start: usize, end: usize) -> bool {
        let source = |index: usize| self.source(index).to_ascii_lowercase();
        for index in start..end {
            let text = source(index);
            let compares = matches!(
                text.as_str(),
                "=" | ">=" | "<=" | "<=>" | "==" | "like" | "ilike" | "is"
            );
            if !compares {
                continue;
            }
            let (left, left_end) = self.without_parens(start, index);
            let (right, right_end) = self.without_parens(index + 1, end);
            if left_end - left == right_end.saturating_sub(right)
                && (0..left_end - left)
                    .all(|offset| source(left + offset) == source(right + offset))
            {
                return true;
            }
            if matches!(text.as_str(), "like" | "ilike")
                && right_end == right + 1
                && self
                    .source(right)
                    .trim_matches(['\'', '"'])
                    .chars()
                    .all(|letter| letter == '%')
            {
                return true;
            }
        }
        false
    }
}
