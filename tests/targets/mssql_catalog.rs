//! What a SQL Server tells of what its users have made, and of what its read credential may. As in `mssql`, a peer stands in
//! for the server where none is named: then what is shown is how its answers are read, and not that a server gives them.

use portcullis::{
    domain::classify::{Dialect, Effect, server::Surroundings, sql, sql::JudgedCatalog},
    gateway::ports::{CatalogError, Targets},
    targets::Overreach,
};

use super::{mssql::Server, *};
use crate::support::tds::{
    Heard, Script,
    asks::{COLUMNS, EXPRESSIONS, KEYS, PLACE, RELATIONS, ROUTINES, SYNONYMS, TRIGGERS},
};

impl Target {
    async fn judged(&self) -> std::sync::Arc<JudgedCatalog> {
        self.targets.catalog(&name()).await.unwrap().unwrap()
    }
}

/// What makes the things that [`made`] tells of.
const MAKE: [&str; 12] = [
    "DROP SECURITY POLICY IF EXISTS dbo.portcullis_policy",
    "DROP SYNONYM IF EXISTS dbo.portcullis_alias",
    "DROP SYNONYM IF EXISTS dbo.portcullis_elsewhere",
    "DROP VIEW IF EXISTS dbo.portcullis_contacts",
    "DROP TABLE IF EXISTS dbo.portcullis_clients",
    "DROP FUNCTION IF EXISTS dbo.portcullis_own, dbo.portcullis_sly",
    "CREATE TABLE dbo.portcullis_clients (id int NOT NULL, email nvarchar(50) NOT NULL CONSTRAINT portcullis_none DEFAULT N'none', shout AS UPPER(email))",
    "CREATE VIEW dbo.portcullis_contacts (id, mail) AS SELECT id, email FROM dbo.portcullis_clients WHERE id > 0 WITH CHECK OPTION",
    "CREATE FUNCTION dbo.portcullis_own (@id int) RETURNS TABLE WITH SCHEMABINDING AS RETURN (SELECT 1 AS ok WHERE @id > 0)",
    "CREATE FUNCTION dbo.portcullis_sly (@id int) RETURNS int AS BEGIN RETURN @id END",
    "CREATE SYNONYM dbo.portcullis_alias FOR dbo.portcullis_contacts",
    "CREATE SYNONYM dbo.portcullis_elsewhere FOR elsewhere.dbo.clients",
];

/// The same, as a server tells it.
fn made() -> Script {
    let some = Some;
    Script::default()
        .own(PLACE, &[[some("crm"), some("dbo"), some("1")]])
        .own(
            RELATIONS,
            &[
                [
                    some("7"),
                    some("dbo"),
                    some("portcullis_clients"),
                    some("U"),
                    some("false"),
                    None,
                ],
                [
                    some("8"),
                    some("dbo"),
                    some("portcullis_contacts"),
                    some("V"),
                    None,
                    some(MAKE[7]),
                ],
                [
                    some("9"),
                    some("dbo"),
                    some("Sealed"),
                    some("V"),
                    None,
                    None,
                ],
                [
                    some("10"),
                    some("dbo"),
                    some("afar"),
                    some("U"),
                    some("true"),
                    None,
                ],
            ],
        )
        .own(
            COLUMNS,
            &[
                [some("7"), some("id"), some(""), some("int")],
                [some("7"), some("email"), some(""), some("nvarchar")],
                [some("7"), some("shout"), some(""), some("nvarchar")],
                [some("8"), some("id"), some(""), some("int")],
                [some("8"), some("mail"), some(""), some("nvarchar")],
                [some("9"), some("id"), some(""), some("int")],
            ],
        )
        .own(
            EXPRESSIONS,
            &[
                [some("7"), some("0"), some("(N'none')"), None],
                [
                    some("7"),
                    some("1"),
                    some("(upper([email]))"),
                    some("shout"),
                ],
            ],
        )
        .own(KEYS, &[[some("7"), some("7"), some("1"), some("0")]])
        .own(TRIGGERS, &[[some("7"), some("noted")]])
        .own(
            ROUTINES,
            &[
                [
                    some("dbo"),
                    some("portcullis_own"),
                    some("IF"),
                    some(MAKE[8]),
                ],
                [
                    some("dbo"),
                    some("portcullis_sly"),
                    some("FN"),
                    some(MAKE[9]),
                ],
            ],
        )
        .own(
            SYNONYMS,
            &[
                [some("dbo"), some("portcullis_alias"), some("8")],
                [some("dbo"), some("portcullis_elsewhere"), None],
            ],
        )
}

#[tokio::test]
async fn everything_users_have_made_in_sql_server_is_in_its_catalog() {
    let server = Server::new(made()).await;
    server.prepare(&MAKE).await;
    let judged = server.target.judged().await;
    let catalog = judged.catalog();
    let relation = |name| catalog.relation(&[name]).unwrap().1;
    assert_eq!(catalog.search_path, ["dbo"]);
    let clients = relation("portcullis_clients");
    let columns: Vec<_> = clients
        .columns
        .iter()
        .map(|column| (&*column.name, &*column.type_name.name))
        .collect();
    assert_eq!(
        columns,
        [("id", "int"), ("email", "nvarchar"), ("shout", "nvarchar")]
    );
    assert_eq!(clients.on_write, ["(N'none')"]);
    assert_eq!(clients.on_read, ["(upper([email]))"]);
    assert_eq!(clients.computed["shout"], "(upper([email]))");
    let contacts = relation("portcullis_contacts");
    assert_eq!(
        contacts.definition.as_deref(),
        Some("SELECT id, email FROM dbo.portcullis_clients WHERE id > 0")
    );
    assert_eq!(
        relation("portcullis_alias").definition.as_deref(),
        Some("SELECT [id], [mail] FROM [dbo].[portcullis_contacts]")
    );
    assert!(relation("portcullis_elsewhere").opaque);
    let own = &catalog.routines["portcullis_own"][0];
    assert_eq!(own.body.as_deref(), Some("(SELECT 1 AS ok WHERE @id > 0)"));
    assert_eq!(catalog.routines["portcullis_sly"][0].language, "tsql");
    if server.peer.is_some() {
        assert!(relation("sealed").opaque && relation("afar").opaque);
        assert_eq!(clients.triggers, ["noted"]);
        assert_eq!(clients.on_delete[0].name, "portcullis_clients");
        assert!(clients.on_update.is_empty());
        assert_eq!(catalog.database.as_deref(), Some("crm"));
    }
}

#[tokio::test]
async fn what_stands_behind_a_name_in_sql_server_is_judged_with_it() {
    let server = Server::new(made()).await;
    server.prepare(&MAKE).await;
    let judged = server.target.judged().await;
    let place = Surroundings {
        catalog: Some(&judged),
        harmless: None,
    };
    let database = judged.catalog().database.clone().unwrap();
    let effect = |statement: &str| sql::classify_in(Dialect::Mssql, statement, place).class;
    for statement in [
        "SELECT id, shout FROM portcullis_clients",
        "SELECT mail FROM dbo.Portcullis_Contacts",
        "SELECT mail FROM portcullis_alias",
        &format!("SELECT mail FROM {database}.dbo.portcullis_alias"),
        "SELECT name FROM master.sys.databases",
    ] {
        assert_eq!(effect(statement), Effect::Read, "{statement}");
    }
    for statement in [
        "SELECT id FROM portcullis_elsewhere",
        "SELECT id FROM elsewhere.dbo.portcullis_clients",
        "SELECT id FROM elsewhere..portcullis_clients",
        &format!("SELECT mail FROM {database}..portcullis_contacts"),
        &format!("SELECT mail FROM server.{database}.dbo.portcullis_contacts"),
        "SELECT dbo.portcullis_sly(1)",
    ] {
        assert_ne!(effect(statement), Effect::Read, "{statement}");
    }
    // A computed column is made of what it is computed from.
    let computed = "SELECT shout FROM portcullis_clients";
    let computed = sql::classify_in(Dialect::Mssql, computed, place);
    let outputs = format!("{:?}", computed.outputs);
    assert!(outputs.contains("\"email\""), "{outputs}");
    let facts = sql::classify_in(Dialect::Mssql, "SELECT mail FROM portcullis_alias", place);
    let objects: Vec<_> = facts.objects.iter().map(|object| &*object.name).collect();
    assert!(
        objects.contains(&"dbo.portcullis_clients"),
        "what is behind it counts: {objects:?}"
    );
}

#[tokio::test]
async fn a_credential_that_does_not_see_every_definition_is_told_and_nothing_is_judged() {
    let nothing: &[[Option<&str>; 1]] = &[];
    let blind = [
        RELATIONS,
        COLUMNS,
        EXPRESSIONS,
        KEYS,
        TRIGGERS,
        ROUTINES,
        SYNONYMS,
    ]
    .into_iter()
    .fold(Script::default(), |script, words| {
        script.own(words, nothing)
    })
    .own(PLACE, &[[Some("crm"), Some("dbo"), Some("0")]])
    .start();
    let target = Target::of(ConnectionKind::Mssql, &blind.url(), &blind.url());
    let why = match target.targets.catalog(&name()).await {
        Err(CatalogError::Unreadable(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why.contains("VIEW DEFINITION"), "{why}");
}

#[tokio::test]
async fn a_description_is_forgotten_when_the_catalog_has_changed() {
    let read = "SELECT id FROM dbo.clients";
    let asked = |peer: &crate::support::tds::Peer| {
        let heard = peer.heard();
        let describes = heard.iter().filter(|heard| {
            matches!(heard, Heard::Call { statement, .. } if statement.contains("dm_exec_describe_first_result_set"))
        });
        describes.count()
    };
    let peer = Script::default()
        .answer(read, crate::support::tds::finished(vec![]))
        .start();
    let target = Target::of(ConnectionKind::Mssql, &peer.url(), &peer.url());
    target.read(read).await.unwrap();
    target.read(read).await.unwrap();
    assert_eq!(asked(&peer), 1);
    target.targets.catalog_changed(&name());
    target.read(read).await.unwrap();
    assert_eq!(asked(&peer), 2);
}

// ---------------------------------------------------------------------------------------------- overreach

const ME: &str = "ORIGINAL_LOGIN()";
const SERVER_ROLES: &str = "IS_SRVROLEMEMBER";
const SERVER_PERMISSIONS: &str = "N'SERVER'";
const ROLES: &str = "is_fixed_role";
const PERMISSIONS: &str = "sys.database_permissions";
const OWNED_SCHEMAS: &str = "sys.schemas";
const OWNED_OBJECTS: &str = "o.principal_id = mine.id";
const READABLE: &str = "HAS_PERMS_BY_NAME";

/// A credential as it should be.
fn modest(script: Script) -> Script {
    let none: &[[Option<&str>; 1]] = &[];
    script
        .own(ME, &[[Some("[reader]"), Some("[reader]"), Some("0")]])
        .own(SERVER_ROLES, none)
        .own(SERVER_PERMISSIONS, none)
        .own(ROLES, none)
        .own(PERMISSIONS, none)
        .own(OWNED_SCHEMAS, none)
        .own(OWNED_OBJECTS, none)
        .own(READABLE, &[[Some("1"), Some("3"), Some("3")]])
}

#[tokio::test]
async fn a_reader_of_sql_server_that_only_reads_is_no_news() {
    let server = Server::new(modest(Script::default())).await;
    assert_eq!(server.target.targets.overreach(&name()).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_reader_of_sql_server_could_do_is_told_with_what_mends_it() {
    let reader = Some("[reader]");
    let everyone = Some("[public]");
    let script = Script::default()
        .own(ME, &[[reader, reader, Some("0")]])
        .own(SERVER_ROLES, &[[Some("bulkadmin")]])
        .own(SERVER_PERMISSIONS, &[[Some("ADMINISTER BULK OPERATIONS")]])
        .own(ROLES, &[[Some("[db_datawriter]"), Some("[Sales, 2026]")]])
        .own(
            PERMISSIONS,
            &[
                [reader, None, Some("EXECUTE"), Some("G"), None],
                [
                    reader,
                    None,
                    Some("UPDATE"),
                    Some("W"),
                    Some("OBJECT::[dbo].[plain] ([note])"),
                ],
                [
                    everyone,
                    None,
                    Some("DELETE"),
                    Some("G"),
                    Some("SCHEMA::[app]"),
                ],
            ],
        )
        .own(OWNED_SCHEMAS, &[[reader, None, Some("[own]")]])
        .own(OWNED_OBJECTS, &[[reader, None, Some("[dbo].[mine]")]])
        .own(READABLE, &[[Some("0"), Some("3"), Some("0")]])
        .start();
    let write = format!("{}&encrypt=on", script.url());
    let target = Target::of(ConnectionKind::Mssql, &script.url(), &write);
    let found = target.targets.overreach(&name()).await.unwrap();
    let told: Vec<String> = found
        .iter()
        .map(|Overreach { what, mend }| format!("{what}\n  {mend}"))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_reader_that_is_dbo_is_told_once() {
    let script = modest(
        Script::default()
            .own(ME, &[[Some("[dbo]"), Some("[sa]"), Some("1")]])
            .own(SERVER_ROLES, &[[Some("sysadmin")]])
            .own(ROLES, &[[Some("[db_owner]"), Some("[db_owner]")]]),
    );
    let peer = script.start();
    let target = Target::of(ConnectionKind::Mssql, &peer.url(), &peer.url());
    let found = target.targets.overreach(&name()).await.unwrap();
    let told: Vec<&str> = found.iter().map(|found| &*found.what).collect();
    assert_eq!(
        told,
        [
            "reads and writes have the same credential",
            "[sa] is dbo in this database and may do anything there",
            "[sa] is in the server role sysadmin",
        ]
    );
}
