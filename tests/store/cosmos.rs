//! What only a record of several gateways has to hold, on Microsoft's emulator of Cosmos DB.

use portcullis::{
    domain::{
        record::Head,
        session::{Action, Answer},
    },
    gateway::ports::{AppendError, EventStore, Query, RequestStatus},
};

use super::{a_read, append, batch, run};
use crate::{
    record::story::*,
    support::cosmos::{Emulator, Fault},
};

#[test]
fn what_one_gateway_appends_another_reads_at_once_and_goes_on_from() {
    run(async {
        let account = Emulator::shared().database().await;
        let (one, other) = (account.store(), account.store());
        for of in 0..20 {
            let id = session(of);
            let head = append(&one, a_read(of, 0)).await;
            assert_eq!(other.head(&id).await.unwrap(), Some(head));
            let next = request(&id, 77);
            let second = batch(&id, head, 1, vec![asked(&next, Action::Deny)]);
            let head = append(&other, second).await;
            assert_eq!(one.head(&id).await.unwrap(), Some(head));
            let found = one.search(&Query::default()).await.unwrap();
            assert_eq!(found.requests[0].decided.request_id, next);
        }
    });
}

#[test]
fn an_append_that_cosmos_db_puts_off_is_durable_once_whatever_became_of_its_first_attempts() {
    run(async {
        // Its faults are for whoever comes next: nobody else may come.
        let emulator = Emulator::start();
        let store = emulator.database().await.store();
        let faults = [Fault::Throttled, Fault::Unavailable, Fault::Lost];
        for (of, fault) in (0..).zip(faults) {
            let id = session(of);
            let first = a_read(of, 0);
            let events = first.events.clone();
            emulator.spoils(fault, 2).await;
            let head = append(&store, first).await;
            assert_eq!(store.session(&id).await.unwrap(), events, "{fault:?}");
            assert_eq!(store.head(&id).await.unwrap(), Some(head));
        }
    });
}

#[test]
fn an_append_whose_answers_are_lost_is_no_success_of_another_that_was_first() {
    run(async {
        let emulator = Emulator::start();
        let account = emulator.database().await;
        let (one, other) = (account.store(), account.store());
        let id = session(1);
        append(&one, a_read(1, 0)).await;
        // The same bytes, and yet another append: of two gateways that ran something, one did so without a record.
        emulator.spoils(Fault::Unavailable, 1).await;
        let second = other.append(a_read(1, 0)).await;
        assert!(
            matches!(second, Err(AppendError::Conflict(_))),
            "{second:?}"
        );
        assert_eq!(one.session(&id).await.unwrap().len(), 3);
    });
}

#[test]
fn what_a_crash_keeps_out_of_the_read_model_comes_in_by_the_change_feed() {
    run(async {
        let emulator = Emulator::start();
        let account = emulator.database().await;
        let store = account.store();
        let id = session(1);
        let question = request(&id, 1);
        // Its events are on record, and its gateway is gone before it wrote anything else.
        let bodies = vec![
            opened("bot"),
            asked(&question, Action::RequireApproval),
            approval_requested(&question, at(100)),
        ];
        emulator.spoils(Fault::Unseen, 1).await;
        append(&store, batch(&id, Head::GENESIS, 0, bodies)).await;
        assert!(
            store
                .search(&Query::default())
                .await
                .unwrap()
                .requests
                .is_empty()
        );

        let due = account.store().due(at(10), 10).await.unwrap();
        assert_eq!(due, std::slice::from_ref(&question));
        let found = store.search(&Query::default()).await.unwrap().requests;
        assert_eq!(found[0].status, RequestStatus::PendingApproval);
        assert!(found[0].approval.is_some());

        // What comes later is seen from there on.
        let head = store.head(&id).await.unwrap().unwrap();
        let answer = vec![answered(&question, Answer::Deny)];
        append(&store, batch(&id, head, 1, answer)).await;
        assert!(account.store().due(at(10), 10).await.unwrap().is_empty());
        let found = store.search(&Query::default()).await.unwrap().requests;
        assert_eq!(found[0].status, RequestStatus::ApprovalDenied);
    });
}
