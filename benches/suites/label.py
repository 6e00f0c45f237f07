#!/usr/bin/env python3
"""Runs a server's own test suite on a throwaway server and says of every statement whether it had an effect.

    label.py postgres SOURCE OUT.jsonl [NAME ...]     SOURCE: unpacked `apt-get source postgresql-15`
    label.py mariadb MYSQL_TEST OUT.jsonl [NAME ...]  MYSQL_TEST: usr/share/mysql/mysql-test of `mariadb-test-data`, unpacked

NAMEs choose test files; without any all are run, which takes a quarter of an hour. Needs the server's programs (as root, the user
`postgres`), python3-psycopg2 or python3-pymysql. Then `score.py OUT.jsonl PORTCULLIS`.

Statements run in order, each as the script has it. One that begins like a query is run before that in a read-only transaction of
its own. It had an effect if that refused it (25006, 1792), or if a transaction id, a setting, a user variable, an advisory lock, a
role, a cursor or a prepared statement was there afterwards that was not there before, or if it names a function whose effect
nothing in the session shows. What does not begin like a query is taken to have an effect. A statement that several scripts hold
keeps all its labels: `reads`, `effects`, `statement` (no query), `error`.
"""

import glob, json, os, re, shutil, subprocess, sys, tempfile, time

import mysqltest_script
import psql_script


class Truth:
    def __init__(self, dialect):
        self.dialect, self.statements = dialect, {}

    def note(self, sql, label, why, source):
        known = self.statements.setdefault(sql, {"sql": sql, "source": source, "labels": {}})
        known["labels"].setdefault(label, why)

    def write(self, path):
        with open(path, "w") as out:
            for number, statement in enumerate(self.statements.values()):
                out.write(json.dumps({"id": f"{self.dialect}-{number}", "dialect": self.dialect, **statement}) + "\n")
        print(f"{len(self.statements)} statements in {path}")


# ------------------------------------------------------------------------------------------------ PostgreSQL


class Postgres:
    QUERY = re.compile(r"^[\s(]*(select|values|table|with|explain|show|copy)\b", re.I)
    # What the session does not show.
    UNSEEN = re.compile(
        r"(^\s*copy\b(?!.*\bto\s+stdout)|\bexplain\s*\(\s*analyze.*\b(?:create|execute)\b"
        r"|\b(brin_(?:de)?summarize\w*|gin_clean\w*|pg_file_\w+|heap_force\w*|pg_\w*replication\w*|lo_lseek\w*|lo_tell\w*|loread"
        r"|lowrite|set_limit|postgres_fdw_disconnect\w*|pg_stat_statements_reset|xslt_process|get_raw_page|connectby|crosstab\w*"
        r"|\w+_to_xml\w*|xpath_table|ts_stat|pg_notify|setseed|pg_stat_reset\w*|pg_(?:terminate|cancel)_backend"
        r"|lo_(?:export|import|creat\w*|put|from_bytea|unlink|open|close)|pg_(?:try_)?advisory\w*|pg_reload_conf|pg_ls_\w+"
        r"|pg_read_\w*file|pg_stat_file|pg_switch_wal|pg_\w*logical\w*|pg_log_backend\w*|pg_stat_force\w*|pg_stat_clear\w*"
        r"|pg_export_snapshot|\w*advisory_unlock\w*|dblink\w*)\s*\()",
        re.I | re.S,
    )
    STATE = """SELECT pg_current_xact_id_if_assigned() IS NOT NULL,
        (SELECT md5(string_agg(name || '=' || coalesce(setting, ''), ',' ORDER BY name)) FROM pg_settings WHERE name <> 'transaction_read_only'),
        (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid', 'object', 'transactionid')),
        current_user::text, (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_prepared_statements),
        (SELECT count(*) FROM pg_listening_channels()), pg_my_temp_schema()"""

    def __init__(self, source):
        import psycopg2

        self.driver, self.source, self.truth = psycopg2, os.path.abspath(source), Truth("postgres")
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.folder = tempfile.mkdtemp(prefix="suites-")
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "--locale", "C", "-E", "UTF8")
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", f"-k {self.folder} -c listen_addresses= -c fsync=off", "start")

    def run(self, program, *arguments):
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run([*as_postgres, f"{self.programs}/{program}", *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def stop(self):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def connect(self, database):
        connection = self.driver.connect(host=self.folder, dbname=database, user="postgres")
        connection.autocommit = True
        connection.cursor().execute(
            "SET datestyle = 'Postgres, MDY'; SET timezone = 'PST8PDT'; SET intervalstyle = 'postgres_verbose';"
            "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET client_min_messages = error"
        )
        return connection

    def execute(self, cursor, sql, data=""):
        if re.match(r"[\s(]*copy\b", sql, re.I) and re.search(r"\bstd(in|out)\b", sql, re.I):
            import io

            cursor.copy_expert(sql, io.StringIO(data or "") if re.search(r"\bfrom\s+stdin", sql, re.I) else open(os.devnull, "w"))
        else:
            cursor.execute(sql)

    def label(self, connection, sql):
        status, cursor = self.driver.extensions, connection.cursor()
        inside = connection.info.transaction_status == status.TRANSACTION_STATUS_INTRANS
        if not inside and connection.info.transaction_status != status.TRANSACTION_STATUS_IDLE:
            return "error", "the transaction is aborted"
        cursor.execute("SAVEPOINT probe; SET TRANSACTION READ ONLY" if inside else "BEGIN READ ONLY")
        try:
            cursor.execute(self.STATE)
            before = cursor.fetchone()
            try:
                self.execute(cursor, sql)
            except self.driver.Error as error:
                refused = error.pgcode == "25006" or (error.pgcode == "0A000" and "read-only" in str(error))
                return ("effects" if refused else "error"), f"{error.pgcode} {error}"[:100]
            if connection.info.transaction_status != status.TRANSACTION_STATUS_INTRANS:
                return "effects", "the transaction is over"
            cursor.execute(self.STATE)
            after = cursor.fetchone()
            if before[1:] != after[1:] or (after[0] and not before[0]):
                return "effects", "the session changed"
            unseen = self.UNSEEN.search(sql)
            return ("effects", unseen.group(1)[:40]) if unseen else ("reads", "")
        finally:
            try:
                cursor.execute("ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe" if inside else "ROLLBACK")
            except self.driver.Error:
                pass

    def play(self, database, path, variables):
        source = os.path.relpath(path, self.source)
        text = open(path, encoding="utf-8", errors="replace").read()
        script = psql_script.Script(variables)
        steps = list(script.statements(text))
        connection, started = self.connect(database), time.time()
        for index, (kind, argument, sql) in enumerate(steps):
            if time.time() - started > 90:
                print(f"{source}: given up after 90 s")
                break
            if kind == "connect" or connection.closed:
                connection.close()
                connection = self.connect(database)
            if kind in ("connect", "data") or "\0" in sql:
                continue
            following = steps[index + 1] if index + 1 < len(steps) else (None, None, None)
            data = following[1] if following[0] == "data" else ""
            try:
                label, why = self.label(connection, sql) if self.QUERY.match(sql) else ("statement", "")
            except self.driver.Error as error:
                label, why = "error", str(error)[:80]
            try:
                self.execute(connection.cursor(), sql, data)
            except self.driver.Error as error:
                if label == "statement":
                    label, why = "error", f"{error.pgcode} {error}"[:80]
            self.truth.note(sql, label, why, source)
        connection.close()

    def suites(self):
        """(database, files) of the regression suite, PL/pgSQL and contrib, in the order they are run in."""
        regress = f"{self.source}/src/test/regress"
        schedule = [line[5:].split() for line in open(f"{regress}/parallel_schedule") if line.startswith("test:")]
        yield "regression", [f"{regress}/sql/{name}.sql" for names in schedule for name in names]
        for folder in [f"{self.source}/src/pl/plpgsql/src/sql", *sorted(glob.glob(f"{self.source}/contrib/*/sql"))]:
            above = os.path.dirname(folder)
            makefile = open(f"{above}/Makefile").read() if os.path.exists(f"{above}/Makefile") else ""
            listed = re.search(r"REGRESS\s*=\s*((?:[^\n\\]|\\\n)*)", makefile)
            names = [f"{folder}/{name}.sql" for name in (listed.group(1).replace("\\\n", " ").split() if listed else [])]
            yield "contrib_" + re.sub(r"\W", "_", os.path.basename(above)), names + [path for path in sorted(glob.glob(f"{folder}/*.sql")) if path not in names]

    def measure(self, only):
        library = subprocess.run([f"{self.programs}/pg_config", "--pkglibdir"], capture_output=True, text=True).stdout.strip()
        regress = f"{self.source}/src/test/regress"
        variables = {"abs_srcdir": regress, "abs_builddir": regress, "libdir": library, "dlsuffix": ".so", "regresslib": f"{library}/regress.so"}
        os.environ["PG_ABS_SRCDIR"] = regress
        for database, paths in self.suites():
            paths = [path for path in paths if os.path.exists(path) and (not only or os.path.basename(path)[:-4] in only)]
            if not paths:
                continue
            self.connect("postgres").cursor().execute(f"CREATE DATABASE {database} TEMPLATE template0")
            for path in paths:
                os.chdir(os.path.dirname(os.path.dirname(path)))
                self.play(database, path, variables)
        return self.truth


# ------------------------------------------------------------------------------------------------ MariaDB


class MariaDb:
    QUERY = re.compile(r"^[\s(]*(/\*.*?\*/\s*)*[\s(]*(select|values|table|with|explain|describe|desc|show|help|check|checksum|analyze)\b", re.I | re.S)
    UNSEEN = re.compile(
        r"\b(get_lock|release_lock|release_all_locks|nextval|setval|lastval\b.*|master_pos_wait|master_gtid_wait|load_file|sys_exec)\s*\("
        r"|into\s+(?:outfile|dumpfile)|next\s+value\s+for|for\s+update|in\s+share\s+mode|:=|\binto\s+@|last_insert_id\s*\(\s*[^)\s]",
        re.I,
    )
    # These would end the server, or lock the run out of it.
    NOT_RUN = re.compile(
        r"(shutdown|restart|kill|set\s+(global\s+)?(password|read_only|max_connections|init_connect|secure_auth)"
        r"|set\s+@@global\.(read_only|init_connect|max_conn)|rename\s+user|drop\s+user|(alter|drop)\s+user.*root|update\s+mysql\."
        r"|delete\s+from\s+mysql\.|truncate\s+(table\s+)?mysql\.|drop\s+(table|database)\s+mysql|insert\s+into\s+mysql\.(user|global))\b",
        re.I | re.S,
    )
    STATE = (
        "SELECT md5(group_concat(variable_name, '=', variable_value ORDER BY 1)) FROM information_schema.session_variables "
        "WHERE variable_name NOT IN ('TIMESTAMP', 'TX_READ_ONLY', 'TRANSACTION_READ_ONLY', 'PSEUDO_THREAD_ID', 'LAST_INSERT_ID', 'IDENTITY', "
        "'RAND_SEED1', 'RAND_SEED2', 'LAST_GTID', 'ERROR_COUNT', 'WARNING_COUNT', 'IN_TRANSACTION', 'GTID_BINLOG_STATE', 'GTID_CURRENT_POS', "
        "'GTID_BINLOG_POS', 'GTID_SEQ_NO', 'SECURE_TIMESTAMP')",
        "SELECT md5(group_concat(variable_name, '=', coalesce(hex(variable_value), 'N') ORDER BY 1)) FROM information_schema.user_variables",
    )
    SENDS = ("eval", "evalp", "send", "send_eval", "query", "query_vertical", "query_horizontal")

    def __init__(self, tests):
        import pymysql

        self.driver, self.tests, self.truth = pymysql, os.path.abspath(tests), Truth("mysql")
        self.folder, self.connection, self.server = tempfile.mkdtemp(prefix="suites-"), None, None
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal"], check=True, stdout=subprocess.DEVNULL)
        self.start()

    def start(self):
        options = [
            "--no-defaults", "--skip-grant-tables", "--skip-networking", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket",
            f"--secure-file-priv={self.folder}", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
            "--log-bin-trust-function-creators=1", "--event-scheduler=off", "--plugin-maturity=unknown",
        ]  # fmt: skip
        as_root = ["--user=root"] if os.getuid() == 0 else []
        self.server = subprocess.Popen(["mariadbd", *options, *as_root], stdout=subprocess.DEVNULL, stderr=open(f"{self.folder}/log", "a"))

    def stop(self):
        self.server.kill()
        self.server.wait()
        shutil.rmtree(self.folder)

    def connected(self):
        """The connection, made anew (and the server started anew) where a test has broken it."""
        while self.connection is None:
            if self.server.poll() is not None:
                self.start()
            try:
                self.connection = self.driver.connect(unix_socket=f"{self.folder}/socket", user="root", autocommit=True, charset="utf8mb4", read_timeout=20)
                self.rows("SET max_statement_time = 4, lock_wait_timeout = 2, innodb_lock_wait_timeout = 2")
                self.rows("CREATE DATABASE IF NOT EXISTS test")
                self.rows("USE test")
            except self.driver.err.MySQLError:
                self.connection = None
                time.sleep(0.5)
        return self.connection

    def rows(self, sql):
        cursor = self.connection.cursor()
        cursor.execute(sql)
        rows = cursor.fetchall()
        while cursor.nextset():
            pass
        return rows

    def state(self):
        return [self.rows(query) for query in self.STATE]

    def label(self, sql):
        self.connected()
        try:
            if self.rows("SELECT @@in_transaction")[0][0]:
                return "statement", "in a transaction of its own"
            before = self.state()
            self.rows("START TRANSACTION READ ONLY")
            try:
                self.rows(sql)
            except self.driver.err.MySQLError as error:
                return ("effects" if error.args[0] in (1792, 1290, 1836) else "error"), str(error)[:80]
            if not self.rows("SELECT @@in_transaction")[0][0]:
                return "effects", "the transaction is over"
            self.rows("ROLLBACK")
            unseen = self.UNSEEN.search(sql)
            if unseen:
                return "effects", unseen.group(0)[:40]
            return ("reads", "") if self.state() == before else ("effects", "the session changed")
        except (self.driver.err.Error, OSError, UnicodeError, ValueError) as error:
            self.connection = None
            return "error", repr(error)[:80]
        finally:
            try:
                self.rows("ROLLBACK")
            except (self.driver.err.Error, OSError, AttributeError):
                self.connection = None

    def play(self, path):
        source, variables, started = os.path.basename(path)[:-5], {"MYSQL_TEST_DIR": self.tests, "engine_type": "InnoDB"}, time.time()
        self.connected()
        for (database,) in self.rows("SHOW DATABASES"):
            if database not in ("mysql", "sys", "information_schema", "performance_schema"):
                try:
                    self.rows("DROP DATABASE `%s`" % database.replace("`", "``"))
                except self.driver.err.MySQLError as error:
                    print(f"{source}: {database} is left behind: {error}")
        self.connection = None

        def replaced(text):
            return re.sub(r"\$(\w+)", lambda name: variables.get(name.group(1), name.group(0)), text)

        waiting = [mysqltest_script.commands(read(path))]
        while waiting:
            if time.time() - started > 25:
                print(f"{source}: given up after 25 s")
                break
            is_sql, word, text = next(waiting[-1], (None, None, None))
            if word is None:
                waiting.pop()
                continue
            rest = (text.split(None, 1) + [""])[1].strip()
            if not is_sql and word == "source":
                included = self.included(replaced(rest.rstrip(";")), path)
                if included and len(waiting) < 4:
                    waiting.append(mysqltest_script.commands(read(included)))
                continue
            if not is_sql and word == "let":
                assignment = re.match(r"let\s*\$(\w+)\s*=\s*(.*)", text, re.S)
                if assignment:
                    variables[assignment.group(1)] = self.value(replaced(assignment.group(2).strip()))
                continue
            if not is_sql and word not in self.SENDS:
                continue
            sql = text if is_sql else replaced(rest).rstrip(";").strip()
            if not sql or not sql.isprintable() and re.search(r"[\udc80-\udcff]", sql) or not is_sql and re.search(r"\$[A-Za-z]", sql):
                continue
            if self.NOT_RUN.match(sql):
                self.truth.note(sql, "statement", "not run", source)
                continue
            label, why = self.label(sql) if self.QUERY.match(sql) else ("statement", "")
            try:
                self.connected()
                self.rows(sql)
            except (self.driver.err.Error, OSError, UnicodeError, ValueError) as error:
                if label == "statement":
                    label, why = "error", str(error)[:80]
                if not isinstance(error, self.driver.err.MySQLError) or error.args[:1] in ((2006,), (2013,), (0,)):
                    self.connection = None
            self.truth.note(sql, label, why, source)

    def included(self, name, path):
        if os.path.basename(name).startswith(("have_", "not_", "wait_", "restart", "count_sess", "default_", "kill_", "shutdown", "start_", "big_", "no_")):
            return None
        folders = (self.tests, f"{self.tests}/main", os.path.dirname(path))
        return next((f"{folder}/{name}" for folder in folders if os.path.exists(f"{folder}/{name}")), None)

    def value(self, text):
        if not text.startswith("`"):
            return text
        try:
            self.connected()
            return str(self.rows(text.strip("`"))[0][0])
        except (self.driver.err.Error, OSError, IndexError):
            return ""

    def measure(self, only):
        for path in sorted(glob.glob(f"{self.tests}/main/*.test")):
            if not only or os.path.basename(path)[:-5] in only:
                self.play(path)
        return self.truth


def read(path):
    return open(path, encoding="utf-8", errors="surrogateescape").read()


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("postgres", "mariadb"):
        sys.exit(__doc__)
    out = os.path.abspath(sys.argv[3])
    suite = (Postgres if sys.argv[1] == "postgres" else MariaDb)(sys.argv[2])
    try:
        suite.measure(set(sys.argv[4:])).write(out)
    finally:
        suite.stop()


if __name__ == "__main__":
    main()
