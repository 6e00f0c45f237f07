//! What policy says to an operation: when it is asked, and again when what was asked of people is to happen.

use jiff::Timestamp;

use super::{
    event::{Action, DecisionRecord},
    state::Request,
};
use crate::domain::{
    classify::{ColumnRef, Facts},
    masking::InPredicates,
    operation::Operation,
    policy::{
        ConnectionRules, Decision, Endpoint, OnFinding, Policy, Question, RuleName, evaluate,
    },
    principal::Principal,
    rewrite::{Revisited, Rewrite, rewrite},
};

/// All that policy says to a question about `operation`: its rules, whether the connection can write at all, whether
/// masked columns may be in conditions, and whether every pseudonym in it can be turned back. The same when something is
/// asked and when it is to run, so that nothing denied since can run.
pub fn verdict(policy: &Policy, question: &Question<'_>, operation: &Operation) -> Decision {
    settled(
        policy,
        question,
        operation,
        evaluate(policy, question).decision,
    )
}

/// All that policy says to what `rule` made of a statement. That rule lets it through unless another denies it or asks for
/// approval; nothing rewrites it again.
pub fn verdict_on_rewritten(
    policy: &Policy,
    question: &Question<'_>,
    operation: &Operation,
    rule: &RuleName,
) -> Decision {
    let decision = match evaluate(policy, question).decision {
        Decision::Allow { .. } | Decision::Rewrite { .. } | Decision::Deny { rule: None, .. } => {
            Decision::Allow { rule: rule.clone() }
        }
        decision @ (Decision::Deny { .. } | Decision::RequireApproval { .. }) => decision,
    };
    settled(policy, question, operation, decision)
}

/// What rules say, and what holds whatever they say.
fn settled(
    policy: &Policy,
    question: &Question<'_>,
    operation: &Operation,
    decision: Decision,
) -> Decision {
    let Question {
        connection, facts, ..
    } = question;
    if matches!(decision, Decision::Deny { .. }) {
        return decision;
    }
    if facts.class.changes_something() && connection.write.is_none() {
        return Decision::Deny {
            rule: None,
            message: format!(
                "Connection `{}` has no write credential: it only reads.",
                connection.name
            ),
        };
    }
    if let Some(denial) = foreign_program(connection, operation) {
        return denial;
    }
    // What a rewriting leaves of it is settled then.
    if matches!(decision, Decision::Rewrite { .. }) {
        return decision;
    }
    let decision = match keep_masked(facts, policy) {
        Some(denial) => denial,
        None => infer(decision, facts, policy),
    };
    if matches!(decision, Decision::Deny { .. }) {
        return decision;
    }
    match policy.masking.reveal(connection.kind, facts, operation) {
        Ok(_) => decision,
        Err(refused) => Decision::Deny {
            rule: Some(RuleName("masking, pseudonyms".into())),
            message: sentence(&refused.to_string()),
        },
    }
}

fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// A program that the connection does not name.
fn foreign_program(connection: &ConnectionRules, operation: &Operation) -> Option<Decision> {
    let (Operation::Command(command), Endpoint::Programs(known)) = (operation, &connection.read)
    else {
        return None;
    };
    let program = command.argv.first()?;
    if known.programs.contains_key(program) {
        return None;
    }
    let names: Vec<_> = known.programs.keys().map(String::as_str).collect();
    Some(Decision::Deny {
        rule: None,
        message: format!(
            "`{program}` is not one of the programs of connection `{}`, by these names: {}.",
            connection.name,
            names.join(", ")
        ),
    })
}

/// A masked value that is put where nothing masks it could be read there by the next statement, so nobody can approve it.
fn keep_masked(facts: &Facts, policy: &Policy) -> Option<Decision> {
    let (rule, flow) = policy.masking.unmasked_by(facts)?;
    let masked = &rule.pattern;
    let message = match &flow.into {
        Some(ColumnRef {
            relation: Some(relation),
            column,
        }) if column != "*" => format!(
            "`{masked}` is masked, and this would put its values into `{relation}.{column}`, where nothing masks \
             them as strictly: leave the column out, or have `{relation}.{column}` added to the policy's `masking.columns` first."
        ),
        Some(ColumnRef {
            relation: Some(relation),
            ..
        }) => format!(
            "`{masked}` is masked, and this would put its values into `{relation}`, where they could not be told \
             from others: name the columns on both sides, and have those that take masked values in the policy's \
             `masking.columns` first."
        ),
        _ => format!(
            "`{masked}` is masked, and this could put its values where nothing masks them (a setting, a sequence, \
             another table or server): leave the column out, or write the statement more plainly so that its columns can be traced."
        ),
    };
    Some(Decision::Deny {
        rule: Some(RuleName(format!("masking of `{masked}`").into())),
        message,
    })
}

/// A masked column in WHERE, JOIN, ORDER BY and the like tells its values without showing them: what policy says about
/// that (`in_predicates`) can only make a decision stricter.
fn infer(decision: Decision, facts: &Facts, policy: &Policy) -> Decision {
    let choices = facts.predicates.iter().filter_map(|column| {
        let choice = policy
            .masking
            .in_predicates(column.relation.as_deref(), &column.column)?;
        Some((&column.column, choice))
    });
    let Some((column, choice)) = choices.max_by_key(|(_, choice)| *choice) else {
        return decision;
    };
    // No rule of the file decides this: the record names the masked column instead.
    let rule = RuleName(format!("masking of `{column}`, in_predicates").into());
    let deny = |message: String| Decision::Deny {
        rule: Some(rule.clone()),
        message,
    };
    match (choice, decision) {
        (InPredicates::Allow, decision)
        | (_, decision @ (Decision::Deny { .. } | Decision::Rewrite { .. })) => decision,
        (InPredicates::Deny, _) => deny(format!(
            "`{column}` is masked, and a condition on it would tell its values: leave it out of \
             WHERE, JOIN, GROUP BY, ORDER BY and CASE."
        )),
        // Whom a rule asks about the whole statement sees the condition too.
        (InPredicates::RequireApproval, asking @ Decision::RequireApproval { .. }) => asking,
        (InPredicates::RequireApproval, Decision::Allow { .. }) => {
            match &policy.masking_approvers {
                Some(group) => Decision::RequireApproval {
                    rule,
                    from: vec![group.clone()],
                },
                None => deny(format!(
                    "`{column}` is masked, a condition on it needs an approval, and the policy \
                     names nobody to ask (`masking.approvers`)."
                )),
            }
        }
    }
}

pub(super) fn denied(policy: &Policy, rule: Option<RuleName>, message: String) -> DecisionRecord {
    DecisionRecord {
        action: Action::Deny,
        rule,
        policy: policy.version,
        message: Some(message),
    }
}

fn still_there<'a>(
    request: &Request,
    policy: &'a Policy,
) -> Result<&'a ConnectionRules, DecisionRecord> {
    let name = &request.decided.connection;
    policy.connections.get(name).ok_or_else(|| {
        let message = format!("Connection `{name}` is gone from the policy.");
        denied(policy, None, message)
    })
}

/// Whether today's policy still lets the answer be given to who asked for it: it must not deny them the call, nor every
/// such answer.
pub(super) fn still_given(
    request: &Request,
    (operation, facts): (&Operation, &Facts),
    policy: &Policy,
    principal: &Principal,
    now: Timestamp,
) -> Result<(), DecisionRecord> {
    let connection = still_there(request, policy)?;
    if connection.on_finding() == OnFinding::Deny {
        let name = &connection.name;
        let message =
            format!("Policy now gives no answer of `{name}` in which something was masked.");
        return Err(denied(policy, None, message));
    }
    let question = Question {
        principal,
        connection,
        facts,
        now,
    };
    match verdict(policy, &question, operation) {
        Decision::Deny { rule, message } => Err(denied(policy, rule, message)),
        Decision::Allow { .. } | Decision::RequireApproval { .. } | Decision::Rewrite { .. } => {
            Ok(())
        }
    }
}

/// Whether today's policy still agrees to run what was approved: it must not deny it, and must not ask for a group
/// that was not asked.
pub(super) fn still_agreed<'a>(
    request: &Request,
    (operation, facts): (&Operation, &Facts),
    asked: Option<&Revisited>,
    policy: &'a Policy,
    principal: &Principal,
    now: Timestamp,
) -> Result<&'a ConnectionRules, DecisionRecord> {
    let deny = |rule, message| denied(policy, rule, message);
    let connection = still_there(request, policy)?;
    let question = Question {
        principal,
        connection,
        facts,
        now,
    };
    let decision = match (&request.decided.rewritten, asked) {
        (None, _) => match verdict(policy, &question, operation) {
            // As it was when it was asked.
            Decision::Rewrite { rule, into } if is_already(into, connection, operation, facts) => {
                verdict_on_rewritten(policy, &question, operation, &rule)
            }
            decision => decision,
        },
        (Some(before), Some(revisited)) => {
            let facts = &revisited.facts;
            match verdict(policy, &Question { facts, ..question }, &revisited.asked) {
                Decision::Rewrite { rule, into } if into == before.into => {
                    match revisited.differs(operation, question.facts) {
                        None => verdict_on_rewritten(policy, &question, operation, &rule),
                        Some(why) => Decision::Deny {
                            rule: Some(rule),
                            message: format!(
                                "Policy lets this through as {into} only, and {why}; make the request again."
                            ),
                        },
                    }
                }
                denied @ Decision::Deny { .. } => denied,
                _ => Decision::Deny {
                    rule: None,
                    message: "Policy no longer rewrites this so; make the request again.".into(),
                },
            }
        }
        (Some(_), None) => Decision::Deny {
            rule: None,
            message: "What was asked before it was rewritten cannot be judged again.".into(),
        },
    };
    match decision {
        Decision::Allow { .. } => Ok(connection),
        Decision::Rewrite { rule, into } => Err(deny(
            Some(rule),
            format!("Policy now lets this through as {into} only; make the request again."),
        )),
        Decision::Deny { rule, message } => Err(deny(rule, message)),
        Decision::RequireApproval { rule, from } => {
            let asked = request
                .approval
                .iter()
                .flat_map(|approval| &approval.requested.terms.from);
            let asked: Vec<_> = asked.map(|quorum| &quorum.group).collect();
            match from.iter().find(|group| !asked.contains(group)) {
                None => Ok(connection),
                Some(group) => Err(deny(
                    Some(rule),
                    format!("Policy now asks `{group}` as well; make the request again."),
                )),
            }
        }
    }
}

/// Whether rewriting `operation` would leave it as it is.
fn is_already(
    into: Rewrite,
    connection: &ConnectionRules,
    operation: &Operation,
    facts: &Facts,
) -> bool {
    let rewritten = rewrite(into, connection.kind, operation, facts, None);
    matches!(rewritten, Ok(None))
}
