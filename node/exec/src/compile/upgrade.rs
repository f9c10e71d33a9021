//! Whether better code of a module is being compiled, and when the optimising compiler tries again after a try without
//! code: it exceeded its time, for the module may be large or the machine was busy; the module could not be read; the
//! queue was full. Plain data.

use std::time::{Duration, Instant};

use super::job::Job;

/// Most doublings of the wait before a module is optimised again.
const DOUBLINGS_MAX: u32 = 4;

#[derive(Debug)]
pub(super) enum Upgrade {
    /// No better code will be compiled.
    No,
    /// It is queued for the optimising compiler, or being optimised.
    Coming,
    /// It is optimised again when it is asked for after this time.
    Later(Instant, Job),
}

impl Upgrade {
    /// Another try after `wait`, doubled for each failed try.
    pub(super) fn later(job: Job, now: Instant, wait: Duration) -> Self {
        let wait = wait.saturating_mul(1 << job.tries.min(DOUBLINGS_MAX));
        let tries = job.tries.saturating_add(1);
        Self::Later(now + wait, Job { tries, ..job })
    }

    /// Whether it is queued or being optimised.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self, Self::Coming)
    }

    /// Takes the job if it is due; the module then counts as queued.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Job> {
        match std::mem::replace(self, Self::Coming) {
            Self::Later(at, job) if at <= now => Some(job),
            other @ (Self::No | Self::Coming | Self::Later(..)) => {
                *self = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use weft_core::{BlobId, PeerId};

    use super::*;
    use crate::make::EngineKey;

    #[test]
    fn each_chance_comes_after_twice_the_wait_of_the_one_before() {
        let wait = Duration::from_secs(300);
        let read: crate::compile::Read = Arc::new(|| Ok(Bytes::new()));
        let module_key = (BlobId([1; 32]), EngineKey::PLAIN);
        let mut job = Job { module_key, owner: PeerId([2; 32]), read, late: 0, tries: 0 };
        let mut now = Instant::now();
        for (tries, times) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 16)] {
            let mut upgrade = Upgrade::later(job, now, wait);
            assert!(!upgrade.is_coming());
            now += wait * times;
            assert!(upgrade.take_due(now - Duration::from_millis(1)).is_none());
            job = upgrade.take_due(now).unwrap();
            assert!(upgrade.is_coming() && upgrade.take_due(now).is_none());
            assert_eq!((job.tries, job.late), (tries, 0));
        }
    }
}
