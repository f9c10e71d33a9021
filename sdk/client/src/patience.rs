//! How long a client goes on where the way to a job breaks: its node is started again, or another node takes over the job.

use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a node that went away is waited for, and a job that no node leads.
const AWAY_MAX: Duration = Duration::from_secs(120);
/// How long a job may be unknown that was there: a node that was started again first has to meet the others.
const UNKNOWN_MAX: Duration = Duration::from_secs(20);
/// The pause before the first try; it doubles up to the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The tries since it last went well.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Option<Instant>,
    /// Since when no node knows of the job.
    unknown_since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { since: None, unknown_since: None, pause: PAUSE }
    }

    /// It went well.
    pub(crate) fn renew(&mut self) {
        *self = Self::new();
    }

    /// The way is there again, and nothing came by it yet: the pauses go on where they were.
    pub(crate) fn found(&mut self) {
        (self.since, self.unknown_since) = (None, None);
    }

    /// How long to wait before the next try after that error; `None` if there is none.
    pub(crate) fn after(&mut self, error: &Error) -> Option<Duration> {
        let now = Instant::now();
        let most = lasts_at_most(error)?;
        let mut since = *self.since.get_or_insert(now);
        if matches!(error, Error::NotFound { .. }) {
            since = *self.unknown_since.get_or_insert(now);
        } else {
            self.unknown_since = None;
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(PAUSE_MAX);
        (since.elapsed() + pause < most).then_some(pause)
    }
}

#[cfg(test)]
impl Patience {
    /// Whether no break lasts.
    pub(crate) fn is_fresh(&self) -> bool {
        self.since.is_none() && self.unknown_since.is_none()
    }
}

/// How long what an error says may last until it passes by itself; `None` if it does not.
fn lasts_at_most(error: &Error) -> Option<Duration> {
    match error {
        Error::Broken { .. } | Error::NoNode { .. } | Error::Unreachable { .. } | Error::NotNow { .. } => {
            Some(AWAY_MAX)
        }
        Error::NotFound { .. } => Some(UNKNOWN_MAX),
        Error::Unauthorized { .. }
        | Error::Refused { .. }
        | Error::File { .. }
        | Error::BadFile { .. }
        | Error::NoInput { .. }
        | Error::Unwritten { .. }
        | Error::Protocol { .. }
        | Error::TaskFailed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_after_growing_pauses_and_what_does_not_is_not() {
        let broken = Error::Broken { reason: String::new() };
        let mut patience = Patience::new();
        let pauses: Vec<u128> = (0..7).map(|_| patience.after(&broken).unwrap().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(patience.after(&Error::refused("no", "yes")), None);
        patience.renew();
        assert_eq!(patience.after(&broken), Some(PAUSE));
        // A node that was away for longer still has the time to meet the others.
        let unknown = Error::not_found("job", "");
        patience.since = Instant::now().checked_sub(2 * UNKNOWN_MAX);
        assert!(patience.after(&unknown).is_some());
        patience.unknown_since = Instant::now().checked_sub(UNKNOWN_MAX);
        assert_eq!(patience.after(&unknown), None);
        assert!(patience.after(&broken).is_some());
        patience.since = Instant::now().checked_sub(AWAY_MAX);
        assert_eq!(patience.after(&broken), None);
    }
}
