//! Who may approve, how many of them, until when, and for which digest.
//!
//! The approver is another, eligible human, or a pipeline that policy names: never the requester, never an agent, and
//! no role is exempt. Each person counts once, whatever groups they are in.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    masking::MaskedCounts,
    policy::{ApproverGroup, ApproverGroupName, ApproverKind, Policy},
    principal::{DescribedPrincipal, Person, PrincipalKind},
    record::{Hash, hash_of},
};

/// What an approval needs, fixed when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalTerms {
    /// Every group that must agree, each by its own people.
    pub from: Vec<Quorum>,
    /// What is approved: operation, parameters, connection and principal. When it is asked again, the question too: so
    /// that an answer to one question is none to the next.
    pub digest: Hash,
    /// After this it is too late.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// The policy version it was asked under.
    pub policy: Hash,
    /// How many times the rows that were shown it may change; absent: ten times, where they were counted exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_factor: Option<u32>,
    /// Why the same is asked again; absent: it is asked for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<AskedAgain>,
    /// The answer that may be given; absent: what may be run is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<HeldAnswer>,
}

/// What an API answered, kept back until people agree that whoever called may have it, masked as it is. The call was made,
/// and is not made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldAnswer {
    /// The status.
    pub status: u16,
    /// Its `Content-Type`, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How many bytes of its body, masked.
    pub bytes: u64,
    /// Over those bytes.
    pub sha256: Hash,
    /// What was found in it, and masked.
    pub found: MaskedCounts,
}

impl HeldAnswer {
    /// The kinds of what was found, for a sentence.
    pub fn kinds(&self) -> String {
        let kinds: Vec<_> = self.found.by.keys().map(String::as_str).collect();
        kinds.join(", ")
    }

    /// How much of each kind was found, and in what: for whoever decides. Kinds and counts, never values.
    pub fn what(&self) -> String {
        format!(
            "{} (status {}, {} bytes)",
            self.counts(),
            self.status,
            self.bytes
        )
    }

    fn counts(&self) -> String {
        let found = self.found.by.iter();
        let found: Vec<_> = found
            .map(|(kind, count)| format!("{count} of {kind}"))
            .collect();
        found.join(", ")
    }
}

/// In a sentence, for whoever decides.
impl fmt::Display for HeldAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the call was made, and its answer (status {}, {} bytes) is kept back: found and masked were {}",
            self.status,
            self.bytes,
            self.counts()
        )
    }
}

/// Why an approved request is asked again: it was run, changed more rows than were agreed to, and was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedAgain {
    /// Which question this is: 2 for the first repetition.
    pub question: u32,
    /// How many rows it changed before it was rolled back.
    pub rows: u64,
    /// How many were agreed to.
    pub at_most: u64,
}

/// One group and how many of its members must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quorum {
    /// The group.
    pub group: ApproverGroupName,
    /// How many distinct members.
    pub count: u32,
}

/// Why someone may not decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEligible {
    /// Agents never approve.
    #[error("an agent can approve nothing; a human in {0} has to decide")]
    Agent(String),
    /// Nobody approves for themselves, nor for an agent that acts for them.
    #[error(
        "you asked for this, or it was asked on your behalf; someone else in {0} has to decide"
    )]
    Requester(String),
    /// Not in any of the groups asked.
    #[error("`{who}` is not in any group that was asked; it takes {from}")]
    NotAsked {
        /// The principal.
        who: String,
        /// The groups.
        from: String,
    },
}

impl ApprovalTerms {
    /// The groups' names for a sentence.
    pub fn groups(&self) -> String {
        let names: Vec<_> = self
            .from
            .iter()
            .map(|quorum| format!("`{}`", quorum.group))
            .collect();
        names.join(" and ")
    }

    /// Which question this is, from 1.
    pub fn question(&self) -> u32 {
        self.again.map_or(1, |again| again.question)
    }

    /// These terms, with the digest that an approver's yes or no must name: the operation's own; when it is asked again,
    /// with what it is asked again for; when an answer may be given, with that. So none is a yes to another.
    pub(super) fn about(mut self, operation: Hash) -> Self {
        self.digest = self.asks(operation);
        self
    }

    /// That digest.
    pub fn asks(&self, operation: Hash) -> Hash {
        match (&self.answer, &self.again) {
            (None, None) => operation,
            (None, Some(again)) => hash_of(
                "portcullis-question-v1",
                &serde_json::json!({"operation": operation, "again": again}),
            ),
            (Some(answer), _) => hash_of(
                "portcullis-answer-question-v1",
                &serde_json::json!({"operation": operation, "answer": answer}),
            ),
        }
    }

    /// The groups asked in which `approver` may decide under today's `policy`; at least one.
    pub fn eligible(
        &self,
        policy: &Policy,
        requester: &DescribedPrincipal,
        approver: &DescribedPrincipal,
    ) -> Result<Vec<ApproverGroupName>, NotEligible> {
        if approver.kind == PrincipalKind::Agent {
            return Err(NotEligible::Agent(self.groups()));
        }
        let acts_for_approver = requester.acts_for.as_deref().is_some_and(|person| {
            person == approver.subject
                || approver
                    .id
                    .as_str()
                    .split_once(':')
                    .is_some_and(|(_, name)| name == person)
        });
        if approver.person() == requester.person()
            || approver.id == requester.id
            || acts_for_approver
        {
            return Err(NotEligible::Requester(self.groups()));
        }
        let groups: Vec<_> = self
            .from
            .iter()
            .filter(|quorum| {
                policy
                    .approvers
                    .get(&quorum.group)
                    .is_some_and(|group| group.has(approver))
            })
            .map(|quorum| quorum.group.clone())
            .collect();
        if groups.is_empty() {
            Err(NotEligible::NotAsked {
                who: approver.id.to_string(),
                from: self.groups(),
            })
        } else {
            Ok(groups)
        }
    }

    /// Whether these people, each in the groups given, satisfy every group asked, nobody counting twice. A group needs
    /// as many as when it was asked or as today's policy says, whichever is more.
    pub fn satisfied(
        &self,
        policy: &Policy,
        approvals: &BTreeMap<Person, Vec<ApproverGroupName>>,
    ) -> bool {
        let mut seats = Vec::new();
        for quorum in &self.from {
            let today = policy
                .approvers
                .get(&quorum.group)
                .map_or(0, |group| group.count);
            let count = quorum.count.max(today).max(1) as usize;
            if count > approvals.len() {
                return false;
            }
            seats.extend(std::iter::repeat_n(&quorum.group, count));
        }
        let people: Vec<_> = approvals.values().collect();
        let mut seated: Vec<Option<usize>> = vec![None; people.len()];
        !seats.is_empty()
            && (0..seats.len()).all(|seat| {
                take_seat(
                    seat,
                    &seats,
                    &people,
                    &mut seated,
                    &mut vec![false; people.len()],
                )
            })
    }
}

/// Finds a person for `seat`, moving others to free ones where that helps (augmenting path of a bipartite matching).
fn take_seat(
    seat: usize,
    seats: &[&ApproverGroupName],
    people: &[&Vec<ApproverGroupName>],
    seated: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for person in 0..people.len() {
        if tried[person] || !people[person].contains(seats[seat]) {
            continue;
        }
        tried[person] = true;
        let free = match seated[person] {
            None => true,
            Some(other) => take_seat(other, seats, people, seated, tried),
        };
        if free {
            seated[person] = Some(seat);
            return true;
        }
    }
    false
}

impl ApproverGroup {
    /// Whether `approver` is a member: a human by group or name, a pipeline by name alone.
    pub fn has(&self, approver: &DescribedPrincipal) -> bool {
        let named = self.principals.contains(approver.id.as_str());
        match self.kind {
            ApproverKind::Human => {
                approver.kind == PrincipalKind::Human
                    && (named || !self.groups.is_disjoint(&approver.groups))
            }
            ApproverKind::Pipeline => approver.kind == PrincipalKind::Service && named,
        }
    }
}
