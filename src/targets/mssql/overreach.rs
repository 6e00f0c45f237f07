//! What a credential for reading could do on a SQL Server beyond reading: as dbo, by a role of the server or the database,
//! by a permission of its own or everyone's, by what it owns; and what it needs to be of use and has not.

use super::{Mssql, own::OwnRow};
use crate::{gateway::ports::RunError, targets::Overreach};

impl Mssql {
    /// What this credential could do that one for reading should not.
    pub(in crate::targets) async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        let mut asked = Asked::default();
        let questions = QUESTIONS.map(|(question, _)| question);
        self.ask(&questions, |index, row| QUESTIONS[index].1(&mut asked, row))
            .await?;
        Ok(asked.finished())
    }
}

type Take = fn(&mut Asked, &OwnRow) -> Option<()>;

const QUESTIONS: [(&str, Take); 8] = [
    (ME, Asked::me),
    (SERVER_ROLES, Asked::server_role),
    (SERVER_PERMISSIONS, Asked::server_permission),
    (ROLES, Asked::role),
    (PERMISSIONS, Asked::permission),
    (OWNED_SCHEMAS, Asked::owned_schema),
    (OWNED_OBJECTS, Asked::owned_object),
    (READABLE, Asked::readable),
];

/// `mine`: whoever this credential is to the database, its roles and their roles, each with the membership of its own
/// that leads there. A user who came by a group is that group.
macro_rules! of_mine {
    ($question:literal) => {
        concat!(
            "WITH mine (id, holder, via) AS ( \
               SELECT t.principal_id, QUOTENAME(t.name), CAST(NULL AS nvarchar(258)) FROM sys.user_token t \
               WHERE t.principal_id = 0 OR NOT EXISTS ( \
                 SELECT 1 FROM sys.database_principals p WHERE p.principal_id = t.principal_id AND p.type = 'R') \
               UNION ALL \
               SELECT p.principal_id, QUOTENAME(p.name), ISNULL(mine.via, QUOTENAME(p.name)) FROM mine \
               JOIN sys.database_role_members m ON m.member_principal_id = mine.id \
               JOIN sys.database_principals p ON p.principal_id = m.role_principal_id) ",
            $question
        )
    };
}

const ME: &str = "SELECT QUOTENAME(USER_NAME()), QUOTENAME(ORIGINAL_LOGIN()), CASE WHEN USER_NAME() = N'dbo' THEN 1 ELSE 0 END";

const SERVER_ROLES: &str = "SELECT r.name FROM (VALUES (N'sysadmin'), (N'serveradmin'), (N'securityadmin'), (N'processadmin'), \
       (N'setupadmin'), (N'bulkadmin'), (N'diskadmin'), (N'dbcreator')) r (name) \
     WHERE IS_SRVROLEMEMBER(r.name) = 1";

/// Looking at the server and connecting to it change nothing.
const SERVER_PERMISSIONS: &str = "SELECT permission_name FROM sys.fn_my_permissions(NULL, N'SERVER') \
     WHERE permission_name NOT LIKE N'VIEW %' AND permission_name NOT LIKE N'CONNECT%' \
       AND permission_name <> N'SELECT ALL USER SECURABLES' ORDER BY 1";

const ROLES: &str = of_mine!(
    "SELECT mine.holder, mine.via FROM mine JOIN sys.database_principals p ON p.principal_id = mine.id \
     WHERE p.is_fixed_role = 1 AND p.name NOT IN (N'db_datareader', N'db_denydatareader', N'db_denydatawriter')"
);

/// Permissions on the database, on schemas, on what is in them and on users. Of the server's own things everyone may
/// call what is there for everyone. Functions are called to read.
const PERMISSIONS: &str = of_mine!(
    "SELECT mine.holder, mine.via, p.permission_name, p.state, \
       CASE p.class WHEN 1 THEN N'OBJECT::' + QUOTENAME(OBJECT_SCHEMA_NAME(p.major_id)) + N'.' + QUOTENAME(OBJECT_NAME(p.major_id)) \
           + CASE WHEN p.minor_id > 0 THEN N' (' + QUOTENAME(COL_NAME(p.major_id, p.minor_id)) + N')' ELSE N'' END \
         WHEN 3 THEN N'SCHEMA::' + QUOTENAME(SCHEMA_NAME(p.major_id)) \
         WHEN 4 THEN CASE g.type WHEN 'R' THEN N'ROLE::' WHEN 'A' THEN N'APPLICATION ROLE::' ELSE N'USER::' END + QUOTENAME(g.name) \
       END \
     FROM mine JOIN sys.database_permissions p ON p.grantee_principal_id = mine.id \
     LEFT JOIN sys.database_principals g ON p.class = 4 AND g.principal_id = p.major_id \
     LEFT JOIN sys.objects o ON p.class = 1 AND o.object_id = p.major_id \
     WHERE p.state IN ('G', 'W') AND p.class IN (0, 1, 3, 4) AND NOT (p.class = 1 AND p.major_id < 0) \
       AND p.permission_name NOT LIKE N'VIEW %' AND p.permission_name NOT LIKE N'CONNECT%' \
       AND p.permission_name NOT IN (N'SELECT', N'REFERENCES', N'SHOWPLAN', N'UNMASK') \
       AND NOT (p.permission_name = N'EXECUTE' AND o.type IN ('FN', 'IF', 'TF', 'FS', 'FT', 'AF')) \
     ORDER BY 1, 5, 3"
);

const OWNED_SCHEMAS: &str = of_mine!(
    "SELECT mine.holder, mine.via, QUOTENAME(s.name) FROM mine JOIN sys.schemas s ON s.principal_id = mine.id \
     WHERE s.schema_id < 16384 ORDER BY 3"
);

const OWNED_OBJECTS: &str = of_mine!(
    "SELECT mine.holder, mine.via, QUOTENAME(SCHEMA_NAME(o.schema_id)) + N'.' + QUOTENAME(o.name) \
     FROM mine JOIN sys.objects o ON o.principal_id = mine.id ORDER BY 3"
);

/// Whether it sees definitions; how many tables and views there are; whether it can read a column of one.
const READABLE: &str = "SELECT (SELECT COUNT(*) FROM sys.fn_my_permissions(NULL, N'DATABASE') WHERE permission_name = N'VIEW DEFINITION'), \
       COUNT(*), SUM(HAS_PERMS_BY_NAME(QUOTENAME(SCHEMA_NAME(schema_id)) + N'.' + QUOTENAME(name), N'OBJECT', N'SELECT')) \
     FROM sys.objects WHERE type IN ('U', 'V')";

#[derive(Default)]
struct Asked {
    user: String,
    login: String,
    is_dbo: bool,
    /// Nothing else matters to whom the server is open.
    by_server_role: bool,
    server_permissions: Vec<String>,
    found: Vec<Overreach>,
}

fn word(row: &OwnRow, at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

impl Asked {
    fn me(&mut self, row: &OwnRow) -> Option<()> {
        self.user = word(row, 0)?.to_owned();
        self.login = word(row, 1)?.to_owned();
        self.is_dbo = word(row, 2)? == "1";
        Some(())
    }

    fn server_role(&mut self, row: &OwnRow) -> Option<()> {
        let (login, role) = (&self.login, word(row, 0)?);
        self.found.push(Overreach::new(
            format!("{login} is in the server role {role}"),
            format!("ALTER SERVER ROLE {role} DROP MEMBER {login}"),
        ));
        self.by_server_role = true;
        Some(())
    }

    fn server_permission(&mut self, row: &OwnRow) -> Option<()> {
        self.server_permissions.push(word(row, 0)?.to_owned());
        Some(())
    }

    /// What a role may do is not ours to take back: that this user may act as it is.
    fn found(&mut self, row: &OwnRow, may: &str, mend: String) -> Option<()> {
        let (user, holder) = (&self.user, word(row, 0)?);
        if self.is_dbo {
            // Told once, and none of it can be taken back.
            return Some(());
        }
        self.found.push(match word(row, 1) {
            Some(via) => Overreach::new(
                format!("{user}, as a member of {via}, {may}"),
                format!("ALTER ROLE {via} DROP MEMBER {user}"),
            ),
            None if holder == "[public]" => {
                Overreach::new(format!("{user}, as everyone, {may}"), mend)
            }
            None => Overreach::new(format!("{holder} {may}"), mend),
        });
        Some(())
    }

    fn role(&mut self, row: &OwnRow) -> Option<()> {
        let may = format!("has the rights of {}", word(row, 0)?);
        self.found(row, &may, String::new())
    }

    fn permission(&mut self, row: &OwnRow) -> Option<()> {
        let (holder, permission) = (word(row, 0)?, word(row, 2)?);
        let cascade = if word(row, 3)? == "W" { " CASCADE" } else { "" };
        let (may, on) = match word(row, 4) {
            Some(target) => (
                format!("may {permission} on {target}"),
                format!(" ON {target}"),
            ),
            None => (
                format!("may {permission} in the whole database"),
                String::new(),
            ),
        };
        let mend = format!("REVOKE {permission}{on} FROM {holder}{cascade}");
        self.found(row, &may, mend)
    }

    fn owned_schema(&mut self, row: &OwnRow) -> Option<()> {
        let schema = word(row, 2)?;
        let mend = format!("ALTER AUTHORIZATION ON SCHEMA::{schema} TO dbo");
        self.found(row, &format!("owns the schema {schema}"), mend)
    }

    fn owned_object(&mut self, row: &OwnRow) -> Option<()> {
        let object = word(row, 2)?;
        let mend = format!("ALTER AUTHORIZATION ON OBJECT::{object} TO SCHEMA OWNER");
        self.found(row, &format!("owns {object}"), mend)
    }

    fn readable(&mut self, row: &OwnRow) -> Option<()> {
        let user = &self.user;
        let (sees, many, readable) = (word(row, 0)?, word(row, 1)?, word(row, 2));
        if sees == "0" {
            self.found.push(Overreach::new(
                format!("{user} does not see every definition, so nothing it is asked to read can be judged"),
                format!("GRANT VIEW DEFINITION TO {user}"),
            ));
        }
        if many != "0" && readable == Some("0") {
            self.found.push(Overreach::new(
                format!("{user} can read none of the {many} tables and views"),
                format!("ALTER ROLE db_datareader ADD MEMBER {user}"),
            ));
        }
        Some(())
    }

    fn finished(mut self) -> Vec<Overreach> {
        let login = &self.login;
        if !self.by_server_role && !self.server_permissions.is_empty() {
            let permissions = self.server_permissions.join(", ");
            self.found.push(Overreach::new(
                format!("{login} may {permissions} on the whole server"),
                format!("REVOKE {permissions} FROM {login}"),
            ));
        }
        if self.is_dbo {
            self.found.push(Overreach::new(
                format!("{login} is dbo in this database and may do anything there"),
                "in the policy: give the read credential the url of a login of its own, whose user is a member of \
                 db_datareader and has VIEW DEFINITION",
            ));
        }
        self.found.sort();
        self.found.dedup();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_asks_itself_is_a_query_and_nothing_else() {
        for (question, _) in QUESTIONS {
            crate::targets::mssql::own::assert_only_asks(question);
        }
    }
}
