CREATE TABLE people (
    id integer PRIMARY KEY, name varchar(60), email varchar(60) UNIQUE, card varchar(60), ssn varchar(60),
    salary integer CHECK (salary < 2000000000), born date, notes json, tags text, photo blob, town varchar(60), boss integer,
    FULLTEXT KEY words (email, ssn)
);
INSERT INTO people VALUES
    (1, 'Ann', 'mira.kessel@corp.example', '4539578763621486', 'ZQ714093K', 1731902377, '1971-03-19', '{"pin": "pin-keslerov-88", "x": [1, {"deep": "vault-mirabel"}]}', 'tag-orlander,tag-wisteria', 'photo-of-brisbane', 'Jena', NULL),
    (2, 'Bo', 'tovar.ilk@corp.example', '4024007103939509', 'WX620481P', 1264813945, '1964-11-02', '{"pin": "pin-tovarski-31", "x": []}', 'tag-quillfern', 'photo-of-cordoba', 'Ulm', 1),
    (3, 'Cy', 'oda.brandt@corp.example', '4916338506082832', 'YT380957M', 1518377611, '1988-07-27', '{"pin": "pin-brandtner-59"}', '', 'photo-of-delhi', 'Jena', 1);
CREATE TABLE orders (id integer PRIMARY KEY, person integer, item text, price decimal(10, 2), at datetime, FOREIGN KEY (person) REFERENCES people (id));
INSERT INTO orders SELECT seq, 1 + seq % 3, CONCAT('item ', seq), seq * 1.25, '2024-01-01' + INTERVAL seq DAY FROM seq_1_to_40;
CREATE TABLE scratch (id integer, note text, number bigint);
CREATE TABLE counter (id bigint AUTO_INCREMENT PRIMARY KEY, note text);
CREATE TABLE codes (code varchar(60) PRIMARY KEY, small tinyint, moment datetime, kind enum('a', 'b'), CHECK (small < 100));
CREATE TABLE badges (id integer, ssn varchar(60), shown varchar(60) AS (REVERSE(ssn)) VIRTUAL, kept varchar(90) AS (CONCAT(shown, '!')) PERSISTENT, town varchar(60), hidden varchar(60) INVISIBLE DEFAULT (ssn));
INSERT INTO badges (id, ssn, town) VALUES (1, 'KV558120J', 'Bonn');
CREATE TABLE log (what text) ENGINE=Aria TRANSACTIONAL=0;
CREATE SEQUENCE carrier;
CREATE VIEW directory AS SELECT id, email AS contact, CONCAT(UPPER(email), ' in ', town) AS label, salary * 2 AS twice, town FROM people;
CREATE VIEW by_way_of (a, b, c) AS SELECT contact, label, twice FROM directory;
CREATE VIEW totals AS SELECT town, COUNT(*) AS people, SUM(salary) AS salaries, GROUP_CONCAT(email SEPARATOR ';') AS mails FROM people GROUP BY town;
CREATE ALGORITHM=TEMPTABLE VIEW held AS SELECT id, LOWER(email) AS mail, ssn FROM people;
CREATE VIEW both_of AS SELECT town AS x FROM people UNION ALL SELECT email FROM people;
CREATE VIEW towns AS SELECT DISTINCT town FROM people;
CREATE FUNCTION contact_of(who integer) RETURNS text READS SQL DATA RETURN (SELECT email FROM people WHERE id = who);
CREATE FUNCTION town_of(who integer) RETURNS text READS SQL DATA RETURN (SELECT town FROM people WHERE id = who);
CREATE FUNCTION spelled(who integer) RETURNS text READS SQL DATA BEGIN DECLARE found text; SELECT REVERSE(ssn) INTO found FROM people WHERE id = who; RETURN found; END;
CREATE FUNCTION loud(who integer) RETURNS integer READS SQL DATA BEGIN DECLARE words text; SELECT CONCAT('mail is ', email) INTO words FROM people WHERE id = who; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = words; RETURN 1; END;
CREATE FUNCTION chatty(who integer) RETURNS integer READS SQL DATA BEGIN DECLARE words text; SELECT CONCAT('mail is ', email) INTO words FROM people WHERE id = who; SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = words; RETURN who; END;
CREATE PROCEDURE everyone() READS SQL DATA SELECT * FROM people;
CREATE PROCEDURE tell(OUT told text) READS SQL DATA SELECT email INTO told FROM people WHERE id = 1;
CREATE TRIGGER greedy BEFORE INSERT ON codes FOR EACH ROW BEGIN DECLARE words text; IF NEW.code = 'boom' THEN SELECT CONCAT('mail is ', email) INTO words FROM people WHERE id = 2; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = words; END IF; END;
ANALYZE TABLE people, orders PERSISTENT FOR ALL;
