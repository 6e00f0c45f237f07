SELECT id, email FROM customers
SELECT * FROM customers
SELECT c.* FROM customers c
SELECT email AS "E Mail", name AS "select" FROM customers AS "Odd.Alias"
SELECT upper(email) AS shout, length(name) AS n FROM customers
SELECT email || ' <' || name || '>' AS line FROM customers WHERE email LIKE '%@example.org'
SELECT CASE WHEN score > 10 THEN email ELSE 'none' END AS e FROM customers
SELECT CASE boss WHEN 1 THEN name END AS e FROM customers
SELECT coalesce(email, name, 'x') AS a, nullif(email, '') AS b, greatest(id, boss) AS c FROM customers
SELECT count(*) AS n, count(DISTINCT email) AS d, max(score) AS m FROM customers
SELECT boss, count(*) AS n FROM customers GROUP BY boss HAVING count(*) > 3 ORDER BY count(*) DESC
SELECT boss, born, sum(score) AS s FROM customers GROUP BY ROLLUP (boss, born)
SELECT boss, born, sum(score) AS s FROM customers GROUP BY GROUPING SETS ((boss), (born), ())
SELECT string_agg(email, ', ' ORDER BY name) AS all_of_them FROM customers
SELECT count(*) FILTER (WHERE score > 1) AS n, array_agg(email) AS a FROM customers
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score) AS median FROM customers
SELECT id, row_number() OVER (PARTITION BY boss ORDER BY score DESC) AS r FROM customers
SELECT id, sum(score) OVER w AS s, lag(email) OVER w AS before FROM customers WINDOW w AS (ORDER BY born ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT c.email, o.total FROM customers c JOIN orders o ON o.customer_id = c.id
SELECT c.email, o.total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.total > 3
SELECT c.name, o.note FROM customers c RIGHT JOIN orders o ON o.customer_id = c.id
SELECT c.name, o.note FROM customers c FULL JOIN orders o ON o.customer_id = c.id
SELECT c.name, o.note FROM customers c CROSS JOIN orders o
SELECT id, email, total FROM customers JOIN orders USING (id)
SELECT o.id, i.sku FROM orders o, items i WHERE i.order_id = o.id
SELECT c.name, l.total FROM customers c, LATERAL (SELECT o.total FROM orders o WHERE o.customer_id = c.id LIMIT 1) l
SELECT c.email, t.tag FROM customers c, unnest(c.tags) AS t(tag)
SELECT c.email, t.tag, t.n FROM customers c, unnest(c.tags) WITH ORDINALITY AS t(tag, n)
SELECT c.id, e.key, e.value FROM customers c, jsonb_each_text(c.data) e
SELECT data ->> 'phone' AS phone, data #>> '{a,b}' AS deep, data -> 'x' -> 0 AS x FROM customers
SELECT id FROM customers WHERE data @> '{"vip": true}' AND data ? 'phone'
SELECT tags[1] AS first, tags[1:2] AS some, array_length(tags, 1) AS n FROM customers
SELECT id FROM customers WHERE email = ANY (tags) OR score > ALL (SELECT total FROM orders)
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)
SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders) AND boss NOT IN (1, 2, 3)
SELECT name, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) AS most FROM customers c
SELECT name, ARRAY(SELECT note FROM orders o WHERE o.customer_id = c.id) AS notes FROM customers c
WITH rich AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY customer_id) SELECT c.email, r.s FROM customers c JOIN rich r ON r.customer_id = c.id
WITH RECURSIVE up AS (SELECT id, boss, name FROM customers WHERE boss IS NULL UNION ALL SELECT c.id, c.boss, u.name || '/' || c.name FROM customers c JOIN up u ON c.boss = u.id) SELECT id, name FROM up
WITH a AS MATERIALIZED (SELECT email FROM customers), b AS NOT MATERIALIZED (SELECT email FROM a) SELECT email FROM b
SELECT email FROM customers UNION SELECT note FROM orders
SELECT id, email FROM customers UNION ALL SELECT id, note FROM orders ORDER BY 1
SELECT id FROM customers EXCEPT SELECT customer_id FROM orders
(SELECT id FROM customers ORDER BY score LIMIT 3) UNION ALL (SELECT id FROM orders LIMIT 1)
SELECT id FROM customers INTERSECT SELECT customer_id FROM orders
SELECT DISTINCT boss FROM customers
SELECT DISTINCT ON (boss) boss, email FROM customers ORDER BY boss, score DESC
SELECT id FROM customers ORDER BY score DESC NULLS LAST, email COLLATE "C" OFFSET 2 LIMIT 10
SELECT id FROM customers ORDER BY score FETCH FIRST 3 ROWS WITH TIES
SELECT extract(year FROM born) AS y, born + interval '1 day' AS tomorrow, date_trunc('month', born) AS m FROM customers
SELECT placed AT TIME ZONE 'UTC' AS utc, placed::date AS day, now() - placed AS age FROM orders
SELECT substring(email FROM 1 FOR 3) AS s, position('@' IN email) AS p, trim(both ' ' FROM name) AS t, overlay(name PLACING '*' FROM 1) AS o FROM customers
SELECT email ~ '^a' AS m, email ~~ 'b%' AS l, email SIMILAR TO 'c%' AS s, email ILIKE 'd' AS i FROM customers
SELECT score BETWEEN 1 AND 3 AS b, email IS NULL AS n, email IS DISTINCT FROM name AS d, NOT (score > 1) AS t FROM customers
SELECT row_to_json(c.*) AS doc, to_jsonb(c) AS j FROM customers c
SELECT jsonb_build_object('e', email, 'n', name) AS doc, jsonb_agg(tags) OVER () AS t FROM customers
SELECT ROW(email, name)::text AS pair, c AS whole FROM customers c
SELECT (c.addr).street AS street FROM customers c
SELECT x.a, x.b FROM (VALUES (1, 'one'), (2, 'two')) AS x(a, b)
VALUES (1, 'a'), (2, 'b')
SELECT g AS day FROM generate_series('2020-01-01'::timestamp, '2020-01-03', '1 day') g
SELECT d.a, d.b FROM (SELECT id, email FROM customers) AS d(a, b)
SELECT s.n FROM (SELECT count(*) AS n FROM (SELECT email FROM customers) q) s
SELECT id::text || '-' || score::numeric(10,2) AS label, 'x'::varchar(3) AS v, B'101' AS bits, '\x00'::bytea AS raw FROM customers
SELECT current_user AS me, current_date AS today, localtimestamp AS t, version() AS v
SELECT md5(email) AS h, encode(sha256(email::bytea), 'hex') AS s, left(email, 2) AS l, right(email, 2) AS r FROM customers
SELECT id FROM ONLY customers
SELECT id FROM customers TABLESAMPLE bernoulli (10)
SELECT xmlelement(name person, xmlattributes(id AS id), name) AS x FROM customers
SELECT a.id, b.email FROM (customers a JOIN orders o ON o.customer_id = a.id) JOIN customers b ON b.id = a.boss
