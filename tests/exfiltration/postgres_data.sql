CREATE TABLE people (
    id integer PRIMARY KEY, name text, email text UNIQUE, card text, ssn text, salary integer CHECK (salary < 2000000000),
    born date, notes jsonb, tags text[], photo bytea, town text, boss integer
);
INSERT INTO people VALUES
    (1, 'Ann', 'mira.kessel@corp.example', '4539578763621486', 'ZQ714093K', 1731902377, '1971-03-19', '{"pin": "pin-keslerov-88", "x": [1, {"deep": "vault-mirabel"}]}', '{tag-orlander,tag-wisteria}', 'photo-of-brisbane', 'Jena', NULL),
    (2, 'Bo', 'tovar.ilk@corp.example', '4024007103939509', 'WX620481P', 1264813945, '1964-11-02', '{"pin": "pin-tovarski-31", "x": []}', '{tag-quillfern}', 'photo-of-cordoba', 'Ulm', 1),
    (3, 'Cy', 'oda.brandt@corp.example', '4916338506082832', 'YT380957M', 1518377611, '1988-07-27', '{"pin": "pin-brandtner-59"}', '{}', 'photo-of-delhi', 'Jena', 1);
CREATE TABLE orders (id integer PRIMARY KEY, person integer REFERENCES people (id), item text, price numeric(10, 2), at timestamptz);
INSERT INTO orders SELECT n, 1 + n % 3, 'item ' || n, n * 1.25, timestamptz '2024-01-01 00:00Z' + n * interval '1 day' FROM generate_series(1, 40) n;
CREATE TABLE badges (id integer, ssn text, shown text GENERATED ALWAYS AS (reverse(ssn)) STORED, town text);
INSERT INTO badges (id, ssn, town) VALUES (1, 'KV558120J', 'Bonn');
CREATE TABLE scratch (id integer, note text, number bigint);
CREATE SEQUENCE carrier;
CREATE VIEW directory AS SELECT id, email AS contact, upper(email) || ' in ' || town AS label, salary * 2 AS twice, town FROM people;
CREATE VIEW by_way_of (a, b, c) AS SELECT contact, label, twice FROM directory;
CREATE VIEW totals AS SELECT town, count(*) AS people, sum(salary) AS salaries, string_agg(email, ';') AS mails FROM people GROUP BY town;
CREATE VIEW row_of AS SELECT people AS whole FROM people;
CREATE MATERIALIZED VIEW kept AS SELECT id, lower(email) AS mail, ssn FROM people;
CREATE VIEW towns AS SELECT DISTINCT town FROM people;
CREATE FUNCTION contact_of(integer) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM people WHERE id = $1';
CREATE FUNCTION everyone() RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people';
CREATE FUNCTION town_of(integer) RETURNS text LANGUAGE sql STABLE AS 'SELECT town FROM people WHERE id = $1';
CREATE FUNCTION chatty(integer) RETURNS integer LANGUAGE plpgsql STABLE AS
    $$ BEGIN RAISE NOTICE 'mail is %', (SELECT email FROM people WHERE id = $1); RETURN $1; END $$;
CREATE FUNCTION loud(integer) RETURNS integer LANGUAGE plpgsql STABLE AS
    $$ BEGIN RAISE EXCEPTION 'mail is %', (SELECT email FROM people WHERE id = $1); END $$;
CREATE FUNCTION reveal(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.email';
CREATE FUNCTION glue(text, people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1 || $2.email';
CREATE OPERATOR ##> (FUNCTION = glue, LEFTARG = text, RIGHTARG = people);
CREATE FUNCTION person_text(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.ssn';
CREATE TYPE wrapped AS (inner_text text);
CREATE FUNCTION wrap(people) RETURNS wrapped LANGUAGE sql STABLE AS 'SELECT ROW($1.card)::wrapped';
CREATE CAST (people AS wrapped) WITH FUNCTION wrap(people);
CREATE AGGREGATE gather(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE FUNCTION lower(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.email';
CREATE TABLE parent (id integer, ssn text, town text);
CREATE TABLE heir () INHERITS (parent);
INSERT INTO heir VALUES (1, 'KV558120J', 'Bonn');
CREATE TABLE parted (id integer, ssn text, town text) PARTITION BY LIST (town);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES IN ('Kiel');
INSERT INTO parted VALUES (1, 'LB227364H', 'Kiel');
COMMENT ON TABLE scratch IS 'for notes';
ANALYZE;
