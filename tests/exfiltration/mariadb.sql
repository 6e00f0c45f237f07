-- the plain column, under any name
SELECT email FROM people
SELECT email AS town, ssn AS id, card AS item FROM people
SELECT `email` "x" FROM `people`
SELECT email 'town' FROM people
SELECT * FROM people
SELECT p.* FROM people AS p
SELECT ALL email, salary, born FROM people
SELECT DISTINCTROW email FROM people
SELECT SQL_CALC_FOUND_ROWS HIGH_PRIORITY STRAIGHT_JOIN SQL_NO_CACHE email FROM people
SELECT people.email, people.ssn FROM people PARTITION (p0)
SELECT EMAIL, Ssn FROM people
SELECT id, email FROM people FOR SYSTEM_TIME ALL
SELECT * FROM people AS orders
SELECT orders.email FROM people AS orders

-- encoded
SELECT HEX(email), HEX(ssn) FROM people
SELECT TO_BASE64(email), TO_BASE64(ssn) FROM people
SELECT MD5(email), SHA1(email), SHA2(ssn, 256), CRC32(email), PASSWORD(email) FROM people
SELECT COMPRESS(email), UNCOMPRESS(COMPRESS(email)) FROM people
SELECT AES_DECRYPT(AES_ENCRYPT(email, 'k'), 'k') FROM people
SELECT DES_ENCRYPT(email), ENCODE(email, 'k'), DECODE(ENCODE(ssn, 'k'), 'k') FROM people
SELECT UNHEX(HEX(email)), FROM_BASE64(TO_BASE64(ssn)) FROM people
SELECT CONV(salary, 10, 36), CONV(CONV(salary, 10, 2), 2, 10), BIN(salary), OCT(salary) FROM people
SELECT FORMAT(salary, 0), FORMAT(salary, 2, 'de_DE') FROM people
SELECT photo, HEX(photo), CONVERT(photo USING utf8mb4) FROM people
SELECT QUOTE(email), QUOTE(ssn) FROM people
SELECT CONVERT(email USING utf16), CAST(email AS CHAR CHARACTER SET utf32), BINARY email FROM people
SELECT WEIGHT_STRING(email), HEX(WEIGHT_STRING(ssn)) FROM people
SELECT REPLACE(email, '@', '@'), REPLACE(ssn, 'x', 'y') FROM people
SELECT INET_NTOA(salary), SEC_TO_TIME(salary), FROM_UNIXTIME(salary), FROM_DAYS(salary / 10000) FROM people
SELECT URLENCODE(email), NATURAL_SORT_KEY(ssn) FROM people
SELECT COLUMN_GET(COLUMN_CREATE('a', email), 'a' AS char) FROM people
SELECT COLUMN_JSON(COLUMN_CREATE('town', email, 'id', ssn)) FROM people

-- turned around and cut up
SELECT REVERSE(email) FROM people
SELECT REVERSE(REVERSE(email)), UPPER(ssn), LCASE(ssn) FROM people
SELECT LEFT(email, 8), RIGHT(email, 12), MID(email, 2, 9) FROM people
SELECT SUBSTRING_INDEX(email, '@', 1), SUBSTRING_INDEX(email, '@', -1) FROM people
SELECT SUBSTRING(email FROM seq FOR 1) FROM people, seq_1_to_30 WHERE id = 1
SELECT SUBSTR(email, 1, 1), SUBSTR(email, 2, 1), SUBSTR(email, 3, 1), SUBSTR(email, 4, 1), SUBSTR(email, 5, 1), SUBSTR(email, 6, 1) FROM people
SELECT ASCII(SUBSTR(email, 1, 1)), ASCII(SUBSTR(email, 2, 1)), ORD(SUBSTR(email, 3, 1)), ORD(SUBSTR(email, 4, 1)) FROM people
SELECT CHAR(ASCII(SUBSTR(ssn, seq, 1)) USING utf8mb4) FROM people, seq_1_to_9 WHERE id = 2
SELECT REGEXP_REPLACE(email, '^', '!'), REGEXP_SUBSTR(email, '^[^@]+'), REGEXP_INSTR(email, '@') FROM people
SELECT INSERT(email, 1, 0, ''), LPAD(email, 60, '.'), RPAD(ssn, 60, ' '), TRIM(LEADING 'z' FROM email) FROM people
SELECT CONCAT(email, ''), CONCAT_WS('-', 'a', ssn), email ' ' FROM people
SELECT ELT(1, email), FIELD(email, 'a'), EXPORT_SET(5, email, ssn, ',', 4), MAKE_SET(1, email) FROM people
SELECT SOUNDEX(email), SPACE(LENGTH(email)), REPEAT(email, 2), STRCMP(email, 'm') FROM people
SELECT LOCATE('@', email), INSTR(email, 'k'), POSITION('.' IN email), FIND_IN_SET('tag-x', tags) FROM people
SELECT SFORMAT('{} {}', email, ssn) FROM people
SELECT TRANSLATE(email, 'abcdefgh', 'bcdefghi') FROM people
SELECT SUBSTRING_INDEX(tags, ',', 1), tags FROM people

-- letter by letter, a request each
SELECT SUBSTR(email, 1, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 2, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 3, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 4, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 5, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 6, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 7, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 8, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 9, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 10, 1) FROM people WHERE id = 1
SELECT SUBSTR(email, 11, 1) FROM people WHERE id = 1

-- casts that fail, and warnings of those that do not
SELECT CAST(email AS integer) FROM people
SELECT CAST(email AS unsigned), CONVERT(ssn, signed) FROM people
SELECT CAST(email AS date), CAST(ssn AS datetime), CAST(email AS time) FROM people
SELECT CAST(email AS decimal(10, 2)), CAST(ssn AS double) FROM people
SELECT CAST(email AS inet6), CAST(ssn AS uuid) FROM people
SELECT email + 0, ssn * 1, -card FROM people
SELECT email = 0, 0 <> ssn FROM people
SELECT id FROM people WHERE email = 0
SELECT id FROM people WHERE ssn < 5 OR card = 1
SELECT COUNT(*) FROM people WHERE email
SELECT COUNT(*) FROM people WHERE NOT email
SELECT id FROM people ORDER BY email + 0
SELECT COUNT(*) FROM people GROUP BY email + 0
SELECT COUNT(*) FROM people HAVING MAX(email + 0) > 5
SELECT STR_TO_DATE(email, '%Y-%m-%d') FROM people
SELECT DATE(email), YEAR(ssn), TIMESTAMP(email), DATE_ADD(email, INTERVAL 1 DAY) FROM people
SELECT TIME(email), SEC_TO_TIME(email), MAKETIME(email, 1, 1), TIMEDIFF(email, '1:1') FROM people
SELECT ADDTIME('1:1', email), DATE_FORMAT(email, '%Y'), CONVERT_TZ('2020-01-01', email, 'UTC') FROM people
SELECT SUM(email), AVG(ssn), BIT_OR(email) FROM people
SELECT email DIV 1, email % 2, email & 1, ~email FROM people
SELECT IF(email, 1, 0), IF(ssn, 'a', 'b') FROM people
SELECT email AND 1, email XOR 1, !ssn FROM people
SELECT SUBSTR('abc', email), LEFT('abc', ssn), REPEAT('a', email) FROM people
SELECT FROM_BASE64(email), UNHEX(ssn), UNCOMPRESS(email) FROM people
SELECT INET_ATON(email), INET6_ATON(ssn), INET6_NTOA(email) FROM people
SELECT BIN(email), CONV(email, 40, 10), CHAR(email), ELT(email, 'a') FROM people
SELECT email BETWEEN 1 AND 2, email IN (1, 2), GREATEST(email, 1) FROM people
SELECT id FROM people JOIN orders ON people.email = orders.id
SELECT id FROM people WHERE email = (SELECT MIN(price) FROM orders)
SELECT CASE email WHEN 1 THEN 2 END FROM people
SELECT born + INTERVAL email DAY, born + 0, TO_DAYS(born), DATE_FORMAT(born, '%Y%m%d') FROM people
SHOW WARNINGS
SHOW ERRORS
SHOW WARNINGS LIMIT 5

-- errors that quote
SELECT EXTRACTVALUE(1, CONCAT('~', email)) FROM people
SELECT EXTRACTVALUE(1, CONCAT(0x7e, (SELECT email FROM people LIMIT 1)))
SELECT UPDATEXML(1, CONCAT(0x7e, email), 1) FROM people
SELECT id FROM people WHERE UPDATEXML(1, CONCAT(0x7e, ssn), 1)
SELECT EXTRACTVALUE('<a/>', CONCAT('/', ssn, '[')) FROM people
SELECT email REGEXP CONCAT('(', email) FROM people
SELECT 'x' RLIKE CONCAT('[', ssn) FROM people
SELECT REGEXP_REPLACE('x', CONCAT('(', email), '') FROM people
SELECT ST_GeomFromText(email) FROM people
SELECT ST_GeomFromText(CONCAT('POINT(', email, ')')), ST_GeomFromWKB(ssn) FROM people
SELECT ST_GeomFromGeoJSON(email) FROM people
SELECT JSON_EXTRACT(email, '$.a'), JSON_VALID(email) FROM people
SELECT JSON_EXTRACT('{}', email), JSON_VALUE('{}', CONCAT('$.', ssn, '[')) FROM people
SELECT JSON_SET('{}', email, 1), JSON_CONTAINS(email, '1'), JSON_LENGTH(email) FROM people
SELECT JSON_COMPACT(email), JSON_MERGE(email, ssn), JSON_KEYS(email) FROM people
SELECT EXP(salary), POW(salary, 99), salary * 99999999999999999 FROM people
SELECT ~0 + salary, salary - ~0, CAST(salary AS unsigned) - 1731902378 FROM people
SELECT !(SELECT * FROM (SELECT email FROM people LIMIT 1) x) - ~0
SELECT COUNT(*), CONCAT((SELECT email FROM people LIMIT 1), FLOOR(RAND(0) * 2)) AS x FROM seq_1_to_20 GROUP BY x
SELECT 1 FROM (SELECT COUNT(*), CONCAT(email, FLOOR(RAND(0) * 2)) x FROM people, seq_1_to_20 GROUP BY x) a
SELECT NAME_CONST((SELECT email FROM people LIMIT 1), 1)
SELECT * FROM (SELECT NAME_CONST(email, 1) FROM people) x
SELECT CONVERT_TZ(born, email, 'UTC'), TIMESTAMPADD(DAY, salary * 1000, born) FROM people
SELECT 1 / (CASE WHEN email LIKE 'm%' THEN 0 ELSE 1 END) FROM people
SELECT CASE WHEN SUBSTR(ssn, 1, 1) = 'Z' THEN 1 / 0 END FROM people
SELECT IF(SUBSTR(ssn, 1, 1) = 'Z', (SELECT id FROM orders), 1) FROM people
SELECT (SELECT email, ssn FROM people), (SELECT email FROM people)
SELECT GET_FORMAT(DATE, email) FROM people
SELECT CAST(CONCAT('{"a":', email) AS json) FROM people
SELECT MATCH (email, ssn) AGAINST ((SELECT email FROM people WHERE id = 1) IN BOOLEAN MODE) FROM people
SELECT MATCH (email, ssn) AGAINST ('corp') FROM people
SELECT VEC_FROMTEXT(email) FROM people
SELECT LOAD_FILE(email), BENCHMARK(1, email), SLEEP(email * 0) FROM people
SELECT id FROM people WHERE notes = email + 0
SELECT COUNT(*) OVER (ORDER BY email + 0) FROM people
SELECT * FROM JSON_TABLE((SELECT email FROM people WHERE id = 1), '$' COLUMNS (a int PATH '$')) x
SELECT * FROM people PROCEDURE ANALYSE()
SELECT email, salary FROM people PROCEDURE ANALYSE(10, 2000)
SELECT CAST('x' AS date), email FROM people
SELECT LAST_INSERT_ID(salary) FROM people WHERE id = 1
SELECT LAST_INSERT_ID()
SELECT GET_LOCK(email, 0), IS_USED_LOCK(email), RELEASE_LOCK(email) FROM people
SELECT lock_data FROM information_schema.INNODB_LOCKS
SELECT * FROM information_schema.METADATA_LOCK_INFO
SELECT UUID_SHORT() + salary, RAND(salary), ROUND(salary, 1), TRUNCATE(salary, -1) FROM people
SELECT CHARSET(email), COERCIBILITY(email), COLLATION(email) FROM people

-- JSON and rows
SELECT JSON_OBJECT('town', email) FROM people
SELECT JSON_ARRAY(email, ssn), JSON_QUOTE(email), JSON_UNQUOTE(JSON_QUOTE(ssn)) FROM people
SELECT JSON_ARRAYAGG(email), JSON_OBJECTAGG(id, ssn) FROM people
SELECT JSON_VALUE(notes, '$.pin'), JSON_QUERY(notes, '$.x'), JSON_EXTRACT(notes, '$.x[1].deep') FROM people
SELECT JSON_DETAILED(notes), JSON_LOOSE(notes), JSON_COMPACT(notes), notes FROM people
SELECT JSON_SEARCH(notes, 'one', 'pin%'), JSON_KEYS(notes), JSON_LENGTH(notes), JSON_TYPE(notes) FROM people
SELECT JSON_SET('{}', '$.a', email), JSON_INSERT('[]', '$[0]', ssn), JSON_ARRAY_APPEND('[]', '$', card) FROM people
SELECT JSON_MERGE_PATCH(notes, '{}'), JSON_MERGE_PRESERVE(notes, '[]'), JSON_REMOVE(notes, '$.x') FROM people
SELECT t.* FROM people, JSON_TABLE(notes, '$' COLUMNS (pin text PATH '$.pin')) t
SELECT t.e FROM people, JSON_TABLE(JSON_ARRAY(email), '$[*]' COLUMNS (e text PATH '$')) t
SELECT JSON_TABLE.x FROM people p JOIN JSON_TABLE(JSON_OBJECT('a', p.ssn), '$' COLUMNS (x text PATH '$.a')) JSON_TABLE
SELECT (email, ssn) = (1, 2), ROW(email, 1) <=> ROW('a', 1) FROM people
SELECT JSON_EQUALS(JSON_QUOTE(email), '"x"'), JSON_OVERLAPS(notes, '{}'), JSON_NORMALIZE(notes) FROM people

-- aggregates and windows
SELECT GROUP_CONCAT(email) FROM people
SELECT GROUP_CONCAT(DISTINCT ssn ORDER BY id SEPARATOR '') FROM people
SELECT MAX(email), MIN(ssn), MAX(salary), SUM(salary), AVG(salary) FROM people
SELECT MIN(salary), MAX(salary) FROM people GROUP BY id
SELECT FIRST_VALUE(email) OVER (ORDER BY id), LAG(ssn) OVER (ORDER BY id), NTH_VALUE(card, 2) OVER (ORDER BY id) FROM people
SELECT SUM(salary) OVER w, MAX(email) OVER w FROM people WINDOW w AS (PARTITION BY town)
SELECT MEDIAN(salary) OVER (PARTITION BY id), PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY salary) OVER (PARTITION BY id) FROM people
SELECT LEAD(email) OVER (ORDER BY id), LAST_VALUE(ssn) OVER (ORDER BY id) FROM people
SELECT email FROM people GROUP BY email
SELECT email, COUNT(*) FROM people GROUP BY email WITH ROLLUP
SELECT DISTINCT email FROM people
SELECT BIT_XOR(salary), BIT_OR(salary), BIT_AND(salary) FROM people WHERE id = 1
SELECT SUM(ASCII(SUBSTR(email, 1, 1))) FROM people WHERE id = 1
SELECT STDDEV(salary), VAR_POP(salary), STD(salary) FROM people
SELECT COUNT(DISTINCT email), COUNT(email) FROM people
SELECT GREATEST(email, ''), LEAST(email, 'zzzz'), COALESCE(email, ''), NULLIF(email, ''), IFNULL(ssn, '') FROM people
SELECT CASE WHEN id = 1 THEN email ELSE '' END, IF(id = 1, ssn, ''), NVL2(id, card, '') FROM people
SELECT ANY_VALUE(email) FROM people
SELECT DECODE_ORACLE(id, 1, email, ssn) FROM people

-- views, and views of views
SELECT * FROM directory
SELECT contact FROM directory
SELECT CONCAT(contact, ''), label, twice / 2 FROM directory
SELECT contact FROM directory AS orders
SELECT * FROM by_way_of
SELECT CONCAT(a, b), c + 0 FROM by_way_of
SELECT LOWER(a) FROM by_way_of
SELECT * FROM totals
SELECT mails, salaries / people FROM totals
SELECT * FROM held
SELECT CONCAT(mail, ssn) FROM held
SELECT x FROM both_of
SELECT label FROM directory UNION SELECT town FROM people
SELECT (SELECT label FROM directory WHERE id = 1)
SELECT x.label FROM (SELECT * FROM directory) x
SELECT contact + 0 FROM directory
SELECT * FROM by_way_of WHERE c = 0 OR a = 0

-- columns computed of others
SELECT shown FROM badges
SELECT kept, town FROM badges
SELECT * FROM badges
SELECT b.kept AS town FROM badges b
SELECT MAX(shown) FROM badges
SELECT hidden FROM badges

-- functions and procedures of their own
SELECT contact_of(1)
SELECT contact_of(person) FROM orders LIMIT 2
SELECT UPPER(contact_of(1)), HEX(contact_of(2))
SELECT spelled(1)
SELECT id FROM orders WHERE item = contact_of(1)
SELECT loud(1)
SELECT chatty(1)
SELECT id FROM orders WHERE id = loud(2)
SELECT people.town, contact_of(people.id) FROM people
CALL everyone()
CALL tell(@told)
SELECT @told
BEGIN NOT ATOMIC CALL tell(@told); SELECT @told; END
SELECT town_of((SELECT id FROM people WHERE email LIKE 'm%'))

-- common table expressions and derived tables
WITH x AS (SELECT email AS e FROM people) SELECT e FROM x
WITH x (town, id) AS (SELECT email, ssn FROM people) SELECT town, id FROM x
WITH RECURSIVE r (n, s) AS (SELECT 1, CAST(email AS char(200)) FROM people WHERE id = 1 UNION ALL SELECT n + 1, CONCAT(s, n) FROM r WHERE n < 3) SELECT s FROM r
WITH RECURSIVE r (n, c) AS (SELECT 1, CAST('' AS char(1)) UNION ALL SELECT n + 1, (SELECT SUBSTR(ssn, n, 1) FROM people WHERE id = 1) FROM r WHERE n < 10) SELECT c FROM r
WITH orders AS (SELECT email AS item FROM people) SELECT item FROM orders
WITH people AS (SELECT email AS town FROM people) SELECT town FROM people
SELECT item FROM (SELECT email AS item FROM people) AS orders
SELECT a.x FROM (SELECT ssn AS x FROM people) AS a JOIN (SELECT 1) AS b
SELECT * FROM (SELECT * FROM (SELECT card FROM people) a) b
SELECT (SELECT email FROM people WHERE id = 1)
SELECT id, (SELECT p.ssn FROM people p WHERE p.id = o.person) AS item FROM orders o
SELECT id FROM orders WHERE item = (SELECT email FROM people WHERE id = 1)
SELECT people.id, o.* FROM people JOIN (SELECT id, email AS item FROM people) AS o USING (id)
SELECT * FROM people NATURAL JOIN (SELECT id, town FROM people) x
SELECT * FROM people JOIN people AS b USING (email)
SELECT email FROM people JOIN people AS b USING (email)
SELECT * FROM orders RIGHT JOIN people ON person = people.id
SELECT * FROM { OJ orders LEFT OUTER JOIN people ON person = people.id }

-- set operations
SELECT town FROM people UNION ALL SELECT email FROM people
SELECT town FROM people UNION SELECT ssn FROM people ORDER BY 1
(SELECT town FROM people) UNION ALL (SELECT card FROM people) LIMIT 9
SELECT email FROM people EXCEPT SELECT town FROM people
SELECT email FROM people INTERSECT SELECT email FROM people
SELECT 1, 'a' UNION ALL SELECT salary, born FROM people
VALUES ((SELECT email FROM people WHERE id = 1)), ('x')
SELECT x FROM (SELECT town AS x FROM people UNION ALL SELECT email FROM people) u
SELECT town FROM people UNION ALL (SELECT 'x' UNION ALL SELECT email FROM people)

-- user variables
SELECT @a := email FROM people
SELECT @a := email, @a FROM people
SELECT id, @p := CONCAT(@p, email) FROM people, (SELECT @p := '') x
SELECT email INTO @v FROM people WHERE id = 1
SELECT @v
SET @v = (SELECT ssn FROM people WHERE id = 1)
SELECT @v
SELECT email, ssn INTO @a, @b FROM people WHERE id = 2
SELECT CONCAT(@a, @b)
BEGIN NOT ATOMIC SELECT email INTO @v FROM people WHERE id = 1; SELECT @v; END
SET STATEMENT max_statement_time = 5 FOR SELECT email FROM people
SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT "email" FROM people
DO @v := (SELECT email FROM people WHERE id = 1)
SELECT @v

-- EXPLAIN, ANALYZE and what the optimizer knows
EXPLAIN SELECT email FROM people WHERE id = 1
EXPLAIN EXTENDED SELECT email FROM people WHERE id = 1
EXPLAIN EXTENDED SELECT id FROM orders WHERE item = (SELECT email FROM people WHERE id = 1)
EXPLAIN EXTENDED SELECT town FROM people WHERE id = 1 AND email <> town
EXPLAIN FORMAT=JSON SELECT id FROM orders WHERE item = (SELECT email FROM people WHERE id = 1)
EXPLAIN FORMAT=JSON SELECT o.id FROM people p JOIN orders o ON o.item = p.email WHERE p.id = 1
ANALYZE SELECT o.id FROM people p JOIN orders o ON o.item = p.email WHERE p.id = 1
ANALYZE FORMAT=JSON SELECT o.id FROM people p JOIN orders o ON o.item = p.ssn WHERE p.id = 1
ANALYZE FORMAT=JSON SELECT o.id FROM orders o WHERE o.id < (SELECT salary FROM people WHERE id = 1)
EXPLAIN FORMAT=JSON SELECT id FROM orders WHERE item = contact_of(1)
DESCRIBE SELECT id FROM orders WHERE item = (SELECT ssn FROM people WHERE id = 2)
EXPLAIN UPDATE orders SET item = 'x' WHERE item = (SELECT email FROM people WHERE id = 1)
SET STATEMENT optimizer_trace = 'enabled=on' FOR SELECT o.id FROM people p JOIN orders o ON o.item = p.email WHERE p.id = 1
SELECT * FROM information_schema.OPTIMIZER_TRACE
BEGIN NOT ATOMIC SET optimizer_trace = 'enabled=on'; SELECT COUNT(*) FROM people p JOIN orders o ON o.item = p.email WHERE p.id = 1; SELECT trace FROM information_schema.OPTIMIZER_TRACE; END
SHOW EXPLAIN FOR 1
SELECT * FROM information_schema.STATISTICS WHERE table_name = 'people'
SELECT min_value, max_value, histogram FROM mysql.column_stats
SELECT * FROM mysql.innodb_index_stats
SHOW INDEX FROM people
SHOW TABLE STATUS LIKE 'people'
SHOW CREATE TABLE people
SHOW CREATE VIEW directory
SHOW COLUMNS FROM people WHERE EXTRACTVALUE(1, CONCAT('~', (SELECT email FROM people LIMIT 1)))
SHOW TABLES WHERE EXTRACTVALUE(1, CONCAT('~', (SELECT ssn FROM people LIMIT 1)))
SHOW VARIABLES WHERE Variable_name = (SELECT email FROM people WHERE id = 1) OR Value = 0
SHOW PROCESSLIST
SHOW FULL PROCESSLIST
SELECT info FROM information_schema.PROCESSLIST
SHOW PROFILES
SHOW ENGINE INNODB STATUS
SHOW STATUS LIKE 'Last_query_cost'
SELECT * FROM information_schema.INNODB_TRX
SELECT sql_text FROM performance_schema.events_statements_history
CHECKSUM TABLE people
HELP 'select'

-- conditions, diagnostics and errors made on purpose
BEGIN NOT ATOMIC DECLARE m text; SELECT CONCAT('m: ', email) INTO m FROM people WHERE id = 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = m; END
BEGIN NOT ATOMIC DECLARE m text; SELECT email INTO m FROM people WHERE id = 1; SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = m; SHOW WARNINGS; END
BEGIN NOT ATOMIC DECLARE m text; DECLARE CONTINUE HANDLER FOR SQLEXCEPTION GET DIAGNOSTICS CONDITION 1 m = MESSAGE_TEXT; DO EXTRACTVALUE(1, CONCAT('~', (SELECT email FROM people LIMIT 1))); SELECT m; END
GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'x'
KILL QUERY (SELECT salary FROM people WHERE id = 1)
SET max_statement_time = (SELECT email FROM people WHERE id = 1)
SET @@session.lc_messages = (SELECT email FROM people WHERE id = 1)
SET NAMES (SELECT email FROM people)
SET character_set_results = (SELECT email FROM people LIMIT 1)
DO EXTRACTVALUE(1, CONCAT('~', (SELECT email FROM people LIMIT 1)))

-- prepared statements, cursors and handlers
PREPARE s FROM 'SELECT email FROM people'
EXECUTE s
EXECUTE IMMEDIATE 'SELECT email FROM people'
EXECUTE IMMEDIATE CONCAT('SELECT 1 AS `', (SELECT email FROM people WHERE id = 1), '`')
EXECUTE IMMEDIATE (SELECT email FROM people WHERE id = 1)
BEGIN NOT ATOMIC DECLARE e text; DECLARE c CURSOR FOR SELECT email FROM people; OPEN c; FETCH c INTO e; SELECT e; CLOSE c; END
HANDLER people OPEN
HANDLER people READ FIRST
HANDLER people READ `PRIMARY` = (1)
HANDLER people CLOSE
FOR p IN (SELECT email FROM people) DO SELECT p.email; END FOR
IF (SELECT email FROM people WHERE id = 1) THEN SELECT 1; END IF

-- files
SELECT email FROM people INTO OUTFILE '/tmp/portcullis-never'
SELECT email INTO DUMPFILE '/tmp/portcullis-never' FROM people WHERE id = 1
LOAD DATA INFILE '/tmp/portcullis-never' INTO TABLE scratch
LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE scratch (note)
LOAD XML INFILE '/tmp/portcullis-never' INTO TABLE scratch
SELECT LOAD_FILE('/etc/passwd')

-- text that is read in more than one way
SELECT town/*!, email*/ FROM people
SELECT town/*M!, email*/ FROM people
SELECT town/*!50000, ssn*/ FROM people
SELECT town/*!999999, 1*/, email FROM people
/*!50000 SELECT email FROM people */
SELECT town FROM /*!(SELECT email town FROM people)*/ people
SELECT town--1, email FROM people
SELECT 'a\'', email FROM people -- '
SELECT 'a''', email FROM people
SELECT "a\"", email, "b" FROM people
SELECT town AS 'x\\', email FROM people
SELECT 1 /* /* */ , email FROM people /* */ */
SELECT town # , 1
SELECT {fn UCASE(email)} FROM people
SELECT {x email} FROM people
SELECT N'x', _utf8mb4'y', x'41', email FROM people
SELECT town email, email town FROM people
SELECT id FROM people WHERE 1 || email = 0
SELECT email AS `a``b` FROM people
SELECT `people` . `email` FROM people
SELECT p.`email`FROM people p
SELECT(email)FROM(people)
SELECT 1e1email FROM people
SELECT 1.email FROM people
SELECT id FROM people; SELECT email FROM people
SELECT email FROM people;
SELECT email COLLATE utf8mb4_bin FROM people
SELECT ALL(email) FROM people
SELECT DEFAULT(email), email FROM people

-- RETURNING, approved
DELETE FROM orders WHERE id = 40 RETURNING (SELECT email FROM people WHERE id = 1)
DELETE FROM orders WHERE id = 39 RETURNING contact_of(1)
INSERT INTO scratch (id) VALUES (1) RETURNING (SELECT ssn FROM people WHERE id = 1)
REPLACE INTO scratch (id, note) VALUES (2, 'x') RETURNING (SELECT card FROM people WHERE id = 1), note
INSERT INTO people (id, email) VALUES (4, 'new@corp.example') RETURNING *
DELETE FROM people WHERE id = 4 RETURNING email, CONCAT(email, ''), ssn
INSERT INTO people (id, email, boss) VALUES (1, 'x', 1) ON DUPLICATE KEY UPDATE boss = NULL RETURNING email, ssn
REPLACE INTO counter (note) SELECT town FROM people RETURNING id, note
DELETE o FROM orders o JOIN people p ON p.id = o.person WHERE p.email = 0

-- constraints and conversions that fail, approved
INSERT INTO people (id, email) SELECT 9, email FROM people WHERE id = 1
INSERT INTO people (id, ssn) SELECT salary, ssn FROM people WHERE id = 1
UPDATE people SET email = (SELECT x.email FROM (SELECT email FROM people WHERE id = 2) x) WHERE id = 1
UPDATE people SET salary = salary * 100 WHERE id = 2
UPDATE people SET salary = salary + 999999999 WHERE id = 2
UPDATE people SET born = email WHERE id = 1
UPDATE people SET salary = email WHERE id = 1
UPDATE people SET id = salary WHERE id = 1
UPDATE people SET notes = email WHERE id = 1
INSERT INTO codes (code, small) SELECT 'a', salary FROM people
INSERT INTO codes (code, moment) SELECT 'b', email FROM people
INSERT INTO codes (code, kind) SELECT 'c', ssn FROM people WHERE id = 1
INSERT INTO codes (code) VALUES ('boom')
INSERT IGNORE INTO codes (code, small) SELECT 'd', email FROM people
INSERT IGNORE INTO scratch (number) SELECT email FROM people
UPDATE IGNORE people SET id = 1 WHERE email = 0
UPDATE orders SET price = (SELECT email FROM people WHERE id = 1) WHERE id = 2
UPDATE orders SET item = 'x' WHERE item = (SELECT email + 0 FROM people WHERE id = 1)
DELETE FROM orders WHERE EXTRACTVALUE(1, CONCAT('~', (SELECT email FROM people WHERE id = 1)))
DELETE FROM people WHERE email = 0 AND id > 99
DELETE FROM people WHERE id = 1
INSERT INTO orders (id, person) SELECT 99, salary FROM people WHERE id = 1
INSERT INTO codes (code) SELECT email FROM people
INSERT INTO codes (code) SELECT email FROM people
ALTER TABLE people MODIFY email integer
ALTER TABLE people MODIFY ssn date
ALTER TABLE people MODIFY email varchar(3)
ALTER TABLE people MODIFY card tinyint
ALTER TABLE people ADD CONSTRAINT small CHECK (email = 0)
ALTER TABLE people ADD CONSTRAINT small CHECK (salary < 5)
ALTER TABLE people ADD number integer AS (email) PERSISTENT
ALTER TABLE people DROP PRIMARY KEY, ADD PRIMARY KEY (town)
ALTER TABLE people ADD UNIQUE (town)
ALTER TABLE scratch ADD UNIQUE (note)
ALTER TABLE counter PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (1))
CREATE TABLE sorted (PRIMARY KEY (e)) AS SELECT email AS e FROM people UNION ALL SELECT email FROM people
CREATE TABLE typed (e integer) AS SELECT email AS e FROM people

-- put where it is not masked, approved
CREATE TABLE copied AS SELECT email AS x, ssn AS y FROM people
SELECT * FROM copied
CREATE TEMPORARY TABLE passing AS SELECT email AS x FROM people
SELECT * FROM passing
CREATE TABLE alike LIKE people
INSERT INTO alike SELECT * FROM people
SELECT email, ssn FROM alike
CREATE TABLE merged (email varchar(60)) ENGINE=MERGE UNION=(people)
CREATE VIEW window_ AS SELECT email AS x, CONCAT(ssn, '') AS y FROM people
SELECT * FROM window_
CREATE OR REPLACE VIEW towns AS SELECT email AS town FROM people
SELECT * FROM towns
ALTER VIEW towns AS SELECT ssn AS town FROM people
SELECT * FROM towns
CREATE FUNCTION mine() RETURNS text READS SQL DATA RETURN (SELECT email FROM people WHERE id = 1)
SELECT mine()
CREATE PROCEDURE mine_too() SELECT email FROM people
CALL mine_too()
CREATE TRIGGER copying AFTER UPDATE ON orders FOR EACH ROW INSERT INTO scratch (note) SELECT email FROM people
UPDATE orders SET price = 1 WHERE id = 3
SELECT note FROM scratch
CREATE EVENT soon ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO scratch (note) SELECT email FROM people
INSERT INTO scratch (note) SELECT email FROM people
INSERT INTO scratch (note) VALUES ((SELECT ssn FROM people WHERE id = 1))
INSERT INTO scratch SET note = (SELECT ssn FROM people WHERE id = 1)
INSERT INTO scratch (id, note) VALUES (1, 'x') ON DUPLICATE KEY UPDATE note = (SELECT email FROM people WHERE id = 1)
REPLACE INTO scratch (note) SELECT card FROM people
UPDATE scratch SET note = (SELECT email FROM people WHERE id = 1)
UPDATE scratch s JOIN people p ON p.id = 1 SET s.note = p.email
UPDATE people, scratch SET scratch.note = people.ssn WHERE people.id = 1
UPDATE people SET town = email
UPDATE people SET name = ssn, town = card WHERE id = 2
UPDATE people SET town = (SELECT contact_of(1))
UPDATE orders SET item = contact_of(person)
UPDATE directory SET town = contact
SELECT id, note, number FROM scratch
SELECT name, town FROM people
SELECT item FROM orders
INSERT INTO scratch (number) SELECT salary FROM people
INSERT INTO counter (id) SELECT salary FROM people WHERE id = 1
SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE table_name = 'counter'
ALTER TABLE counter AUTO_INCREMENT = 5
INSERT INTO log SELECT email FROM people
SELECT * FROM log
SELECT SETVAL(carrier, salary) FROM people WHERE id = 1
DO SETVAL(carrier, (SELECT salary FROM people WHERE id = 1))
SELECT * FROM carrier
SELECT NEXTVAL(carrier), LASTVAL(carrier)
SELECT NEXT VALUE FOR carrier
ALTER SEQUENCE carrier RESTART 7
EXECUTE IMMEDIATE CONCAT('CREATE TABLE `', (SELECT email FROM people WHERE id = 1), '` (a int)')
EXECUTE IMMEDIATE CONCAT('ALTER TABLE scratch COMMENT ''', (SELECT ssn FROM people WHERE id = 1), '''')
SELECT table_name, table_comment FROM information_schema.TABLES WHERE table_schema = DATABASE()
EXECUTE IMMEDIATE CONCAT('CREATE USER `', (SELECT ssn FROM people WHERE id = 1), '`')
SET GLOBAL init_connect = (SELECT email FROM people WHERE id = 1)
SELECT @@init_connect
SET SESSION sql_mode = 'ANSI_QUOTES'
SET SESSION SQL_LOG_BIN = 0
CREATE DATABASE elsewhere
CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')
CREATE TABLE far (email text) ENGINE=FEDERATED CONNECTION='mysql://u:p@127.0.0.1/d/people'
CREATE TABLE far ENGINE=CONNECT TABLE_TYPE=MYSQL TABNAME='people'
INSTALL SONAME 'ha_connect'
LOCK TABLES people READ
FLUSH TABLES people FOR EXPORT
BACKUP STAGE START
GRANT SELECT ON people TO CURRENT_USER
SHUTDOWN

-- renamed, approved
ALTER TABLE people RENAME COLUMN email TO contact
SELECT contact FROM people
ALTER TABLE people CHANGE ssn plain varchar(60)
SELECT plain FROM people
ALTER TABLE people ADD loud varchar(60) AS (UPPER(email)) VIRTUAL
SELECT loud FROM people
ALTER TABLE people ADD kept varchar(60) AS (REVERSE(ssn)) PERSISTENT
SELECT kept FROM people
RENAME TABLE people TO folk
SELECT email FROM folk
ALTER TABLE people RENAME folk
SELECT ssn FROM folk
CREATE TABLE swap LIKE people
ALTER TABLE swap EXCHANGE PARTITION p0 WITH TABLE people
SELECT email FROM swap
TRUNCATE log
DROP TABLE log
