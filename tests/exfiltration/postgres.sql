-- the plain column, under any name
SELECT email FROM people
SELECT email AS town, ssn AS id, card AS item FROM people
SELECT "email" "x" FROM "people"
TABLE people
SELECT * FROM people
SELECT p.* FROM public.people AS p
SELECT ALL email, salary, born FROM ONLY people

-- renamed columns of an aliased table
SELECT c5, c3 FROM people AS p(c1, c2, c3, c4, c5, c6, c7)
SELECT (x).c FROM (SELECT ROW(email, ssn) AS c FROM people) x

-- encoded
SELECT encode(email::bytea, 'hex') FROM people
SELECT encode(convert_to(email, 'UTF8'), 'base64') FROM people
SELECT encode(convert_to(ssn, 'UTF8'), 'escape') FROM people
SELECT md5(email), sha256(email::bytea) FROM people
SELECT translate(email, 'abcdefghijklmnopqrstuvwxyz', 'bcdefghijklmnopqrstuvwxyza') FROM people
SELECT to_hex(salary), salary::bit(32), to_char(salary, '999,999,999,999') FROM people
SELECT convert_from(photo, 'UTF8'), photo, photo::text FROM people
SELECT get_byte(photo, n) FROM people, generate_series(0, 7) n
SELECT quote_literal(email), quote_ident(email), quote_nullable(ssn) FROM people
SELECT format('%s %I %L', email, email, email) FROM people
SELECT decode(encode(email::bytea, 'hex'), 'hex')::text FROM people

-- turned around and cut up
SELECT reverse(email) FROM people
SELECT reverse(reverse(email)), initcap(email), upper(ssn) FROM people
SELECT left(email, 8), right(email, 12) FROM people
SELECT split_part(email, '@', 1), split_part(email, '@', 2) FROM people
SELECT regexp_split_to_table(email, '') FROM people
SELECT string_to_table(email, NULL) FROM people
SELECT regexp_matches(email, '(.)(.*)') FROM people
SELECT regexp_replace(email, '^', '!') FROM people
SELECT overlay(email PLACING '' FROM 1 FOR 0) FROM people
SELECT lpad(email, 60, '.'), rpad(ssn, 60), btrim(email, 'z') FROM people
SELECT substring(email FROM n FOR 1) FROM people, generate_series(1, 30) n WHERE id = 1
SELECT substr(email, 1, 1), substr(email, 2, 1), substr(email, 3, 1), substr(email, 4, 1), substr(email, 5, 1), substr(email, 6, 1) FROM people
SELECT ascii(substr(email, 1, 1)), ascii(substr(email, 2, 1)), ascii(substr(email, 3, 1)), ascii(substr(email, 4, 1)), ascii(substr(email, 5, 1)), ascii(substr(email, 6, 1)) FROM people
SELECT unnest(string_to_array(email, NULL)) FROM people WHERE id = 1
SELECT chr(ascii(substr(ssn, n, 1))) FROM people, generate_series(1, 9) n WHERE id = 2

-- letter by letter, a request each
SELECT substr(email, 1, 1) FROM people WHERE id = 1
SELECT substr(email, 2, 1) FROM people WHERE id = 1
SELECT substr(email, 3, 1) FROM people WHERE id = 1
SELECT substr(email, 4, 1) FROM people WHERE id = 1
SELECT substr(email, 5, 1) FROM people WHERE id = 1
SELECT substr(email, 6, 1) FROM people WHERE id = 1
SELECT substr(email, 7, 1) FROM people WHERE id = 1
SELECT substr(email, 8, 1) FROM people WHERE id = 1

-- casts that fail
SELECT email::integer FROM people
SELECT CAST(email AS date) FROM people
SELECT ssn::uuid FROM people
SELECT email::inet, card::smallint FROM people
SELECT ('{' || email)::json FROM people
SELECT xmlparse(DOCUMENT email) FROM people
SELECT email::regclass FROM people
SELECT email::interval FROM people
SELECT to_date(email, 'YYYY-MM-DD') FROM people
SELECT to_number(ssn, '9999999') FROM people
SELECT salary::smallint FROM people
SELECT (salary || 'x')::numeric FROM people
SELECT jsonb_path_query(notes, (email || '"')::jsonpath) FROM people
SELECT ('x' || email)::bit(8) FROM people
SELECT tags::integer[] FROM people
SELECT email::"char"::text || ssn::macaddr FROM people
SELECT nextval(email) FROM people
SELECT pg_catalog.set_config('work_mem', email, true) FROM people
SELECT email::regtype::text FROM people LIMIT 1
SELECT lo_get(ssn::oid) FROM people

-- errors in other ways
SELECT 1 / (CASE WHEN email LIKE 'm%' THEN 0 ELSE 1 END) FROM people
SELECT CASE WHEN substr(ssn, 1, 1) = 'Z' THEN 1 / 0 END FROM people
SELECT regexp_match('x', email || '(') FROM people
SELECT to_tsquery(email || ' & & ') FROM people
SELECT array_position(ARRAY[1], 1, salary) FROM people
SELECT repeat('x', salary) FROM people
SELECT chr(salary) FROM people
SELECT make_date(salary, 1, 1) FROM people
SELECT make_interval(secs => salary) + date '0001-01-01' FROM people
SELECT convert_to('x', email) FROM people
SELECT encode('x', email) FROM people
SELECT date_trunc(email, now()) FROM people
SELECT extract(epoch FROM now()) + current_setting(email)::integer FROM people
SELECT now() AT TIME ZONE email FROM people
SELECT json_populate_record(NULL::orders, json_build_object('id', email)) FROM people
SELECT jsonb_extract_path_text(notes, 'pin')::integer FROM people
SELECT format('%' || email, 1) FROM people
SELECT substring('x' FROM email || '\') FROM people
SELECT 'x' LIKE email || '\' FROM people
SELECT ('1' || card || card)::bigint FROM people
SELECT salary * salary FROM people
SELECT row_to_json(people)::text::integer FROM people
SELECT 'x' COLLATE "C" = email, email::xid FROM people
SELECT (SELECT email::integer FROM people WHERE id = 1)
SELECT count(*) FROM people WHERE email::integer = 5
SELECT count(*) FROM people GROUP BY email::integer
SELECT count(*) FROM people ORDER BY max(email::integer)
SELECT count(*) FROM people HAVING max(email)::integer > 0
SELECT 1 FROM people LIMIT (SELECT salary * 9000000000000 FROM people WHERE id = 1)
SELECT id FROM people WHERE notes->>'pin' = email::integer::text
SELECT count(*) FILTER (WHERE email::integer > 0) FROM people
SELECT sum(1) OVER (ORDER BY email::integer) FROM people
SELECT generate_series(1, email::integer) FROM people
SELECT * FROM json_each((SELECT email FROM people WHERE id = 1)::json)
SELECT * FROM people JOIN orders ON people.email::integer = orders.id

-- json, rows and records
SELECT row_to_json(p) FROM people p
SELECT to_jsonb(p) FROM people p
SELECT to_jsonb(p)->>'email' FROM people p
SELECT to_jsonb(p) - 'id' FROM people p
SELECT json_agg(p) FROM people p
SELECT jsonb_object_agg(id, email) FROM people
SELECT jsonb_build_object('town', email) FROM people
SELECT json_build_array(VARIADIC ARRAY[email, ssn]) FROM people
SELECT jsonb_each_text(to_jsonb(p)) FROM people p
SELECT key, value FROM people p, jsonb_each_text(to_jsonb(p))
SELECT value FROM people p, LATERAL json_each(row_to_json(p)) e WHERE key = 'ssn'
SELECT jsonb_path_query(to_jsonb(p), '$.*') FROM people p
SELECT jsonb_path_query_array(notes, '$.**') FROM people
SELECT notes, notes->>'pin', notes#>>'{x,1,deep}', notes['pin'] FROM people
SELECT (jsonb_populate_record(NULL::people, to_jsonb(p))).email FROM people p
SELECT r.town FROM people p, jsonb_to_record(to_jsonb(p)) AS r(email text, town text)
SELECT r.x FROM people p, jsonb_to_record(jsonb_build_object('x', email)) AS r(x text)
SELECT p FROM people p
SELECT p::text FROM people p
SELECT (p).email, (p).* FROM people p
SELECT ROW(p.*) FROM people p
SELECT ROW(p.email, 1)::text FROM people p
SELECT array_agg(p) FROM people p
SELECT whole FROM row_of
SELECT (whole).email FROM row_of
SELECT xmlforest(email, ssn) FROM people
SELECT query_to_xml('SELECT email FROM people', true, false, '')
SELECT table_to_xml('people', true, false, '')
SELECT cursor_to_xml('c', 1, true, false, '')
SELECT database_to_xml(true, false, '')
SELECT hstore(p) FROM people p
SELECT tags[1], array_to_string(tags, ','), unnest(tags) FROM people
SELECT array_to_json(tags), to_json(born), age(born), extract(year FROM born), born + 1 FROM people

-- aggregates and windows
SELECT string_agg(email, ',') FROM people
SELECT array_agg(email ORDER BY id) FROM people
SELECT max(email), min(ssn), max(salary), sum(salary), avg(salary) FROM people
SELECT min(salary), max(salary) FROM people GROUP BY id
SELECT mode() WITHIN GROUP (ORDER BY email) FROM people
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY salary) FROM people
SELECT first_value(email) OVER (ORDER BY id), lag(ssn) OVER (ORDER BY id), nth_value(card, 2) OVER (ORDER BY id) FROM people
SELECT sum(salary) OVER w, max(email) OVER w FROM people WINDOW w AS (PARTITION BY town)
SELECT email FROM people GROUP BY email
SELECT DISTINCT ON (town) email FROM people
SELECT gather(email) FROM people
SELECT bit_xor(salary), bool_and(salary > 1), bit_or(salary) FROM people WHERE id = 1
SELECT sum(ascii(substr(email, 1, 1))) FROM people WHERE id = 1
SELECT count(DISTINCT email), count(email) FROM people
SELECT GREATEST(email, ''), LEAST(email, 'zzzz'), COALESCE(email, ''), NULLIF(email, '') FROM people
SELECT CASE WHEN id = 1 THEN email ELSE '' END FROM people
SELECT corr(salary, id), regr_slope(salary, id), stddev(salary), var_pop(salary) FROM people

-- views, and views of views
SELECT * FROM directory
SELECT contact FROM directory
SELECT contact || '', label, twice / 2 FROM directory
SELECT * FROM by_way_of
SELECT a || b, c + 0 FROM by_way_of
SELECT lower(a) FROM by_way_of
SELECT * FROM totals
SELECT mails, salaries / people FROM totals
SELECT * FROM kept
SELECT mail || ssn FROM kept
SELECT substr(mail, 1, 9) FROM kept
SELECT row_to_json(d) FROM directory d
SELECT x.label FROM (SELECT * FROM directory) x
SELECT (SELECT label FROM directory WHERE id = 1)
SELECT label FROM directory UNION SELECT town FROM people

-- columns computed of others
SELECT shown FROM badges
SELECT * FROM badges
SELECT b.shown AS town, town AS shown FROM badges b
SELECT max(shown) FROM badges

-- functions, operators and casts of their own
SELECT contact_of(1)
SELECT contact_of(id) || '' FROM people
SELECT * FROM everyone()
SELECT (everyone()).email
SELECT e.email || e.ssn FROM everyone() e
SELECT contact_of(o.person) FROM orders o
SELECT o.id, x.* FROM orders o, everyone() x
SELECT loud(o.person) FROM orders o
SELECT (everyone()).* FROM orders LIMIT 2
UPDATE orders SET item = contact_of(person)
SELECT item FROM orders
INSERT INTO scratch (note) VALUES (contact_of(1))
SELECT note FROM scratch
SELECT p.reveal FROM people p
SELECT reveal(p) FROM people p
SELECT 'x' ##> p FROM people p
SELECT p::wrapped FROM people p
SELECT (p::wrapped).inner_text FROM people p
SELECT lower(p) FROM people p
SELECT p.lower FROM people p
SELECT p.person_text FROM people p
SELECT chatty(1)
SELECT chatty(id) FROM people
SELECT loud(1)
SELECT * FROM people WHERE id = loud(1)

-- CTEs and subqueries
WITH x AS (SELECT email AS e FROM people) SELECT e FROM x
WITH x (town) AS MATERIALIZED (SELECT email FROM people) SELECT town FROM x
WITH RECURSIVE r (n, s) AS (SELECT 1, email FROM people WHERE id = 1 UNION ALL SELECT n + 1, s || n FROM r WHERE n < 3) SELECT s FROM r
WITH RECURSIVE r (n, s) AS (SELECT 0, '' UNION ALL SELECT n + 1, (SELECT substr(email, 1, n + 1) FROM people WHERE id = 1) FROM r WHERE n < 9) SELECT s FROM r
SELECT (SELECT email FROM people WHERE id = 1)
SELECT (SELECT string_agg(x.s, '') FROM (SELECT substr(email, n, 1) AS s FROM people, generate_series(1, 9) n WHERE id = 1) x)
SELECT ARRAY(SELECT email FROM people)
SELECT o.id, l.e FROM orders o, LATERAL (SELECT email AS e FROM people p WHERE p.id = o.person) l LIMIT 3
SELECT o.id, (SELECT max(p.salary) FROM people p WHERE p.id = o.person) FROM orders o LIMIT 3
SELECT q.* FROM (SELECT id, email FROM people) AS q (a, b)
SELECT town FROM (SELECT email AS town FROM people) people
WITH people AS (SELECT id AS email, email AS id FROM people) SELECT id FROM people
SELECT id FROM (SELECT p.email AS id FROM people p JOIN orders o ON o.person = p.id) AS orders
SELECT * FROM (VALUES ((SELECT email FROM people WHERE id = 1))) v
SELECT x FROM unnest((SELECT array_agg(email) FROM people)) x
SELECT EXISTS (SELECT 1 FROM people WHERE email LIKE 'm%'), (SELECT email FROM people LIMIT 1) IS NULL
SELECT email FROM people NATURAL JOIN (SELECT id FROM orders) o
SELECT min(x) FROM (SELECT email x FROM people UNION ALL SELECT ssn FROM people) y

-- set operations
SELECT town FROM people UNION ALL SELECT email FROM people
SELECT 'x' UNION SELECT ssn FROM people
SELECT email FROM people EXCEPT SELECT 'nobody'
SELECT email FROM people INTERSECT SELECT email FROM people
SELECT 1, NULL UNION ALL SELECT id, email FROM people
(SELECT town FROM people LIMIT 1) UNION ALL (SELECT card FROM people LIMIT 1)
VALUES ((SELECT email FROM people LIMIT 1)), ('x')

-- inference by what is returned
SELECT id, email = (SELECT max(email) FROM people) FROM people
SELECT id, salary > 0, salary % 10, salary / 10 % 10, salary / 100 % 10, salary / 1000 % 10 FROM people
SELECT width_bucket(salary, 0, 2000000000, 2000000000) FROM people
SELECT id FROM people ORDER BY salary
SELECT length(email), octet_length(ssn), position('@' IN email), strpos(email, 'k') FROM people
SELECT similarity(email, 'someone@corp.example') FROM people
SELECT email ~ '^m', email LIKE '_i%', starts_with(email, 'mi') FROM people
SELECT to_tsvector(email), to_tsvector('simple', ssn) FROM people
SELECT ts_headline(email, to_tsquery('someone')) FROM people
SELECT hashtext(email), hash_array(tags) FROM people
SELECT pg_column_size(email), pg_typeof(email) FROM people

-- COPY, cursors, prepared statements
COPY people TO STDOUT
COPY (SELECT email FROM people) TO STDOUT
COPY people (email) TO '/tmp/portcullis-never'
COPY (SELECT email FROM people) TO PROGRAM 'cat > /tmp/portcullis-never'
DECLARE c CURSOR WITH HOLD FOR SELECT email FROM people
FETCH ALL FROM c
PREPARE stolen AS SELECT email FROM people
EXECUTE stolen
BEGIN; SELECT email FROM people; COMMIT
SELECT 1; SELECT email FROM people

-- EXPLAIN and what the planner knows
EXPLAIN SELECT * FROM people WHERE email = (SELECT email FROM people WHERE id = 1)
EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM people
EXPLAIN (VERBOSE, FORMAT JSON) SELECT contact_of(1)
EXPLAIN SELECT * FROM people WHERE id = length(contact_of(1))
EXPLAIN SELECT * FROM orders WHERE item = contact_of(1)
EXPLAIN VERBOSE SELECT lower(contact_of(2))
SELECT * FROM pg_stats WHERE tablename = 'people'
SELECT most_common_vals, histogram_bounds FROM pg_stats
SELECT histogram_bounds::text FROM pg_catalog.pg_stats WHERE attname = 'email'
SELECT stavalues1, stavalues2 FROM pg_statistic
SELECT most_common_vals::text::text[] FROM pg_stats WHERE tablename = 'people'
SELECT unnest(histogram_bounds::text::text[]) FROM pg_stats WHERE attname IN ('email', 'salary')
SELECT * FROM pg_stats_ext
SELECT row_to_json(s) FROM pg_stats s WHERE tablename = 'people'
SELECT query FROM pg_stat_activity
SELECT * FROM pg_stat_statements
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_cursors

-- RETURNING, approved
DELETE FROM people WHERE id = 3 RETURNING email
UPDATE people SET town = 'Ulm' WHERE id = 1 RETURNING *
UPDATE people SET town = 'Ulm' WHERE id = 1 RETURNING ssn || '', lower(email), people
UPDATE orders SET item = item WHERE id = 1 RETURNING (SELECT email FROM people WHERE id = 1)
UPDATE orders SET item = item FROM people p WHERE orders.id = 2 AND p.id = 1 RETURNING p.email, p.ssn || ''
INSERT INTO people (id, email) VALUES (90, 'x') RETURNING (SELECT email FROM people WHERE id = 1)
INSERT INTO orders (id, item) VALUES (91, 'x') RETURNING (SELECT max(ssn) FROM people) AS item
WITH gone AS (DELETE FROM orders WHERE id = 3 RETURNING *) SELECT p.email FROM gone JOIN people p ON p.id = gone.person
WITH changed AS (UPDATE people SET town = town WHERE id = 2 RETURNING *) SELECT card, notes FROM changed
MERGE INTO people p USING orders o ON o.person = p.id AND o.id = 1 WHEN MATCHED THEN UPDATE SET town = p.town

-- constraint violations, approved
INSERT INTO people (id, email) SELECT 80, email FROM people WHERE id = 1
INSERT INTO people SELECT id, name, email, card, ssn, salary FROM people WHERE id = 2
UPDATE people SET id = 1 WHERE id = 2
UPDATE people SET email = (SELECT email FROM people WHERE id = 1) WHERE id = 2
UPDATE people SET salary = 2000000001 WHERE id = 1
UPDATE people SET salary = salary + 900000000 WHERE id = 1
UPDATE people SET salary = salary * 10000 WHERE id = 1
DELETE FROM people WHERE id = 1
ALTER TABLE people ADD CONSTRAINT small CHECK (salary < 10)
ALTER TABLE people ALTER COLUMN email TYPE integer USING email::integer
ALTER TABLE people ADD CONSTRAINT towns UNIQUE (town)
CREATE UNIQUE INDEX ON people (substr(email, 5, 0))
CREATE INDEX ON people ((email::integer))
ALTER TABLE people ALTER COLUMN ssn SET NOT NULL, ADD EXCLUDE (town WITH =)

-- put elsewhere, approved
CREATE TABLE copied AS SELECT email AS e, ssn AS s FROM people
SELECT e, s FROM copied
CREATE TEMP TABLE gone_soon AS SELECT * FROM people
SELECT email FROM gone_soon
SELECT email AS e INTO copied_again FROM people
SELECT e FROM copied_again
INSERT INTO scratch (note) SELECT email FROM people
SELECT note FROM scratch
INSERT INTO scratch (number) SELECT salary FROM people
SELECT number FROM scratch
UPDATE people SET town = email WHERE id = 1
SELECT town FROM people
UPDATE people SET name = ssn, town = card
SELECT name, town FROM people
UPDATE orders SET item = p.email FROM people p WHERE p.id = orders.person
SELECT item FROM orders
INSERT INTO orders (id, item) SELECT 200 + id, encode(email::bytea, 'hex') FROM people
SELECT item FROM orders WHERE id > 200
MERGE INTO scratch s USING people p ON s.id = p.id WHEN NOT MATCHED THEN INSERT (id, note) VALUES (p.id, p.email)
SELECT * FROM scratch
WITH x AS (INSERT INTO scratch (note) SELECT ssn FROM people RETURNING note) SELECT note FROM x
CREATE MATERIALIZED VIEW held AS SELECT email AS e FROM people
SELECT e FROM held
CREATE VIEW seen AS SELECT email AS e, salary + 0 AS s FROM people
SELECT e, s FROM seen
SELECT e || '' FROM seen
CREATE FUNCTION fetched() RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM people WHERE id = 1'
SELECT fetched()
SELECT upper(fetched())
ALTER TABLE people RENAME COLUMN email TO note
SELECT note FROM people
ALTER TABLE people RENAME TO folk
SELECT email FROM folk
SELECT ssn || '' FROM folk
ALTER TABLE people SET SCHEMA pg_temp
CREATE SCHEMA other
ALTER TABLE people SET SCHEMA other
SELECT email FROM other.people
ALTER TABLE people ADD COLUMN spare text GENERATED ALWAYS AS (email) STORED
SELECT spare FROM people
ALTER TABLE people ALTER COLUMN town TYPE text USING email
SELECT town FROM people
CREATE TABLE inheriting () INHERITS (people)
SELECT * FROM inheriting
CREATE TABLE like_it (LIKE people INCLUDING ALL)
INSERT INTO like_it SELECT * FROM people
SELECT email FROM like_it
CREATE RULE spy AS ON UPDATE TO scratch DO ALSO SELECT email FROM people
UPDATE scratch SET note = 'x' WHERE id = 1

-- names, settings, sequences and notifications as carriers, approved
SELECT set_config('my.carrier', (SELECT email FROM people WHERE id = 1), false)
SELECT current_setting('my.carrier', true)
SELECT setval('carrier', (SELECT salary FROM people WHERE id = 1))
SELECT last_value FROM carrier
SELECT nextval('carrier')
SELECT pg_notify('carrier', email) FROM people
SELECT setval('carrier', ascii(substr(email, 1, 1))) FROM people WHERE id = 1
SELECT pg_advisory_lock(salary) FROM people
SELECT objid FROM pg_locks WHERE locktype = 'advisory'
SELECT lo_from_bytea(0, photo) FROM people
SELECT dblink_connect('x', email) FROM people
SELECT * FROM dblink('dbname=postgres', 'SELECT email FROM people') AS t (e text)
DO $$ BEGIN EXECUTE format('CREATE TABLE %I (id int)', (SELECT email FROM people WHERE id = 1)); END $$
DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM people WHERE id = 1); END $$
SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY oid DESC LIMIT 5
COMMENT ON TABLE scratch IS 'x'
SELECT obj_description('scratch'::regclass)
SECURITY LABEL ON TABLE scratch IS 'x'
CREATE TYPE carried AS ENUM ('x')
ALTER SYSTEM SET cluster_name = 'x'
SET my.carrier = 'x'
SHOW my.carrier
SELECT pg_read_file('postgresql.conf')
SELECT pg_ls_dir('.')
CALL loud(1)
LISTEN carrier
LOCK TABLE people IN ACCESS EXCLUSIVE MODE

-- inheritance and partitions: what masks the parent masks the child
SELECT ssn FROM heir
SELECT ssn || '' FROM heir
SELECT * FROM parent
SELECT ssn FROM ONLY parent
SELECT ssn FROM parted_one
SELECT upper(ssn) FROM parted
SELECT row_to_json(h) FROM heir h

-- text that is read in more than one way
SELECT email/**/FROM/**/people
SELECT U&"\0065mail" FROM people
SELECT U&"!0065mail" UESCAPE '!' FROM people
SELECT "Email" FROM people
SELECT EMAIL FROM PEOPLE
select/* from orders */ email from people -- from orders
SELECT 'a\' AS x, email FROM people --'
SELECT $$a$$ || email FROM people
SELECT E'\'' || email FROM people
SELECT email FROM public.people TABLESAMPLE BERNOULLI (100)
SELECT people.email FROM orders people_, people
SELECT orders.email FROM people AS orders
SELECT o.ssn FROM people o LEFT JOIN orders people ON true
SELECT (((email))) FROM ((people))
SELECT email COLLATE "C" FROM people
SELECT ((SELECT p) ::people).email FROM people p
SELECT (ARRAY[email])[1], (ARRAY[email])[1:1] FROM people
SELECT email IS DISTINCT FROM NULL AND true, email::varchar(5), email::name, email::bpchar FROM people
SELECT * FROM people ORDER BY 1 FETCH FIRST 1 ROW WITH TIES
SELECT x.* FROM ROWS FROM (everyone(), generate_series(1, 2)) AS x
SELECT * FROM orders RIGHT JOIN people USING (id)
SELECT * FROM people CROSS JOIN LATERAL (SELECT people.email AS again) z
