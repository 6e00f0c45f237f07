-- the plain column, under any name
SELECT email FROM people
SELECT email AS town, ssn AS id, card AS item FROM people
SELECT `email` `x` FROM `people`
SELECT email 'town' FROM people
TABLE people
SELECT * FROM people
SELECT p.* FROM people AS p
SELECT people.*, 1 FROM people
SELECT STRAIGHT_JOIN SQL_NO_CACHE email FROM people FORCE INDEX (PRIMARY)
SELECT EMAIL, Ssn FROM People
SELECT EMAIL, Ssn FROM people
SELECT e FROM (SELECT email AS e FROM people) x
SELECT ALL email, salary, born FROM people PARTITION (p0)
SELECT email FROM people FOR SYSTEM_TIME ALL

-- encoded
SELECT HEX(email) FROM people
SELECT TO_BASE64(email) FROM people
SELECT UNHEX(HEX(email)), FROM_BASE64(TO_BASE64(ssn)) FROM people
SELECT MD5(email), SHA2(email, 256), CRC32(email) FROM people
SELECT HEX(salary), BIN(salary), CONV(salary, 10, 36), OCT(salary) FROM people
SELECT QUOTE(email), FORMAT(salary, 0), LPAD(salary, 20, '0') FROM people
SELECT COMPRESS(email), UNCOMPRESS(COMPRESS(email)) FROM people
SELECT AES_DECRYPT(AES_ENCRYPT(email, 'k'), 'k') FROM people
SELECT ENCODE(email, ''), DECODE(ENCODE(email, 'k'), 'k') FROM people
SELECT photo, CAST(photo AS char), HEX(photo) FROM people
SELECT CONVERT(email USING utf8mb4), CONVERT(email, binary), CAST(email AS char(5)) FROM people
SELECT BINARY email, email COLLATE utf8mb4_bin, _utf8mb4 'x' FROM people
SELECT WEIGHT_STRING(email), SOUNDEX(email) FROM people
SELECT INET_NTOA(salary), SEC_TO_TIME(salary), FROM_UNIXTIME(salary), FROM_DAYS(salary) FROM people
SELECT MAKETIME(salary, 0, 0), MAKEDATE(2000, salary % 366) FROM people
SELECT EXPORT_SET(salary, '1', '0', '', 32), MAKE_SET(3, email, ssn) FROM people

-- turned around and cut up
SELECT REVERSE(email) FROM people
SELECT REVERSE(REVERSE(email)), UPPER(ssn), LCASE(email) FROM people
SELECT LEFT(email, 8), RIGHT(email, 12) FROM people
SELECT SUBSTRING_INDEX(email, '@', 1), SUBSTRING_INDEX(email, '@', -1) FROM people
SELECT MID(email, 1, 3), SUBSTR(email FROM 4 FOR 3) FROM people
SELECT REPLACE(email, '@', ' at '), INSERT(email, 1, 0, '!'), TRIM(LEADING 'z' FROM email) FROM people
SELECT REGEXP_REPLACE(email, '^', '!'), REGEXP_SUBSTR(email, '.*') FROM people
SELECT CONCAT(email, ''), CONCAT_WS('-', email, ssn) FROM people
SELECT SUBSTR(email, seq, 1) FROM people, seq_1_to_30 WHERE id = 1
SELECT ASCII(SUBSTR(email, 1, 1)), ORD(SUBSTR(email, 2, 1)), ASCII(SUBSTR(email, 3, 1)), ASCII(SUBSTR(email, 4, 1)), ASCII(SUBSTR(email, 5, 1)), ASCII(SUBSTR(email, 6, 1)), ASCII(SUBSTR(email, 7, 1)), ASCII(SUBSTR(email, 8, 1)), ASCII(SUBSTR(email, 9, 1)), ASCII(SUBSTR(email, 10, 1)), ASCII(SUBSTR(email, 11, 1)) FROM people WHERE id = 1
SELECT CHAR(ASCII(SUBSTR(ssn, seq, 1))) FROM people, seq_1_to_9 WHERE id = 2
SELECT ELT(1, email), FIELD('x', email), LOCATE('k', email), INSTR(email, '@') FROM people
SELECT LENGTH(email), CHAR_LENGTH(ssn), STRCMP(email, 'm') FROM people

-- letter by letter, a request each
SELECT SUBSTR(email, 1, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 2, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 3, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 4, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 6, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 7, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 8, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 9, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 10, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 11, 1) FROM people WHERE id = 1

-- warnings and conversions that fail
SELECT email + 0 FROM people
SELECT id FROM people WHERE email = 0
SELECT COUNT(*) FROM people WHERE email = 0
SHOW WARNINGS
SHOW ERRORS
SHOW COUNT(*) WARNINGS
SELECT CAST(email AS unsigned) FROM people
SELECT CAST(email AS date), CAST(ssn AS decimal), CAST(email AS datetime) FROM people
SELECT DATE(email), STR_TO_DATE(email, '%Y'), TIME(ssn) FROM people
SELECT -email, email * 1, ssn / 2, email DIV 1, email XOR 1 FROM people
SELECT SUM(email), AVG(ssn), STD(email) FROM people
SELECT JSON_VALID(email), JSON_EXTRACT(email, '$') FROM people
SELECT JSON_VALUE(notes, email), JSON_EXTRACT(notes, CONCAT('$.', email)) FROM people
SELECT EXTRACTVALUE(1, CONCAT(0x7e, email)) FROM people
SELECT UPDATEXML(1, CONCAT(0x7e, ssn), 1) FROM people
SELECT EXTRACTVALUE('<a/>', CONCAT('/', (SELECT email FROM people LIMIT 1)))
SELECT UNHEX(email), CHAR(salary USING utf8mb4), CONV(email, 36, 10) FROM people
SELECT ST_GeomFromText(email) FROM people
SELECT INET_ATON(email), INET6_ATON(ssn), CAST(email AS inet6) FROM people
SELECT UUID_TO_BIN(email), BIN_TO_UUID(ssn) FROM people
SELECT email REGEXP CONCAT(email, '('), 'x' RLIKE CONCAT(ssn, '[') FROM people
SELECT 'x' LIKE 'y' ESCAPE email FROM people
SELECT EXP(salary), POW(salary, salary), ~0 + salary FROM people
SELECT CONVERT_TZ(NOW(), email, 'UTC'), PERIOD_ADD(email, 1) FROM people
SELECT REPEAT('x', salary), SPACE(salary), LPAD('x', salary, 'y') FROM people
SELECT SLEEP(0), BENCHMARK(1, email), GET_FORMAT(DATE, 'USA') FROM people WHERE id = 1
SELECT NAME_CONST(email, 1) FROM people
SELECT LOAD_FILE(email), LAST_INSERT_ID(salary) FROM people
SELECT COLUMN_GET(email, 'x' AS char), COLUMN_CREATE('x', email), COLUMN_JSON(COLUMN_CREATE('x', email)) FROM people
SELECT (SELECT email FROM people) = 1
SELECT (SELECT id, email FROM people LIMIT 1)
SELECT 1 FROM people GROUP BY CONCAT(email, FLOOR(RAND(0) * 2)) HAVING MIN(0)
SELECT COUNT(*), CONCAT((SELECT email FROM people LIMIT 1), 0x3a, FLOOR(RAND(0) * 2)) x FROM information_schema.tables GROUP BY x
SELECT 1 FROM people ORDER BY email + 0
SELECT 1 FROM people LIMIT 1 PROCEDURE ANALYSE(EXTRACTVALUE(1, CONCAT(0x7e, (SELECT email FROM people LIMIT 1))), 1)
SELECT * FROM people PROCEDURE ANALYSE()
SELECT email FROM people PROCEDURE ANALYSE(10, 2000)

-- json and rows
SELECT JSON_OBJECT('town', email) FROM people
SELECT JSON_ARRAY(email, ssn) FROM people
SELECT JSON_ARRAYAGG(email), JSON_OBJECTAGG(id, ssn) FROM people
SELECT notes, JSON_VALUE(notes, '$.pin'), JSON_QUERY(notes, '$.x'), JSON_EXTRACT(notes, '$.x[1].deep') FROM people
SELECT JSON_UNQUOTE(JSON_QUOTE(email)), JSON_COMPACT(notes), JSON_DETAILED(notes), JSON_LOOSE(notes) FROM people
SELECT JSON_SEARCH(notes, 'all', 'pin%'), JSON_KEYS(notes), JSON_MERGE(notes, '{}'), JSON_SET('{}', '$.a', email) FROM people
SELECT j.v FROM people, JSON_TABLE(notes, '$' COLUMNS (v varchar(80) PATH '$.pin')) j
SELECT j.v FROM people, JSON_TABLE(JSON_OBJECT('a', email), '$' COLUMNS (v varchar(80) PATH '$.a')) j
SELECT born, YEAR(born), DATE_FORMAT(born, '%Y%m%d'), DATEDIFF(born, '1900-01-01'), born + 0, TO_DAYS(born), UNIX_TIMESTAMP(born) FROM people
SELECT DATE_ADD(born, INTERVAL 1 DAY), LAST_DAY(born), ADDDATE(born, 0) FROM people

-- aggregates and windows
SELECT GROUP_CONCAT(email) FROM people
SELECT GROUP_CONCAT(DISTINCT email ORDER BY id SEPARATOR '') FROM people
SELECT MAX(email), MIN(ssn), MAX(salary), SUM(salary), AVG(salary) FROM people
SELECT MIN(salary) FROM people GROUP BY id
SELECT BIT_XOR(salary), BIT_OR(salary), BIT_AND(salary) FROM people WHERE id = 1
SELECT FIRST_VALUE(email) OVER (ORDER BY id), LAG(ssn) OVER (ORDER BY id), NTH_VALUE(card, 2) OVER (ORDER BY id) FROM people
SELECT MEDIAN(salary) OVER (PARTITION BY id), PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY salary) OVER (PARTITION BY id) FROM people
SELECT email FROM people GROUP BY email WITH ROLLUP
SELECT DISTINCT email FROM people
SELECT GREATEST(email, ''), LEAST(email, 'zzzz'), COALESCE(email, ''), NULLIF(email, ''), IFNULL(email, ''), IF(1, email, ''), NVL(email, ''), NVL2(1, email, '') FROM people
SELECT CASE WHEN id = 1 THEN email ELSE '' END, DECODE_ORACLE(1, 1, email) FROM people
SELECT ANY_VALUE(email), MAX(CONCAT(email)) FROM people
SELECT COUNT(DISTINCT email), COUNT(email) FROM people

-- views
SELECT * FROM directory
SELECT contact FROM directory
SELECT CONCAT(contact, ''), label, twice / 2 FROM directory
SELECT * FROM by_way_of
SELECT CONCAT(a, b), c + 0 FROM by_way_of
SELECT LOWER(a) FROM by_way_of
SELECT * FROM totals
SELECT mails, salaries / people FROM totals
SELECT (SELECT label FROM directory WHERE id = 1)
SELECT label FROM directory UNION SELECT town FROM people

-- routines of their own
SELECT contact_of(1)
SELECT CONCAT(contact_of(id), '') FROM people
SELECT contact_of(person) FROM orders
SELECT loud(1)
SELECT loud(person) FROM orders
CALL everyone()
CALL everyone
DO contact_of(1)
SET @x = contact_of(1)
SELECT @x

-- CTEs and subqueries
WITH x AS (SELECT email AS e FROM people) SELECT e FROM x
WITH x (town) AS (SELECT email FROM people) SELECT town FROM x
WITH RECURSIVE r (n, s) AS (SELECT 1, email FROM people WHERE id = 1 UNION ALL SELECT n + 1, CONCAT(s, n) FROM r WHERE n < 3) SELECT s FROM r
SELECT (SELECT email FROM people WHERE id = 1)
SELECT o.id, (SELECT MAX(p.salary) FROM people p WHERE p.id = o.person) FROM orders o LIMIT 3
SELECT town FROM (SELECT email AS town FROM people) people
WITH people AS (SELECT id AS email, email AS id FROM people) SELECT id FROM people
SELECT id FROM (SELECT p.email AS id FROM people p JOIN orders o ON o.person = p.id) AS orders
SELECT orders.email FROM people AS orders
SELECT email FROM people NATURAL JOIN (SELECT id FROM orders) o
SELECT * FROM orders RIGHT JOIN people USING (id)
SELECT MIN(x) FROM (SELECT email x FROM people UNION ALL SELECT ssn FROM people) y
SELECT x.* FROM (SELECT * FROM people) x
SELECT * FROM (VALUES (1), ((SELECT email FROM people WHERE id = 1))) v

-- set operations
SELECT town FROM people UNION ALL SELECT email FROM people
SELECT 'x' UNION SELECT ssn FROM people
SELECT email FROM people EXCEPT SELECT 'nobody'
SELECT email FROM people INTERSECT SELECT email FROM people
SELECT 1, NULL UNION ALL SELECT id, email FROM people
(SELECT town FROM people LIMIT 1) UNION ALL (SELECT card FROM people LIMIT 1)
VALUES (1, 2) UNION SELECT id, email FROM people

-- inference by what is returned
SELECT id, salary % 10, salary DIV 10 % 10, salary >> 3 FROM people
SELECT id, email = (SELECT MAX(email) FROM people), email LIKE 'm%', email REGEXP '^m' FROM people
SELECT id, email <=> NULL, ISNULL(email), INTERVAL(salary, 1, 10) FROM people

-- variables, files, handlers
SELECT email INTO @x FROM people WHERE id = 1
SELECT @x
SELECT @y := email FROM people
SELECT @y
SET @z = (SELECT email FROM people WHERE id = 1)
SELECT @z, CONCAT(@z, '')
SELECT @a := GROUP_CONCAT(email) FROM people
SELECT @b := 1, email INTO @c, @d FROM people LIMIT 1
SET SESSION sql_mode = (SELECT email FROM people WHERE id = 1)
SET @@session.lc_messages = (SELECT email FROM people WHERE id = 1)
SELECT email FROM people INTO OUTFILE '/tmp/portcullis-never'
SELECT email FROM people LIMIT 1 INTO DUMPFILE '/tmp/portcullis-never'
HANDLER people OPEN
HANDLER people READ FIRST
HANDLER people READ `PRIMARY` = (1)
LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE scratch
PREPARE s FROM 'SELECT email FROM people'
EXECUTE s
EXECUTE IMMEDIATE 'SELECT email FROM people'
EXECUTE IMMEDIATE CONCAT('SELECT ', (SELECT email FROM people WHERE id = 1))
BEGIN NOT ATOMIC SELECT email FROM people; END
SELECT 1; SELECT email FROM people
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'x'

-- EXPLAIN, statistics, traces, the processes of others
EXPLAIN EXTENDED SELECT * FROM people WHERE email = (SELECT email FROM people WHERE id = 1)
EXPLAIN FORMAT=JSON SELECT email FROM people WHERE id = 1
EXPLAIN FORMAT=JSON SELECT * FROM people WHERE id = 1 AND email = contact_of(1)
ANALYZE FORMAT=JSON SELECT email FROM people
ANALYZE SELECT email FROM people
SELECT * FROM mysql.column_stats
SELECT min_value, max_value, histogram FROM mysql.column_stats WHERE table_name = 'people'
SELECT CONCAT(min_value, ''), DECODE_HISTOGRAM(hist_type, histogram) FROM mysql.column_stats
SET optimizer_trace = 'enabled=on'
SELECT * FROM information_schema.optimizer_trace
SELECT trace FROM information_schema.optimizer_trace
SHOW FULL PROCESSLIST
SELECT info FROM information_schema.processlist
SELECT sql_text FROM performance_schema.events_statements_history
SELECT argument FROM mysql.general_log
SELECT sql_text FROM mysql.slow_log
SHOW INDEX FROM people
SHOW CREATE VIEW directory
SHOW PROFILES
SHOW TABLE STATUS LIKE 'people'
SELECT * FROM information_schema.innodb_buffer_page LIMIT 1
CHECKSUM TABLE people EXTENDED
HELP 'people'
DESCRIBE people

-- changes, approved
DELETE FROM orders WHERE id = 3 RETURNING (SELECT email FROM people WHERE id = 1)
DELETE FROM people WHERE id = 3 RETURNING email
INSERT INTO people (id, email) VALUES (90, 'x') RETURNING (SELECT email FROM people WHERE id = 1)
INSERT INTO orders (id, item) VALUES (91, 'x') RETURNING (SELECT MAX(ssn) FROM people) AS item
REPLACE INTO people (id, email) VALUES (92, 'y') RETURNING *
INSERT INTO people (id, email) SELECT 80, email FROM people WHERE id = 1
INSERT INTO people (id, email) SELECT id, email FROM people
UPDATE people SET id = 1 WHERE id = 2
UPDATE people SET salary = 2000000001 WHERE id = 1
UPDATE people SET salary = salary + 900000000 WHERE id = 1
UPDATE people SET salary = salary * 10000 WHERE id = 1
UPDATE people SET salary = email WHERE id = 1
UPDATE people SET born = email WHERE id = 1
UPDATE people SET town = 'x' WHERE email = 0
DELETE FROM scratch WHERE (SELECT email FROM people WHERE id = 1) = 0
DELETE FROM people WHERE id = 1
ALTER TABLE people MODIFY email int
ALTER TABLE people MODIFY salary tinyint
ALTER TABLE people ADD CONSTRAINT small CHECK (salary < 10)
ALTER TABLE people ADD UNIQUE (town)
CREATE UNIQUE INDEX one ON people (boss, town)

-- put elsewhere, approved
CREATE TABLE copied AS SELECT email AS e, ssn AS s FROM people
SELECT e, s FROM copied
CREATE TEMPORARY TABLE gone_soon SELECT * FROM people
SELECT email FROM gone_soon
CREATE TABLE like_it LIKE people
INSERT INTO like_it SELECT * FROM people
SELECT email FROM like_it
INSERT INTO scratch (note) SELECT email FROM people
SELECT note FROM scratch
INSERT INTO scratch SET number = (SELECT salary FROM people WHERE id = 1)
SELECT number FROM scratch
UPDATE people SET town = email WHERE id = 1
SELECT town FROM people
UPDATE people SET name = ssn, town = card
SELECT name, town FROM people
UPDATE orders o JOIN people p ON p.id = o.person SET o.item = p.email
SELECT item FROM orders
UPDATE orders, people SET item = email WHERE people.id = person
SELECT item FROM orders
INSERT INTO orders (id, item) SELECT 200 + id, HEX(email) FROM people
SELECT item FROM orders WHERE id > 200
INSERT INTO scratch (id, note) VALUES (1, 'x') ON DUPLICATE KEY UPDATE note = (SELECT email FROM people WHERE id = 1)
REPLACE INTO scratch (id, note) SELECT id, ssn FROM people
SELECT * FROM scratch
CREATE VIEW seen AS SELECT email AS e, salary + 0 AS s FROM people
SELECT e, s FROM seen
SELECT CONCAT(e, '') FROM seen
ALTER TABLE people RENAME COLUMN email TO note
SELECT note FROM people
ALTER TABLE people CHANGE email note varchar(80)
SELECT note FROM people
RENAME TABLE people TO folk
ALTER TABLE people RENAME TO folk
ALTER TABLE people RENAME folk
SELECT email FROM folk
SELECT CONCAT(ssn, '') FROM folk
ALTER TABLE people ADD COLUMN spare varchar(80) AS (email) VIRTUAL
SELECT spare FROM people
ALTER TABLE people ADD COLUMN more varchar(80) DEFAULT (email)
SELECT more FROM people
ALTER TABLE people EXCHANGE PARTITION p0 WITH TABLE copied
CREATE TABLE linked (e varchar(80)) ENGINE=MERGE UNION=(people)

-- names, settings and sequences as carriers, approved
SELECT SETVAL(carrier, (SELECT salary FROM people WHERE id = 1))
SELECT LASTVAL(carrier)
SELECT NEXT VALUE FOR carrier
SELECT PREVIOUS VALUE FOR carrier
SELECT * FROM carrier
SELECT GET_LOCK(email, 0) FROM people WHERE id = 1
SELECT * FROM information_schema.metadata_lock_info
ALTER TABLE scratch COMMENT = 'x'
SELECT table_comment FROM information_schema.tables WHERE table_name = 'scratch'
SET STATEMENT max_statement_time = 1 FOR SELECT email FROM people

-- text that is read in more than one way
SELECT/*!50000 email*/ FROM people
SELECT /*!99999 1, */ email FROM people
SELECT /*M!100000 email, */ id FROM people
SELECT email/**/FROM/**/people
SELECT id, email FROM people -- x
SELECT id,email FROM people--x
SELECT id, email FROM people # x
SELECT 'a\' AS x, email FROM people #'
SELECT "email", email FROM people
SELECT `email`FROM`people`
SELECT email.email FROM people email
SELECT {fn CONCAT(email, '')} FROM people
SELECT {d '2024-01-01'}, email FROM people
SELECT (((email))) FROM ((people))
SELECT N'x', x'41', b'1', email FROM people
SELECT people . email FROM people
SELECT .1e1, email FROM people
SELECT 1 AS `a``b`, email FROM people
SELECT email FROM people, (SELECT 1) AS people2
