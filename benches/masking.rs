//! How fast masking is on one core, beside the fastest things a machine can do with bytes.
//!
//! `cargo bench --bench masking`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use portcullis::domain::{
    classify::Facts,
    masking::{Cell, DetectorSet, Masking, MaskingRules, RowMasker, ServerColumn},
};

/// How long each measurement takes at least.
const TIME: Duration = Duration::from_millis(700);
/// Size of the samples.
const SAMPLE: usize = 8 << 20;

fn main() {
    let samples = [
        ("dense", sample(DENSE)),
        ("sparse", sample(SPARSE)),
        ("table", sample(TABLE)),
        ("prose", sample(PROSE)),
    ];
    // A sample by name, to look at it alone.
    let only = std::env::args()
        .nth(1)
        .filter(|name| !name.starts_with('-'));
    let samples: Vec<_> = samples
        .into_iter()
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
        .collect();
    let names: String = samples
        .iter()
        .map(|(name, _)| format!("{name:>10}"))
        .collect();
    println!("{:<34}{names}", "MB/s");
    let row = |name: &str, measure: &dyn Fn(&[u8]) -> f64| {
        let figures: String = samples
            .iter()
            .map(|(_, sample)| format!("{:>10.0}", measure(sample)))
            .collect();
        println!("{name:<34}{figures}");
    };
    row("memchr of an absent byte", &|sample| {
        rate(sample.len(), || {
            black_box(memchr::memchr(0, black_box(sample)));
        })
    });
    row("memcpy", &|sample| {
        let mut copy = vec![0; sample.len()];
        rate(sample.len(), || {
            black_box(&mut copy).copy_from_slice(black_box(sample))
        })
    });
    let families: [(&str, &[DetectorSet]); 3] = [
        ("secrets", &[DetectorSet::Secrets]),
        ("personal", &[DetectorSet::Personal]),
        ("every detector", &DetectorSet::ALL),
    ];
    for (name, sets) in families {
        let rules = MaskingRules {
            detect: sets.iter().copied().collect(),
            ..MaskingRules::default()
        };
        let masking = Masking::compile(rules).unwrap_or_default();
        row(name, &|sample| {
            rate(sample.len(), || stream(&masking, sample, 64 << 10))
        });
    }
    let masking = Masking::default();
    row("every detector, pieces of 64 bytes", &|sample| {
        rate(sample.len(), || stream(&masking, sample, 64))
    });
    println!();
    rows(&masking);
}

fn stream(masking: &Masking, text: &[u8], piece: usize) {
    let mut out = Vec::with_capacity(128 << 10);
    let mut findings = Vec::new();
    let mut stream = masking.stream();
    for piece in text.chunks(piece) {
        stream.push(piece, &mut out, &mut findings);
        black_box(&out);
        out.clear();
        findings.clear();
    }
    stream.finish(&mut out, &mut findings);
    black_box((&out, &findings));
}

/// A result of ten rows, about 1 KB.
fn rows(masking: &Masking) {
    let names = [
        "id",
        "name",
        "email",
        "city",
        "note",
        "amount",
        "created_at",
        "card_number",
    ];
    let columns = names.map(|name| ServerColumn {
        name: name.into(),
        type_name: "text".into(),
        origin: None,
    });
    let cells = [
        Cell::Number("48211"),
        Cell::Text("Grete Hermann"),
        Cell::Text("grete.hermann@contoso.com"),
        Cell::Text("Bremen"),
        Cell::Text("asked for the invoice again"),
        Cell::Number("1290.50"),
        Cell::Text("2026-03-07T17:51:53Z"),
        Cell::Text("4012 8888 8888 1881"),
    ];
    let facts = Facts::unknown("benchmark");
    let run = || {
        let mut masker: RowMasker<'_> = masking.rows(&facts, &columns);
        for _ in 0..10 {
            masker.row(black_box(&cells));
        }
        masker.finish().0.into_inner().rows.len()
    };
    let size = run();
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed());
    }
    println!("ten rows of eight columns, {size} bytes: {best:?}");
}

/// MB/s of the best of several runs: others use this machine too.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    bytes as f64 / 1e6 / best.as_secs_f64()
}

fn sample(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SAMPLE + 1024);
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    while out.len() < SAMPLE {
        for line in lines {
            for c in line.chars() {
                number ^= number << 13;
                number ^= number >> 7;
                number ^= number << 17;
                // `§` is a random letter or digit, `¤` a random digit: no two lines are the same, and no credential
                // stands in this file.
                match c {
                    '§' => out.push(
                        b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
                            [(number % 57) as usize],
                    ),
                    '¤' => out.push(b'0' + (number % 10) as u8),
                    c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            out.push(b'\n');
        }
    }
    out
}

/// A find in most lines.
const DENSE: &[&str] = &[
    "DB_PASSWORD=§§§§§§§§§§§§",
    "OPENAI_API_KEY=sk-proj-§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§",
    r#"{"id": ¤¤¤¤¤, "email": "ann§§§@contoso.com", "phone": "+4915¤¤¤¤¤¤¤¤", "api_key": "§§§§§§§§§§§§§§§§§§§§§§§§"}"#,
    "2026-03-07T17:51:53Z INFO  [crm] GET /api/items/¤¤¤¤¤ 200 ¤¤ms trace_id=¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤",
    "Server=tcp:db.contoso.net,1433;Initial Catalog=crm;User ID=app;Password=§§§§§§§§§§§§§§;Encrypt=True;",
    "  url: postgres://app:§§§§§§§§§§§§@db.internal:5432/crm",
    "Authorization: Bearer §§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§§",
    "The customer Ann (ann§§§@litware.eu, +44 7¤¤¤ ¤¤¤¤¤¤) was born on 1971-0¤-1¤ and lives in Delft.",
];

/// What an agent reads most: nothing to find, and much that looks like something.
const SPARSE: &[&str] = &[
    "2026-03-07T17:51:53Z INFO  [crm] GET /api/items/¤¤¤¤¤ 200 ¤¤ms trace_id=¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤ plan=0x¤¤¤¤a¤",
    r#"{"id": ¤¤¤¤¤, "status": "shipped", "sku": "§§§-¤¤¤¤¤", "created_at": "2026-03-07T17:51:53Z", "amount": ¤¤.¤¤}"#,
    "    at com.contoso.copper.CopperService.marble(Saffron.java:¤¤¤)",
    "The deployment finished without errors, and the cache hit ratio improved after the change.",
    "apiVersion: apps/v1",
    "  image: registry.contoso.com/crm/api@sha256:¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤¤",
    "fn total(orders: &[Order]) -> Money { orders.iter().map(|order| order.amount).sum() }",
    "commit ¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤¤¤¤¤¤¤¤¤a¤¤¤b¤¤¤¤¤¤¤ deployed version ¤.¤¤.¤",
];

const TABLE: &[&str] = &[
    " id     | full_name          | email                     | city       | amount  | created_at",
    "--------+--------------------+---------------------------+------------+---------+---------------------",
    " ¤¤¤¤¤¤ | Grete Hermann      | grete.§§§§§@contoso.com   | Bremen     | ¤¤¤.¤¤  | 2026-03-07 17:51:53",
    " ¤¤¤¤¤¤ | Emmy Noether       | emmy.§§§§§§@litware.eu    | Erlangen   | ¤¤¤.¤¤  | 2026-03-08 07:21:03",
    " ¤¤¤¤¤¤ | Sophie Germain     | sophie.§§§§@fabrikam.net  | Paris      | ¤¤¤.¤¤  | 2026-03-09 13:01:44",
    " ¤¤¤¤¤¤ | Ada Lovelace       | ada.§§§§§§§@contoso.com   | London     | ¤¤¤.¤¤  | 2026-03-10 22:31:12",
    "",
];

const PROSE: &[&str] = &[
    "The query planner picked a sequential scan, since the statistics of the table were three weeks old and the index",
    "covers only one of the two columns. After the nightly job had refreshed them, the same query took a tenth of the",
    "time. We should add a unique constraint here, and review the migration plan before Friday.",
    "",
];
