//! What one compiling thread does with one module: the disk first, then the compilers, in this process or in the
//! thread's child.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use weft_core::BlobId;

use super::shelf::{Job, Spot};
use super::work::{Flaw, compile};
use super::{How, Maker, Pace, Shared, intake};
use crate::code::{Code, Draft, Kind};
use crate::disk::Name;
use crate::error::PrepareError;
use crate::make::{Make, Tier};

/// One thread's means.
pub(super) struct Worker<'a> {
    shared: &'a Shared,
    pace: Pace,
}

/// A module that is to be compiled.
struct Source {
    module: BlobId,
    kind: Kind,
    bytes: Bytes,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared, pace: Pace) -> Self {
        Self { shared, pace }
    }

    /// The first code for a module that tasks wait for: the best that the disk has, else what is made soonest.
    pub(super) fn first(&self, job: &Job) -> Result<Arc<Code>, PrepareError> {
        let started = Instant::now();
        let (module, key) = job.spot;
        let optimised = self.shared.maker(key, Tier::Optimised)?;
        // No such compiler for this processor is no error.
        let baseline = self.shared.maker(key, Tier::Baseline).ok().filter(|(make, _)| make.has_baseline());
        let makers = [Some(&optimised), baseline.as_ref()];
        for (make, maker) in makers.into_iter().flatten() {
            if let Some(code) = self.load(module, *make, maker) {
                return Ok(Arc::new(code.with_time(started.elapsed())));
            }
        }
        let source = self.source(module, (job.read)())?;
        let baseline = baseline.filter(|_| source.bytes.len() as u64 > self.shared.config.quick_bytes);
        if let Some((make, maker)) = baseline {
            match self.make(&source, make, &maker, 0) {
                Ok(code) => return Ok(Arc::new(code.with_time(started.elapsed()))),
                Err(flaw @ (Flaw::Invalid(_) | Flaw::Limit(_))) => return Err(error(flaw)),
                Err(Flaw::Unsupported(text) | Flaw::Heavy(text) | Flaw::Late(text) | Flaw::Host(text)) => {
                    tracing::debug!(%module, text, "no baseline code for a module");
                }
            }
        }
        let (make, maker) = optimised;
        let code = self.make(&source, make, &maker, 0).map_err(error)?;
        Ok(Arc::new(code.with_time(started.elapsed())))
    }

    /// Optimised code for a module, on the caller's own thread; it was late so often before.
    pub(super) fn optimised(
        &self,
        spot: Spot,
        late: u32,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Code>, PrepareError> {
        let started = Instant::now();
        let (module, key) = spot;
        let (make, maker) = self.shared.maker(key, Tier::Optimised)?;
        let code = match self.load(module, make, &maker) {
            Some(code) => code,
            None => self.make(&self.source(module, read())?, make, &maker, late).map_err(error)?,
        };
        Ok(Arc::new(code.with_time(started.elapsed())))
    }

    /// Puts optimised code in the place of a module's baseline code, which stays if there is none: until it is tried
    /// again, where another time may do.
    pub(super) fn second(&self, job: Job, made: &Result<Arc<Code>, PrepareError>) {
        let (module, key) = job.spot;
        if let Err(error) = made {
            tracing::warn!(%error, %module, "a module stays on its baseline code for now");
        }
        let code = made.as_ref().map(Arc::clone);
        self.shared.shelf().upgraded(job, code.map_err(may_pass));
        self.shared.answered.notify_all();
        let baseline = self.shared.maker(key, Tier::Baseline);
        if let (Ok(_), Ok((make, maker)), Some(disk)) = (made, baseline, &self.shared.disk) {
            disk.forget(Name { module, make, fingerprint: &maker.fingerprint });
        }
    }

    /// The module's bytes, which are what they should be.
    fn source(&self, module: BlobId, read: io::Result<Bytes>) -> Result<Source, PrepareError> {
        let bytes = read.map_err(PrepareError::Unreadable)?;
        self.shared.config.check_length(bytes.len() as u64)?;
        if BlobId::of(&bytes) != module {
            let text = "these bytes have another hash than the module";
            return Err(PrepareError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        let kind = intake::kind(&bytes).map_err(error)?;
        Ok(Source { module, kind, bytes })
    }

    fn load(&self, module: BlobId, make: Make, maker: &Maker) -> Option<Code> {
        let name = Name { module, make, fingerprint: &maker.fingerprint };
        let code = self.shared.disk.as_ref()?.load(name)?;
        self.shared.shelf().count(true);
        Some(code)
    }

    fn make(&self, source: &Source, make: Make, maker: &Maker, late: u32) -> Result<Code, Flaw> {
        let code = match &self.shared.config.how {
            How::Here => self.make_here(source, make, maker)?,
            How::Child { program, args } => self.make_there(source, make, (program, args), late)?,
        };
        self.shared.shelf().count(false);
        if let Some(disk) = &self.shared.disk {
            disk.store(Name { module: source.module, make, fingerprint: &maker.fingerprint }, &code);
        }
        Ok(code)
    }

    fn make_here(&self, source: &Source, make: Make, maker: &Maker) -> Result<Code, Flaw> {
        intake::check(&source.bytes, &self.shared.config.bounds)?;
        let made = compile(&maker.engine, make.tier, source.kind, &source.bytes, self.pace.effort())?;
        let sealed = Draft::new().and_then(|mut draft| {
            draft.write(&made)?;
            draft.seal(source.module, source.kind, make)
        });
        sealed.map_err(|error| Flaw::Host(error.to_string()))
    }
}

#[cfg(target_os = "linux")]
impl Worker<'_> {
    fn make_there(
        &self,
        source: &Source,
        make: Make,
        (program, args): (&std::path::Path, &[std::ffi::OsString]),
        late: u32,
    ) -> Result<Code, Flaw> {
        use super::desk::{self, Order};
        let config = &self.shared.config;
        let order = Order {
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
        desk::compile(&order, &|| self.shared.shelf().must_quit())
    }
}

#[cfg(not(target_os = "linux"))]
impl Worker<'_> {
    fn make_there(
        &self,
        _source: &Source,
        _make: Make,
        _program: (&std::path::Path, &[std::ffi::OsString]),
        _late: u32,
    ) -> Result<Code, Flaw> {
        Err(Flaw::Host("compiling in a child needs Linux".into()))
    }
}

/// Whether what failed may work at another time.
fn may_pass(error: &PrepareError) -> bool {
    match error {
        PrepareError::Late(_)
        | PrepareError::Unreadable(_)
        | PrepareError::Host(_)
        | PrepareError::Engine(_) => true,
        PrepareError::Invalid(_) | PrepareError::Limit(_) | PrepareError::TooLong { .. } => false,
    }
}

/// What the last compiler's flaw means for whoever asked.
fn error(flaw: Flaw) -> PrepareError {
    match flaw {
        Flaw::Invalid(text) | Flaw::Unsupported(text) => PrepareError::Invalid(text),
        Flaw::Limit(text) | Flaw::Heavy(text) => PrepareError::Limit(text),
        Flaw::Late(text) => PrepareError::Late(text),
        Flaw::Host(text) => PrepareError::Host(text),
    }
}
