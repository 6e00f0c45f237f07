//! Who there is, and what policy says to them, written down twice: as the YAML the gateway reads, and as the answers the
//! simulation expects. The second does not use the product's evaluation, classification or quorum.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use portcullis::domain::{
    operation::{Operation, SqlOperation},
    policy::Policy,
    principal::{DescribedPrincipal, PrincipalKind},
};

use crate::support::people::{SOMEONE, Someone, principal};

/// Who asks, in the simulation.
pub(super) const ASKERS: [&str; 4] = ["bot", "crawler", "dan", "hana"];

fn who(described: &DescribedPrincipal) -> &'static Someone {
    let is = |someone: &&Someone| principal(someone.name).described() == *described;
    SOMEONE.iter().find(is).unwrap()
}

/// What a statement is, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statement {
    Read,
    /// A read that policy may want to be asked about.
    Salaries,
    Update,
    /// An update that tells rows apart by a masked column.
    Probe,
    Delete,
    Drop,
    Nonsense,
}

impl Statement {
    pub(super) const ALL: [Self; 7] = [
        Self::Read,
        Self::Salaries,
        Self::Update,
        Self::Probe,
        Self::Delete,
        Self::Drop,
        Self::Nonsense,
    ];

    /// Its text; `number` keeps one ask from another.
    pub(super) fn operation(self, number: usize) -> Operation {
        let statement = match self {
            Self::Read => format!("SELECT id, email, note FROM customers WHERE id = {number}"),
            Self::Salaries => format!("SELECT id, email, note FROM salaries WHERE id = {number}"),
            Self::Update => format!("UPDATE customers SET name = 'x' WHERE id = {number}"),
            Self::Probe => format!("UPDATE customers SET name = 'x' WHERE email = 'e{number}'"),
            Self::Delete => format!("DELETE FROM customers WHERE id = {number}"),
            Self::Drop => format!("DROP TABLE t{number}"),
            Self::Nonsense => format!("DELEET {number} FROM customers"),
        };
        Operation::Sql(SqlOperation::new(statement, Vec::new(), None).unwrap())
    }

    fn changes_something(self) -> bool {
        !matches!(self, Self::Read | Self::Salaries)
    }
}

/// What is said to a kind of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Say {
    Allow,
    Deny,
    Ask(&'static [&'static str]),
}

/// What is said to conditions on a masked column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Predicates {
    Allow,
    Ask,
    Deny,
}

/// A policy, in as few words as the simulation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    pub(super) salaries: Say,
    pub(super) update: Say,
    pub(super) delete: Say,
    pub(super) predicates: Predicates,
    pub(super) dba_count: u32,
    /// How many times the rows they were shown what they approve may change.
    pub(super) dba_factor: Option<u32>,
    /// Whom the group of database administrators is made of.
    pub(super) dba: &'static str,
    pub(super) crm: bool,
    pub(super) writable: bool,
    pub(super) keep_results: bool,
}

impl Rules {
    /// Reads and updates run, a deletion takes one administrator.
    pub(super) const USUAL: Self = Self {
        salaries: Say::Ask(&["owners"]),
        update: Say::Allow,
        delete: Say::Ask(&["dba"]),
        predicates: Predicates::Ask,
        dba_count: 1,
        dba_factor: None,
        dba: "db-admins",
        crm: true,
        writable: true,
        keep_results: true,
    };

    fn yaml(&self) -> String {
        let mut rules = String::new();
        let mut rule = |name: &str, when: &str, say: Say| match say {
            Say::Allow => rules.push_str(&format!(
                "  - {{ name: {name}, when: {when}, then: allow }}\n"
            )),
            Say::Deny => rules.push_str(&format!(
                "  - {{ name: {name}, when: {when}, then: {{ deny: \"Not today.\" }} }}\n"
            )),
            Say::Ask(groups) => {
                for group in groups {
                    rules.push_str(&format!(
                        "  - {{ name: {name}-{group}, when: {when}, then: {{ require_approval: {group} }} }}\n"
                    ));
                }
            }
        };
        rule("reads", "{ effect: read }", Say::Allow);
        if self.salaries != Say::Allow {
            let when = "{ effect: read, tables: [\"salaries\"] }";
            rule("salaries", when, self.salaries);
        }
        rule("writes", "{ effect: write }", self.update);
        rule("deletions", "{ effect: destructive }", self.delete);
        let predicates = match self.predicates {
            Predicates::Allow => "allow",
            Predicates::Ask => "require_approval",
            Predicates::Deny => "deny",
        };
        // A group that no rule asks is a mistake in a policy; here each is always asked for something.
        for group in ["dba", "owners", "release"] {
            rules.push_str(&format!(
                "  - {{ name: spare-{group}, connections: [spare], when: {{ effect: admin }}, then: {{ require_approval: {group} }} }}\n"
            ));
        }
        let write = if self.writable {
            "\n    write: { url: \"sqlite:/srv/crm.db\" }"
        } else {
            ""
        };
        let crm = if self.crm {
            format!(
                "
  crm:
    kind: sqlite
    read: {{ url: \"sqlite:/srv/crm.db\" }}{write}
    allow: {{ groups: [ai-agents] }}
    budget: {{ timeout: 5s }}"
            )
        } else {
            String::new()
        };
        let results = if self.keep_results { "masked" } else { "none" };
        format!(
            "version: 1
approvers:
  dba: {{ groups: [{dba}], count: {count}, expires_in: 30m{factor} }}
  owners: {{ groups: [owners], expires_in: 10m }}
  release: {{ principals: [\"app:release\"], kind: pipeline }}
connections:
  spare:
    kind: sqlite
    read: {{ url: \"sqlite:/srv/spare.db\" }}
    write: {{ url: \"sqlite:/srv/spare.db\" }}
    allow: {{ groups: [nobody] }}{crm}
rules:
{rules}masking:
  columns:
    - {{ match: \"*.customers.email\", as: pseudonym, in_predicates: {predicates} }}
  approvers: owners
record: {{ results: {results} }}
",
            dba = self.dba,
            count = self.dba_count,
            factor = self
                .dba_factor
                .map_or(String::new(), |factor| format!(", rows_factor: {factor}")),
        )
    }

    /// The policy the gateway gets.
    pub(super) fn policy(&self) -> Arc<Policy> {
        static PARSED: LazyLock<Mutex<HashMap<Rules, Arc<Policy>>>> = LazyLock::new(Mutex::default);
        let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
        let parse = || {
            let yaml = self.yaml();
            let policy = Policy::parse(&[("policy.yaml".into(), yaml.clone())]);
            Arc::new(policy.unwrap_or_else(|error| panic!("{error}\n{yaml}")))
        };
        Arc::clone(parsed.entry(*self).or_insert_with(parse))
    }

    /// What is to be said to `asker`.
    pub(super) fn say(&self, asker: &DescribedPrincipal, statement: Statement) -> Say {
        if !self.crm || !who(asker).groups.contains(&"ai-agents") {
            return Say::Deny;
        }
        if statement.changes_something() && !self.writable {
            return Say::Deny;
        }
        match statement {
            Statement::Read => Say::Allow,
            Statement::Salaries => self.salaries,
            Statement::Update => self.update,
            Statement::Delete => self.delete,
            Statement::Drop | Statement::Nonsense => Say::Deny,
            Statement::Probe => match (self.update, self.predicates) {
                (Say::Deny, _) | (_, Predicates::Deny) => Say::Deny,
                (Say::Allow, Predicates::Ask) => Say::Ask(&["owners"]),
                (say, _) => say,
            },
        }
    }

    /// How many members of a group must agree.
    pub(super) fn count(&self, group: &str) -> u32 {
        if group == "dba" { self.dba_count } else { 1 }
    }

    /// How many times the rows it showed a group what it approves may change.
    pub(super) fn factor(&self, group: &str) -> Option<u32> {
        self.dba_factor.filter(|_| group == "dba")
    }

    /// Whether `approver` may decide for `group` on what `requester` asked.
    pub(super) fn may_decide(
        &self,
        group: &str,
        requester: &DescribedPrincipal,
        approver: &DescribedPrincipal,
    ) -> bool {
        let (requester, approver) = (who(requester), who(approver));
        let member = match group {
            "dba" => approver.kind == PrincipalKind::Human && approver.groups.contains(&self.dba),
            "owners" => {
                approver.kind == PrincipalKind::Human && approver.groups.contains(&"owners")
            }
            "release" => approver.name == "release",
            _ => false,
        };
        member && approver.name != requester.name
    }
}

/// Whether each of `seats` can be given to somebody of their own out of `people`, each of whom may take some of them.
pub(super) fn seated(seats: &[&str], people: &[Vec<&str>]) -> bool {
    let Some((seat, seats)) = seats.split_first() else {
        return true;
    };
    (0..people.len()).any(|index| {
        let mut others = people.to_vec();
        others.remove(index).contains(seat) && seated(seats, &others)
    })
}
