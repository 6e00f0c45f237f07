//! What only a store in one file has to hold: crashes, full disks, locks, other programs, and what the file looks like.

use super::*;

fn directory() -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data").join("record.db");
    (directory, path)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Every session must be whole batches of an intact chain; returns how many events each has.
async fn intact(store: &impl EventStore, sessions: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut found = Vec::new();
    for of in sessions {
        let events = store.session(&session(of)).await.unwrap();
        let head = verify_chain(&session(of), &events).unwrap();
        assert_eq!(
            store
                .head(&session(of))
                .await
                .unwrap()
                .unwrap_or(Head::GENESIS),
            head
        );
        found.push(head.seq);
    }
    found
}

#[test]
fn the_record_is_there_again_after_its_process_and_so_is_what_was_still_queued() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    run(async {
        let mut batch = a_read(1, 0);
        batch.key = Some(wrapped("a2V5"));
        append(&store, batch).await;
        for of in 2..300 {
            // Whoever asked leaves before the answer.
            let _ = store.append(a_read(of, 0)).now_or_never();
        }
    });
    drop(store);
    let wal = std::fs::metadata(with(&path, "-wal")).map_or(0, |wal| wal.len());
    assert_eq!(wal, 0, "a clean end leaves nothing in the log");
    let store = Sqlite::open(&path).unwrap();
    run(async {
        assert_eq!(intact(&store, 1..300).await, vec![3; 299]);
        assert_eq!(store.key(&session(1)).await.unwrap(), Some(wrapped("a2V5")));
        let head = store.head(&session(1)).await.unwrap().unwrap();
        append(&store, batch(&session(1), head, 1, vec![opened("x")])).await;
    });
}

#[test]
fn a_power_cut_leaves_whole_batches_and_every_acknowledged_one() {
    let (directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    // The log's length once each append was acknowledged.
    let mut lengths = Vec::new();
    run(async {
        for of in 0..12 {
            append(&store, a_read(of, 0)).await;
            lengths.push(std::fs::metadata(with(&path, "-wal")).unwrap().len());
        }
    });
    let log = std::fs::read(with(&path, "-wal")).unwrap();
    let after = directory.path().join("after").join("record.db");
    std::fs::create_dir(after.parent().unwrap()).unwrap();
    for cut in (0..log.len()).step_by(7919).chain([log.len()]) {
        let _ = std::fs::remove_file(with(&after, "-shm"));
        std::fs::copy(&path, &after).unwrap();
        std::fs::write(with(&after, "-wal"), &log[..cut]).unwrap();
        let store = hasty(&after);
        let found = run(intact(&store, 0..12));
        let acknowledged = lengths
            .iter()
            .filter(|length| **length <= cut as u64)
            .count();
        let whole = found.iter().take_while(|events| **events == 3).count();
        assert!(whole >= acknowledged, "{found:?} at {cut}");
        assert!(
            found[whole..].iter().all(|events| *events == 0),
            "{found:?} at {cut}"
        );
    }
    drop(store);
}

#[test]
fn a_log_made_longer_ahead_of_its_use_is_read_back_to_its_last_append_and_no_further() {
    let (directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    let log = with(&path, "-wal");
    let length = || std::fs::metadata(&log).unwrap().len();
    run(async {
        for of in 0..3 {
            append(&store, a_read(of, 0)).await;
        }
        let began = std::time::Instant::now();
        while length() < 1 << 20 {
            assert!(
                began.elapsed().as_secs() < 20,
                "the log is never made longer"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for of in 3..6 {
            append(&store, a_read(of, 0)).await;
        }
    });
    let after = directory.path().join("after").join("record.db");
    std::fs::create_dir(after.parent().unwrap()).unwrap();
    std::fs::copy(&path, &after).unwrap();
    std::fs::copy(&log, with(&after, "-wal")).unwrap();
    let again = hasty(&after);
    assert_eq!(run(intact(&again, 0..7)), vec![3, 3, 3, 3, 3, 3, 0]);
}

/// Appends and says so, one line each, until it is killed: the other half of the test below. By itself it appends a few.
#[test]
fn a_writer_says_what_is_durable_only_after_it_is() {
    let told_to = std::env::var_os("PORTCULLIS_TEST_RECORD").map(PathBuf::from);
    let (_directory, own) = directory();
    let path = told_to.as_ref().unwrap_or(&own);
    let store = Arc::new(Sqlite::open(path).unwrap());
    let last = if told_to.is_some() { u64::MAX } else { 5 };
    run(async {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for of in 0..last {
                        append(&*store, a_read(writer + of * 4, 0)).await;
                        println!("durable {}", writer + of * 4);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(intact(&*store, 0..20).await, vec![3; 20]);
    });
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_and_writes_nothing_by_halves() {
    use std::io::{BufRead, BufReader};
    let (_directory, path) = directory();
    let mut writer = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::file::a_writer_says_what_is_durable_only_after_it_is",
            "--nocapture",
        ])
        .env("PORTCULLIS_TEST_RECORD", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut take = |lines: &mut dyn Iterator<Item = std::io::Result<String>>, most: usize| {
        for line in lines.take(most) {
            let line = line.unwrap();
            if let Some((_, of)) = line.split_once("durable ") {
                acknowledged.push(of.parse::<u64>().unwrap());
            }
        }
    };
    take(&mut lines, 200);
    let held = Sqlite::open(&path).unwrap_err();
    assert!(matches!(held, OpenError::Held { .. }), "{held:?}");
    writer.kill().unwrap();
    writer.wait().unwrap();
    take(&mut lines, usize::MAX);
    assert!(acknowledged.len() >= 100);
    let store = Sqlite::open(&path).unwrap();
    let most = acknowledged.iter().max().unwrap() + 8;
    let found = run(intact(&store, 0..most));
    assert!(found.iter().all(|events| [0, 3].contains(events)));
    for of in acknowledged {
        assert_eq!(found[of as usize], 3, "session {of} was acknowledged");
    }
}

#[test]
fn a_second_gateway_on_the_same_record_is_told_so() {
    let (_directory, path) = directory();
    let first = Sqlite::open(&path).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Held { .. }));
    assert!(error.to_string().contains("record.db"), "{error}");
    drop(first);
    Sqlite::open(&path).unwrap();
}

#[test]
fn a_full_disk_fails_the_append_whole_and_the_record_goes_on_when_there_is_space() {
    let (_directory, path) = directory();
    let store = Sqlite::open_with(&path, |connection| {
        connection.pragma_update(None, "max_page_count", 40)
    })
    .unwrap();
    let appended = run(async {
        let mut appended = 0;
        let error = loop {
            match store.append(a_read(appended, 0)).await {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
        };
        let AppendError::Unavailable(source) = error else {
            panic!("{error:?}");
        };
        let told = source.to_string();
        assert!(
            told.contains("record.db") && told.contains("full"),
            "{told}"
        );
        assert!(appended > 5);
        let found = intact(&store, 0..=appended).await;
        assert_eq!(found[..appended as usize], vec![3; appended as usize]);
        assert_eq!(found[appended as usize], 0);
        let query = Query {
            limit: 200,
            ..Query::default()
        };
        let page = store.search(&query).await.unwrap();
        assert_eq!(page.requests.len() as u64, appended);
        appended
    });
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    run(append(&store, a_read(appended, 0)));
}

#[test]
fn a_record_another_program_has_locked_is_unavailable_and_says_which() {
    let (_directory, path) = directory();
    let store =
        Sqlite::open_with(&path, |connection| connection.busy_timeout(Duration::ZERO)).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run(async {
        let Err(AppendError::Unavailable(source)) = store.append(a_read(1, 0)).await else {
            panic!("it was locked");
        };
        let told = source.to_string();
        assert!(
            told.contains("record.db") && told.contains("locked"),
            "{told}"
        );
        // Reading goes on.
        assert_eq!(store.head(&session(1)).await.unwrap(), None);
        other.execute_batch("ROLLBACK").unwrap();
        append(&store, a_read(1, 0)).await;
    });
}

#[test]
fn more_appends_than_may_wait_are_refused_and_the_others_are_written() {
    let (_directory, path) = directory();
    let store = Sqlite::open_with(&path, |connection| {
        connection.busy_timeout(Duration::from_secs(20))
    })
    .unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    run(async {
        let mut waiting = Vec::new();
        let mut refused = 0;
        for of in 0..1500 {
            let mut append = Box::pin(store.append(a_read(of, 0)));
            match append.as_mut().now_or_never() {
                None => waiting.push((of, append)),
                Some(Err(AppendError::Unavailable(source))) => {
                    assert!(source.to_string().contains("waiting"), "{source}");
                    refused += 1;
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        assert!(refused >= 1500 - 1024 - 256, "{refused}");
        other.execute_batch("ROLLBACK").unwrap();
        let written = waiting.len();
        for (_, append) in waiting {
            let _ = append.await.unwrap();
        }
        let found = intact(&store, 0..1500).await;
        assert_eq!(found.iter().filter(|events| **events == 3).count(), written);
        assert_eq!(found.iter().filter(|events| **events == 0).count(), refused);
    });
}

#[test]
fn large_appends_that_wait_are_bounded_by_their_bytes() {
    let (_directory, path) = directory();
    let store = Sqlite::open_with(&path, |connection| {
        connection.busy_timeout(Duration::from_secs(20))
    })
    .unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let large = |of, bytes| {
        let reason = "x".repeat(bytes);
        let closed = EventBody::SessionClosed(SessionClosed { reason });
        batch(&session(of), Head::GENESIS, 0, vec![closed])
    };
    run(async {
        // One alone is taken however large it is; beside it nothing is, until it is written.
        let mut first = Box::pin(store.append(large(1, 33 << 20)));
        assert!(first.as_mut().now_or_never().is_none());
        let refused = store.append(large(2, 1)).await.unwrap_err();
        let AppendError::Unavailable(source) = refused else {
            panic!("{refused:?}");
        };
        assert!(source.to_string().contains("waiting"), "{source}");
        other.execute_batch("ROLLBACK").unwrap();
        let _ = first.await.unwrap();
        append(&store, large(2, 1)).await;
        assert_eq!(intact(&store, 1..3).await, [1, 1]);
    });
}

#[test]
fn no_program_can_change_or_delete_an_event() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    run(append(&store, a_read(1, 0)));
    drop(store);
    let other = rusqlite::Connection::open(&path).unwrap();
    for statement in [
        "UPDATE events SET body = '{}'",
        "UPDATE events SET seq = 9 WHERE seq = 1",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 2",
    ] {
        let error = other.execute_batch(statement).unwrap_err().to_string();
        assert!(
            error.contains("the record only grows"),
            "{statement}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_record_and_enter_its_directory() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    run(append(&store, a_read(1, 0)));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[test]
fn a_file_that_is_no_record_is_left_alone_and_named() {
    let (_directory, path) = directory();
    let told = || {
        let before = std::fs::read(&path).unwrap();
        let error = Sqlite::open(&path).unwrap_err().to_string();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(error.contains("record.db"), "{error}");
        error
    };
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(
        &path,
        "these are notes, and not a database, however long they are".repeat(40),
    )
    .unwrap();
    assert!(told().contains("not a record"), "{}", told());

    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(other);
    assert!(told().contains("not a record"), "{}", told());

    std::fs::remove_file(&path).unwrap();
    drop(Sqlite::open(&path).unwrap());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 7).unwrap();
    drop(other);
    assert!(told().contains("newer"), "{}", told());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Sqlite::open(&file.join("record.db")).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("record.db") && told.contains("written"),
        "{told}"
    );
}

#[test]
fn a_damaged_event_is_damage_and_never_a_shorter_history() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    run(async {
        for of in 0..50 {
            append(&store, a_read(of, 0)).await;
        }
    });
    drop(store);
    // What no trigger can hold off: the file itself.
    let mut bytes = std::fs::read(&path).unwrap();
    let mut changed = 0;
    let needle = b"\"reason\":\"ticket 4711\"";
    for index in 0..bytes.len() - needle.len() {
        if bytes[index..].starts_with(needle) {
            bytes[index + 1] = b'R';
            bytes[index + 9] = b'{';
            changed += 1;
        }
    }
    assert_eq!(changed, 50);
    std::fs::write(&path, &bytes).unwrap();
    let store = Sqlite::open(&path).unwrap();
    run(async {
        let error = store.session(&session(3)).await.unwrap_err();
        assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
        let error = store.search(&Query::default()).await.unwrap_err();
        assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
    });
    drop(store);
    // Pages that are none at all.
    for byte in &mut bytes[4096..] {
        *byte ^= 0x55;
    }
    std::fs::write(&path, &bytes).unwrap();
    if let Ok(store) = Sqlite::open(&path) {
        run(async {
            let error = store.session(&session(3)).await.unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
            let told = store.append(a_read(70, 0)).await.unwrap_err();
            assert!(matches!(told, AppendError::Unavailable(_)), "{told:?}");
        });
    }
}

#[test]
fn an_erased_key_is_in_none_of_the_files() {
    let (_directory, path) = directory();
    let store = Sqlite::open(&path).unwrap();
    let marker = "VEhFLVdSQVBQRUQtS0VZ";
    let holds_it = || {
        ["", "-wal"].iter().any(|suffix| {
            let bytes = std::fs::read(with(&path, suffix)).unwrap_or_default();
            bytes
                .windows(marker.len())
                .any(|window| window == marker.as_bytes())
        })
    };
    run(async {
        for of in 0..20 {
            let mut batch = a_read(of, 0);
            batch.key = Some(wrapped(if of == 7 { marker } else { "b3RoZXI=" }));
            append(&store, batch).await;
        }
        assert!(holds_it());
        store.erase_key(&session(7)).await.unwrap();
        assert!(!holds_it());
        assert!(store.key(&session(8)).await.unwrap().is_some());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The embedded store against the simple one: the same appends, right and wrong, and the same answers.
    #[test]
    fn a_file_answers_as_memory_does(steps in prop::collection::vec((0_u64..4, 0_u64..3, 0_usize..7, any::<bool>()), 1..40)) {
        let (_directory, path) = directory();
        let file = hasty(&path);
        let memory = Memory::new();
        run(async {
            for (number, (of, which, what, stale)) in steps.into_iter().enumerate() {
                let id = session(of);
                let request = request(&id, which);
                let known = memory.head(&id).await.unwrap().unwrap_or(Head::GENESIS);
                let after = if stale { Head::GENESIS } else { known };
                let asked_before = !memory.request(&request).await.unwrap().is_empty();
                let body = match what {
                    _ if !asked_before && what > 2 => opened("bot"),
                    0 => asked(&request, Action::RequireApproval),
                    1 => asked(&request, Action::Allow),
                    2 => asked(&request, Action::Deny),
                    3 => approval_requested(&request, at(60)),
                    4 => published(&request),
                    5 => started(&request, at(30)),
                    _ => finished(&request),
                };
                let seconds = (number % 5) as i64;
                let batch = batch(&id, after, seconds, vec![body]);
                let there = memory.append(batch.clone()).await;
                let here = file.append(batch).await;
                assert_eq!(there.is_ok(), here.is_ok());
                assert_eq!(memory.session(&id).await.unwrap(), file.session(&id).await.unwrap());
                assert_eq!(memory.request(&request).await.unwrap(), file.request(&request).await.unwrap());
            }
            for now in [0, 4, 29, 30, 60] {
                assert_eq!(memory.due(at(now), 3).await.unwrap(), file.due(at(now), 3).await.unwrap());
            }
            let mut query = Query { limit: 3, ..Query::default() };
            let mut other = query.clone();
            loop {
                let (there, here) = (memory.search(&query).await.unwrap(), file.search(&other).await.unwrap());
                assert_eq!(there.requests, here.requests);
                assert_eq!(there.next.is_some(), here.next.is_some());
                if there.next.is_none() { break }
                query.after = there.next;
                other.after = here.next;
            }
        });
    }
}
