//! A module to compile: for which engine, for whose task, and how its bytes are read. Plain data.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use weft_core::{BlobId, PeerId};

use super::compilation::Effort;
use crate::code::Code;
use crate::error::PrepareError;
use crate::make::EngineKey;

/// Reads a module's bytes. May be called several times.
pub type Read = Arc<dyn Fn() -> io::Result<Bytes> + Send + Sync>;
/// Called once, on any thread, with the result of a request.
pub type OnDone = Box<dyn FnOnce(Result<Arc<Code>, PrepareError>) + Send>;

/// The key of a module: its hash and the settings of its engine.
pub(super) type ModuleKey = (BlobId, EngineKey);

/// The two kinds of compiling threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Tasks wait for its result.
    Fast,
    /// No task waits for its result.
    Slow,
}

impl Pace {
    pub(super) fn effort(self) -> Effort {
        let cores =
            thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        match self {
            Self::Fast => Effort { threads: cores, nice: 5 },
            Self::Slow => Effort { threads: (cores / 2).max(1), nice: 10 },
        }
    }
}

/// A module to compile.
pub(super) struct Job {
    pub(super) module_key: ModuleKey,
    /// The owner of the task that needs it.
    pub(super) owner: PeerId,
    pub(super) read: Read,
    /// How often optimising it exceeded its time limit, which is longer each time.
    pub(super) late: u32,
    /// How often optimising it ended without code, or found no room in the queue: the wait is longer each time.
    pub(super) tries: u32,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("module_key", &self.module_key).finish_non_exhaustive()
    }
}
