//! What holds for masking whatever comes in: the same for tests and for the fuzzer.

use portcullis::domain::masking::{Masking, TextFinding};

/// The most that waits: a long line, held events, and what a piece brought.
const MOST_HELD: usize = 400 << 10;

/// Masks `pieces` one after the other.
pub(crate) fn mask_pieces<'a>(
    masking: &Masking,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Vec<TextFinding>) {
    let (mut out, mut findings) = (Vec::new(), Vec::new());
    let mut stream = masking.stream();
    for piece in pieces {
        stream.push(piece, &mut out, &mut findings);
        assert!(
            stream.held_back() <= MOST_HELD + piece.len(),
            "{} bytes are held back",
            stream.held_back()
        );
    }
    stream.finish(&mut out, &mut findings);
    (out, findings)
}

/// Checks every law on one input, cut where `cuts` says.
///
/// # Panics
///
/// When one does not hold.
pub(crate) fn hold(masking: &Masking, text: &[u8], cuts: &[u8]) {
    let whole = mask_pieces(masking, [text]);
    let mut pieces = Vec::new();
    let mut rest = text;
    for cut in cuts.iter().cycle().take(1 << 12) {
        let (piece, tail) = rest.split_at((usize::from(*cut) + 1).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    assert_eq!(
        mask_pieces(masking, pieces),
        whole,
        "it depends on how it was cut"
    );
    let (masked, findings) = whole;
    assert!(masked.len() <= text.len(), "it grew");
    for finding in &findings {
        assert!(finding.start < finding.end && finding.end <= text.len());
    }
    if findings.is_empty() {
        assert_eq!(masked, text, "it changed where nothing was found");
    }
    let Ok(before) = std::str::from_utf8(text) else {
        return;
    };
    let after = std::str::from_utf8(&masked);
    assert!(after.is_ok(), "text is no text any more");
    assert_eq!(before.lines().count(), after.unwrap_or("").lines().count());
    if let Ok(before) = serde_json::from_slice::<serde_json::Value>(text) {
        let after = serde_json::from_slice::<serde_json::Value>(&masked);
        assert!(after.is_ok(), "JSON is no JSON any more");
        assert_eq!(
            shape(&before),
            shape(&after.unwrap_or_default()),
            "JSON has another shape"
        );
    }
}

/// The kinds of a JSON value's parts, and their order.
pub(crate) fn shape(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let inside: String = map.values().map(|value| shape(value) + ",").collect();
            format!("{{{inside}}}")
        }
        serde_json::Value::Array(values) => {
            let inside: String = values.iter().map(|value| shape(value) + ",").collect();
            format!("[{inside}]")
        }
        serde_json::Value::String(_) => "s".into(),
        serde_json::Value::Number(_) => "n".into(),
        other => other.to_string(),
    }
}
