//! What has been found in a statement so far. Effects only ever pile up here; nothing takes one back.

use std::collections::BTreeSet;

use super::{
    super::{Effect, Facts, Object, ObjectAccess, Outputs},
    parser::Name,
};

/// What the text names that only a catalog can say more about; filled only where there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// Functions that are called.
    pub(super) calls: BTreeSet<Called>,
    /// Operators that users have made, or overloaded, or that nobody knows.
    pub(super) operators: BTreeSet<UsedOperator>,
    /// Words that are names of types users have made something of.
    pub(super) types: BTreeSet<String>,
    /// Relations whose row type a value is turned into.
    pub(super) rows: BTreeSet<Name>,
    /// A value is turned into some type.
    pub(super) casts: bool,
    /// The word DEFAULT stands in it.
    pub(super) says_default: bool,
    /// It may change a row that is there already, as with ON CONFLICT.
    pub(super) updates: bool,
    /// It may put a row in another's place.
    pub(super) replaces: bool,
    /// How many statements the text holds.
    pub(super) statements: usize,
}

/// A function that is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) name: Name,
    /// There is a built-in of this name, which has been judged; what users have made by that name has not.
    pub(super) builtin: bool,
    /// Written like a field of one of these relations: no call at all where they all have such a column.
    pub(super) field_of: Option<Vec<String>>,
}

/// An operator that is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UsedOperator {
    pub(super) schema: Option<String>,
    pub(super) symbol: String,
    /// There is a built-in, or an extension's, of this symbol.
    pub(super) builtin: bool,
    /// An operand may be a literal without a type of its own.
    pub(super) untyped: bool,
}

/// Effects, objects and functions found, and the reason for the worst effect.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) effects: BTreeSet<Effect>,
    pub(super) kinds: Vec<String>,
    pub(super) objects: BTreeSet<Object>,
    pub(super) functions: BTreeSet<String>,
    pub(super) unbounded: bool,
    /// It runs code that was not judged.
    pub(super) runs_unjudged: bool,
    pub(super) uses: Uses,
    /// Triggers that run besides.
    pub(super) triggers: BTreeSet<String>,
    /// Effects that planning alone could have: functions and operators nobody vouches for.
    pub(super) at_planning: Vec<(Effect, String)>,
    worst: Option<(Effect, String)>,
}

impl Findings {
    /// Adds an effect and why it is there.
    pub(super) fn effect(&mut self, effect: Effect, why: impl FnOnce() -> String) {
        self.effects.insert(effect);
        if self.worst.as_ref().is_none_or(|(worst, _)| effect > *worst) {
            self.worst = Some((effect, why()));
        }
    }

    /// Adds an effect that even planning the statement could have.
    pub(super) fn effect_at_planning(&mut self, effect: Effect, why: String) {
        self.effect(effect, || why.clone());
        self.at_planning.push((effect, why));
    }

    pub(super) fn kind(&mut self, kind: &str) {
        if !self.kinds.iter().any(|known| known == kind) {
            self.kinds.push(kind.to_owned());
        }
    }

    pub(super) fn reads(&mut self, name: String) {
        self.objects.insert(Object {
            name,
            access: ObjectAccess::Read,
        });
    }

    pub(super) fn writes(&mut self, name: String) {
        self.objects.insert(Object {
            name,
            access: ObjectAccess::Write,
        });
    }

    /// The same findings for a statement that is only planned: what planning could run stays, the rest does not
    /// happen.
    pub(super) fn only_planned(self) -> Self {
        let mut planned = Self {
            objects: self
                .objects
                .into_iter()
                .map(|object| Object {
                    access: ObjectAccess::Read,
                    ..object
                })
                .collect(),
            functions: self.functions,
            runs_unjudged: self.runs_unjudged,
            uses: self.uses,
            ..Self::default()
        };
        for (effect, why) in self.at_planning {
            planned.effect_at_planning(effect, why);
        }
        planned
    }

    /// Takes in everything that `other` found.
    pub(super) fn merge(&mut self, other: Self) {
        for kind in &other.kinds {
            self.kind(kind);
        }
        self.effects.extend(other.effects);
        self.objects.extend(other.objects);
        self.functions.extend(other.functions);
        self.unbounded |= other.unbounded;
        self.runs_unjudged |= other.runs_unjudged;
        self.triggers.extend(other.triggers);
        self.uses.calls.extend(other.uses.calls);
        self.uses.operators.extend(other.uses.operators);
        self.uses.types.extend(other.uses.types);
        self.uses.rows.extend(other.uses.rows);
        self.uses.casts |= other.uses.casts;
        self.uses.says_default |= other.uses.says_default;
        self.uses.updates |= other.uses.updates;
        self.uses.replaces |= other.uses.replaces;
        self.uses.statements += other.uses.statements;
        self.at_planning.extend(other.at_planning);
        if let Some((effect, why)) = other.worst
            && self.worst.as_ref().is_none_or(|(worst, _)| effect > *worst)
        {
            self.worst = Some((effect, why));
        }
    }

    /// The facts. Without any effect it was proven to be a read.
    pub(super) fn into_facts(mut self) -> Facts {
        let class = self.effects.last().copied().unwrap_or(Effect::Read);
        if self.effects.is_empty() {
            self.effects.insert(Effect::Read);
        }
        let runs = |kind: &String| matches!(kind.as_str(), "call" | "do" | "execute");
        let runs_unjudged =
            self.runs_unjudged || !self.triggers.is_empty() || self.kinds.iter().any(runs);
        let mut why = match self.worst {
            Some((_, why)) => why,
            None => reading(&self.objects),
        };
        if !self.triggers.is_empty() {
            let names: Vec<&str> = self.triggers.iter().take(5).map(String::as_str).collect();
            why.push_str("; what its triggers do is not judged: ");
            why.push_str(&names.join(", "));
        }
        Facts {
            class,
            effects: self.effects,
            kinds: self.kinds,
            objects: self.objects,
            functions: self.functions,
            unbounded: self.unbounded || class == Effect::Unknown,
            predicates: BTreeSet::new(),
            given: Vec::new(),
            highest_parameter: 0,
            outputs: Outputs::Unproven,
            runs_unjudged,
            flows: BTreeSet::new(),
            why,
        }
    }
}

fn reading(objects: &BTreeSet<Object>) -> String {
    let names: Vec<&str> = objects
        .iter()
        .map(|object| object.name.as_str())
        .take(5)
        .collect();
    match (names.as_slice(), objects.len()) {
        ([], _) => "it only reads, and from no table".to_owned(),
        (names, count) if count > names.len() => {
            format!("it only reads {} and others", names.join(", "))
        }
        (names, _) => format!("it only reads {}", names.join(", ")),
    }
}
