-- Tables: schemas found, columns known
SELECT id, email FROM customers
SELECT * FROM customers
SELECT c.* FROM customers c
SELECT email FROM customers, orders
SELECT total FROM customers, orders
SELECT * FROM customers JOIN orders USING (id)
SELECT ctid, c FROM customers c
SELECT nowhere FROM customers
SELECT body FROM notes
SELECT body FROM hidden.notes
SELECT body FROM "hidden.notes"
SELECT x FROM unheard_of
SELECT relname FROM pg_class
WITH customers AS (SELECT 1 AS email) SELECT email FROM customers
SELECT card FROM orders_2024
SELECT card FROM orders_all
SELECT note FROM ONLY orders_all

-- Views
SELECT mail FROM people
SELECT * FROM people
SELECT upper(mail) FROM people p WHERE p.id = 3
SELECT id FROM people WHERE mail = 'x'
SELECT shout FROM loud_people
SELECT p FROM people p
SELECT id FROM ticking
SELECT id FROM one_of_two
SELECT id FROM two_of_one
SELECT id FROM unseen
SELECT id FROM unreadable
SELECT id FROM remote_orders
EXPLAIN SELECT id FROM ticking
EXPLAIN SELECT id FROM clearing_view
UPDATE people SET mail = 'x' WHERE id = 1 RETURNING mail
DELETE FROM people WHERE id = 1

-- Row security and columns computed when read
SELECT id FROM guarded
SELECT id FROM guarded_by_stranger
SELECT id FROM computing

-- Rules, triggers, defaults
SELECT id FROM ruled
INSERT INTO ruled VALUES (1)
INSERT INTO triggered VALUES (1)
INSERT INTO defaulting VALUES (1)

-- Routines
SELECT harmless_sum(1, 2)
SELECT total_of(1) FROM notes
SELECT clearing()
SELECT calls_clearing()
SELECT in_plpgsql(1)
SELECT public.in_plpgsql(1)
SELECT vouched_for(1), email FROM customers
SELECT other.vouched_for(1)
SELECT nobody_knows(1)
SELECT lower('X')
SELECT pg_catalog.lower('X')
SELECT lower(email) FROM customers
SELECT upper('X')
SELECT away.upper('X')
SELECT similarity('a', 'b')
SELECT best(id) FROM customers
SELECT worst(id) FROM customers
SELECT c.in_plpgsql FROM customers c
SELECT (c).in_plpgsql FROM customers c
SELECT c.email FROM customers c
SELECT d.email FROM (SELECT 1 AS email) d
SELECT "pg_catalog.lower"('x')
SELECT with_own_path()
SELECT looping(1)
SELECT 1; SELECT body FROM notes
SELECT 1; SELECT away('x')

-- Operators, casts, domains
SELECT 1 + 1
SELECT 1 @@@ 2
SELECT 1 <<>> 2
SELECT spot + 1 FROM places
SELECT spot FROM places ORDER BY spot
SELECT spot::text FROM places
SELECT '1'::checked
SELECT CAST('1' AS public.checked)
SELECT checked '1'
SELECT * FROM json_to_record('{}') AS x(a checked)
SELECT NULL::with_checked
SELECT amount FROM with_checked
INSERT INTO with_checked VALUES (1)
SELECT '1'::fine
SELECT price FROM priced
