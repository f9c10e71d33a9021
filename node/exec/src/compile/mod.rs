//! From a module's bytes to its code: compiled once per module and settings however many ask, first by the baseline
//! compiler where the optimising one would take long, kept in memory and on disk. Driven by the pool and by
//! [`crate::Sandbox`]. It runs nothing and knows no task.
//!
//! ```text
//!   get / request / code --> Shelf (what is known, what is asked for)
//!                              |-- two threads for modules that tasks wait for: disk, else intake and compile
//!                              '-- one thread that optimises what came from the baseline compiler
//! ```
//!
//! Where slots are processes, each of these threads hands its work to a child ([`desk`], [`child`]) with a deadline and
//! a bound on memory. Where slots are threads, modules are compiled in this process: after the same intake, but with
//! no deadline, for a compiler can't be interrupted; such a node trusts its modules more.

#[cfg(target_os = "linux")]
pub(crate) mod child;
#[cfg(target_os = "linux")]
mod desk;
pub(crate) mod intake;
mod line;
mod proposals;
mod settings;
mod shape;
mod shelf;
mod upgrade;
#[cfg(target_os = "linux")]
mod wire;
pub(crate) mod work;
mod worker;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::Engine;
use weft_core::{PeerId, Program};

use crate::code::Code;
use crate::disk::DiskCache;

use crate::engine_config::fingerprint;
use crate::error::{PrepareError, SandboxError};
use crate::make::{EngineKey, Interrupt, Make, Tier};
use crate::text::{panic_text, shorten, words};
use shelf::{Claim, Job, Shelf, Spot};
use work::Effort;
use worker::Worker;

/// Threads that compile what tasks wait for.
const FAST_THREADS: usize = 2;
/// Threads that optimise what runs already.
const SLOW_THREADS: usize = 1;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(30);

pub use settings::{Allowance, CompilerConfig, CompilerStatus, How};

/// Reads a module's bytes; may be called again when they are needed again.
pub type Read = Arc<dyn Fn() -> io::Result<Bytes> + Send + Sync>;
/// Told once, on any thread, what became of a request.
pub type OnDone = Box<dyn FnOnce(Result<Arc<Code>, PrepareError>) + Send>;

/// The front. Clones are the same compiler; when the last one is dropped, children are killed and threads end after
/// what they do.
#[derive(Clone)]
pub struct Compiler(Arc<Handle>);

/// Ends the threads when the last clone is gone.
struct Handle(Arc<Shared>);

struct Shared {
    config: CompilerConfig,
    disk: Option<DiskCache>,
    makers: Mutex<Vec<(Make, Arc<Maker>)>>,
    shelf: Mutex<Shelf>,
    /// Something was queued, or all must end.
    queued: Condvar,
    /// A module was answered.
    answered: Condvar,
}

/// An engine that compiles.
struct Maker {
    engine: Engine,
    fingerprint: String,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").field("config", &self.0.0.config).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shelf().quit();
        self.0.queued.notify_all();
    }
}

impl Compiler {
    /// A compiler with these settings. Threads and children are started when there is work, and end without it.
    ///
    /// # Errors
    /// When the runtime refuses its settings, or the cache's directory can't be used.
    pub fn start(config: CompilerConfig) -> Result<Self, SandboxError> {
        // Names whatever changes with the runtime's version and this processor.
        let plain = Make { key: EngineKey::PLAIN, interrupt: Interrupt::Kill, tier: Tier::Optimised };
        let engine = plain.compiler().map_err(|error| SandboxError::Engine(words(&error)))?;
        let generation = fingerprint(&engine);
        let disk = match &config.cache_dir {
            Some(dir) => open_disk(dir, &generation, config.disk_bytes)?,
            None => None,
        };
        let shelf = Mutex::new(Shelf::new(config.memory_bytes, config.late_for));
        let makers = Mutex::new(Vec::new());
        let shared = Shared { config, disk, makers, shelf, queued: Condvar::new(), answered: Condvar::new() };
        Ok(Self(Arc::new(Handle(Arc::new(shared)))))
    }

    /// What is known of the program's module: its best code so far, or why it will never have any. `None` when it must
    /// be asked for. Never waits.
    #[must_use]
    pub fn get(&self, program: &Program) -> Option<Result<Arc<Code>, PrepareError>> {
        let shared = &self.0.0;
        let mut shelf = shared.shelf();
        let verdict = shelf.get(spot(program))?;
        let again = shelf.try_again(spot(program));
        let start = again && shelf.wants(Pace::Slow, SLOW_THREADS);
        drop(shelf);
        if again {
            shared.queued.notify_all();
        }
        if start {
            Shared::spawn(shared, Pace::Slow);
        }
        Some(verdict.map_err(PrepareError::from))
    }

    /// Longest module that it takes, in bytes.
    #[must_use]
    pub fn module_bytes_max(&self) -> u64 {
        self.0.0.config.bounds.bytes
    }

    /// Asks for the program's code, for a task of this owner: owners take turns. `on_done` is called once, with it or with the reason why there is none, at once
    /// when that is known. Later, [`Compiler::get`] may give better code. Never waits.
    pub fn request(&self, program: &Program, owner: PeerId, read: Read, on_done: OnDone) {
        let shared = &self.0.0;
        if let Err(error) = shared.config.check_length(program.module_bytes) {
            return on_done(Err(error));
        }
        let job = Job { spot: spot(program), owner, read, late: 0 };
        let mut shelf = shared.shelf();
        let claim = shelf.request(job, on_done);
        let start = shelf.wants(Pace::Fast, FAST_THREADS);
        drop(shelf);
        match claim {
            Claim::Known(on_done, verdict) => on_done(verdict.map_err(PrepareError::from)),
            Claim::Full(on_done) => {
                on_done(Err(PrepareError::Host("too many modules wait to be compiled".into())));
            }
            Claim::Queued => {
                shared.queued.notify_all();
                if start {
                    Shared::spawn(shared, Pace::Fast);
                }
            }
        }
    }

    /// The program's optimised code, made on this thread unless it is known or being made. `read` is called at most
    /// once.
    ///
    /// # Errors
    /// As [`PrepareError`] says. A module that can't be compiled is remembered, a read that failed is not.
    pub fn code(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Code>, PrepareError> {
        let shared = &self.0.0;
        shared.config.check_length(program.module_bytes)?;
        let spot = spot(program);
        let mut shelf = shared.shelf();
        while !shelf.claim(spot) {
            if let Some(verdict) = shelf.get_best(spot) {
                return verdict.map_err(PrepareError::from);
            }
            shelf = shared.answered.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
        drop(shelf);
        let result = caught(|| Worker::new(shared, Pace::Fast).optimised(spot, 0, read));
        shared.answer(spot, &result);
        result
    }

    /// What it has done and does.
    #[must_use]
    pub fn status(&self) -> CompilerStatus {
        self.0.0.shelf().status()
    }
}

fn spot(program: &Program) -> Spot {
    (program.module, EngineKey::of(program))
}

/// Which of the two kinds of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Tasks wait for it.
    Fast,
    /// Nobody waits for it.
    Slow,
}

impl Pace {
    fn effort(self) -> Effort {
        let cores =
            thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        match self {
            Self::Fast => Effort { threads: cores, nice: 5 },
            Self::Slow => Effort { threads: (cores / 2).max(1), nice: 10 },
        }
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread that the shelf has counted.
    fn spawn(shared: &Arc<Self>, pace: Pace) {
        let theirs = Arc::clone(shared);
        let name = match pace {
            Pace::Fast => "weft-compiler",
            Pace::Slow => "weft-optimiser",
        };
        let life = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| theirs.serve(pace))) {
                theirs.lost_thread(pace, panic_text(panic.as_ref()));
            }
        };
        if let Err(error) = thread::Builder::new().name(name.into()).spawn(life) {
            shared.lost_thread(pace, &error.to_string());
        }
    }

    /// A thread that the shelf has counted is not there, or no more: if it was the last one, those who wait are told.
    fn lost_thread(&self, pace: Pace, why: &str) {
        tracing::warn!(why, "a compiling thread is lost");
        let unheard = self.shelf().no_thread(pace);
        for on_done in unheard {
            on_done(Err(PrepareError::Host(format!("no thread to compile on: {}", shorten(why, 300)))));
        }
    }

    /// A compiling thread's life: it ends after a while without work.
    fn serve(self: &Arc<Self>, pace: Pace) {
        let worker = Worker::new(self, pace);
        while let Some(job) = self.next(pace) {
            match pace {
                Pace::Fast => {
                    let result = caught(|| worker.first(&job));
                    let baseline = shelf::is_baseline(&result);
                    self.answer(job.spot, &result);
                    if baseline {
                        self.optimise(job);
                    }
                }
                Pace::Slow => {
                    let made = caught(|| worker.optimised(job.spot, job.late, || (job.read)()));
                    worker.second(job, &made);
                }
            }
            self.shelf().done(pace);
        }
    }

    /// Waits for work; `None` when the thread is to end, which is then counted.
    fn next(&self, pace: Pace) -> Option<Job> {
        let until = Instant::now() + IDLE;
        let mut shelf = self.shelf();
        loop {
            let job = shelf.take(pace);
            let left = until.saturating_duration_since(Instant::now());
            if job.is_some() {
                return job;
            }
            if left.is_zero() || shelf.must_quit() {
                shelf.thread_ends(pace);
                return None;
            }
            shelf = self.queued.wait_timeout(shelf, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Tells everybody who asked.
    fn answer(&self, spot: Spot, result: &Result<Arc<Code>, PrepareError>) {
        let heard = self.shelf().answer(spot, result);
        self.answered.notify_all();
        for on_done in heard {
            on_done(result.as_ref().map(Arc::clone).map_err(PrepareError::again));
        }
    }

    /// Has the optimising compiler go over it, in the background.
    fn optimise(self: &Arc<Self>, job: Job) {
        let mut shelf = self.shelf();
        shelf.queue_slow(job);
        let start = shelf.wants(Pace::Slow, SLOW_THREADS);
        drop(shelf);
        self.queued.notify_all();
        if start {
            Self::spawn(self, Pace::Slow);
        }
    }

    fn maker(&self, key: EngineKey, tier: Tier) -> Result<(Make, Arc<Maker>), PrepareError> {
        let make = Make { key, interrupt: self.config.interrupt, tier };
        let mut makers = self.makers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, maker)) = makers.iter().find(|(has, _)| *has == make) {
            return Ok((make, Arc::clone(maker)));
        }
        let engine = make.compiler().map_err(|error| PrepareError::Engine(words(&error)))?;
        let maker = Arc::new(Maker { fingerprint: fingerprint(&engine), engine });
        makers.push((make, Arc::clone(&maker)));
        Ok((make, maker))
    }
}

/// The cache on disk; `None` when the disk is full, which costs time and never a task.
fn open_disk(dir: &Path, generation: &str, most_bytes: u64) -> Result<Option<DiskCache>, SandboxError> {
    match DiskCache::open(dir, generation, most_bytes) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            tracing::warn!(
                "compiled modules are not kept on disk until the next start: {}: {error}",
                dir.display()
            );
            Ok(None)
        }
        Err(error) => {
            let named = format!("{}: {error}; check the directory's owner and mode", dir.display());
            Err(SandboxError::Cache(io::Error::new(error.kind(), named)))
        }
    }
}

/// Whoever waits for a module is answered, whatever happens to the thread that has it.
fn caught(make: impl FnOnce() -> Result<Arc<Code>, PrepareError>) -> Result<Arc<Code>, PrepareError> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        let text = shorten(panic_text(panic.as_ref()), 300);
        Err(PrepareError::Host(format!("the compiling thread panicked: {text}")))
    })
}
