//! The compiling threads: each takes modules from the queue and gets their code from disk, from the compilers in this
//! process, or from a child process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::{BlobId, PeerId};

use super::admission;
use super::compilation::{CompileError, compile};
use super::job::{Job, ModuleKey, Pace};
use super::module_table::{Again, is_baseline};
use super::settings::How;
use super::shared::{CompilerEngine, Shared};
use crate::code::{Code, Draft, Kind};
use crate::disk::Name;
use crate::error::PrepareError;
use crate::make::{Make, Tier};
use crate::text::{panic_text, shorten};

/// Threads that compile modules that tasks wait for.
pub(super) const FAST_THREADS: usize = 2;
/// Threads that optimise modules that run on baseline code.
pub(super) const SLOW_THREADS: usize = 1;
/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(30);

impl Shared {
    /// Starts a thread that was counted in the module table.
    pub(super) fn spawn(shared: &Arc<Self>, pace: Pace) {
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

    /// A counted thread could not be started, or panicked. If it was the last one, all requests in the queue fail.
    fn lost_thread(&self, pace: Pace, why: &str) {
        tracing::warn!(why, "a compiling thread is lost");
        let unheard = self.table().no_thread(pace);
        self.answered.notify_all();
        for on_done in unheard {
            on_done(Err(PrepareError::Host(format!("no thread to compile on: {}", shorten(why, 300)))));
        }
    }

    /// The main function of a compiling thread: it ends after a while without work.
    fn serve(self: &Arc<Self>, pace: Pace) {
        let thread = CompilerThread::new(self, pace);
        while let Some(job) = self.next(pace) {
            let _busy = Busy { shared: self, pace, owner: job.owner };
            match pace {
                Pace::Fast => {
                    let result = caught(|| thread.first(&job));
                    let baseline = is_baseline(&result);
                    self.answer(job.module_key, &result);
                    if baseline {
                        self.optimise(job);
                    }
                }
                Pace::Slow => {
                    let made = caught(|| thread.optimised(job.module_key, job.late, || (job.read)()));
                    thread.second(job, &made);
                }
            }
        }
    }

    /// Waits for work; `None` when the thread is to end, which is counted.
    fn next(&self, pace: Pace) -> Option<Job> {
        let until = Instant::now() + IDLE;
        let mut table = self.table();
        loop {
            let job = table.take(pace);
            let left = until.saturating_duration_since(Instant::now());
            if job.is_some() {
                return job;
            }
            if left.is_zero() || table.must_quit() {
                table.thread_ends(pace);
                return None;
            }
            table = self.queued.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Queues it for the optimising compiler.
    fn optimise(self: &Arc<Self>, job: Job) {
        let mut table = self.table();
        table.queue_slow(job);
        let start = table.wants(Pace::Slow, SLOW_THREADS);
        drop(table);
        self.queued.notify_all();
        // If the queue is full, no better code is coming.
        self.answered.notify_all();
        if start {
            Self::spawn(self, Pace::Slow);
        }
    }
}

/// A thread that has a module of this owner, until it is dropped.
struct Busy<'a> {
    shared: &'a Shared,
    pace: Pace,
    owner: PeerId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.shared.table().done(self.pace, self.owner);
        // Another thread may have the owner's next module.
        self.shared.queued.notify_all();
    }
}

/// Turns a panic into an error, so that every request gets a result.
pub(super) fn caught(
    make: impl FnOnce() -> Result<Arc<Code>, PrepareError>,
) -> Result<Arc<Code>, PrepareError> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        let text = shorten(panic_text(panic.as_ref()), 300);
        Err(PrepareError::Host(format!("the compiling thread panicked: {text}")))
    })
}

/// A compiling thread.
pub(super) struct CompilerThread<'a> {
    shared: &'a Shared,
    pace: Pace,
}

/// A module to compile.
struct Source {
    module: BlobId,
    kind: Kind,
    bytes: Bytes,
}

impl<'a> CompilerThread<'a> {
    pub(super) fn new(shared: &'a Shared, pace: Pace) -> Self {
        Self { shared, pace }
    }

    /// The first code of a module that tasks wait for: the best one on disk, else the one that is compiled fastest. If the
    /// baseline compiler exceeded its time, the other one, which takes several times as long, would too: modules of other
    /// owners wait for this thread.
    pub(super) fn first(&self, job: &Job) -> Result<Arc<Code>, PrepareError> {
        let started = Instant::now();
        let (module, key) = job.module_key;
        let optimised = self.shared.engine(key, Tier::Optimised)?;
        // The baseline compiler need not support this processor.
        let baseline = self.shared.engine(key, Tier::Baseline).ok().filter(|(make, _)| make.has_baseline());
        let engines = [Some(&optimised), baseline.as_ref()];
        for (make, engine) in engines.into_iter().flatten() {
            if let Some(code) = self.load(module, *make, engine) {
                return Ok(Arc::new(code.with_time(started.elapsed())));
            }
        }
        let source = self.source(module, (job.read)())?;
        let baseline = baseline.filter(|_| source.bytes.len() as u64 > self.shared.config.quick_bytes);
        if let Some((make, engine)) = baseline {
            match self.make(&source, make, &engine, 0) {
                Ok(code) => return Ok(Arc::new(code.with_time(started.elapsed()))),
                Err(
                    compile_error @ (CompileError::Invalid(_)
                    | CompileError::Limit(_)
                    | CompileError::Late(_)),
                ) => {
                    return Err(error(compile_error));
                }
                Err(
                    CompileError::Unsupported(text) | CompileError::Heavy(text) | CompileError::Host(text),
                ) => {
                    tracing::debug!(%module, text, "no baseline code for a module");
                }
            }
        }
        let (make, engine) = optimised;
        let code = self.make(&source, make, &engine, 0).map_err(error)?;
        Ok(Arc::new(code.with_time(started.elapsed())))
    }

    /// Optimised code of a module, compiled on this thread. `late` is how often it exceeded its time before.
    pub(super) fn optimised(
        &self,
        module_key: ModuleKey,
        late: u32,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Code>, PrepareError> {
        let started = Instant::now();
        let (module, key) = module_key;
        let (make, engine) = self.shared.engine(key, Tier::Optimised)?;
        let code = match self.load(module, make, &engine) {
            Some(code) => code,
            None => self.make(&self.source(module, read())?, make, &engine, late).map_err(error)?,
        };
        Ok(Arc::new(code.with_time(started.elapsed())))
    }

    /// Replaces a module's baseline code with optimised code. Without it the baseline code is kept, and optimising may
    /// be tried again later.
    pub(super) fn second(&self, job: Job, made: &Result<Arc<Code>, PrepareError>) {
        let (module, key) = job.module_key;
        if let Err(error) = made {
            tracing::warn!(%error, %module, "a module stays on its baseline code for now");
        }
        let code = made.as_ref().map(Arc::clone);
        self.shared.table().upgraded(job, code.map_err(again));
        self.shared.answered.notify_all();
        let baseline = self.shared.engine(key, Tier::Baseline);
        if let (Ok(_), Ok((make, engine)), Some(disk)) = (made, baseline, &self.shared.disk) {
            disk.forget(Name { module, make, fingerprint: &engine.fingerprint });
        }
    }

    /// The module's bytes, checked against its hash.
    fn source(&self, module: BlobId, read: io::Result<Bytes>) -> Result<Source, PrepareError> {
        let bytes = read.map_err(PrepareError::Unreadable)?;
        self.shared.config.check_length(bytes.len() as u64)?;
        if BlobId::of(&bytes) != module {
            let text = "these bytes have another hash than the module";
            return Err(PrepareError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        let kind = admission::kind(&bytes).map_err(error)?;
        Ok(Source { module, kind, bytes })
    }

    fn load(&self, module: BlobId, make: Make, engine: &CompilerEngine) -> Option<Code> {
        let name = Name { module, make, fingerprint: &engine.fingerprint };
        let code = self.shared.disk.as_ref()?.load(name)?;
        self.shared.table().count(true);
        Some(code)
    }

    fn make(
        &self,
        source: &Source,
        make: Make,
        engine: &CompilerEngine,
        late: u32,
    ) -> Result<Code, CompileError> {
        let code = match &self.shared.config.how {
            How::Here => self.make_here(source, make, engine)?,
            How::Child { program, args } => self.make_there(source, make, (program, args), late)?,
        };
        self.shared.table().count(false);
        if let Some(disk) = &self.shared.disk {
            disk.store(Name { module: source.module, make, fingerprint: &engine.fingerprint }, &code);
        }
        Ok(code)
    }

    fn make_here(&self, source: &Source, make: Make, engine: &CompilerEngine) -> Result<Code, CompileError> {
        admission::check(&source.bytes, &self.shared.config.bounds)?;
        let made = compile(&engine.engine, make.tier, source.kind, &source.bytes, self.pace.effort())?;
        let sealed = Draft::new().and_then(|mut draft| {
            draft.write(&made)?;
            draft.seal(source.module, source.kind, make)
        });
        sealed.map_err(|error| CompileError::Host(error.to_string()))
    }
}

#[cfg(target_os = "linux")]
impl CompilerThread<'_> {
    fn make_there(
        &self,
        source: &Source,
        make: Make,
        (program, args): (&std::path::Path, &[std::ffi::OsString]),
        late: u32,
    ) -> Result<Code, CompileError> {
        use super::child_process::{self, Compilation};
        let config = &self.shared.config;
        let compilation = Compilation {
            program,
            args,
            module: source.module,
            kind: source.kind,
            make,
            bytes: &source.bytes,
            bounds: config.bounds,
            effort: self.pace.effort(),
            time: config.allowance.time(make.tier, source.bytes.len(), late),
            memory_bytes: config.allowance.memory(source.bytes.len()),
        };
        child_process::compile(&compilation, &|| self.shared.table().must_quit())
    }
}

#[cfg(not(target_os = "linux"))]
impl CompilerThread<'_> {
    fn make_there(
        &self,
        _source: &Source,
        _make: Make,
        _program: (&std::path::Path, &[std::ffi::OsString]),
        _late: u32,
    ) -> Result<Code, CompileError> {
        Err(CompileError::Host("compiling in a child needs Linux".into()))
    }
}

/// Whether another try to optimise may succeed.
fn again(error: &PrepareError) -> Again {
    match error {
        PrepareError::Late(_) => Again::Longer,
        PrepareError::Unreadable(_) | PrepareError::Host(_) | PrepareError::Engine(_) => Again::Later,
        PrepareError::Invalid(_) | PrepareError::Limit(_) | PrepareError::TooLong { .. } => Again::Never,
    }
}

/// The error for callers when the last compiler failed.
fn error(compile_error: CompileError) -> PrepareError {
    match compile_error {
        CompileError::Invalid(text) | CompileError::Unsupported(text) => PrepareError::Invalid(text),
        CompileError::Limit(text) | CompileError::Heavy(text) => PrepareError::Limit(text),
        CompileError::Late(text) => PrepareError::Late(text),
        CompileError::Host(text) => PrepareError::Host(text),
    }
}
