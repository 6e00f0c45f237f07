//! What a credential for reading could do on a MySQL or MariaDB server beyond reading: its own rights, everyone's, and
//! those of every role it may take.

use super::{
    Mysql,
    grants::{Grant, Granted, covers, name_of},
};
use crate::{gateway::ports::RunError, targets::Overreach};

/// Rights with which nothing can be done but read tables and definitions.
const READS: [&str; 6] = [
    "USAGE",
    "SELECT",
    "SHOW VIEW",
    "SHOW DATABASES",
    "SHOW CREATE ROUTINE",
    "SHOW_ROUTINE",
];
/// Where the server keeps its accounts.
const ACCOUNTS: (&str, &str) = ("mysql", "user");

impl Mysql {
    /// What this credential could do that one for reading should not.
    pub(in crate::targets) async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        let own = self.grants_as("NONE").await?;
        let mut found: Vec<Overreach> = own
            .iter()
            .flat_map(|grant| self.beyond_reading(grant))
            .collect();
        for grant in &own {
            let Granted::Role(role) = &grant.what else {
                continue;
            };
            let me = &grant.to;
            let leave = format!("REVOKE {role} FROM {me}");
            let with_it = match self.grants_as(role).await {
                Ok(grants) => grants,
                Err(RunError::Refused { .. }) => {
                    let what = format!("{me} is a member of {role}, whose rights are not shown");
                    found.push(Overreach::new(what, leave));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let through_it = with_it.iter().filter(|grant| !own.contains(grant));
            let beyond = through_it.flat_map(|grant| self.beyond_reading(grant));
            // What the role may do is not ours to take back: that this account may take it is.
            found.extend(beyond.map(|beyond| {
                Overreach::new(
                    format!("{me}, as a member of {role}: {}", beyond.what),
                    &*leave,
                )
            }));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn beyond_reading(&self, grant: &Grant) -> Vec<Overreach> {
        let Grant { what, to, passable } = grant;
        let (rights, on) = match what {
            Granted::Rights { rights, on } => (rights, on),
            Granted::Proxy(whom) => {
                let mend = format!("REVOKE PROXY ON {whom} FROM {to}");
                return vec![Overreach::new(format!("{to} may act as {whom}"), mend)];
            }
            Granted::Role(_) => return Vec::new(),
            Granted::Unreadable => {
                return vec![Overreach::new(
                    "it has a right in a form not known here",
                    "look at SHOW GRANTS, and take back what is not needed to read",
                )];
            }
        };
        let mut found = Vec::new();
        let here = format!("`{}`", self.database().replace('`', "``"));
        let read_here = format!("GRANT SELECT, SHOW VIEW ON {here}.* TO {to}");
        let all = rights.iter().any(|right| right == "ALL PRIVILEGES");
        let shows_accounts = covers(on, ACCOUNTS.0, ACCOUNTS.1)
            && rights.iter().any(|right| name_of(right) == "SELECT");
        if all {
            // With them it would lose what it reads by.
            let place = if on == "*.*" {
                format!("{here}.*")
            } else {
                on.clone()
            };
            found.push(Overreach::new(
                format!("{to} may do anything on {on}"),
                format!(
                    "REVOKE ALL PRIVILEGES ON {on} FROM {to}; GRANT SELECT, SHOW VIEW ON {place} TO {to}"
                ),
            ));
        } else if shows_accounts {
            found.push(Overreach::new(
                format!("{to} may read every account's password hash: it has SELECT on {on}"),
                format!("REVOKE SELECT ON {on} FROM {to}; {read_here}"),
            ));
        }
        let is_function = on.starts_with("FUNCTION ");
        let beyond: Vec<&str> = rights
            .iter()
            .map(String::as_str)
            .filter(|right| {
                let name = name_of(right);
                // A function runs inside the transaction of its caller, which can only read; a procedure may end that.
                let is_function = is_function && name == "EXECUTE";
                !all && !READS.contains(&name) && !is_function
            })
            .collect();
        if !beyond.is_empty() {
            let beyond = beyond.join(", ");
            found.push(Overreach::new(
                format!("{to} has {beyond} on {on}"),
                format!("REVOKE {beyond} ON {on} FROM {to}"),
            ));
        }
        if *passable {
            found.push(Overreach::new(
                format!("{to} may pass on its rights on {on}"),
                format!("REVOKE GRANT OPTION ON {on} FROM {to}"),
            ));
        }
        found
    }
}
