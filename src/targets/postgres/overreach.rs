//! What a credential for reading could do on a PostgreSQL server beyond reading, read from the server's own lists of
//! rights: its own, everyone's (PUBLIC), and those of every role it is a member of, inherited or to be had by SET ROLE.
//!
//! Rights are read from the lists and not asked for with `has_table_privilege`: a superuser would have all of them,
//! and nothing would say which grant to take back.

use super::{Postgres, names::word, wire::OwnRow};
use crate::{gateway::ports::RunError, targets::Overreach};

impl Postgres {
    /// What this credential could do that one for reading should not.
    pub(in crate::targets) async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        let mut found = Vec::new();
        self.ask(
            |version| {
                let newer = (version >= 15).then_some(PARAMETERS);
                let asked = ASKED.into_iter().chain(newer);
                asked.map(|asked| format!("{MINE} {asked}")).collect()
            },
            |question, row| {
                // The search path is of no interest here.
                if question > 0 {
                    found.push(overreach(&row)?);
                }
                Ok(())
            },
        )
        .await?;
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// One row: whose right it is, through which of its own memberships, what may be done, what takes it back, and who
/// is asking.
fn overreach(row: &OwnRow) -> Result<Overreach, super::names::LookupError> {
    let (holder, may, mend, me) = (word(row, 0)?, word(row, 2)?, word(row, 3)?, word(row, 4)?);
    Ok(match row.get(1).and_then(Option::as_deref) {
        // What the other role may do is not ours to take back: that this one may act as it is.
        Some(via) => Overreach::new(
            format!("{me}, as a member of {via}, {may}"),
            format!("REVOKE {via} FROM {me}"),
        ),
        None if holder == "PUBLIC" => Overreach::new(format!("{me}, as everyone, {may}"), mend),
        None => Overreach::new(format!("{me} {may}"), mend),
    })
}

/// `mine`: every role whose rights this one has or can take, with the membership of its own that leads there, as they
/// are written in GRANT. `me`: this one.
const MINE: &str = "
WITH RECURSIVE me(oid, name) AS (
  SELECT r.oid, quote_ident(r.rolname) FROM pg_roles r WHERE r.rolname = current_user
), reached(oid, via) AS (
  SELECT m.roleid, m.roleid FROM pg_auth_members m JOIN me ON m.member = me.oid
  UNION SELECT m.roleid, b.via FROM reached b JOIN pg_auth_members m ON m.member = b.oid
), mine(oid, holder, via, me) AS (
  SELECT me.oid, me.name, NULL, me.name FROM me
  UNION ALL SELECT 0, 'PUBLIC', NULL, me.name FROM me
  UNION ALL SELECT b.oid, quote_ident(r.rolname), quote_ident(v.rolname), me.name FROM me, reached b
    JOIN pg_roles r ON r.oid = b.oid JOIN pg_roles v ON v.oid = b.via
)";

/// Each gives rows of holder, membership, what may be done, what takes it back, and who is asking.
const ASKED: [&str; 10] = [
    ATTRIBUTES,
    PREDEFINED,
    RELATIONS,
    OWNED,
    CREATES,
    FUNCTIONS,
    LARGE_OBJECTS,
    FOREIGN,
    USER_MAPPINGS,
    NOTHING_TO_READ,
];

const ATTRIBUTES: &str = "
SELECT i.holder, i.via, CASE WHEN i.via IS NULL THEN a.may ELSE format('may act as %s, which %s', i.holder, a.may) END,
  format('ALTER ROLE %s %s', i.holder, a.without), i.me
FROM mine i JOIN pg_roles r ON r.oid = i.oid CROSS JOIN LATERAL (VALUES
  (r.rolsuper, 'is a superuser', 'NOSUPERUSER'),
  (r.rolcreaterole, 'may create roles', 'NOCREATEROLE'),
  (r.rolcreatedb, 'may create databases', 'NOCREATEDB'),
  (r.rolreplication, 'may read everything as a replica', 'NOREPLICATION'),
  (r.rolbypassrls, 'is not held by row security', 'NOBYPASSRLS')
) a(has, may, without) WHERE a.has";

/// Roles that come with the server, or with a provider's.
const PREDEFINED: &str = "
SELECT i.holder, i.via, p.may, '', i.me FROM mine i JOIN pg_roles r ON r.oid = i.oid JOIN (VALUES
  ('pg_write_all_data', 'may change every table'),
  ('pg_execute_server_program', 'may run programs on the server'),
  ('pg_write_server_files', 'may write files on the server'),
  ('pg_read_server_files', 'may read files on the server'),
  ('pg_signal_backend', 'may end sessions of others'),
  ('pg_signal_autovacuum_worker', 'may end maintenance'),
  ('pg_checkpoint', 'may force checkpoints'),
  ('pg_maintain', 'may lock and rebuild every table'),
  ('pg_create_subscription', 'may have the server follow others'),
  ('azure_pg_admin', 'may administer the server'),
  ('rds_superuser', 'may administer the server'),
  ('cloudsqlsuperuser', 'may administer the server')
) p(name, may) ON p.name = r.rolname WHERE i.via IS NOT NULL";

/// Of the server's own relations, what everyone may do is meant so.
const RELATIONS: &str = "
SELECT holder, via,
  format('may %s on %s', privileges, CASE WHEN many > 1 THEN format('%s %s of schema %s', many, kinds, schema) ELSE one END),
  format('REVOKE %s ON %s FROM %s', privileges, CASE WHEN many > 1 THEN format('ALL %s IN SCHEMA %s', kind, schema)
    ELSE format('%s %s', rtrim(kind, 'S'), one) END, holder), me
FROM (
  SELECT i.holder, i.via, i.me, quote_ident(n.nspname) AS schema,
    CASE WHEN c.relkind = 'S' THEN 'SEQUENCES' ELSE 'TABLES' END AS kind,
    CASE WHEN c.relkind = 'S' THEN 'sequences' ELSE 'tables and views' END AS kinds,
    string_agg(DISTINCT g.privilege, ', ') AS privileges, count(DISTINCT c.oid) AS many,
    min(format('%I.%I', n.nspname, c.relname)) AS one
  FROM (
    SELECT c.oid, a.grantee, a.privilege_type FROM pg_class c, LATERAL aclexplode(c.relacl) a
    UNION ALL SELECT t.attrelid, a.grantee, a.privilege_type FROM pg_attribute t, LATERAL aclexplode(t.attacl) a
      WHERE NOT t.attisdropped
  ) g(oid, grantee, privilege)
  JOIN pg_class c ON c.oid = g.oid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN mine i ON i.oid = g.grantee
  WHERE g.privilege <> 'SELECT' AND g.grantee <> c.relowner AND (c.oid >= 16384 OR g.grantee <> 0)
    AND c.relpersistence <> 't'
  GROUP BY 1, 2, 3, 4, 5, 6
) f";

/// Whoever owns a thing may do anything with it. Once it is another's, what was readable is granted again.
const OWNED: &str = "
SELECT holder, via, format('owns %s', concat_ws(', ', database, schemas, relations, routines, objects)),
  concat_ws('; ', format('REASSIGN OWNED BY %s TO CURRENT_USER', holder),
    'GRANT USAGE ON SCHEMA ' || own_schemas || ' TO ' || holder,
    CASE WHEN many > 50 THEN 'GRANT SELECT ON ALL TABLES IN SCHEMA ' || in_schemas ELSE 'GRANT SELECT ON ' || readable END
      || ' TO ' || holder), me
FROM (
  SELECT i.holder, i.via, i.me,
    'the database ' || min(o.name) FILTER (WHERE o.kind = 'd') AS database,
    'the schemas ' || string_agg(o.name, ', ' ORDER BY o.name) FILTER (WHERE o.kind = 's') AS schemas,
    nullif(count(*) FILTER (WHERE o.kind IN ('r', 'S')), 0) || ' relations such as '
      || min(o.name) FILTER (WHERE o.kind IN ('r', 'S')) AS relations,
    nullif(count(*) FILTER (WHERE o.kind = 'f'), 0) || ' functions such as '
      || min(o.name) FILTER (WHERE o.kind = 'f') AS routines,
    nullif(count(*) FILTER (WHERE o.kind = 'l'), 0) || ' large objects' AS objects,
    string_agg(o.name, ', ' ORDER BY o.name) FILTER (WHERE o.kind = 's') AS own_schemas,
    string_agg(DISTINCT o.schema, ', ') FILTER (WHERE o.kind = 'r') AS in_schemas,
    string_agg(o.name, ', ' ORDER BY o.name) FILTER (WHERE o.kind = 'r') AS readable,
    count(*) FILTER (WHERE o.kind = 'r') AS many
  FROM (
    SELECT c.relowner, CASE WHEN c.relkind = 'S' THEN 'S' ELSE 'r' END, format('%I.%I', n.nspname, c.relname),
      quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f','S') AND c.relpersistence <> 't'
    UNION ALL SELECT n.nspowner, 's', quote_ident(n.nspname), NULL FROM pg_namespace n
      WHERE n.oid >= 16384 OR n.nspname = 'public'
    UNION ALL SELECT d.datdba, 'd', quote_ident(d.datname), NULL FROM pg_database d WHERE d.datname = current_database()
    UNION ALL SELECT p.proowner, 'f', format('%I.%I', n.nspname, p.proname), NULL FROM pg_proc p
      JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384
    UNION ALL SELECT l.lomowner, 'l', l.oid::text, NULL FROM pg_largeobject_metadata l
  ) o(owner, kind, name, schema) JOIN mine i ON i.oid = o.owner
  GROUP BY i.holder, i.via, i.me
) f";

const CREATES: &str = "
SELECT i.holder, i.via, format('may %s in %s', g.may, g.place), format('REVOKE %s ON %s FROM %s', g.privilege, g.place, i.holder), i.me
FROM (
  SELECT a.grantee, a.privilege_type, 'create things', 'SCHEMA ' || quote_ident(n.nspname)
    FROM pg_namespace n, LATERAL aclexplode(n.nspacl) a
    WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND n.nspname NOT LIKE 'pg\\_%'
  UNION ALL SELECT a.grantee, a.privilege_type,
      CASE a.privilege_type WHEN 'CREATE' THEN 'create schemas' ELSE 'create temporary tables' END,
      'DATABASE ' || quote_ident(d.datname)
    FROM pg_database d, LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    WHERE a.privilege_type IN ('CREATE', 'TEMPORARY') AND a.grantee <> d.datdba AND d.datname = current_database()
) g(grantee, privilege, may, place) JOIN mine i ON i.oid = g.grantee";

/// Functions that a transaction that can only read does not hold. Those that only triggers call are called by nobody
/// who reads.
const FUNCTIONS: &str = "
SELECT i.holder, i.via,
  format('may call %s, which %s', CASE WHEN count(*) > 1 THEN format('%s functions such as %s', count(*), min(g.signature))
    ELSE min(g.signature) END, g.which),
  format('REVOKE EXECUTE ON ROUTINE %s FROM %s', string_agg(g.signature, ', ' ORDER BY g.signature), i.holder), i.me
FROM (
  SELECT a.grantee, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    CASE WHEN p.prosecdef AND p.oid >= 16384 THEN 'runs with the rights of its owner'
      WHEN NOT l.lanpltrusted AND l.lanname NOT IN ('c', 'internal') THEN 'is in a language that may do anything on the server'
      WHEN e.extname IN ('dblink', 'adminpack', 'http', 'pg_net', 'pg_background', 'pg_cron')
        THEN 'works outside of the transaction'
      WHEN p.oid < 16384 AND i.oid >= 16384 THEN 'the server keeps from everyone' END
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    LEFT JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
    CROSS JOIN LATERAL aclexplode(CASE WHEN p.oid >= 16384 THEN coalesce(p.proacl, acldefault('f', p.proowner))
      ELSE p.proacl END) a
    JOIN mine i ON i.oid = a.grantee
  WHERE a.grantee <> p.proowner AND has_schema_privilege(n.oid, 'USAGE')
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
) g(grantee, signature, which) JOIN mine i ON i.oid = g.grantee
WHERE g.which IS NOT NULL GROUP BY i.holder, i.via, i.me, g.which";

const LARGE_OBJECTS: &str = "
SELECT i.holder, i.via, format('may change %s large objects', count(*)),
  format('REVOKE UPDATE ON LARGE OBJECT %s FROM %s', string_agg(l.oid::text, ', ' ORDER BY l.oid), i.holder), i.me
FROM pg_largeobject_metadata l, LATERAL aclexplode(l.lomacl) a JOIN mine i ON i.oid = a.grantee
WHERE a.privilege_type = 'UPDATE' AND a.grantee <> l.lomowner GROUP BY i.holder, i.via, i.me";

const FOREIGN: &str = "
SELECT i.holder, i.via, format('may reach other servers through %s', f.what),
  format('REVOKE USAGE ON %s FROM %s', f.what, i.holder), i.me
FROM (
  SELECT a.grantee, 'FOREIGN SERVER ' || quote_ident(s.srvname) FROM pg_foreign_server s, LATERAL aclexplode(s.srvacl) a
    WHERE a.grantee <> s.srvowner
  UNION ALL SELECT a.grantee, 'FOREIGN DATA WRAPPER ' || quote_ident(w.fdwname)
    FROM pg_foreign_data_wrapper w, LATERAL aclexplode(w.fdwacl) a WHERE a.grantee <> w.fdwowner
) f(grantee, what) JOIN mine i ON i.oid = f.grantee";

/// A mapping is for one role alone, or for everyone.
const USER_MAPPINGS: &str = "
SELECT i.holder, i.via, format('may use the credentials kept for the foreign server %I', m.srvname),
  format('DROP USER MAPPING FOR %s SERVER %I', i.holder, m.srvname), i.me
FROM pg_user_mappings m JOIN mine i ON i.oid = m.umuser WHERE i.via IS NULL";

const NOTHING_TO_READ: &str = "
SELECT me.name, NULL, format('can read none of the %s tables and views', r.many),
  format('GRANT USAGE ON SCHEMA %1$s TO %2$s; GRANT SELECT ON ALL TABLES IN SCHEMA %1$s TO %2$s', quote_ident(r.largest), me.name),
  me.name
FROM me, (
  SELECT count(*) AS many, mode() WITHIN GROUP (ORDER BY n.nspname) AS largest,
    bool_or(has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')) AS readable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r','p','v','m','f') AND c.relpersistence <> 't'
) r WHERE NOT r.readable";

/// From PostgreSQL 15.
const PARAMETERS: &str = "
SELECT i.holder, i.via, format('may %s the parameter %I', a.privilege_type, p.parname),
  format('REVOKE %s ON PARAMETER %I FROM %s', a.privilege_type, p.parname, i.holder), i.me
FROM pg_parameter_acl p, LATERAL aclexplode(p.paracl) a JOIN mine i ON i.oid = a.grantee";
