//! How fast masking is on one core, beside the fastest things a machine can do with bytes.
//!
//! `cargo bench --bench masking [-- FILE..]`
//!
//! On one core of a virtual Xeon, processor time; the rows of the corpus are the best of three runs, the others are of one.
//! `corpus` is text of 18 kinds as an agent reads it, streams assembled, dense as it comes, sparse with 49 clean documents to
//! one with secrets:
//!
//! ```text
//! MB/s                                   dense    sparse     table     prose    corpus, dense    corpus, sparse
//! memchr of an absent byte               29198     30922     28863     28855            28782            28821
//! memcpy                                 14009     14013     13926     13929            14215            14236
//! secrets                                  150       525       362       968              159              232
//! personal                                 140       450       262       887              139              199
//! every detector                           131       466       271       932              133              195
//! every detector, pieces of 64 bytes       102       242       197       388               96              123
//! memcpy, times as fast                    110        28        51        15              111               78
//!
//! ten rows of eight columns, 1441 bytes: 6.6 µs
//! ```

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
    let mut samples = vec![
        ("dense".to_owned(), sample(DENSE)),
        ("sparse".to_owned(), sample(SPARSE)),
        ("table".to_owned(), sample(TABLE)),
        ("prose".to_owned(), sample(PROSE)),
    ];
    // Files to measure, or the name of a sample to look at it alone.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for argument in &asked {
        if let Ok(text) = std::fs::read(argument) {
            samples.push((argument.clone(), text));
        }
    }
    samples.retain(|(name, _)| asked.is_empty() || asked.contains(name));
    for (name, _) in &mut samples {
        *name = name.rsplit('/').next().unwrap_or_default().to_owned();
    }
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
    row("memcpy, times as fast", &|sample| {
        let mut copy = vec![0; sample.len()];
        let copied = rate(sample.len(), || {
            black_box(&mut copy).copy_from_slice(black_box(sample));
        });
        copied / rate(sample.len(), || stream(&masking, sample, 64 << 10))
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
    let best = best_of_several(|| {
        black_box(run());
    });
    println!("ten rows of eight columns, {size} bytes: {best:?}");
}

/// MB/s of the best of several runs: others use this machine too.
fn rate(bytes: usize, work: impl FnMut()) -> f64 {
    bytes as f64 / 1e6 / best_of_several(work).as_secs_f64()
}

fn best_of_several(mut work: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while best == Duration::MAX || begin.elapsed() < TIME {
        // As often as the clock needs to tell: it may only tick.
        let (start, from, mut count) = (processor_time(begin), Instant::now(), 0);
        while count == 0 || from.elapsed() < TIME / 7 {
            work();
            count += 1;
        }
        best = best.min((processor_time(begin) - start) / count);
    }
    best
}

/// How long this thread had a processor, where the system says so; else how long it is since `begin`.
fn processor_time(begin: Instant) -> Duration {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .map_or_else(|| begin.elapsed(), Duration::from_nanos)
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
