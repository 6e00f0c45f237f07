//! Requests per minute, per principal and connection. Counted in this process: an instance more is a budget more,
//! which is why the limits that protect a target (rows, bytes, time) do not rest on it.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use jiff::Timestamp;

use crate::domain::{connection::ConnectionName, principal::PrincipalId};

/// How many principals and connections are remembered before the idle ones are forgotten.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<(PrincipalId, ConnectionName), Bucket>>,
}

/// A token bucket in microseconds of credit: a request costs `60 s / limit`, and a minute's credit is the most there is.
#[derive(Debug)]
struct Bucket {
    credit_us: i64,
    at: Timestamp,
}

const MINUTE_US: i64 = 60_000_000;

impl Rates {
    /// Takes one request out of the budget, or says when there will be one.
    pub(super) fn take(
        &self,
        principal: &PrincipalId,
        connection: &ConnectionName,
        per_minute: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let cost = MINUTE_US / i64::from(per_minute.max(1));
        // A panic while holding the lock can only have left a bucket as it was or as it should be.
        let mut buckets = self
            .buckets
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, bucket| bucket.refilled(now) < MINUTE_US);
        }
        let bucket = buckets
            .entry((principal.clone(), connection.clone()))
            .or_insert(Bucket {
                credit_us: MINUTE_US,
                at: now,
            });
        bucket.credit_us = bucket.refilled(now);
        bucket.at = now;
        if bucket.credit_us < cost {
            return Err(Duration::from_micros(
                (cost - bucket.credit_us).unsigned_abs(),
            ));
        }
        bucket.credit_us -= cost;
        Ok(())
    }
}

impl Bucket {
    fn refilled(&self, now: Timestamp) -> i64 {
        let passed = now
            .as_microsecond()
            .saturating_sub(self.at.as_microsecond())
            .max(0);
        self.credit_us.saturating_add(passed).min(MINUTE_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::PrincipalKind;

    #[test]
    fn a_minutes_budget_is_spent_and_comes_back_evenly() {
        let rates = Rates::default();
        let bot = PrincipalId::new(PrincipalKind::Agent, "bot");
        let crm: ConnectionName = "crm".parse().unwrap();
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        for _ in 0..120 {
            assert_eq!(rates.take(&bot, &crm, 120, start), Ok(()));
        }
        assert_eq!(
            rates.take(&bot, &crm, 120, start),
            Err(Duration::from_millis(500))
        );
        let later = start + Duration::from_millis(500);
        assert_eq!(rates.take(&bot, &crm, 120, later), Ok(()));
        assert!(rates.take(&bot, &crm, 120, later).is_err());
        let other = PrincipalId::new(PrincipalKind::Agent, "other");
        assert_eq!(rates.take(&other, &crm, 120, later), Ok(()));
    }
}
