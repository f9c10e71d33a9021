//! One slot process, as its node sees it: the socket, the shared page, and the assigned tasks. It reads and writes;
//! decisions are in [`super::state`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use weft_core::{Outcome, RunId};

use super::assignment::{Assignment, Ending, Intent, WORK_MAX, Waiting, archive_max, tasks_max};
use super::module_cache::ModuleCache;
use super::programs::Runnable;
use crate::os::is_gone;
use crate::slot::page::{Page, is_before};
use crate::slot::socket::{Broken, Incoming, Outgoing};
use crate::slot::wire::{FROM_SLOT_BYTES_MAX, FROM_SLOT_CLAIM_MAX, FromSlot, Input, PROTOCOL, ToSlot};

/// Reads from one slot before other slots have their turn.
const READS_PER_TURN: usize = 16;

/// Most bytes that are read of a slot's standard error.
const WORDS_BYTES_MAX: usize = 500;

/// epoll's token of the timer.
pub(super) const TIMER: u64 = u64::MAX;

/// A process that was just started.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) process: process::Child,
    pub(super) socket: OwnedFd,
    pub(super) page: Page,
    pub(super) page_file: OwnedFd,
    /// The read end of its standard error; reading does not block.
    pub(super) words: OwnedFd,
}

/// The state of a slot process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was started and has not reported that it is ready.
    Starting,
    /// It runs tasks.
    Ready,
    /// It was killed, or has ended and was not waited for yet.
    Dying,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: u64,
    process: process::Child,
    pid: Pid,
    /// Readable when the process has ended.
    pidfd: OwnedFd,
    words: OwnedFd,
    socket: OwnedFd,
    pub(super) page: Page,
    out: Outgoing,
    /// Whether the slot closed the socket.
    closed: bool,
    /// Whether epoll reports when the socket is writable.
    out_waits: bool,
    incoming: Incoming,
    pub(super) phase: Phase,
    /// Whether it was ever ready.
    pub(super) greeted: bool,
    /// Since when it is paused, if it is.
    pub(super) held_since: Option<Instant>,
    /// In the order of their numbers; the first one runs or runs next.
    pub(super) tasks: VecDeque<Assignment>,
    next_number: u32,
    /// Expected running time of its tasks.
    pub(super) expected: Duration,
    /// When it reported last, or got a task while it had none.
    pub(super) progress: Instant,
    /// Its current task takes longer than expected: it gets no other task meanwhile.
    pub(super) stuck: bool,
    /// Why it was killed, if it was.
    pub(super) ending: Option<Ending>,
    /// The task that it reported last had reached its own limit, which ends a process that is inside of a guest.
    pub(super) spent: bool,
    known: ModuleCache,
}

impl Child {
    /// Registers a new process and sends it the first message.
    pub(super) fn new(
        id: u64,
        spawned: Spawned,
        epoll: &OwnedFd,
        memory_max_bytes: u64,
        now: Instant,
    ) -> io::Result<Self> {
        let Spawned { mut process, socket, page, page_file, words } = spawned;
        let prepared = prepare(&process, &socket, epoll, id);
        let (pid, pidfd) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // It has no task yet, so nothing is lost with it.
                process.kill()?;
                process.wait()?;
                return Err(error);
            }
        };
        let mut out = Outgoing::default();
        out.push(&ToSlot::Begin { protocol: PROTOCOL, memory_max_bytes }, [Arc::new(page_file)]);
        Ok(Self {
            id,
            process,
            pid,
            pidfd,
            words,
            socket,
            page,
            out,
            closed: false,
            out_waits: false,
            incoming: Incoming::new(FROM_SLOT_BYTES_MAX),
            phase: Phase::Starting,
            greeted: false,
            held_since: None,
            tasks: VecDeque::new(),
            next_number: 0,
            expected: Duration::ZERO,
            progress: now,
            stuck: false,
            ending: None,
            spent: false,
            known: ModuleCache::default(),
        })
    }

    /// Its process id, for logs and tests.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Whether it runs a task now.
    pub(super) fn is_active(&self) -> bool {
        self.phase == Phase::Ready && self.held_since.is_none() && !self.tasks.is_empty()
    }

    /// Whether it would start a task at once.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.held_since.is_none() && self.tasks.is_empty()
    }

    /// Whether it should get more tasks before it is idle, which bring files or don't.
    pub(super) fn wants_more(&self, bring_files: bool) -> bool {
        let has_few = self.tasks.len() <= tasks_max(bring_files) / 2 && self.expected <= WORK_MAX / 2;
        self.is_active() && !self.stuck && has_few
    }

    /// Whether a task with this expected running time fits, which brings files or doesn't.
    pub(super) fn has_room(&self, expected: Duration, brings_files: bool) -> bool {
        let fits = self.tasks.len() < tasks_max(brings_files) && self.expected + expected <= WORK_MAX;
        self.tasks.is_empty() || fits
    }

    /// Whether it has loaded a program with that code.
    pub(super) fn has_loaded(&self, program: u32, code: u32) -> bool {
        self.known.has(program, code)
    }

    /// Assigns a task and queues it for sending, with the code and program that the slot lacks; [`Child::send`] sends
    /// it.
    ///
    /// # Errors
    /// With the task, when no descriptor is left.
    pub(super) fn assign(
        &mut self,
        waiting: Box<Waiting>,
        runnable: &Runnable<'_>,
        now: Instant,
    ) -> Result<(), (Box<Waiting>, io::Error)> {
        // Frames are read in order, and a task uses its program when it runs: programs of waiting tasks must stay
        // loaded.
        let in_use = |number: u32| self.tasks.iter().any(|task| task.waiting.program == number);
        if let Err(error) = self.known.send_missing(runnable, &mut self.out, in_use) {
            return Err((waiting, error));
        }
        if self.tasks.is_empty() {
            self.progress = now;
            self.stuck = false;
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let word = ToSlot::Task {
            number,
            program: runnable.program_number,
            task: waiting.work.task,
            input: Input::of(&waiting.work.input),
            since_us: waiting.since_us,
            stream: waiting.work.stream,
        };
        self.out.push(&word, waiting.input.clone());
        self.expected += runnable.expected;
        let (expected, intent) = (runnable.expected, Intent::Run);
        self.tasks.push_back(Assignment { number, waiting, expected, intent, printed: 0 });
        Ok(())
    }

    /// Sends queued frames as far as the socket accepts them. A slot that lives and can't be sent to, for the system lacks
    /// memory or descriptors, is killed: nothing would tell when to try again.
    pub(super) fn send(&mut self, epoll: &OwnedFd) {
        let Err(error) = self.try_send(epoll) else { return };
        tracing::debug!(%error, pid = self.pid(), "sending to a slot failed");
        // epoll reports the end of one that is gone.
        if !is_gone(&error) && self.phase != Phase::Dying {
            self.kill(Ending::Any(Outcome::Lost(format!("the slot can't be sent anything: {error}"))));
        }
    }

    fn try_send(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        if self.closed || (self.out.waiting() == 0 && !self.out_waits) {
            return Ok(());
        }
        let waits = !self.out.send(&self.socket)?;
        if waits != self.out_waits {
            self.out_waits = waits;
            let more = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.socket, EventData::new_u64(self.id << 1), more)?;
        }
        Ok(())
    }

    /// Reads once from its socket. False if there was nothing, or if its turn is over.
    ///
    /// # Errors
    /// When it closed the socket, or sent more files than allowed.
    pub(super) fn read(&mut self, reads: usize) -> Result<bool, Broken> {
        Ok(!self.closed && reads < READS_PER_TURN && self.incoming.receive(&self.socket)?)
    }

    /// The next message of the slot, with its files.
    ///
    /// # Errors
    /// When the message is malformed.
    pub(super) fn next_word(&mut self) -> Result<Option<(FromSlot, Vec<OwnedFd>)>, Broken> {
        let Some(word) = self.incoming.next::<FromSlot, FROM_SLOT_CLAIM_MAX>()? else { return Ok(None) };
        let files = (0..word.files()).map(|_| self.incoming.file()).collect::<Result<_, _>>()?;
        Ok(Some((word, files)))
    }

    /// Removes the task that a report is about: the first one that is not reported. Retracted tasks were not started
    /// and are not reported.
    ///
    /// # Errors
    /// When it is another task, or output, errors or files are longer than allowed.
    pub(super) fn reported(
        &mut self,
        number: u32,
        bytes: [u64; 3],
        now: Instant,
    ) -> Result<Assignment, Broken> {
        let first = self.tasks.front().filter(|first| first.number == number);
        let first = first.ok_or(Broken::Protocol("a task is reported out of order"))?;
        let limits = first.waiting.work.program.limits;
        let most = [limits.output_bytes, limits.errors_bytes, archive_max(&limits)];
        if bytes.iter().zip(most).any(|(bytes, most)| *bytes > most) {
            return Err(Broken::Protocol("the output exceeds the task's limits"));
        }
        let task = self.tasks.pop_front().ok_or(Broken::Protocol("it has no task"))?;
        self.expected = self.expected.saturating_sub(task.expected);
        self.progress = now;
        self.stuck = false;
        Ok(task)
    }

    /// How long the current run has been running, as far as is known here.
    pub(super) fn ran(&self, now: Instant) -> Duration {
        self.held_since.unwrap_or(now).saturating_duration_since(self.progress)
    }

    /// Counts bytes that the task of this number printed.
    ///
    /// # Errors
    /// When its output is not to be streamed, or exceeds its limits.
    pub(super) fn printed(&mut self, number: u32, bytes: usize) -> Result<RunId, Broken> {
        let task = self.tasks.iter_mut().find(|task| task.number == number && task.waiting.work.stream);
        let task = task.ok_or(Broken::Protocol("output is streamed that was not requested"))?;
        let limits = task.waiting.work.program.limits;
        task.printed = task.printed.saturating_add(bytes as u64);
        if bytes == 0 || task.printed > limits.output_bytes.saturating_add(limits.errors_bytes) {
            return Err(Broken::Protocol("the streamed output exceeds the task's limits"));
        }
        Ok(task.waiting.run)
    }

    /// Retracts the tasks that it did not start. Tasks that it started stay: the last of these runs, those before it
    /// have ended and will be reported.
    ///
    /// # Errors
    /// When the slot keeps changing the shared page.
    #[expect(clippy::vec_box, reason = "they stay boxed wherever they go")]
    pub(super) fn retract(&mut self) -> Result<Vec<Box<Waiting>>, Broken> {
        let revoked = self.page.revoke(self.next_number);
        let first = revoked.ok_or(Broken::Protocol("the shared page keeps changing"))?;
        let keep = self.tasks.iter().take_while(|task| is_before(task.number, first)).count();
        let back = self.tasks.split_off(keep);
        self.expected = self.tasks.iter().map(|task| task.expected).sum();
        Ok(back.into_iter().map(|task| task.waiting).collect())
    }

    /// The number of the current run, as the slot claims.
    pub(super) fn running(&self) -> u32 {
        self.page.started().wrapping_sub(1)
    }

    /// Kills it; `ending` is how its current run ends.
    pub(super) fn kill(&mut self, ending: Ending) {
        self.phase = Phase::Dying;
        self.ending.get_or_insert(ending);
        self.signal(Signal::KILL);
    }

    /// It closed the socket: kills it if it is not dead.
    pub(super) fn hang_up(&mut self, epoll: &OwnedFd) {
        if !std::mem::replace(&mut self.closed, true)
            && let Err(error) = epoll::delete(epoll, &self.socket)
        {
            tracing::warn!(%error, pid = self.pid(), "a slot's socket stays registered");
        }
        if self.phase != Phase::Dying {
            self.phase = Phase::Dying;
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal) {
            tracing::warn!(%error, pid = self.pid(), ?signal, "a slot can't be signalled");
        }
    }

    /// Stops the process.
    pub(super) fn hold(&mut self, now: Instant) {
        self.signal(Signal::STOP);
        self.held_since = Some(now);
    }

    /// Continues the process. Its clock is corrected before it runs.
    pub(super) fn resume(&mut self, now: Instant) {
        let Some(since) = self.held_since.take() else { return };
        let held = now.saturating_duration_since(since);
        self.page.add_held(held);
        self.progress += held;
        self.signal(Signal::CONT);
    }

    /// How the process ended; `None` while it runs.
    pub(super) fn reap(&mut self) -> io::Result<Option<process::ExitStatus>> {
        self.process.try_wait()
    }

    /// Its standard error, made safe for a log: it is untrusted.
    pub(super) fn stderr_text(&self) -> String {
        let mut bytes = [0; WORDS_BYTES_MAX];
        let read = rustix::io::read(&self.words, &mut bytes).unwrap_or(0);
        plain(&String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()))
    }

    /// Kills it and waits for its end.
    pub(super) fn end(mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait().map(drop)) {
            tracing::warn!(%error, "a slot's process can't be ended");
        }
    }
}

/// A slot's text without control characters.
pub(super) fn plain(text: &str) -> String {
    text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Registers the process with epoll.
fn prepare(
    process: &process::Child,
    socket: &OwnedFd,
    epoll: &OwnedFd,
    id: u64,
) -> io::Result<(Pid, OwnedFd)> {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    epoll::add(epoll, socket, EventData::new_u64(id << 1), EventFlags::IN)?;
    epoll::add(epoll, &pidfd, EventData::new_u64((id << 1) | 1), EventFlags::IN)?;
    Ok((pid, pidfd))
}
