SELECT 1
SELECT id, name, town FROM people ORDER BY id
SELECT count(*) FROM people
SELECT town, count(*) FROM people GROUP BY town ORDER BY town
SELECT DISTINCT town FROM people ORDER BY town
SELECT id, person, item, price FROM orders ORDER BY id LIMIT 5
SELECT id, item FROM orders WHERE price > 20 ORDER BY id
SELECT o.id, p.name FROM orders o JOIN people p ON p.id = o.person ORDER BY o.id LIMIT 7
SELECT p.name, count(o.id), sum(o.price) FROM people p LEFT JOIN orders o ON o.person = p.id GROUP BY p.id, p.name ORDER BY p.id
SELECT name, (SELECT count(*) FROM orders WHERE person = people.id) AS orders FROM people ORDER BY id
SELECT max(price), min(price), round(avg(price), 2) FROM orders
SELECT item || '!' AS loud FROM orders WHERE id = 3
SELECT upper(name), length(name), left(town, 2) FROM people ORDER BY id
SELECT id % 2 = 0 AS even, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT date_trunc('month', at)::date AS month, sum(price) FROM orders GROUP BY 1 ORDER BY 1
SELECT extract(year FROM at) AS year, count(*) FROM orders GROUP BY 1
SELECT name FROM people WHERE town = 'Jena' ORDER BY name
SELECT name FROM people WHERE id IN (SELECT person FROM orders WHERE price > 40) ORDER BY name
SELECT name FROM people p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.person = p.id AND o.price > 49) ORDER BY 1
WITH big AS (SELECT * FROM orders WHERE price > 45) SELECT count(*) FROM big
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5) SELECT sum(n) FROM n
WITH RECURSIVE chain (id, name, depth) AS (SELECT id, name, 0 FROM people WHERE boss IS NULL UNION ALL SELECT p.id, p.name, depth + 1 FROM people p JOIN chain c ON p.boss = c.id) SELECT * FROM chain ORDER BY id
SELECT id, row_number() OVER (ORDER BY price DESC) FROM orders ORDER BY id LIMIT 4
SELECT person, price, rank() OVER (PARTITION BY person ORDER BY price DESC) FROM orders ORDER BY id LIMIT 6
SELECT id, lag(price) OVER (ORDER BY id) FROM orders ORDER BY id LIMIT 3
SELECT string_agg(name, ', ' ORDER BY name) FROM people
SELECT array_to_json(array_agg(id ORDER BY id)) FROM people
SELECT json_build_object('name', name, 'town', town) FROM people WHERE id = 1
SELECT jsonb_agg(jsonb_build_object('id', id, 'item', item) ORDER BY id) FROM orders WHERE id < 4
SELECT CASE WHEN price > 25 THEN 'dear' ELSE 'cheap' END AS class, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT coalesce(boss, 0) FROM people ORDER BY id
SELECT name FROM people UNION SELECT item FROM orders WHERE id < 3 ORDER BY 1
SELECT town FROM people EXCEPT SELECT 'Ulm' ORDER BY 1
SELECT id FROM people INTERSECT SELECT person FROM orders ORDER BY 1
SELECT * FROM generate_series(1, 5) AS n
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, letter)
SELECT p.id, o.item FROM people p CROSS JOIN LATERAL (SELECT item FROM orders WHERE person = p.id ORDER BY id LIMIT 2) o ORDER BY 1, 2
SELECT name, town FROM people ORDER BY town, name DESC LIMIT 2 OFFSET 1
SELECT count(*) FILTER (WHERE price > 10), count(*) FILTER (WHERE price <= 10) FROM orders
SELECT person, json_agg(item ORDER BY id) FROM orders WHERE id < 9 GROUP BY person ORDER BY person
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price) FROM orders
SELECT town, grouping(town), count(*) FROM people GROUP BY ROLLUP (town) ORDER BY 1 NULLS LAST
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'people' ORDER BY ordinal_position
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1
SELECT relname, relkind FROM pg_class WHERE relname IN ('people', 'orders') ORDER BY 1
SELECT conname FROM pg_constraint WHERE conrelid = 'people'::regclass ORDER BY 1
SELECT indexname FROM pg_indexes WHERE tablename = 'people' ORDER BY 1
SELECT current_database() IS NOT NULL, version() LIKE 'PostgreSQL%'
SELECT town FROM towns ORDER BY town
SELECT id, town FROM directory ORDER BY id
SELECT count(*) FROM directory
SELECT town, people FROM totals ORDER BY town
SELECT p.id FROM people p JOIN directory d ON d.id = p.id ORDER BY 1
SELECT a.name AS one, b.name AS other FROM people a JOIN people b ON a.town = b.town AND a.id < b.id
SELECT round(price * 1.19, 2) AS gross FROM orders WHERE id = 8
SELECT at::date, to_char(at, 'YYYY-MM') FROM orders WHERE id = 2
SELECT now() > timestamptz '2020-01-01', current_date > date '2020-01-01'
SELECT id, item FROM orders WHERE item LIKE 'item 1%' ORDER BY id
SELECT id FROM orders WHERE at BETWEEN timestamptz '2024-01-05 00:00Z' AND timestamptz '2024-01-09 00:00Z' ORDER BY id
SELECT regexp_replace(item, '\d+', '#') FROM orders WHERE id < 3 ORDER BY id
SELECT split_part(item, ' ', 2)::integer + 1 FROM orders WHERE id = 7
SELECT id, price::text, price::integer FROM orders WHERE id = 5
SELECT bool_and(price > 0), every(id > 0), bit_or(id) FROM orders
SELECT (o).id, (o).item FROM orders o WHERE id = 4
SELECT row_to_json(o) FROM orders o WHERE id = 6
TABLE scratch
SELECT obj_description('scratch'::regclass)
EXPLAIN (COSTS OFF) SELECT item FROM orders WHERE id = 1
SHOW server_version_num
SELECT pg_size_pretty(1048576::bigint)
SELECT t.town, o.item FROM orders o JOIN people t ON t.id = o.person AND t.boss = 1 ORDER BY o.id LIMIT 3
SELECT id, town FROM badges
