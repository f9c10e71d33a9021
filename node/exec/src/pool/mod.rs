//! The pool of slots: tasks go into a queue, events come out of a list. Driven by the node, which submits, aborts,
//! pauses and collects without blocking. It knows no lease and no owner.
//!
//! A slot is a child process (see [`crate::slot`]) or, for programs that embed a node and for other systems than Linux,
//! a thread. Hand-overs are batched both ways, for a wake-up costs more than a small task.
//!
//! ```text
//!   caller --submit, abort, pause--> Front (one lock) --tasks, code, files--> slot processes
//!      ^---events, on_ready------------'  ^--- io_threads (blobs, code), supervisor (starts processes)
//! ```

#[cfg(target_os = "linux")]
mod assignment;
pub(crate) mod blobs;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod front;
#[cfg(target_os = "linux")]
mod io_threads;
#[cfg(target_os = "linux")]
mod module_cache;
#[cfg(target_os = "linux")]
mod process_pool;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod protocol;
#[cfg(target_os = "linux")]
mod requests;
#[cfg(target_os = "linux")]
mod spawn_queue;
#[cfg(target_os = "linux")]
mod state;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod thread_pool;
mod types;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use weft_core::{RunId, Work};

use crate::error::SandboxError;

pub use blobs::BlobAccess;
pub use types::{PoolConfig, PoolEvent, PoolStatus, QUEUE_MAX, Slots};

/// The pool of slots. Dropping it ends guests, processes and threads; uncollected events are lost.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Threads(thread_pool::ThreadPool),
    #[cfg(target_os = "linux")]
    Processes(process_pool::ProcessPool),
}

/// Calls the same method on either kind of pool.
macro_rules! either {
    ($pool:expr, $slots:ident => $does:expr) => {
        match &$pool.kind {
            Kind::Threads($slots) => $does,
            #[cfg(target_os = "linux")]
            Kind::Processes($slots) => $does,
        }
    };
}

impl Pool {
    /// Starts the slots. `on_ready` is called, on any thread, when the list of events becomes non-empty; it must not
    /// block. With processes, this waits until the first one is ready.
    ///
    /// # Errors
    /// When wasmtime, the cache, a thread or a process can't be started.
    pub fn start(
        config: PoolConfig,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        let kind = match &config.kind {
            Slots::Threads => Kind::Threads(thread_pool::ThreadPool::start(&config, blobs, on_ready)?),
            #[cfg(target_os = "linux")]
            Slots::Processes { program, args } => {
                Kind::Processes(process_pool::ProcessPool::start(&config, program, args, blobs, on_ready)?)
            }
            #[cfg(not(target_os = "linux"))]
            Slots::Processes { .. } => {
                return Err(SandboxError::Slot("slots are processes on Linux only".into()));
            }
        };
        Ok(Self { config, kind })
    }

    /// Queues tasks in this order; each is reported by exactly one [`PoolEvent::Ran`]. Never waits for a guest.
    pub fn submit(&self, work: Vec<(RunId, Work)>) {
        either!(self, slots => slots.submit(work));
    }

    /// Aborts a task that is queued, running or paused: it ends as `Cancelled`, unless it has ended already.
    pub fn abort(&self, run: RunId) {
        either!(self, slots => slots.abort(run));
    }

    /// Pauses a task; its slot runs other tasks, and its time does not count. A queued task is not started. At most
    /// `slots` running tasks are paused at a time; one beyond that runs on.
    pub fn pause(&self, run: RunId) {
        either!(self, slots => slots.pause(run));
    }

    /// Resumes a paused task at once, even if all slots are busy.
    pub fn resume(&self, run: RunId) {
        either!(self, slots => slots.resume(run));
    }

    /// Takes the events since the last call, in order.
    #[must_use]
    pub fn take_events(&self) -> Vec<PoolEvent> {
        either!(self, slots => slots.take_events())
    }

    /// With processes: a descriptor that is readable when [`Pool::turn`] has something to do. A caller that takes it
    /// must call `turn` from then on; until then a thread of the pool does. `None` for threads, which need no turns.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Threads(_) => None,
            #[cfg(target_os = "linux")]
            Kind::Processes(slots) => Some(slots.poll_fd()),
        }
    }

    /// Reads the slots' messages and handles them. Never blocks.
    pub fn turn(&self) {
        match &self.kind {
            Kind::Threads(_) => {}
            #[cfg(target_os = "linux")]
            Kind::Processes(slots) => slots.turn(),
        }
    }

    /// Current state of the slots.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let processes = matches!(self.config.kind, Slots::Processes { .. });
        let mut status = PoolStatus { processes, slots: self.config.slots, ..PoolStatus::default() };
        either!(self, slots => slots.status(&mut status));
        status
    }
}
