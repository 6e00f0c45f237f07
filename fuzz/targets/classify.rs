//! Judging a statement never panics, takes its time in proportion, and never calls it less than the worst it found.

#![no_main]

use std::time::{Duration, Instant};

use portcullis::domain::classify::{Dialect, sql::classify};

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    let (dialect, statement) = input;
    let dialects = [
        Dialect::Postgres,
        Dialect::Sqlite,
        Dialect::Mysql,
        Dialect::Mssql,
    ];
    let begin = Instant::now();
    let facts = classify(dialects[usize::from(dialect) % 4], statement);
    assert!(
        begin.elapsed() < Duration::from_millis(500 + statement.len() as u64),
        "it took {:?}",
        begin.elapsed()
    );
    assert!(
        facts
            .effects
            .iter()
            .max()
            .is_none_or(|most| *most <= facts.class)
    );
});
