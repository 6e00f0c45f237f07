//! SQL Server's protocol where only a peer of our own can show it: logins and their proofs, connections that break at the
//! worst moment, and servers that say what no server should.

use std::time::Instant;

use super::*;
use crate::support::tds::{
    Act, Heard, INT, Login, Manners, NVARCHAR, NVARCHAR_MAX, Peer, Script, Told, aborted, affected,
    chunked, columns, ended, error, failed, finished, identity, int, nvarchar, row, selected,
};

const ONE: &str = "SELECT 1 AS v";
const DELETE: &str = "DELETE FROM dbo.accounts";

fn script() -> Script {
    let mut tokens = columns(&[("v", &INT)]);
    tokens.extend(row(&[&int(1)]));
    tokens.extend(selected(1));
    Script::default()
        .answer(ONE, finished(tokens))
        .answer(DELETE, finished(affected(7)))
}

fn target(peer: &Peer) -> Target {
    Target::of(ConnectionKind::Mssql, &peer.url(), &peer.url())
}

fn at(url: &str) -> Target {
    Target::of(ConnectionKind::Mssql, url, url)
}

fn unreachable(answer: Answer) -> String {
    match answer {
        Err(RunError::Unreachable(why)) => why,
        other => panic!("reached: {other:?}"),
    }
}

fn unknown(answer: Answer) -> String {
    match answer {
        Err(RunError::Unknown(why)) => why,
        other => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test]
async fn a_login_is_encrypted_and_says_what_it_is_for() {
    let peer = script().start();
    let target = target(&peer);
    target.read(ONE).await.unwrap();
    target.write(ONE).await.unwrap();
    let logins = peer.logins();
    let expected = Login {
        version: 0x7400_0004,
        user: "reader".into(),
        password: crate::support::tds::PASSWORD.into(),
        database: "crm".into(),
        application: "portcullis".into(),
        language: "us_english".into(),
        token: None,
        echo: false,
        read_only: true,
        utf8: true,
        encrypted: true,
    };
    let write = Login {
        read_only: false,
        ..expected.clone()
    };
    assert_eq!(logins, [expected, write]);
}

#[tokio::test]
async fn a_server_is_believed_under_the_right_authority_and_the_right_name_only() {
    let strict = script().manners(Manners::Strict).start();
    let url = |peer: &Peer, host: &str, options: &str, authority: &std::path::Path| {
        let url = peer.url_with(options).replace("localhost", host);
        format!("{url}&sslrootcert={}", authority.display())
    };
    let right = &identity().authority;
    at(&url(&strict, "localhost", "encrypt=strict", right))
        .read(ONE)
        .await
        .unwrap();
    assert_eq!(strict.logins()[0].version, 0x0800_0000);
    let inside = script().start();
    for (peer, options) in [(&inside, "encrypt=on"), (&strict, "encrypt=strict")] {
        for wrong in [
            url(peer, "localhost", options, &identity().stranger),
            url(peer, "127.0.0.1", options, right),
        ] {
            let why = unreachable(at(&wrong).read(ONE).await);
            assert!(why.contains("TLS failed"), "{why}");
        }
    }
    assert!(
        inside.logins().is_empty(),
        "nothing was told to who was not proven"
    );
}

#[tokio::test]
async fn a_server_without_encryption_hears_no_password_unless_the_url_says_so() {
    let peer = script().manners(Manners::NoEncryption).start();
    let why = unreachable(target(&peer).read(ONE).await);
    assert!(why.contains("does not offer encryption"), "{why}");
    assert!(peer.logins().is_empty());
    at(&peer.url_with("encrypt=off")).read(ONE).await.unwrap();
    assert!(!peer.logins()[0].encrypted);
    let insisting = script().manners(Manners::InsistsOnEncryption).start();
    let why = unreachable(at(&insisting.url_with("encrypt=off")).read(ONE).await);
    assert!(why.contains("insists on encryption"), "{why}");
    let early = script().manners(Manners::SpeaksBeforeEncryption).start();
    unreachable(target(&early).read(ONE).await);
    assert!(early.logins().is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password_or_the_servers_words() {
    let peer = script().start();
    let wrong = peer.url().replace("p%2Fw", "hunter2");
    let why = unreachable(at(&wrong).read(ONE).await);
    assert!(why.contains("Msg 18456"), "{why}");
    assert!(!why.contains("hunter2") && !why.contains("reader"), "{why}");
}

#[tokio::test]
async fn a_referral_is_followed_and_proven_like_any_server() {
    let there = script().start();
    let referring = |host: &str, port| {
        let script = Script {
            refer_to: Some((host.into(), port)),
            ..Script::default()
        };
        script.start()
    };
    let here = referring("localhost", there.port);
    target(&here).read(ONE).await.unwrap();
    assert_eq!((here.logins().len(), there.runs(ONE)), (1, 1));
    let elsewhere = referring("127.0.0.1", there.port);
    let why = unreachable(target(&elsewhere).read(ONE).await);
    assert!(
        why.contains("TLS failed"),
        "the certificate is for localhost: {why}"
    );
    let first = referring("localhost", there.port);
    let second = referring("localhost", first.port);
    let third = referring("localhost", second.port);
    target(&third).read(ONE).await.unwrap();
    let fourth = referring("localhost", third.port);
    let why = unreachable(target(&fourth).read(ONE).await);
    assert!(why.contains("without end"), "{why}");
}

#[tokio::test]
async fn a_credential_whose_names_would_mean_another_schema_is_refused() {
    let peer = script().manners(Manners::NoDefaultSchema).start();
    let why = unreachable(target(&peer).read(ONE).await);
    assert!(why.contains("WITH DEFAULT_SCHEMA = dbo"), "{why}");
}

#[tokio::test]
async fn a_session_the_server_did_not_reset_is_not_used_again() {
    let peer = script().manners(Manners::NeverResets).start();
    let target = target(&peer);
    target.read(ONE).await.unwrap();
    let (code, message, _) = refusal(target.read(ONE).await);
    assert_eq!(code, "08S01");
    assert!(message.contains("did not reset"), "{message}");
    assert_eq!(peer.runs(ONE), 1, "nothing was run in it");
    target.read(ONE).await.unwrap();
}

#[tokio::test]
async fn a_connection_lost_after_the_commit_was_sent_means_nobody_knows() {
    for manners in [Manners::HangsUpAtCommit, Manners::SilentAtCommit] {
        let peer = script().manners(manners).start();
        let began = Instant::now();
        unknown(target(&peer).timeout(300).write(DELETE).await);
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(peer.runs(DELETE), 1, "and it is not tried again");
    }
    let peer = script().manners(Manners::RefusesCommit).start();
    let (code, ..) = refusal(target(&peer).write(DELETE).await);
    assert_eq!(code, "Msg 3998");
}

#[tokio::test]
async fn a_connection_lost_while_a_statement_runs_means_nothing_was_changed() {
    let peer = Script::default()
        .on(DELETE, vec![Act::Tokens(affected(3)), Act::HangUp])
        .start();
    for access in [Access::Read, Access::Write] {
        let (code, message, _) = refusal(target(&peer).run(access, DELETE, vec![]).await);
        assert_eq!(code, "08S01");
        assert!(message.contains("change"), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_attention_leaves_an_effect_unknown_and_a_read_cancelled()
{
    let peer = Script::default().on(DELETE, vec![Act::Silence]).start();
    let target = target(&peer).timeout(200);
    let (read, write) = tokio::join!(target.read(DELETE), target.write(DELETE));
    assert!(
        matches!(read, Err(RunError::Cancelled { timeout: true })),
        "{read:?}"
    );
    unknown(write);
    assert!(peer.heard().contains(&Heard::Attention));
}

#[tokio::test]
async fn an_execution_that_is_dropped_stops_the_statement_at_the_server() {
    let peer = Script::default().on(DELETE, vec![Act::Wait]).start();
    for access in [Access::Read, Access::Write] {
        let target = target(&peer);
        let runs = peer.runs(DELETE);
        let seen = async {
            while peer.runs(DELETE) == runs {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = target.run(access, DELETE, vec![]) => panic!("{answer:?}"),
            () = seen => {}
        }
    }
    let began = Instant::now();
    while peer
        .heard()
        .iter()
        .filter(|heard| **heard == Heard::Attention)
        .count()
        < 2
    {
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "it was left running"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_statement_that_ended_its_transaction_itself_is_never_said_to_be_undone() {
    let committed = [affected(3), ended(9)].concat();
    let mismatch = error(
        266,
        16,
        "Transaction count after EXECUTE indicates a mismatching number.",
    );
    let peer = Script::default()
        .answer("quiet", finished(committed.clone()))
        .answer(
            "counted",
            failed([committed.clone(), mismatch.clone()].concat()),
        )
        .answer(
            "then failed",
            failed(
                [
                    committed,
                    error(8134, 16, "Divide by zero error encountered."),
                ]
                .concat(),
            ),
        )
        .answer(
            "error first",
            failed([error(50_000, 16, "no"), affected(3), ended(9)].concat()),
        )
        .answer(
            "aborted",
            aborted(error(8134, 16, "Divide by zero error encountered.")),
        )
        .answer(
            "DELETE quietly",
            finished([affected(3), ended(10)].concat()),
        )
        .start();
    let target = target(&peer);
    // What wants to commit has done so; in a read nothing should have.
    for statement in ["quiet", "counted"] {
        assert_eq!(
            target.write(statement).await.unwrap().0.affected,
            Some(3),
            "{statement}"
        );
        unknown(target.read(statement).await);
    }
    for statement in ["then failed", "error first"] {
        unknown(target.write(statement).await);
        unknown(target.read(statement).await);
    }
    let (code, ..) = refusal(target.write("aborted").await);
    assert_eq!(code, "Msg 8134", "the server rolls back what fails");
    refusal(target.read("aborted").await);
    unknown(target.change(Ending::RollBack, "DELETE quietly").await);
    assert!(
        !peer
            .batches()
            .iter()
            .any(|batch| batch.contains("COMMIT TRANSACTION"))
    );
}

#[tokio::test]
async fn a_failure_without_a_word_is_a_failure() {
    let peer = Script::default()
        .answer(DELETE, failed(affected(7)))
        .start();
    for access in [Access::Read, Access::Write] {
        let (_, message, _) = refusal(target(&peer).run(access, DELETE, vec![]).await);
        assert!(message.contains("and not why"), "{message}");
    }
    let batches = peer.batches();
    assert!(
        !batches
            .iter()
            .any(|batch| batch.contains("COMMIT TRANSACTION"))
    );
}

#[tokio::test]
async fn what_runs_outside_transactions_only_is_run_there_once_and_never_rehearsed() {
    let alter = "ALTER DATABASE crm SET READ_COMMITTED_SNAPSHOT ON";
    let within = "SELECT 1 AS v; ALTER DATABASE crm SET READ_COMMITTED_SNAPSHOT ON";
    let refused = failed(error(
        226,
        16,
        "ALTER DATABASE statement not allowed within multi-statement transaction.",
    ));
    let peer = Script::default()
        .answer(alter, refused.clone())
        .answer(within, refused)
        .start();
    let target = target(&peer);
    let why = unknown(target.write(alter).await);
    assert!(why.contains("Msg 226"), "{why}");
    assert_eq!(peer.runs(alter), 2, "once in a transaction, once outside");
    let (code, ..) = refusal(target.write(within).await);
    assert_eq!((&*code, peer.runs(within)), ("Msg 226", 1));
    let (_, message, _) = refusal(target.change(Ending::RollBack, alter).await);
    assert!(message.contains("could not be rolled back"), "{message}");
    assert_eq!(peer.runs(alter), 3);
}

#[tokio::test]
async fn a_result_of_a_million_rows_takes_the_memory_of_one() {
    let rows = "SELECT many";
    let peer = Script::default()
        .on(
            rows,
            vec![
                Act::Tokens(columns(&[("v", &INT), ("w", &NVARCHAR)])),
                Act::Many(row(&[&int(9), &nvarchar(&"x".repeat(50))]), 1_100_000),
            ],
        )
        .start();
    let target = target(&peer);
    let resident = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    let mut sink = Gathered {
        drop_rows: true,
        stop_after: Some(1_000_000),
        ..Gathered::default()
    };
    target
        .run_into(Access::Read, rows, vec![], &mut sink)
        .await
        .unwrap();
    assert_eq!(sink.taken, 1_000_000);
    // Of more than 100 MiB that came; what other tests of this process hold meanwhile is in it.
    let grown = resident().saturating_sub(before);
    assert!(grown < 50 << 10, "grew by {grown} KiB");
}

#[tokio::test]
async fn a_row_beyond_all_bounds_is_refused_before_it_is_fetched() {
    let mut huge = columns(&[("v", &NVARCHAR_MAX)]);
    huge.push(0xd1);
    huge.extend((u64::MAX - 1).to_le_bytes());
    huge.extend(0x7fff_0000_u32.to_le_bytes());
    let mut many = columns(&[("v", &NVARCHAR_MAX)]);
    many.extend(row(&[&chunked(&vec![b'x'; 4 << 20], 1000, false)]));
    let peer = script()
        .on("SELECT huge", vec![Act::Tokens(huge), Act::Wait])
        .answer("SELECT many", finished(many))
        .start();
    let mut target = target(&peer);
    target.budget.bytes = 1 << 20;
    for statement in ["SELECT huge", "SELECT many"] {
        let (_, message, _) = refusal(target.read(statement).await);
        assert!(message.contains("one row of the result"), "{message}");
    }
    target.read(ONE).await.unwrap();
}

#[tokio::test]
async fn a_result_that_is_not_what_was_described_is_never_shown() {
    let statement = "SELECT * FROM dbo.accounts";
    let mut tokens = columns(&[("id", &INT), ("secret", &NVARCHAR)]);
    tokens.extend(row(&[&int(1), &nvarchar("s")]));
    tokens.extend(selected(1));
    let told = |name, base| Told {
        name,
        base,
        view: None,
    };
    let peer = Script::default()
        .answer(statement, finished(tokens))
        .describe(statement, vec![told("id", Some(["dbo", "accounts", "id"]))])
        .start();
    let mut sink = Gathered::default();
    let answer = target(&peer)
        .run_into(Access::Read, statement, vec![], &mut sink)
        .await;
    let (_, message, _) = refusal(answer);
    assert!(message.contains("ask again"), "{message}");
    assert!(sink.columns.is_empty() && sink.rows.is_empty());
}

#[tokio::test]
async fn a_value_that_cannot_be_decoded_is_refused_with_what_to_do() {
    let statement = "SELECT old FROM dbo.accounts";
    // Code page 437, of which nothing but ASCII is known.
    let mut tokens = columns(&[("old", &[0xa7, 20, 0, 9, 4, 0, 0, 30])]);
    tokens.extend(row(&[&[1, 0, 0x82]]));
    let peer = Script::default()
        .answer(statement, finished(tokens))
        .start();
    let (_, message, _) = refusal(target(&peer).read(statement).await);
    assert!(
        message.contains("column `old` of type varchar") && message.contains("cast it"),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection_and_nothing_worse() {
    let whole = {
        let mut tokens = columns(&[("v", &INT), ("w", &NVARCHAR_MAX)]);
        tokens.extend(row(&[&int(9), &chunked(b"a\0b\0c\0", 4, false)]));
        tokens.extend(error(50_000, 16, "no"));
        tokens
    };
    let mut script = script();
    let mut statements = Vec::new();
    // Cut off anywhere, and with any one byte turned into another.
    for at in 0..whole.len() {
        for changed in [None, Some(0x00), Some(0xff)] {
            let statement = format!("SELECT {at} {changed:?}");
            let mut tokens = whole.clone();
            match changed {
                None => tokens.truncate(at),
                Some(byte) => tokens[at] = byte,
            }
            script = script.answer(&statement, tokens);
            statements.push(statement);
        }
    }
    let peer = script.start();
    let target = at(&peer.url_with("encrypt=off"));
    for statement in &statements {
        // Whether something of it can be read is its affair.
        let _answer = target.read(statement).await;
    }
    target.read(ONE).await.unwrap();
}
