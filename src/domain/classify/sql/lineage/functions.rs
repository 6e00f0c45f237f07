//! Built-in functions whose result depends on nothing but their arguments, the catalog, or no data at all. Whatever
//! is not listed may read any table, a session's variables or another server, so its result is not proven.
//!
//! INVARIANT: nothing here takes SQL as text, reads a table's rows by its name, a setting, a file or another session.

use std::{collections::HashSet, sync::LazyLock};

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::names::fold;
use crate::domain::classify::Dialect;

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// One value, from its arguments.
    Value,
    /// As `Value`; `*` as its argument stands for no column.
    Count,
    /// As `Value`, one of its arguments' rows.
    Extreme,
    /// Any number of rows, from its arguments.
    Rows,
    /// Nothing.
    Unknown,
}

/// What is known of the function called `name`.
pub(super) fn known(dialect: Dialect, name: &ObjectName) -> Known {
    let identifier = match (dialect, name.0.as_slice()) {
        (_, [ObjectNamePart::Identifier(function)]) => function,
        (
            Dialect::Postgres,
            [
                ObjectNamePart::Identifier(schema),
                ObjectNamePart::Identifier(function),
            ],
        ) if fold(dialect, schema) == "pg_catalog" => function,
        _ => return Known::Unknown,
    };
    let name = fold(dialect, identifier);
    let (values, rows) = match dialect {
        Dialect::Postgres => (&POSTGRES_VALUES, POSTGRES_ROWS),
        Dialect::Sqlite => (&SQLITE_VALUES, SQLITE_ROWS),
        // A quoted name may be a stored function's.
        Dialect::Mysql if identifier.quote_style.is_none() => (&MYSQL_VALUES, NO_ROWS),
        Dialect::Mysql => return Known::Unknown,
        // Without a schema no function is a user's there, but for those in FROM.
        Dialect::Mssql => (&MSSQL_VALUES, MSSQL_ROWS),
    };
    match name.as_str() {
        "count" => Known::Count,
        "count_big" if dialect == Dialect::Mssql => Known::Count,
        "min" | "max" => Known::Extreme,
        name if values.contains(name) => Known::Value,
        name if rows.iter().any(|(row, _)| *row == name) => Known::Rows,
        _ => Known::Unknown,
    }
}

/// The columns a known table function gives; empty: as many as its argument has.
pub(super) fn table_columns(
    dialect: Dialect,
    name: &ObjectName,
) -> Option<&'static [&'static str]> {
    let Some(ObjectNamePart::Identifier(identifier)) = name.0.last() else {
        return None;
    };
    if known(dialect, name) != Known::Rows {
        return None;
    }
    let name = fold(dialect, identifier);
    let rows = match dialect {
        Dialect::Postgres => POSTGRES_ROWS,
        Dialect::Sqlite => SQLITE_ROWS,
        Dialect::Mssql => MSSQL_ROWS,
        Dialect::Mysql => return None,
    };
    rows.iter()
        .find(|(row, _)| *row == name)
        .map(|(_, columns)| *columns)
}

/// Functions that SQL Server calls without parentheses.
pub(super) fn is_bare_in_mssql(name: &Ident) -> bool {
    name.quote_style.is_none()
        && [
            "current_timestamp",
            "current_user",
            "session_user",
            "system_user",
            "user",
        ]
        .iter()
        .any(|known| name.value.eq_ignore_ascii_case(known))
}

/// Whether PostgreSQL could call the function `name` with a whole row alone, as in `t.name`.
pub(super) fn takes_a_row(name: &str) -> bool {
    TAKING_A_ROW.contains(name)
}

static TAKING_A_ROW: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "any_value array_agg count first_value hash_record json_agg json_build_array json_build_object \
    jsonb_agg jsonb_build_array jsonb_build_object lag last_value lead max min num_nonnulls \
    num_nulls pg_column_size pg_typeof quote_literal quote_nullable record_out record_send \
    row_to_json to_json to_jsonb"
        .split_ascii_whitespace()
        .collect()
});

/// Table functions and their columns. No column: as many as the argument's type has.
const POSTGRES_ROWS: &[(&str, &[&str])] = &[
    ("generate_series", &[""]),
    ("generate_subscripts", &[""]),
    ("json_array_elements", &["value"]),
    ("json_array_elements_text", &["value"]),
    ("json_each", &["key", "value"]),
    ("json_each_text", &["key", "value"]),
    ("json_object_keys", &[""]),
    ("json_populate_recordset", &[]),
    ("json_to_recordset", &[]),
    ("json_populate_record", &[]),
    ("json_to_record", &[]),
    ("jsonb_populate_record", &[]),
    ("jsonb_to_record", &[]),
    ("jsonb_array_elements", &["value"]),
    ("jsonb_array_elements_text", &["value"]),
    ("jsonb_each", &["key", "value"]),
    ("jsonb_each_text", &["key", "value"]),
    ("jsonb_object_keys", &[""]),
    ("jsonb_path_query", &[""]),
    ("jsonb_populate_recordset", &[]),
    ("jsonb_to_recordset", &[]),
    ("regexp_matches", &[""]),
    ("regexp_split_to_table", &[""]),
    ("string_to_table", &[""]),
    ("unnest", &[]),
];

const NO_ROWS: &[(&str, &[&str])] = &[];

const MSSQL_ROWS: &[(&str, &[&str])] = &[
    ("generate_series", &["value"]),
    ("openjson", &["key", "value", "type"]),
    ("string_split", &["value", "ordinal"]),
];

const SQLITE_ROWS: &[(&str, &[&str])] = &[
    ("generate_series", &["value"]),
    (
        "json_each",
        &[
            "key", "value", "type", "atom", "id", "parent", "fullkey", "path",
        ],
    ),
    (
        "json_tree",
        &[
            "key", "value", "type", "atom", "id", "parent", "fullkey", "path",
        ],
    ),
    (
        "jsonb_each",
        &[
            "key", "value", "type", "atom", "id", "parent", "fullkey", "path",
        ],
    ),
    (
        "jsonb_tree",
        &[
            "key", "value", "type", "atom", "id", "parent", "fullkey", "path",
        ],
    ),
];

static POSTGRES_VALUES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "abs acos acosd acosh age any_value area array array_agg array_append array_cat array_dims \
     array_fill array_length array_lower array_ndims array_position array_positions array_prepend \
     array_remove array_replace array_sample array_shuffle array_to_json array_to_string \
     array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg bit_and \
     bit_count bit_length bit_or bit_xor bool_and bool_or box broadcast btrim cardinality cbrt ceil \
     ceiling center char_length character_length chr circle clock_timestamp coalesce \
     col_description concat concat_ws convert convert_from convert_to corr cos cosd cosh cot cotd \
     covar_pop covar_samp crc32 crc32c cume_dist current_catalog current_database current_date \
     current_role current_schema current_schemas current_time current_timestamp current_user date \
     date_add date_bin date_part date_subtract date_trunc decode degrees dense_rank diagonal \
     diameter div encode enum_first enum_last enum_range erf erfc every exp extract factorial \
     family first_value float4 float8 floor format format_type gamma gcd gen_random_uuid get_bit \
     get_byte greatest grouping has_any_column_privilege has_column_privilege \
     has_database_privilege has_function_privilege has_schema_privilege has_sequence_privilege \
     has_table_privilege height host hostmask inet_merge inet_same_family inet_server_addr \
     inet_server_port initcap int2 int4 int8 isclosed isempty isfinite isopen json json_agg \
     json_agg_strict json_array json_array_length json_arrayagg json_build_array json_build_object \
     json_exists json_extract_path json_extract_path_text json_object json_object_agg \
     json_object_agg_strict json_object_agg_unique json_objectagg json_query json_scalar \
     json_serialize json_strip_nulls json_typeof json_value jsonb jsonb_agg jsonb_agg_strict \
     jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path \
     jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict \
     jsonb_path_exists jsonb_path_match jsonb_path_query_array jsonb_path_query_first jsonb_pretty \
     jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_typeof justify_days justify_hours \
     justify_interval lag last_value lcm lead least left length lgamma ln localtime localtimestamp \
     log log10 lower lower_inc lower_inf lpad lseg ltrim macaddr8_set7bit make_date make_interval \
     make_time make_timestamp make_timestamptz masklen md5 merge_action min_scale mod mode \
     multirange netmask network normalize now npoints nth_value ntile nullif num_nonnulls num_nulls \
     numeric numnode obj_description octet_length overlay parse_ident path pclose percent_rank \
     percentile_cont percentile_disc pg_backend_pid pg_client_encoding pg_column_size \
     pg_current_xact_id pg_current_xact_id_if_assigned pg_database_size pg_encoding_to_char \
     pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_function_arguments \
     pg_get_function_result pg_get_functiondef pg_get_indexdef pg_get_serial_sequence \
     pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_indexes_size pg_is_in_recovery \
     pg_postmaster_start_time pg_relation_size pg_size_bytes pg_size_pretty pg_table_is_visible \
     pg_table_size pg_tablespace_size pg_total_relation_size pg_type_is_visible pg_typeof \
     phraseto_tsquery pi plainto_tsquery point polygon popen position power querytree quote_ident \
     quote_literal quote_nullable radians radius random random_normal range_agg range_intersect_agg \
     range_merge rank regexp_count regexp_instr regexp_like regexp_match regexp_replace \
     regexp_split_to_array regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 \
     regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse right round row row_number \
     row_to_json rpad rtrim scale session_user set_bit set_byte set_masklen setweight sha224 sha256 \
     sha384 sha512 shobj_description sign similar_escape similar_to_escape sin sind sinh split_part sqrt starts_with \
     statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array strip strpos \
     substr substring sum tan tand tanh text timeofday timezone to_ascii to_bin to_char to_date \
     to_hex to_json to_jsonb to_number to_oct to_regclass to_regproc to_regrole to_regtype \
     to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trim_array trim_scale \
     trunc ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsvector_to_array txid_current \
     txid_current_if_assigned unistr upper upper_inc upper_inf user uuid_extract_timestamp \
     uuid_extract_version uuidv4 uuidv7 var_pop var_samp varchar variance version \
     websearch_to_tsquery width width_bucket xmlagg xmlcomment xmlconcat xmlelement xmlforest \
     xmlparse xmlpi xmlroot xmlserialize xpath xpath_exists"
        .split_ascii_whitespace()
        .collect()
});

static SQLITE_VALUES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling changes char coalesce concat \
    concat_ws cos cosh cume_dist current_date current_time current_timestamp date datetime degrees \
    dense_rank exp first_value floor format glob group_concat hex highlight if ifnull iif instr \
    json json_array json_array_length json_error_position json_extract json_group_array \
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove \
    json_replace json_set json_type json_valid jsonb jsonb_array jsonb_extract jsonb_group_array \
    jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set \
    julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim \
    median mod nth_value ntile nullif octet_length percent_rank percentile percentile_cont \
    percentile_disc pi pow power printf quote radians random randomblob rank replace round \
    row_number rtrim sign sin sinh snippet soundex sqlite_source_id sqlite_version sqrt strftime \
    string_agg substr substring subtype sum tan tanh time timediff total total_changes trim trunc \
    typeof unhex unicode unistr unistr_quote unixepoch unlikely upper zeroblob"
        .split_ascii_whitespace()
        .collect()
});

/// Only what both MySQL 8.4 and MariaDB 10.11 have built in: on the other a name would be somebody's own function.
/// Not the carriers of a value from one statement to the next: found_rows, last_insert_id, locks and their names.
static MYSQL_VALUES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg bin bit_and bit_count \
    bit_length bit_or bit_xor ceil ceiling char char_length character_length charset coalesce \
    coercibility collation compress concat concat_ws connection_id conv convert convert_tz cos cot \
    crc32 cume_dist curdate current_date current_time current_timestamp current_user curtime database \
    date date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear degrees \
    dense_rank elt exp export_set extract extractvalue field find_in_set first_value floor format \
    from_base64 from_days from_unixtime get_format greatest group_concat hex hour if ifnull \
    inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval is_ipv4 is_ipv4_compat \
    is_ipv4_mapped is_ipv6 isnull json_array json_array_append json_array_insert json_arrayagg \
    json_contains json_contains_path json_depth json_extract json_insert json_keys json_length \
    json_merge_patch json_merge_preserve json_object json_objectagg json_overlaps json_pretty \
    json_quote json_remove json_replace json_search json_set json_type json_unquote json_valid \
    json_value lag last_day last_value lcase lead least left length linestring ln localtime \
    localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime md5 microsecond \
    mid minute mod month monthname now nth_value ntile nullif oct octet_length ord percent_rank \
    period_add period_diff pi point polygon position pow power quarter quote radians rand random_bytes \
    rank regexp_instr regexp_replace regexp_substr repeat replace reverse right round row row_number \
    rpad rtrim schema sec_to_time second session_user sha sha1 sha2 sign sin sleep soundex space sqrt \
    st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains \
    st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_endpoint \
    st_envelope st_equals st_exteriorring st_geometryn st_geometrytype st_geomfromtext st_geomfromwkb \
    st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_length \
    st_numgeometries st_numinteriorrings st_numpoints st_overlaps st_pointn st_srid st_startpoint \
    st_symdifference st_touches st_union st_within st_x st_y std stddev stddev_pop stddev_samp \
    str_to_date strcmp subdate substr substring substring_index subtime sum sysdate system_user tan \
    time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days \
    to_seconds trim truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper \
    user utc_date utc_time utc_timestamp uuid uuid_short values var_pop var_samp variance version week \
    weekday weekofyear weight_string year yearweek"
        .split_ascii_whitespace()
        .collect()
});

/// Not the carriers of a value from one statement to the next (scope_identity, session_context, error_message), nor what
/// reads a table by its name (containstable, ident_current).
static MSSQL_VALUES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "abs acos approx_count_distinct ascii asin atan atn2 avg binary_checksum bit_count cast ceiling \
     char charindex checksum checksum_agg choose coalesce compress concat concat_ws contains convert \
     cos cot crypt_gen_random cube cume_dist current_timestamp current_timezone current_timezone_id \
     current_user datalength date_bucket dateadd datediff datediff_big datefromparts datename \
     datepart datetime2fromparts datetimefromparts datetimeoffsetfromparts datetrunc day db_id \
     db_name decompress degrees dense_rank difference edit_distance edit_distance_similarity eomonth \
     exp first_value floor format freetext get_bit getdate getutcdate greatest grouping grouping_id \
     hashbytes host_id host_name iif isdate isjson isnull isnumeric jaro_winkler_distance \
     jaro_winkler_similarity json_array json_arrayagg json_contains json_modify json_object \
     json_objectagg json_path_exists json_query json_value lag last_value lead least left left_shift \
     len log log10 lower ltrim month nchar newid ntile nullif object_id object_name original_login \
     parse parsename patindex percent_rank percentile_cont percentile_disc pi power product quotename \
     radians rand rank regexp_count regexp_instr regexp_like regexp_replace regexp_substr replace \
     replicate reverse right right_shift rollup round row_number rtrim schema_id schema_name \
     serverproperty session_user set_bit sign sin smalldatetimefromparts soundex space sqrt square \
     stdev stdevp str string_agg string_escape stuff substring sum suser_name suser_sname \
     switchoffset sysdatetime sysdatetimeoffset system_user sysutcdatetime tan timefromparts \
     todatetimeoffset translate trim try_cast try_convert try_parse type_id type_name unicode unistr \
     upper user user_id user_name var varp year"
        .split_ascii_whitespace()
        .collect()
});
