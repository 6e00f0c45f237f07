//! Rules that can never decide anything.
//!
//! A rule is reported only where it is proven from the text that a single other one always wins over it. What wins over
//! what follows from `evaluate`: deny over everything, approval over allow, and of two that say the same the first is
//! the one that is named. An approval never makes another group's approval pointless, and order alone makes nothing
//! unreachable. Deny rules act on what they touch, allow rules on what they cover, approval rules on both: the proofs
//! about tables follow that difference; for everything else the same proof serves both.

use std::collections::BTreeMap;

use super::{
    Condition, ConnectionRules, Consequence, Hours, Rule, TablePattern, Who, problem::Problems,
    read::At,
};
use crate::domain::{classify::Effect, connection::ConnectionName};

type Connections = BTreeMap<ConnectionName, Option<ConnectionRules>>;

/// How many pairs of table patterns are compared before giving up on proving more.
const MOST_COMPARISONS: usize = 2_000_000;

/// Reports every rule that is proven to never decide.
pub(super) fn check(rules: &[At<Rule>], connections: &Connections, problems: &mut Problems<'_>) {
    let mut prover = Prover {
        connections,
        left: MOST_COMPARISONS,
    };
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.sound) {
        let reason = prover
            .never_matches(&rule.value)
            .map(str::to_owned)
            .or_else(|| {
                let winner = rules.iter().enumerate().find(|(other, winner)| {
                    *other != index
                        && winner.sound
                        && wins(&winner.value, *other < index, &rule.value)
                        && prover.covers(&winner.value, &rule.value)
                });
                winner.map(|(_, winner)| {
                    let place = problems.whereabouts(winner.place);
                    let name = &winner.value.name;
                    match winner.value.then {
                        Consequence::Deny(_) => {
                            format!("`{name}` ({place}) denies all it is about")
                        }
                        _ => format!("`{name}` ({place}) already covers all it is about"),
                    }
                })
            });
        if let Some(reason) = reason {
            problems.suggest(
                rule.place,
                format!("the rule `{}` can never decide: {reason}", rule.value.name),
                "remove it, or narrow the other: deny wins over approval, approval over allow",
            );
        }
    }
}

/// Whether `winner` decides instead of `loser` wherever both match.
fn wins(winner: &Rule, comes_first: bool, loser: &Rule) -> bool {
    use Consequence::{Allow, Deny, RequireApproval, Rewrite};
    match (&winner.then, &loser.then) {
        (Deny(_), Deny(_)) | (Allow, Allow) => comes_first,
        (Deny(_), _) | (RequireApproval(_), Allow | Rewrite(_)) | (Rewrite(_), Allow) => true,
        (Rewrite(one), Rewrite(other)) => {
            one.strictness() > other.strictness() || (comes_first && one == other)
        }
        (RequireApproval(one), RequireApproval(other)) => comes_first && one == other,
        (Allow | RequireApproval(_) | Rewrite(_), _) => false,
    }
}

struct Prover<'a> {
    connections: &'a Connections,
    left: usize,
}

impl Prover<'_> {
    /// Why no request can match `rule`, where that is certain.
    fn never_matches(&self, rule: &Rule) -> Option<&'static str> {
        let who = rule.who.as_ref()?;
        let only_named = |who: &Who| who.groups.is_empty() && who.app_roles.is_empty();
        let mut allowed = self.about(rule).peekable();
        allowed.peek()?;
        let meets_none = allowed.all(|connection| {
            connection.is_some_and(|connection| {
                only_named(&connection.allow)
                    && only_named(who)
                    && connection.allow.principals.is_disjoint(&who.principals)
            })
        });
        meets_none.then_some("its connections allow none of those it names")
    }

    /// The connections a rule is about.
    fn about<'r>(&'r self, rule: &'r Rule) -> impl Iterator<Item = Option<&'r ConnectionRules>> {
        self.connections
            .iter()
            .filter(|(name, _)| rule.connections.is_empty() || rule.connections.contains(*name))
            .map(|(_, connection)| connection.as_ref())
    }

    /// Whether `wide` matches whatever `narrow` matches.
    fn covers(&mut self, wide: &Rule, narrow: &Rule) -> bool {
        let connections = wide.connections.is_empty()
            || !self.connections.is_empty()
                && self.connections.keys().all(|name| {
                    wide.connections.contains(name)
                        || !(narrow.connections.is_empty() || narrow.connections.contains(name))
                });
        connections
            && self.covers_who(wide, narrow)
            && covers_hours(wide.between.as_ref(), narrow.between.as_ref())
            && covers_effects(wide, narrow)
            && covers_unbounded(&wide.when, &narrow.when)
            // Of kinds nothing more is proven than that all, or the same, are meant.
            && (wide.when.kinds.is_empty()
                || wide.when.kinds == narrow.when.kinds && wide.then == narrow.then)
            && self.covers_tables(wide, narrow)
    }

    fn covers_who(&self, wide: &Rule, narrow: &Rule) -> bool {
        let Some(wide) = &wide.who else { return true };
        let within = |who: &Who| {
            who.groups.is_subset(&wide.groups)
                && who.app_roles.is_subset(&wide.app_roles)
                && who.principals.is_subset(&wide.principals)
        };
        // Whoever gets as far as the rules is allowed on the connection.
        narrow.who.as_ref().is_some_and(within)
            || self
                .about(narrow)
                .all(|connection| connection.is_some_and(|one| within(&one.allow)))
    }

    fn covers_tables(&mut self, wide: &Rule, narrow: &Rule) -> bool {
        use Consequence::{Deny, RequireApproval, Rewrite};
        let proves = |wide_pattern: &TablePattern, pattern: &TablePattern| {
            let touches_all = || wide_pattern.could_match_all_of(pattern);
            let covers_all = || wide_pattern.includes(pattern);
            match (&wide.then, &narrow.then) {
                (Deny(_), _) => touches_all(),
                // These act on what they touch as well as on what they cover.
                (RequireApproval(_) | Rewrite(_), RequireApproval(_) | Rewrite(_)) => {
                    touches_all() && covers_all()
                }
                _ => covers_all(),
            }
        };
        let (wide, narrow) = (&wide.when.tables, &narrow.when.tables);
        if wide.is_empty() {
            return true;
        }
        let comparisons = wide.len().saturating_mul(narrow.len());
        if narrow.is_empty() || comparisons > self.left {
            return false;
        }
        self.left -= comparisons;
        narrow
            .iter()
            .all(|narrow| wide.iter().any(|wide| proves(wide, narrow)))
    }
}

fn covers_effects(wide: &Rule, narrow: &Rule) -> bool {
    use Consequence::{Allow, Rewrite};
    // An allow without effects takes every one but `unknown`; a rewriting covers as much, but touches all.
    let covers_all = |rule: &Rule| !matches!(rule.then, Allow | Rewrite(_));
    let touches_all = |rule: &Rule| !matches!(rule.then, Allow);
    if wide.when.effects.is_empty() && covers_all(wide) {
        return true;
    }
    let effects_of = |rule: &Rule, is_all: bool| -> Vec<Effect> {
        let all = Effect::ALL.into_iter();
        if !rule.when.effects.is_empty() {
            return rule.when.effects.iter().copied().collect();
        }
        all.filter(|effect| is_all || *effect != Effect::Unknown)
            .collect()
    };
    let wide = effects_of(wide, covers_all(wide));
    effects_of(narrow, touches_all(narrow))
        .iter()
        .all(|effect| wide.contains(effect))
}

fn covers_unbounded(wide: &Condition, narrow: &Condition) -> bool {
    wide.unbounded.is_none() || wide.unbounded == narrow.unbounded
}

fn covers_hours(wide: Option<&Hours>, narrow: Option<&Hours>) -> bool {
    let (Some(wide), narrow) = (wide, narrow) else {
        return true;
    };
    let Some(narrow) = narrow else { return false };
    if wide.zone.iana_name().is_none() || wide.zone.iana_name() != narrow.zone.iana_name() {
        return false;
    }
    // Minutes after the wide span begins, around the clock.
    let minute = |time: jiff::civil::Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
    let after = |time| (minute(time) - minute(wide.from)).rem_euclid(24 * 60);
    let end = |time| match after(time) {
        0 => 24 * 60,
        minutes => minutes,
    };
    after(narrow.from) < end(narrow.until) && end(narrow.until) <= end(wide.until)
}
