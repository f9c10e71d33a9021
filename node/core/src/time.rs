//! Time in microseconds, since 1970 or since the start of a simulation. The driver passes it in; the core reads no clock.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// An instant, in microseconds since a fixed one; that is the same in all lives of a node. Never sent to a peer: durations on
/// the wire are relative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Time(pub u64);

impl Time {
    /// The earliest instant.
    pub const ZERO: Self = Self(0);

    /// Microseconds from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant and `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }
}

/// The earliest of several instants, with the reason for waking then.
#[derive(Debug, Default)]
pub(crate) struct Soonest(Option<(Time, &'static str)>);

impl Soonest {
    /// Adds an instant, if there is one, with its reason.
    pub(crate) fn at(&mut self, at: Option<Time>, why: &'static str) {
        self.or(at.map(|at| (at, why)));
    }

    /// Adds an instant with its reason, if there is one.
    pub(crate) fn or(&mut self, other: Option<(Time, &'static str)>) {
        let Some(other) = other else { return };
        if self.0.is_none_or(|soonest| other < soonest) {
            self.0 = Some(other);
        }
    }

    pub(crate) fn get(self) -> Option<(Time, &'static str)> {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.since_us(earlier))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
