//! `portcullis classify`: what would this do? It judges and prints; it knows no policy and runs nothing.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use super::{Exit, Failure, Format};
use crate::domain::classify::{
    Dialect, Effect, Facts, Object, ObjectAccess, command,
    http::{self, HttpCall},
    sql,
};

const EXAMPLES: &str = "\
Examples:
  portcullis classify --text 'DELETE FROM orders' --dialect postgres
  portcullis classify --text 'kubectl get pods | wc -l' --kind shell
  portcullis classify --text 'GET https://management.azure.com/subscriptions' --kind http
  echo '{\"id\": 1, \"dialect\": \"mysql\", \"sql\": \"SELECT 1\"}' | portcullis classify

Input, one JSON object a line:
  {\"id\": …, \"dialect\": \"postgres|sqlite|mysql|mssql\", \"sql\": \"…\"}
  {\"id\": …, \"kind\": \"argv\", \"input\": [\"kubectl\", \"get\", \"pods\"]}
  {\"id\": …, \"kind\": \"shell\", \"input\": \"…\"}
  {\"id\": …, \"kind\": \"http\", \"input\": {\"method\": \"GET\", \"url\": \"https://…\", \"headers\": {…}, \"body\": \"…\"}}
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
    /// Explain this one instead of reading JSON Lines from standard input: a statement, a command as one would type it,
    /// or `METHOD URL`
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,

    /// What --text is
    #[arg(long, value_enum, default_value = "sql", requires = "text")]
    kind: TextKind,

    /// Whose grammar and built-ins to judge by; for lines that do not say it themselves, too
    #[arg(long, value_enum)]
    dialect: Option<DialectName>,
}

/// What a text on the command line can be. An argument list is a shell string whose words are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TextKind {
    Sql,
    Shell,
    Http,
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
            explain(&judge_text(args.kind, dialect, &text)?, format, stdout)?;
            Ok(Exit::Done)
        }
        None => {
            let stdin = BufReader::with_capacity(1 << 16, io::stdin().lock());
            Ok(judge_lines(stdin, stdout, dialect)?)
        }
    }
}

fn judge_text(kind: TextKind, dialect: Option<Dialect>, text: &str) -> Result<Facts, Failure> {
    match kind {
        TextKind::Sql => {
            let dialect = dialect.ok_or_else(|| {
                Failure::Usage(
                    "--text needs --dialect: postgres, sqlite, mysql or mssql; the same text means different things to them. \
                     For a command or an HTTP call, give --kind"
                        .into(),
                )
            })?;
            Ok(sql::classify(dialect, text))
        }
        TextKind::Shell => Ok(command::classify_shell(text)),
        TextKind::Http => {
            let (method, url) = text.trim().split_once(' ').ok_or_else(|| {
                Failure::Usage(
                    "an HTTP call is `METHOD URL`, such as `GET https://api.example/items`".into(),
                )
            })?;
            Ok(http::classify(&HttpCall {
                method,
                url: url.trim(),
                headers: &[],
                body: None,
            }))
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
    input: Option<Box<RawValue>>,
}

/// An HTTP call as a line gives it.
#[derive(Deserialize)]
struct Call {
    method: String,
    url: String,
    #[serde(default, deserialize_with = "every_header")]
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// Every header field, one that comes twice included: to servers that is something else than either alone.
fn every_header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of header fields, or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut fields: A,
        ) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = fields.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_any(Pairs)
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
        Kind::Argv => {
            let argv: Vec<String> = input(question.input.as_deref(), "an array of strings")?;
            command::classify(&argv)
        }
        Kind::Shell => {
            let script: String = input(question.input.as_deref(), "a string")?;
            command::classify_shell(&script)
        }
        Kind::Http => {
            let call: Call = input(
                question.input.as_deref(),
                "an object with `method`, `url`, and perhaps `headers` and `body`",
            )?;
            let headers: Vec<(&str, &str)> = call
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            http::classify(&HttpCall {
                method: &call.method,
                url: &call.url,
                headers: &headers,
                body: call.body.as_deref().map(str::as_bytes),
            })
        }
    };
    Ok((question.id, facts))
}

fn input<T: DeserializeOwned>(input: Option<&RawValue>, shape: &str) -> Result<T, String> {
    let input = input.ok_or_else(|| format!("`input` is missing: give {shape}"))?;
    serde_json::from_str(input.get()).map_err(|error| format!("`input` is not {shape}: {error}"))
}

/// Explains one statement, command or call to a person, or prints all that is known about it.
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
