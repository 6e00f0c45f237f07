//! What calling a function does. Knows the built-in functions of each server, as reviewed lists in `data/`; a function
//! that is not on them could do anything.

use std::{collections::HashMap, sync::LazyLock};

use super::{super::Effect, Dialect};

/// What calling a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Computes a value.
    Harmless,
    /// Has this effect.
    Has(Effect),
    /// Reads or writes files of the server.
    Files,
    /// Runs SQL that it is handed as text.
    RunsText,
    /// Talks to another server.
    Remote,
    /// Not a known built-in.
    Unlisted,
}

/// What calling the built-in `name` (folded, without its schema) of `dialect` does.
pub(super) fn builtin(dialect: Dialect, name: &str) -> Call {
    let table = match dialect {
        Dialect::Postgres => &*POSTGRES,
        Dialect::Sqlite => &*SQLITE,
        Dialect::Mysql => &*MYSQL,
        Dialect::Mssql => &*MSSQL,
    };
    match table.get(name) {
        Some(call) => *call,
        None if dialect == Dialect::Postgres && name.starts_with("pg_stat_get_") => Call::Harmless,
        None if dialect == Dialect::Mssql && name.starts_with("dm_") => Call::Harmless,
        None => Call::Unlisted,
    }
}

/// The effect of the built-in `name`, if there is one that does more than compute a value.
pub(super) fn effect(dialect: Dialect, name: &str) -> Option<Effect> {
    match builtin(dialect, name) {
        Call::Harmless | Call::Unlisted => None,
        Call::Has(effect) => Some(effect),
        Call::Files | Call::RunsText | Call::Remote => Some(Effect::Admin),
    }
}

/// What running the system procedure `name` of SQL Server does.
pub(super) fn procedure(name: &str) -> Call {
    MSSQL_PROCEDURES
        .get(name)
        .copied()
        .unwrap_or(Call::Unlisted)
}

/// Whether PostgreSQL, or an extension that ships with it, has an operator of this name. `!=` is only another spelling
/// of `<>`: nobody can make one.
pub(super) fn is_postgres_operator(operator: &str) -> bool {
    operator == "!=" || POSTGRES_OPERATORS.contains(&operator)
}

type Table = HashMap<&'static str, Call>;

static POSTGRES: LazyLock<Table> = LazyLock::new(|| {
    let mut table: Table = lines(include_str!("data/postgres_catalog.txt"))
        .filter_map(|line| line.split_once(' '))
        .map(|(_, name)| (name, Call::Harmless))
        .collect();
    table.extend(reviewed(include_str!("data/postgres_effects.txt")));
    table
});
static SQLITE: LazyLock<Table> =
    LazyLock::new(|| reviewed(include_str!("data/sqlite.txt")).collect());
static MYSQL: LazyLock<Table> =
    LazyLock::new(|| reviewed(include_str!("data/mysql.txt")).collect());
static MSSQL: LazyLock<Table> =
    LazyLock::new(|| reviewed(include_str!("data/mssql.txt")).collect());
static MSSQL_PROCEDURES: LazyLock<Table> =
    LazyLock::new(|| reviewed(include_str!("data/mssql_procedures.txt")).collect());

static POSTGRES_OPERATORS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    include_str!("data/postgres_operators.txt")
        .lines()
        .filter(|line| !line.starts_with("# "))
        .collect()
});

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Lines of `effect name name …`.
fn reviewed(text: &'static str) -> impl Iterator<Item = (&'static str, Call)> {
    lines(text).flat_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let call = match words.next() {
            Some("read") => Call::Harmless,
            Some("secret") => Call::Has(Effect::Secret),
            Some("write") => Call::Has(Effect::Write),
            Some("destructive") => Call::Has(Effect::Destructive),
            Some("schema") => Call::Has(Effect::Schema),
            Some("admin") => Call::Has(Effect::Admin),
            Some("file") => Call::Files,
            Some("sql") => Call::RunsText,
            Some("remote") => Call::Remote,
            _ => Call::Unlisted,
        };
        words.map(move |name| (name, call))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_volatile_function_of_postgres_has_been_reviewed() {
        let reviewed: Table = reviewed(include_str!("data/postgres_effects.txt")).collect();
        let missing: Vec<_> = lines(include_str!("data/postgres_catalog.txt"))
            .filter_map(|line| line.strip_prefix("v "))
            .filter(|name| !reviewed.contains_key(name))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn every_function_of_mariadbs_catalog_has_been_reviewed() {
        let missing: Vec<_> = lines(include_str!("data/mysql_catalog.txt"))
            .filter(|name| builtin(Dialect::Mysql, name) == Call::Unlisted)
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn every_function_of_the_bundled_sqlite_has_been_reviewed() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        // Operators (`->`) are no calls.
        let mut functions = sqlite
            .prepare("SELECT DISTINCT name FROM pragma_function_list WHERE name GLOB '[a-z]*'")
            .unwrap();
        let names: Vec<String> = functions
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(names.len() > 100, "only {}", names.len());
        let missing: Vec<_> = names
            .iter()
            .filter(|name| builtin(Dialect::Sqlite, name) == Call::Unlisted)
            .collect();
        assert_eq!(missing, Vec::<&String>::new());
    }

    #[test]
    fn every_line_of_the_lists_names_an_effect() {
        for list in [
            include_str!("data/postgres_effects.txt"),
            include_str!("data/sqlite.txt"),
            include_str!("data/mysql.txt"),
            include_str!("data/mssql.txt"),
            include_str!("data/mssql_procedures.txt"),
        ] {
            for (name, call) in reviewed(list) {
                assert_ne!(
                    call,
                    Call::Unlisted,
                    "the effect of {name} is no word we know"
                );
            }
        }
    }
}
