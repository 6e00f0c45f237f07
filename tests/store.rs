//! Every store holds the same promises. One suite asks all of them; what only a file can do is in `file`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cosmos;
mod file;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

use portcullis::{
    domain::{
        classify::{Effect, Object, ObjectAccess},
        id::{RequestId, SessionId},
        record::{Head, extend, verify_chain},
        session::{Action, Answer, EventBody, SessionClosed},
    },
    gateway::ports::{
        AppendError, Batch, Cursor, EventStore, Page, Query, ReadError, RequestStatus, WrappedKey,
    },
    store::{Memory, OpenError, Sqlite},
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{record::story::*, support::cosmos::Emulator};

/// Runs each question of the contract against each store.
macro_rules! every_store {
    ($($question:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $question() { super::run(super::$question(super::Memory::new())); })*
        }
        mod cosmos_db {
            $(#[test] fn $question() {
                super::run(async {
                    let account = super::Emulator::shared().database().await;
                    super::$question(account.store()).await;
                });
            })*
        }
        mod sqlite {
            $(#[test] fn $question() {
                let directory = tempfile::tempdir().unwrap();
                let store = super::hasty(&directory.path().join("record.db"));
                super::run(super::$question(store));
            })*
        }
    };
}

every_store!(
    what_was_appended_is_read_back_at_once,
    an_append_after_a_head_that_has_moved_on_is_a_conflict_and_writes_nothing,
    a_batch_that_is_no_chain_is_refused_whole,
    of_many_racers_after_one_head_exactly_one_wins,
    a_session_that_never_was_is_empty_and_no_error,
    a_request_is_read_without_the_rest_of_its_session,
    an_erased_key_is_gone_and_the_chain_still_verifies,
    a_key_comes_only_with_the_batch_that_opens_its_session,
    a_search_finds_by_every_condition_and_by_all_of_them_together,
    a_search_takes_every_character_as_itself,
    pages_are_newest_first_and_stable_while_the_record_grows,
    a_page_is_capped_whatever_was_asked_for,
    what_is_no_cursor_is_refused,
    the_read_model_follows_a_request_through_its_life,
    what_is_due_is_found_when_it_is_due_and_not_before,
);

/// A store that does not wait for the disk: what it answers is the same, and a suite of questions takes no time.
fn hasty(path: &Path) -> Sqlite {
    let open = || {
        Sqlite::open_with(path, |connection| {
            connection.pragma_update(None, "synchronous", "OFF")
        })
    };
    // Another test may be between fork and exec, where its child still has every file of this process open.
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match open() {
            Err(OpenError::Held { .. }) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.unwrap(),
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

fn batch(session: &SessionId, after: Head, seconds: i64, bodies: Vec<EventBody>) -> Batch {
    Batch {
        session: session.clone(),
        after,
        events: extend(after, session, SOURCE, at(seconds), bodies).unwrap(),
        key: None,
    }
}

fn wrapped(text: &str) -> WrappedKey {
    WrappedKey {
        by: "local:1".into(),
        wrapped: text.into(),
    }
}

/// Opens a session and has one read allowed and run in it, as one append.
fn a_read(of: u64, seconds: i64) -> Batch {
    let session = session(of);
    let id = request(&session, of);
    batch(
        &session,
        Head::GENESIS,
        seconds,
        vec![opened("bot"), asked(&id, Action::Allow), finished(&id)],
    )
}

async fn append(store: &impl EventStore, batch: Batch) -> Head {
    store.append(batch).await.unwrap().head()
}

async fn what_was_appended_is_read_back_at_once(store: impl EventStore) {
    for of in 0..5 {
        let id = session(of);
        let first = a_read(of, 0);
        let events = first.events.clone();
        let head = append(&store, first).await;
        assert_eq!(head, events.last().unwrap().head());
        assert_eq!(store.head(&id).await.unwrap(), Some(head));
        assert_eq!(store.session(&id).await.unwrap(), events);

        let again = request(&id, 77);
        let second = batch(&id, head, 1, vec![asked(&again, Action::Deny)]);
        let head = append(&store, second).await;
        let found = store.session(&id).await.unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(verify_chain(&id, &found).unwrap(), head);
        assert_eq!(store.request(&again).await.unwrap(), found[3..]);
        let page = store.search(&Query::default()).await.unwrap();
        assert_eq!(page.requests[0].decided.request_id, again);
    }
    // Every kind of event survives the way there and back.
    let id = session(99);
    let bodies = every_kind(&id);
    append(&store, batch(&id, Head::GENESIS, 5, bodies.clone())).await;
    let found = store.session(&id).await.unwrap();
    assert_eq!(
        found
            .into_iter()
            .map(|event| event.body)
            .collect::<Vec<_>>(),
        bodies
    );
}

async fn an_append_after_a_head_that_has_moved_on_is_a_conflict_and_writes_nothing(
    store: impl EventStore,
) {
    let id = session(1);
    let first = a_read(1, 0);
    let early = first.events[0].head();
    let head = append(&store, first.clone()).await;
    let other = request(&id, 9);
    let late = vec![asked(&other, Action::Allow), finished(&other)];
    for stale in [
        Head::GENESIS,
        early,
        // The right number after another event.
        Head {
            seq: head.seq,
            hash: early.hash,
        },
        // A place nobody has reached.
        Head {
            seq: head.seq + 5,
            hash: head.hash,
        },
    ] {
        let lost = store.append(batch(&id, stale, 1, late.clone())).await;
        assert!(matches!(lost, Err(AppendError::Conflict(session)) if session == id));
        assert_eq!(store.head(&id).await.unwrap(), Some(head));
        assert_eq!(store.session(&id).await.unwrap(), first.events);
        assert_eq!(store.request(&other).await.unwrap(), []);
        let page = store.search(&Query::default()).await.unwrap();
        assert_eq!(page.requests.len(), 1);
    }
    append(&store, batch(&id, head, 1, late)).await;
}

async fn a_batch_that_is_no_chain_is_refused_whole(store: impl EventStore) {
    let whole = a_read(1, 0);
    let refused = |change: &dyn Fn(&mut Batch)| {
        let mut batch = whole.clone();
        change(&mut batch);
        batch
    };
    for batch in [
        refused(&|batch| batch.events.clear()),
        refused(&|batch| batch.events.swap(1, 2)),
        refused(&|batch| {
            batch.events.remove(1);
        }),
        refused(&|batch| batch.events[1].prevhash = batch.events[1].hash),
        refused(&|batch| batch.session = session(2)),
        refused(&|batch| batch.events = a_read(2, 0).events),
        refused(&|batch| batch.after.seq = 1),
    ] {
        let error = store.append(batch).await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
        assert_eq!(store.head(&session(1)).await.unwrap(), None);
        assert_eq!(store.head(&session(2)).await.unwrap(), None);
    }
    append(&store, whole).await;
}

async fn of_many_racers_after_one_head_exactly_one_wins(store: impl EventStore) {
    let store = Arc::new(store);
    let id = session(1);
    let mut head = Head::GENESIS;
    for round in 0..8 {
        let racers: Vec<_> = (0..16)
            .map(|racer| {
                let store = store.clone();
                let id = id.clone();
                tokio::spawn(async move {
                    let request = request(&id, round * 100 + racer);
                    let bodies = vec![asked(&request, Action::Allow), finished(&request)];
                    store.append(batch(&id, head, racer as i64, bodies)).await
                })
            })
            .collect();
        // A bystander in the same commit loses nothing by it.
        let bystander = append(&*store, a_read(1000 + round, 0)).await;
        assert_eq!(bystander.seq, 3);
        let mut won = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                Ok(appended) => won.push(appended.head()),
                Err(AppendError::Conflict(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won.len(), 1);
        head = won[0];
        assert_eq!(store.head(&id).await.unwrap(), Some(head));
    }
    let events = store.session(&id).await.unwrap();
    assert_eq!(verify_chain(&id, &events).unwrap(), head);
    let page = store
        .search(&Query {
            limit: 200,
            ..Query::default()
        })
        .await
        .unwrap();
    assert_eq!(page.requests.len(), 8 + 8);
}

async fn a_session_that_never_was_is_empty_and_no_error(store: impl EventStore) {
    let id = session(1);
    assert_eq!(store.head(&id).await.unwrap(), None);
    assert_eq!(store.session(&id).await.unwrap(), []);
    assert_eq!(store.request(&request(&id, 1)).await.unwrap(), []);
    assert_eq!(store.key(&id).await.unwrap(), None);
    store.erase_key(&id).await.unwrap();
    assert_eq!(store.search(&Query::default()).await.unwrap().requests, []);
    assert!(store.due(at(0), 10).await.unwrap().is_empty());
}

async fn a_request_is_read_without_the_rest_of_its_session(store: impl EventStore) {
    let id = session(1);
    let (one, two) = (request(&id, 1), request(&id, 2));
    let bodies = vec![
        opened("bot"),
        asked(&one, Action::RequireApproval),
        approval_requested(&one, at(60)),
        asked(&two, Action::Allow),
    ];
    let head = append(&store, batch(&id, Head::GENESIS, 0, bodies)).await;
    let bodies = vec![finished(&two), answered(&one, Answer::Deny)];
    append(&store, batch(&id, head, 1, bodies)).await;
    let seqs = |events: Vec<portcullis::domain::session::Event>| {
        events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(store.request(&one).await.unwrap()), [2, 3, 6]);
    assert_eq!(seqs(store.request(&two).await.unwrap()), [4, 5]);
}

async fn an_erased_key_is_gone_and_the_chain_still_verifies(store: impl EventStore) {
    for of in [1, 2] {
        let mut batch = a_read(of, 0);
        batch.key = Some(wrapped("c2VjcmV0"));
        append(&store, batch).await;
    }
    assert_eq!(
        store.key(&session(1)).await.unwrap(),
        Some(wrapped("c2VjcmV0"))
    );
    let before = store.session(&session(1)).await.unwrap();
    store.erase_key(&session(1)).await.unwrap();
    store.erase_key(&session(1)).await.unwrap();
    assert_eq!(store.key(&session(1)).await.unwrap(), None);
    assert!(store.key(&session(2)).await.unwrap().is_some());
    let after = store.session(&session(1)).await.unwrap();
    assert_eq!(before, after);
    let head = verify_chain(&session(1), &after).unwrap();
    // And it still grows.
    append(&store, batch(&session(1), head, 1, vec![opened("x")])).await;
}

async fn a_key_comes_only_with_the_batch_that_opens_its_session(store: impl EventStore) {
    let head = append(&store, a_read(1, 0)).await;
    let mut late = batch(&session(1), head, 1, vec![opened("x")]);
    late.key = Some(wrapped("late"));
    assert!(store.append(late).await.is_err());
    assert_eq!(store.key(&session(1)).await.unwrap(), None);
}

/// Ten requests that differ in everything a search can ask for.
async fn a_varied_record(store: &impl EventStore) -> Vec<RequestId> {
    let mut ids = Vec::new();
    for of in 0..10_u64 {
        let session = session(of);
        let id = request(&session, of);
        let action = [Action::Allow, Action::Deny, Action::RequireApproval][of as usize % 3];
        let mut decided = decided(&id, action);
        decided.principal = principal(if of < 4 { "alice" } else { "bob" });
        decided.connection = if of % 2 == 0 { "crm" } else { "billing" }.parse().unwrap();
        decided.effect = if of == 7 {
            Effect::Destructive
        } else {
            Effect::Read
        };
        decided.statement = format!("SELECT Ünïcode FROM t{of} WHERE note = '100%_\\ [{of}]'");
        decided.reason = (of == 3).then(|| "Ticket ABC-42".to_owned());
        decided.objects = vec![Object {
            name: format!("public.t{of}"),
            access: ObjectAccess::Read,
        }];
        let mut bodies = vec![opened("bot"), EventBody::RequestDecided(Box::new(decided))];
        match action {
            Action::Allow => bodies.push(if of == 0 { failed(&id) } else { finished(&id) }),
            Action::Deny => {}
            Action::RequireApproval => bodies.push(approval_requested(&id, at(1000))),
        }
        // It ran, and people are asked about its answer.
        if of == 9 {
            bodies.push(approval_requested(&id, at(1000)));
        }
        append(store, batch(&session, Head::GENESIS, of as i64, bodies)).await;
        ids.push(id);
    }
    ids
}

async fn a_search_finds_by_every_condition_and_by_all_of_them_together(store: impl EventStore) {
    let ids = a_varied_record(&store).await;
    let all = Query {
        limit: 100,
        ..Query::default()
    };
    let cases: Vec<(Query, Vec<usize>)> = vec![
        (all.clone(), (0..10).collect()),
        (
            Query {
                principal: Some(principal("alice").id),
                ..all.clone()
            },
            vec![0, 1, 2, 3],
        ),
        (
            Query {
                connection: Some("billing".parse().unwrap()),
                ..all.clone()
            },
            vec![1, 3, 5, 7, 9],
        ),
        (
            Query {
                effect: Some(Effect::Destructive),
                ..all.clone()
            },
            vec![7],
        ),
        (
            Query {
                object: Some("PUBLIC.t4".into()),
                ..all.clone()
            },
            vec![4],
        ),
        (
            Query {
                object: Some("t4".into()),
                ..all.clone()
            },
            vec![4],
        ),
        (
            Query {
                object: Some("public".into()),
                ..all.clone()
            },
            vec![],
        ),
        (
            Query {
                decision: Some(Action::Deny),
                ..all.clone()
            },
            vec![1, 4, 7],
        ),
        (
            Query {
                status: Some(RequestStatus::PendingApproval),
                ..all.clone()
            },
            vec![2, 5, 8, 9],
        ),
        (
            Query {
                asked: true,
                ..all.clone()
            },
            vec![2, 5, 8, 9],
        ),
        (
            Query {
                status: Some(RequestStatus::Failed),
                ..all.clone()
            },
            vec![0],
        ),
        (
            Query {
                since: Some(at(3)),
                until: Some(at(6)),
                ..all.clone()
            },
            vec![3, 4, 5],
        ),
        (
            Query {
                text: Some("ünÏCODE from T8".into()),
                ..all.clone()
            },
            vec![8],
        ),
        (
            Query {
                text: Some("abc-42".into()),
                ..all.clone()
            },
            vec![3],
        ),
        (
            Query {
                text: Some(String::new()),
                ..all.clone()
            },
            (0..10).collect(),
        ),
        (
            Query {
                principal: Some(principal("bob").id),
                connection: Some("billing".parse().unwrap()),
                effect: Some(Effect::Read),
                object: Some("t5".into()),
                decision: Some(Action::RequireApproval),
                status: Some(RequestStatus::PendingApproval),
                since: Some(at(5)),
                until: Some(at(6)),
                text: Some("select".into()),
                ..all.clone()
            },
            vec![5],
        ),
    ];
    for (query, mut expected) in cases {
        expected.reverse();
        let found = store.search(&query).await.unwrap();
        let found: Vec<_> = found
            .requests
            .iter()
            .map(|found| {
                ids.iter()
                    .position(|id| *id == found.decided.request_id)
                    .unwrap()
            })
            .collect();
        assert_eq!(found, expected, "{query:?}");
    }
}

async fn a_search_takes_every_character_as_itself(store: impl EventStore) {
    a_varied_record(&store).await;
    for (text, expected) in [
        ("100%_\\ [3]", 1),
        ("100%", 10),
        ("1_0", 0),
        ("%", 10),
        ("' OR 1=1 --", 0),
        ("\\", 10),
        ("*", 0),
        ("\"", 0),
    ] {
        let query = Query {
            text: Some(text.into()),
            limit: 50,
            ..Query::default()
        };
        let found = store.search(&query).await.unwrap();
        assert_eq!(found.requests.len(), expected, "{text}");
    }
}

async fn pages_are_newest_first_and_stable_while_the_record_grows(store: impl EventStore) {
    // Several share a second, so time alone does not order them.
    for of in 0..23 {
        append(&store, a_read(of, (of / 5) as i64)).await;
    }
    let mut query = Query {
        limit: 4,
        ..Query::default()
    };
    let mut seen = Vec::new();
    loop {
        let Page { requests, next } = store.search(&query).await.unwrap();
        assert!(requests.len() <= 4);
        seen.extend(requests.into_iter().map(|found| found.decided.request_id));
        // What comes in meanwhile is newer and moves no page.
        append(&store, a_read(1000 + seen.len() as u64, 100)).await;
        match next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let expected: Vec<_> = (0..23).rev().map(|of| request(&session(of), of)).collect();
    assert_eq!(seen, expected);
}

async fn a_page_is_capped_whatever_was_asked_for(store: impl EventStore) {
    let id = session(1);
    let mut head = Head::GENESIS;
    for round in 0..3 {
        let bodies = (0..70)
            .map(|of| asked(&request(&id, round * 70 + of), Action::Deny))
            .collect();
        head = append(&store, batch(&id, head, 0, bodies)).await;
    }
    let page = |limit| {
        let query = Query {
            limit,
            ..Query::default()
        };
        let store = &store;
        async move { store.search(&query).await.unwrap() }
    };
    let most = page(usize::MAX).await;
    assert_eq!(most.requests.len(), 200);
    let query = Query {
        after: most.next,
        limit: 200,
        ..Query::default()
    };
    let rest = store.search(&query).await.unwrap();
    assert_eq!((rest.requests.len(), rest.next), (10, None));
    assert_eq!(page(0).await.requests.len(), 1);
}

async fn what_is_no_cursor_is_refused(store: impl EventStore) {
    for text in [
        "",
        "x",
        "1",
        "1.",
        ".1",
        "1.1.1",
        "9999999999999999999999.1",
        "é.é",
    ] {
        let query = Query {
            after: Some(Cursor(text.into())),
            ..Query::default()
        };
        let error = store.search(&query).await.unwrap_err();
        let ReadError::Unavailable(source) = error else {
            panic!("{error:?}");
        };
        assert!(
            source.is::<portcullis::gateway::ports::BadCursor>(),
            "{source}"
        );
    }
}

async fn the_read_model_follows_a_request_through_its_life(store: impl EventStore) {
    use RequestStatus as S;
    /// Events in order, and the status each of them leads to.
    type Life = Vec<(fn(&RequestId) -> EventBody, S)>;
    let lives: Vec<Life> = vec![
        vec![
            (|id| asked(id, Action::RequireApproval), S::PendingApproval),
            (|id| approval_requested(id, at(60)), S::PendingApproval),
            (published, S::PendingApproval),
            (|id| answered(id, Answer::Approve), S::PendingApproval),
            (|id| started(id, at(90)), S::Executing),
            (unknown, S::OutcomeUnknown),
            // A late result is still taken.
            (finished, S::Succeeded),
        ],
        vec![
            (|id| asked(id, Action::RequireApproval), S::PendingApproval),
            (|id| approval_requested(id, at(60)), S::PendingApproval),
            (|id| answered(id, Answer::Deny), S::ApprovalDenied),
            // Publishing lost the race.
            (published, S::ApprovalDenied),
        ],
        vec![
            (|id| asked(id, Action::RequireApproval), S::PendingApproval),
            (|id| approval_requested(id, at(60)), S::PendingApproval),
            (
                |id| {
                    EventBody::ApprovalExpired(portcullis::domain::session::RequestRef {
                        request_id: id.clone(),
                    })
                },
                S::ApprovalExpired,
            ),
        ],
        vec![
            (|id| asked(id, Action::RequireApproval), S::PendingApproval),
            (|id| approval_requested(id, at(60)), S::PendingApproval),
            (|id| answered(id, Answer::Approve), S::PendingApproval),
            (granted, S::Approved),
            (|id| started(id, at(90)), S::Executing),
        ],
        vec![
            (|id| asked(id, Action::Allow), S::Executing),
            (|id| started(id, at(90)), S::Executing),
            (failed, S::Failed),
        ],
        vec![(|id| asked(id, Action::Deny), S::Denied)],
    ];
    // Event by event, and all of a life in one batch: the row comes out the same.
    for together in [false, true] {
        for (number, life) in lives.iter().enumerate() {
            let id = session(100 * u64::from(together) + number as u64);
            let request = request(&id, 1);
            let mut head = append(&store, batch(&id, Head::GENESIS, 0, vec![opened("bot")])).await;
            let steps: Vec<Vec<EventBody>> = if together {
                vec![life.iter().map(|(event, _)| event(&request)).collect()]
            } else {
                life.iter()
                    .map(|(event, _)| vec![event(&request)])
                    .collect()
            };
            for (step, bodies) in steps.into_iter().enumerate() {
                head = append(&store, batch(&id, head, 1, bodies)).await;
                let expected = if together {
                    life.last().unwrap().1
                } else {
                    life[step].1
                };
                let page = store.search(&Query::default()).await.unwrap();
                let found = &page.requests[0];
                assert_eq!(found.decided.request_id, request);
                assert_eq!(found.status, expected, "life {number}, step {step}");
                assert_eq!(found.asked_at, at(1));
                let approval = life.len() > 1 && matches!(life[0].1, S::PendingApproval);
                let expected = (approval && (together || step > 0))
                    .then(|| crate::record::story::approval(&request, at(60)));
                assert_eq!(found.approval, expected);
            }
        }
    }
}

async fn what_is_due_is_found_when_it_is_due_and_not_before(store: impl EventStore) {
    let id = session(1);
    let (held, running) = (request(&id, 1), request(&id, 2));
    let bodies = vec![
        opened("bot"),
        asked(&held, Action::RequireApproval),
        approval_requested(&held, at(60)),
        asked(&running, Action::Allow),
        started(&running, at(30)),
    ];
    let head = append(&store, batch(&id, Head::GENESIS, 0, bodies)).await;
    let due = |seconds, limit| {
        let store = &store;
        async move { store.due(at(seconds), limit).await.unwrap() }
    };
    // Not yet published.
    assert_eq!(due(0, 10).await, std::slice::from_ref(&held));
    let head = append(&store, batch(&id, head, 1, vec![published(&held)])).await;
    assert!(due(29, 10).await.is_empty());
    assert_eq!(due(30, 10).await, std::slice::from_ref(&running));
    assert_eq!(due(60, 10).await, [running.clone(), held.clone()]);
    assert_eq!(due(60, 1).await, std::slice::from_ref(&running));
    let bodies = vec![finished(&running), answered(&held, Answer::Deny)];
    append(&store, batch(&id, head, 2, bodies)).await;
    assert!(due(1_000_000, 10).await.is_empty());
    // Ordinary reads are never due.
    append(&store, a_read(7, 0)).await;
    assert!(due(1_000_000, 10).await.is_empty());
}
