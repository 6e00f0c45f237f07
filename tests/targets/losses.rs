//! Connections that break at the worst moment: what is said about the effect is what is known about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::support::postgres::{Database, database, server};

#[derive(Clone, Copy)]
enum Then {
    /// Both ends see the connection close.
    Close,
    /// Nothing more passes in either direction, and nobody else gets through.
    Silence,
}

/// A network that passes everything on until the client says `word`, which the server still gets to hear.
async fn network(word: &'static str, then: Then) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if said.load(Ordering::SeqCst) {
                // Held open and never answered.
                std::mem::forget(client);
                continue;
            }
            let upstream = TcpStream::connect(("127.0.0.1", server().port))
                .await
                .unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            let heard = said.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    if heard.load(Ordering::SeqCst)
                        || to_client.write_all(&buffer[..read]).await.is_err()
                    {
                        break;
                    }
                }
                if matches!(then, Then::Silence) {
                    std::future::pending::<()>().await;
                }
            });
            let said = said.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    let text = &buffer[..read];
                    let last = text.windows(word.len()).any(|part| part == word.as_bytes());
                    if last {
                        said.store(true, Ordering::SeqCst);
                    }
                    if to_server.write_all(text).await.is_err() {
                        break;
                    }
                    if last && matches!(then, Then::Silence) {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    port
}

async fn through(database: &Database, word: &'static str, then: Then) -> Target {
    let port = network(word, then).await;
    let direct = format!("127.0.0.1:{}", server().port);
    let detour = format!("127.0.0.1:{port}");
    let url = |url: String| url.replace(&direct, &detour);
    Target::of(
        ConnectionKind::Postgres,
        &url(database.read_url()),
        &url(database.write_url()),
    )
}

async fn with_accounts() -> Database {
    let database = database().await;
    database
        .prepare("CREATE TABLE accounts (id int); INSERT INTO accounts VALUES (1)")
        .await;
    database
}

#[tokio::test]
async fn a_connection_lost_after_the_commit_was_sent_means_nobody_knows() {
    let database = with_accounts().await;
    let target = through(&database, "COMMIT", Then::Close).await;
    let answer = target.write("DELETE FROM accounts").await;
    assert!(matches!(answer, Err(RunError::Unknown(_))), "{answer:?}");
    // And indeed: it was done.
    let direct = Target::postgres(&database);
    assert_eq!(
        direct.value("SELECT count(*) FROM accounts").await,
        number("0")
    );
}

#[tokio::test]
async fn a_connection_lost_while_a_statement_runs_means_nothing_was_changed() {
    let database = with_accounts().await;
    for access in [Access::Read, Access::Write] {
        let target = through(&database, "lock_timeout", Then::Close).await;
        let answer = target.run(access, "DELETE FROM accounts", vec![]).await;
        let (code, message, _) = refusal(answer);
        assert_eq!(code, "08006", "{message}");
        assert!(message.contains("change"), "{message}");
    }
    let direct = Target::postgres(&database);
    assert_eq!(
        direct.value("SELECT count(*) FROM accounts").await,
        number("1")
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_cancellation_leaves_an_effect_unknown_and_a_read_cancelled()
 {
    let database = with_accounts().await;
    let began = Instant::now();
    let silent = async |access| {
        let target = through(&database, "pg_sleep(7)", Then::Silence)
            .await
            .timeout(200);
        target.run(access, "SELECT pg_sleep(7)", vec![]).await
    };
    let (read, write) = tokio::join!(silent(Access::Read), silent(Access::Write));
    assert!(
        matches!(read, Err(RunError::Cancelled { timeout: true })),
        "{read:?}"
    );
    assert!(matches!(write, Err(RunError::Unknown(_))), "{write:?}");
    assert!(began.elapsed() < Duration::from_secs(6));
}
