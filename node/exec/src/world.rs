//! Clocks and randomness of a guest: virtual and seeded for a pure task, real for an impure one.

use std::time::{Duration, Instant, SystemTime};

use weft_core::{Profile, TaskId};

/// The wall clock of a pure task at its start: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
const VIRTUAL_WALL_START_NS: u64 = 1_767_225_600_000_000_000;
/// Step of a pure task's clock at each reading, in nanoseconds, so that a loop that waits for time to pass ends. Also
/// the resolution that the clocks report.
pub(crate) const CLOCK_STEP_NS: u64 = 1_000;

/// Clocks and randomness of a guest.
pub(crate) enum World {
    /// A clock that starts at the same instant for every task and advances by one microsecond at each reading, and
    /// randomness that is derived from the task's id.
    Virtual {
        /// Nanoseconds since the task's start.
        clock_ns: u64,
        /// The seed.
        task: TaskId,
        /// Created on first use.
        random: Option<Box<blake3::OutputReader>>,
    },
    /// The real clock and real randomness.
    Real {
        /// The run's start.
        started: Instant,
    },
}

impl World {
    pub(crate) fn new(profile: Profile, task: TaskId) -> Self {
        match profile {
            Profile::Pure | Profile::Portable => Self::Virtual { clock_ns: 0, task, random: None },
            Profile::Impure => Self::Real { started: Instant::now() },
        }
    }

    /// The monotonic clock, in nanoseconds; reading it advances a virtual clock.
    pub(crate) fn monotonic_ns(&mut self) -> u64 {
        let now = self.peek_monotonic_ns();
        self.advance(CLOCK_STEP_NS);
        now
    }

    /// The wall clock, in nanoseconds since 1970; reading it advances a virtual clock.
    pub(crate) fn wall_ns(&mut self) -> u64 {
        let now = self.peek_wall_ns();
        self.advance(CLOCK_STEP_NS);
        now
    }

    /// The monotonic clock, in nanoseconds, without advancing it.
    pub(crate) fn peek_monotonic_ns(&self) -> u64 {
        match self {
            Self::Virtual { clock_ns, .. } => *clock_ns,
            Self::Real { started } => nanos(started.elapsed()),
        }
    }

    /// The wall clock, in nanoseconds since 1970, without advancing it: for timestamps of files.
    pub(crate) fn peek_wall_ns(&self) -> u64 {
        match self {
            Self::Virtual { clock_ns, .. } => VIRTUAL_WALL_START_NS.saturating_add(*clock_ns),
            Self::Real { .. } => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos),
        }
    }

    /// Advances a virtual clock.
    pub(crate) fn advance(&mut self, by_ns: u64) {
        match self {
            Self::Virtual { clock_ns, .. } => *clock_ns = clock_ns.saturating_add(by_ns),
            Self::Real { .. } => {}
        }
    }

    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// When the operating system has none.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::Virtual { task, random, .. } => {
                random.get_or_insert_with(|| Box::new(seeded(*task))).fill(bytes);
                Ok(())
            }
            Self::Real { .. } => getrandom::fill(bytes),
        }
    }
}

fn seeded(task: TaskId) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("weft 2026 task randomness v1");
    hasher.update(&task.0);
    hasher.finalize_xof()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
