//! Masking never panics, hangs, grows, or depends on how its input was cut; JSON stays JSON of the same shape.

#![no_main]

#[path = "../../tests/masking/laws.rs"]
mod laws;

use std::sync::LazyLock;

use portcullis::domain::masking::Masking;

static MASKING: LazyLock<Masking> = LazyLock::new(Masking::default);

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (mut cuts, text) = input;
    cuts.truncate(16);
    cuts.push(6);
    laws::hold(&MASKING, &text, &cuts);
});
