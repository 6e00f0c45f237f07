//! `portcullis policy`: check a policy, test it against cases, explain one decision, print the file's JSON Schema.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Exit, Failure, Format, client::block_on, output::visible};
use crate::{
    app,
    catalog::read_files,
    config,
    domain::{
        classify::{Effect, Facts},
        operation::{MAX_STATEMENT, Operation, SqlOperation},
        policy::{
            self, Decision, Policy, PolicyErrors, Question, Verdict,
            cases::{Case, CaseFile, Outcome, asker, connection_named, deciding_rule, told},
            evaluate,
        },
        principal::{Principal, PrincipalKind},
        rewrite::{is_no_worse, rewrite},
        session::verdict_on_rewritten,
    },
};

/// Arguments of `portcullis policy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a policy, and where
    Check {
        /// A policy file, or a folder of them
        path: PathBuf,
        /// Also ask each connection's server whether its read credential can only read; needs the policy's secrets, in
        /// the environment or in the Key Vault that PORTCULLIS_KEY_VAULT names
        #[arg(long)]
        connect: bool,
    },
    /// Ask a policy the cases in a folder's files, and say which are not answered as they must be
    #[command(after_help = CASE_FILES)]
    Test {
        /// A folder of case files, or one of them
        path: PathBuf,
        /// The policy to ask, whatever the case files name
        #[arg(long)]
        policy: Option<PathBuf>,
    },
    /// Say how a policy would decide one statement, and why
    #[command(after_help = "Exit code: 0 allowed, 3 denied, 4 held for approval. Nothing is run.")]
    Explain(Explain),
    /// Print the JSON Schema of a policy file
    Schema,
}

const CASE_FILES: &str = "\
A case file:

  policy: ../policy.yaml
  cases:
    - name: agents may read
      as: { id: bot, kind: agent, groups: [ai-agents], app_roles: [] }
      connection: crm
      sql: SELECT name FROM customers
      expect: allow            # or deny, or { require_approval: GROUP }
      rule: reads              # optional: the rule that must decide
      at: 2026-01-15T23:00:00Z # needed where the answer depends on the hour";

/// Arguments of `portcullis policy explain`.
#[derive(Debug, clap::Args)]
struct Explain {
    /// The policy: a file, or a folder of them
    #[arg(long)]
    policy: PathBuf,
    /// The connection it would run on
    #[arg(long)]
    connection: String,
    /// Who asks, with or without `agent:`, `user:` or `app:` before the name
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// The asker's groups, with commas between them
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// The asker's app roles, with commas between them
    #[arg(long, value_delimiter = ',')]
    app_roles: Vec<String>,
    /// The asker is a person
    #[arg(long, group = "kind")]
    human: bool,
    /// The asker is an agent (so it is if nothing is said)
    #[arg(long, group = "kind")]
    agent: bool,
    /// The asker is another program
    #[arg(long, group = "kind")]
    service: bool,
    /// When, such as 2026-01-15T23:00:00+01:00; now if nothing is said
    #[arg(long)]
    at: Option<Timestamp>,
    /// The statement; `-` reads it from standard input
    sql: String,
}

/// Runs it.
pub(super) fn run(args: Args, format: Format) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    match args.command {
        Command::Check { path, connect } => {
            let checked = check(&path, connect, format, &mut out)?;
            match (connect, checked) {
                (true, Exit::Done) => check_credentials(&path, format, &mut out),
                (_, checked) => Ok(checked),
            }
        }
        Command::Test { path, policy } => test(&path, policy.as_deref(), format, &mut out),
        Command::Explain(explain) => explain.run(format, &mut out),
        Command::Schema => {
            writeln!(out, "{:#}", policy::schema())?;
            Ok(Exit::Done)
        }
    }
}

fn check(
    path: &Path,
    connect: bool,
    format: Format,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let read = read_files(path).map_err(|error| Failure::Failed(error.to_string()))?;
    match (Policy::from_bytes(read), format) {
        (Ok(policy), Format::Text) => {
            let path = path.display();
            let (rules, connections) = (policy.rules.len(), policy.connections.len());
            let rules = counted(rules, "rule");
            let connections = counted(connections, "connection");
            writeln!(out, "{path}: {rules}, {connections}, {}", policy.version)?;
            Ok(Exit::Done)
        }
        (Ok(_), Format::Json) => {
            // One document: what the servers say takes this one's place.
            if !connect {
                writeln!(out, "[]")?;
            }
            Ok(Exit::Done)
        }
        (Err(errors), Format::Text) => {
            let count = counted(errors.problems().len(), "error");
            writeln!(out, "{errors}\n\n{count}: this is not a policy")?;
            Ok(Exit::Code(1))
        }
        (Err(errors), Format::Json) => {
            writeln!(out, "{:#}", json!(errors.problems()))?;
            Ok(Exit::Code(1))
        }
    }
}

/// What the servers say about the policy's read credentials.
fn check_credentials(path: &Path, format: Format, out: &mut impl Write) -> Result<Exit, Failure> {
    let found = block_on(async {
        let vault = config::key_vault(|name| std::env::var(name).ok());
        let asked = app::check_credentials(path, vault.as_deref()).await;
        asked.map_err(|error| Failure::Failed(error.to_string()))
    })?;
    match format {
        Format::Text if found.is_empty() => {
            writeln!(out, "every read credential can read, and nothing else")?;
        }
        Format::Text => {
            for app::Finding {
                connection,
                overreach,
            } in &found
            {
                let (what, mend) = (visible(&overreach.what), visible(&overreach.mend));
                writeln!(out, "\n{connection}: {what}\n  {mend}")?;
            }
            writeln!(out, "\n{}", counted(found.len(), "finding"))?;
        }
        Format::Json => writeln!(out, "{:#}", json!(found))?,
    }
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::Code(1)
    })
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

// ------------------------------------------------------------------------------------------------------- test

fn test(
    path: &Path,
    policy: Option<&Path>,
    format: Format,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let given = policy.map(load).transpose()?;
    let now = Timestamp::now();
    let mut reports = Vec::new();
    for (name, bytes) in read_files(path).map_err(|error| Failure::Failed(error.to_string()))? {
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::Failed(format!("{name} is not UTF-8: save it as UTF-8")))?;
        let Some(file) = CaseFile::parse(&name, &text).map_err(wrong)? else {
            continue;
        };
        let own = match (&given, &file.policy) {
            (Some(_), _) => None,
            (None, Some(policy)) => {
                let folder = Path::new(&name).parent().unwrap_or(Path::new("."));
                Some(load(&folder.join(policy))?)
            }
            (None, None) => {
                return Err(Failure::Usage(format!(
                    "{name} names no policy: add `policy: PATH` to it, or pass --policy"
                )));
            }
        };
        let Some(policy) = own.as_ref().or(given.as_ref()) else {
            continue;
        };
        for case in &file.cases {
            let outcome = case.run(policy, now);
            if format == Format::Text {
                print_case(&name, case, &outcome, out)?;
            }
            reports.push((
                matches!(outcome, Outcome::Passed),
                case_json(&name, case, &outcome),
            ));
        }
    }
    if reports.is_empty() {
        return Err(Failure::Failed(format!(
            "there is no case in {}: see `portcullis policy test --help` for what a case file is",
            path.display()
        )));
    }
    let passed = reports.iter().filter(|(passed, _)| *passed).count();
    let failed = reports.len() - passed;
    match format {
        Format::Text => writeln!(
            out,
            "{}: {passed} passed, {failed} failed",
            counted(reports.len(), "case")
        )?,
        Format::Json => {
            let cases: Vec<Value> = reports.into_iter().map(|(_, report)| report).collect();
            let report = json!({"passed": passed, "failed": failed, "cases": cases});
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(if failed == 0 {
        Exit::Done
    } else {
        Exit::Code(1)
    })
}

fn print_case(file: &str, case: &Case, outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let Outcome::Failed { why, answer } = outcome else {
        return Ok(());
    };
    writeln!(out, "FAILED {} ({file}:{})", case.name, case.line)?;
    writeln!(out, "  {why}")?;
    if let Some(answer) = answer {
        let (facts, verdict) = &**answer;
        writeln!(out, "  the statement is {}: {}", facts.class, facts.why)?;
        print_trace(verdict, "  ", out)?;
    }
    writeln!(out)
}

fn case_json(file: &str, case: &Case, outcome: &Outcome) -> Value {
    let mut report = json!({
        "file": file,
        "line": case.line,
        "name": case.name,
        "passed": matches!(outcome, Outcome::Passed),
    });
    if let Outcome::Failed { why, answer } = outcome {
        report["why"] = json!(why);
        if let Some(answer) = answer {
            let (facts, verdict) = &**answer;
            report["answer"] = answer_json(facts, verdict);
        }
    }
    report
}

// ---------------------------------------------------------------------------------------------------- explain

impl Explain {
    fn run(self, format: Format, out: &mut impl Write) -> Result<Exit, Failure> {
        let policy = load(&self.policy)?;
        let connection = connection_named(&policy, &self.connection).map_err(Failure::Usage)?;
        let statement = match self.sql.as_str() {
            "-" => from_stdin()?,
            _ => self.sql,
        };
        let kind = [
            (self.human, PrincipalKind::Human),
            (self.agent, PrincipalKind::Agent),
            (self.service, PrincipalKind::Service),
        ];
        let kind = kind
            .into_iter()
            .find_map(|(said, kind)| said.then_some(kind));
        let (kind, name) = asker(&self.name, kind).map_err(Failure::Usage)?;
        let set = |names: Vec<String>| -> BTreeSet<String> {
            names
                .iter()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        };
        let principal = Principal::hypothetical(kind, name, set(self.groups), set(self.app_roles));
        let facts = connection.facts_by_text(&statement);
        let now = self.at.unwrap_or_else(Timestamp::now);
        let question = Question {
            principal: &principal,
            connection,
            facts: &facts,
            now,
        };
        let verdict = evaluate(&policy, &question);
        let becomes = becomes(&policy, &question, &verdict.decision, &statement);
        match format {
            Format::Text => {
                writeln!(out, "{}", told(&verdict.decision))?;
                if let Some(Becomes {
                    statement,
                    decision,
                }) = &becomes
                {
                    writeln!(
                        out,
                        "it becomes `{}`: {}",
                        visible(statement),
                        told(decision)
                    )?;
                }
                writeln!(out)?;
                writeln!(
                    out,
                    "`{}` asks on `{}` at {now}",
                    principal.id(),
                    connection.name
                )?;
                writeln!(out, "the statement is {}: {}", facts.class, facts.why)?;
                print_objects(&facts, out)?;
                print_trace(&verdict, "", out)?;
                writeln!(out, "policy {}", policy.version)?;
            }
            Format::Json => {
                let mut answer = answer_json(&facts, &verdict);
                if let Some(Becomes {
                    statement,
                    decision,
                }) = &becomes
                {
                    answer["becomes"] = json!({"statement": statement, "decision": told(decision)});
                }
                answer["principal"] = json!(principal.id());
                answer["connection"] = json!(connection.name);
                answer["at"] = json!(now.to_string());
                answer["policy"] = json!(policy.version);
                writeln!(out, "{answer:#}")?;
            }
        }
        Ok(
            match becomes.map_or(verdict.decision, |becomes| becomes.decision) {
                Decision::Allow { .. } | Decision::Rewrite { .. } => Exit::Done,
                Decision::Deny { .. } => Exit::Denied,
                Decision::RequireApproval { .. } => Exit::PendingApproval,
            },
        )
    }
}

/// What policy makes of a statement that it rewrites, and what it says to that.
struct Becomes {
    statement: String,
    decision: Decision,
}

fn becomes(
    policy: &Policy,
    question: &Question<'_>,
    decision: &Decision,
    statement: &str,
) -> Option<Becomes> {
    let Decision::Rewrite { rule, into } = decision else {
        return None;
    };
    let operation = SqlOperation::new(statement.to_owned(), Vec::new(), None).ok()?;
    let operation = Operation::Sql(operation);
    let refused = |why: String| Becomes {
        statement: statement.to_owned(),
        decision: Decision::Deny {
            rule: Some(rule.clone()),
            message: why,
        },
    };
    Some(
        match rewrite(
            *into,
            question.connection.kind,
            &operation,
            question.facts,
            None,
        ) {
            Err(why) => refused(why),
            Ok(rewritten) => {
                let becomes = rewritten.unwrap_or(operation);
                let statement = becomes.shown().into_owned();
                let facts = question.connection.facts_by_text(&statement);
                if is_no_worse(*into, &facts, question.facts) {
                    let facts = &facts;
                    Becomes {
                        decision: verdict_on_rewritten(
                            policy,
                            &Question { facts, ..*question },
                            &becomes,
                            rule,
                        ),
                        statement,
                    }
                } else {
                    refused("it is not certain that it would do no more then".into())
                }
            }
        },
    )
}

fn from_stdin() -> Result<String, Failure> {
    let mut statement = String::new();
    let limit = u64::try_from(MAX_STATEMENT).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut statement)?;
    Ok(statement)
}

fn print_objects(facts: &Facts, out: &mut impl Write) -> io::Result<()> {
    if !facts.objects.is_empty() {
        let names: Vec<&str> = facts.object_names().into_iter().collect();
        writeln!(out, "it touches {}", names.join(", "))?;
    }
    if facts.unbounded && facts.class != Effect::Unknown {
        writeln!(out, "nothing says which rows")?;
    }
    Ok(())
}

fn print_trace(verdict: &Verdict, indent: &str, out: &mut impl Write) -> io::Result<()> {
    let decided = deciding_rule(&verdict.decision);
    for trace in &verdict.trace {
        let mark = match trace.matched {
            _ if decided == Some(&trace.rule) => "=>",
            true => " +",
            false => " -",
        };
        writeln!(out, "{indent}{mark} {}: {}", trace.rule, trace.why)?;
    }
    Ok(())
}

fn answer_json(facts: &Facts, verdict: &Verdict) -> Value {
    let (action, message, from) = match &verdict.decision {
        Decision::Allow { .. } => ("allow", None, None),
        Decision::Rewrite { .. } => ("rewrite", None, None),
        Decision::Deny { message, .. } => ("deny", Some(message), None),
        Decision::RequireApproval { from, .. } => ("require_approval", None, Some(from)),
    };
    let mut decision = json!({"action": action, "rule": deciding_rule(&verdict.decision)});
    if let Some(message) = message {
        decision["message"] = json!(message);
    }
    if let Some(from) = from {
        decision["from"] = json!(from);
    }
    json!({
        "decision": decision,
        "effect": facts.class,
        "effects": facts.effects,
        "objects": facts.objects,
        "unbounded": facts.unbounded,
        "why": facts.why,
        "rules": verdict.trace,
    })
}

// ----------------------------------------------------------------------------------------------------- loading

fn load(path: &Path) -> Result<Policy, Failure> {
    let read = read_files(path).map_err(|error| Failure::Failed(error.to_string()))?;
    Policy::from_bytes(read).map_err(wrong)
}

fn wrong(errors: PolicyErrors) -> Failure {
    Failure::Failed(format!(
        "{}\n\n{errors}",
        counted(errors.problems().len(), "problem")
    ))
}
