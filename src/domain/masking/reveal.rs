//! What an agent sends back: pseudonyms become the values they stand for, just before an operation runs.
//!
//! INVARIANT: a value goes where its column's mask is, and nowhere else. A pseudonym is turned back only as a whole literal
//! or parameter that is compared for equality with a column of its domain, or written to one, as `classify` has proven
//! ([`Facts::given`]). Anything else that looks like one stops the whole operation: it would find nothing, or be stored
//! in place of a value.
//!
//! A literal becomes a parameter, so the value is never part of a text that could be looked at (`pg_stat_activity`, a plan,
//! a definition), and no quoting can go wrong. The result is for running alone: what was asked, with its pseudonyms, is
//! what is judged, digested, recorded and shown.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use super::{
    How, Masking,
    pseudonym::{NotOurs, Raw, looks_like_one},
};
use crate::domain::{
    classify::{ColumnRef, Dialect, Facts, GivenValues},
    connection::ConnectionKind,
    operation::{MAX_PARAMS, Operation, Param, SqlOperation},
};

/// Why an operation with pseudonyms in it cannot run. None of them is secret: they came from the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPseudonym {
    /// It is not the counterpart of a column.
    #[error(
        "it holds a pseudonym where nothing can be put in its place: send it as a whole string or parameter that is \
         compared (=, <>, IN, IS NOT DISTINCT FROM, CASE … WHEN) with the masked column it was read from, or written \
         to it by name"
    )]
    Elsewhere,
    /// The column is not one whose pseudonyms are turned back.
    #[error(
        "it compares a pseudonym with `{0}`, which shows no pseudonyms, or not surely: name the table (and its schema) \
         and the masked column it was read from"
    )]
    Column(String),
    /// It was not made for this column.
    #[error(
        "it holds what looks like a pseudonym of `{0}` and is none: altered or cut, read from a column of another \
         domain, or made under a key that has changed since; read it again and send it unchanged"
    )]
    NotOurs(String),
    /// It stands for a value that is too long.
    #[error(
        "it holds a pseudonym of `{0}` that cannot be turned back, its value is too long: ask by another column"
    )]
    OneWay(String),
    /// There is no room for a parameter in its place.
    #[error(
        "it holds a pseudonym in its text and parameters that do not all have a number and a value: send the pseudonym \
         as a parameter too"
    )]
    Unnumbered,
}

impl Masking {
    /// `operation` as it is to run: with values in place of their pseudonyms. `facts` are those of the operation.
    pub fn reveal<'o>(
        &self,
        kind: ConnectionKind,
        facts: &Facts,
        operation: &'o Operation,
    ) -> Result<Cow<'o, Operation>, BadPseudonym> {
        // What is no SQL has no columns: a pseudonym in it is a text like any other.
        let (Some(dialect), Some(asked)) = (kind.dialect(), operation.sql()) else {
            return Ok(Cow::Borrowed(operation));
        };
        if !looks_like_one(&asked.statement) && !asked.params.iter().any(holds_one) {
            return Ok(Cow::Borrowed(operation));
        }
        let mut params = asked.params.clone();
        let mut literals: Vec<(Range<usize>, usize)> = Vec::new();
        for given in &facts.given {
            self.reveal_parameters(given, &asked.params, &mut params)?;
            // Equal pseudonyms become one parameter, so that expressions equal in text stay equal.
            let mut known: BTreeMap<&str, usize> = BTreeMap::new();
            for place in &given.literals {
                let Some(text) =
                    inside(&asked.statement, place).filter(|text| looks_like_one(text))
                else {
                    continue;
                };
                let number = match known.get(text) {
                    Some(number) => *number,
                    None => {
                        params.push(self.value_for(&given.columns, text)?);
                        known.insert(text, params.len());
                        params.len()
                    }
                };
                literals.push((place.clone(), number));
            }
        }
        literals.sort_unstable_by_key(|(place, _)| place.start);
        let room = facts.highest_parameter <= asked.params.len() && params.len() <= MAX_PARAMS;
        if !literals.is_empty() && !room {
            return Err(BadPseudonym::Unnumbered);
        }
        let statement = with_parameters(dialect, &asked.statement, &literals)?;
        let left_over = |(before, after): (&Param, &Param)| before == after && holds_one(before);
        if looks_like_one(&statement) || asked.params.iter().zip(&params).any(left_over) {
            return Err(BadPseudonym::Elsewhere);
        }
        Ok(Cow::Owned(Operation::Sql(SqlOperation {
            statement,
            params,
            ..asked.clone()
        })))
    }

    fn reveal_parameters(
        &self,
        given: &GivenValues,
        asked: &[Param],
        params: &mut [Param],
    ) -> Result<(), BadPseudonym> {
        for number in &given.parameters {
            let index = number.wrapping_sub(1);
            if let (Some(Param::Text(text)), Some(param)) =
                (asked.get(index), params.get_mut(index))
                && looks_like_one(text)
            {
                *param = self.value_for(&given.columns, text)?;
            }
        }
        Ok(())
    }

    /// The value behind a pseudonym of every one of `columns`: where the text does not say which of them it is about,
    /// it must be one of each.
    fn value_for<'c>(
        &self,
        columns: impl IntoIterator<Item = &'c ColumnRef>,
        pseudonym: &str,
    ) -> Result<Param, BadPseudonym> {
        let mut domain: Option<(&str, &ColumnRef)> = None;
        for column in columns {
            let own = self
                .domain_of(column)
                .ok_or_else(|| BadPseudonym::Column(told(column)))?;
            match domain {
                Some((first, _)) if first != own => return Err(BadPseudonym::Column(told(column))),
                _ => domain = Some((own, column)),
            }
        }
        let (domain, column) = domain.ok_or(BadPseudonym::Elsewhere)?;
        match self.pseudonyms.value(domain, pseudonym) {
            Ok(Raw::Text(text)) => Ok(Param::Text(text)),
            Ok(Raw::Number(digits)) => Ok(Param::Number(digits.into())),
            Err(NotOurs::Unproven) => Err(BadPseudonym::NotOurs(told(column))),
            Err(NotOurs::OneWay) => Err(BadPseudonym::OneWay(told(column))),
        }
    }

    /// The domain of a column that surely shows pseudonyms. In doubt it shows none: a value compared with a column that
    /// is not masked would be told by the rows it finds.
    fn domain_of(&self, column: &ColumnRef) -> Option<&str> {
        let relation = column
            .relation
            .as_deref()
            .filter(|_| column.column != "*")?;
        let rule = &self.columns[self.compiled_column(Some(relation), &column.column)?];
        (rule.rule().as_ == How::Pseudonym && rule.surely_about(relation)).then(|| rule.domain())
    }
}

fn told(column: &ColumnRef) -> String {
    match &column.relation {
        Some(relation) => format!("{relation}.{}", column.column),
        None => column.column.clone(),
    }
}

fn holds_one(param: &Param) -> bool {
    param.as_text().is_some_and(looks_like_one)
}

/// What stands between the quotes of a literal.
fn inside<'s>(statement: &'s str, place: &Range<usize>) -> Option<&'s str> {
    let (_, quoted) = statement.get(place.clone())?.split_once('\'')?;
    quoted.strip_suffix('\'')
}

/// `statement` with numbered parameters in place of literals, which are in order.
fn with_parameters(
    dialect: Dialect,
    statement: &str,
    literals: &[(Range<usize>, usize)],
) -> Result<String, BadPseudonym> {
    let mut out = String::with_capacity(statement.len());
    let mut from = 0;
    for (place, number) in literals {
        let sign = match dialect {
            Dialect::Postgres => '$',
            Dialect::Sqlite => '?',
            // Their parameters have no numbers in the text.
            Dialect::Mysql | Dialect::Mssql => return Err(BadPseudonym::Unnumbered),
        };
        out.push_str(&statement[from..place.start]);
        // What stands beside a quote may not stand beside a number.
        out.push_str(&format!(" {sign}{number} "));
        from = place.end;
    }
    out.push_str(&statement[from..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ColumnRule, InPredicates, MaskingRules},
        *,
    };
    use crate::domain::classify::sql::classify;

    /// `customers.email` and `orders.email` are of one domain, `customers.name` is not, `audit.email` is redacted, and
    /// `secret.people.email` is masked in that schema alone.
    fn masking() -> Masking {
        let rule = |pattern: &str, as_: How| ColumnRule {
            pattern: pattern.into(),
            as_,
            domain: None,
            in_predicates: InPredicates::Allow,
        };
        let columns = vec![
            rule("*.customers.email", How::Pseudonym),
            rule("*.customers.name", How::Pseudonym),
            rule("*.customers.salary", How::Pseudonym),
            rule("orders.email", How::Pseudonym),
            ColumnRule {
                domain: Some("email".into()),
                ..rule("orders.contact", How::Pseudonym)
            },
            rule("audit.email", How::Redact),
            rule("secret.people.email", How::Pseudonym),
        ];
        let rules = MaskingRules {
            columns,
            key: [3; 32],
            ..MaskingRules::default()
        };
        Masking::compile(rules).unwrap()
    }

    fn shown(domain: &str, value: &str) -> String {
        let value = match value.parse::<i64>() {
            Ok(_) => Raw::Number(value.into()),
            Err(_) => Raw::Text(value.into()),
        };
        masking().pseudonyms.of(domain, &value).unwrap()
    }

    fn reveal(
        kind: ConnectionKind,
        sql: &str,
        params: &[Param],
    ) -> Result<SqlOperation, BadPseudonym> {
        let operation = SqlOperation::new(sql.into(), params.to_vec(), None).unwrap();
        let facts = classify(kind.dialect().unwrap(), sql);
        let operation = Operation::Sql(operation);
        let revealed = masking().reveal(kind, &facts, &operation)?;
        Ok(revealed.sql().unwrap().clone())
    }

    fn text(value: &str) -> Param {
        Param::Text(value.into())
    }

    #[test]
    fn a_literal_becomes_a_parameter_that_holds_the_value() {
        let p = shown("email", "o'hara\\@x.example");
        let q = shown("email", "bob@x.example");
        let sql = format!(
            "SELECT CASE email WHEN '{p}' THEN 1 END FROM customers WHERE id = $1 AND email IN ('{q}',E'{p}')AND note <> 'y'"
        );
        let revealed =
            reveal(ConnectionKind::Postgres, &sql, &[Param::Number("1".into())]).unwrap();
        assert_eq!(
            revealed.statement,
            "SELECT CASE email WHEN  $2  THEN 1 END FROM customers WHERE id = $1 AND email IN ( $3 , $2 )AND note <> 'y'"
        );
        let expected = [
            Param::Number("1".into()),
            text("o'hara\\@x.example"),
            text("bob@x.example"),
        ];
        assert_eq!(revealed.params, expected);
        let sql = format!("DELETE FROM customers WHERE email = '{}'", p.to_uppercase());
        let revealed = reveal(ConnectionKind::Sqlite, &sql, &[]).unwrap();
        assert_eq!(
            revealed.statement,
            "DELETE FROM customers WHERE email =  ?1 "
        );
        assert_eq!(revealed.params, expected[1..2]);
    }

    #[test]
    fn a_parameter_gets_the_value_and_a_number_stays_one() {
        let p = shown("salary", "731902");
        let sql = "UPDATE customers SET salary = $2 WHERE id = $1";
        let params = [Param::Number("1".into()), text(&p)];
        let revealed = reveal(ConnectionKind::Postgres, sql, &params).unwrap();
        assert_eq!(revealed.statement, sql);
        assert_eq!(revealed.params[1], Param::Number("731902".into()));
    }

    #[test]
    fn columns_of_one_domain_take_each_others_pseudonyms() {
        let p = shown("email", "bob@x.example");
        for sql in [
            format!("SELECT * FROM orders WHERE email = '{p}'"),
            format!("SELECT * FROM shop.orders WHERE contact = '{p}'"),
            format!("SELECT * FROM customers JOIN orders USING (email) WHERE email = '{p}'"),
            format!("INSERT INTO orders (contact) VALUES ('{p}')"),
        ] {
            assert!(reveal(ConnectionKind::Postgres, &sql, &[]).is_ok(), "{sql}");
        }
    }

    #[test]
    fn what_has_no_pseudonym_is_left_as_it_is() {
        let sql = "SELECT * FROM customers WHERE email = 'bob@x.example' -- pseudonym";
        let params = [text("+999 1")];
        let revealed = reveal(ConnectionKind::Postgres, sql, &params).unwrap();
        assert_eq!(
            (revealed.statement.as_str(), &revealed.params[..]),
            (sql, &params[..])
        );
    }

    #[test]
    fn a_pseudonym_anywhere_else_stops_the_operation() {
        use BadPseudonym as Bad;
        let p = shown("email", "bob@x.example");
        let name = shown("name", "Bob");
        let long = shown("email", &"x".repeat(300));
        let elsewhere = |sql: &str| (sql.to_owned(), Bad::Elsewhere);
        let column = |sql: String, column: &str| (sql, Bad::Column(column.into()));
        let not_ours = |sql: String, column: &str| (sql, Bad::NotOurs(column.into()));
        let altered = |from: usize, to: &str| p.replacen(&p[from..from + 1], to, 1);
        for (sql, refused) in [
            elsewhere(&format!("SELECT '{p}'")),
            elsewhere(&format!("SELECT '{p}' FROM customers WHERE email = '{p}'")),
            elsewhere(&format!("SELECT * FROM customers WHERE email LIKE '{p}'")),
            elsewhere(&format!("SELECT * FROM customers WHERE email < '{p}'")),
            elsewhere(&format!(
                "SELECT * FROM customers WHERE email = '{p}' || ''"
            )),
            elsewhere(&format!(
                "SELECT * FROM customers WHERE email || 'x' = '{p}'"
            )),
            elsewhere(&format!("SELECT * FROM customers WHERE email = $${p}$$")),
            elsewhere(&format!("SELECT 1 -- {p}")),
            elsewhere(&format!("SELECT 1 AS \"{p}\"")),
            elsewhere(&format!("INSERT INTO customers VALUES (1, '{p}')")),
            elsewhere(&format!(
                "EXPLAIN SELECT * FROM customers WHERE email = '{p}'"
            )),
            elsewhere(&format!(
                "CREATE VIEW v AS SELECT * FROM customers WHERE email = '{p}'"
            )),
            column(
                format!("SELECT * FROM other WHERE email = '{p}'"),
                "other.email",
            ),
            column(
                format!("SELECT * FROM customers WHERE town = '{p}'"),
                "customers.town",
            ),
            column(
                format!("SELECT * FROM audit WHERE email = '{p}'"),
                "audit.email",
            ),
            column(
                format!("SELECT * FROM people WHERE email = '{p}'"),
                "people.email",
            ),
            column(
                format!("SELECT * FROM customers, other WHERE email = '{p}'"),
                "other.email",
            ),
            column(
                format!(
                    "SELECT * FROM (SELECT email AS e FROM customers UNION SELECT town FROM other) AS s WHERE e = '{p}'"
                ),
                "other.town",
            ),
            not_ours(
                format!("SELECT * FROM customers WHERE email = '{name}'"),
                "customers.email",
            ),
            not_ours(
                format!("SELECT * FROM customers WHERE email = E'{p}\\''"),
                "customers.email",
            ),
            not_ours(
                format!("UPDATE customers SET name = '{p}'"),
                "customers.name",
            ),
            not_ours(
                format!("SELECT * FROM customers WHERE email = ' {p}'"),
                "customers.email",
            ),
            not_ours(
                format!("SELECT * FROM customers WHERE email = '{p}'\n''"),
                "customers.email",
            ),
            not_ours(
                format!(
                    "SELECT * FROM customers WHERE email = '{}'",
                    altered(3, "1")
                ),
                "customers.email",
            ),
            (
                format!("SELECT * FROM customers WHERE email = '{long}'"),
                Bad::OneWay("customers.email".into()),
            ),
            (
                format!("SELECT $1, * FROM customers WHERE email = '{p}'"),
                Bad::Unnumbered,
            ),
        ] {
            assert_eq!(
                reveal(ConnectionKind::Postgres, &sql, &[]),
                Err(refused),
                "{sql}"
            );
        }
        let sql = "SELECT $1::text, * FROM customers WHERE email = $1";
        assert_eq!(
            reveal(ConnectionKind::Postgres, sql, &[text(&p)]),
            Err(Bad::Elsewhere)
        );
        let sql = "SELECT * FROM customers WHERE email = $1";
        let json = Param::Json(format!("[\"{p}\"]").into());
        assert_eq!(
            reveal(ConnectionKind::Postgres, sql, &[json]),
            Err(Bad::Elsewhere)
        );
        let qualified = format!("SELECT * FROM secret.people WHERE email = '{p}'");
        assert!(reveal(ConnectionKind::Postgres, &qualified, &[]).is_ok());
        let sql = format!("SELECT * FROM customers WHERE email = '{p}' AND id = ?");
        assert_eq!(
            reveal(ConnectionKind::Sqlite, &sql, &[Param::Null]),
            Err(Bad::Elsewhere)
        );
    }
}
