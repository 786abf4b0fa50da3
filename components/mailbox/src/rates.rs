//! How fast messages may be deposited into one mailbox, by all callers together and by each of them.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A; ATM Forum, "Traffic Management
//! Specification 4.0", section 4.4.2): all that it remembers of a flow is when the next message would
//! be due if all came at the permitted rate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Caller;

/// How many callers are remembered for each mailbox. When there are more, those that are due first
/// are forgotten: they have waited longest.
const CALLERS_MAX: usize = 64;

/// How many messages may be deposited each minute; as many may come at once. `None` is without
/// limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RateLimits {
    /// Into one mailbox, by all callers together.
    pub mailbox_per_minute: Option<u32>,
    /// Into one mailbox, by one caller.
    pub caller_per_minute: Option<u32>,
}

/// How fast messages have been deposited into a mailbox, as far as it still matters.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rates {
    /// When the next message is due, in milliseconds since the Unix epoch, UTC.
    due_at_ms: u64,
    /// When the next message of each caller is due.
    callers_due_at_ms: BTreeMap<Caller, u64>,
}

/// Too many messages; the next may come after so many milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many messages in too short a time")]
pub struct TooFast {
    /// How long to wait.
    pub retry_after_ms: u64,
}

impl Rates {
    /// Counts a deposit at `now_ms`.
    ///
    /// # Errors
    ///
    /// [`TooFast`] if a limit is exceeded; nothing is counted then.
    pub fn count(
        &mut self,
        from: Option<&Caller>,
        limits: RateLimits,
        now_ms: u64,
    ) -> Result<(), TooFast> {
        self.callers_due_at_ms
            .retain(|_, due_at_ms| *due_at_ms > now_ms);
        let due_at_ms = match limits.mailbox_per_minute {
            Some(limit) => next(self.due_at_ms, limit, now_ms)?,
            None => self.due_at_ms,
        };
        if let (Some(limit), Some(from)) = (limits.caller_per_minute, from) {
            let due_at_ms = self.callers_due_at_ms.get(from).copied().unwrap_or(0);
            let due_at_ms = next(due_at_ms, limit, now_ms)?;
            self.callers_due_at_ms.insert(from.clone(), due_at_ms);
            if self.callers_due_at_ms.len() > CALLERS_MAX {
                let first = self.callers_due_at_ms.iter().min_by_key(|(_, due)| **due);
                if let Some(first) = first.map(|(caller, _)| caller.clone()) {
                    self.callers_due_at_ms.remove(&first);
                }
            }
        }
        self.due_at_ms = due_at_ms;
        Ok(())
    }
}

/// When the message after one at `now_ms` is due. A minute's worth may be ahead of its time.
fn next(due_at_ms: u64, per_minute: u32, now_ms: u64) -> Result<u64, TooFast> {
    const MINUTE_MS: u64 = 60_000;
    let interval_ms = MINUTE_MS / u64::from(per_minute.max(1));
    let tolerance_ms = interval_ms * u64::from(per_minute.max(1)).saturating_sub(1);
    // A clock that was ahead once must not close the mailbox for longer than a minute.
    let due_at_ms = due_at_ms.clamp(now_ms, now_ms + MINUTE_MS);
    match (due_at_ms - now_ms).checked_sub(tolerance_ms + 1) {
        Some(early_ms) => Err(TooFast {
            retry_after_ms: early_ms + 1,
        }),
        None => Ok(due_at_ms + interval_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits {
        mailbox_per_minute: Some(6),
        caller_per_minute: Some(2),
    };

    fn caller(n: u32) -> Caller {
        format!("+1555{n:07}").parse().expect("a caller")
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_one_at_a_time() {
        let mut rates = Rates::default();
        for _ in 0..6 {
            assert_eq!(rates.count(None, LIMITS, 1_000), Ok(()));
        }
        let refused = rates.count(None, LIMITS, 1_000);
        assert_eq!(
            refused,
            Err(TooFast {
                retry_after_ms: 10_000
            })
        );
        assert!(rates.count(None, LIMITS, 10_999).is_err());
        assert_eq!(rates.count(None, LIMITS, 11_000), Ok(()));
        assert!(rates.count(None, LIMITS, 11_000).is_err());
    }

    #[test]
    fn one_caller_does_not_use_up_the_share_of_another() {
        let mut rates = Rates::default();
        assert_eq!(rates.count(Some(&caller(1)), LIMITS, 0), Ok(()));
        assert_eq!(rates.count(Some(&caller(1)), LIMITS, 0), Ok(()));
        assert!(rates.count(Some(&caller(1)), LIMITS, 0).is_err());
        assert_eq!(rates.count(Some(&caller(2)), LIMITS, 0), Ok(()));
    }

    #[test]
    fn refused_message_is_not_counted() {
        let mut rates = Rates::default();
        for n in 0..6 {
            assert_eq!(rates.count(Some(&caller(n)), LIMITS, 0), Ok(()));
        }
        let before = rates.clone();
        assert!(rates.count(Some(&caller(9)), LIMITS, 0).is_err());
        assert_eq!(rates.due_at_ms, before.due_at_ms);
    }

    #[test]
    fn without_limits_nothing_is_refused_or_remembered() {
        let mut rates = Rates::default();
        for n in 0..1_000 {
            assert_eq!(
                rates.count(Some(&caller(n)), RateLimits::default(), 0),
                Ok(())
            );
        }
        assert_eq!(rates, Rates::default());
    }

    #[test]
    fn number_of_callers_is_bounded() {
        let limits = RateLimits {
            mailbox_per_minute: None,
            caller_per_minute: Some(1),
        };
        let mut rates = Rates::default();
        for n in 0..1_000 {
            assert_eq!(rates.count(Some(&caller(n)), limits, u64::from(n)), Ok(()));
        }
        assert_eq!(rates.callers_due_at_ms.len(), CALLERS_MAX);
    }

    #[test]
    fn clock_that_was_ahead_closes_nothing_for_long() {
        let mut rates = Rates {
            due_at_ms: u64::MAX,
            ..Rates::default()
        };
        let refused = rates.count(None, LIMITS, 0).expect_err("too fast");
        assert!(refused.retry_after_ms <= 60_000);
    }
}
