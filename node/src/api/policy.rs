//! A job's policy from a client, checked: what contradicts itself is refused here with what would have been taken.

use weft_client::api;
use weft_core::{Backoff, Policy, VERIFY_MAX};

use super::error::ApiError;

/// Longest time that a policy may name: a year. In milliseconds.
pub const TIME_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// The most retries of a task.
pub const RETRIES_MAX: u32 = 100;

/// Checks it.
pub(super) fn policy(given: api::Policy, retries: u32) -> Result<Policy, ApiError> {
    let api::Policy {
        not_before_ms,
        deadline_ms,
        expires_ms,
        backoff,
        give_up_ms,
        failures_max,
        verify,
        backups,
    } = given;
    if retries > RETRIES_MAX {
        return Err(ApiError::bad(format!("{retries} retries")).expected("at most 100"));
    }
    let times = [
        ("not_before_ms", Some(not_before_ms)),
        ("deadline_ms", deadline_ms),
        ("expires_ms", expires_ms),
        ("give_up_ms", give_up_ms),
    ];
    if let Some((name, Some(ms))) = times.into_iter().find(|(_, ms)| ms.is_some_and(|ms| ms > TIME_MS_MAX)) {
        return Err(ApiError::bad(format!("{name} of {ms}")).expected("at most a year"));
    }
    for (name, ms) in [("deadline_ms", deadline_ms), ("expires_ms", expires_ms)] {
        if let Some(ms) = ms.filter(|ms| *ms <= not_before_ms) {
            let text = format!("{name} of {ms}, but nothing starts before {not_before_ms} ms");
            return Err(ApiError::bad(text).expected(format!("{name} after not_before_ms")));
        }
    }
    if !(1..=VERIFY_MAX).contains(&verify) {
        return Err(ApiError::bad(format!("verify on {verify} nodes")).expected(format!("1 to {VERIFY_MAX}")));
    }
    let backoff = backoff.map(self::backoff).transpose()?.unwrap_or(Backoff::NONE);
    Ok(Policy {
        not_before_ms,
        deadline_ms,
        expires_ms,
        retries,
        backoff,
        give_up_ms,
        failures_max,
        verify,
        backups,
    })
}

fn backoff(given: api::Backoff) -> Result<Backoff, ApiError> {
    let api::Backoff { first_ms, most_ms, jitter_percent } = given;
    if first_ms > most_ms {
        let text = format!("a backoff from {first_ms} to {most_ms} ms");
        return Err(ApiError::bad(text).expected("a first wait no longer than the longest"));
    }
    if jitter_percent > 100 {
        return Err(ApiError::bad(format!("a jitter of {jitter_percent} %")).expected("at most 100"));
    }
    Ok(Backoff { first_ms, most_ms, jitter_percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused() {
        let plain = api::Policy::default();
        let backoff = |first_ms, most_ms, jitter_percent| api::Policy {
            backoff: Some(api::Backoff { first_ms, most_ms, jitter_percent }),
            ..plain
        };
        // policy, retries -> taken
        let table = [
            (plain, 0, true),
            (plain, 100, true),
            (plain, 101, false),
            (api::Policy { expires_ms: Some(0), ..plain }, 0, false),
            (api::Policy { not_before_ms: 5, expires_ms: Some(5), ..plain }, 0, false),
            (api::Policy { not_before_ms: 5, deadline_ms: Some(6), ..plain }, 0, true),
            (api::Policy { give_up_ms: Some(u64::MAX), ..plain }, 0, false),
            (api::Policy { verify: 0, ..plain }, 0, false),
            (api::Policy { verify: 3, backups: false, failures_max: Some(0), ..plain }, 0, true),
            (backoff(1000, 600_000, 50), 3, true),
            (backoff(1000, 999, 50), 3, false),
            (backoff(1, 1, 101), 3, false),
        ];
        for (given, retries, taken) in table {
            assert_eq!(policy(given, retries).is_ok(), taken, "{given:?} {retries}");
        }
        assert_eq!(policy(plain, 0).ok(), Some(Policy::DEFAULT), "the defaults are the core's");
    }
}
