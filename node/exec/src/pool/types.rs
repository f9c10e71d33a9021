//! Settings, events and counters of the pool. Plain data.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use weft_core::{Report, RunId, Stream};

/// Most tasks that wait for a slot. A task beyond it is reported as `Lost` at once.
pub const QUEUE_MAX: usize = 65_536;

/// The kind of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Threads of this process. Guests check an epoch in every loop, which costs some speed.
    Threads,
    /// Child processes.
    Processes {
        /// The executable. It must call [`crate::slot_main`] with `args`, and [`crate::compile_main`] with `--compile`
        /// after them. `/proc/self/exe` is this executable, even if its file was replaced.
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
}

/// Settings of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Tasks that run at the same time.
    pub slots: u32,
    /// The kind of slots.
    pub kind: Slots,
    /// Directory for compiled modules; `None` keeps them in memory only. No other user may write to it, and no other
    /// node may use it at the same time.
    pub cache_dir: Option<PathBuf>,
    /// Most memory of any task, in bytes. A task that needs more and has a higher limit of its own ends as `Lost`.
    pub memory_max_bytes: u64,
    /// Longest accepted module, in bytes; [`crate::MODULE_BYTES_MAX`] by default.
    pub module_max_bytes: u64,
}

/// An event of a task.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolEvent {
    /// It ended. Exactly one for each submitted task.
    Ran(RunId, Report),
    /// Tasks began or stopped to wait for their module to be compiled.
    Compiling {
        /// The tasks.
        runs: Vec<RunId>,
        /// Whether they wait.
        waits: bool,
    },
    /// It printed something. Only for tasks with `stream` set. May be dropped if events are not collected: the report
    /// has all output.
    Printed {
        /// The task.
        run: RunId,
        /// The stream.
        stream: Stream,
        /// Offset in that stream, in bytes.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
}

/// State of the slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Whether slots are child processes.
    pub processes: bool,
    /// Tasks that may run at the same time.
    pub slots: u32,
    /// Tasks that run.
    pub busy: u32,
    /// Tasks that wait for a slot, for code or for files.
    pub queued: usize,
    /// Paused tasks.
    pub paused: u32,
    /// Process ids of the slots.
    pub children: Vec<u32>,
    /// Slot processes that died or were killed, and were replaced.
    pub replaced: u64,
    /// The confinement of slot processes; `None` for threads.
    pub confinement: Option<crate::Confinement>,
    /// Modules whose code is in memory.
    pub compiled: u64,
    /// Modules that tasks wait for.
    pub compiling: u64,
    /// Modules that run on baseline code until they are optimised.
    pub optimising: u64,
    /// Why no slot starts, if none does.
    pub broken: Option<String>,
}
