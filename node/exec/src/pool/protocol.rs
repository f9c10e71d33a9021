//! Messages of the slot processes, and their ends: parsed, bounded, and applied to [`State`]. They are untrusted: a
//! slot that violates the protocol is killed, and its tasks are reported or queued again.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::process::Signal;
use weft_core::{Outcome, Payload, Report, Usage};

use super::assignment::{Ending, Intent};
use super::child::{Child, Phase, TIMER, plain};
use super::requests::{Part, PendingReport, Request};
use super::state::State;
use super::types::PoolEvent;
use crate::slot::page::is_before;
use crate::slot::socket::Broken;
use crate::slot::wire::{Brought, FromSlot, PROTOCOL};

/// A task is given up after this many slots died while it was assigned to them, whichever task they were running.
const DEATHS_MAX: u32 = 10;
/// After this many failed starts in a row the pool reports that it has no slots.
const FAILURES_MAX: u32 = 3;
/// The same for processes that another process killed before they were ready: about 8 s, with the waits between.
const KILLS_MAX: u32 = 8;
/// The pool then waits this long before it tries again; doubled each time, up to `RETRY_MAX`.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Seals that a slot's file must have: its bytes can't change any more.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

impl State {
    /// Handles an event of epoll: a slot's socket or end, or the timer.
    pub(super) fn on_event(&mut self, what: u64) {
        let now = Instant::now();
        if what == TIMER {
            self.on_timer();
            self.handle_timeouts(now);
            return;
        }
        let id = what >> 1;
        let Some(mut child) = self.children.remove(&id) else { return };
        self.read(&mut child, now);
        if what & 1 == 1 {
            match child.reap() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    let killed = status.signal() == Some(Signal::KILL.as_raw());
                    return self.died(child, &status.to_string(), killed, now);
                }
                Err(error) => return self.died(child, &error.to_string(), false, now),
            }
        }
        child.send(&self.epoll);
        self.children.insert(id, child);
    }

    fn read(&mut self, child: &mut Child, now: Instant) {
        match self.receive(child, now) {
            Ok(()) => {}
            // A correct slot closes it only by ending, which its pidfd reports.
            Err(Broken::Closed) => child.hang_up(&self.epoll),
            Err(error) => child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}")))),
        }
    }

    fn receive(&mut self, child: &mut Child, now: Instant) -> Result<(), Broken> {
        let mut reads = 0;
        while child.read(reads)? {
            reads += 1;
            while let Some((word, files)) = child.next_word()? {
                self.handle(child, word, files, now)?;
            }
        }
        Ok(())
    }

    fn handle(
        &mut self,
        child: &mut Child,
        word: FromSlot,
        files: Vec<OwnedFd>,
        now: Instant,
    ) -> Result<(), Broken> {
        match word {
            FromSlot::Ready { protocol, confinement } => {
                if protocol != PROTOCOL || child.phase != Phase::Starting {
                    return Err(Broken::Protocol("the slot has another protocol version"));
                }
                (child.phase, child.greeted, child.progress) = (Phase::Ready, true, now);
                (self.failures, self.broken) = (0, None);
                self.confinement = Some(confinement);
            }
            FromSlot::Failed(text) => {
                let text = plain(&text.chars().take(500).collect::<String>());
                child.kill(Ending::Any(Outcome::Lost(format!("the slot did not start: {text}"))));
            }
            FromSlot::Printed { number, stream, offset, bytes } => {
                let run = child.printed(number, bytes.len())?;
                self.print(PoolEvent::Printed { run, stream, offset, bytes: bytes.into() });
            }
            FromSlot::Ran { number, outcome, output, errors, files: left, usage } => {
                let bytes = [output.len(), errors.len(), left.len()];
                let mut files = files.into_iter();
                let mut part = |brought| part(brought, &mut files);
                let parts = [part(output)?, part(errors)?, part(left)?];
                // An error up to here ends this task with its slot.
                child.resume(now);
                let task = child.reported(number, bytes, now)?;
                child.spent = matches!(outcome, Outcome::LimitExceeded(_));
                let mut usage = usage;
                usage.compile_us = task.waiting.compile_us;
                usage.queue_us = usage.queue_us.saturating_sub(usage.compile_us);
                let took = Duration::from_micros(usage.wall_us.max(1));
                self.programs.took(task.waiting.program, took);
                self.programs.done(task.waiting.program);
                let pending = PendingReport { run: task.waiting.run, outcome, parts, usage };
                match pending.at_once() {
                    Ok(report) => self.answer(task.waiting.run, report),
                    Err(pending) => self.requests.push(Request::Store(pending)),
                }
            }
        }
        Ok(())
    }

    /// Handles the end of a process: reports its current task, and queues those again that it did not start.
    fn died(&mut self, mut child: Child, how: &str, killed: bool, now: Instant) {
        let pid = child.pid();
        let ending = child.ending.take();
        let culprit = culprit(&child, ending.as_ref());
        let outcome = match &ending {
            Some(Ending::Any(outcome)) => outcome.clone(),
            Some(Ending::Run(number, outcome)) if Some(*number) == culprit => outcome.clone(),
            Some(Ending::Run(..)) | None => Outcome::Lost(format!("the slot died: {how}")),
        };
        let idle = child.tasks.is_empty();
        let words = child.stderr_text();
        if !child.greeted {
            let reason = if ending.is_some() { outcome.to_string() } else { format!("the slot died: {how}") };
            let reason = if words.is_empty() { reason } else { format!("{reason}: {words}") };
            self.failed_to_start(&reason, killed && ending.is_none(), now);
        } else if !idle || ending.is_none() {
            self.replaced += 1;
            if ended_with_task(&child, ending.as_ref(), how) {
                tracing::info!(pid, how, "a slot ended with its task, and is replaced");
            } else {
                tracing::warn!(pid, how, words, %outcome, "a slot is replaced");
            }
        }
        let wall_us = u64::try_from(child.ran(now).as_micros()).unwrap_or(u64::MAX);
        for mut task in std::mem::take(&mut child.tasks) {
            task.waiting.deaths += 1;
            let is_culprit = Some(task.number) == culprit;
            let usage = Usage { wall_us: if is_culprit { wall_us } else { 0 }, ..Usage::default() };
            let end = |outcome| Report { usage, ..Report::bare(outcome) };
            match task.intent {
                Intent::Abort => self.end(&task.waiting, end(Outcome::Cancelled)),
                Intent::Run | Intent::Hold if is_culprit || task.waiting.deaths >= DEATHS_MAX => {
                    self.end(&task.waiting, end(outcome.clone()));
                }
                Intent::Hold => self.hold(task.waiting),
                // Tasks before the culprit have ended, but their reports are lost with the slot; they run again.
                Intent::Run => self.requeue([task.waiting]),
            }
        }
    }

    /// A process failed to start, perhaps because another process killed it.
    pub(super) fn failed_to_start(&mut self, reason: &str, killed: bool, now: Instant) {
        // Kills by another process may stop; a program that is no slot will not become one.
        let most = if killed { KILLS_MAX } else { FAILURES_MAX };
        self.failures += 1;
        tracing::warn!(reason, failures = self.failures, "a slot did not start");
        if self.failures < FAILURES_MAX {
            return;
        }
        let wait = RETRY * 2_u32.saturating_pow((self.failures - FAILURES_MAX).min(16));
        self.retry_at = Some(now + wait.min(RETRY_MAX));
        if self.failures < most || self.children.values().any(|child| child.phase == Phase::Ready) {
            return;
        }
        let text = format!("no slot starts: {reason}");
        self.broken = Some(text.clone());
        for (_, waiting) in std::mem::take(&mut self.queue) {
            self.give_up(waiting, Outcome::Lost(text.clone()));
        }
    }
}

/// Whether a slot ended because of a cancellation or a limit of its task, which is not a fault of the slot.
fn ended_with_task(child: &Child, ending: Option<&Ending>, how: &str) -> bool {
    match ending {
        Some(Ending::Run(_, outcome)) => {
            matches!(outcome, Outcome::Cancelled | Outcome::LimitExceeded(_))
        }
        Some(Ending::Any(_)) => false,
        None => child.spent && how == "exit status: 0",
    }
}

/// The task that a slot is taken to have died of: the one that it was killed for, or that was running. If it was killed
/// and claims to run none, the first one, if that was started.
fn culprit(child: &Child, ending: Option<&Ending>) -> Option<u32> {
    let has = |number: &u32| child.tasks.iter().any(|task| task.number == *number);
    let named = match ending {
        Some(Ending::Run(number, _)) => Some(*number),
        Some(Ending::Any(_)) | None => None,
    };
    let began = |number: &u32| is_before(*number, child.page.started());
    let first = child.tasks.front().filter(|_| ending.is_some()).map(|task| task.number).filter(began);
    named.filter(has).or_else(|| Some(child.running()).filter(has)).or(first)
}

/// A part of a report: inline, or a sealed file.
fn part(brought: Brought, files: &mut impl Iterator<Item = OwnedFd>) -> Result<Part, Broken> {
    match brought {
        Brought::Inline(bytes) if bytes.len() <= weft_core::task::INLINE_BYTES_MAX => {
            // Most parts are empty; an empty one needs no allocation.
            let bytes = if bytes.is_empty() { Arc::default() } else { Arc::from(bytes) };
            Ok(Part::Ready(Payload::Inline(bytes)))
        }
        Brought::Inline(_) => Err(Broken::Protocol("an inline payload is too long")),
        Brought::File(bytes) => {
            let file = files.next().ok_or(Broken::Protocol("a file is missing"))?;
            // Only memory files have seals; reading them does not block.
            match fcntl_get_seals(&file) {
                Ok(seals) if seals.contains(SEALS) => Ok(Part::File(file, bytes)),
                Ok(_) | Err(_) => Err(Broken::Protocol("a file is not sealed")),
            }
        }
    }
}
