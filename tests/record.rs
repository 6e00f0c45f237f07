//! The chain: what it looks like, and that no change of it goes unseen.

#![allow(clippy::unwrap_used, clippy::panic)]

use portcullis::domain::{
    approval::{ApprovalTerms, Quorum},
    classify::{Effect, Object, ObjectAccess},
    id::{RequestId, SessionId},
    masking::{MaskedColumn, MaskedCounts},
    policy::{ApproverGroupName, RuleName},
    principal::{DescribedPrincipal, PrincipalId, PrincipalKind},
    record::{
        ChainError, Hash, Head, canonical, event_id, extend, line, to_canonical, verify_chain,
    },
    session::*,
};
use proptest::prelude::*;
use serde_json::{Value, json};

mod verify;

/// What other tests of the record build their histories of.
pub(crate) mod story {
    use super::*;
    use jiff::Timestamp;

    pub(crate) const SOURCE: &str = "https://gate.example/portcullis";

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::new(1_790_000_000 + seconds, 0).unwrap()
    }

    pub(crate) fn session(of: u64) -> SessionId {
        let mut entropy = [0xa5; 16];
        entropy[..8].copy_from_slice(&of.to_be_bytes());
        SessionId::new(entropy)
    }

    pub(crate) fn request(session: &SessionId, of: u64) -> RequestId {
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&of.to_be_bytes());
        RequestId::new(session, entropy)
    }

    pub(crate) fn principal(name: &str) -> DescribedPrincipal {
        DescribedPrincipal {
            id: PrincipalId::new(PrincipalKind::Agent, name),
            kind: PrincipalKind::Agent,
            issuer: "https://login.example".into(),
            tenant: None,
            subject: format!("sub-{name}"),
            client: Some("client".into()),
            groups: ["ai-agents".to_owned()].into(),
            app_roles: ["Agent".to_owned()].into(),
            acts_for: None,
        }
    }

    pub(crate) fn opened(name: &str) -> EventBody {
        EventBody::SessionOpened(SessionOpened {
            principal: principal(name),
        })
    }

    pub(crate) fn decided(request: &RequestId, action: Action) -> RequestDecided {
        RequestDecided {
            request_id: request.clone(),
            principal: principal("bot"),
            connection: "crm".parse().unwrap(),
            statement: "SELECT email FROM public.customers WHERE id = 7".into(),
            params: vec![Some("7".into()), None],
            sealed: Sealed {
                nonce: "AAECAwQFBgcICQoL".into(),
                ciphertext: "c2VhbGVk".into(),
            },
            digest: Hash::of(b"operation"),
            reason: Some("ticket 4711".into()),
            effect: Effect::Read,
            objects: vec![Object {
                name: "public.customers".into(),
                access: ObjectAccess::Read,
            }],
            unbounded: false,
            why: "it reads one table".into(),
            decision: DecisionRecord {
                action,
                rule: Some(RuleName("reads".into())),
                policy: Hash::of(b"policy"),
                message: None,
            },
            rewritten: None,
            traceparent: None,
        }
    }

    pub(crate) fn asked(request: &RequestId, action: Action) -> EventBody {
        EventBody::RequestDecided(Box::new(decided(request, action)))
    }

    pub(crate) fn approval(request: &RequestId, expires_at: Timestamp) -> ApprovalRequested {
        ApprovalRequested {
            request_id: request.clone(),
            terms: ApprovalTerms {
                from: vec![Quorum {
                    group: ApproverGroupName("dba".into()),
                    count: 1,
                }],
                digest: Hash::of(b"operation"),
                expires_at,
                policy: Hash::of(b"policy"),
                rows_factor: None,
                again: None,
                answer: None,
            },
            preview: Some(Preview {
                estimated_rows: Some(3),
                note: "the planner's estimate".into(),
            }),
            grants: false,
        }
    }

    pub(crate) fn approval_requested(request: &RequestId, expires_at: Timestamp) -> EventBody {
        EventBody::ApprovalRequested(Box::new(approval(request, expires_at)))
    }

    pub(crate) fn published(request: &RequestId) -> EventBody {
        EventBody::ApprovalPublished(RequestRef {
            request_id: request.clone(),
        })
    }

    pub(crate) fn answered(request: &RequestId, answer: Answer) -> EventBody {
        EventBody::ApprovalDecided(Box::new(ApprovalDecided {
            request_id: request.clone(),
            approver: principal("dana"),
            answer,
            digest: Hash::of(b"operation"),
            groups: vec![ApproverGroupName("dba".into())],
            comment: Some("fine — “checked”".into()),
        }))
    }

    pub(crate) fn started(request: &RequestId, lease_until: Timestamp) -> EventBody {
        EventBody::ExecutionStarted(ExecutionStarted {
            request_id: request.clone(),
            access: portcullis::domain::connection::Access::Read,
            instance: "one".into(),
            lease_until,
            policy: Hash::of(b"policy"),
            at_most: None,
        })
    }

    pub(crate) fn finished(request: &RequestId) -> EventBody {
        EventBody::ExecutionFinished(Box::new(ExecutionFinished {
            request_id: request.clone(),
            row_count: 20,
            affected: None,
            truncated: false,
            masked: MaskedCounts {
                cells: 20,
                by: [("column:customers.email".to_owned(), 20)].into(),
            },
            columns: vec![MaskedColumn {
                name: "email".into(),
                type_name: "text".into(),
                masked: Some("column".into()),
            }],
            notices: vec![],
            exit_code: None,
            answer: None,
            result: None,
            took_us: 1234,
        }))
    }

    pub(crate) fn failed(request: &RequestId) -> EventBody {
        EventBody::ExecutionFailed(Box::new(ExecutionFailed {
            request_id: request.clone(),
            failure: Failure::Target,
            code: Some("42P01".into()),
            message: "relation … does not exist".into(),
            notices: vec!["a notice".into()],
            masked: MaskedCounts::default(),
            answer: None,
        }))
    }

    pub(crate) fn unknown(request: &RequestId) -> EventBody {
        EventBody::ExecutionOutcomeUnknown(OutcomeUnknown {
            request_id: request.clone(),
            why: "the connection was lost".into(),
        })
    }

    pub(crate) fn granted(request: &RequestId) -> EventBody {
        EventBody::ApprovalGranted(RequestRef {
            request_id: request.clone(),
        })
    }

    /// One event of every kind.
    pub(crate) fn every_kind(session: &SessionId) -> Vec<EventBody> {
        let id = request(session, 1);
        vec![
            opened("bot"),
            asked(&id, Action::RequireApproval),
            approval_requested(&id, at(1800)),
            published(&id),
            answered(&id, Answer::Approve),
            granted(&id),
            EventBody::ApprovalExpired(RequestRef {
                request_id: id.clone(),
            }),
            EventBody::AnswerReleased(RequestRef {
                request_id: id.clone(),
            }),
            EventBody::RequestRefused(RequestRefused {
                request_id: id.clone(),
                decision: decided(&id, Action::Deny).decision,
            }),
            started(&id, at(30)),
            finished(&id),
            failed(&id),
            unknown(&id),
            EventBody::SessionClosed(SessionClosed {
                reason: "done\n\u{1f512} \u{0007}".into(),
            }),
        ]
    }

    pub(crate) fn events(session: &SessionId, bodies: Vec<EventBody>) -> Vec<Event> {
        extend(Head::GENESIS, session, SOURCE, at(0), bodies).unwrap()
    }
}

use story::*;

#[test]
fn an_event_on_record_is_the_canonical_json_of_its_type_in_one_line() {
    for event in events(&session(1), every_kind(&session(1))) {
        let mut by_value = Vec::new();
        canonical(&serde_json::to_value(&event).unwrap(), &mut by_value);
        let line = line(&event).unwrap();
        assert_eq!(
            String::from_utf8(line.clone()).unwrap(),
            String::from_utf8(by_value).unwrap()
        );
        assert!(!line.contains(&b'\n'));
        assert_eq!(serde_json::from_slice::<Event>(&line).unwrap(), event);
    }
}

#[test]
fn a_hash_covers_the_domain_and_everything_but_itself() {
    for event in events(&session(1), every_kind(&session(1))) {
        let mut hashed = b"portcullis-event-v1\0".to_vec();
        let mut part = serde_json::to_value(&event).unwrap();
        part.as_object_mut().unwrap().remove("hash");
        canonical(&part, &mut hashed);
        assert_eq!(event.hash, Hash::of(&hashed));
    }
}

#[test]
fn an_event_names_its_session_place_and_predecessor() {
    let events = events(&session(1), every_kind(&session(1)));
    assert_eq!(events[0].prevhash, Hash::GENESIS);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, index as u64 + 1);
        assert_eq!(event.id, event_id(&session(1), event.seq));
        assert_eq!(event.specversion, "1.0");
        if index > 0 {
            assert_eq!(event.prevhash, events[index - 1].hash);
        }
    }
    let head = verify_chain(&session(1), &events).unwrap();
    assert_eq!(head, events.last().unwrap().head());
    let more = extend(head, &session(1), SOURCE, at(9), vec![opened("x")]).unwrap();
    verify_chain(&session(1), events.iter().chain(&more)).unwrap();
}

#[test]
fn no_event_holds_a_number_that_is_not_an_integer() {
    fn floats(value: &Value) -> usize {
        match value {
            Value::Number(number) => usize::from(number.is_f64()),
            Value::Array(items) => items.iter().map(floats).sum(),
            Value::Object(members) => members.values().map(floats).sum(),
            Value::Null | Value::Bool(_) | Value::String(_) => 0,
        }
    }
    // The types themselves, and not only today's values of them.
    let schema = serde_json::to_value(schemars::schema_for!(Event)).unwrap();
    fn kinds(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(kind) if name == "type" => found.push(kind.clone()),
                        Value::Array(kinds) if name == "type" => {
                            found.extend(kinds.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        value => kinds_of(value, found),
                    }
                }
            }
            value => kinds_of(value, found),
        }
    }
    fn kinds_of(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| kinds(item, found)),
            Value::Object(_) => kinds(value, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    kinds(&schema, &mut found);
    assert!(found.contains(&"integer".to_owned()));
    assert!(!found.contains(&"number".to_owned()), "{found:?}");
    for event in events(&session(1), every_kind(&session(1))) {
        assert_eq!(floats(&serde_json::to_value(&event).unwrap()), 0);
    }
    assert!(to_canonical(&json!({"a": 1.5}), &mut Vec::new()).is_err());
}

#[test]
fn a_changed_moved_dropped_or_foreign_event_breaks_the_chain() {
    let id = session(1);
    let events = events(&id, every_kind(&id));
    let broken = |change: &dyn Fn(&mut Vec<Event>)| {
        let mut events = events.clone();
        change(&mut events);
        verify_chain(&id, &events).unwrap_err()
    };
    assert!(matches!(
        broken(&|events| events[3].source.push('x')),
        ChainError::Altered { seq: 4, .. }
    ));
    assert!(matches!(
        broken(&|events| events.swap(2, 3)),
        ChainError::Gap {
            expected: 3,
            found: 4,
            ..
        }
    ));
    assert!(matches!(
        broken(&|events| {
            events.remove(0);
        }),
        ChainError::Gap {
            expected: 1,
            found: 2,
            ..
        }
    ));
    assert!(matches!(
        broken(&|events| {
            let fork = extend(events[1].head(), &id, SOURCE, at(5), vec![opened("eve")]).unwrap();
            events[2] = fork[0].clone();
        }),
        ChainError::Forked { seq: 4, .. }
    ));
    assert!(matches!(
        broken(&|events| events[0] = story::events(&session(2), vec![opened("bot")]).remove(0)),
        ChainError::Foreign { .. }
    ));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\u{0}-\u{7f}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let name = prop_oneof![
            any::<String>(),
            "[a-c\u{0}-\u{1f}\u{e000}-\u{ffff}\u{10000}-\u{10fff}]{0,3}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn canonical_text(value: &Value) -> String {
    let mut bytes = Vec::new();
    canonical(value, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn canonical_json_means_the_same_and_is_canonical_already(value in any_json()) {
        let text = canonical_text(&value);
        let again: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(canonical_text(&again), text);
    }

    #[test]
    fn both_ways_to_canonical_json_lead_to_the_same_bytes(value in any_json()) {
        let mut direct = Vec::new();
        to_canonical(&value, &mut direct).unwrap();
        prop_assert_eq!(String::from_utf8(direct).unwrap(), canonical_text(&value));
    }

    #[test]
    fn the_order_members_come_in_is_forgotten(
        members in prop::collection::hash_map(any::<String>(), any::<i64>(), 0..8),
        turn in any::<usize>(),
    ) {
        struct Ordered(Vec<(String, i64)>);
        impl serde::Serialize for Ordered {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        let bytes = |members: Vec<(String, i64)>| {
            let mut bytes = Vec::new();
            to_canonical(&Ordered(members), &mut bytes).unwrap();
            bytes
        };
        let members: Vec<_> = members.into_iter().collect();
        let mut turned = members.clone();
        turned.rotate_left(turn % members.len().max(1));
        turned.reverse();
        prop_assert_eq!(bytes(members), bytes(turned));
    }

    #[test]
    fn names_are_in_the_order_of_their_utf16_code_units(names in prop::collection::hash_set(any::<String>(), 0..8)) {
        let value = Value::Object(names.iter().map(|name| (name.clone(), Value::Null)).collect());
        let mut expected: Vec<_> = names.into_iter().collect();
        expected.sort_by_key(|name| name.encode_utf16().collect::<Vec<_>>());
        let expected: Vec<_> = expected
            .iter()
            .map(|name| format!("{}:null", serde_json::to_string(name).unwrap()))
            .collect();
        prop_assert_eq!(canonical_text(&value), format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn canonical_text_has_the_escapes_serde_json_writes(text in any::<String>(), control in "[\u{0}-\u{7f}]{0,40}") {
        for text in [text, control] {
            let value = Value::from(text);
            prop_assert_eq!(canonical_text(&value), serde_json::to_string(&value).unwrap());
        }
    }
}

#[test]
fn names_beyond_the_basic_plane_sort_before_the_private_use_area() {
    // UTF-16 puts U+1F600 (0xD83D…) before U+FB33; UTF-8 does not. From RFC 8785, section 3.2.3.
    let value = json!({"\u{fb33}": 1, "\u{1f600}": 2, "\r": 3, "1": 4, "\u{80}": 5, "\u{f6}": 6, "\u{20ac}": 7});
    assert_eq!(
        canonical_text(&value),
        "{\"\\r\":3,\"1\":4,\"\u{80}\":5,\"\u{f6}\":6,\"\u{20ac}\":7,\"\u{1f600}\":2,\"\u{fb33}\":1}"
    );
}
