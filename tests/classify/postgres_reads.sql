SELECT DISTINCT ON (a, b) a, b FROM t ORDER BY a, b DESC NULLS LAST
SELECT a.*, (b).c, (b).*, arr[1], arr[1:2][3:], arr[:] FROM t a
SELECT count(*) FILTER (WHERE x > 1) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM t
SELECT rank() OVER w, sum(x) OVER (w ORDER BY y) FROM t WINDOW w AS (PARTITION BY a), w2 AS (w ORDER BY b RANGE BETWEEN '1 day'::interval PRECEDING AND 1 FOLLOWING)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t
SELECT x AT TIME ZONE ('UTC') , x AT TIME ZONE lower('utc') FROM t
SELECT interval '1' year, interval '1 2' day to hour, interval(3) '1.2345', interval '1.2' second(2), timestamp(2) with time zone '2020-01-01', time without time zone '10:00', date '2020-01-01'
SELECT CAST(x AS numeric(10,2)), x::varchar(10)[], x::timestamp(3) without time zone, x::bit varying(5), x::double precision, x::interval hour to second(3), x::"char", x::national character varying(10) FROM t
SELECT x IS DISTINCT FROM y, x IS NOT DISTINCT FROM (SELECT 1), a IS OF (int, text) FROM t
SELECT x LIKE 'a' ESCAPE '\', x NOT ILIKE y ESCAPE ('x'), x SIMILAR TO 'y' ESCAPE 'z', x NOT BETWEEN SYMMETRIC 1 AND 2 FROM t
SELECT substring(x from 1 for 2), substring(x similar 'a' escape '#'), overlay(x placing 'y' from 1 for 2), position('a' in x), trim(both 'x' from y), trim(leading from x), extract(year from z), normalize(x, NFC), x IS NFC NORMALIZED FROM t
SELECT xmlelement(name foo, xmlattributes(a as b, c), 'x'), xmlforest(a, b as c), xmlpi(name php, 'x'), xmlroot(x, version '1.0', standalone yes), xmlserialize(content x as text), xmlparse(document '<a/>'), xmlconcat(a,b), xmlexists('//a' passing by ref x by ref), x IS DOCUMENT FROM t
SELECT * FROM xmltable(xmlnamespaces('http://x' AS x, DEFAULT 'y'), '/a/b' PASSING data COLUMNS id int PATH '@id' DEFAULT 1 NOT NULL, ord FOR ORDINALITY, n text) AS xt(a,b,c)
SELECT * FROM ROWS FROM (generate_series(1,2), json_to_recordset('[]') AS (a int, b numeric(3,1))) WITH ORDINALITY AS z(a,b,c,d)
SELECT * FROM json_to_record('{}') AS x(a int, b text[], c numeric(10,2)), jsonb_to_recordset('[]') AS (a int)
SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (200), u TABLESAMPLE SYSTEM (50) AS s(a,b)
SELECT * FROM ONLY (t), t2 *, ONLY t3 AS x
SELECT * FROM (t1 LEFT JOIN t2 USING (a) AS j) RIGHT JOIN t3 ON t1.a = t3.a AND left(t3.b, 1) = 'x', t4 NATURAL FULL OUTER JOIN t5
SELECT * FROM ((SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1) s, ((t1 CROSS JOIN t2) INNER JOIN t3 ON true) AS q
SELECT a, b, GROUPING(a, b) FROM t GROUP BY GROUPING SETS ((a, b), (), CUBE (a, (b, c)), ROLLUP (a)), ROLLUP (a, b), DISTINCT
SELECT a FROM t GROUP BY ALL CUBE (a, b) HAVING count(*) > 1
SELECT ROW(1,2) = ROW(3,4), (1,2) OVERLAPS (3,4), ARRAY[[1,2],[3,4]], ARRAY(SELECT 1), ARRAY[]::int[], row(t.*) FROM t
SELECT x = ANY (ARRAY[1,2]), x > ALL (SELECT 1), x IN (1,2,3), NOT EXISTS (SELECT 1), x OPERATOR(pg_catalog.=) y, x = SOME (VALUES (1),(2)) FROM t
SELECT CASE x WHEN 1 THEN 'a' ELSE 'b' END, CASE WHEN x THEN 1 END, COALESCE(a,b), NULLIF(a,b), GREATEST(1,2) FROM t
SELECT func.x, current_date, current_timestamp(3), localtime, user, session_user, current_schema, current_catalog FROM t func
SELECT a FROM t ORDER BY a USING >, b USING OPERATOR(pg_catalog.<) LIMIT ALL OFFSET 2 ROWS
SELECT a FROM t ORDER BY a FETCH FIRST (1+1) ROWS WITH TIES
SELECT a FROM t OFFSET 1 FETCH NEXT ROW ONLY
SELECT a FROM t FETCH FIRST ROW ONLY
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM t), x AS NOT MATERIALIZED (SELECT 1), y AS MATERIALIZED (TABLE x) SELECT * FROM t, x, y
WITH RECURSIVE s(f,t,l) AS (SELECT * FROM g UNION ALL SELECT g.* FROM g, s WHERE g.f = s.t) SEARCH DEPTH FIRST BY f, t SET seq CYCLE f, t SET is_cycle TO true DEFAULT false USING path SELECT * FROM s
WITH RECURSIVE s AS (SELECT 1) CYCLE a SET c USING p, z AS (SELECT 2) SELECT * FROM s, z
WITH t AS (SELECT 1) (WITH u AS (SELECT 2) SELECT * FROM t, u) UNION (SELECT 3, 4) ORDER BY 1
SELECT (SELECT max(x) FROM (VALUES (1),(2)) v(x)), (VALUES (1)), (TABLE foo)
SELECT -1, +1, - - 1, @ -5, |/ 25, ||/ 27, !! 'a'::tsquery, ~ 1, 5 % 3, 2 ^ 3, 1 # 2, a @@ b, a <-> b, a ?| b, a #>> '{a}', a @? '$' FROM t
SELECT 1::int8 AS "a b", 'x' AS into, 2 select_, 3 AS select, t.from FROM t
SELECT E'a\'b', U&'d\0061t', U&'d!0061t' UESCAPE '!', $$a$$, $x$ $$ $x$, B'101', X'1F', N'a', 'a' 'b'
SELECT f.* FROM pg_get_keywords() AS f, LATERAL (SELECT f.word) l, LATERAL generate_series(1, 3) g, unnest(ARRAY[1,2], ARRAY['a']) WITH ORDINALITY AS u(a, b, c)
SELECT string_agg(DISTINCT a, ',' ORDER BY b DESC), array_agg(x ORDER BY y NULLS FIRST), json_object_agg(k, v), sum(DISTINCT x), count(DISTINCT (a, b)), max(VARIADIC ARRAY[1]) FROM t
SELECT make_interval(days => 10, hours := 2), format('%s', VARIADIC ARRAY['a'])
SELECT 'a' COLLATE "C" < 'b', (x COLLATE pg_catalog."default") FROM t ORDER BY x COLLATE "C"
SELECT * FROM pg_catalog.pg_class c WHERE c.oid = 'pg_class'::pg_catalog.regclass AND c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default
VALUES (1, 'a'), (2, DEFAULT) ORDER BY 1 LIMIT 1
TABLE ONLY foo ORDER BY 1
SELECT
SELECT ALL 1
SELECT 1 UNION SELECT 2 EXCEPT ALL SELECT 3 INTERSECT SELECT 4
EXPLAIN (COSTS OFF, VERBOSE) SELECT 1
EXPLAIN VERBOSE DELETE FROM t
EXPLAIN (ANALYZE OFF, FORMAT YAML) UPDATE t SET a=1
EXPLAIN (GENERIC_PLAN) SELECT * FROM t WHERE a = $1
EXPLAIN (costs off) EXECUTE foo(1, 2)
EXPLAIN (costs off) DECLARE c CURSOR FOR SELECT 1
EXPLAIN CREATE TABLE x AS SELECT 1
EXPLAIN (SELECT 1)
COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER)
COPY t (a, b) TO STDOUT DELIMITER AS ',' CSV QUOTE '"' FORCE QUOTE a
COPY public.t TO stdout
SHOW ALL
SHOW TIME ZONE
SHOW server_version
SELECT jsonb_path_exists('{}', '$.a[*] ? (@ > 1)'), '{"a":1}'::jsonb['a'], j['x']['y'] FROM t
SELECT a ISNULL, b NOTNULL, c IS NOT UNKNOWN, d IS TRUE FROM t
SELECT count(*) FROM t a JOIN LATERAL (SELECT 1) b ON true LEFT JOIN c ON a.x = c.x CROSS JOIN d
SELECT * FROM t AS "order"("group", "select")
SELECT ("a")."b" FROM a
SELECT json_build_object('a', 1) -> 'a' ->> 0, '[1]'::json #> '{0}'
SELECT nullif(1,1) IS NULL AND NOT (true OR false)
SELECT substring('abc', 1, 2), substring('Thomas' from '...$'), "substring"('abc', 2)
SELECT pg_catalog.date_part('year', x), pg_catalog."substring"('a',1,1) FROM t
SELECT GROUPING(a), x.operator, t.filter FROM t
SELECT treat(x AS text), collation for ('foo'), COLLATION FOR (x) FROM t
SELECT current_setting('server_version_num')::int / 100
SELECT * FROM generate_series(1, 3) AS x WHERE x NOT IN (SELECT 1) AND (x, 1) IN ((1, 1), (2, 2))
SELECT left('abc', 1), right('abc', 1), char_length('a'), "left"('a', 1), isfinite(date '2020-01-01'), overlaps(a,b,c,d), like('a','b') FROM t
SELECT * FROM a NATURAL JOIN b NATURAL LEFT JOIN c
SELECT bit '101', bit(3) '101', varchar 'a', char(3) 'abc', float8 '1', numeric(3,1) '2.5', dec '1', bool 'true', int4 '5', _text '{a}', pg_catalog.int4 '5'
SELECT json_object('a' : 1, 'b' VALUE 2 ABSENT ON NULL WITH UNIQUE KEYS RETURNING text), json_array(SELECT 1), json_arrayagg(x ORDER BY y), '{}' IS JSON OBJECT WITH UNIQUE KEYS, json_value('{}', '$' RETURNING int DEFAULT 1 ON EMPTY ERROR ON ERROR) FROM t
SELECT * FROM json_table('[]', '$[*]' COLUMNS (id FOR ORDINALITY, a int PATH '$.a', NESTED PATH '$.b[*]' COLUMNS (c numeric(3,2) PATH '$.c'))) AS jt
SELECT merge_action(), any_value(x) FROM t
SELECT (a).b.c[1], (SELECT ROW(1, 2)).* FROM t
SELECT 'a'
-- a comment SELECT 1 /* and /* another */ one */
SELECT 1 AS e$$, 2 AS f$$
SELECT a FROM t WHERE a != 1 AND b OPERATOR(pg_catalog.!=) 2
