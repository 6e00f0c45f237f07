//! What holds for every policy and every question.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{Timestamp, civil::time, tz::TimeZone};
use proptest::{collection::vec, option, prelude::*, sample};

use super::{
    ApproverGroupName, Condition, ConnectionRules, Consequence, Decision, Endpoint, Hours,
    KindPattern, Policy, Question, Rule, RuleName, TablePattern, Verdict, Who, evaluate,
    problem::{Place, Problems},
    reach,
    read::At,
};
use crate::domain::{
    classify::{Effect, Facts, Object, ObjectAccess, UNTOLD},
    connection::{Budget, ConnectionKind, ConnectionName},
    principal::{Principal, PrincipalKind},
    rewrite::Rewrite,
};

const GROUPS: [&str; 3] = ["ai", "ops", "sales"];
const IDS: [&str; 2] = ["agent:bot", "agent:cat"];
const CONNECTIONS: [(&str, ConnectionKind); 2] = [
    ("crm", ConnectionKind::Postgres),
    ("lite", ConnectionKind::Sqlite),
];
const PATTERNS: [&str; 8] = [
    "*", "t", "*.t", "public.t", "main.t", "public.*", "u", "public.u",
];
const OBJECTS: [&str; 8] = [
    "t",
    "T",
    "u",
    "public.t",
    "public.u",
    "main.t",
    "other.t",
    "db.public.t",
];

fn some_of<T: Clone + std::fmt::Debug + 'static>(
    all: &[T],
    most: usize,
) -> impl Strategy<Value = Vec<T>> + use<T> {
    sample::subsequence(all.to_vec(), 0..=most)
}

fn texts(all: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    some_of(all, all.len()).prop_map(|some| some.into_iter().map(String::from).collect())
}

fn who() -> impl Strategy<Value = Who> {
    (texts(&GROUPS), texts(&IDS)).prop_map(|(groups, principals)| Who {
        groups,
        app_roles: BTreeSet::new(),
        principals,
    })
}

fn hours() -> impl Strategy<Value = Hours> {
    (0..24i8, 1..24i8).prop_map(|(from, length)| Hours {
        from: time(from, 0, 0, 0),
        until: time((from + length) % 24, 0, 0, 0),
        zone: TimeZone::UTC,
    })
}

fn consequence() -> impl Strategy<Value = Consequence> {
    prop_oneof![
        Just(Consequence::Allow),
        Just(Consequence::Deny("no".into())),
        sample::select(vec![
            Rewrite::Limit(10),
            Rewrite::Limit(20),
            Rewrite::DryRun,
            Rewrite::Explain
        ])
        .prop_map(Consequence::Rewrite),
        sample::select(vec!["dba", "owner"])
            .prop_map(|group| Consequence::RequireApproval(ApproverGroupName(group.into()))),
    ]
}

fn kind_patterns(texts: &[&str]) -> Vec<KindPattern> {
    let parse = |text: &&str| KindPattern::parse(text).unwrap();
    texts.iter().map(parse).collect()
}

fn condition() -> impl Strategy<Value = Condition> {
    let patterns = some_of(&PATTERNS, 2);
    let kinds = prop_oneof![4 => Just(vec![]), 1 => some_of(&["a", "a b", "* b", "c"], 2)];
    (
        some_of(&Effect::ALL, 7),
        kinds,
        patterns,
        option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(effects, kinds, tables, unbounded)| Condition {
            effects: effects.into_iter().collect(),
            kinds: kind_patterns(&kinds),
            tables: tables
                .into_iter()
                .map(|pattern| TablePattern::parse(pattern).unwrap())
                .collect(),
            unbounded,
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        option::weighted(0.2, who()),
        prop_oneof![4 => Just(vec![]), 1 => some_of(&CONNECTIONS, 2)],
        option::weighted(0.2, hours()),
        condition(),
        consequence(),
    )
        .prop_map(|(who, connections, between, when, then)| Rule {
            name: RuleName("".into()),
            who,
            connections: connections
                .into_iter()
                .map(|(name, _)| name.parse().unwrap())
                .collect(),
            between,
            when,
            then,
        })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(), 0..6).prop_map(named)
}

fn named(mut rules: Vec<Rule>) -> Vec<Rule> {
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.name = RuleName(format!("r{index}").into());
    }
    rules
}

fn facts() -> impl Strategy<Value = Facts> {
    let effects = sample::subsequence(Effect::ALL.to_vec(), 1..=3);
    let access = prop_oneof![Just(ObjectAccess::Read), Just(ObjectAccess::Write)];
    let objects = vec((sample::select(OBJECTS.to_vec()), access), 0..3);
    let kinds = some_of(&["a", "a b", "c b", UNTOLD], 2);
    (effects, objects, kinds, any::<bool>()).prop_map(|(effects, objects, kinds, unbounded)| {
        let class = *effects.iter().max().unwrap();
        Facts {
            kinds: kinds.into_iter().map(String::from).collect(),
            class,
            effects: effects.into_iter().collect(),
            objects: objects
                .into_iter()
                .map(|(name, access)| Object {
                    name: name.into(),
                    access,
                })
                .collect(),
            unbounded: unbounded || class == Effect::Unknown,
            ..Facts::unknown("invented")
        }
    })
}

/// Everything a question is made of, and the connections of the policy it is asked of.
#[derive(Clone, Debug)]
struct Asked {
    connections: Vec<ConnectionRules>,
    on: usize,
    principal: Principal,
    facts: Facts,
    now: Timestamp,
}

fn asked() -> impl Strategy<Value = Asked> {
    let principal =
        (sample::select(vec!["bot", "cat"]), texts(&GROUPS)).prop_map(|(name, groups)| {
            Principal::hypothetical(PrincipalKind::Agent, name, groups, BTreeSet::new())
        });
    let instant =
        (0..48i64).prop_map(|half| Timestamp::from_second(1_800_000_000 + half * 1800).unwrap());
    ([who(), who()], 0..2usize, principal, facts(), instant).prop_map(
        |(allow, on, principal, facts, now)| Asked {
            connections: CONNECTIONS
                .into_iter()
                .zip(allow)
                .map(|((name, kind), allow)| connection(name, kind, allow))
                .collect(),
            on,
            principal,
            facts,
            now,
        },
    )
}

fn connection(name: &str, kind: ConnectionKind, allow: Who) -> ConnectionRules {
    ConnectionRules {
        name: name.parse().unwrap(),
        kind,
        read: Endpoint::url("x"),
        write: None,
        allow,
        budget: Budget::default(),
        functions: Arc::default(),
    }
}

fn policy(rules: &[Rule], connections: &[ConnectionRules]) -> Policy {
    let mut policy = Policy::parse(&[("policy.yaml".into(), "version: 1".into())]).unwrap();
    let by_name = connections
        .iter()
        .map(|one| (one.name.clone(), one.clone()));
    policy.connections = by_name.collect();
    policy.rules = rules.to_vec();
    policy
}

fn ask(rules: &[Rule], asked: &Asked) -> Verdict {
    let question = Question {
        principal: &asked.principal,
        connection: &asked.connections[asked.on],
        facts: &asked.facts,
        now: asked.now,
    };
    evaluate(&policy(rules, &asked.connections), &question)
}

fn is_denied_by_no_rule(verdict: &Verdict) -> bool {
    matches!(verdict.decision, Decision::Deny { rule: None, .. })
}

/// From free to refused.
fn severity(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow { .. } => 0,
        Decision::Rewrite { .. } => 1,
        Decision::RequireApproval { .. } => 2,
        Decision::Deny { .. } => 3,
    }
}

fn groups(decision: &Decision) -> BTreeSet<ApproverGroupName> {
    match decision {
        Decision::RequireApproval { from, .. } => from.iter().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// Rules the prover says never decide.
fn unreachable(rules: &[Rule], connections: &[ConnectionRules]) -> BTreeSet<String> {
    let place = Place {
        file: 0,
        start: 0,
        end: 0,
    };
    let at = |rule: &Rule| At {
        value: rule.clone(),
        place,
        sound: true,
    };
    let rules: Vec<At<Rule>> = rules.iter().map(at).collect();
    let connections = connections
        .iter()
        .map(|one| (one.name.clone(), Some(one.clone())))
        .collect();
    let files = [("rules".to_owned(), String::new())];
    let mut problems = Problems::of(&files);
    reach::check(&rules, &connections, &mut problems);
    let Err(errors) = problems.none_or(Some(())) else {
        return BTreeSet::new();
    };
    let name = |message: &str| message.split('`').nth(1).map(str::to_owned);
    errors
        .problems()
        .iter()
        .filter_map(|problem| name(&problem.message))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn without_rules_everything_is_denied(asked in asked()) {
        let verdict = ask(&[], &asked);
        prop_assert!(is_denied_by_no_rule(&verdict));
    }

    #[test]
    fn another_deny_rule_never_lets_more_through(
        rules in rules(), deny in rule(), at in any::<sample::Index>(), asked in asked(),
    ) {
        let before = ask(&rules, &asked).decision;
        let mut more = rules;
        let deny = Rule { then: Consequence::Deny("no".into()), ..deny };
        more.insert(at.index(more.len() + 1), deny);
        let after = ask(&more, &asked).decision;
        prop_assert!(severity(&after) == severity(&before) || severity(&after) == 3);
        prop_assert!(severity(&before) != 3 || severity(&after) == 3);
    }

    #[test]
    fn another_approval_rule_never_lets_more_through_unseen(
        rules in rules(), approval in rule(), asked in asked(),
    ) {
        let before = ask(&rules, &asked).decision;
        let mut more = rules;
        let then = Consequence::RequireApproval(ApproverGroupName("third".into()));
        more.push(Rule { then, ..approval });
        let after = ask(&more, &asked).decision;
        prop_assert!(severity(&after) >= severity(&before).min(2));
        prop_assert!(groups(&after).is_superset(&groups(&before)));
    }

    #[test]
    fn another_rewriting_rule_never_lets_more_through_as_it_stands(
        rules in rules(), rewriting in rule(), asked in asked(),
    ) {
        let before = ask(&rules, &asked).decision;
        let mut more = rules;
        more.push(Rule { then: Consequence::Rewrite(Rewrite::Limit(15)), ..rewriting });
        let after = ask(&more, &asked).decision;
        prop_assert!(severity(&after) >= severity(&before).min(1));
        if let (Decision::Rewrite { into: before, .. }, Decision::Rewrite { into: after, .. }) = (before, after) {
            prop_assert!(after.strictness() >= before.strictness());
        }
    }

    #[test]
    fn the_order_of_rules_never_changes_what_may_happen(
        (rules, shuffled) in rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        asked in asked(),
    ) {
        let (one, other) = (ask(&rules, &asked).decision, ask(&shuffled, &asked).decision);
        prop_assert_eq!(severity(&one), severity(&other));
        prop_assert_eq!(groups(&one), groups(&other));
        if let (Decision::Rewrite { into: one, .. }, Decision::Rewrite { into: other, .. }) = (one, other) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn an_effect_no_rule_allows_is_never_allowed(
        rules in rules(), highest in sample::select(Effect::ALL.to_vec()), asked in asked(),
    ) {
        let lower: Vec<Rule> = rules
            .into_iter()
            .map(|mut rule| {
                if rule.then == Consequence::Allow {
                    rule.when.effects.retain(|effect| *effect < highest);
                    rule.when.effects.insert(Effect::Read);
                }
                rule
            })
            .collect();
        let is_allowed = severity(&ask(&lower, &asked).decision) == 0;
        prop_assert!(!is_allowed || asked.facts.class < highest || asked.facts.class == Effect::Read);
    }

    #[test]
    fn doing_more_at_once_is_never_a_way_around_a_rule(
        rules in rules(), asked in asked(),
        effect in sample::select(Effect::ALL.to_vec()), object in sample::select(OBJECTS.to_vec()),
        kind in sample::select(vec!["a", "c b", UNTOLD]),
    ) {
        // A statement whose class is not `read` already: reading is a part of doing more, and needs no rule of its own.
        prop_assume!(asked.facts.class != Effect::Read);
        let rules: Vec<Rule> = rules
            .into_iter()
            // What is unknown counts as unbounded; a rule that allows only unbounded statements is about that.
            .filter(|rule| rule.when.unbounded != Some(true) || matches!(rule.then, Consequence::Deny(_)))
            .filter(|rule| rule.when.tables.is_empty() || !asked.facts.objects.is_empty())
            .collect();
        let before = severity(&ask(&rules, &asked).decision);
        let mut more = asked;
        more.facts.effects.insert(effect);
        more.facts.class = more.facts.class.max(effect);
        more.facts.objects.insert(Object { name: object.into(), access: ObjectAccess::Read });
        // None at all says that they are not told, and more does not tell them.
        if !more.facts.kinds.is_empty() {
            more.facts.kinds.push(kind.into());
        }
        prop_assert!(severity(&ask(&rules, &more).decision) >= before);
    }

    #[test]
    fn what_cannot_be_judged_is_allowed_only_by_a_rule_that_names_it(rules in rules(), asked in asked()) {
        let mut unknown = asked;
        unknown.facts = Facts::unknown("garbled");
        if let Decision::Allow { rule } = ask(&rules, &unknown).decision {
            let rule = rules.iter().find(|one| one.name == rule).unwrap();
            prop_assert!(rule.when.effects.contains(&Effect::Unknown)
                && rule.when.tables.is_empty()
                && rule.when.kinds.is_empty());
        }
    }

    #[test]
    fn whom_the_connection_does_not_allow_no_rule_allows(rules in rules(), asked in asked()) {
        let mut outside = asked;
        outside.connections[outside.on].allow = Who::default();
        let verdict = ask(&rules, &outside);
        prop_assert!(is_denied_by_no_rule(&verdict));
        prop_assert_eq!(verdict.trace.len(), rules.len());
    }

    #[test]
    fn every_rule_is_explained(rules in rules(), asked in asked()) {
        let verdict = ask(&rules, &asked);
        prop_assert_eq!(verdict.trace.len(), rules.len());
        for (trace, rule) in verdict.trace.iter().zip(&rules) {
            prop_assert_eq!(&trace.rule, &rule.name);
            prop_assert!(!trace.why.is_empty());
        }
        if let Some(rule) = super::cases::deciding_rule(&verdict.decision) {
            prop_assert!(verdict.trace.iter().any(|trace| trace.rule == *rule && trace.matched));
        }
    }
}

/// Rules that have most in common, so that one often covers another or nearly does.
fn similar_rules() -> impl Strategy<Value = Vec<Rule>> {
    let variant = (rule(), 0..6u8);
    (rule(), vec(variant, 1..4)).prop_map(|(first, variants)| {
        let mut rules = vec![first];
        for (other, field) in variants {
            let mut rule = rules[0].clone();
            match field {
                0 => rule.who = other.who,
                1 => rule.between = other.between,
                2 => rule.when.effects = other.when.effects,
                3 => rule.connections = other.connections,
                4 => rule.when.kinds = other.when.kinds,
                _ => rule.when.tables = other.when.tables,
            }
            rule.then = other.then;
            rules.push(rule);
        }
        named(rules)
    })
}

/// A question most rules have something to do with.
fn pointed() -> impl Strategy<Value = Asked> {
    (
        asked(),
        sample::select(Effect::ALL.to_vec()),
        sample::select(OBJECTS.to_vec()),
    )
        .prop_map(|(mut asked, effect, object)| {
            for connection in &mut asked.connections {
                connection.allow.groups = GROUPS.map(String::from).into();
            }
            asked.facts.class = effect;
            asked.facts.effects = [effect].into();
            let access = ObjectAccess::Read;
            asked.facts.objects = [Object {
                name: object.into(),
                access,
            }]
            .into();
            asked
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_rule_called_unreachable_never_decides(rules in similar_rules(), asked in vec(pointed(), 16)) {
        let connections = asked[0].connections.clone();
        let pointless = unreachable(&rules, &connections);
        for mut asked in asked {
            asked.connections.clone_from(&connections);
            let whole = ask(&rules, &asked).decision;
            for name in &pointless {
                let without: Vec<Rule> =
                    rules.iter().filter(|rule| rule.name.0.as_ref() != name).cloned().collect();
                prop_assert_eq!(&ask(&without, &asked).decision, &whole, "{} decides", name);
            }
        }
    }
}

#[test]
fn the_prover_finds_what_it_is_there_for() {
    let connections = [connection("crm", ConnectionKind::Postgres, Who::default())];
    let rule = |name: &str, effects: &[Effect], tables: &[&str], then: Consequence| Rule {
        name: RuleName(name.into()),
        who: None,
        connections: BTreeSet::<ConnectionName>::new(),
        between: None,
        when: Condition {
            effects: effects.iter().copied().collect(),
            kinds: Vec::new(),
            tables: tables
                .iter()
                .map(|text| TablePattern::parse(text).unwrap())
                .collect(),
            unbounded: None,
        },
        then,
    };
    let deny = || Consequence::Deny("no".into());
    let approval = || Consequence::RequireApproval(ApproverGroupName("dba".into()));
    use Effect::{Read, Schema, Unknown, Write};
    let found = |rules: &[Rule]| {
        unreachable(rules, &connections)
            .into_iter()
            .collect::<Vec<_>>()
    };
    let allow_t = rule("allow", &[Write], &["public.t"], Consequence::Allow);
    assert_eq!(
        found(&[allow_t.clone(), rule("deny", &[Write], &[], deny())]),
        ["allow"]
    );
    assert_eq!(
        found(&[allow_t.clone(), rule("deny", &[Write], &["t"], deny())]),
        ["allow"]
    );
    assert_eq!(
        found(&[
            allow_t.clone(),
            rule("ask", &[Read, Write], &["*.t"], approval())
        ]),
        ["allow"]
    );
    assert_eq!(
        found(&[rule("wide", &[], &[], Consequence::Allow), allow_t.clone()]),
        ["allow"]
    );
    assert!(found(&[allow_t.clone(), rule("wide", &[], &[], Consequence::Allow)]).is_empty());
    assert!(found(&[allow_t.clone(), rule("deny", &[Schema], &[], deny())]).is_empty());
    assert!(found(&[allow_t, rule("deny", &[Write], &["public.u"], deny())]).is_empty());
    // What the second covers the first only touches, and what cannot be judged no silent rule allows.
    let first = rule("first", &[Write], &["t"], approval());
    let second = rule("second", &[Write], &["*.t"], approval());
    assert!(found(&[first.clone(), second.clone()]).is_empty());
    assert_eq!(found(&[second, first]), ["first"]);
    let allow = |name: &str, table: &str| rule(name, &[Write], &[table], Consequence::Allow);
    assert!(found(&[allow("first", "t"), allow("second", "*.t")]).is_empty());
    let unknown = rule("unknown", &[Unknown], &[], Consequence::Allow);
    assert!(found(&[rule("wide", &[], &[], Consequence::Allow), unknown]).is_empty());
}
