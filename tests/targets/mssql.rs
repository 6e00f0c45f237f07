//! SQL Server. The same tests run against a peer written from the protocol's specification, or against a real server where
//! `PORTCULLIS_TEST_MSSQL` names one: an `mssql://` address of a database that may be written to, with a login that may
//! create logins.

use super::*;
use crate::support::tds::{
    self, Act, BIT, INT, NVARCHAR, NVARCHAR_MAX, Peer, Script, Told, aborted, affected, chunked,
    columns, error, failed, finished, info, int, nvarchar, row, selected, sparse_row, utf16,
};

const REAL: &str = "PORTCULLIS_TEST_MSSQL";

/// A server to ask, and the peer where it is one.
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) peer: Option<Peer>,
}

impl Server {
    pub(super) async fn new(script: Script) -> Self {
        match std::env::var(REAL) {
            Ok(url) => Self {
                target: Target::of(ConnectionKind::Mssql, reader(&url).await, &url),
                peer: None,
            },
            Err(_) => {
                let peer = script.start();
                let write = format!("{}&encrypt=on", peer.url());
                Self {
                    target: Target::of(ConnectionKind::Mssql, &peer.url(), &write),
                    peer: Some(peer),
                }
            }
        }
    }

    /// Runs statements of the test's own, which the peer is not told of.
    pub(super) async fn prepare(&self, statements: &[&str]) {
        if self.peer.is_none() {
            for statement in statements {
                self.target.write(statement).await.unwrap();
            }
        }
    }
}

/// A login of the real server that may only read, as the write credential makes it.
async fn reader(url: &str) -> &'static str {
    static READER: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    READER
        .get_or_init(async || {
            let owner = Target::of(ConnectionKind::Mssql, url, url);
            for statement in [
                "IF SUSER_ID('portcullis_reader') IS NULL CREATE LOGIN portcullis_reader WITH PASSWORD = 'p/w d@%41?#:A1'",
                "IF USER_ID('portcullis_reader') IS NULL CREATE USER portcullis_reader FOR LOGIN portcullis_reader WITH DEFAULT_SCHEMA = dbo",
                "ALTER ROLE db_datareader ADD MEMBER portcullis_reader",
                "GRANT VIEW DEFINITION TO portcullis_reader",
            ] {
                owner.write(statement).await.unwrap();
            }
            let (_, rest) = url.rsplit_once('@').unwrap();
            format!("mssql://portcullis_reader:p%2Fw%20d%40%2541%3F%23%3AA1@{rest}")
        })
        .await
}

fn one(info: &[u8], cell: &[u8]) -> Vec<u8> {
    let mut out = columns(&[("v", info)]);
    out.extend(row(&[cell]));
    out.extend(selected(1));
    finished(out)
}

/// A value in one byte of length.
fn short(value: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(value.len()).unwrap()];
    out.extend_from_slice(value);
    out
}

/// A value in two bytes of length.
fn long(value: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(value.len()).unwrap().to_le_bytes().to_vec();
    out.extend_from_slice(value);
    out
}

/// A value behind a text pointer.
fn pointed(value: &[u8]) -> Vec<u8> {
    let mut out = vec![16];
    out.extend([7; 24]);
    out.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    out.extend_from_slice(value);
    out
}

fn variant(value: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(value.len()).unwrap().to_le_bytes().to_vec();
    out.extend_from_slice(value);
    out
}

/// An expression of T-SQL, its type and its value as [MS-TDS] writes them, and what is to be shown.
type Example = (&'static str, Vec<u8>, Vec<u8>, &'static str, Kept);

fn examples() -> Vec<Example> {
    let latin = [9, 4, 0xd0, 0, 0x34];
    let char_type = |token: u8, most: u16, collation: [u8; 5]| {
        let mut out = vec![token];
        out.extend(most.to_le_bytes());
        out.extend(collation);
        out
    };
    let big_text = "ünï 🦀 ".repeat(3000);
    vec![
        (
            "CAST(1 AS bit)",
            vec![0x68, 1],
            short(&[1]),
            "bit",
            Kept::Bool(true),
        ),
        (
            "CAST(0 AS bit)",
            vec![0x32],
            vec![0],
            "bit",
            Kept::Bool(false),
        ),
        (
            "CAST(255 AS tinyint)",
            vec![0x26, 1],
            short(&[255]),
            "tinyint",
            number("255"),
        ),
        (
            "CAST(-2 AS smallint)",
            vec![0x34],
            vec![0xfe, 0xff],
            "smallint",
            number("-2"),
        ),
        (
            "CAST(NULL AS int)",
            vec![0x26, 4],
            vec![0],
            "int",
            Kept::Null,
        ),
        (
            "CAST(9223372036854775807 AS bigint)",
            vec![0x26, 8],
            short(&i64::MAX.to_le_bytes()),
            "bigint",
            number("9223372036854775807"),
        ),
        (
            "CAST(-123.4500 AS decimal(10,4))",
            vec![0x6a, 9, 10, 4],
            short(&[0, 0x44, 0xd6, 0x12, 0, 0, 0, 0, 0]),
            "decimal",
            number("-123.4500"),
        ),
        (
            "CAST(12345678901234567890123456789012345678 AS numeric(38,0))",
            vec![0x6c, 17, 38, 0],
            {
                let mut value = vec![1];
                value.extend(12_345_678_901_234_567_890_123_456_789_012_345_678_u128.to_le_bytes());
                short(&value)
            },
            "numeric",
            number("12345678901234567890123456789012345678"),
        ),
        (
            "CAST(-12.3456 AS money)",
            vec![0x6e, 8],
            short(&[0xff, 0xff, 0xff, 0xff, 0xc0, 0x1d, 0xfe, 0xff]),
            "money",
            number("-12.3456"),
        ),
        (
            "CAST(0.1 AS float)",
            vec![0x6d, 8],
            short(&0.1_f64.to_le_bytes()),
            "float",
            number("0.1"),
        ),
        (
            "CAST(0.1 AS real)",
            vec![0x3b],
            0.1_f32.to_le_bytes().to_vec(),
            "real",
            number("0.1"),
        ),
        (
            "CAST(1e300 AS float)",
            vec![0x6d, 8],
            short(&1e300_f64.to_le_bytes()),
            "float",
            number("1e300"),
        ),
        (
            "CAST('2024-02-29' AS date)",
            vec![0x28],
            short(&[0x80, 0x46, 0x0b]),
            "date",
            text("2024-02-29"),
        ),
        (
            "CAST('23:59:59.9999999' AS time)",
            vec![0x29, 7],
            short(&[0xff, 0xbf, 0x69, 0x2a, 0xc9]),
            "time",
            text("23:59:59.9999999"),
        ),
        (
            "CAST('2024-02-29T12:00:00.123' AS datetime)",
            vec![0x6f, 8],
            {
                let mut value = 45_349_i32.to_le_bytes().to_vec();
                value.extend((43_200_u32 * 300 + 37).to_le_bytes());
                short(&value)
            },
            "datetime",
            text("2024-02-29T12:00:00.123"),
        ),
        (
            "CAST('2024-02-29T12:34:00' AS smalldatetime)",
            vec![0x6f, 4],
            {
                let mut value = 45_349_u16.to_le_bytes().to_vec();
                value.extend(754_u16.to_le_bytes());
                short(&value)
            },
            "smalldatetime",
            text("2024-02-29T12:34:00"),
        ),
        (
            "CAST('2024-02-29T12:34:56.12' AS datetime2(2))",
            vec![0x2a, 2],
            {
                let mut value = 4_529_612_u32.to_le_bytes()[..3].to_vec();
                value.extend([0x80, 0x46, 0x0b]);
                short(&value)
            },
            "datetime2",
            text("2024-02-29T12:34:56.12"),
        ),
        (
            "CAST('2024-02-29T00:30:00+02:00' AS datetimeoffset(0))",
            vec![0x2b, 0],
            {
                // 22:30 of the day before, in UTC, and two hours.
                let mut value = 81_000_u32.to_le_bytes()[..3].to_vec();
                value.extend([0x7f, 0x46, 0x0b, 120, 0]);
                short(&value)
            },
            "datetimeoffset",
            text("2024-02-29T00:30:00+02:00"),
        ),
        (
            "CAST('café €' COLLATE SQL_Latin1_General_CP1_CI_AS AS varchar(20))",
            char_type(0xa7, 20, latin),
            long(b"caf\xe9 \x80"),
            "varchar",
            text("café €"),
        ),
        (
            "CAST(N'日本' COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS varchar(20))",
            char_type(0xa7, 20, [9, 4, 0xd0, 0x24, 0]),
            long("日本".as_bytes()),
            "varchar",
            text("日本"),
        ),
        (
            "CAST('ab' AS char(5))",
            char_type(0xaf, 5, latin),
            long(b"ab   "),
            "char",
            text("ab   "),
        ),
        (
            "CAST(NULL AS varchar(5))",
            char_type(0xa7, 5, latin),
            vec![0xff, 0xff],
            "varchar",
            Kept::Null,
        ),
        (
            "CAST('' AS varchar(5))",
            char_type(0xa7, 5, latin),
            long(b""),
            "varchar",
            text(""),
        ),
        (
            "CAST(REPLICATE(CAST('x' AS varchar(max)), 20000) AS varchar(max))",
            char_type(0xa7, 0xffff, latin),
            chunked(&[b'x'; 20_000], 4_001, false),
            "varchar",
            text(&"x".repeat(20_000)),
        ),
        (
            "REPLICATE(CAST(N'ünï 🦀 ' AS nvarchar(max)), 3000)",
            NVARCHAR_MAX.to_vec(),
            chunked(&utf16(&big_text), 8_001, true),
            "nvarchar",
            text(&big_text),
        ),
        (
            "CAST(NULL AS nvarchar(max))",
            NVARCHAR_MAX.to_vec(),
            vec![0xff; 8],
            "nvarchar",
            Kept::Null,
        ),
        (
            "CAST(N'ab' AS nchar(3))",
            char_type(0xef, 6, latin),
            nvarchar("ab "),
            "nchar",
            text("ab "),
        ),
        (
            "CAST('café' COLLATE SQL_Latin1_General_CP1_CI_AS AS text)",
            {
                let mut out = vec![0x23, 0xff, 0xff, 0xff, 0x7f];
                out.extend(latin);
                out
            },
            pointed(b"caf\xe9"),
            "text",
            text("café"),
        ),
        (
            "CAST(N'é' AS ntext)",
            {
                let mut out = vec![0x63, 0xff, 0xff, 0xff, 0x7f];
                out.extend(latin);
                out
            },
            pointed(&utf16("é")),
            "ntext",
            text("é"),
        ),
        (
            "CAST(0x00FF AS image)",
            vec![0x22, 0xff, 0xff, 0xff, 0x7f],
            pointed(&[0, 255]),
            "image",
            text("0x00FF"),
        ),
        (
            "CAST(0x00ff10 AS varbinary(10))",
            vec![0xa5, 10, 0],
            long(&[0, 255, 16]),
            "varbinary",
            text("0x00FF10"),
        ),
        (
            "CAST(0x01 AS binary(2))",
            vec![0xad, 2, 0],
            long(&[1, 0]),
            "binary",
            text("0x0100"),
        ),
        (
            "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
            vec![0x24, 16],
            short(&[
                0xff, 0x19, 0x96, 0x6f, 0x86, 0x8b, 0x11, 0xd0, 0xb4, 0x2d, 0, 0xc0, 0x4f, 0xc9,
                0x64, 0xff,
            ]),
            "uniqueidentifier",
            text("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        ),
        (
            "CAST('<a>é</a>' AS xml)",
            vec![0xf1, 0],
            chunked(&utf16("<a>é</a>"), 4, false),
            "xml",
            text("<a>é</a>"),
        ),
        (
            "CAST(CAST(1.5 AS decimal(5,1)) AS sql_variant)",
            vec![0x62, 0x49, 0x1f, 0, 0],
            variant(&[0x6c, 2, 5, 1, 1, 15, 0, 0, 0]),
            "sql_variant",
            number("1.5"),
        ),
        (
            "CAST(CAST(N'é' AS nvarchar(10)) AS sql_variant)",
            vec![0x62, 0x49, 0x1f, 0, 0],
            variant(&[0xe7, 7, 9, 4, 0xd0, 0, 0x34, 20, 0, 0xe9, 0]),
            "sql_variant",
            text("é"),
        ),
        (
            "CAST('/1/' AS hierarchyid)",
            {
                let mut out = vec![0xf0, 0x7c, 0x03];
                for name in ["crm", "sys", "hierarchyid"] {
                    out.push(u8::try_from(name.len()).unwrap());
                    out.extend(utf16(name));
                }
                out.extend([0, 0]);
                out
            },
            chunked(&[0x58], 10, true),
            "hierarchyid",
            text("0x58"),
        ),
    ]
}

#[tokio::test]
async fn every_type_comes_back_as_what_it_is() {
    let statement = |expression: &str| format!("SELECT {expression} AS v");
    let script =
        examples()
            .into_iter()
            .fold(Script::default(), |script, (expression, info, cell, ..)| {
                script.answer(&statement(expression), one(&info, &cell))
            });
    let server = Server::new(script).await;
    for (expression, _, _, type_name, expected) in examples() {
        let (_, gathered) = server
            .target
            .read(&statement(expression))
            .await
            .unwrap_or_else(|error| panic!("{expression}: {error:?}"));
        assert_eq!(gathered.rows, [[expected]], "{expression}");
        assert_eq!(gathered.columns[0].type_name, type_name, "{expression}");
        assert_eq!(gathered.columns[0].name, "v");
    }
}

#[tokio::test]
async fn rows_come_in_order_with_their_nulls() {
    let statement = "SELECT a, b, c FROM (VALUES (1, N'x', NULL), (NULL, NULL, N'z'), (NULL, NULL, NULL)) AS t(a, b, c)";
    let mut tokens = columns(&[("a", &INT), ("b", &NVARCHAR), ("c", &NVARCHAR)]);
    tokens.extend(row(&[&int(1), &nvarchar("x"), &[0xff, 0xff]]));
    tokens.extend(sparse_row(&[None, None, Some(&nvarchar("z"))]));
    tokens.extend(sparse_row(&[None, None, None]));
    tokens.extend(selected(3));
    let server = Server::new(Script::default().answer(statement, finished(tokens))).await;
    let (completion, gathered) = server.target.read(statement).await.unwrap();
    assert_eq!(completion.affected, None);
    assert_eq!(
        gathered.rows,
        [
            [number("1"), text("x"), Kept::Null],
            [Kept::Null, Kept::Null, text("z")],
            [Kept::Null, Kept::Null, Kept::Null],
        ]
    );
}

#[tokio::test]
async fn parameters_keep_their_values_and_are_never_part_of_the_text() {
    let statement = "SELECT @P1 AS a, @P2 AS b, @P3 AS c, @P4 AS d, @P5 AS e";
    let mut tokens = columns(&[
        ("a", &NVARCHAR_MAX),
        ("b", &[0x26, 8]),
        ("c", &[0x6a, 17, 38, 2]),
        ("d", &BIT),
        ("e", &NVARCHAR),
    ]);
    let nasty = "'; DROP TABLE x; -- ü🦀";
    tokens.extend(row(&[
        &chunked(&utf16(nasty), 100, true),
        &short(&(-7_i64).to_le_bytes()),
        &short(&[[1].as_slice(), &110_u128.to_le_bytes()].concat()),
        &short(&[1]),
        &[0xff, 0xff],
    ]));
    tokens.extend(selected(1));
    let server = Server::new(Script::default().answer(statement, finished(tokens))).await;
    let params = vec![
        Param::Text(nasty.into()),
        Param::Number("-7".into()),
        Param::Number("1.10".into()),
        Param::Bool(true),
        Param::Null,
    ];
    let (_, gathered) = server
        .target
        .run(Access::Read, statement, params)
        .await
        .unwrap();
    assert_eq!(
        gathered.rows,
        [[
            text(nasty),
            number("-7"),
            number("1.10"),
            Kept::Bool(true),
            Kept::Null
        ]]
    );
    if let Some(peer) = &server.peer {
        let sent = peer.heard().into_iter().find_map(|heard| match heard {
            tds::Heard::Call {
                statement: run,
                params,
            } if run == statement => Some(params),
            _ => None,
        });
        let value = |text: &str| Some(text.to_owned());
        let sent: Vec<_> = sent.unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            sent,
            [
                value(nasty),
                value("-7"),
                value("110e-2"),
                value("true"),
                None
            ]
        );
    }
    let (_, message, _) = refusal(
        server
            .target
            .run(Access::Read, "SELECT 1 AS v", vec![Param::Null])
            .await,
    );
    assert!(message.contains("@P1"), "{message}");
}

#[tokio::test]
async fn a_change_says_how_many_rows_it_changed_and_shows_what_it_returns() {
    let insert = "INSERT INTO dbo.portcullis_change (id, name) OUTPUT inserted.id VALUES (1, N'a'), (2, N'b')";
    let update = "UPDATE dbo.portcullis_change SET name = N'x'";
    let create = "CREATE TABLE dbo.portcullis_made (id int)";
    let mut output = columns(&[("id", &INT)]);
    output.extend(row(&[&int(1)]));
    output.extend(row(&[&int(2)]));
    output.extend(affected(2));
    let script = Script::default()
        .answer(insert, finished(output))
        .answer(update, finished(affected(2)))
        .answer(create, finished(vec![]));
    let server = Server::new(script).await;
    server
        .prepare(&[
            "DROP TABLE IF EXISTS dbo.portcullis_change, dbo.portcullis_made",
            "CREATE TABLE dbo.portcullis_change (id int PRIMARY KEY, name nvarchar(50))",
        ])
        .await;
    let (completion, gathered) = server.target.write(insert).await.unwrap();
    assert_eq!(completion.affected, Some(2));
    assert_eq!(gathered.rows, [[number("1")], [number("2")]]);
    assert_eq!(
        server.target.write(update).await.unwrap().0.affected,
        Some(2)
    );
    assert_eq!(server.target.write(create).await.unwrap().0.affected, None);
    if let Some(peer) = &server.peer {
        let commits = peer
            .batches()
            .iter()
            .filter(|batch| batch.contains("COMMIT TRANSACTION"))
            .count();
        assert_eq!(commits, 3, "each is committed once");
    }
}

#[tokio::test]
async fn a_change_of_too_many_rows_or_a_rehearsal_is_rolled_back() {
    let update = "UPDATE dbo.portcullis_ending SET name = N'x'";
    let exec = "EXEC sys.sp_executesql N'DELETE FROM dbo.portcullis_ending'";
    let count = "SELECT COUNT(*) AS v FROM dbo.portcullis_ending WHERE name = N'x'";
    let script = Script::default()
        .answer(update, finished(affected(3)))
        .answer(count, one(&INT, &int(0)));
    let server = Server::new(script).await;
    server
        .prepare(&[
            "DROP TABLE IF EXISTS dbo.portcullis_ending",
            "SELECT id, CAST(N'n' AS nvarchar(9)) AS name INTO dbo.portcullis_ending FROM (VALUES (1), (2), (3)) AS t(id)",
        ])
        .await;
    let at_most = |rows| Ending::Commit {
        at_most: Some(rows),
    };
    let answer = server.target.change(at_most(2), update).await;
    assert!(
        matches!(
            answer,
            Err(RunError::TooMany {
                affected: 3,
                at_most: 2
            })
        ),
        "{answer:?}"
    );
    let (completion, _) = server
        .target
        .change(Ending::RollBack, update)
        .await
        .unwrap();
    assert_eq!(completion.affected, Some(3));
    for ending in [Ending::RollBack, at_most(9)] {
        let (_, message, _) = refusal(server.target.change(ending, exec).await);
        assert!(message.contains("it was not run"), "{message}");
    }
    assert_eq!(server.target.value(count).await, number("0"));
    if let Some(peer) = &server.peer {
        assert!(
            !peer
                .batches()
                .iter()
                .any(|batch| batch.contains("COMMIT TRANSACTION"))
        );
        assert_eq!(peer.runs(exec), 0);
    }
    server.target.change(at_most(3), update).await.unwrap();
}

#[tokio::test]
async fn an_error_carries_number_level_state_and_line_and_its_words() {
    let convert = "SELECT CAST(N'bob@example.org' AS int) AS v";
    let said =
        "Conversion failed when converting the nvarchar value 'bob@example.org' to data type int.";
    let mut tokens = columns(&[("v", &INT)]);
    tokens.extend(error(245, 16, said));
    let server = Server::new(Script::default().answer(convert, aborted(tokens))).await;
    for access in [Access::Read, Access::Write] {
        let (code, message, wall) = refusal(server.target.run(access, convert, vec![]).await);
        assert_eq!((&*code, wall), ("Msg 245", false));
        assert_eq!(message, format!("{said}\nLevel 16, State 1, Line 1"));
    }
}

#[tokio::test]
async fn what_a_batch_prints_reaches_the_sink() {
    let statement = "PRINT 'seen 1'; RAISERROR('careful', 10, 1); SELECT 1 AS v";
    let mut tokens = info(0, 0, "seen 1");
    tokens.extend(info(50_000, 10, "careful"));
    tokens.extend(one(&INT, &int(1)));
    let server = Server::new(Script::default().answer(statement, tokens)).await;
    let (_, gathered) = server.target.read(statement).await.unwrap();
    assert_eq!(gathered.notices.len(), 2, "{:?}", gathered.notices);
    assert_eq!(gathered.notices[0], "seen 1");
    assert!(gathered.notices[1].contains("careful"));
    assert_eq!(gathered.rows, [[number("1")]]);
}

#[tokio::test]
async fn a_write_under_the_read_credential_is_refused_by_the_second_wall() {
    let statement = "DELETE FROM dbo.portcullis_wall";
    let denied = "The DELETE permission was denied on the object 'portcullis_wall', database 'crm', schema 'dbo'.";
    let server =
        Server::new(Script::default().answer(statement, failed(error(229, 14, denied)))).await;
    server
        .prepare(&[
            "DROP TABLE IF EXISTS dbo.portcullis_wall",
            "CREATE TABLE dbo.portcullis_wall (id int)",
        ])
        .await;
    let (code, message, wall) = refusal(server.target.read(statement).await);
    assert_eq!((&*code, wall), ("Msg 229", true), "{message}");
    if let Some(peer) = &server.peer {
        peer.hears("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION").await;
        let reads: Vec<_> = peer.logins().iter().map(|login| login.read_only).collect();
        assert_eq!(reads, [true]);
    }
}

#[tokio::test]
async fn what_a_reader_may_not_read_is_no_write_that_was_held() {
    let statement = "SELECT id FROM dbo.portcullis_hidden";
    let denied = "The SELECT permission was denied on the object 'portcullis_hidden', database 'crm', schema 'dbo'.";
    let server =
        Server::new(Script::default().answer(statement, failed(error(229, 14, denied)))).await;
    server
        .prepare(&[
            "DROP TABLE IF EXISTS dbo.portcullis_hidden",
            "CREATE TABLE dbo.portcullis_hidden (id int)",
            "DENY SELECT ON dbo.portcullis_hidden TO portcullis_reader",
        ])
        .await;
    let (code, message, wall) = refusal(server.target.read(statement).await);
    assert_eq!((&*code, wall), ("Msg 229", false), "{message}");
}

#[tokio::test]
async fn a_second_result_is_refused_in_a_read() {
    let statement = "SELECT 1 AS a; SELECT 2 AS b";
    let mut tokens = columns(&[("a", &INT)]);
    tokens.extend(row(&[&int(1)]));
    tokens.extend(selected(1));
    tokens.extend(columns(&[("b", &INT)]));
    tokens.extend(row(&[&int(2)]));
    tokens.extend(selected(1));
    let next = "SELECT 3 AS v";
    let script = Script::default()
        .answer(statement, finished(tokens))
        .answer(next, one(&INT, &int(3)));
    let server = Server::new(script).await;
    let (_, message, _) = refusal(server.target.read(statement).await);
    assert!(message.contains("one at a time"), "{message}");
    assert_eq!(server.target.value(next).await, number("3"));
}

#[tokio::test]
async fn a_statement_is_stopped_at_its_time_limit_or_when_its_caller_leaves() {
    let statement = "WAITFOR DELAY '00:01:00'";
    let next = "SELECT 3 AS v";
    let script = Script::default()
        .on(statement, vec![Act::Wait])
        .answer(next, one(&INT, &int(3)));
    let server = Server::new(script).await;
    let target = server.target.timeout(300);
    for access in [Access::Read, Access::Write] {
        let began = std::time::Instant::now();
        let answer = target.run(access, statement, vec![]).await;
        assert!(
            matches!(answer, Err(RunError::Cancelled { timeout: true })),
            "{answer:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(2));
        assert_eq!(target.value(next).await, number("3"));
    }
    let target = Target {
        budget: Budget::default(),
        ..target
    };
    let leave = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        target.cancel.cancel();
    };
    let (answer, ()) = tokio::join!(target.write(statement), leave);
    assert!(
        matches!(answer, Err(RunError::Cancelled { timeout: false })),
        "{answer:?}"
    );
    if let Some(peer) = &server.peer {
        let attentions = peer
            .heard()
            .into_iter()
            .filter(|heard| *heard == tds::Heard::Attention);
        assert_eq!(attentions.count(), 3);
        assert!(
            !peer
                .batches()
                .iter()
                .any(|batch| batch.contains("COMMIT TRANSACTION"))
        );
    }
}

#[tokio::test]
async fn a_full_sink_stops_a_long_result_at_once() {
    let statement = "SELECT CAST(a.object_id AS int) AS v FROM sys.all_objects a, sys.all_objects b, sys.all_objects c";
    let next = "SELECT 3 AS v";
    let script = Script::default()
        .on(
            statement,
            vec![
                Act::Tokens(columns(&[("v", &INT)])),
                Act::Many(row(&[&int(9)]), 100_000_000),
            ],
        )
        .answer(next, one(&INT, &int(3)));
    let server = Server::new(script).await;
    let mut sink = Gathered {
        stop_after: Some(1000),
        ..Gathered::default()
    };
    let began = std::time::Instant::now();
    server
        .target
        .run_into(Access::Read, statement, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.rows.len(), 1000);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.target.value(next).await, number("3"));
    if let Some(peer) = &server.peer {
        assert_eq!(peer.logins().len(), 1, "the connection was kept");
    }
}

#[tokio::test]
async fn nothing_a_statement_does_to_its_session_is_left_for_the_next_one() {
    let change = "EXEC sys.sp_set_session_context N'left', N'behind'; SET LANGUAGE German";
    let look = "SELECT CONCAT(@@LANGUAGE, '|', CAST(SESSION_CONTEXT(N'left') AS nvarchar(20)), '|', @@TRANCOUNT, '|', SESSIONPROPERTY('QUOTED_IDENTIFIER')) AS v";
    let script = Script::default()
        .answer(change, finished(vec![]))
        .answer(look, one(&NVARCHAR, &nvarchar("us_english||1|1")));
    let server = Server::new(script).await;
    let fresh = text("us_english||1|1");
    for access in [Access::Read, Access::Write] {
        server.target.run(access, change, vec![]).await.unwrap();
        let (_, gathered) = server.target.run(access, look, vec![]).await.unwrap();
        assert_eq!(gathered.rows, [[fresh.clone()]]);
    }
    if let Some(peer) = &server.peer {
        assert_eq!(peer.logins().len(), 2, "one connection each is lent again");
        let openings: Vec<_> = peer
            .heard()
            .into_iter()
            .filter_map(|heard| match heard {
                tds::Heard::Batch { reset, text } if text.contains("BEGIN TRANSACTION") => {
                    Some(reset)
                }
                _ => None,
            })
            .collect();
        assert_eq!(openings, [false, true, false, true]);
    }
}

#[tokio::test]
async fn an_output_column_leads_back_to_its_base_column_through_aliases_and_views() {
    let statement = "SELECT p.contact AS harmless, p.shout, u.id, 1 AS one FROM dbo.portcullis_people p JOIN dbo.portcullis_users u ON 1 = 1";
    let told = |name, base, view| Told { name, base, view };
    let mut tokens = columns(&[
        ("harmless", &NVARCHAR),
        ("shout", &NVARCHAR),
        ("id", &INT),
        ("one", &INT),
    ]);
    tokens.extend(selected(0));
    let mut script = Script::default()
        .answer(statement, finished(tokens))
        .describe(
            statement,
            vec![
                told(
                    "harmless",
                    Some(["dbo", "portcullis_users", "email"]),
                    Some(["dbo", "portcullis_people", "contact"]),
                ),
                told("shout", None, Some(["dbo", "portcullis_people", "shout"])),
                told("id", Some(["dbo", "portcullis_users", "id"]), None),
                told("one", None, None),
            ],
        );
    script.behind.insert(
        "dbo.portcullis_people".into(),
        vec![
            ["dbo", "portcullis_users", "email"],
            ["dbo", "portcullis_users", "id"],
            ["dbo", "portcullis_users", "name"],
        ],
    );
    let server = Server::new(script).await;
    server
        .prepare(&[
            "DROP VIEW IF EXISTS dbo.portcullis_people",
            "DROP TABLE IF EXISTS dbo.portcullis_users",
            "CREATE TABLE dbo.portcullis_users (id int, email nvarchar(50), name nvarchar(50))",
            "CREATE VIEW dbo.portcullis_people AS SELECT email AS contact, UPPER(name) AS shout FROM dbo.portcullis_users",
        ])
        .await;
    for _known in [false, true] {
        let (_, gathered) = server.target.read(statement).await.unwrap();
        let origins: Vec<_> = gathered
            .columns
            .iter()
            .map(|column| {
                column.origin.as_ref().map(|origin| {
                    let mut also: Vec<_> =
                        origin.also.iter().map(|base| base.column.clone()).collect();
                    also.sort();
                    (
                        format!("{}.{}", origin.relation, origin.column),
                        also.join(","),
                    )
                })
            })
            .collect();
        let from = |name: &str, also: &str| Some((name.to_owned(), also.to_owned()));
        assert_eq!(
            origins,
            [
                from("portcullis_people.contact", "email"),
                from("portcullis_people.shout", "email,id,name"),
                from("portcullis_users.id", ""),
                None,
            ]
        );
    }
}

#[tokio::test]
async fn a_preview_says_that_it_does_not_estimate() {
    let server = Server::new(Script::default()).await;
    let operation = operation("DELETE FROM dbo.accounts", vec![]);
    let found = server
        .target
        .targets
        .preview(&name(), &operation, Duration::from_secs(1))
        .await;
    assert_eq!(found.estimated_rows, None);
    assert!(found.note.contains("plans a change only"), "{}", found.note);
    if let Some(peer) = &server.peer {
        assert!(peer.heard().is_empty());
    }
}
