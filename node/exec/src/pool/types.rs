//! What the node and the pool hand each other: settings, events and counters. Plain data.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use weft_core::{Report, RunId, Stream};

/// Tasks that may wait for a slot. What is submitted beyond it is answered `Lost` at once.
pub const QUEUE_MAX: usize = 65_536;

/// What slots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Threads of this process. Guests look at an epoch in every loop, which costs them some speed.
    Threads,
    /// Child processes.
    Processes {
        /// The binary, which calls [`crate::slot_main`] when it gets `args`, and [`crate::compile_main`] when it gets
        /// `--compile` behind them. `/proc/self/exe` is this one, even after somebody put another in its place.
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
}

/// What a node chooses about its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How many tasks run at once.
    pub slots: u32,
    /// What slots are.
    pub kind: Slots,
    /// Where compiled modules are kept between starts; `None` keeps them in memory only. Nobody else may write there,
    /// and no other node may use it at the same time.
    pub cache_dir: Option<PathBuf>,
    /// Memory that any one task gets, in bytes. A task whose own limit is higher and which needs more ends as `Lost`.
    pub memory_max_bytes: u64,
    /// Longest module that it takes, in bytes; [`crate::MODULE_BYTES_MAX`] unless a node says otherwise.
    pub module_max_bytes: u64,
}

/// What happened to a task.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolEvent {
    /// It ended. Told once for every task that was submitted.
    Ran(RunId, Report),
    /// Tasks wait for their module to be compiled, or wait no longer.
    Compiling {
        /// Which.
        runs: Vec<RunId>,
        /// Whether they do.
        waits: bool,
    },
    /// It printed something; only of tasks that asked for it. What nobody collects may be left out: the report has
    /// all of it.
    Printed {
        /// Which.
        run: RunId,
        /// Where.
        stream: Stream,
        /// How many bytes of that stream came before.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
}

/// What the slots are at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Whether slots are child processes.
    pub processes: bool,
    /// How many tasks may run at once.
    pub slots: u32,
    /// How many do.
    pub busy: u32,
    /// Tasks that wait, for a slot or for what they need.
    pub queued: usize,
    /// Tasks that are paused.
    pub paused: u32,
    /// The process ids of the slots.
    pub children: Vec<u32>,
    /// Slot processes that died or were killed, and were replaced.
    pub replaced: u64,
    /// What keeps slot processes from the machine; `None` for threads.
    pub confinement: Option<crate::Confinement>,
    /// Modules whose code is at hand.
    pub compiled: u64,
    /// Modules that tasks wait for.
    pub compiling: u64,
    /// Modules that run on baseline code until they are optimised.
    pub optimising: u64,
    /// Why no slot starts, if none does.
    pub broken: Option<String>,
}
