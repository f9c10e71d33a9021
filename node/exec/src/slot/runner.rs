//! The thread of a slot that runs guests: reads frames of the node, runs tasks in order, and reports in batches. It
//! waits only for frames.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::{Outcome, TaskId};

use super::loaded::{Loaded, Ready};
use super::payload::{brought, read_whole};
use super::shared::{Current, Slot};
use super::socket::{Broken, Incoming};
use super::watchdog;
use super::wire::{self, Brought, FromSlot, TO_SLOT_CLAIM_MAX, ToSlot};
use crate::cpu;
use crate::os::now_us;
use crate::run::{Attempt, Finished, Given};
use crate::sandbox::Sandbox;
use crate::sink::Printer;
use crate::stop::Stop;

/// Most reports that wait to be sent: a part of the tasks of a slot, so that the node sends more while the others run. Fewer if
/// there are fewer tasks, which other slots may take.
const REPORTS_MAX: usize = 64;
const REPORTS_MIN: usize = 8;
/// Most bytes of reports that wait to be sent.
const REPORT_BYTES_MAX: usize = 16 << 10;
/// Longest wait of a report while short tasks run; the watchdog sends reports that wait behind a long task.
const REPORT_WAIT: Duration = Duration::from_micros(500);

pub(super) struct Runner<'a> {
    slot: &'a Arc<Slot>,
    sandbox: Sandbox,
    incoming: Incoming,
    watchdog: Thread,
    loaded: Loaded,
    tasks: VecDeque<Task>,
    stop: Stop,
    clock: Clock,
    flushed: Instant,
}

struct Task {
    number: u32,
    program: u32,
    task: TaskId,
    input: Input,
    since_us: u64,
    stream: bool,
}

/// An input, or the file with it.
enum Input {
    Inline(Bytes),
    File(OwnedFd, u64),
}

/// Converts readings of the standard library's clock to [`now_us`], which uses the same clock, without a system call.
#[derive(Clone, Copy, Debug)]
struct Clock {
    at: Instant,
    us: u64,
}

impl Clock {
    fn new() -> Self {
        Self { at: Instant::now(), us: now_us() }
    }

    fn us(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.at).as_micros();
        self.us.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(slot: &'a Arc<Slot>, sandbox: Sandbox, incoming: Incoming, watchdog: Thread) -> Self {
        let page = Arc::clone(slot);
        let stop = slot.stop.get_or_init(|| Stop::held_by(move || page.page.held())).clone();
        let (tasks, loaded) = (VecDeque::new(), Loaded::default());
        let (clock, flushed) = (Clock::new(), Instant::now());
        Self { slot, sandbox, incoming, watchdog, loaded, tasks, stop, clock, flushed }
    }

    /// Runs tasks until the node closes the socket or violates the protocol.
    pub(super) fn serve(mut self) -> Result<(), Broken> {
        loop {
            self.read()?;
            let Some(task) = self.tasks.pop_front() else {
                self.flush()?;
                self.incoming.receive(&self.slot.socket)?;
                cpu::forget();
                continue;
            };
            if self.slot.page.claim(task.number) {
                self.run(task)?;
            }
        }
    }

    /// Handles the frames that have arrived.
    fn read(&mut self) -> Result<(), Broken> {
        while let Some(word) = self.incoming.next::<ToSlot, TO_SLOT_CLAIM_MAX>()? {
            match word {
                ToSlot::Begin { .. } => return Err(Broken::Protocol("the first message was sent twice")),
                ToSlot::Code { number, info } => {
                    let file = self.incoming.file()?;
                    self.loaded.add_code(&self.sandbox, number, info, file);
                }
                ToSlot::Program { number, code, program } => {
                    let files = match program.files.blob() {
                        Some(_) => Some(self.incoming.file()?),
                        None => None,
                    };
                    self.loaded.add_program(number, code, program, files);
                }
                ToSlot::ForgetProgram(number) => self.loaded.forget_program(number),
                ToSlot::ForgetCode(number) => self.loaded.forget_code(number),
                ToSlot::Task { number, program, task, input, since_us, stream } => {
                    let input = match input {
                        wire::Input::Inline(bytes) => Input::Inline(Bytes::from(bytes)),
                        wire::Input::File(bytes) => Input::File(self.incoming.file()?, bytes),
                    };
                    self.tasks.push_back(Task { number, program, task, input, since_us, stream });
                }
            }
        }
        Ok(())
    }

    /// Runs a claimed task and reports it.
    fn run(&mut self, task: Task) -> Result<(), Broken> {
        let number = task.number;
        let now = Instant::now();
        let (finished, ended) = self.attempt(task, now).unwrap_or_else(|out| (Finished::bare(out), now));
        self.report(number, finished, ended)
    }

    fn attempt(&mut self, task: Task, now: Instant) -> Result<(Finished, Instant), Outcome> {
        let Task { number, program, task, input, since_us, stream } = task;
        let queue_us = self.clock.us(now).saturating_sub(since_us);
        let Ready { program, prepared, files } = self.loaded.program(program)?;
        // Reading a file does not count as the task's time.
        let (input, started) = match input {
            Input::Inline(bytes) => (bytes, now),
            Input::File(file, bytes) => {
                let read = read_whole(&file, bytes)
                    .map_err(|error| Outcome::Lost(format!("the input can't be read: {error}")))?;
                (read, Instant::now())
            }
        };
        let given = Given { input, files: files.clone() };
        let in_bytes = (given.input.len() as u64).saturating_add(given.files.len() as u64);
        let printer = stream.then(|| self.printer(number));
        let limit_ms = program.limits.wall_ms;
        let held = self.slot.page.held();
        self.slot.page.begin(self.clock.us(started));
        *self.slot.current() = Some(Current { number, limit_ms, started, held, queue_us, in_bytes });
        watchdog::wake(self.slot, &self.watchdog);
        let (stop, node_bytes) = (&self.stop, self.sandbox.memory_max_bytes());
        let attempt = Attempt { prepared, program, task, given, printer, stop, node_bytes, started };
        let (mut finished, ended) = attempt.run();
        if self.slot.current().take().is_none() {
            // The watchdog has reported this run, and the process is about to end.
            loop {
                thread::park();
            }
        }
        finished.usage.queue_us = queue_us;
        Ok((finished, ended))
    }

    /// Passes on what a run prints: sent at the watchdog's next tick or with the next reports.
    fn printer(&self, number: u32) -> Printer {
        let slot = Arc::clone(self.slot);
        Box::new(move |stream, offset, bytes| {
            let mut out = slot.out();
            out.push(&FromSlot::Printed { number, stream, offset, bytes: bytes.to_vec() }, []);
            if out.waiting() >= REPORT_BYTES_MAX {
                // If the node is gone, the process ends soon.
                drop(slot.flush(&mut out));
            }
        })
    }

    /// Queues the report of a run; sends the queue if that is due.
    fn report(&mut self, number: u32, finished: Finished, ended: Instant) -> Result<(), Broken> {
        let Finished { mut outcome, output, errors, files: left, usage } = finished;
        let mut files = Vec::new();
        let mut bring = |bytes: Vec<u8>| match brought(bytes) {
            Ok((brought, file)) => {
                files.extend(file);
                brought
            }
            Err(error) => {
                outcome = Outcome::Lost(format!("the output can't be kept: {error}"));
                Brought::Inline(Vec::new())
            }
        };
        let (output, errors, left) = (bring(output), bring(errors), bring(left));
        let word = FromSlot::Ran { number, outcome, output, errors, files: left, usage };
        let mut out = self.slot.out();
        out.push(&word, files.into_iter().map(Arc::new));
        let due = out.frames() >= self.tasks.len().clamp(REPORTS_MIN, REPORTS_MAX)
            || out.waiting() >= REPORT_BYTES_MAX
            || ended.saturating_duration_since(self.flushed) >= REPORT_WAIT;
        if due {
            self.flushed = ended;
            self.slot.flush(&mut out)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.flushed = Instant::now();
        let mut out = self.slot.out();
        Ok(self.slot.flush(&mut out)?)
    }
}
