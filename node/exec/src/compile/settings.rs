//! Settings and counters of the compiler.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::bounds::Bounds;
use crate::disk::DISK_BYTES_MAX;
use crate::error::PrepareError;
use crate::make::{Interrupt, Tier};

/// Most bytes of code that is kept in memory; a single module may exceed it.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// A longer module is compiled by the baseline compiler first: optimising takes about 0.6 ms for each KB on one core.
const QUICK_BYTES_MAX: u64 = 250 << 10;
/// How long a module that exceeded its compile time is refused: the module may be too large, or the machine was busy. A
/// module that runs on baseline code and was not optimised, for this or a passing cause, waits twice as long each time,
/// up to 16 times.
const LATE_FOR: Duration = Duration::from_secs(300);

/// Where modules are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// On threads of this process.
    Here,
    /// In child processes started with this command line, each with a deadline and a memory limit.
    Child {
        /// The executable.
        program: PathBuf,
        /// Its arguments; with them it must call [`crate::compile_main`].
        args: Vec<OsString>,
    },
}

/// Time and memory limits of a compilation in a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Wall time of the baseline compiler, for any module.
    pub baseline: Duration,
    /// Additional wall time for each whole MiB of the module.
    pub baseline_mib: Duration,
    /// Wall time of the optimising compiler, for any module.
    pub optimised: Duration,
    /// Additional wall time for each whole MiB of the module.
    pub optimised_mib: Duration,
    /// Address space, in bytes; 64 times the module's length if that is more.
    pub memory_bytes: u64,
}

impl Allowance {
    /// The limits of a node: for each MiB about seven times what an otherwise idle core needs.
    pub const NODE: Self = Self {
        baseline: Duration::from_secs(30),
        baseline_mib: Duration::from_secs(2),
        optimised: Duration::from_secs(180),
        optimised_mib: Duration::from_secs(10),
        memory_bytes: 4 << 30,
    };

    /// The wall time for a module of this length. `late` is how often it exceeded its time before: each time doubles
    /// the limit, up to four times.
    pub(super) fn time(&self, tier: Tier, bytes: usize, late: u32) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        let (any, each) = match tier {
            Tier::Baseline => (self.baseline, self.baseline_mib),
            Tier::Optimised => (self.optimised, self.optimised_mib),
        };
        any.saturating_add(each.saturating_mul(mib)).saturating_mul(1 << late.min(2))
    }

    /// The address space for a module of this length, in bytes.
    pub(super) fn memory(&self, bytes: usize) -> u64 {
        self.memory_bytes.max((bytes as u64).saturating_mul(64))
    }
}

/// Settings of the compiler.
#[derive(Clone, Debug)]
pub struct CompilerConfig {
    /// Directory for code; `None` keeps it in memory only.
    pub cache_dir: Option<PathBuf>,
    /// How guests that run this code are ended.
    pub interrupt: Interrupt,
    /// Where modules are compiled.
    pub how: How,
    /// Bounds on modules.
    pub bounds: Bounds,
    /// Limits of a compilation.
    pub allowance: Allowance,
    /// Longest module that is optimised without baseline code first, in bytes.
    pub quick_bytes: u64,
    /// Most bytes of code on disk.
    pub disk_bytes: u64,
    /// Bytes of code in memory.
    pub memory_bytes: u64,
    /// How long a module that exceeded its compile time is refused.
    pub late_for: Duration,
}

impl CompilerConfig {
    /// The default settings of a node.
    #[must_use]
    pub fn new(cache_dir: Option<PathBuf>, interrupt: Interrupt, how: How) -> Self {
        Self {
            cache_dir,
            interrupt,
            how,
            bounds: Bounds::NODE,
            allowance: Allowance::NODE,
            quick_bytes: QUICK_BYTES_MAX,
            disk_bytes: DISK_BYTES_MAX,
            memory_bytes: MEMORY_BYTES_MAX,
            late_for: LATE_FOR,
        }
    }

    /// The same settings for modules of up to this many bytes.
    #[must_use]
    pub fn modules(self, bytes: u64) -> Self {
        Self { bounds: Bounds::of_modules(bytes), ..self }
    }

    /// # Errors
    /// [`PrepareError::TooLong`] for a module that is longer than this node accepts.
    pub(super) fn check_length(&self, bytes: u64) -> Result<(), PrepareError> {
        let limit = self.bounds.bytes;
        if bytes > limit { Err(PrepareError::TooLong { bytes, limit }) } else { Ok(()) }
    }
}

/// Counters and current state of the compiler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompilerStatus {
    /// Modules whose code is in memory.
    pub ready: u64,
    /// Modules that tasks wait for.
    pub compiling: u64,
    /// Modules that run on baseline code and wait to be optimised.
    pub optimising: u64,
    /// Successful compilations since the start.
    pub compiled: u64,
    /// Code loaded from disk since the start, in modules.
    pub loaded: u64,
    /// Bytes of code in memory.
    pub code_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_follow_the_modules_length() {
        let node = Allowance::NODE;
        let s = Duration::from_secs;
        assert_eq!(node.time(Tier::Baseline, 1000, 0), s(30));
        assert_eq!(node.time(Tier::Optimised, 1000, 0), s(180));
        assert_eq!(node.time(Tier::Baseline, 26 << 20, 0), s(82));
        assert_eq!(node.time(Tier::Optimised, 26 << 20, 0), s(440));
        assert_eq!(
            [1, 2, 3, 40].map(|late| node.time(Tier::Optimised, 26 << 20, late)),
            [880, 1760, 1760, 1760].map(s)
        );
        assert_eq!((node.memory(1000), node.memory(128 << 20)), (4 << 30, 8 << 30));
    }
}
