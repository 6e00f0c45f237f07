//! A result as a table, for a person.

use std::io::{self, Write};

use serde_json::Value;

use super::output::visible;

/// Wider cells are cut: a table is for looking at, `--format json` has everything.
const WIDEST: usize = 40;

/// Prints at most `most` rows of an outcome's `result`, each line after `indent`.
pub(super) fn print(
    result: &Value,
    most: usize,
    indent: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let columns = result["columns"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows = result["rows"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if columns.is_empty() || rows.is_empty() {
        return Ok(());
    }
    let mut lines = vec![
        columns
            .iter()
            .map(|column| cell(&column["name"]))
            .collect::<Vec<_>>(),
        columns
            .iter()
            .map(|column| {
                if column["masked"].is_string() {
                    "(masked)".into()
                } else {
                    String::new()
                }
            })
            .collect(),
    ];
    for row in rows.iter().take(most) {
        lines.push(row.as_array().into_iter().flatten().map(cell).collect());
    }
    let width = |index: usize| {
        let lengths = lines.iter().filter_map(|line| line.get(index));
        lengths
            .map(|text| text.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .map(|(text, width)| format!("{text:<width$}"))
            .collect();
        let line = cells.join("  ");
        if !line.trim().is_empty() {
            writeln!(out, "{indent}{}", line.trim_end())?;
        }
    }
    if rows.len() > most {
        writeln!(out, "{indent}… {} rows in all", rows.len())?;
    }
    Ok(())
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".into(),
        Value::String(text) => visible(&text.replace(['\n', '\r', '\t'], " ")),
        other => other.to_string(),
    };
    if text.chars().count() > WIDEST {
        text.chars().take(WIDEST - 1).chain(['…']).collect()
    } else {
        text
    }
}
