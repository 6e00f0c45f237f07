//! A statement made smaller: with a row limit, or as its EXPLAIN.
//!
//! The text stays as it was but for the words added or the one number replaced, and it is taken only if it then reads as
//! the same statement with that one change. What cannot be changed surely is refused, never left as it was.

use sqlparser::ast::{
    Expr, Fetch, LimitClause, Query, Select, SetExpr, Statement, Top, TopQuantity, Value,
};

use super::{
    super::{Effect, Facts},
    Dialect,
    lex::{self, Kind, Reading, Token},
    tree::lone_statement,
};

/// `statement` so that it returns at most `rows` rows; the same where it does already. `Err`: why that is not certain.
pub fn limited(
    dialect: Dialect,
    statement: &str,
    facts: &Facts,
    rows: u64,
) -> Result<String, String> {
    let is = |kind: &str| facts.kinds.iter().any(|one| one == kind);
    if facts.class > Effect::Secret {
        return Err(format!(
            "only reads can be given a row limit, and this is {}",
            facts.class
        ));
    }
    let unsure = || {
        "it could not be taken apart surely enough to limit its rows: write it more plainly"
            .to_owned()
    };
    let text = Text::of(dialect, statement).ok_or_else(unsure)?;
    // A plan or a setting has as many rows as it has.
    if is("show") || (is("explain") && !is("explain analyze")) {
        return Ok(statement.to_owned());
    }
    let mut tree = text.tree(dialect).ok_or_else(unsure)?;
    let Statement::Query(query) = &mut tree else {
        return Err(unsure());
    };
    let Some(changed) = limit(dialect, &text, query, rows)? else {
        return Ok(statement.to_owned());
    };
    match lone_statement(dialect, &changed) {
        Some(again) if again == tree => Ok(changed),
        _ => Err(unsure()),
    }
}

/// `statement` as its EXPLAIN, which runs nothing; the same where it is one already.
pub fn explained(dialect: Dialect, statement: &str, facts: &Facts) -> Result<String, String> {
    let is = |kind: &str| facts.kinds.iter().any(|one| one == kind);
    if is("explain analyze") {
        return Err("EXPLAIN ANALYZE runs what it explains: leave ANALYZE out".into());
    }
    let text = Text::of(dialect, statement)
        .ok_or_else(|| "it is not one statement that could be explained".to_owned())?;
    if is("explain") {
        return Ok(statement.to_owned());
    }
    let explainable = [
        "select", "values", "insert", "update", "delete", "merge", "replace",
    ];
    if facts.class == Effect::Unknown
        || !facts
            .kinds
            .iter()
            .any(|kind| explainable.contains(&kind.as_str()))
    {
        return Err("only queries and changes of rows can be explained".into());
    }
    // In PostgreSQL an option in parentheses ends the options: what follows cannot add ANALYZE to them.
    let verb = match dialect {
        Dialect::Postgres => "EXPLAIN (ANALYZE FALSE)",
        Dialect::Sqlite => "EXPLAIN QUERY PLAN",
        Dialect::Mysql => "EXPLAIN",
        Dialect::Mssql => return Err("SQL Server has no EXPLAIN".into()),
    };
    Ok(format!("{verb} {}", text.source))
}

/// One statement without what stands before and behind it, and its tokens.
struct Text<'a> {
    source: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Text<'a> {
    fn of(dialect: Dialect, statement: &'a str) -> Option<Self> {
        let lexed = lex::lex(dialect, Reading::usual(dialect), statement).ok()?;
        if lexed.depends_on_server {
            return None;
        }
        let is_end = |token: &Token| token.kind == Kind::Semicolon;
        let first = lexed.tokens.iter().position(|token| !is_end(token))?;
        let last = lexed.tokens.iter().rposition(|token| !is_end(token))?;
        let tokens = lexed.tokens.get(first..=last)?;
        if tokens.iter().any(is_end) {
            return None;
        }
        let start = tokens.first()?.start;
        let tokens = tokens.iter().map(|token| Token {
            start: token.start - start,
            end: token.end - start,
            ..*token
        });
        let tokens: Vec<_> = tokens.collect();
        let end = tokens.last()?.end as usize;
        let source = statement.get(start as usize..)?.get(..end)?;
        Some(Self { source, tokens })
    }

    fn tree(&self, dialect: Dialect) -> Option<Statement> {
        lone_statement(dialect, self.source)
    }

    /// Where the last of these words stands outside all parentheses.
    fn last_word(&self, word: &str) -> Option<usize> {
        let mut depth = 0usize;
        let mut found = None;
        for (index, token) in self.tokens.iter().enumerate() {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Word if depth == 0 && self.token(index)?.eq_ignore_ascii_case(word) => {
                    found = Some(index);
                }
                _ => {}
            }
        }
        found
    }

    fn token(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        self.source.get(token.start as usize..token.end as usize)
    }

    /// The text with another token at `index`.
    fn replaced(&self, index: usize, by: &str) -> Option<String> {
        let token = self.tokens.get(index)?;
        let (before, after) = (
            self.source.get(..token.start as usize)?,
            self.source.get(token.end as usize..)?,
        );
        Some(format!("{before}{by}{after}"))
    }

    /// The text with more behind the token at `index`.
    fn behind(&self, index: usize, more: &str) -> Option<String> {
        let token = self.tokens.get(index)?;
        let (before, after) = self.source.split_at_checked(token.end as usize)?;
        Some(format!("{before} {more}{after}"))
    }
}

/// Limits `query` and says what its text is then; `None`: it is limited as it is.
fn limit(
    dialect: Dialect,
    text: &Text<'_>,
    query: &mut Query,
    rows: u64,
) -> Result<Option<String>, String> {
    let odd = || {
        "its rows cannot be limited surely: write LIMIT and a plain number, at the very end"
            .to_owned()
    };
    if !query.locks.is_empty()
        || query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty()
    {
        return Err(odd());
    }
    if dialect == Dialect::Mssql {
        return top(text, query, rows);
    }
    if let Some(fetch) = &mut query.fetch {
        let Fetch {
            with_ties: false,
            percent: false,
            quantity,
        } = fetch
        else {
            return Err(
                "FETCH … WITH TIES and PERCENT return as many rows as there are: say ONLY".into(),
            );
        };
        let Some(quantity) = quantity else {
            return Ok(None);
        };
        if literal(quantity).ok_or_else(odd)? <= rows {
            return Ok(None);
        }
        *quantity = number(rows);
        let fetch = text.last_word("fetch").ok_or_else(odd)?;
        return text
            .replaced(fetch + 2, &rows.to_string())
            .map(Some)
            .ok_or_else(odd);
    }
    match &mut query.limit_clause {
        Some(LimitClause::OffsetCommaLimit { limit, .. }) => {
            if literal(limit).ok_or_else(odd)? <= rows {
                return Ok(None);
            }
            *limit = number(rows);
            let word = text.last_word("limit").ok_or_else(odd)?;
            text.replaced(word + 3, &rows.to_string())
                .map(Some)
                .ok_or_else(odd)
        }
        Some(LimitClause::LimitOffset {
            limit: Some(limit), ..
        }) => {
            if literal(limit).ok_or_else(odd)? <= rows {
                return Ok(None);
            }
            *limit = number(rows);
            let word = text.last_word("limit").ok_or_else(odd)?;
            text.replaced(word + 1, &rows.to_string())
                .map(Some)
                .ok_or_else(odd)
        }
        Some(LimitClause::LimitOffset { limit, .. }) => {
            // `LIMIT ALL` reads as no limit at all.
            if text.last_word("limit").is_some() {
                return Err(odd());
            }
            *limit = Some(number(rows));
            Ok(Some(format!("{}\nLIMIT {rows}", text.source)))
        }
        None => {
            if text.last_word("limit").is_some() {
                return Err(odd());
            }
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(number(rows)),
                offset: None,
                limit_by: Vec::new(),
            });
            Ok(Some(format!("{}\nLIMIT {rows}", text.source)))
        }
    }
}

/// T-SQL says TOP, in each SELECT; what joins several of them has no place for it.
fn top(text: &Text<'_>, query: &mut Query, rows: u64) -> Result<Option<String>, String> {
    let odd = || {
        "its rows cannot be limited surely: write one SELECT with TOP and a plain number".to_owned()
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(odd());
    };
    let Select { top, distinct, .. } = select.as_mut();
    if query.fetch.is_some() || query.limit_clause.is_some() {
        return Err(odd());
    }
    match top {
        Some(Top {
            with_ties: false,
            percent: false,
            quantity: Some(quantity),
        }) => {
            let most = match quantity {
                TopQuantity::Constant(most) => *most,
                TopQuantity::Expr(most) => literal(most).ok_or_else(odd)?,
            };
            if most <= rows { Ok(None) } else { Err(odd()) }
        }
        Some(_) => Err(odd()),
        None => {
            *top = Some(Top {
                with_ties: false,
                percent: false,
                quantity: Some(TopQuantity::Expr(number(rows))),
            });
            let mut at = text.last_word("select").ok_or_else(odd)?;
            let next = text.token(at + 1).unwrap_or_default();
            if distinct.is_some()
                && !next.eq_ignore_ascii_case("all")
                && !next.eq_ignore_ascii_case("distinct")
            {
                return Err(odd());
            }
            at += usize::from(distinct.is_some());
            text.behind(at, &format!("TOP ({rows})"))
                .map(Some)
                .ok_or_else(odd)
        }
    }
}

fn number(rows: u64) -> Expr {
    Expr::value(Value::Number(rows.to_string(), false))
}

fn literal(expression: &Expr) -> Option<u64> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample};

    use super::{super::classify, *};

    const DIALECTS: [Dialect; 4] = [
        Dialect::Postgres,
        Dialect::Sqlite,
        Dialect::Mysql,
        Dialect::Mssql,
    ];

    fn limit_to(dialect: Dialect, statement: &str, rows: u64) -> Result<String, String> {
        limited(dialect, statement, &classify(dialect, statement), rows)
    }

    #[test]
    fn a_limit_is_put_where_it_counts_or_the_statement_is_refused() {
        let mut shown = String::new();
        for statement in [
            "SELECT * FROM t",
            "SELECT * FROM t; -- all of it",
            "/* first */ SELECT a FROM t WHERE b = 'limit 5' ORDER BY a DESC",
            "SELECT * FROM t LIMIT 5",
            "SELECT * FROM t LIMIT 5000 OFFSET 20",
            "SELECT * FROM t LIMIT 5000, 6000",
            "SELECT * FROM t OFFSET 7",
            "SELECT * FROM t OFFSET 7 ROWS FETCH NEXT 5000 ROWS ONLY",
            "SELECT * FROM t FETCH FIRST ROW ONLY",
            "SELECT * FROM t ORDER BY a FETCH FIRST 5 ROWS WITH TIES",
            "SELECT * FROM t LIMIT ALL",
            "SELECT * FROM t LIMIT -1",
            "SELECT * FROM t LIMIT $1",
            "SELECT * FROM t LIMIT 1000 + 1",
            "SELECT * FROM t LIMIT (SELECT 1000000)",
            "SELECT * FROM (SELECT * FROM t LIMIT 5) x",
            "SELECT a FROM t UNION ALL SELECT a FROM u",
            "(SELECT a FROM t LIMIT 5000)",
            "(SELECT a FROM t) UNION (SELECT a FROM u LIMIT 2)",
            "WITH x AS (SELECT a FROM t LIMIT 9) SELECT DISTINCT a FROM x",
            "VALUES (1), (2)",
            "SELECT * FROM t FOR UPDATE",
            "SELECT 1; SELECT 2",
            "DELETE FROM t",
            "EXPLAIN SELECT * FROM t",
            "SELECT TOP 5 * FROM t",
            "SELECT TOP 50 PERCENT * FROM t",
        ] {
            shown.push_str(&format!("{statement}\n"));
            for dialect in DIALECTS {
                shown.push_str(&format!(
                    "  {dialect:?}: {:?}\n",
                    limit_to(dialect, statement, 1000)
                ));
            }
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn an_explained_statement_runs_nothing() {
        let mut shown = String::new();
        for statement in [
            "DELETE FROM t WHERE a = $1;",
            "SELECT * FROM t -- x",
            "EXPLAIN DELETE FROM t",
            "EXPLAIN ANALYZE DELETE FROM t",
            "ANALYZE DELETE FROM t",
            "(ANALYZE) DELETE FROM t",
            "ANALYZE t",
            "DROP TABLE t",
            "SELECT 1; DELETE FROM t",
            "DELEET",
        ] {
            shown.push_str(&format!("{statement}\n"));
            for dialect in DIALECTS {
                let text = explained(dialect, statement, &classify(dialect, statement));
                if let Ok(text) = &text {
                    let facts = classify(dialect, text);
                    let runs = facts.kinds.iter().any(|kind| kind == "explain analyze");
                    assert!(!runs && facts.class == Effect::Read, "{text}: {facts:?}");
                }
                shown.push_str(&format!("  {dialect:?}: {text:?}\n"));
            }
        }
        insta::assert_snapshot!(shown);
    }

    /// Queries put together from parts, most of them meaningful in some dialect.
    fn query() -> impl Strategy<Value = String> {
        let part = |texts: &'static [&'static str]| sample::select(texts.to_vec());
        (
            part(&["", "WITH x AS (SELECT 1 AS a LIMIT 3) ", "/* limit 1 */ "]),
            part(&[
                "SELECT * FROM t",
                "SELECT DISTINCT a FROM t JOIN u USING (a)",
                "(SELECT a FROM t)",
                "VALUES (1)",
                "SELECT a, (SELECT b FROM u LIMIT 1) FROM t",
                "SELECT \"limit\" FROM t",
                "SELECT TOP 3 a FROM t",
            ]),
            part(&[
                "",
                " UNION SELECT a FROM u",
                " WHERE a IN (SELECT a FROM u LIMIT 2)",
                " WHERE b = 'x LIMIT 3'",
            ]),
            part(&["", " ORDER BY a", " ORDER BY 1 DESC"]),
            part(&[
                "",
                " LIMIT 3",
                " LIMIT 30",
                " LIMIT 3 OFFSET 30",
                " OFFSET 30",
                " LIMIT 30, 40",
                " LIMIT ALL",
                " LIMIT $1",
                " LIMIT -1",
                " FETCH FIRST 30 ROWS ONLY",
                " FETCH FIRST 3 ROWS WITH TIES",
                " FOR UPDATE",
                " OFFSET 3 ROWS FETCH NEXT 30 ROWS ONLY",
            ]),
            part(&["", ";", " -- LIMIT 1", " /* LIMIT 1 */ ;"]),
        )
            .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_limited_query_is_the_same_with_a_limit_and_is_limited_once(
            text in query(), dialect in sample::select(DIALECTS.to_vec()), rows in 1..20u64,
        ) {
            let facts = classify(dialect, &text);
            let Ok(once) = limited(dialect, &text, &facts, rows) else { return Ok(()) };
            let after = classify(dialect, &once);
            prop_assert!(after.class <= facts.class, "{}", once);
            prop_assert!(after.objects.is_subset(&facts.objects), "{}", once);
            prop_assert_eq!(&after.kinds, &facts.kinds, "{}", once);
            let again = limited(dialect, &once, &after, rows);
            prop_assert_eq!(again.as_ref(), Ok(&once));
            // Without its own limit it is what it was without its own.
            let bare = |text: &str| {
                let mut tree = lone_statement(dialect, text).unwrap();
                let Statement::Query(query) = &mut tree else { panic!("{text}") };
                let limit = match query.limit_clause.take() {
                    Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                        (limit.as_ref().and_then(literal), offset.map(|offset| offset.value))
                    }
                    Some(LimitClause::OffsetCommaLimit { limit, offset }) => (literal(&limit), Some(offset)),
                    None => (None, None),
                };
                let fetch = query.fetch.take().map(|fetch| fetch.quantity.as_ref().and_then(literal));
                let top = match query.body.as_mut() {
                    SetExpr::Select(select) => select.top.take(),
                    _ => None,
                };
                (tree, limit.1, limit.0, fetch.flatten(), top)
            };
            let (before, after) = (bare(&text), bare(&once));
            prop_assert_eq!(&before.0, &after.0);
            prop_assert_eq!(&before.1, &after.1, "the offset stays");
            let most = after.2.or(after.3).or(after.4.map(|top| match top.quantity {
                Some(TopQuantity::Constant(most)) => most,
                Some(TopQuantity::Expr(most)) => literal(&most).unwrap(),
                None => panic!("TOP of nothing"),
            }));
            prop_assert!(most.unwrap() <= rows, "{}", once);
        }
    }
}
