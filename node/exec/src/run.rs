//! One attempt at a task: a fresh store, one instance, one call, all dropped afterwards. Called by
//! [`crate::Sandbox::run`] on the caller's thread; returns when the guest ended, which its wall limit bounds.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use weft_core::{Entry, Failure, Limit, Outcome, Program, TaskId, Usage};

use crate::component::state::ComponentState;
use crate::cpu;
use crate::function::{self, Answer};
use crate::guest::{Bounds, Guest};
use crate::make::EngineKey;
use crate::module::{Door, Prepared};
use crate::outcome::{Broken, of_broken, of_end, of_refused};
use crate::parcel::{self, Opened};
use crate::sink::{Printer, SharedPrinter, Sink};
use crate::stop::{Stop, Watch};
use crate::text::{panic_text, shorten};
use crate::vfs::{Error, Files, Left, PATH_BYTES_MAX, Vfs};
use crate::wasi::state::Wasi;
use crate::world::World;

/// Most characters of a function's error text in its outcome; a longer text is in `Finished::errors` as a whole.
const ERROR_TEXT_MAX: usize = 2048;

/// The input of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Standard input of a command, argument of a function, or a parcel if the program's entry is one.
    pub input: Bytes,
    /// Files under `/in`: a tar archive; empty for none.
    pub files: Bytes,
}

impl Given {
    /// An input without files.
    #[must_use]
    pub fn input(input: Bytes) -> Self {
        Self { input, files: Bytes::new() }
    }
}

/// How a run ended and its output. Output that was written before a failure is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its outcome.
    pub outcome: Outcome,
    /// Standard output of a command, result of a function.
    pub output: Vec<u8>,
    /// Standard error; for a function module that imports WASI, both streams.
    pub errors: Vec<u8>,
    /// Files in `/out`, as a tar archive; empty for none, and if the run was ended from outside of the guest's code.
    pub files: Vec<u8>,
    /// Resources used. `compile_us` and `queue_us` are 0: the caller sets them.
    pub usage: Usage,
}

impl Finished {
    pub(crate) fn bare(outcome: Outcome) -> Self {
        Self { outcome, output: Vec::new(), errors: Vec::new(), files: Vec::new(), usage: Usage::default() }
    }
}

/// Everything that one attempt needs.
pub(crate) struct Attempt<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) program: &'a Program,
    pub(crate) task: TaskId,
    pub(crate) given: Given,
    pub(crate) printer: Option<Printer>,
    pub(crate) stop: &'a Stop,
    /// Most memory that this node gives any task, in bytes.
    pub(crate) node_bytes: u64,
    /// The current time, read by the caller: each reading costs something.
    pub(crate) started: Instant,
}

impl Attempt<'_> {
    /// Runs the task and returns its result and when it ended. A panic of the host loses this task only.
    pub(crate) fn run(self) -> (Finished, Instant) {
        // Paused time counts for no task.
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

    /// If the input is a parcel, opens it: it has input, files and arguments of this task.
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

    /// Runs it with the task's own files in addition to the program's.
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
        // The output of a function is its return value.
        let output = command.then(|| Sink::output(limits.output_bytes, printer.clone()));
        let errors = Sink::errors(limits.errors_bytes, printer);
        self.stop.lend(output.as_ref(), door.prints().then_some(&errors));
        let mut store = match self.store(door, output.as_ref(), &errors, own_files) {
            Ok(store) => store,
            Err(text) => return Finished::bare(Outcome::Invalid(text)),
        };
        let result = self.enter(&mut store, door, &errors);

        // The recorded reason is more precise than the error that unwound the guest.
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
        // If standard error is full, the text is dropped.
        let outcome = of_refused(outcome, refused, |text| drop(errors.push(text.as_bytes())));
        let output = answer.or_else(|| output.map(|output| output.take())).unwrap_or_default();
        Finished { outcome, output, errors: errors.take(), files, usage }
    }

    /// # Errors
    /// With a text for the task's author, when the archive of its files is invalid.
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
            // Unpacked now, so that a task with an invalid archive fails whether it uses the files or not.
            files.vfs(world.peek_wall_ns())?;
        }
        let mut guest = Guest::new(files, watch, world, bounds);
        let input = || self.given.input.clone();
        // A function gets its input as an argument and returns its output; what it prints goes to standard error.
        let output = output.unwrap_or(errors);
        match door {
            Door::Command(core, _) => {
                guest.wasi = core.wasi.then(|| Wasi::new(self.program, input(), output, errors));
            }
            Door::Function(core, _) => {
                guest.wasi = core.wasi.then(|| Wasi::new(self.program, Bytes::new(), output, errors));
            }
            Door::Component(_) => {
                guest.component = Some(Box::new(ComponentState::new(self.program, input(), output, errors)));
            }
        }
        let mut store = Store::new(self.prepared.engine(), guest);
        store.limiter(|guest| &mut guest.bounds);
        store.epoch_deadline_callback(look);
        store.set_epoch_deadline(1);
        fill(&mut store, limits.fuel);
        Ok(store)
    }

    /// Calls the guest. The outcome is `Done` or `Failed`; a function also has an output.
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

/// The archive of `/out`, for a run that ended by itself or trapped.
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
                // If standard error is full, the text is dropped.
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

/// The text for the outcome; one that is too long goes to `errors` as a whole.
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
