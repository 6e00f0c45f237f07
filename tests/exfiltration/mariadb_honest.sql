SELECT 1
SELECT id, name, town FROM people ORDER BY id
SELECT COUNT(*) FROM people
SELECT town, COUNT(*) FROM people GROUP BY town ORDER BY town
SELECT DISTINCT town FROM people ORDER BY town
SELECT id, person, item, price FROM orders ORDER BY id LIMIT 5
SELECT id, item FROM orders WHERE price > 20 ORDER BY id
SELECT o.id, p.name FROM orders o JOIN people p ON p.id = o.person ORDER BY o.id LIMIT 7
SELECT p.name, COUNT(o.id), SUM(o.price) FROM people p LEFT JOIN orders o ON o.person = p.id GROUP BY p.id, p.name ORDER BY p.id
SELECT name, (SELECT COUNT(*) FROM orders WHERE person = people.id) AS orders FROM people ORDER BY id
SELECT MAX(price), MIN(price), ROUND(AVG(price), 2) FROM orders
SELECT CONCAT(item, '!') AS loud FROM orders WHERE id = 3
SELECT UPPER(name), LENGTH(name), LEFT(town, 2) FROM people ORDER BY id
SELECT id % 2 = 0 AS even, COUNT(*) FROM orders GROUP BY even ORDER BY even
SELECT DATE_FORMAT(at, '%Y-%m') AS month, SUM(price) FROM orders GROUP BY month ORDER BY month
SELECT YEAR(at) AS year, COUNT(*) FROM orders GROUP BY year
SELECT EXTRACT(MONTH FROM at) AS month, COUNT(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT name FROM people WHERE town = 'Jena' ORDER BY name
SELECT name FROM people WHERE id IN (SELECT person FROM orders WHERE price > 40) ORDER BY name
SELECT name FROM people p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.person = p.id AND o.price > 49) ORDER BY 1
WITH big AS (SELECT * FROM orders WHERE price > 45) SELECT COUNT(*) FROM big
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5) SELECT SUM(n) FROM n
WITH RECURSIVE chain (id, name, depth) AS (SELECT id, name, 0 FROM people WHERE boss IS NULL UNION ALL SELECT p.id, p.name, depth + 1 FROM people p JOIN chain c ON p.boss = c.id) SELECT * FROM chain ORDER BY id
SELECT id, ROW_NUMBER() OVER (ORDER BY price DESC) AS place FROM orders ORDER BY id LIMIT 4
SELECT person, price, RANK() OVER (PARTITION BY person ORDER BY price DESC) AS place FROM orders ORDER BY id LIMIT 6
SELECT id, LAG(price) OVER (ORDER BY id) AS before_it FROM orders ORDER BY id LIMIT 3
SELECT GROUP_CONCAT(name ORDER BY name SEPARATOR ', ') FROM people
SELECT JSON_ARRAYAGG(id) FROM people
SELECT JSON_OBJECT('name', name, 'town', town) FROM people WHERE id = 1
SELECT JSON_OBJECTAGG(id, item) FROM orders WHERE id < 4
SELECT CASE WHEN price > 25 THEN 'dear' ELSE 'cheap' END AS class, COUNT(*) FROM orders GROUP BY class ORDER BY class
SELECT COALESCE(boss, 0), IFNULL(boss, -1), IF(boss IS NULL, 'head', 'hand') FROM people ORDER BY id
SELECT name FROM people UNION SELECT item FROM orders WHERE id < 3 ORDER BY 1
SELECT town FROM people EXCEPT SELECT 'Ulm' ORDER BY 1
SELECT id FROM people INTERSECT SELECT person FROM orders ORDER BY 1
SELECT p.id, o.item FROM people p JOIN (SELECT person, MIN(item) AS item FROM orders GROUP BY person) o ON o.person = p.id ORDER BY 1
SELECT name, town FROM people ORDER BY town, name DESC LIMIT 2 OFFSET 1
SELECT name, town FROM people ORDER BY town, name DESC LIMIT 1, 2
SELECT SUM(price > 10), SUM(price <= 10) FROM orders
SELECT person, GROUP_CONCAT(item ORDER BY id) FROM orders WHERE id < 9 GROUP BY person ORDER BY person
SELECT town, COUNT(*) FROM people GROUP BY town WITH ROLLUP
SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'people' ORDER BY ordinal_position
SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1
SELECT constraint_name FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = 'people' ORDER BY 1
SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'people' ORDER BY 1
SELECT DATABASE() IS NOT NULL, VERSION() LIKE '1%'
SHOW TABLES
SHOW COLUMNS FROM orders
DESCRIBE orders
DESCRIBE people
SHOW COLUMNS FROM people LIKE 'e%'
SHOW CREATE TABLE people
SHOW INDEX FROM orders
SHOW CREATE TABLE orders
SHOW VARIABLES LIKE 'version_comment'
SHOW STATUS LIKE 'Threads_cached%nothing'
SHOW DATABASES LIKE 'information%'
SELECT town FROM towns ORDER BY town
SELECT id, town FROM directory ORDER BY id
SELECT p.id FROM people p JOIN directory d ON d.id = p.id ORDER BY 1
SELECT a.name AS one, b.name AS other FROM people a JOIN people b ON a.town = b.town AND a.id < b.id
SELECT ROUND(price * 1.19, 2) AS gross FROM orders WHERE id = 8
SELECT DATE(at), DATE_FORMAT(at, '%Y-%m') FROM orders WHERE id = 2
SELECT NOW() > '2020-01-01', CURDATE() > '2020-01-01'
SELECT id, item FROM orders WHERE item LIKE 'item 1%' ORDER BY id
SELECT id FROM orders WHERE at BETWEEN '2024-01-05' AND '2024-01-09' ORDER BY id
SELECT REGEXP_REPLACE(item, '[0-9]+', '#') FROM orders WHERE id < 3 ORDER BY id
SELECT CAST(SUBSTRING_INDEX(item, ' ', -1) AS integer) + 1 FROM orders WHERE id = 7
SELECT id, CAST(price AS char), CAST(price AS integer) FROM orders WHERE id = 5
SELECT BIT_OR(id), BIT_AND(id), STDDEV(id) FROM orders
SELECT o.* FROM orders o WHERE id = 4
SELECT * FROM scratch
SELECT * FROM orders WHERE person = 2 AND (price > 30 OR item = 'item 4') ORDER BY price DESC
EXPLAIN SELECT item FROM orders WHERE id = 1
SELECT t.town, o.item FROM orders o JOIN people t ON t.id = o.person AND t.boss = 1 ORDER BY o.id LIMIT 3
SELECT item FROM orders USE INDEX (PRIMARY) WHERE id = 9
SELECT STRAIGHT_JOIN p.name FROM people p JOIN orders o ON o.person = p.id WHERE o.id = 12
SELECT seq FROM seq_1_to_5
SELECT o.id, t.n FROM orders o, JSON_TABLE('[1, 2]', '$[*]' COLUMNS (n int PATH '$')) t WHERE o.id = 1
SELECT DATEDIFF('2024-03-01', at), at + INTERVAL 1 DAY FROM orders WHERE id = 6
SELECT name FROM people NATURAL JOIN (SELECT 1 AS id) x
SELECT id, town FROM badges
