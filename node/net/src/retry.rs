//! Tries after growing pauses, for what is asked of a peer on a stream of its own: libp2p drops some streams before their
//! answer, in bursts.

use std::time::Duration;

/// The pause after the first try is twice this long; each further one is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(10);

/// How often a thing is tried.
pub(crate) struct Tries {
    most: u32,
    failed: u32,
}

impl Tries {
    /// At most this often.
    pub(crate) fn of(most: u32) -> Self {
        Self { most, failed: 0 }
    }

    /// A try failed, and the next one may not: waits, and says whether there is a next one.
    pub(crate) async fn wait(&mut self) -> bool {
        self.failed += 1;
        let goes_on = self.failed < self.most;
        if goes_on {
            tokio::time::sleep(PAUSE * (1 << self.failed)).await;
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn pauses_grow_and_the_last_try_has_none_behind_it() {
        let (mut tries, mut at) = (Tries::of(3), vec![Instant::now()]);
        while tries.wait().await {
            at.push(Instant::now());
        }
        let [first, second, third] = at.as_slice() else { panic!("three tries: {at:?}") };
        assert!(*second - *first >= 2 * PAUSE && *third - *second >= 4 * PAUSE, "{at:?}");
        assert!(!Tries::of(1).wait().await);
    }
}
