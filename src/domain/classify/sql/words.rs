//! Which words mean what, per dialect. Lists only.

use super::Dialect;

/// Words that end one clause of a query and begin the next. All are reserved where they are listed, so that none can be
/// a column.
pub(super) fn ends_clause(dialect: Dialect, word: &str) -> bool {
    match word {
        "from" | "where" | "group" | "having" | "union" | "intersect" | "except" | "order"
        | "into" => true,
        "limit" => dialect != Dialect::Mssql,
        "for" => dialect != Dialect::Sqlite,
        "fetch" => !matches!(dialect, Dialect::Sqlite),
        "window" => matches!(dialect, Dialect::Postgres),
        "offset" => matches!(dialect, Dialect::Postgres),
        "returning" => dialect == Dialect::Postgres,
        "procedure" | "lock" => dialect == Dialect::Mysql,
        "select" | "set" | "values" => dialect == Dialect::Mssql && starts_statement(dialect, word),
        _ => dialect == Dialect::Mssql && (word == "option" || starts_statement(dialect, word)),
    }
}

/// Words that cannot be an alias in FROM.
pub(super) fn ends_table_item(dialect: Dialect, word: &str) -> bool {
    ends_clause(dialect, word)
        || match word {
            "on" | "using" | "set" | "as" | "with" | "tablesample" | "when" | "returning"
            | "lateral" | "default" | "values" | "select" | "do" | "and" | "or" | "not" => true,
            "window" | "offset" | "limit" => true,
            "pivot" | "unpivot" | "option" | "output" => dialect == Dialect::Mssql,
            "use" | "force" | "ignore" | "partition" | "straight_join" | "minus" | "duplicate" => {
                dialect == Dialect::Mysql
            }
            "indexed" => dialect == Dialect::Sqlite,
            _ => false,
        }
}

/// Words that begin a statement and are reserved, so that none can be a column.
pub(super) fn starts_statement(dialect: Dialect, word: &str) -> bool {
    match dialect {
        Dialect::Postgres => word == "select" || word == "create",
        Dialect::Sqlite | Dialect::Mysql => {
            matches!(
                word,
                "select" | "insert" | "delete" | "update" | "drop" | "create" | "alter"
            ) && !(dialect == Dialect::Mysql && word == "insert")
        }
        Dialect::Mssql => matches!(
            word,
            "add"
                | "alter"
                | "authorization"
                | "backup"
                | "begin"
                | "break"
                | "browse"
                | "bulk"
                | "checkpoint"
                | "close"
                | "commit"
                | "continue"
                | "create"
                | "dbcc"
                | "deallocate"
                | "declare"
                | "delete"
                | "deny"
                | "disk"
                | "drop"
                | "dump"
                | "else"
                | "exec"
                | "execute"
                | "exit"
                | "goto"
                | "grant"
                | "if"
                | "insert"
                | "kill"
                | "load"
                | "merge"
                | "open"
                | "print"
                | "raiserror"
                | "readtext"
                | "reconfigure"
                | "restore"
                | "return"
                | "revert"
                | "revoke"
                | "rollback"
                | "save"
                | "select"
                | "set"
                | "setuser"
                | "shutdown"
                | "truncate"
                | "update"
                | "updatetext"
                | "use"
                | "waitfor"
                | "while"
                | "writetext"
                | "lineno"
                | "trigger"
                | "procedure"
                | "proc"
                | "database"
                | "schema"
                | "table"
                | "view"
                | "index"
        ),
    }
}

/// Words in front of a parenthesis that are never a function there: reserved, or with syntax of their own.
pub(super) fn is_never_a_function(dialect: Dialect, word: &str) -> bool {
    match word {
        "and" | "or" | "not" | "in" | "any" | "all" | "some" | "exists" | "between" | "case"
        | "when" | "then" | "else" | "end" | "select" | "where" | "having" | "on" | "using"
        | "union" | "except" | "intersect" | "as" | "from" | "distinct" | "order" | "group"
        | "into" | "null" | "cast" | "check" | "default" | "unique" | "primary" | "references"
        | "foreign" | "constraint" | "table" | "with" | "values" | "like" | "returning" => true,
        "limit" => dialect == Dialect::Sqlite,
        "to" => dialect != Dialect::Mysql,
        _ => match dialect {
            Dialect::Postgres => matches!(
                word,
                "array"
                    | "row"
                    | "limit"
                    | "offset"
                    | "for"
                    | "lateral"
                    | "window"
                    | "fetch"
                    | "both"
                    | "leading"
                    | "trailing"
                    | "collate"
                    | "symmetric"
                    | "asymmetric"
                    | "variadic"
                    | "asc"
                    | "desc"
                    | "true"
                    | "false"
                    | "grouping"
                    | "coalesce"
                    | "greatest"
                    | "least"
                    | "nullif"
                    | "extract"
                    | "overlay"
                    | "position"
                    | "substring"
                    | "treat"
                    | "trim"
                    | "normalize"
                    | "xmlattributes"
                    | "xmlconcat"
                    | "xmlelement"
                    | "xmlexists"
                    | "xmlforest"
                    | "xmlnamespaces"
                    | "xmlparse"
                    | "xmlpi"
                    | "xmlroot"
                    | "xmlserialize"
                    | "xmltable"
                    | "setof"
                    | "out"
                    | "inout"
                    | "none"
                    | "bigint"
                    | "bit"
                    | "boolean"
                    | "char"
                    | "character"
                    | "dec"
                    | "decimal"
                    | "float"
                    | "int"
                    | "integer"
                    | "national"
                    | "nchar"
                    | "numeric"
                    | "precision"
                    | "real"
                    | "smallint"
                    | "time"
                    | "timestamp"
                    | "interval"
                    | "varchar"
                    | "only"
                    | "current_user"
                    | "session_user"
                    | "user"
                    | "current_role"
                    | "current_date"
                    | "current_time"
                    | "current_timestamp"
                    | "localtime"
                    | "localtimestamp"
                    | "current_catalog"
                    | "initially"
                    | "deferrable"
                    | "placing"
                    | "analyze"
                    | "analyse"
                    | "grant"
                    | "create"
                    | "column"
                    | "json_array"
                    | "json_arrayagg"
                    | "json_object"
                    | "json_objectagg"
                    | "json_exists"
                    | "json_query"
                    | "json_value"
                    | "json_table"
                    | "json_scalar"
                    | "json_serialize"
                    | "json"
                    | "merge_action"
            ),
            Dialect::Sqlite => matches!(
                word,
                "collate"
                    | "escape"
                    | "offset"
                    | "glob"
                    | "regexp"
                    | "match"
                    | "isnull"
                    | "notnull"
                    | "set"
                    | "add"
            ),
            Dialect::Mysql => matches!(
                word,
                "row"
                    | "xor"
                    | "div"
                    | "mod"
                    | "rlike"
                    | "regexp"
                    | "binary"
                    | "interval"
                    | "limit"
                    | "by"
                    | "over"
                    | "collate"
                    | "match"
                    | "for"
                    | "key"
                    | "lateral"
                    | "force"
                    | "use"
                    | "ignore"
                    | "index"
                    | "partition"
                    | "asc"
                    | "desc"
                    | "distinctrow"
                    | "set"
                    | "char"
                    | "decimal"
                    | "dec"
                    | "numeric"
                    | "varchar"
                    | "int"
                    | "integer"
                    | "bigint"
                    | "float"
                    | "double"
                    | "tinyint"
                    | "smallint"
                    | "mediumint"
                    | "unsigned"
                    | "varbinary"
                    | "grouping"
            ),
            Dialect::Mssql => {
                matches!(
                    word,
                    "top"
                        | "percent"
                        | "within"
                        | "escape"
                        | "contains"
                        | "freetext"
                        | "offset"
                        | "fetch"
                        | "by"
                        | "apply"
                        | "pivot"
                        | "unpivot"
                        | "for"
                        | "option"
                        | "set"
                        | "rollup"
                        | "cube"
                        | "decimal"
                        | "numeric"
                        | "varchar"
                        | "nvarchar"
                        | "char"
                        | "nchar"
                        | "binary"
                        | "varbinary"
                        | "datetime2"
                        | "float"
                        | "time"
                        | "datetimeoffset"
                        | "dec"
                        | "collate"
                        | "columns"
                        | "update"
                        | "lag"
                ) || (starts_statement(dialect, word) && word != "if")
            }
        },
    }
}

/// Names of MySQL that are built-in functions only when the parenthesis follows at once.
pub(super) fn needs_its_parenthesis_at_once(name: &str) -> bool {
    matches!(
        name,
        "adddate"
            | "bit_and"
            | "bit_or"
            | "bit_xor"
            | "cast"
            | "count"
            | "curdate"
            | "curtime"
            | "date_add"
            | "date_sub"
            | "extract"
            | "group_concat"
            | "json_arrayagg"
            | "json_objectagg"
            | "max"
            | "mid"
            | "min"
            | "now"
            | "position"
            | "session_user"
            | "std"
            | "stddev"
            | "stddev_pop"
            | "stddev_samp"
            | "subdate"
            | "substr"
            | "substring"
            | "sum"
            | "sysdate"
            | "system_user"
            | "trim"
            | "variance"
            | "var_pop"
            | "var_samp"
    )
}

/// Words that MySQL's SELECT may have before its columns.
pub(super) fn modifies_select(word: &str) -> bool {
    matches!(
        word,
        "all"
            | "distinct"
            | "distinctrow"
            | "high_priority"
            | "straight_join"
            | "sql_small_result"
            | "sql_big_result"
            | "sql_buffer_result"
            | "sql_cache"
            | "sql_no_cache"
            | "sql_calc_found_rows"
    )
}

/// Table hints of T-SQL.
pub(super) fn is_table_hint(word: &str) -> bool {
    is_locking_hint(word)
        || matches!(
            word,
            "nolock"
                | "readuncommitted"
                | "readcommitted"
                | "readpast"
                | "rowlock"
                | "paglock"
                | "nowait"
                | "snapshot"
                | "noexpand"
                | "forceseek"
                | "forcescan"
                | "index"
                | "keepidentity"
                | "keepdefaults"
                | "ignore_constraints"
                | "ignore_triggers"
                | "fastfirstrow"
                | "readcommittedlock"
        )
}

/// Table hints of T-SQL that hold locks beyond those of a plain read.
pub(super) fn is_locking_hint(word: &str) -> bool {
    matches!(
        word,
        "updlock"
            | "xlock"
            | "tablock"
            | "tablockx"
            | "holdlock"
            | "serializable"
            | "repeatableread"
    )
}

/// Methods of T-SQL's xml, hierarchyid, geometry and geography values that compute a value.
pub(super) fn is_method(name: &str) -> bool {
    matches!(
        name,
        "value"
            | "query"
            | "exist"
            | "nodes"
            | "tostring"
            | "getlevel"
            | "getancestor"
            | "getdescendant"
            | "isdescendantof"
            | "getroot"
            | "parse"
            | "point"
    ) || name.starts_with("st") && name.len() > 4
}

/// The columns of a relation that are, or hold, a credential.
pub(super) fn credential_columns(
    dialect: Dialect,
    dotted: &str,
) -> Option<&'static [&'static str]> {
    match dialect {
        Dialect::Postgres => match dotted.strip_prefix("pg_catalog.").unwrap_or(dotted) {
            "pg_authid" => Some(&["rolpassword"]),
            "pg_shadow" => Some(&["passwd"]),
            "pg_user_mapping" | "pg_user_mappings" => Some(&["umoptions"]),
            "pg_subscription" => Some(&["subconninfo"]),
            "pg_file_settings" => Some(&["setting"]),
            "information_schema.user_mapping_options" => Some(&["option_value"]),
            _ => None,
        },
        Dialect::Sqlite => None,
        Dialect::Mysql => match dotted {
            "mysql.user" => Some(&["password", "authentication_string", "auth_string"]),
            "mysql.global_priv" => Some(&["priv"]),
            "mysql.servers" => Some(&["password"]),
            "mysql.slave_master_info" => Some(&["user_password"]),
            "mysql.password_history" => Some(&["password"]),
            _ => None,
        },
        Dialect::Mssql => match dotted.strip_prefix("master.").unwrap_or(dotted) {
            "sys.sql_logins" => Some(&["password_hash"]),
            "sys.syslogins" | "dbo.syslogins" | "syslogins" | "sys.sysxlogins" => {
                Some(&["password"])
            }
            "sys.key_encryptions" | "sys.crypt_properties" => Some(&["crypt_property"]),
            _ => None,
        },
    }
}

/// The relation through which a server shows what a function of it shows: other sessions' statements.
pub(super) fn values_shown_by(dialect: Dialect, function: &str) -> Option<&'static str> {
    match (dialect, function) {
        (Dialect::Postgres, "pg_stat_get_activity" | "pg_stat_get_backend_activity") => {
            Some("pg_catalog.pg_stat_activity")
        }
        (Dialect::Postgres, "pg_stat_statements") => Some("pg_stat_statements"),
        (Dialect::Mssql, "dm_exec_sql_text" | "dm_exec_input_buffer" | "fn_get_sql") => {
            Some("sys.dm_exec_sql_text")
        }
        (Dialect::Mssql, "dm_db_stats_histogram") => Some("sys.dm_db_stats_histogram"),
        _ => None,
    }
}

/// Functions that show the setting their argument names.
pub(super) fn shows_a_secret(dialect: Dialect, function: &str) -> bool {
    dialect == Dialect::Postgres && function == "current_setting"
}

/// Settings of PostgreSQL whose value is or holds a credential.
pub(super) fn setting_is_secret(name: &str) -> bool {
    matches!(
        name,
        "primary_conninfo" | "ssl_passphrase_command" | "archive_command" | "restore_command"
    ) || name.contains("password")
        || name.contains("secret")
        || name.contains("token")
}

/// Words behind which an operand begins; behind any other word it may have ended.
pub(super) fn awaits_operand(word: &str) -> bool {
    matches!(
        word,
        "select"
            | "distinct"
            | "all"
            | "where"
            | "and"
            | "or"
            | "not"
            | "xor"
            | "when"
            | "then"
            | "else"
            | "case"
            | "having"
            | "by"
            | "in"
            | "like"
            | "ilike"
            | "rlike"
            | "regexp"
            | "similar"
            | "to"
            | "on"
            | "between"
            | "is"
            | "set"
            | "limit"
            | "offset"
            | "values"
            | "div"
            | "mod"
            | "any"
            | "some"
            | "do"
            | "return"
            | "interval"
            | "binary"
            | "escape"
            | "from"
            | "using"
            | "union"
            | "except"
            | "intersect"
            | "group"
            | "order"
            | "returning"
            | "isnull"
            | "notnull"
            | "collate"
            | "glob"
            | "match"
            | "variadic"
            | "top"
            | "zone"
            | "symmetric"
            | "asymmetric"
            | "for"
            | "placing"
            | "both"
            | "leading"
            | "trailing"
            | "sql_calc_found_rows"
            | "high_priority"
            | "sql_no_cache"
            | "straight_join"
            | "distinctrow"
            | "sql_small_result"
            | "sql_big_result"
            | "sql_buffer_result"
            | "sql_cache"
            | "default"
            | "of"
            | "as"
            | "exists"
            | "call"
            | "exec"
            | "with"
            | "prior"
            | "percent"
            | "print"
            | "if"
            | "while"
    )
}

/// Types that take a length, as columns of JSON_TABLE have them.
pub(super) fn is_type(dialect: Dialect, word: &str) -> bool {
    dialect == Dialect::Mysql
        && matches!(
            word,
            "bit"
                | "blob"
                | "char"
                | "character"
                | "date"
                | "datetime"
                | "dec"
                | "decimal"
                | "double"
                | "enum"
                | "fixed"
                | "float"
                | "int"
                | "integer"
                | "bigint"
                | "mediumint"
                | "smallint"
                | "tinyint"
                | "nchar"
                | "numeric"
                | "nvarchar"
                | "real"
                | "set"
                | "text"
                | "time"
                | "timestamp"
                | "varbinary"
                | "varchar"
                | "varchar2"
                | "year"
                | "binary"
        )
}

/// Statements of MySQL that a routine is made of, beside its control flow.
pub(super) fn begins_routine_step(word: &str) -> bool {
    matches!(
        word,
        "select"
            | "insert"
            | "replace"
            | "update"
            | "delete"
            | "truncate"
            | "drop"
            | "create"
            | "alter"
            | "rename"
            | "grant"
            | "revoke"
            | "call"
            | "set"
            | "load"
            | "prepare"
            | "execute"
            | "flush"
            | "kill"
            | "reset"
            | "commit"
            | "rollback"
            | "start"
            | "lock"
            | "do"
            | "with"
            | "handler"
            | "install"
            | "uninstall"
            | "change"
            | "purge"
            | "xa"
    )
}

/// `a` or `an`, whichever `word` takes.
pub(super) fn article(word: &str) -> &'static str {
    match word.as_bytes().first() {
        Some(b'a' | b'e' | b'i' | b'o') => "an",
        _ => "a",
    }
}
