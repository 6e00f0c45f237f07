//! What has been found in a statement so far. Effects only ever pile up here; nothing takes one back.

use std::collections::BTreeSet;

use super::super::{Effect, Facts, Object, ObjectAccess, Outputs};

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
        let runs_unjudged = self.runs_unjudged || self.kinds.iter().any(runs);
        let why = match self.worst {
            Some((_, why)) => why,
            None => reading(&self.objects),
        };
        Facts {
            class,
            effects: self.effects,
            kinds: self.kinds,
            objects: self.objects,
            functions: self.functions,
            unbounded: self.unbounded || class == Effect::Unknown,
            predicates: BTreeSet::new(),
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
