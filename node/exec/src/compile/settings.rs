//! What a node chooses about compiling, and what it is told of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::admission::Bounds;

use crate::disk::DISK_BYTES_MAX;
use crate::error::PrepareError;
use crate::make::{Interrupt, Tier};

/// Code of modules that is kept in memory, in bytes; one module may exceed it alone.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// A longer module is compiled by the baseline compiler first: optimising takes about 0.6 ms a kilobyte of one core.
const QUICK_BYTES_MAX: u64 = 250 << 10;
/// A module that took too long is not tried again for so long: it may be the module, or a machine that was busy. One that
/// runs on baseline code meanwhile waits twice as long each time, up to 16 times.
const LATE_FOR: Duration = Duration::from_secs(300);

/// Where compilers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// On threads of this process.
    Here,
    /// In children started with this command line, each with a deadline and a bound on memory.
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments, which must lead it to [`crate::compile_main`].
        args: Vec<OsString>,
    },
}

/// What a compilation may take in a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Wall time of the baseline compiler, for any module.
    pub baseline: Duration,
    /// What it gets for each whole MiB of a module, on top.
    pub baseline_mib: Duration,
    /// Wall time of the optimising compiler, for any module.
    pub optimised: Duration,
    /// What it gets for each whole MiB of a module, on top.
    pub optimised_mib: Duration,
    /// Address space; 64 times the module's length where that is more.
    pub memory_bytes: u64,
}

impl Allowance {
    /// What a node gives: for each MiB about seven times what one core needs that has nothing else to do.
    pub const NODE: Self = Self {
        baseline: Duration::from_secs(30),
        baseline_mib: Duration::from_secs(2),
        optimised: Duration::from_secs(180),
        optimised_mib: Duration::from_secs(10),
        memory_bytes: 4 << 30,
    };

    /// The wall time for a module of so many bytes, which was too little for it so often before: each time it gets twice
    /// as much, up to four times.
    pub(super) fn time(&self, tier: Tier, bytes: usize, late: u32) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        let (any, each) = match tier {
            Tier::Baseline => (self.baseline, self.baseline_mib),
            Tier::Optimised => (self.optimised, self.optimised_mib),
        };
        any.saturating_add(each.saturating_mul(mib)).saturating_mul(1 << late.min(2))
    }

    /// The address space for a module of so many bytes.
    pub(super) fn memory(&self, bytes: usize) -> u64 {
        self.memory_bytes.max((bytes as u64).saturating_mul(64))
    }
}

/// What a node chooses about compiling.
#[derive(Clone, Debug)]
pub struct CompilerConfig {
    /// Where code is kept between starts.
    pub cache_dir: Option<PathBuf>,
    /// How the guests of this code will be ended.
    pub interrupt: Interrupt,
    /// Where compilers run.
    pub how: How,
    /// Bounds on modules.
    pub bounds: Bounds,
    /// Bounds on compiling.
    pub allowance: Allowance,
    /// Longest module that is optimised at once, in bytes.
    pub quick_bytes: u64,
    /// Bytes of code on disk.
    pub disk_bytes: u64,
    /// Bytes of code in memory.
    pub memory_bytes: u64,
    /// For how long a module that took too long is not tried again.
    pub late_for: Duration,
}

impl CompilerConfig {
    /// The settings of a node.
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

    /// The same, for modules of up to so many bytes.
    #[must_use]
    pub fn modules(self, bytes: u64) -> Self {
        Self { bounds: Bounds::of_modules(bytes), ..self }
    }

    /// # Errors
    /// [`PrepareError::TooLong`] for a module that is longer than this node takes.
    pub(super) fn check_length(&self, bytes: u64) -> Result<(), PrepareError> {
        let limit = self.bounds.bytes;
        if bytes > limit { Err(PrepareError::TooLong { bytes, limit }) } else { Ok(()) }
    }
}

/// What the compiler has done and does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompilerStatus {
    /// Modules whose code is in memory.
    pub ready: u64,
    /// Modules that tasks wait for.
    pub compiling: u64,
    /// Modules that run on baseline code and wait to be optimised.
    pub optimising: u64,
    /// Compilations that ended well since the start.
    pub compiled: u64,
    /// Pieces of code that came from the disk since the start.
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
