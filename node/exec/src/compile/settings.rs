//! What a node chooses about compiling, and what it is told of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::intake::Bounds;
use crate::code::Tier;
use crate::disk::DISK_BYTES_MAX;
use crate::engines::Interrupt;

/// Code of modules that is kept in memory, in bytes; one module may exceed it alone.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// A longer module is compiled by the baseline compiler first: optimising takes about 0.6 ms a kilobyte of one core.
const QUICK_BYTES_MAX: u64 = 250 << 10;
/// A module that took too long is not tried again for so long: it may be the module, or a machine that was busy.
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
    /// Wall time of the baseline compiler.
    pub baseline: Duration,
    /// Wall time of the optimising compiler.
    pub optimised: Duration,
    /// Address space.
    pub memory_bytes: u64,
}

impl Allowance {
    /// What a node gives.
    pub const NODE: Self = Self {
        baseline: Duration::from_secs(30),
        optimised: Duration::from_secs(180),
        memory_bytes: 4 << 30,
    };

    pub(super) fn of(&self, tier: Tier) -> Duration {
        match tier {
            Tier::Baseline => self.baseline,
            Tier::Optimised => self.optimised,
        }
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
