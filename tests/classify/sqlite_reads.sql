SELECT 1
SELECT * FROM t WHERE a IN (1, 2) AND b NOT LIKE 'x%' ESCAPE '\' ORDER BY a COLLATE NOCASE DESC NULLS LAST LIMIT 5 OFFSET 2
SELECT a, count(*) FILTER (WHERE b > 1) OVER (PARTITION BY c ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t
SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b)
WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT x FROM c
WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b
VALUES (1, 'a'), (2, 'b')
SELECT * FROM main.t AS x INDEXED BY i LEFT JOIN u NOT INDEXED ON x.a = u.a, (SELECT 1) v NATURAL JOIN w
SELECT * FROM json_each('[1]') AS j, json_tree(t.doc, '$.a'), generate_series(1, 3)
SELECT * FROM pragma_table_info('t'), pragma_index_list
SELECT [a b], `c`, "d e", x'00', :name, @name, $name, ?1, ?, 0x1F, 1e5, .5 FROM t
SELECT a -> '$.b', a ->> 'c', a || b, a << 2, a == b, a IS NOT b, a IS NOT DISTINCT FROM b, ~a, a GLOB '*', a MATCH 'x', a REGEXP 'y', a ISNULL, b NOTNULL FROM t
SELECT CAST(a AS VARCHAR(10)), CASE a WHEN 1 THEN 2 ELSE 3 END, EXISTS (SELECT 1), (SELECT max(b) FROM u), iif(a, b, c), a BETWEEN 1 AND 2 FROM t
SELECT a FROM t WHERE b IN u AND c NOT IN main.v
SELECT group_concat(DISTINCT a), string_agg(a, ',' ORDER BY b), total(a), json_group_array(a), printf('%d', 1) FROM t GROUP BY 1 HAVING count(*) > 1
SELECT 1 UNION SELECT 2 UNION ALL SELECT 3 EXCEPT SELECT 4 INTERSECT SELECT 5
SELECT snippet(f, 0, '<b>', '</b>', '…', 10), bm25(f), highlight(f, 0, '[', ']') FROM f WHERE f MATCH 'x' ORDER BY rank
SELECT date('now', '-1 day'), strftime('%Y', a), datetime(a, 'unixepoch'), julianday('now') FROM t
EXPLAIN SELECT 1
EXPLAIN QUERY PLAN SELECT * FROM t
EXPLAIN DELETE FROM t
PRAGMA table_info(t)
PRAGMA main.table_xinfo('t')
PRAGMA foreign_key_list(t)
PRAGMA integrity_check(10)
PRAGMA journal_mode
PRAGMA user_version
PRAGMA compile_options
SELECT 'a''b', "it""s" FROM t -- the end
SELECT 1 /* never closed
SELECT replace(a, 'x', 'y'), likely(b), coalesce(c, d), random(), hex(randomblob(4)), last_insert_rowid(), changes() FROM t
