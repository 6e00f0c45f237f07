CREATE TABLE people (
    id int PRIMARY KEY, name varchar(40), email varchar(80) UNIQUE, card varchar(40), ssn varchar(20), salary int CHECK (salary < 2000000000),
    born date, notes json, photo blob, town varchar(40), boss int
);
INSERT INTO people VALUES
    (1, 'Ann', 'mira.kessel@corp.example', '4539578763621486', 'ZQ714093K', 1731902377, '1971-03-19', '{"pin": "pin-keslerov-88", "x": [1, {"deep": "vault-mirabel"}]}', 'photo-of-brisbane', 'Jena', NULL),
    (2, 'Bo', 'tovar.ilk@corp.example', '4024007103939509', 'WX620481P', 1264813945, '1964-11-02', '{"pin": "pin-tovarski-31", "x": []}', 'photo-of-cordoba', 'Ulm', 1),
    (3, 'Cy', 'oda.brandt@corp.example', '4916338506082832', 'YT380957M', 1518377611, '1988-07-27', '{"pin": "pin-brandtner-59"}', 'photo-of-delhi', 'Jena', 1);
CREATE TABLE orders (id int PRIMARY KEY, person int, item varchar(80), price decimal(10, 2), at datetime, FOREIGN KEY (person) REFERENCES people (id));
INSERT INTO orders SELECT seq, 1 + seq % 3, CONCAT('item ', seq), seq * 1.25, '2024-01-01' + INTERVAL seq DAY FROM seq_1_to_40;
CREATE TABLE scratch (id int, note varchar(200), number bigint);
CREATE SEQUENCE carrier;
CREATE VIEW directory AS SELECT id, email AS contact, CONCAT(UPPER(email), ' in ', town) AS label, salary * 2 AS twice, town FROM people;
CREATE VIEW by_way_of (a, b, c) AS SELECT contact, label, twice FROM directory;
CREATE VIEW totals AS SELECT town, COUNT(*) AS people, SUM(salary) AS salaries, GROUP_CONCAT(email) AS mails FROM people GROUP BY town;
CREATE VIEW towns AS SELECT DISTINCT town FROM people;
CREATE FUNCTION contact_of(x int) RETURNS varchar(80) READS SQL DATA RETURN (SELECT email FROM people WHERE id = x);
CREATE FUNCTION loud(x int) RETURNS int READS SQL DATA BEGIN DECLARE m varchar(200); SELECT CONCAT('mail is ', email) INTO m FROM people WHERE id = x; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = m; RETURN 1; END;
CREATE PROCEDURE everyone() READS SQL DATA SELECT email, ssn FROM people;
ANALYZE TABLE people PERSISTENT FOR ALL;
