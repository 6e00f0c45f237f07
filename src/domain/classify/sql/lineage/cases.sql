-- Plain columns
SELECT 1
SELECT 'x', NULL, true, $1, now()
SELECT email FROM customers
SELECT c.email FROM customers c
SELECT customers.email FROM customers
SELECT public.customers.email FROM public.customers
SELECT customers.email FROM public.customers
SELECT c.email AS harmless FROM public.customers AS c
SELECT EMAIL, "Email" FROM Customers
SELECT email FROM "Customers"
SELECT (email) FROM customers
SELECT a_name_that_is_much_longer_than_what_postgresql_keeps_of_identifiers FROM t
SELECT email, name FROM customers ORDER BY name
SELECT DISTINCT email FROM customers
SELECT DISTINCT ON (email) name FROM customers ORDER BY email, name DESC
SELECT name FROM customers LIMIT 10 OFFSET 5
SELECT name FROM customers FETCH FIRST 3 ROWS ONLY
SELECT name FROM customers FOR UPDATE
SELECT ctid FROM customers
sqlite: SELECT EMAIL, "Email", [email], `email` FROM Customers
sqlite: SELECT rowid FROM customers
sqlite: SELECT name FROM main.customers WHERE main.customers.email = ?

-- Stars
SELECT * FROM customers
SELECT c.* FROM customers c
SELECT public.customers.* FROM public.customers
SELECT *, upper(email) FROM customers
SELECT * FROM customers c, orders o
SELECT o.*, c.email FROM customers c JOIN orders o ON o.customer_id = c.id
SELECT * FROM customers JOIN orders ON orders.customer_id = customers.id LEFT JOIN items i ON i.order_id = orders.id
SELECT * FROM a JOIN b USING (id)
sqlite: SELECT * FROM a JOIN b USING (id)
sqlite: SELECT * FROM a FULL JOIN b USING (id)
SELECT id FROM a JOIN b USING (id)
SELECT * FROM a NATURAL JOIN b
SELECT x FROM a NATURAL JOIN b
SELECT * FROM (SELECT id, email FROM a) x NATURAL JOIN (SELECT id, name FROM b) y
SELECT * FROM (SELECT id, email FROM a) x JOIN (SELECT name, id FROM b) y USING (id)
sqlite: SELECT * FROM (SELECT email, id FROM a) x JOIN (SELECT name, id FROM b) y USING (id)
SELECT * FROM (SELECT email AS x FROM a) d JOIN b USING (id)
SELECT * FROM customers AS c(a, b)
SELECT b FROM customers AS c(a, b)
SELECT * FROM (a JOIN b ON a.x = b.x) JOIN c ON c.y = b.y
SELECT j.email FROM (a JOIN b ON a.x = b.x) AS j
WITH x AS (TABLE public.customers) SELECT email FROM x
SELECT * INTO copy_of FROM customers

-- Whole rows and what is called on them
SELECT t FROM t
SELECT c FROM customers c
SELECT c FROM customers c, orders o
SELECT row_to_json(c) FROM customers c
SELECT c::text FROM customers c
SELECT (c).email FROM customers c
SELECT (c).row_to_json FROM customers c
SELECT c.row_to_json FROM customers c
SELECT c.to_jsonb FROM (SELECT id, email FROM customers) c
SELECT c.secret FROM (SELECT id, email FROM customers) c
SELECT (c.address).street FROM customers c
SELECT ROW(c.*), array_agg(c), json_agg(c.*) FROM customers c
SELECT count(c), count(*), count(c.*) FROM customers c
SELECT to_jsonb(c) - 'email' FROM customers c
SELECT email(c) FROM customers c
SELECT jsonb_build_object('a', c.name, 'b', c.email) FROM customers c
SELECT U&"\0065mail" FROM customers
SELECT id FROM customers WHERE customers::text LIKE '%@example.org%'
sqlite: SELECT name FROM notes WHERE notes MATCH 'secret'
sqlite: SELECT highlight(notes, 0, '<', '>') FROM notes

-- Expressions
SELECT email || 'x', upper(email), left(ssn, 7), right(ssn, 4) FROM customers
SELECT encode(ssn::bytea, 'hex'), reverse(ssn), md5(ssn) FROM customers
SELECT length(email), email = 'x', email IS NULL, email IN ('a', name) FROM customers
SELECT 'X' || name || ' ' || email || 'X' FROM customers
SELECT substring(email FROM 1 FOR 3), position('@' IN email), trim(email), overlay(a PLACING b FROM 1) FROM c
SELECT extract(year FROM born), born AT TIME ZONE 'UTC', date_trunc('day', born), interval '1 day' FROM c
SELECT coalesce(a, b), nullif(a, b), greatest(a, b, c) FROM t
SELECT CASE WHEN email LIKE 'a%' THEN 1 END FROM customers
SELECT CASE kind WHEN 'x' THEN name ELSE email END FROM customers
SELECT ARRAY[a, b], tags[1], tags[i:j], data->'a'->>'b', data #>> '{a,b}' FROM t
SELECT a COLLATE "C", -a, NOT b, a BETWEEN b AND c FROM t
SELECT a OPERATOR(mine.+) b FROM t
SELECT a @+@ b FROM t
SELECT pg_size_pretty(pg_total_relation_size('customers')), has_table_privilege('customers', 'SELECT')
SELECT my_function(1), other.lower(name), pg_catalog.lower(name) FROM t
SELECT query_to_xml('select * from customers', true, true, ''), current_setting('my.x')
SELECT a = ANY (tags), a > ALL (SELECT b FROM u) FROM t
SELECT DATE '2020-01-01', E'\x41', X'41', B'1'
sqlite: SELECT iif(email LIKE 'a%', 1, 0), email GLOB 'a*', printf('%s', email), hex(email), email -> '$.a' FROM customers
sqlite: SELECT load_extension('x'), my_function(name) FROM t
sqlite: SELECT "no such column", :name, @name, ?1

-- Aggregates and windows
SELECT a, count(*) FROM t GROUP BY ROLLUP (1)
SELECT count(*) FROM customers
SELECT count(*) FROM customers WHERE email = 'x'
SELECT count(*) FILTER (WHERE email = 'x') FROM customers
SELECT count(DISTINCT email), sum(total), max(name) FROM customers
SELECT kind, count(*) FROM customers GROUP BY kind HAVING max(score) > 3 ORDER BY 2 DESC
SELECT kind AS k, count(*) AS n FROM customers GROUP BY k ORDER BY n
SELECT string_agg(email, ',' ORDER BY name) FROM customers
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY salary) FROM staff
SELECT row_number() OVER (PARTITION BY kind ORDER BY email) FROM customers
SELECT sum(total) OVER w, lag(name) OVER (w ROWS 1 PRECEDING) FROM orders WINDOW w AS (ORDER BY placed)
SELECT sum(total) OVER nowhere FROM orders
SELECT a, b, sum(c) FROM t GROUP BY ROLLUP (a, b)
SELECT a, sum(c) FROM t GROUP BY GROUPING SETS ((a), (b), ())
sqlite: SELECT name, max(salary) FROM staff
sqlite: SELECT max(salary) FROM staff
sqlite: SELECT name AS n FROM staff WHERE n LIKE 'a%' GROUP BY n
SELECT id, unnest(emails) FROM customers
SELECT count(*) FROM (SELECT unnest(emails) FROM customers) d

-- Several relations in scope
sqlite: SELECT k FROM t, (SELECT 1 AS k) d JOIN u USING (k)
sqlite: SELECT * FROM t, u JOIN w USING (id)
SELECT * FROM t, u JOIN w USING (id)
SELECT email FROM ONLY customers
SELECT email FROM ONLY (customers)
SELECT email FROM customers, orders
SELECT email FROM customers c, (SELECT 1 AS email) d
SELECT total FROM customers c JOIN (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id) o ON o.customer_id = c.id
SELECT a.t.x, b.t.x FROM a.t, b.t
SELECT nowhere.x FROM t
SELECT x

-- Subqueries
SELECT (SELECT max(total) FROM orders WHERE customer_id = c.id) FROM customers c
SELECT name, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) FROM customers c
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM secrets s WHERE s.id = c.id AND s.level > 3)
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 10)
SELECT name FROM customers WHERE (id, kind) IN (SELECT a, b FROM u)
SELECT x FROM (SELECT email AS x FROM customers) d
SELECT d.a, d.b FROM (SELECT id, email FROM customers) AS d(a, b)
SELECT a FROM (SELECT *, email AS a FROM customers) d
SELECT lower FROM (SELECT lower(email) FROM customers) d
SELECT a FROM (SELECT id AS a, lower(email) FROM customers) d
SELECT * FROM (SELECT * FROM (SELECT id, email AS e FROM customers) a) b
SELECT ARRAY(SELECT email FROM customers)
SELECT c.name, l.x FROM customers c, LATERAL (SELECT o.total * c.rate AS x FROM orders o WHERE o.customer_id = c.id) l
SELECT (SELECT c) FROM customers c
SELECT x FROM (VALUES (1, 'a'), (2, 'b')) v(id, x)
VALUES (1, (SELECT email FROM customers LIMIT 1)), (2, 'x')
SELECT column2 FROM (VALUES (1, 2)) v

-- Table functions
SELECT g FROM generate_series(1, 10) g
SELECT * FROM generate_series(1, 10)
SELECT u.tag FROM customers c, unnest(c.tags) AS u(tag)
SELECT * FROM unnest(ARRAY[1, 2])
SELECT * FROM unnest('{}'::customers[])
SELECT key, value FROM customers c, jsonb_each_text(c.data)
SELECT x.a FROM customers c, jsonb_to_record(c.data) AS x(a int, b text)
SELECT * FROM jsonb_to_recordset('[]') AS x(a int, b text)
SELECT * FROM my_function(1)
SELECT e FROM customers, regexp_split_to_table(email, '@') WITH ORDINALITY AS s(e, n)
sqlite: SELECT value FROM customers, json_each(customers.data)
sqlite: SELECT value FROM customers, json_each(data)
sqlite: SELECT value FROM json_each(data), customers
sqlite: SELECT value FROM json_each(d.x), (SELECT data AS x FROM customers) d
sqlite: SELECT * FROM pragma_table_info('customers')

-- Common table expressions
WITH x AS (SELECT c AS r FROM customers c) SELECT (x.r).email, x.r FROM x
WITH RECURSIVE r AS (SELECT id, path FROM tree WHERE parent IS NULL UNION SELECT t.id, r.path || t.name FROM tree t, r WHERE t.parent = r.id) SELECT path FROM r ORDER BY path
WITH RECURSIVE r AS (SELECT x FROM r) SELECT x FROM r
WITH x AS (SELECT email AS e FROM customers) SELECT e FROM x
WITH x(a, b) AS (SELECT id, email FROM customers) SELECT b FROM x AS y
WITH x AS (SELECT email FROM customers), y AS (SELECT email AS a, email || 'z' AS b FROM x) SELECT * FROM y
WITH customers AS (SELECT name AS email FROM customers) SELECT email FROM customers
WITH x AS MATERIALIZED (SELECT 1 AS one FROM customers WHERE email LIKE 'a%') SELECT EXISTS (SELECT 1 FROM x)
WITH RECURSIVE r AS (SELECT id, boss FROM staff UNION ALL SELECT s.id, r.boss FROM staff s JOIN r ON s.boss = r.id) SELECT * FROM r
WITH RECURSIVE r(a, b, c) AS (SELECT 1, x, email FROM t UNION ALL SELECT b, c, a FROM r) SELECT a FROM r
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n
WITH RECURSIVE a AS (SELECT x FROM b), b AS (SELECT email AS x FROM customers) SELECT x FROM a
sqlite: WITH a AS (SELECT x FROM b), b AS (SELECT email AS x FROM customers) SELECT x FROM a
sqlite: WITH r(n, e) AS (SELECT 1, '' UNION ALL SELECT n + 1, e || substr((SELECT email FROM customers), n, 1) FROM r WHERE n < 9) SELECT e FROM r
WITH x AS (SELECT id FROM a) SELECT (WITH x AS (SELECT email FROM b) SELECT email FROM x), id FROM x

-- Set operations
SELECT email FROM customers UNION SELECT name FROM staff
SELECT email FROM customers UNION ALL SELECT 'x'
SELECT a, b FROM t UNION ALL SELECT c, d || e FROM u ORDER BY a
SELECT email FROM customers EXCEPT SELECT email FROM blocked
SELECT email FROM customers INTERSECT SELECT email FROM blocked
SELECT * FROM a UNION ALL SELECT * FROM a WHERE x = 1
SELECT * FROM a UNION ALL SELECT * FROM b
SELECT id, name FROM a UNION ALL SELECT * FROM b
(SELECT a FROM t ORDER BY b LIMIT 1) UNION ALL (SELECT c FROM u)
SELECT x FROM (SELECT a AS x FROM t UNION ALL SELECT b FROM u) d

-- Writes
INSERT INTO t (a) VALUES (1)
INSERT INTO t (a, b) VALUES (1, DEFAULT) RETURNING id
INSERT INTO t (a) VALUES (1) RETURNING *
INSERT INTO log (note) SELECT email FROM customers RETURNING note
INSERT INTO log (note) SELECT email FROM customers RETURNING *, id
INSERT INTO log SELECT * FROM customers RETURNING note
INSERT INTO t (id, a) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET a = excluded.a || t.b WHERE t.c > 3 RETURNING a, b
UPDATE t SET a = email WHERE id = 3 RETURNING a, t.b
UPDATE t SET a = 1 WHERE email = 'x' RETURNING *
UPDATE t SET n = n + 1 RETURNING *
UPDATE t SET a = email RETURNING *
UPDATE t SET a = s.secret FROM s WHERE s.id = t.id RETURNING t.a, s.id
UPDATE t SET (a, b) = (SELECT x, y FROM u) RETURNING b
DELETE FROM t WHERE email LIKE 'a%' RETURNING id, email
DELETE FROM t USING u WHERE u.id = t.id RETURNING *
MERGE INTO t USING s ON s.id = t.id WHEN MATCHED THEN UPDATE SET a = s.secret WHEN NOT MATCHED THEN INSERT (id, b) VALUES (s.id, s.x) RETURNING t.a, t.b
WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT email FROM d
WITH d AS (UPDATE t SET a = email RETURNING a AS x) SELECT x FROM d
WITH s AS (SELECT email FROM customers) INSERT INTO log (note) SELECT email FROM s RETURNING note
sqlite: REPLACE INTO t (a) VALUES (1) RETURNING a
sqlite: DELETE FROM t WHERE email = 'x' RETURNING rowid
WITH t AS (SELECT 1 AS email) UPDATE t SET a = email RETURNING a
sqlite: WITH t AS (SELECT 1 AS email) DELETE FROM t WHERE email = 'x' RETURNING email
UPDATE ONLY customers SET a = 1 RETURNING email
sqlite: UPDATE t SET a = u.b FROM u RETURNING *, a
INSERT INTO t (a) SELECT c FROM customers c RETURNING a
MERGE INTO t USING s ON s.id = t.id WHEN MATCHED AND t.x > 1 THEN DELETE RETURNING merge_action(), *
CREATE TABLE copy AS SELECT email FROM customers WHERE id = 1

-- Not understood, so not proven
SELECT 1; SELECT 2
EXPLAIN SELECT * FROM customers WHERE email = 'x'
EXPLAIN SELECT my_function(email) FROM customers
sqlite: EXPLAIN QUERY PLAN SELECT * FROM customers WHERE email = 'x'
COPY (SELECT email FROM customers) TO STDOUT
SHOW server_version
BEGIN

-- What is put where
CREATE TABLE copy AS SELECT email, upper(name) AS shout, 1 FROM customers
CREATE TEMP TABLE copy AS SELECT * FROM customers
SELECT email AS e, id INTO copy FROM customers
SELECT id INTO copy FROM customers UNION SELECT salary FROM staff
INSERT INTO copy (a, b) SELECT email, town FROM customers
INSERT INTO copy SELECT email FROM customers
INSERT INTO customers (email, town) SELECT email, lower(town) FROM customers
INSERT INTO copy (a) VALUES ((SELECT max(email) FROM customers))
INSERT INTO copy (a) VALUES ('x') ON CONFLICT (a) DO UPDATE SET a = (SELECT email FROM customers LIMIT 1)
UPDATE customers SET town = email
UPDATE customers SET email = lower(email) WHERE id = 1
UPDATE copy SET a = c.email FROM customers c WHERE c.id = copy.id
UPDATE copy SET (a, b) = (SELECT email, town FROM customers WHERE customers.id = copy.id)
UPDATE copy SET a = CASE WHEN EXISTS (SELECT 1 FROM customers WHERE email LIKE 'a%') THEN 1 ELSE 2 END
MERGE INTO copy USING customers c ON c.id = copy.id WHEN MATCHED THEN UPDATE SET a = c.email WHEN NOT MATCHED THEN INSERT (a) VALUES (c.name)
WITH kept AS (INSERT INTO copy (a) SELECT email FROM customers RETURNING id) SELECT count(*) FROM kept
DELETE FROM customers WHERE email = 'x' RETURNING town
SELECT set_config('my.carrier', (SELECT email FROM customers LIMIT 1), false)
SELECT setval('carrier', (SELECT salary FROM customers LIMIT 1))
SELECT 1 FROM customers WHERE pg_notify('carrier', email) IS NOT NULL
SELECT * FROM dblink_exec('x', (SELECT email FROM customers LIMIT 1))
CREATE VIEW contact AS SELECT email FROM customers
ALTER TABLE customers RENAME COLUMN email TO town2
ALTER TABLE customers RENAME TO folk
ALTER TABLE customers ALTER COLUMN town TYPE text USING town || email
ALTER TABLE customers ADD COLUMN town2 text GENERATED ALWAYS AS (email) STORED
ALTER TABLE customers ADD COLUMN town2 text DEFAULT 'x'
DROP TABLE customers
COPY customers TO PROGRAM 'x'
sqlite: UPDATE customers SET town = email RETURNING town
sqlite: CREATE TABLE copy AS SELECT * FROM customers
sqlite: REPLACE INTO copy (a) SELECT email FROM customers

-- MySQL: what its names, readings and words do differently
mysql: SELECT id, `Email` FROM `Customers`
mysql: SELECT email AS a, (SELECT a), 1 IN (SELECT a FROM orders) FROM customers
mysql: SELECT concat(email), (SELECT `concat(email)`) FROM customers
mysql: SELECT "email", "a b", concat(name, " ", city) FROM customers
mysql: SELECT d.k FROM (SELECT "city" AS k, email AS "city" FROM customers) d
mysql: SELECT 'it\'s', email FROM customers
mysql: SELECT sql_cache email FROM customers
mysql: SELECT high_priority sql_small_result email FROM customers
mysql: SELECT binary email FROM customers
mysql: SELECT @a, @@version, id FROM customers
mysql: SELECT @a := email, id FROM customers
mysql: SELECT email INTO @a FROM customers
mysql: SELECT {fn concat(email)}, id FROM customers
mysql: SELECT `count`(email) FROM customers
mysql: SELECT last_insert_id(), found_rows() FROM customers
mysql: SELECT émail FROM customers
mysql: SELECT `x\y` FROM (SELECT *, email AS 'x\\y' FROM customers) d
mysql: SELECT id, /*!80000 email, */ name FROM customers
mysql: SELECT id, /*!50000 email, */ name FROM customers
mysql: SELECT id, coalesce(/*!80000 email, */ name) FROM customers
mysql: WITH w AS (SELECT 1 AS email) SELECT email FROM w
mysql: WITH W AS (SELECT 1 AS email) SELECT email FROM w
mysql: SELECT d.`1` FROM (VALUES (1, 'x')) d
mysql: SELECT * FROM customers c JOIN orders o USING (id)
mysql: SELECT * FROM (SELECT id, email FROM customers) c JOIN (SELECT id, total FROM orders) o USING (id)
mysql: SELECT * FROM (SELECT id, email FROM customers) c RIGHT JOIN (SELECT id, total FROM orders) o USING (id)
mysql: SELECT * FROM (SELECT id, email FROM customers) c NATURAL RIGHT JOIN (SELECT id, total FROM orders) o
mysql: SELECT group_concat(DISTINCT email ORDER BY id SEPARATOR '-'), json_arrayagg(name) FROM shop.customers
mysql: SELECT if(email LIKE 'a%', 1, 0), convert(email USING latin1), email REGEXP 'a', email->>'$.x' FROM customers
mysql: SELECT name FROM customers ORDER BY `lower(email)`, 1 LIMIT 5, 10
mysql: SELECT lower(email) FROM customers ORDER BY `lower(email)`
mysql: EXPLAIN SELECT email FROM customers
mysql: DELETE FROM customers WHERE email = 'x' RETURNING name

-- MySQL: what is put where
mysql: INSERT INTO notes (a, b) SELECT id, email FROM customers
mysql: INSERT INTO notes SELECT id, email FROM customers
mysql: INSERT INTO notes VALUES (1, 'x'), (2, DEFAULT)
mysql: INSERT INTO notes SET a = 1, b = (SELECT email FROM customers LIMIT 1)
mysql: REPLACE INTO notes (a) SELECT email FROM customers
mysql: REPLACE INTO notes (a) VALUES (1) RETURNING a, b
mysql: INSERT INTO notes (a, b) VALUES (1, 'x') ON DUPLICATE KEY UPDATE a = VALUES(a), b = concat(b, 'y')
mysql: INSERT INTO notes (a) SELECT id FROM customers ON DUPLICATE KEY UPDATE a = email
mysql: INSERT INTO notes (a) SELECT id FROM customers c ON DUPLICATE KEY UPDATE notes.a = c.email
mysql: INSERT INTO notes (a) SELECT 1 FROM customers UNION SELECT 2 ON DUPLICATE KEY UPDATE a = email
mysql: INSERT INTO notes (a, b) VALUES (1, 'x') AS new ON DUPLICATE KEY UPDATE a = new.b
mysql: INSERT INTO notes (a, b) VALUES (1, 'x') AS new(m, n) ON DUPLICATE KEY UPDATE a = m + n
mysql: UPDATE customers c SET c.note = c.email WHERE c.id = 1 ORDER BY c.name LIMIT 3
mysql: UPDATE notes n JOIN customers c ON c.id = n.id SET n.a = c.email, c.seen = 1
mysql: UPDATE notes n JOIN customers c ON c.id = n.id SET a = email
mysql: UPDATE notes SET a = (@x := (SELECT email FROM customers LIMIT 1)), b = @x
mysql: DELETE c, o FROM customers c JOIN orders o ON o.customer = c.id WHERE c.email = 'x'
mysql: DELETE FROM notes WHERE a IN (SELECT email FROM customers) RETURNING b
mysql: SELECT email, id INTO @a, @b FROM customers
mysql: SELECT email FROM customers INTO @a
mysql: SELECT email FROM customers INTO OUTFILE '/tmp/x'
mysql: SET @a = (SELECT email FROM customers LIMIT 1), @b = 1
mysql: SET @a = 1, SESSION sql_mode = ANSI
mysql: SET @a = @b
mysql: SELECT @a := id, @b := 1 FROM customers
mysql: CREATE TABLE copies AS SELECT id, email AS mail FROM customers
mysql: CREATE TABLE copies (mail TEXT, twice TEXT AS (concat(mail, mail)), thrice TEXT DEFAULT (mail)) SELECT email AS mail FROM customers
mysql: CREATE TABLE copies LIKE customers
mysql: CREATE VIEW v AS SELECT email FROM customers
mysql: ALTER TABLE customers CHANGE email mail TEXT
mysql: ALTER TABLE customers MODIFY email TEXT
mysql: ALTER TABLE customers ADD COLUMN copy TEXT DEFAULT (email)
mysql: ALTER TABLE customers ADD COLUMN copy TEXT AS (lower(email)) STORED
mysql: ALTER TABLE customers ALTER COLUMN note SET DEFAULT (email)
mysql: ALTER TABLE customers RENAME TO notes
mysql: HANDLER customers READ FIRST
mysql: TABLE customers
mysql: VALUES ROW(1, (SELECT email FROM customers LIMIT 1)), ROW(2, 'x')
mysql: SELECT j.mail, n FROM customers c, JSON_TABLE(c.data, '$[*]' COLUMNS (n FOR ORDINALITY, mail TEXT PATH '$.m', NESTED PATH '$.x' COLUMNS (deep INT PATH '$'))) AS j
mysql: SELECT extractvalue(email, '/a'), updatexml(name, '/a', 'b') FROM customers
mysql: SELECT count(email) n FROM customers GROUP BY name HAVING n > 1 ORDER BY n DESC
mysql: SELECT name FROM customers WHERE email LIKE 'a%' LIMIT 3
mysql: SELECT (SELECT c.email FROM notes C LIMIT 1) FROM customers c
mysql: SELECT (SELECT c.email FROM notes c LIMIT 1) FROM customers c
mysql: SELECT json 'x', text 'y' FROM customers
mysql: SELECT date '2020-01-01', {d '2020-01-01'}, timestamp '2020-01-01 00:00:00' FROM customers
mysql: SELECT db.f(email) FROM customers
mysql: SELECT EXISTS (SELECT 1 FROM customers WHERE email = 'x')
sqlite: SELECT true, false FROM (SELECT email AS true FROM customers)
sqlite: SELECT date 'x' FROM customers

-- SQL Server: its names, its clauses, and what is put where
mssql: SELECT c.Id, [e-mail], [c].[Email] AS [Mail], Total = o.Amount FROM dbo.Customers c JOIN [dbo].[Orders] AS o ON o.CustomerId = c.Id
mssql: SELECT TOP (10) PERCENT WITH TIES name FROM customers WITH (NOLOCK) WHERE email = @p0 ORDER BY created DESC
mssql: SELECT DISTINCT TOP 5 city FROM crm..customers ORDER BY city OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY
mssql: SELECT email 'alias', 'x' = name FROM customers
mssql: SELECT date 'x', interval 'y' FROM customers
mssql: SELECT true, localtime FROM (SELECT email AS true, email AS localtime FROM customers) d
mssql: SELECT current_user, getdate(), @@servername, @p1 FROM customers
mssql: SELECT email AS current_date FROM customers
mssql: SELECT @v = email FROM customers
mssql: SELECT @v = count(*), @w = max(id) FROM customers
mssql: SELECT $action, $identity FROM customers
mssql: SELECT émail FROM customers
mssql: SELECT email FROM [ｃustomers]
mssql: SELECT geography::Parse(email) FROM customers
mssql: SELECT c.doc.value('(/a)[1]', 'varchar(9)') FROM customers c
mssql: SELECT a.email, b.n FROM customers a CROSS APPLY (SELECT count(*) AS n FROM orders o WHERE o.customer = a.id) b
mssql: SELECT s.value FROM customers c OUTER APPLY string_split(c.email, '@') s
mssql: SELECT j.mail FROM customers c CROSS APPLY OPENJSON(c.data) WITH (mail nvarchar(99) '$.m') j
mssql: SELECT [key], value FROM OPENJSON(@p1)
mssql: SELECT id, email FROM customers FOR JSON PATH
mssql: SELECT id, (SELECT o.total FROM orders o WHERE o.customer = c.id FOR XML PATH('')) AS totals FROM customers c
mssql: SELECT id FROM customers FOR BROWSE
mssql: SELECT string_agg(email, ',') WITHIN GROUP (ORDER BY id), count(*), count_big(*), checksum(*) FROM customers
mssql: SELECT iif(email LIKE 'a%', 1, 0), isnull(name, ''), convert(varchar(9), email, 0), try_cast(email AS int), len(email) FROM customers
mssql: SELECT email + name COLLATE Latin1_General_CI_AS FROM customers
mssql: SELECT row_number() OVER (PARTITION BY city ORDER BY email) FROM customers
mssql: SELECT * FROM (SELECT city, tier FROM customers) c PIVOT (count(tier) FOR tier IN ([a], [b])) p
mssql: SELECT dbo.f(email), scope_identity(), session_context(N'x') FROM customers
mssql: SELECT x FROM dbo.f(1)
mssql: WITH c AS (SELECT 1 AS email) SELECT email FROM c
mssql: WITH C AS (SELECT 1 AS email) SELECT email FROM c
mssql: SELECT (SELECT Email FROM (SELECT 1 AS email) d) FROM customers
mssql: SELECT id FROM customers; SELECT email FROM customers
mssql: DECLARE @v nvarchar(99) = (SELECT TOP 1 email FROM customers); SELECT @v
mssql: DECLARE @n int = 5; SELECT name FROM customers WHERE id = @n
mssql: SET @v = (SELECT max(email) FROM customers)
mssql: SET NOCOUNT ON; SELECT name FROM customers
mssql: SELECT id, email INTO #copies FROM customers
mssql: SELECT email AS mail INTO dbo.copies FROM customers
mssql: INSERT INTO notes (a, b) SELECT id, email FROM customers
mssql: INSERT INTO @t SELECT email FROM customers
mssql: INSERT INTO notes (a) OUTPUT inserted.a, inserted.id VALUES (@p1)
mssql: UPDATE customers SET note = email OUTPUT deleted.note, inserted.note WHERE id = 1
mssql: UPDATE c SET c.note = o.total FROM customers c JOIN orders o ON o.customer = c.id
mssql: UPDATE customers SET email = s.email FROM notes customers JOIN secrets s ON s.id = customers.id
mssql: WITH n AS (SELECT * FROM notes) UPDATE n SET a = (SELECT TOP 1 email FROM customers)
mssql: UPDATE customers SET @v = email, seen = 1
mssql: UPDATE customers SET @v = note = email
mssql: DELETE FROM customers OUTPUT deleted.email INTO #gone WHERE id = 1
mssql: DELETE FROM customers OUTPUT deleted.id, deleted.email WHERE id = 1
mssql: DELETE c FROM customers c JOIN orders o ON o.customer = c.id WHERE o.total = 0
mssql: MERGE INTO notes AS n USING customers AS c ON n.id = c.id WHEN MATCHED THEN UPDATE SET n.a = c.email WHEN NOT MATCHED THEN INSERT (id, a) VALUES (c.id, c.name) OUTPUT $action, inserted.id
mssql: EXEC p @a = 1
mssql: CREATE TABLE t (id int IDENTITY, mail nvarchar(9), twice AS mail + mail)
mssql: ALTER TABLE customers ADD copy nvarchar(99)
mssql: CREATE VIEW v AS SELECT email FROM customers
mssql: SELECT email FROM OPENQUERY(srv, 'SELECT email FROM customers')
mssql: SELECT name FROM customers WHERE CONTAINS(email, 'x')
mssql: SELECT name FROM customers ORDER BY email
mssql: SELECT v.e FROM customers c CROSS APPLY (VALUES (c.email), (c.name)) v(e)
mssql: SELECT city, grouping_id(city), count(*) FROM customers GROUP BY ROLLUP (city) OPTION (RECOMPILE, USE HINT('x'));
mssql: SELECT email FROM customers option
mssql: SELECT stuff((SELECT ',' + email FROM customers FOR XML PATH('')), 1, 1, '')
mssql: SELECT (SELECT email FROM customers FOR XML PATH(''), TYPE).value('.', 'nvarchar(max)') FROM orders
mssql: INSERT INTO notes EXEC p
mssql: DELETE customers OUTPUT deleted.email
mssql: DELETE FROM c OUTPUT deleted.email FROM customers c
mysql: SELECT * FROM customers PROCEDURE ANALYSE(10, 2000)
mysql: SELECT l.e FROM customers c, LATERAL (SELECT c.email AS e) l
