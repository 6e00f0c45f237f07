//! Principal and facts in, decision out.
//!
//! INVARIANT: deny wins; approval wins over rewriting, rewriting over allow; nothing matches is deny. The order of the rules decides which rule
//! is named and in which order approver groups are, never what may happen.
//!
//! A condition is read in favour of refusing. A rule *covers* an operation if it is about all of it: every effect above
//! `read`, every object, and no doubt about either. It *touches* an operation if it is about any part of it, and what
//! is not known could be that part.
//!
//! - What a deny rule touches is refused.
//! - Otherwise, what no other rule covers is refused.
//! - Otherwise, what a rule that asks for approval touches is held for its group, even if another rule allows it: else
//!   adding a second table or a second statement would be a way around the approval.
//! - Otherwise, what a rule that rewrites touches is rewritten, for the same reason.
//! - What is left, a rule allows.

use std::collections::BTreeSet;

use super::{
    ApproverGroupName, Consequence, Decision, Hours, KindPattern, Policy, Question, Rule, RuleName,
    RuleTrace, TablePattern, Verdict, Who, problem::quoted,
};
use crate::domain::{
    classify::{Effect, Facts, UNTOLD},
    connection::ConnectionKind,
    principal::Principal,
    rewrite::Rewrite,
};

/// What `policy` says to `question`, and why each of its rules does or does not say so.
pub fn evaluate(policy: &Policy, question: &Question<'_>) -> Verdict {
    let Question {
        principal,
        connection,
        ..
    } = question;
    if !connection.allow.includes(principal) {
        return not_allowed_here(policy, question);
    }
    let judged: Vec<(&Rule, Match)> = policy
        .rules
        .iter()
        .map(|rule| (rule, judge(rule, question)))
        .collect();
    let is_covered = judged
        .iter()
        .any(|(rule, judged)| *judged == Match::Covers && !is_deny(rule));
    let decision = decide(&judged, is_covered).unwrap_or_else(|| no_rule(question));
    let trace = judged
        .into_iter()
        .map(|(rule, judged)| trace(rule, judged, is_covered))
        .collect();
    Verdict { decision, trace }
}

/// What a rule has to do with an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    /// It is about all of it.
    Covers,
    /// It is about a part of it; for a rule that does not deny, why it does not cover the rest.
    Touches(String),
    /// It is about something else, and why.
    No(String),
}

/// The one place where what rules say is weighed; `None`: no rule covers the operation.
fn decide(judged: &[(&Rule, Match)], is_covered: bool) -> Option<Decision> {
    let touching = || {
        judged
            .iter()
            .filter(|(_, judged)| !matches!(judged, Match::No(_)))
            .map(|(rule, _)| *rule)
    };
    for rule in touching() {
        if let Consequence::Deny(message) = &rule.then {
            return Some(Decision::Deny {
                rule: Some(rule.name.clone()),
                message: message.clone(),
            });
        }
    }
    if !is_covered {
        return None;
    }
    let mut approval: Option<&RuleName> = None;
    let mut from: Vec<ApproverGroupName> = Vec::new();
    for rule in touching() {
        if let Consequence::RequireApproval(group) = &rule.then {
            approval.get_or_insert(&rule.name);
            if !from.contains(group) {
                from.push(group.clone());
            }
        }
    }
    if let Some(rule) = approval {
        return Some(Decision::RequireApproval {
            rule: rule.clone(),
            from,
        });
    }
    let mut rewriting: Option<(&RuleName, Rewrite)> = None;
    for rule in touching() {
        if let Consequence::Rewrite(into) = rule.then
            && rewriting.is_none_or(|(_, other)| into.strictness() > other.strictness())
        {
            rewriting = Some((&rule.name, into));
        }
    }
    if let Some((rule, into)) = rewriting {
        return Some(Decision::Rewrite {
            rule: rule.clone(),
            into,
        });
    }
    let allows = |(rule, judged): &&(&Rule, Match)| {
        *judged == Match::Covers && matches!(rule.then, Consequence::Allow)
    };
    judged.iter().find(allows).map(|(rule, _)| Decision::Allow {
        rule: rule.name.clone(),
    })
}

fn is_deny(rule: &Rule) -> bool {
    matches!(rule.then, Consequence::Deny(_))
}

fn trace(rule: &Rule, judged: Match, is_covered: bool) -> RuleTrace {
    let (matched, why) = match (judged, &rule.then) {
        (Match::No(why), _) | (Match::Touches(why), Consequence::Allow) => (false, why),
        (_, Consequence::Deny(message)) => (true, format!("it matches, and denies: {message}")),
        (Match::Covers, Consequence::Allow) => (true, "it matches, and allows".into()),
        (Match::Covers, Consequence::Rewrite(into)) => {
            (true, format!("it matches, and lets it through as {into}"))
        }
        (Match::Touches(why), Consequence::Rewrite(into)) if is_covered => (
            true,
            format!(
                "another rule covers all of this, and this one rewrites a part of it as {into}: {why}"
            ),
        ),
        (Match::Covers, Consequence::RequireApproval(group)) => (
            true,
            format!("it matches, and asks for approval by `{group}`"),
        ),
        (Match::Touches(why), Consequence::RequireApproval(group)) if is_covered => (
            true,
            format!(
                "another rule covers all of this, and this one asks for approval by `{group}` of a part: {why}"
            ),
        ),
        (Match::Touches(why), Consequence::RequireApproval(_) | Consequence::Rewrite(_)) => {
            (false, why)
        }
    };
    RuleTrace {
        rule: rule.name.clone(),
        matched,
        why,
    }
}

fn no_rule(question: &Question<'_>) -> Decision {
    let effects: Vec<&str> = effects(question.facts).map(Effect::as_str).collect();
    Decision::Deny {
        rule: None,
        message: format!(
            "no rule matches: this is {} on connection `{}`, and what no rule allows is denied. Ask for less, or ask \
             the owner of the policy for a rule (`portcullis policy explain` says why each rule does not match)",
            effects.join(" and "),
            question.connection.name,
        ),
    }
}

fn not_allowed_here(policy: &Policy, question: &Question<'_>) -> Verdict {
    let name = &question.connection.name;
    let why = format!("not considered: connection `{name}` does not allow this principal");
    let trace = policy.rules.iter().map(|rule| RuleTrace {
        rule: rule.name.clone(),
        matched: false,
        why: why.clone(),
    });
    Verdict {
        decision: Decision::Deny {
            rule: None,
            message: format!(
                "`{}` may not use connection `{name}`: {}. Ask the owner of the policy",
                question.principal.id(),
                not_included(&question.connection.allow, "it is allowed to"),
            ),
        },
        trace: trace.collect(),
    }
}

/// What `rule` has to do with what is asked; if nothing, the first condition that does not hold.
fn judge(rule: &Rule, question: &Question<'_>) -> Match {
    if let Err(why) = narrows_to(rule, question) {
        return Match::No(why);
    }
    let covered = || covers(rule, question);
    match (&rule.then, touches(rule, question)) {
        (_, Err(why)) => Match::No(why),
        (Consequence::Deny(_), Ok(())) => Match::Touches(String::new()),
        (_, Ok(())) => match covered() {
            Ok(()) => Match::Covers,
            Err(why) => Match::Touches(why),
        },
    }
}

/// The conditions that hold or do not, whatever the rule says.
fn narrows_to(rule: &Rule, question: &Question<'_>) -> Result<(), String> {
    let here = &question.connection.name;
    if !rule.connections.is_empty() && !rule.connections.contains(here) {
        let about = listed(rule.connections.iter().map(|name| name.as_str()));
        return Err(format!("it is about {about}, not connection `{here}`"));
    }
    who(rule.who.as_ref(), question.principal)?;
    hours(rule.between.as_ref(), question.now)
}

fn touches(rule: &Rule, question: &Question<'_>) -> Result<(), String> {
    let facts = question.facts;
    let dialect = question.connection.kind.dialect();
    touches_effect(&rule.when.effects, facts)?;
    touches_unbounded(rule.when.unbounded, facts)?;
    touches_kind(&rule.when.kinds, facts, question.connection.kind)?;
    touches_table(&rule.when.tables, facts, |pattern, name| {
        dialect.is_some_and(|dialect| pattern.could_match(name, dialect))
    })
}

fn covers(rule: &Rule, question: &Question<'_>) -> Result<(), String> {
    let facts = question.facts;
    let dialect = question.connection.kind.dialect();
    // A person who is asked to approve sees the statement that could not be judged; others would let it pass unseen.
    let takes_unknown = matches!(rule.then, Consequence::RequireApproval(_));
    covers_effects(&rule.when.effects, facts, takes_unknown)?;
    covers_unbounded(rule.when.unbounded, facts)?;
    covers_kinds(&rule.when.kinds, facts, question.connection.kind)?;
    covers_tables(&rule.when.tables, facts, |pattern, name| {
        dialect.is_some_and(|dialect| pattern.surely_matches(name, dialect))
    })
}

fn who(who: Option<&Who>, principal: &Principal) -> Result<(), String> {
    match who {
        Some(who) if !who.includes(principal) => Err(format!(
            "`{}` is not one of those it is about: {}",
            principal.id(),
            not_included(who, "it names")
        )),
        _ => Ok(()),
    }
}

fn not_included(who: &Who, verb: &str) -> String {
    let sets = [
        ("groups", &who.groups),
        ("app roles", &who.app_roles),
        ("principals", &who.principals),
    ];
    let sets: Vec<String> = sets
        .into_iter()
        .filter(|(_, set)| !set.is_empty())
        .map(|(what, set)| format!("{what} {}", listed(set.iter().map(String::as_str))))
        .collect();
    if sets.is_empty() {
        format!("{verb} nobody")
    } else {
        format!("{verb} {}", sets.join(" and "))
    }
}

fn hours(hours: Option<&Hours>, now: jiff::Timestamp) -> Result<(), String> {
    let Some(Hours { from, until, zone }) = hours else {
        return Ok(());
    };
    let local = zone.to_datetime(now).time();
    let inside = if from <= until {
        (*from..*until).contains(&local)
    } else {
        local >= *from || local < *until
    };
    if inside {
        return Ok(());
    }
    let clock = |time: jiff::civil::Time| format!("{:02}:{:02}", time.hour(), time.minute());
    Err(format!(
        "it holds from {} to {} {}, and there it is {}",
        clock(*from),
        clock(*until),
        zone.iana_name().unwrap_or("local time"),
        clock(local),
    ))
}

/// The class and every effect, each once, from harmless to harmful. Reading in order to do more is part of the more.
fn effects(facts: &Facts) -> impl Iterator<Item = Effect> + '_ {
    Effect::ALL.into_iter().filter(|effect| {
        *effect == facts.class || facts.effects.contains(effect) && (*effect != Effect::Read)
    })
}

/// Whether any of it could not be judged: then nothing else about it is certain either.
fn is_unknown(facts: &Facts) -> bool {
    facts.class == Effect::Unknown || facts.effects.contains(&Effect::Unknown)
}

fn touches_effect(named: &BTreeSet<Effect>, facts: &Facts) -> Result<(), String> {
    let any = named.is_empty()
        || named.contains(&facts.class)
        || facts.effects.iter().any(|effect| named.contains(effect));
    if any {
        return Ok(());
    }
    Err(format!(
        "it is about {}, and this is {}",
        listed(named.iter().map(|effect| effect.as_str())),
        listed(effects(facts).map(Effect::as_str)),
    ))
}

fn covers_effects(
    named: &BTreeSet<Effect>,
    facts: &Facts,
    takes_unknown: bool,
) -> Result<(), String> {
    if named.is_empty() {
        return if takes_unknown || effects(facts).all(|effect| effect != Effect::Unknown) {
            Ok(())
        } else {
            Err("this could not be judged, and only a rule that names `unknown` allows that".into())
        };
    }
    let missing: Vec<&str> = effects(facts)
        .filter(|effect| !named.contains(effect))
        .map(Effect::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let also = if effects(facts).all(|effect| !named.contains(&effect)) {
        ""
    } else {
        "also "
    };
    Err(format!(
        "it covers {}, and this is {also}{}",
        listed(named.iter().map(|effect| effect.as_str())),
        listed(missing),
    ))
}

fn touches_unbounded(wanted: Option<bool>, facts: &Facts) -> Result<(), String> {
    match wanted {
        Some(_) if is_unknown(facts) => Ok(()),
        _ => bounded_as(wanted, facts.unbounded),
    }
}

fn covers_unbounded(wanted: Option<bool>, facts: &Facts) -> Result<(), String> {
    bounded_as(wanted, facts.unbounded || is_unknown(facts))
}

fn bounded_as(wanted: Option<bool>, unbounded: bool) -> Result<(), String> {
    match wanted {
        Some(true) if !unbounded => {
            Err("it is about unbounded statements, and this one is bounded".into())
        }
        Some(false) if unbounded => {
            Err("it is about bounded statements, and this one is not known to be bounded".into())
        }
        _ => Ok(()),
    }
}

/// Whether the kinds of all its parts are told. Of SQL that could not be judged they may be those of a part; a program's
/// name and its first words stand there whatever it does.
fn kinds_are_told(facts: &Facts, on: ConnectionKind) -> bool {
    let told = |kind: &String| kind != UNTOLD;
    let is_whole = on.dialect().is_none() || !is_unknown(facts);
    is_whole && !facts.kinds.is_empty() && facts.kinds.iter().all(told)
}

fn touches_kind(patterns: &[KindPattern], facts: &Facts, on: ConnectionKind) -> Result<(), String> {
    let is_one = |kind: &String| patterns.iter().any(|pattern| pattern.matches(kind));
    let could_be_anything = !kinds_are_told(facts, on);
    if patterns.is_empty() || could_be_anything || facts.kinds.iter().any(is_one) {
        return Ok(());
    }
    Err(format!(
        "it is about {}, and this is {}",
        listed(patterns.iter().map(KindPattern::as_str)),
        listed(facts.kinds.iter().map(String::as_str)),
    ))
}

fn covers_kinds(patterns: &[KindPattern], facts: &Facts, on: ConnectionKind) -> Result<(), String> {
    if patterns.is_empty() {
        return Ok(());
    }
    let about = || listed(patterns.iter().map(KindPattern::as_str));
    if !kinds_are_told(facts, on) {
        return Err(format!(
            "it is about {}, and of what kind this is is not known",
            about()
        ));
    }
    let is_one = |kind: &str| patterns.iter().any(|pattern| pattern.matches(kind));
    let mut kinds = facts.kinds.iter();
    match kinds.find(|kind| !is_one(kind)) {
        None => Ok(()),
        Some(kind) => Err(format!(
            "it is about {}, and this is also {}",
            about(),
            quoted(kind)
        )),
    }
}

fn touches_table(
    patterns: &[TablePattern],
    facts: &Facts,
    matches: impl Fn(&TablePattern, &str) -> bool,
) -> Result<(), String> {
    let could_be_anything = is_unknown(facts);
    let mut objects = facts.objects.iter();
    let any = objects.any(|object| {
        patterns
            .iter()
            .any(|pattern| matches(pattern, &object.name))
    });
    if patterns.is_empty() || could_be_anything || any {
        return Ok(());
    }
    Err(format!(
        "it is about {}, and this touches none of them",
        listed(patterns.iter().map(TablePattern::as_str)),
    ))
}

fn covers_tables(
    patterns: &[TablePattern],
    facts: &Facts,
    matches: impl Fn(&TablePattern, &str) -> bool,
) -> Result<(), String> {
    if patterns.is_empty() {
        return Ok(());
    }
    let about = || listed(patterns.iter().map(TablePattern::as_str));
    if is_unknown(facts) {
        return Err(format!(
            "it is about {}, and what this touches is not known",
            about()
        ));
    }
    if facts.objects.is_empty() {
        return Err(format!("it is about {}, and this names no table", about()));
    }
    let outside = facts.objects.iter().find(|object| {
        !patterns
            .iter()
            .any(|pattern| matches(pattern, &object.name))
    });
    match outside {
        None => Ok(()),
        Some(object) => Err(format!(
            "it is about {}, and this also touches {}",
            about(),
            quoted(&object.name)
        )),
    }
}

/// `a`, `b` and `c`, in backticks; a long list is cut.
fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if words.len() > 6 {
        let more = words.len() - 5;
        words.truncate(5);
        words.push(format!("{more} more"));
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        classify::{Object, ObjectAccess},
        principal::PrincipalKind,
    };

    const POLICY: &str = r#"
version: 1
approvers:
  dba: { groups: [dba] }
  owner: { groups: [owners], count: 2 }
connections:
  crm: { kind: postgres, read: { url: "postgres://h/d" }, write: { url: "postgres://h/d" }, allow: { groups: [ai] } }
  lite: { kind: sqlite, read: { url: "sqlite:a" }, write: { url: "sqlite:a" }, allow: { groups: [ai] } }
rules:
  - { name: reads, when: { effect: read }, then: allow }
  - { name: notes, when: { effect: write, tables: [notes, "*.drafts"] }, then: allow }
  - { name: customers, when: { effect: [write, destructive], tables: [public.customers], unbounded: false }, then: { require_approval: dba } }
  - { name: pay, when: { effect: [read, write, destructive], tables: ["payroll.*"] }, then: { require_approval: owner } }
  - { name: both, when: { effect: destructive, tables: ["*.customers"] }, then: { require_approval: owner } }
  - { name: no-unbounded, when: { effect: [write, destructive], unbounded: true }, then: { deny: "Say which rows." } }
  - { name: no-audit, when: { tables: [audit.log] }, then: { deny: "Hands off." } }
  - { name: night, between: "22:00-06:00 Europe/Berlin", when: { effect: [write, schema] }, then: { deny: "Not at night." } }
"#;

    fn policy() -> Policy {
        Policy::parse(&[("policy.yaml".into(), POLICY.into())]).unwrap()
    }

    fn facts(effects: &[Effect], objects: &[&str]) -> Facts {
        Facts {
            class: effects.iter().copied().max().unwrap(),
            effects: effects.iter().copied().collect(),
            objects: objects
                .iter()
                .map(|name| Object {
                    name: (*name).into(),
                    access: ObjectAccess::Write,
                })
                .collect(),
            unbounded: false,
            ..Facts::unknown("invented")
        }
    }

    fn decided(connection: &str, facts: &Facts, at: &str) -> String {
        let policy = policy();
        let groups = BTreeSet::from(["ai".to_owned()]);
        let bot = Principal::hypothetical(PrincipalKind::Agent, "bot", groups, BTreeSet::new());
        let question = Question {
            principal: &bot,
            connection: &policy.connections[&connection.parse().unwrap()],
            facts,
            now: at.parse().unwrap(),
        };
        match evaluate(&policy, &question).decision {
            Decision::Allow { rule } => format!("allow {rule}"),
            Decision::Deny {
                rule: Some(rule), ..
            } => format!("deny {rule}"),
            Decision::Deny { rule: None, .. } => "deny".into(),
            Decision::Rewrite { rule, into } => format!("{rule}: {into}"),
            Decision::RequireApproval { rule, from } => {
                let from: Vec<String> = from.iter().map(ToString::to_string).collect();
                format!("{rule}: {}", from.join("+"))
            }
        }
    }

    const NOON: &str = "2026-01-15T12:00:00Z";

    #[test]
    fn what_is_let_through_is_covered_whole_and_what_is_refused_needs_only_a_part() {
        use Effect::{Admin, Destructive, Read, Schema, Secret, Unknown, Write};
        for (connection, effects, objects, expected) in [
            ("crm", &[Read][..], &[][..], "allow reads"),
            ("crm", &[Read, Secret], &["t"], "deny"),
            // A default schema is the connection's own: PostgreSQL's is public, SQLite's is main.
            ("crm", &[Write], &["notes"], "allow notes"),
            ("crm", &[Write], &["public.notes"], "allow notes"),
            ("crm", &[Write], &["main.notes"], "deny"),
            ("crm", &[Write], &["NOTES"], "deny"),
            ("lite", &[Write], &["main.notes"], "allow notes"),
            ("lite", &[Write], &["NOTES"], "allow notes"),
            ("lite", &[Write], &["temp.notes"], "deny"),
            ("crm", &[Write], &["other.drafts"], "allow notes"),
            ("crm", &[Write], &["db.public.notes"], "deny"),
            ("crm", &[Read], &["db.payroll.salaries"], "pay: owner"),
            ("crm", &[Write], &["\"public.notes\""], "deny"),
            // All effects and all objects, or another rule has to cover the rest.
            ("crm", &[Write, Admin], &["notes"], "deny"),
            ("crm", &[Write], &["notes", "orders"], "deny"),
            ("crm", &[Write], &[], "deny"),
            ("crm", &[Read, Write], &["notes"], "allow notes"),
            ("crm", &[Write], &["customers"], "customers: dba"),
            ("crm", &[Write], &["customers", "notes"], "deny"),
            ("crm", &[Write, Schema], &["customers"], "deny"),
            // An approval reaches what it touches, beside whatever else the statement does.
            (
                "crm",
                &[Read],
                &["orders", "payroll.salaries"],
                "pay: owner",
            ),
            (
                "crm",
                &[Destructive],
                &["public.customers"],
                "customers: dba+owner",
            ),
            ("crm", &[Destructive], &["payroll.customers"], "pay: owner"),
            // A deny reaches what it could touch.
            ("crm", &[Read], &["orders", "audit.log"], "deny no-audit"),
            ("crm", &[Read], &["log"], "allow reads"),
            ("crm", &[Read], &["db.audit.log"], "deny no-audit"),
            ("crm", &[Read], &["AUDIT.LOG"], "deny no-audit"),
            ("crm", &[Read], &["archive.log"], "allow reads"),
            ("crm", &[Unknown], &[], "deny no-audit"),
        ] {
            let decided = decided(connection, &facts(effects, objects), NOON);
            assert_eq!(decided, expected, "{connection} {effects:?} {objects:?}");
        }
        let mut unbounded = facts(&[Write], &["notes"]);
        unbounded.unbounded = true;
        assert_eq!(decided("crm", &unbounded, NOON), "deny no-unbounded");
    }

    #[test]
    fn hours_are_those_of_the_place_over_midnight_and_when_the_clocks_change() {
        let write = facts(&[Effect::Write], &["notes"]);
        for (at, expected) in [
            ("2026-01-15T20:59:59Z", "allow notes"),
            ("2026-01-15T21:00:00Z", "deny night"),
            ("2026-01-15T23:30:00Z", "deny night"),
            ("2026-01-16T04:59:59Z", "deny night"),
            ("2026-01-16T05:00:00Z", "allow notes"),
            // In summer the place is an hour further from UTC.
            ("2026-07-15T20:00:00Z", "deny night"),
            ("2026-07-16T04:00:00Z", "allow notes"),
            // The hour that comes twice, and the one that does not come at all, are both at night.
            ("2026-10-25T00:30:00Z", "deny night"),
            ("2026-10-25T01:30:00Z", "deny night"),
            ("2026-03-29T00:59:59Z", "deny night"),
            ("2026-03-29T01:00:00Z", "deny night"),
            ("2026-03-29T04:00:00Z", "allow notes"),
        ] {
            assert_eq!(decided("crm", &write, at), expected, "{at}");
        }
    }
}
