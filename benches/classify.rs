//! How many statements, commands and HTTP calls a second one core judges. Run by hand, and repeat until the figures settle:
//!
//! ```text
//! cargo bench --bench classify
//! cargo bench --bench classify -- FILE.jsonl      lines of {"dialect", "sql"}
//! ```
//!
//! On one core of a shared machine: 578,000 usual statements a second (what `portcullis classify` does), 62,000 with their columns
//! traced (what the gateway does, once for each statement it remembers). 1 MB of whatever is slowest: 48 ms, where 100 are allowed.
//!
//! How right it is, on the servers' own test suites (Debian's postgresql-15 source: regression, PL/pgSQL, contrib;
//! mariadb-test-data: main): `suites/label.py` beside this file runs them on a throwaway server and says of every statement
//! whether it had an effect, `suites/score.py` compares.
//!
//! | suite | statements | plain reads | not called `read` | valid, called `unknown` | effects the text shows, called `read` |
//! |---|---|---|---|---|---|
//! | PostgreSQL 15.18 | 39,699 | 12,075 | 40 (0.33 %) | 3 (0.01 %) | 0 |
//! | MariaDB 10.11 | 94,658 | 26,388 | 0 | 9 (0.01 %) | 0 |
//!
//! Of the 40 all but one do have an effect that the run could not see, as EXPLAIN ANALYZE of what is refused for another
//! reason, or `nextval` of what finds no row. Apart from these are reads that call functions and operators which are not built in
//! (1,793 and 78: refused), and reads of credentials (24 and 106: `secret`). Called `read` though the run saw an effect are
//! EXPLAIN of a write (nothing runs; MariaDB refuses it in a read-only transaction all the same), what stands behind a view
//! (only a catalog can tell), and texts that only quote a function's name: of each kind of such row some were looked at.
//!
//! Of the same suites' queries that only read, the columns of 76 and 81 % are traced to the end (PostgreSQL, MariaDB).
//!
//! Commands and calls, where 50,000 a second are asked for: 433,000 commands, 305,000 shell strings and 370,000 HTTP calls.

use std::{error::Error, fs, hint::black_box, time::Instant};

use portcullis::domain::classify::{
    Dialect, Facts, command,
    http::{self, HttpCall},
    sql,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Statement {
    dialect: Dialect,
    sql: String,
}

/// One of each kind that agents send most, and a long one.
const USUAL: &[(Dialect, &str)] = &[
    (
        Dialect::Postgres,
        "SELECT id, email FROM public.customers WHERE id = $1",
    ),
    (
        Dialect::Postgres,
        "SELECT c.name, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id \
         WHERE o.created_at > now() - interval '30 days' GROUP BY c.name HAVING count(*) > 3 ORDER BY 3 DESC LIMIT 20",
    ),
    (
        Dialect::Postgres,
        "UPDATE accounts SET balance = balance - 10 WHERE id = 42",
    ),
    (
        Dialect::Postgres,
        "WITH d AS (DELETE FROM orders WHERE created_at < '2020-01-01' RETURNING id) SELECT count(*) FROM d",
    ),
    (
        Dialect::Sqlite,
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1",
    ),
    (
        Dialect::Mysql,
        "SELECT `id`, `email` FROM `users` WHERE `email` LIKE 'a%' LIMIT 10, 20",
    ),
    (
        Dialect::Mysql,
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y') ON DUPLICATE KEY UPDATE b = VALUES(b)",
    ),
    (
        Dialect::Mssql,
        "SELECT TOP 10 * FROM dbo.Users WITH (NOLOCK) WHERE Name = @p0 ORDER BY Id",
    ),
];

/// Commands as agents send them.
const COMMANDS: &[&[&str]] = &[
    &[
        "az",
        "vm",
        "list",
        "--resource-group",
        "rg-app",
        "--query",
        "[].name",
        "-o",
        "tsv",
    ],
    &[
        "az",
        "network",
        "vnet",
        "subnet",
        "show",
        "-g",
        "rg",
        "--vnet-name",
        "v",
        "-n",
        "s",
    ],
    &["az", "group", "delete", "-n", "rg", "--yes"],
    &[
        "kubectl", "-n", "prod", "get", "pods,svc", "-l", "app=web", "-o", "wide",
    ],
    &["kubectl", "delete", "pod", "web", "--dry-run=server"],
    &["git", "log", "--oneline", "-20", "--stat"],
    &[
        "curl",
        "-sS",
        "-H",
        "Accept: application/json",
        "https://api.example/items?page=2",
    ],
];

const SCRIPTS: &[&str] = &[
    "kubectl get pods -n prod -o json | jq '.items[].metadata.name' | sort | uniq -c",
    "az vm list -o tsv 2>/dev/null | wc -l",
    "if test -f plan; then terraform show plan; else echo \"none: $(date)\"; fi",
];

const CALLS: &[(&str, &str, Option<&str>)] = &[
    (
        "GET",
        "https://management.azure.com/subscriptions/0000/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/v?api-version=2023-01-01",
        None,
    ),
    (
        "POST",
        "https://management.azure.com/subscriptions/0000/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/a/listKeys?api-version=1",
        None,
    ),
    (
        "GET",
        "https://k8s.example:6443/api/v1/namespaces/prod/pods?labelSelector=app%3Dweb&limit=500",
        None,
    ),
    (
        "POST",
        "https://api.example/graphql",
        Some("{\"query\": \"query Q { viewer { name repos(first: 10) { id } } }\"}"),
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if files.is_empty() {
        let usual: Vec<_> = USUAL
            .iter()
            .map(|(dialect, sql)| Statement {
                dialect: *dialect,
                sql: (*sql).to_owned(),
            })
            .collect();
        measure("usual statements", &usual);
        rate("commands", COMMANDS, |argv| command::classify(argv));
        rate("shell strings", SCRIPTS, |script| {
            command::classify_shell(script)
        });
        rate("HTTP calls", CALLS, |(method, url, body)| {
            http::classify(&HttpCall {
                method,
                url,
                headers: &[("content-type", "application/json")],
                body: body.map(str::as_bytes),
            })
        });
        worst_cases();
    }
    for file in files {
        let statements = fs::read_to_string(&file)?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Statement>, _>>()?;
        measure(&file, &statements);
    }
    Ok(())
}

fn rate<T, R>(name: &str, inputs: &[T], judge: impl Fn(&T) -> R) {
    // The tables are read once, before anything is measured.
    for input in inputs {
        black_box(judge(input));
    }
    let rounds = 400_000 / inputs.len();
    let started = Instant::now();
    for _ in 0..rounds {
        for input in inputs {
            black_box(judge(black_box(input)));
        }
    }
    let each = (rounds * inputs.len()) as f64 / started.elapsed().as_secs_f64();
    println!("{name}: {each:.0}/s");
}

fn measure(name: &str, statements: &[Statement]) {
    measure_with(name, statements, sql::classify);
    measure_with(
        &format!("{name}, columns not traced"),
        statements,
        sql::classify_untraced,
    );
}

fn measure_with(name: &str, statements: &[Statement], judge: fn(Dialect, &str) -> Facts) {
    let rounds = 200_000 / statements.len().max(1) + 1;
    let bytes: usize = statements.iter().map(|statement| statement.sql.len()).sum();
    let started = Instant::now();
    for _ in 0..rounds {
        for statement in statements {
            black_box(judge(statement.dialect, black_box(&statement.sql)));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{name}: {:.0} statements/s, {:.0} MB/s",
        (rounds * statements.len()) as f64 / seconds,
        (rounds * bytes) as f64 / seconds / 1e6,
    );
}

/// What an attacker would send to make the gate itself fall over: each must stay under 100 ms.
fn worst_cases() {
    let cases = [
        (
            "1 MB of a literal",
            format!("SELECT '{}'", "x".repeat(1 << 20)),
        ),
        ("1 MB of parentheses", "(".repeat(1 << 20)),
        ("1 MB of 1+1+…", format!("SELECT 1{}", "+1".repeat(1 << 19))),
        (
            "1 MB of an IN list",
            format!("SELECT 1 WHERE a IN (1{})", ",1".repeat(1 << 19)),
        ),
        ("1 MB of semicolons", ";".repeat(1 << 20)),
        (
            "1 MB of tables",
            format!("SELECT * FROM t{}", ",t".repeat(1 << 19)),
        ),
        (
            "100,000 aliases",
            format!("SELECT * FROM t{}", ", pg_authid a".repeat(80_000)),
        ),
        (
            "100,000 ORs",
            format!("DELETE FROM t WHERE a{}", " OR a".repeat(100_000)),
        ),
        (
            "100,000 comparisons",
            format!("DELETE FROM t WHERE a{}", " = a".repeat(100_000)),
        ),
        ("50,000 common table expressions", {
            let list: Vec<String> = (0..25_000)
                .map(|n| format!("c{n} AS (SELECT 1 FROM c)"))
                .collect();
            format!("WITH {} SELECT 1", list.join(", "))
        }),
        (
            "10,000 unions",
            format!("SELECT 1{}", " UNION SELECT 1".repeat(10_000)),
        ),
        ("1 MB of dollar quotes", "$a$".repeat(350_000)),
        ("1 MB of comment openings", "/*".repeat(1 << 19)),
    ];
    for (name, text) in cases {
        for dialect in [
            Dialect::Postgres,
            Dialect::Sqlite,
            Dialect::Mysql,
            Dialect::Mssql,
        ] {
            let started = Instant::now();
            let class = black_box(sql::classify(dialect, &text)).class;
            let spent = started.elapsed().as_secs_f64() * 1e3;
            if spent > 20.0 || dialect == Dialect::Postgres {
                println!("{name}, {dialect:?}: {class} in {spent:.1} ms");
            }
        }
    }
}
