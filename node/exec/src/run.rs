//! One attempt: a fresh store, one instance, one call, all dropped after. Driven by [`crate::Sandbox::run`] on the
//! caller's thread; it returns when the guest has ended, which its wall limit bounds.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use weft_core::{Entry, Failure, Limit, Outcome, Program, TaskId, Usage};

use crate::component::Desk;
use crate::cpu;
use crate::engines::EngineKey;
use crate::function::{self, Answer};
use crate::guest::{Bounds, Guest};
use crate::module::{Door, Prepared, shorten};
use crate::outcome::{Broken, of_broken, of_end, of_refused};
use crate::parcel::{self, Opened};
use crate::sink::{Printer, SharedPrinter, Sink};
use crate::stop::{Stop, Watch};
use crate::vfs::{Error, Files, Left, PATH_BYTES_MAX, Vfs};
use crate::wasi::Wasi;
use crate::world::World;

/// Characters of a function's error text that travel in its outcome; all of a longer one is in `Finished::errors`.
const ERROR_TEXT_MAX: usize = 2048;

/// What a run is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Standard input of a command, argument of a function; or a parcel, where the program takes those.
    pub input: Bytes,
    /// What lies under `/in`: a tar archive; empty for nothing.
    pub files: Bytes,
}

impl Given {
    /// An input, and no files.
    #[must_use]
    pub fn input(input: Bytes) -> Self {
        Self { input, files: Bytes::new() }
    }
}

/// How a run ended and what it brought. Output that was written before a failure is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// Standard output of a command, result of a function.
    pub output: Vec<u8>,
    /// Standard error; of a function module that imports WASI, both streams.
    pub errors: Vec<u8>,
    /// What it left in `/out`, as a tar archive; empty for nothing, and when the run came neither to its own end nor
    /// to a trap.
    pub files: Vec<u8>,
    /// What it used. `compile_us` and `queue_us` are 0 here: they belong to the caller.
    pub usage: Usage,
}

impl Finished {
    pub(crate) fn bare(outcome: Outcome) -> Self {
        Self { outcome, output: Vec::new(), errors: Vec::new(), files: Vec::new(), usage: Usage::default() }
    }
}

/// What to run, on what, within what.
pub(crate) struct Attempt<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) program: &'a Program,
    pub(crate) task: TaskId,
    pub(crate) given: Given,
    pub(crate) printer: Option<Printer>,
    pub(crate) stop: &'a Stop,
    /// Memory that this node gives any task.
    pub(crate) node_bytes: u64,
    /// Now. Each look at the clock costs something, so that whoever has looked says what he saw.
    pub(crate) started: Instant,
}

impl Attempt<'_> {
    /// Runs it to its end, whatever happens, and says when that was; a panic of the host loses this task and nothing
    /// else.
    pub(crate) fn run(self) -> (Finished, Instant) {
        // Held time is nobody's.
        let (stop, started, held_before) = (self.stop, self.started, self.stop.held());
        let cpu_before = cpu::thread_used(started);
        let in_bytes = (self.given.input.len() as u64).saturating_add(self.given.files.len() as u64);
        let mut finished = catch_unwind(AssertUnwindSafe(|| self.run_caught()))
            .unwrap_or_else(|panic| Finished::bare(lost_to_panic(panic.as_ref())));
        let ended = Instant::now();
        let held = stop.held().saturating_sub(held_before);
        let wall = ended.saturating_duration_since(started).saturating_sub(held);
        finished.usage.wall_us = micros(wall);
        finished.usage.in_bytes = in_bytes;
        let brought = [&finished.output, &finished.errors, &finished.files];
        finished.usage.out_bytes = brought.iter().map(|bytes| bytes.len() as u64).sum();
        finished.usage.cpu_us = micros(cpu::thread_used(ended).saturating_sub(cpu_before));
        (finished, ended)
    }

    /// Opens a parcel, if that is what the input is: what is in it is this task's own.
    fn run_caught(mut self) -> Finished {
        match self.program.entry {
            Entry::Command | Entry::Function(_) => return self.run_with(Bytes::new()),
            Entry::Parcel => {}
        }
        let Opened { stdin, files, args } = match parcel::open(&self.given.input) {
            Ok(opened) => opened,
            Err(text) => return Finished::bare(Outcome::Invalid(text)),
        };
        let args = [self.program.args.clone(), args].concat();
        let program = Program { args, ..self.program.clone() };
        self.given.input = stdin;
        Attempt { program: &program, ..self }.run_with(files)
    }

    /// Runs it with files of its own beside those of the program.
    fn run_with(mut self, own_files: Bytes) -> Finished {
        if self.stop.is_stopped() {
            return Finished::bare(Outcome::Cancelled);
        }
        if self.prepared.key != EngineKey::of(self.program) {
            return Finished::bare(Outcome::Lost(
                "the module was prepared for another profile or metering".into(),
            ));
        }
        let door = match self.prepared.door(&self.program.entry) {
            Ok(door) => door,
            Err(text) => return Finished::bare(Outcome::Invalid(text)),
        };
        let limits = self.program.limits;
        let printer: Option<SharedPrinter> = self.printer.take().map(|printer| Arc::new(Mutex::new(printer)));
        let command = matches!(door, Door::Command(..) | Door::Component(_));
        // A function's output is its answer.
        let output = command.then(|| Sink::output(limits.output_bytes, printer.clone()));
        let errors = Sink::errors(limits.errors_bytes, printer);
        self.stop.lend(output.as_ref(), door.prints().then_some(&errors));
        let mut store = match self.store(door, output.as_ref(), &errors, own_files) {
            Ok(store) => store,
            Err(text) => return Finished::bare(Outcome::Invalid(text)),
        };
        let result = self.enter(&mut store, door, &errors);

        // The reason that was noted when a run was ended is truer than the error which unwound it.
        let ended = store.data_mut().take_end().map(|end| of_end(end, command));
        let refused = store.data_mut().take_refused();
        let exceeded = output.as_ref().and_then(Sink::exceeded).or_else(|| errors.exceeded());
        let exceeded = exceeded.map(Outcome::LimitExceeded);
        let (outcome, answer) = match result {
            Ok((outcome, answer)) => (exceeded.unwrap_or(outcome), answer),
            Err(broken) => {
                let broken = || of_broken(broken, limits.fuel, refused.as_ref());
                (exceeded.or(ended).unwrap_or_else(broken), None)
            }
        };
        let usage = Usage {
            memory_bytes: store.data().bounds.memory_bytes,
            fuel: limits.fuel.map(|fuel| fuel.saturating_sub(store.get_fuel().unwrap_or_default())),
            ..Usage::default()
        };
        let vfs = store.data_mut().files.take();
        drop(store);
        let (outcome, files) = leave(outcome, vfs, &errors);
        // A task that has no room for it had its say.
        let outcome = of_refused(outcome, refused, |text| drop(errors.push(text.as_bytes())));
        let output = answer.or_else(|| output.map(|output| output.take())).unwrap_or_default();
        Finished { outcome, output, errors: errors.take(), files, usage }
    }

    /// # Errors
    /// With a text for the task's author, when the files it is given are no sound archive.
    fn store(
        &self,
        door: Door<'_>,
        output: Option<&Sink>,
        errors: &Sink,
        own_files: Bytes,
    ) -> Result<Store<Guest>, String> {
        let limits = self.program.limits;
        let watch = Watch::new(self.stop.clone(), limits.wall_ms, self.started);
        let world = World::new(self.program.profile, self.task);
        let bounds = Bounds::new(limits.memory_bytes, self.node_bytes);
        let mut files = Files::new(self.given.files.clone(), limits).with(own_files);
        if !files.is_empty() {
            // Now, so that a task with a bad archive ends so whether or not it would have looked.
            files.vfs(world.peek_wall_ns())?;
        }
        let mut guest = Guest::new(files, watch, world, bounds);
        let input = || self.given.input.clone();
        // A function's input and output are arguments and answer; what it prints is for people.
        let output = output.unwrap_or(errors);
        match door {
            Door::Command(core, _) => {
                guest.wasi = core.wasi.then(|| Wasi::new(self.program, input(), output, errors));
            }
            Door::Function(core, _) => {
                guest.wasi = core.wasi.then(|| Wasi::new(self.program, Bytes::new(), output, errors));
            }
            Door::Component(_) => {
                guest.desk = Some(Box::new(Desk::new(self.program, input(), output, errors)));
            }
        }
        let mut store = Store::new(self.prepared.engine(), guest);
        store.limiter(|guest| &mut guest.bounds);
        store.epoch_deadline_callback(look);
        store.set_epoch_deadline(1);
        fill(&mut store, limits.fuel);
        Ok(store)
    }

    /// Calls the guest; the outcome is `Done` or `Failed`, with a function's output.
    fn enter(
        &self,
        store: &mut Store<Guest>,
        door: Door<'_>,
        errors: &Sink,
    ) -> Result<(Outcome, Option<Vec<u8>>), Broken> {
        match door {
            Door::Component(component) => Ok((component.call(store)?, None)),
            Door::Command(core, export) => {
                function::start(store, &core.pre, export)?;
                Ok((Outcome::Done, None))
            }
            Door::Function(core, door) => {
                let output_bytes = self.program.limits.output_bytes;
                match function::call(store, &core.pre, door, &self.given.input, output_bytes)? {
                    Answer::Output(bytes) => Ok((Outcome::Done, Some(bytes))),
                    Answer::Error(text) => {
                        Ok((Outcome::Failed(Failure::Error(error_text(text, errors)?)), None))
                    }
                }
            }
        }
    }
}

fn fill(store: &mut Store<Guest>, fuel: Option<u64>) {
    if let Some(fuel) = fuel {
        store.set_fuel(fuel).expect("an engine for metered programs counts fuel");
    }
}

fn look(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data_mut();
    match guest.watch.look() {
        Ok(()) => Ok(UpdateDeadline::Continue(1)),
        Err(end) => Err(guest.end(end)),
    }
}

/// The archive of `/out`, for a run that came to its own end or to a trap.
fn leave(outcome: Outcome, vfs: Option<Vfs>, errors: &Sink) -> (Outcome, Vec<u8>) {
    match outcome {
        Outcome::Done | Outcome::Failed(_) | Outcome::Trapped(_) => {}
        Outcome::LimitExceeded(_)
        | Outcome::Invalid(_)
        | Outcome::Cancelled
        | Outcome::Lost(_)
        | Outcome::NoRoom(_)
        | Outcome::Expired(_)
        | Outcome::ParentFailed { .. } => {
            return (outcome, Vec::new());
        }
    }
    match vfs.map(Vfs::into_out) {
        Some(Ok(Left { archive, links })) => {
            if links > 0 {
                let text = format!("weft: {links} symbolic links in /out were left out\n");
                // A task that has no room for it had its say.
                drop(errors.push(text.as_bytes()));
            }
            (outcome, archive)
        }
        Some(Err(Error::Limit(limit))) => (Outcome::LimitExceeded(limit), Vec::new()),
        Some(Err(_)) => {
            let text = format!("files: a path in /out is longer than {PATH_BYTES_MAX} bytes");
            (Outcome::LimitExceeded(Limit::Other(text)), Vec::new())
        }
        None => (outcome, Vec::new()),
    }
}

/// The text for the outcome; one that is too long for it goes to `errors` whole.
fn error_text(text: String, errors: &Sink) -> Result<String, Broken> {
    let short = shorten(&text, ERROR_TEXT_MAX);
    if short != text {
        errors.push(text.as_bytes()).map_err(|limit: Limit| Broken::Limit(limit))?;
    }
    Ok(short)
}

fn lost_to_panic(panic: &(dyn Any + Send)) -> Outcome {
    Outcome::Lost(format!("the sandbox panicked: {}", panic_text(panic)))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&'static str>().copied()).unwrap_or("no text")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
