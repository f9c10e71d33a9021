//! The slots behind one door: a queue before them, one list of events behind. Driven by the node, which submits,
//! aborts, pauses and collects without ever waiting. It knows no lease and no owner.
//!
//! A slot is a child process (see [`crate::slot`]) or, for programs that embed a node and for systems without the
//! means, a thread. Hand-overs are batched both ways, for a wake-up costs more than a small task.
//!
//! ```text
//!   caller --submit, abort, pause--> Front (one lock) --tasks, code, files--> slot processes
//!      ^---events, on_ready------------'  ^--- carriers (blobs, code), keeper (starts processes)
//! ```

#[cfg(target_os = "linux")]
mod assigned;
#[cfg(target_os = "linux")]
mod carrier;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod hear;
#[cfg(target_os = "linux")]
mod keeper;
#[cfg(target_os = "linux")]
mod known;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod state;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod threads;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek, Write};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{PrepareError, SandboxError};
use bytes::Bytes;
use weft_core::{BlobId, Limit, Outcome, Report, RunId, Stream, Work};

/// Tasks that may wait for a slot. What is submitted beyond it is answered `Lost` at once.
pub const QUEUE_MAX: usize = 65_536;

/// What is wrong with a blob whose length the task states falsely. It would run on other bytes than its name says.
pub(crate) const ANOTHER_LENGTH: &str = "it has another length than the task says";

/// Bytes by their hash, as the node keeps them. Called on the pool's own threads; may block.
pub trait BlobAccess: Send + Sync {
    /// The bytes of this name.
    ///
    /// # Errors
    /// When they are not here.
    fn read(&self, id: BlobId) -> io::Result<Bytes>;

    /// How many bytes [`BlobAccess::read`] would bring into memory; `None` if they are not here. Called by whoever
    /// submits a task: it must not block.
    fn len(&self, id: BlobId) -> Option<u64>;

    /// A file with these bytes and no others. Nobody may change it any more. Several read it at once, by position.
    ///
    /// # Errors
    /// When they are not here, or no file is left.
    fn open(&self, id: BlobId) -> io::Result<File> {
        in_memory(&self.read(id)?)
    }

    /// Keeps bytes and names them.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId>;

    /// Keeps and names the bytes of a file that nobody can change: so many, from where it stands. Whoever can do that
    /// without reading them all into memory does.
    ///
    /// # Errors
    /// As [`BlobAccess::write`].
    fn write_file(&self, file: File, bytes: u64) -> io::Result<BlobId> {
        let mut content = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
        file.take(bytes).read_to_end(&mut content)?;
        self.write(content)
    }
}

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

/// The slots. Dropping it ends the guests, the processes and the threads; what was not collected is gone.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Threads(threads::Threads),
    #[cfg(target_os = "linux")]
    Processes(processes::Processes),
}

/// Does the same with either kind of slots.
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
    /// Starts the slots. `on_ready` is called, on any thread, when the list of events goes from empty to non-empty; it
    /// must not wait. With processes, this waits until the first of them is ready.
    ///
    /// # Errors
    /// When the runtime, the cache, a thread or a process can't be started.
    pub fn start(
        config: PoolConfig,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        let kind = match &config.kind {
            Slots::Threads => Kind::Threads(threads::Threads::start(&config, blobs, on_ready)?),
            #[cfg(target_os = "linux")]
            Slots::Processes { program, args } => {
                Kind::Processes(processes::Processes::start(&config, program, args, blobs, on_ready)?)
            }
            #[cfg(not(target_os = "linux"))]
            Slots::Processes { .. } => {
                return Err(SandboxError::Slot("slots are processes on Linux only".into()));
            }
        };
        Ok(Self { config, kind })
    }

    /// Queues tasks in this order; each is answered by exactly one [`PoolEvent::Ran`]. Never waits for a guest.
    pub fn submit(&self, work: Vec<(RunId, Work)>) {
        either!(self, slots => slots.submit(work));
    }

    /// Ends a task, queued or running or paused: it answers `Cancelled`, unless it has ended already.
    pub fn abort(&self, run: RunId) {
        either!(self, slots => slots.abort(run));
    }

    /// Holds a task where it is; its slot goes to whatever is submitted next, and its time does not count. One that
    /// has not started yet does not start. There are never more than `slots` tasks held in the middle: one beyond
    /// that runs on.
    pub fn pause(&self, run: RunId) {
        either!(self, slots => slots.pause(run));
    }

    /// Lets a held task go on at once, even if all slots are busy.
    pub fn resume(&self, run: RunId) {
        either!(self, slots => slots.resume(run));
    }

    /// What happened since the last call, in order.
    #[must_use]
    pub fn take_events(&self) -> Vec<PoolEvent> {
        either!(self, slots => slots.take_events())
    }

    /// With processes: readable when [`Pool::turn`] has something to do. Whoever asks for it has to call that from now
    /// on; until then a thread of the pool's does. `None` for threads, which need no turns.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Threads(_) => None,
            #[cfg(target_os = "linux")]
            Kind::Processes(slots) => Some(slots.poll_fd()),
        }
    }

    /// Takes what the slots say and acts on it. Never waits.
    pub fn turn(&self) {
        match &self.kind {
            Kind::Threads(_) => {}
            #[cfg(target_os = "linux")]
            Kind::Processes(slots) => slots.turn(),
        }
    }

    /// What the slots are at now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let processes = matches!(self.config.kind, Slots::Processes { .. });
        let mut status = PoolStatus { processes, slots: self.config.slots, ..PoolStatus::default() };
        either!(self, slots => slots.status(&mut status));
        status
    }
}

/// Module, files and input are held in memory whole, so their true lengths are looked at first. Those of a known
/// program were.
fn too_long(
    work: &Work,
    known: bool,
    (most, module_most): (u64, u64),
    len: impl Fn(BlobId) -> Option<u64>,
) -> Option<Report> {
    let long = |id: BlobId, most: u64| len(id).filter(|bytes| *bytes > most);
    if known && work.input.blob().is_none() {
        return None;
    }
    let module = long(work.program.module, module_most);
    let text = if let Some(bytes) = work.input.blob().and_then(|id| long(id, most)) {
        format!("input: {bytes} bytes, this node gives a task {most}")
    } else if let Some(bytes) = work.program.files.blob().and_then(|id| long(id, most)) {
        format!("files: {bytes} bytes, this node gives a task {most}")
    } else if let Some(bytes) = module {
        PrepareError::TooLong { bytes, limit: module_most }.to_string()
    } else {
        return None;
    };
    Some(Report::bare(Outcome::LimitExceeded(Limit::Other(text))))
}

/// A file of its own with these bytes.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let mut file = File::from(rustix::fs::memfd_create("weft-blob", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let mut file = unnamed()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
