//! `portcullis classify`: what would this do? It judges and prints; it knows no policy and runs nothing.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Exit, Failure, Format};
use crate::domain::classify::{Dialect, Effect, Facts, Object, ObjectAccess, sql};

const EXAMPLES: &str = "\
Examples:
  portcullis classify --text 'DELETE FROM orders' --dialect postgres
  echo '{\"id\": 1, \"dialect\": \"mysql\", \"sql\": \"SELECT 1\"}' | portcullis classify

Input, one JSON object a line:
  {\"id\": …, \"dialect\": \"postgres|sqlite|mysql|mssql\", \"sql\": \"…\"}
Output, one line for each, in the same order:
  {\"id\": …, \"class\": \"read\", \"effects\": [\"read\"], \"objects\": [{\"name\": \"…\", \"access\": \"read\"}], \"why\": \"…\"}

Classes, from harmless to harmful: read, secret (reads, but reveals a credential), write, destructive,
schema, admin, unknown (could not be judged; treat it as the worst).
A line that cannot be read is answered with {\"line\": N, \"error\": \"…\"}; the rest goes on, and the exit
code is 1.";

/// Arguments of `portcullis classify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Explain this one statement instead of reading JSON Lines from standard input
    #[arg(long, value_name = "SQL")]
    text: Option<String>,

    /// Whose grammar and built-ins to judge by; for lines that do not say it themselves, too
    #[arg(long, value_enum)]
    dialect: Option<DialectName>,
}

/// The names a dialect goes by on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectName {
    #[value(alias = "postgresql")]
    Postgres,
    Sqlite,
    #[value(alias = "mariadb")]
    Mysql,
    #[value(alias = "tsql", alias = "sqlserver")]
    Mssql,
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Postgres => Self::Postgres,
            DialectName::Sqlite => Self::Sqlite,
            DialectName::Mysql => Self::Mysql,
            DialectName::Mssql => Self::Mssql,
        }
    }
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    let dialect = args.dialect.map(Dialect::from);
    let stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match args.text {
        Some(text) => {
            let dialect = dialect.ok_or_else(|| {
                Failure::Usage(
                    "--text needs --dialect: postgres, sqlite, mysql or mssql; the same text means different things to them"
                        .into(),
                )
            })?;
            explain(&sql::classify(dialect, &text), format, stdout)?;
            Ok(Exit::Done)
        }
        None => {
            let stdin = BufReader::with_capacity(1 << 16, io::stdin().lock());
            Ok(judge_lines(stdin, stdout, dialect)?)
        }
    }
}

/// One line of input.
#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    id: Value,
    dialect: Option<Dialect>,
    sql: Option<String>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sql,
    Argv,
    Shell,
    Http,
}

/// One line of output.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Value,
    class: Effect,
    effects: Vec<Effect>,
    objects: Vec<&'a Object>,
    why: &'a str,
}

/// Answers every line in order, and goes on after one it cannot read.
fn judge_lines(
    mut input: BufReader<impl Read>,
    mut output: impl Write,
    default: Option<Dialect>,
) -> io::Result<Exit> {
    let mut exit = Exit::Done;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match answer(&line, default) {
            Ok((id, facts)) => serde_json::to_writer(
                &mut output,
                &Answer {
                    id: &id,
                    class: facts.class,
                    effects: facts.effects.iter().copied().collect(),
                    objects: facts.objects.iter().collect(),
                    why: &facts.why,
                },
            )?,
            Err(why) => {
                exit = Exit::Code(1);
                serde_json::to_writer(&mut output, &json!({"line": number, "error": why}))?;
            }
        }
        output.write_all(b"\n")?;
        // Whoever asks line by line waits for this answer before asking on.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush()?;
    Ok(exit)
}

fn answer(line: &[u8], default: Option<Dialect>) -> Result<(Value, Facts), String> {
    let question: Question = serde_json::from_slice(line).map_err(|error| {
        format!("this line is not a question: {error}; see `portcullis classify --help`")
    })?;
    let facts = match question.kind.unwrap_or(Kind::Sql) {
        Kind::Sql => {
            let text = question
                .sql
                .ok_or("`sql` is missing: give the statement as a string")?;
            let dialect = question.dialect.or(default).ok_or(
                "`dialect` is missing: give postgres, sqlite, mysql or mssql, here or with --dialect",
            )?;
            sql::classify_untraced(dialect, &text)
        }
        Kind::Argv | Kind::Shell => Facts::unknown(
            "commands are not judged: this version judges SQL only, so the worst is assumed",
        ),
        Kind::Http => Facts::unknown(
            "HTTP calls are not judged: this version judges SQL only, so the worst is assumed",
        ),
    };
    Ok((question.id, facts))
}

/// Explains one statement to a person, or prints all that is known about it.
fn explain(facts: &Facts, format: Format, mut output: impl Write) -> io::Result<()> {
    if format == Format::Json {
        serde_json::to_writer(&mut output, facts)?;
        writeln!(output)?;
        return output.flush();
    }
    let list = |names: Vec<&str>| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let objects = |access| {
        facts
            .objects
            .iter()
            .filter(|object| object.access == access)
            .map(|object| object.name.as_str())
            .collect::<Vec<_>>()
    };
    writeln!(output, "class      {}", facts.class)?;
    writeln!(output, "why        {}", facts.why)?;
    let effects = facts.effects.iter().map(|effect| effect.as_str()).collect();
    writeln!(output, "effects    {}", list(effects))?;
    let kinds = facts.kinds.iter().map(String::as_str).collect();
    writeln!(output, "kinds      {}", list(kinds))?;
    writeln!(output, "reads      {}", list(objects(ObjectAccess::Read)))?;
    writeln!(output, "writes     {}", list(objects(ObjectAccess::Write)))?;
    let functions = facts.functions.iter().map(String::as_str).collect();
    writeln!(output, "functions  {}", list(functions))?;
    let bounded = if facts.unbounded {
        "no: nothing limits which rows, or it could not be told"
    } else {
        "yes"
    };
    writeln!(output, "bounded    {bounded}")?;
    output.flush()
}
