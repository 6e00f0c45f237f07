//! Exports, and that no change of one goes unseen.

use std::{collections::HashSet, path::Path, process::Command};

use portcullis::{
    domain::record::{
        export::Export,
        line,
        verify::{Finding, Problem, Report, Verifier},
    },
    gateway::seal::ExportKey,
};

use super::*;

/// Sessions of the given lengths, each an intact chain.
fn sessions(lengths: &[usize]) -> Vec<Vec<Event>> {
    let session_of = |(of, length): (usize, &usize)| {
        let id = session(of as u64);
        let kinds = every_kind(&id);
        let bodies = kinds.into_iter().cycle().take(*length).collect();
        events(&id, bodies)
    };
    lengths.iter().enumerate().map(session_of).collect()
}

/// The export's lines, each with its line feed.
fn export(sessions: &[Vec<Event>], key: Option<&ExportKey>) -> Vec<Vec<u8>> {
    let fingerprint = key.map(ExportKey::fingerprint);
    let (mut export, header) = Export::begin(SOURCE, at(100), fingerprint).unwrap();
    let mut lines = vec![header];
    for event in sessions.iter().flatten() {
        lines.push(export.event(event).unwrap());
    }
    let manifest = export.end().unwrap();
    lines.push(match key {
        None => manifest.unsigned().unwrap(),
        Some(key) => {
            let signature = key.sign(manifest.to_sign()).unwrap();
            manifest.signed(key.public_key(), &signature).unwrap()
        }
    });
    lines
}

fn verify_with(key: Option<Hash>, bytes: &[u8]) -> Report {
    let mut verifier = Verifier::new(key);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        verifier.line(line);
    }
    verifier.finish()
}

fn verify(lines: &[Vec<u8>]) -> Option<Problem> {
    let report = verify_with(None, &lines.concat());
    report.verdict().map(|finding| finding.problem)
}

fn key() -> (tempfile::TempDir, ExportKey) {
    let directory = tempfile::tempdir().unwrap();
    let key = ExportKey::open_or_create(&directory.path().join("export.key")).unwrap();
    (directory, key)
}

#[test]
fn an_export_as_it_was_made_is_intact() {
    let (_directory, key) = key();
    let sessions = sessions(&[3, 1, 12]);
    let report = verify_with(None, &export(&sessions, None).concat());
    assert_eq!(report.findings, []);
    assert_eq!((report.sessions, report.events), (3, 16));
    assert_eq!(report.source.as_deref(), Some(SOURCE));
    assert_eq!(report.exported_at, Some(at(100)));
    assert_eq!(report.signed_by, None);
    let signed = export(&sessions, Some(&key)).concat();
    for expected in [None, Some(key.fingerprint())] {
        let report = verify_with(expected, &signed);
        assert_eq!(report.findings, []);
        assert_eq!(report.signed_by, Some(key.fingerprint()));
    }
    // Of nothing, too.
    assert_eq!(verify(&export(&[], None)), None);
}

#[test]
fn every_flipped_bit_of_an_export_is_found() {
    let (_directory, key) = key();
    let closed = EventBody::SessionClosed(SessionClosed {
        reason: "é".into()
    });
    let sessions = [events(&session(0), vec![closed.clone(), closed])];
    for key in [None, Some(&key)] {
        let lines = export(&sessions, key);
        let bytes = lines.concat();
        // Events are the same in both: what differs is the manifest.
        let from = key.map_or(bytes.len() - lines.last().unwrap().len(), |_| 0);
        for bit in from * 8..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let report = verify_with(None, &bytes);
            let (bit, byte) = (bit % 8, bit / 8);
            assert!(report.verdict().is_some(), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn an_export_cut_anywhere_is_truncated() {
    let bytes = export(&sessions(&[2, 3]), None).concat();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    for cut in 0..bytes.len() {
        let problem = verify_with(None, &bytes[..cut])
            .verdict()
            .map(|found| found.problem);
        let expected = if cut < header {
            Problem::Unreadable
        } else {
            Problem::Truncated
        };
        assert_eq!(problem, Some(expected), "{cut}");
    }
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..9, 1..5)
}

/// Which session the event in this line belongs to, and its place in it, counted from 1.
fn place(shape: &[usize], line: usize) -> (usize, usize) {
    let mut rest = line - 1;
    for (session, length) in shape.iter().enumerate() {
        if rest < *length {
            return (session, rest + 1);
        }
        rest -= length;
    }
    panic!("no event is in line {line}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_dropped_event_is_a_gap_or_a_missing_end(shape in shape(), which in any::<prop::sample::Index>()) {
        let mut lines = export(&sessions(&shape), None);
        let dropped = 1 + which.index(lines.len() - 2);
        lines.remove(dropped);
        let (session, seq) = place(&shape, dropped);
        let expected = if seq == shape[session] { Problem::Truncated } else { Problem::Gap };
        prop_assert_eq!(verify(&lines), Some(expected));
    }

    #[test]
    fn two_lines_that_changed_places_are_reordered(
        shape in shape(),
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let mut lines = export(&sessions(&shape), None);
        let (one, other) = (one.index(lines.len()), other.index(lines.len()));
        prop_assume!(one != other);
        lines.swap(one, other);
        prop_assert_eq!(verify(&lines), Some(Problem::Reordered), "{} and {}", one, other);
    }

    #[test]
    fn sessions_that_changed_places_are_reordered(shape in prop::collection::vec(1_usize..5, 2..5)) {
        let whole = sessions(&shape);
        let lines = export(&whole, None);
        let mut turned = vec![lines[0].clone()];
        for session in whole.iter().rev() {
            turned.extend(session.iter().map(|event| {
                let mut line = line(event).unwrap();
                line.push(b'\n');
                line
            }));
        }
        turned.push(lines.last().unwrap().clone());
        prop_assert_eq!(verify(&turned), Some(Problem::Reordered));
    }

    #[test]
    fn an_event_that_is_there_twice_is_found(shape in shape(), which in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines = export(&sessions(&shape), None);
        let again = lines[1 + which.index(lines.len() - 2)].clone();
        let to = 1 + to.index(lines.len() - 1);
        lines.insert(to, again);
        let problem = verify(&lines);
        prop_assert!(matches!(problem, Some(Problem::Forked | Problem::Reordered | Problem::Gap)), "{:?}", problem);
    }

    #[test]
    fn a_foreign_line_anywhere_is_found(
        shape in shape(),
        to in any::<prop::sample::Index>(),
        text in prop_oneof![Just(String::new()), any::<String>(), any_json().prop_map(|json| json.to_string())],
    ) {
        let mut lines = export(&sessions(&shape), None);
        let text = text.replace('\n', " ");
        lines.insert(to.index(lines.len() + 1), format!("{text}\n").into_bytes());
        prop_assert_eq!(verify(&lines), Some(Problem::Altered));
    }

    #[test]
    fn an_event_whose_content_was_changed_is_altered(shape in shape(), which in any::<prop::sample::Index>(), named in any::<prop::sample::Index>()) {
        let mut lines = export(&sessions(&shape), None);
        let index = 1 + which.index(lines.len() - 2);
        let mut event: Value = serde_json::from_slice(&lines[index]).unwrap();
        let members = event.as_object_mut().unwrap();
        let name = members.keys().nth(named.index(members.len())).unwrap().clone();
        let changed = match &members[&name] {
            Value::Number(_) => json!(77),
            Value::String(text) if text.starts_with("sha256:") => json!(Hash::of(b"another")),
            Value::String(_) => json!(session(99).as_str()),
            _ => json!({"request_id": "another"}),
        };
        members.insert(name, changed);
        lines[index] = format!("{}\n", canonical_text(&event)).into_bytes();
        prop_assert_eq!(verify(&lines), Some(Problem::Altered));
    }

    #[test]
    fn an_event_that_was_replaced_and_hashed_again_is_a_fork(shape in shape(), which in any::<prop::sample::Index>()) {
        let mut whole = sessions(&shape);
        let lines = export(&whole, None);
        let index = 1 + which.index(lines.len() - 2);
        let (of, seq) = place(&shape, index);
        let after = if seq == 1 { Head::GENESIS } else { whole[of][seq - 2].head() };
        let id = session(of as u64);
        whole[of][seq - 1] = extend(after, &id, SOURCE, at(7), vec![opened("eve")]).unwrap().remove(0);
        // With the manifest of the true record: the chain does not fit, or its end is another.
        let mut forged = export(&whole, None);
        let last = forged.len() - 1;
        forged[last] = lines[last].clone();
        prop_assert_eq!(verify(&forged), Some(Problem::Forked));
    }

    #[test]
    fn events_the_manifest_does_not_vouch_for_are_an_unanchored_tail(shape in shape(), more in 1_usize..4, of in any::<prop::sample::Index>()) {
        let mut whole = sessions(&shape);
        let manifest = export(&whole, None).pop().unwrap();
        let of = of.index(whole.len() + 1);
        if of == whole.len() {
            whole.push(events(&session(77), vec![opened("bot"); more]));
        } else {
            let id = session(of as u64);
            let head = whole[of].last().unwrap().head();
            whole[of].extend(extend(head, &id, SOURCE, at(7), vec![opened("bot"); more]).unwrap());
        }
        let mut lines = export(&whole, None);
        *lines.last_mut().unwrap() = manifest;
        prop_assert_eq!(verify(&lines), Some(Problem::UnanchoredTail));
    }

    #[test]
    fn nothing_that_is_fed_to_verification_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "[\\[\\]{}:,\"0-9a-e\\\\\n-]{0,400}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            prop_assert!(verify_with(None, bytes).verdict().is_some());
        }
    }

    #[test]
    fn no_damage_makes_verification_panic_or_miss_it(shape in shape(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let bytes = export(&sessions(&shape), None).concat();
        let mut damaged = bytes.clone();
        for (index, byte) in damage {
            let index = index.index(damaged.len());
            damaged[index] = byte;
        }
        prop_assert_eq!(verify_with(None, &damaged).verdict().is_none(), damaged == bytes);
    }
}

#[test]
fn deep_or_enormous_values_are_refused_and_not_followed() {
    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let big = format!("{{\"seq\":{},\"hash\":1e999}}\n", u64::MAX);
    for text in [deep, big] {
        let mut lines = export(&sessions(&[2]), None);
        lines.insert(1, text.into_bytes());
        assert_eq!(verify(&lines), Some(Problem::Altered));
    }
    // The last number there is does not wrap around.
    let id = session(0);
    let far = Head {
        seq: u64::MAX - 1,
        hash: Hash::of(b"x"),
    };
    let event = extend(far, &id, SOURCE, at(0), vec![opened("x")])
        .unwrap()
        .remove(0);
    let mut twice = line(&event).unwrap();
    twice.push(b'\n');
    let mut lines = export(&sessions(&[2]), None);
    lines.insert(2, twice.clone());
    lines.insert(3, twice);
    assert_eq!(verify(&lines), Some(Problem::Reordered));
}

#[test]
fn a_record_rewritten_whole_passes_only_where_nothing_was_signed() {
    let (_directory, key) = key();
    let (_other_directory, other) = self::key();
    let mut rewritten = sessions(&[3]);
    rewritten[0] = events(&session(0), vec![opened("eve"); 3]);
    let problem = |lines: &[Vec<u8>], expected: Option<Hash>| {
        let report = verify_with(expected, &lines.concat());
        report.verdict().map(|found| found.problem)
    };
    let mine = Some(key.fingerprint());
    let bad = Some(Problem::BadSignature);
    assert_eq!(problem(&export(&rewritten, None), None), None);
    assert_eq!(problem(&export(&rewritten, None), mine), bad);
    assert_eq!(problem(&export(&rewritten, Some(&other)), mine), bad);

    // The true signature over another manifest, and none at all where there was to be one.
    let truth = export(&sessions(&[3]), Some(&key));
    let signature_of = |lines: &[Vec<u8>]| {
        let manifest: Value = serde_json::from_slice(lines.last().unwrap()).unwrap();
        manifest["signature"].clone()
    };
    let mut forged = export(&rewritten, Some(&other));
    forged[0] = truth[0].clone();
    let with = |lines: &[Vec<u8>], signature: Option<Value>| {
        let mut lines = lines.to_vec();
        let mut manifest: Value = serde_json::from_slice(lines.last().unwrap()).unwrap();
        match signature {
            Some(signature) => manifest["signature"] = signature,
            None => {
                manifest.as_object_mut().unwrap().remove("signature");
            }
        }
        *lines.last_mut().unwrap() = format!("{}\n", canonical_text(&manifest)).into_bytes();
        lines
    };
    assert_eq!(
        problem(&with(&forged, Some(signature_of(&truth))), None),
        bad
    );
    assert_eq!(problem(&with(&truth, None), None), bad);
    assert_eq!(
        problem(&with(&truth, Some(signature_of(&truth))), mine),
        None
    );
    let mut unknown = signature_of(&truth);
    unknown["algorithm"] = json!("none");
    assert_eq!(problem(&with(&truth, Some(unknown)), mine), bad);
}

#[test]
fn an_export_continues_an_earlier_one_or_is_a_fork_of_it() {
    let (_directory, key) = key();
    let continuing = |sessions: &[Vec<Event>], earlier: &[Vec<Event>]| {
        let earlier = verify_with(None, &export(earlier, None).concat());
        let mut verifier = Verifier::new(None).continuing(earlier.ends);
        for line in export(sessions, Some(&key)) {
            verifier.line(&line);
        }
        let report = verifier.finish();
        report.verdict().map(|found| found.problem)
    };
    let earlier = sessions(&[2, 3]);
    assert_eq!(continuing(&earlier, &earlier), None);
    assert_eq!(continuing(&sessions(&[5, 3, 4]), &earlier), None);
    // A selection of them, too.
    assert_eq!(continuing(&sessions(&[2]), &earlier), None);
    // Rewritten whole and signed by the gateway itself: only who kept the earlier export can tell.
    for length in [2, 6] {
        let mut rewritten = sessions(&[5, 3]);
        rewritten[0] = events(&session(0), vec![opened("eve"); length]);
        assert_eq!(continuing(&rewritten, &earlier), Some(Problem::Forked));
    }
    assert_eq!(
        continuing(&sessions(&[1, 3]), &earlier),
        Some(Problem::Truncated)
    );
}

#[test]
fn a_newer_format_is_unreadable_and_not_damage() {
    let mut lines = export(&sessions(&[1]), None);
    let header = String::from_utf8(lines[0].clone()).unwrap();
    lines[0] = header
        .replace("\"version\":1", "\"version\":2")
        .into_bytes();
    assert_eq!(verify(&lines), Some(Problem::Unreadable));
}

#[test]
fn events_of_kinds_nobody_knows_yet_are_verified_like_any_other() {
    let known = events(&session(0), vec![opened("bot")]).remove(0);
    let mut event = serde_json::to_value(&known).unwrap();
    event["type"] = json!("session.moved");
    event["data"] = json!({"to": [1, "two", null, true, {"é": "\u{1f600}"}]});
    event["later"] = json!("attribute");
    event.as_object_mut().unwrap().remove("hash");
    let mut hashed = b"portcullis-event-v1\0".to_vec();
    canonical(&event, &mut hashed);
    event["hash"] = json!(Hash::of(&hashed));
    let (_, header) = Export::begin(SOURCE, at(0), None).unwrap();
    let mut verifier = Verifier::new(None);
    verifier.line(&header);
    verifier.line(format!("{}\n", canonical_text(&event)).as_bytes());
    let report = verifier.finish();
    assert_eq!(report.events, 1);
    let only: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.problem)
        .collect();
    assert_eq!(only, [Problem::Truncated], "only its manifest is missing");
}

#[test]
fn memory_grows_with_sessions_and_findings_are_bounded() {
    let mut lines = export(&sessions(&[1]), None);
    for _ in 0..1000 {
        lines.insert(1, b"{}\n".to_vec());
    }
    let report = verify_with(None, &lines.concat());
    assert_eq!(report.findings.len(), 20);
    assert_eq!(
        report.findings[0],
        Finding {
            problem: Problem::Altered,
            line: Some(2),
            session: None,
            says: "this line is no part of an export".into()
        }
    );
}

// ------------------------------------------------------------------------------------------- the command

fn portcullis(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn in_file(directory: &Path, lines: &[Vec<u8>]) -> String {
    let path = directory.join("export.jsonl");
    std::fs::write(&path, lines.concat()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn each_problem_has_its_own_exit_code_and_the_help_lists_them() {
    let codes: HashSet<_> = Problem::ALL
        .iter()
        .map(|problem| problem.exit_code())
        .collect();
    assert_eq!(codes.len(), Problem::ALL.len());
    let (code, help, _) = portcullis(&["verify", "--help"]);
    assert_eq!(code, 0);
    for problem in Problem::ALL {
        let row = format!("{:>4}  {problem}", problem.exit_code());
        assert!(help.contains(&row), "{row:?} is not in\n{help}");
    }
}

#[test]
fn verify_says_intact_and_by_whom_it_is_signed() {
    let (directory, key) = key();
    let path = in_file(directory.path(), &export(&sessions(&[3, 2]), Some(&key)));
    let fingerprint = key.fingerprint().to_string();
    let (code, out, err) = portcullis(&["verify", &path]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("intact: 2 sessions, 5 events\n"), "{out}");
    assert!(out.contains(&fingerprint), "{out}");

    let pem = directory.path().join("key.pem");
    std::fs::write(&pem, key.public_pem()).unwrap();
    let named = directory.path().join("key.txt");
    std::fs::write(&named, format!("{fingerprint}\n")).unwrap();
    for given in [
        fingerprint.as_str(),
        pem.to_str().unwrap(),
        named.to_str().unwrap(),
    ] {
        let (code, out, _) = portcullis(&["verify", &path, "--key", given]);
        assert_eq!(code, 0, "{given}: {out}");
    }
    let more = directory.path().join("later.jsonl");
    std::fs::write(&more, export(&sessions(&[4, 2]), Some(&key)).concat()).unwrap();
    let later = more.to_str().unwrap();
    let (code, out, _) = portcullis(&["verify", later, "--after", &path]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = portcullis(&["verify", &path, "--after", later]);
    assert_eq!(code, 13, "{out}");

    let other = Hash::of(b"another key").to_string();
    let (code, out, _) = portcullis(&["verify", &path, "--key", &other]);
    assert_eq!(code, 15, "{out}");
    assert!(out.starts_with("bad signature: "), "{out}");

    let (code, out, _) = portcullis(&["verify", &path, "--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(report["verdict"], "intact");
    assert_eq!(report["signed_by"], json!(fingerprint));
    assert_eq!(report["events"], 5);
}

#[test]
fn verify_says_what_is_wrong_where_and_with_which_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = export(&sessions(&[5]), None);
    lines.remove(3);
    let path = in_file(directory.path(), &lines);
    let (code, out, err) = portcullis(&["verify", &path]);
    assert_eq!((code, err.as_str()), (11, ""));
    let id = session(0);
    assert_eq!(
        out,
        format!(
            "gap: line 4: session {id}: event 3 is missing\nnot intact: gap (1 session, 4 events read)\n"
        )
    );
    let (code, out, _) = portcullis(&["verify", &path, "--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 11);
    assert_eq!(report["findings"][0]["problem"], "gap");
    assert_eq!(report["findings"][0]["line"], 4);
}

#[test]
fn what_cannot_be_verified_at_all_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, err) = portcullis(&["verify", "no-such-file.jsonl"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("no-such-file.jsonl") && err.contains("sessions export"),
        "{err}"
    );
    let (code, _, err) = portcullis(&["verify", directory.path().to_str().unwrap()]);
    assert_eq!(code, 1, "{err}");
    let path = in_file(directory.path(), &[b"Dear diary,\n".to_vec()]);
    let (code, out, _) = portcullis(&["verify", &path]);
    assert_eq!(code, 1);
    assert!(out.contains("not an export of Portcullis"), "{out}");
    let (code, _, err) = portcullis(&["verify", &path, "--after", &path]);
    assert_eq!(code, 2);
    assert!(err.contains("not intact itself"), "{err}");
    let (code, _, err) = portcullis(&["verify", &path, "--key", "sha256:12"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = portcullis(&["verify", &path, "--key", &path]);
    assert_eq!(code, 2, "{err}");
}
