//! What there is on a connection: its tables and views, and what of them would be masked.
//!
//! What is masked is not looked up: each relation is judged as the statement that reads all its columns would be, and its
//! columns go through the masking that their rows would go through. So it says of a view what reading the view would say.
//!
//! INVARIANT: nothing of it is told before it is on record what was told to whom.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    GateError, Gateway, Ports,
    ports::{Clock, Targets},
    sessions::{Place, Placed},
};
use crate::domain::{
    classify::{
        Dialect, Effect,
        server::{Relation, ServerName},
    },
    connection::{ConnectionKind, ConnectionName},
    id::SessionId,
    masking::{MaskedColumn, MaskedCounts, ServerColumn},
    operation::{Operation, SqlOperation},
    policy::{ConnectionRules, Policy},
    principal::Principal,
    session::{ConnectionDescribed, EventBody},
};

/// The most relations described at once; of others the names are told.
const MOST: usize = 100;

/// What there is on a connection. Names went through masking, like everything that comes from a target.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Description {
    /// The session it is on record in.
    pub session_id: SessionId,
    /// The connection.
    pub connection: ConnectionName,
    /// What it leads to.
    pub kind: ConnectionKind,
    /// What it takes, and where that is sent.
    pub usage: String,
    /// Where a name without a schema is looked for, in order.
    pub search_path: Vec<String>,
    /// Tables and views, with their columns.
    pub relations: Vec<RelationView>,
    /// The names of others, when there are too many for one answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// A table or view.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RelationView {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether it shows what other relations hold.
    pub view: bool,
    /// Its columns, in order; `masked` where their values are masked whole. Empty: which they are is not known.
    pub columns: Vec<MaskedColumn>,
    /// What reading all of it is judged as, where that is no plain read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// Why reading a relation is no plain read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reading {
    /// What it would be judged as.
    pub effect: Effect,
    /// Why.
    pub why: String,
}

impl<P: Ports> Gateway<P> {
    /// What `principal` can ask about on `connection`: the relations whose name, or `schema.name`, is in `named`, in any
    /// case; empty: all. Counts as a request against the budget. On record in `session`, or in one of its own.
    pub async fn description(
        &self,
        principal: &Principal,
        connection: &ConnectionName,
        named: &BTreeSet<String>,
        session: Option<&SessionId>,
    ) -> Result<Description, GateError> {
        if self.running.is_closed() {
            return Err(GateError::Stopping);
        }
        let policy = self.policy();
        let rules = policy
            .connections
            .get(connection)
            .filter(|rules| rules.allow.includes(principal))
            .ok_or_else(|| GateError::UnknownConnection(connection.clone()))?;
        self.within_rate(principal, rules)?;
        let place = self.place(principal, connection, session, None).await?;
        let described = self.described(&policy, rules, &place, named).await?;
        let relations = described.relations.iter();
        let told = ConnectionDescribed {
            connection: connection.clone(),
            relations: relations.map(RelationView::dotted).collect(),
            others: described.others.len() as u64,
        };
        match self
            .record_new(&place, vec![EventBody::ConnectionDescribed(told)])
            .await?
        {
            Placed::OnRecord(_) => Ok(described),
            Placed::Repeated => Err(GateError::Busy(described.session_id)),
        }
    }

    async fn described(
        &self,
        policy: &Policy,
        rules: &ConnectionRules,
        place: &Place,
        named: &BTreeSet<String>,
    ) -> Result<Description, GateError> {
        let connection = &rules.name;
        let masking = &policy.masking;
        let shown = |text: &str| {
            masking
                .text(text, &mut MaskedCounts::default())
                .into_inner()
        };
        let catalog = self.parts.targets.catalog(connection).await;
        let catalog = catalog.map_err(|error| GateError::NotDescribed {
            connection: connection.clone(),
            why: shown(&error.to_string()),
        })?;
        let mut description = Description {
            session_id: place.request.session(),
            connection: connection.clone(),
            kind: rules.kind,
            usage: rules.kind.usage(),
            search_path: Vec::new(),
            relations: Vec::new(),
            others: Vec::new(),
        };
        let Some(catalog) = catalog else {
            return Ok(description);
        };
        let dialect = catalog.dialect();
        let catalog = catalog.catalog();
        description.search_path = catalog.search_path.iter().map(|name| shown(name)).collect();
        let named: BTreeSet<_> = named.iter().map(|name| name.to_lowercase()).collect();
        for (name, relation) in &catalog.relations {
            let (own, whole) = (name.name.to_lowercase(), dotted(name).to_lowercase());
            if !named.is_empty() && !named.contains(&own) && !named.contains(&whole) {
                continue;
            }
            if description.relations.len() == MOST {
                description.others.push(shown(&dotted(name)));
                continue;
            }
            let view = self
                .relation_view(policy, rules, dialect, name, relation)
                .await?;
            description.relations.push(view);
            // A catalog is long, and others wait.
            tokio::task::yield_now().await;
        }
        Ok(description)
    }

    async fn relation_view(
        &self,
        policy: &Policy,
        rules: &ConnectionRules,
        dialect: Dialect,
        name: &ServerName,
        relation: &Relation,
    ) -> Result<RelationView, GateError> {
        let masking = &policy.masking;
        let shown = |text: &str| {
            masking
                .text(text, &mut MaskedCounts::default())
                .into_inner()
        };
        let labels = relation.columns.iter().map(|column| &*column.name);
        let statement = read_of(dialect, name, labels);
        let reading = Operation::Sql(SqlOperation::new(statement, Vec::new(), None)?);
        let assessed = self.assess(rules, &reading).await;
        let facts = &*assessed.facts;
        let columns: Vec<_> = relation
            .columns
            .iter()
            .map(|column| ServerColumn {
                name: shown(&column.name),
                type_name: shown(&dotted(&column.type_name)),
                origin: None,
            })
            .collect();
        let (masked, _) = masking.rows(facts, &columns).finish();
        Ok(RelationView {
            schema: shown(&name.schema),
            name: shown(&name.name),
            view: relation.definition.is_some() || relation.opaque,
            columns: masked.into_inner().columns,
            reading: (facts.class != Effect::Read).then(|| Reading {
                effect: facts.class,
                why: shown(&facts.why),
            }),
        })
    }

    fn within_rate(&self, principal: &Principal, rules: &ConnectionRules) -> Result<(), GateError> {
        let (name, limit) = (&rules.name, rules.budget.requests_per_minute);
        self.rates
            .take(principal.id(), name, limit, self.parts.clock.now())
            .map_err(|retry_after| GateError::RateLimited {
                connection: name.clone(),
                limit,
                retry_after,
            })
    }
}

impl RelationView {
    fn dotted(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

fn dotted(name: &ServerName) -> String {
    match name.schema.as_str() {
        "" => name.name.clone(),
        schema => format!("{schema}.{}", name.name),
    }
}

/// The statement that reads all of a relation. It is judged and never sent.
fn read_of<'c>(
    dialect: Dialect,
    name: &ServerName,
    columns: impl Iterator<Item = &'c str>,
) -> String {
    let columns: Vec<_> = columns.map(|column| quoted(dialect, column)).collect();
    let columns = match columns.is_empty() {
        true => "*".into(),
        false => columns.join(", "),
    };
    let (schema, name) = (quoted(dialect, &name.schema), quoted(dialect, &name.name));
    format!("SELECT {columns} FROM {schema}.{name}")
}

fn quoted(dialect: Dialect, name: &str) -> String {
    let (open, close) = match dialect {
        Dialect::Postgres | Dialect::Sqlite => ('"', '"'),
        Dialect::Mysql => ('`', '`'),
        Dialect::Mssql => ('[', ']'),
    };
    let name = name.replace(close, &format!("{close}{close}"));
    format!("{open}{name}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name_whatever_is_in_it() {
        let name = ServerName {
            schema: "a".into(),
            name: r#"b"; DROP TABLE c --"#.into(),
        };
        let read = read_of(Dialect::Postgres, &name, ["x", r#"y""#].into_iter());
        assert_eq!(read, r#"SELECT "x", "y""" FROM "a"."b""; DROP TABLE c --""#);
        let name = ServerName {
            schema: "dbo".into(),
            name: "a]b`".into(),
        };
        let none = std::iter::empty();
        assert_eq!(
            read_of(Dialect::Mssql, &name, none),
            "SELECT * FROM [dbo].[a]]b`]"
        );
        let none = std::iter::empty();
        assert_eq!(
            read_of(Dialect::Mysql, &name, none),
            "SELECT * FROM `dbo`.`a]b```"
        );
    }
}
