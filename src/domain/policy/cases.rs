//! Cases a policy is tested with: who asks what, and what policy must say.
//!
//! A case file is read like a policy file: every mistake in it is told with its place.

use std::{borrow::Cow, collections::BTreeSet};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    ApproverGroupName, ConnectionRules, Decision, Policy, PolicyErrors, Question, RuleName,
    Verdict, evaluate,
    problem::{Problems, choices, quoted},
    read::{At, FromNode, OneOrMore, mapping, scalar, wanted, word},
    yaml::{self, Node, Value},
};
use crate::domain::{
    classify::Facts,
    principal::{Principal, PrincipalKind},
    rewrite::Rewrite,
};

mapping! {
    /// Cases for a policy.
    struct CaseFileDocument: "a case file" {
        /// The policy, a file or a folder, seen from this file.
        policy: Option<At<String>>,
        /// The cases.
        cases: At<Vec<At<CaseDocument>>>,
    }

    /// Who asks what, and what policy must say.
    struct CaseDocument: "a case" {
        /// What it shows.
        name: At<String>,
        /// Who asks.
        r#as: AskerDocument,
        /// Where.
        connection: At<String>,
        /// What.
        sql: At<String>,
        /// When, such as 2026-01-15T23:00:00+01:00. Without it the answer must be the same at every hour.
        at: Option<At<InstantText>>,
        /// `allow`, `deny`, `{ require_approval: GROUP }`, or `{ rewrite: dry_run }` and the like.
        expect: Expected,
        /// The rule that must decide.
        rule: Option<At<String>>,
    }

    /// Who asks.
    struct AskerDocument: "`as`" {
        /// The name, with or without `agent:`, `user:` or `app:` before it.
        id: At<String>,
        /// `agent` if not given.
        kind: Option<PrincipalKind>,
        /// Groups from the token.
        groups: Option<Vec<String>>,
        /// App roles from the token.
        app_roles: Option<Vec<String>>,
    }
}

impl FromNode for PrincipalKind {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const KINDS: [(&str, PrincipalKind); 3] = [
            ("agent", PrincipalKind::Agent),
            ("human", PrincipalKind::Human),
            ("service", PrincipalKind::Service),
        ];
        word(node, "a kind of principal", &KINDS, problems)
    }
}

/// A moment, with its offset from UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstantText(Timestamp);

impl FromNode for InstantText {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let text = scalar(node, "a moment", problems)?;
        let parsed = text.parse().map(Self);
        if parsed.is_err() {
            problems.suggest(
                node.place,
                format!("{} is not a moment", quoted(text)),
                "write it like 2026-01-15T23:00:00Z or 2026-01-15T23:00:00+01:00",
            );
        }
        parsed.ok()
    }
}

impl JsonSchema for InstantText {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// What policy must say.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Expected {
    /// Let through.
    Allow,
    /// Refuse.
    Deny,
    /// Hold it for exactly these groups.
    RequireApproval(BTreeSet<String>),
    /// Let it through, rewritten so.
    Rewrite(Rewrite),
}

impl FromNode for Expected {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        const HOW: &str = "write allow, deny, { require_approval: GROUP } or { rewrite: dry_run }";
        if let Value::Map(entries) = &node.value
            && let [(key, value)] = entries.as_slice()
            && key.text == "rewrite"
        {
            return Rewrite::read(value, problems).map(Self::Rewrite);
        }
        if let Value::Map(entries) = &node.value
            && let [(key, value)] = entries.as_slice()
            && key.text == "require_approval"
        {
            let OneOrMore(groups) = OneOrMore::<String>::read(value, problems)?;
            return Some(Self::RequireApproval(groups.into_iter().collect()));
        }
        match &node.value {
            Value::Scalar { text, .. } if text == "allow" => Some(Self::Allow),
            Value::Scalar { text, .. } if text == "deny" => Some(Self::Deny),
            Value::Scalar { text, .. } if !node.is_empty() => {
                let hint = choices(
                    text,
                    "allowed",
                    ["allow", "deny", "require_approval", "rewrite"],
                );
                let message = format!("{} is not something to expect", quoted(text));
                problems.suggest(node.place, message, format!("{hint}; {HOW}"));
                None
            }
            _ => {
                wanted(node, "what is expected", problems);
                None
            }
        }
    }
}

impl Expected {
    fn is_met_by(&self, decision: &Decision) -> bool {
        match (self, decision) {
            (Self::Allow, Decision::Allow { .. }) | (Self::Deny, Decision::Deny { .. }) => true,
            (Self::Rewrite(expected), Decision::Rewrite { into, .. }) => expected == into,
            (Self::RequireApproval(groups), Decision::RequireApproval { from, .. }) => {
                from.iter()
                    .map(|group| group.0.as_ref())
                    .collect::<BTreeSet<&str>>()
                    == groups.iter().map(String::as_str).collect()
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny => f.write_str("deny"),
            Self::Rewrite(into) => write!(f, "{into}"),
            Self::RequireApproval(groups) => {
                let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                write!(f, "approval by {}", groups.join(" and "))
            }
        }
    }
}

/// Cases for one policy.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// The policy they are for, seen from the file.
    pub policy: Option<String>,
    /// At least one.
    pub cases: Vec<Case>,
}

/// Who asks what, and what policy must say.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line it begins at.
    pub line: usize,
    /// Who asks.
    asker: Principal,
    /// Where.
    connection: String,
    /// What.
    statement: String,
    /// When; `None`: whenever.
    at: Option<Timestamp>,
    /// What policy must say.
    pub expected: Expected,
    /// Which rule must say it.
    pub rule: Option<String>,
}

/// How a case went.
#[derive(Debug)]
pub enum Outcome {
    /// Policy says what it must.
    Passed,
    /// Policy says something else.
    Failed {
        /// What is wrong.
        why: String,
        /// What policy says, and to which facts; `None`: it could not be asked.
        answer: Option<Box<(Facts, Verdict)>>,
    },
}

impl CaseFile {
    /// Reads a case file; `None`: it is a policy, and no case file.
    pub fn parse(name: &str, text: &str) -> Result<Option<Self>, PolicyErrors> {
        let files = [(name.to_owned(), text.to_owned())];
        let mut problems = Problems::of(&files);
        let node = yaml::read(0, text, &mut problems);
        if let Some(Node {
            value: Value::Map(entries),
            ..
        }) = &node
            && entries.iter().any(|(key, _)| key.text == "version")
            && entries.iter().all(|(key, _)| key.text != "cases")
        {
            return Ok(None);
        }
        let document = node.and_then(|node| CaseFileDocument::read(&node, &mut problems));
        if let Some(CaseFileDocument { cases, .. }) = &document
            && cases.value.is_empty()
            && cases.sound
        {
            problems.suggest(
                cases.place,
                "there is no case here",
                "add one, or remove the file",
            );
        }
        for case in document.iter().flat_map(|document| &document.cases.value) {
            let AskerDocument { id, kind, .. } = &case.value.r#as;
            if let Err(message) = asker(&id.value, *kind) {
                problems.add(id.place, message);
            }
        }
        let document = problems.none_or(document)?;
        let who = |document: AskerDocument| {
            let AskerDocument {
                id,
                kind,
                groups,
                app_roles,
            } = document;
            let groups = groups.into_iter().flatten().collect();
            let app_roles = app_roles.into_iter().flatten().collect();
            let (kind, name) = asker(&id.value, kind).unwrap_or((PrincipalKind::Agent, &id.value));
            Principal::hypothetical(kind, name, groups, app_roles)
        };
        let case = |At { value, place, .. }: At<CaseDocument>| Case {
            name: value.name.value,
            line: text[..place.start].matches('\n').count() + 1,
            asker: who(value.r#as),
            connection: value.connection.value,
            statement: value.sql.value,
            at: value.at.map(|at| at.value.0),
            expected: value.expect,
            rule: value.rule.map(|rule| rule.value),
        };
        Ok(Some(Self {
            policy: document.policy.map(|policy| policy.value),
            cases: document.cases.value.into_iter().map(case).collect(),
        }))
    }
}

impl Case {
    /// Asks `policy`. A case that does not say when is asked at `now` and at every moment of that day at which some
    /// rule begins or ends to hold: what depends on the hour must say so.
    pub fn run(&self, policy: &Policy, now: Timestamp) -> Outcome {
        let failed = |why: String, answer: Option<(Facts, Verdict)>| Outcome::Failed {
            why,
            answer: answer.map(Box::new),
        };
        let connection = match connection_named(policy, &self.connection) {
            Ok(connection) => connection,
            Err(why) => return failed(why, None),
        };
        let facts = connection.facts_by_text(&self.statement);
        let ask = |now| {
            let question = Question {
                principal: &self.asker,
                connection,
                facts: &facts,
                now,
            };
            evaluate(policy, &question)
        };
        let verdict = ask(self.at.unwrap_or(now));
        let got = told(&verdict.decision);
        let others = || turning_points(policy, now).map(|moment| (moment, ask(moment)));
        if self.at.is_none()
            && let Some((moment, other)) =
                others().find(|(_, other)| other.decision != verdict.decision)
        {
            let other = told(&other.decision);
            let why = format!(
                "the answer depends on the hour ({got}; but at {moment} {other}): say `at`"
            );
            return failed(why, Some((facts, verdict)));
        }
        if !self.expected.is_met_by(&verdict.decision) {
            let why = format!("expected {}, got {got}", self.expected);
            return failed(why, Some((facts, verdict)));
        }
        let decided_by = deciding_rule(&verdict.decision).map(|rule| rule.0.as_ref());
        match self.rule.as_deref() {
            Some(rule) if decided_by != Some(rule) => {
                let why = format!("expected the rule `{rule}` to decide, got {got}");
                failed(why, Some((facts, verdict)))
            }
            _ => Outcome::Passed,
        }
    }
}

/// Every moment of the day around `now` at which a rule begins or ends to hold.
fn turning_points(policy: &Policy, now: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
    policy
        .rules
        .iter()
        .filter_map(|rule| rule.between.as_ref())
        .flat_map(move |hours| {
            let today = hours.zone.to_datetime(now).date();
            [hours.from, hours.until]
                .into_iter()
                .filter_map(move |time| hours.zone.to_timestamp(today.to_datetime(time)).ok())
        })
}

/// The connection of this name, or a sentence that says which there are.
pub fn connection_named<'p>(policy: &'p Policy, name: &str) -> Result<&'p ConnectionRules, String> {
    let mut connections = policy.connections.values();
    connections
        .find(|one| one.name.as_str() == name)
        .ok_or_else(|| {
            let known = policy.connections.keys().map(|name| name.as_str());
            let hint = choices(name, "defined", known);
            format!("the policy has no connection {}: {hint}", quoted(name))
        })
}

/// The rule a decision names.
pub fn deciding_rule(decision: &Decision) -> Option<&RuleName> {
    match decision {
        Decision::Allow { rule }
        | Decision::Rewrite { rule, .. }
        | Decision::RequireApproval { rule, .. } => Some(rule),
        Decision::Deny { rule, .. } => rule.as_ref(),
    }
}

/// The kind and the bare name of someone called `agent:bot`, `user:ada`, `app:ci` or just `bot`; `Err`: the two do not
/// agree.
pub fn asker(name: &str, kind: Option<PrincipalKind>) -> Result<(PrincipalKind, &str), String> {
    let prefixes = [
        ("agent:", PrincipalKind::Agent),
        ("user:", PrincipalKind::Human),
        ("app:", PrincipalKind::Service),
    ];
    let said = prefixes
        .into_iter()
        .find_map(|(prefix, says)| Some((says, name.strip_prefix(prefix)?)));
    match (said, kind) {
        (None, kind) => Ok((kind.unwrap_or(PrincipalKind::Agent), name)),
        (Some((says, _)), Some(kind)) if kind != says => Err(format!(
            "{} is of kind {says}, not {kind}: say one or the other",
            quoted(name)
        )),
        (Some(said), _) => Ok(said),
    }
}

/// A decision in one sentence.
pub fn told(decision: &Decision) -> String {
    match decision {
        Decision::Allow { rule } => format!("allow, by `{rule}`"),
        Decision::Rewrite { rule, into } => format!("rewritten as {into}, by `{rule}`"),
        Decision::Deny {
            rule: Some(rule),
            message,
        } => format!("deny, by `{rule}`: {message}"),
        Decision::Deny {
            rule: None,
            message,
        } => format!("deny: {message}"),
        Decision::RequireApproval { rule, from } => {
            let groups: Vec<String> = from.iter().map(ApproverGroupName::to_string).collect();
            format!("approval by {}, by `{rule}`", groups.join(" and "))
        }
    }
}
