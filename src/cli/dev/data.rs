//! The demo database: a shop with invented customers, the same on every machine.
//!
//! Nobody in it exists. Card numbers and IBANs carry right check digits, and the tickets hold keys of the right shape,
//! because that is what masking has to find.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::cli::Failure;

const FIRST: [&str; 16] = [
    "Ada", "Bruno", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kiran",
    "Lena", "Mateo", "Nora", "Oskar", "Priya",
];
const LAST: [&str; 16] = [
    "Abel",
    "Berger",
    "Costa",
    "Duarte",
    "Eriksen",
    "Fischer",
    "Gruber",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
];
const ITEMS: [&str; 8] = [
    "lamp",
    "desk",
    "chair",
    "kettle",
    "notebook",
    "backpack",
    "headphones",
    "bicycle",
];
const CUSTOMERS: i64 = 500;

/// Makes the database at `path`, unless it is there.
pub(super) fn create(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let failed = |error: rusqlite::Error| Failure::Failed(format!("{}: {error}", path.display()));
    let mut database = Connection::open(path).map_err(failed)?;
    fill(&mut database).map_err(failed)
}

fn fill(database: &mut Connection) -> rusqlite::Result<()> {
    let all = database.transaction()?;
    all.execute_batch(
        "CREATE TABLE customers (
           id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE,
           phone TEXT NOT NULL, card_number TEXT NOT NULL, iban TEXT NOT NULL,
           country TEXT NOT NULL, active INTEGER NOT NULL, created_at TEXT NOT NULL);
         CREATE TABLE orders (
           id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL,
           item TEXT NOT NULL, cents INTEGER NOT NULL, ordered_at TEXT NOT NULL);
         CREATE TABLE tickets (
           id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, body TEXT NOT NULL);",
    )?;
    let mut random = Random(20_260_101);
    for id in 1..=CUSTOMERS {
        let (first, last) = (random.of(&FIRST), random.of(&LAST));
        let email = format!(
            "{}.{}{id}@example.org",
            first.to_lowercase(),
            last.to_lowercase()
        );
        all.execute(
            "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                id,
                format!("{first} {last}"),
                email,
                format!(
                    "+49 30 {:03} {:04}",
                    random.below(1_000),
                    random.below(10_000)
                ),
                card(&mut random),
                iban(&mut random),
                random.of(&["DE", "FR", "PT", "SE"]),
                random.below(10) > 0,
                day(&mut random),
            ],
        )?;
    }
    for id in 1..=CUSTOMERS * 3 {
        let (customer, item) = (random.below(CUSTOMERS) + 1, random.of(&ITEMS));
        let (cents, ordered_at) = (random.below(90_000) + 900, day(&mut random));
        all.execute(
            "INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id, customer, item, cents, ordered_at],
        )?;
    }
    // Put together from parts, so that no scanner takes this file for a leak.
    let token = format!("ghp_{}", "R7hq2LmZ8sVnC4xTbK1wYdF6gJ9pQe3uN5aM");
    let tickets = [
        "My parcel arrived a day early, thank you!".to_owned(),
        format!("The export stopped. I use the token {token} for it, is that right?"),
        "Please send the invoice to ada.billing@example.org, and call +49 30 555 0199.".to_owned(),
    ];
    for (id, body) in (1_i64..).zip(&tickets) {
        all.execute(
            "INSERT INTO tickets VALUES (?1, ?2, ?3)",
            params![id, id * 7, body],
        )?;
    }
    all.commit()
}

/// A small generator, so that every machine has the same customers (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap_or_default() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let bound = i64::try_from(choices.len()).unwrap_or(1);
        choices[usize::try_from(self.below(bound)).unwrap_or_default()]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'0' + u8::try_from(self.below(10)).unwrap_or_default()))
            .collect()
    }
}

fn day(random: &mut Random) -> String {
    let (year, month, day) = (
        2024 + random.below(2),
        random.below(12) + 1,
        random.below(28) + 1,
    );
    format!("{year}-{month:02}-{day:02}")
}

/// Sixteen digits that begin with 4 and satisfy Luhn's check.
fn card(random: &mut Random) -> String {
    let body = format!("4{}", random.digits(14));
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(digit - b'0') * if index % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// A German IBAN with right check digits (ISO 13616: mod 97 of the account, then `DE00` as digits).
fn iban(random: &mut Random) -> String {
    let account = random.digits(18);
    let remainder = format!("{account}131400")
        .bytes()
        .fold(0, |remainder, digit| {
            (remainder * 10 + u32::from(digit - b'0')) % 97
        });
    format!("DE{:02}{account}", 98 - remainder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_and_ibans_have_right_check_digits() {
        let mut random = Random(1);
        for _ in 0..100 {
            let card = card(&mut random);
            let luhn: u32 = card
                .bytes()
                .rev()
                .enumerate()
                .map(|(index, digit)| {
                    let digit = u32::from(digit - b'0') * if index % 2 == 1 { 2 } else { 1 };
                    digit / 10 + digit % 10
                })
                .sum();
            assert_eq!(luhn % 10, 0, "{card}");
            let iban = iban(&mut random);
            let moved = format!("{}1314{}", &iban[4..], &iban[2..4]);
            let rest = moved
                .bytes()
                .fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
            assert_eq!(rest, 1, "{iban}");
        }
    }
}
