//! Whether read credentials can only read: asked of the servers themselves, after the start and on demand, never for a
//! request, which its read-only transaction guards.

use std::time::Duration;

use serde::Serialize;

use crate::{
    domain::{
        classify::server::Routine,
        connection::ConnectionName,
        masking::MaskedCounts,
        policy::{ConnectionRules, Policy},
    },
    gateway::ports::Targets,
    targets::{LiveTargets, Overreach},
};

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something about a connection that its owner should mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The connection.
    pub connection: ConnectionName,
    /// What it is, and what mends it.
    #[serde(flatten)]
    pub overreach: Overreach,
}

/// Asks every connection of `policy`, one after the other.
pub(super) async fn findings(targets: &LiveTargets, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for connection in policy.connections.values() {
        let asked = tokio::time::timeout(PATIENCE, asked(targets, connection)).await;
        let found = asked.unwrap_or_else(|_| {
            let late = format!("its server did not answer within {} s", PATIENCE.as_secs());
            vec![unanswered(connection, &late)]
        });
        // It may be said in the server's own words.
        let shown = |what: &str| {
            let counts = &mut MaskedCounts::default();
            policy.masking.text(what, counts).into_inner()
        };
        findings.extend(found.into_iter().map(|Overreach { what, mend }| Finding {
            connection: connection.name.clone(),
            overreach: Overreach {
                what: shown(&what),
                mend,
            },
        }));
    }
    findings
}

/// Says in the log what is to be mended.
pub(super) async fn warn(targets: &LiveTargets, policy: &Policy) {
    for finding in findings(targets, policy).await {
        let Finding {
            connection,
            overreach: Overreach { what, mend },
        } = finding;
        tracing::warn!(%connection, %mend, "the read credential should be mended: {what}");
    }
}

async fn asked(targets: &LiveTargets, connection: &ConnectionRules) -> Vec<Overreach> {
    let mut found = match targets.overreach(&connection.name).await {
        Ok(found) => found,
        Err(error) => vec![unanswered(connection, &error.to_string())],
    };
    // Read in any case: the first request then finds it at hand.
    match targets.catalog(&connection.name).await {
        Ok(Some(catalog)) => {
            let absent = connection.functions.iter().filter(|function| {
                let (schema, name) = match function.split_once('.') {
                    Some((schema, name)) => (Some(schema), name),
                    None => (None, function.as_str()),
                };
                let overloads = catalog.catalog().routines.get(name);
                let here = |routine: &Routine| schema.is_none_or(|schema| schema == routine.schema);
                !overloads.is_some_and(|overloads| overloads.iter().any(here))
            });
            found.extend(absent.map(|function| Overreach {
                what: format!("the policy vouches for the function {function}, which is not there"),
                mend: format!(
                    "in the policy: take {function} out of `connections.{}.functions`, or name its schema as it is",
                    connection.name
                ),
            }));
        }
        Ok(None) => {}
        // Told already.
        Err(_) if !found.is_empty() => {}
        Err(error) => found.push(unanswered(connection, &error.to_string())),
    }
    found
}

fn unanswered(connection: &ConnectionRules, why: &str) -> Overreach {
    Overreach {
        what: format!("what its read credential may do could not be asked: {why}"),
        mend: format!(
            "see that the server is up and that `connections.{}.read` leads to it",
            connection.name
        ),
    }
}
