//! What is known of each module, which requests wait for it, and what is to be compiled: plain data under the
//! compiler's lock. It compiles nothing, reads nothing and never blocks. Which thread may have which module is in
//! [`super::thread_group`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_core::PeerId;

use super::job::{Job, ModuleKey, OnDone, Pace};
use super::queue::Capacity;
use super::settings::CompilerStatus;
use super::thread_group::ThreadGroup;
use super::upgrade::Upgrade;
use crate::code::Code;
use crate::error::{PrepareError, Refusal};
use crate::make::Tier;

/// Most modules that are remembered, refused ones included.
const MODULES_MAX: usize = 4096;
/// Most modules whose code is kept: on Linux each is an open file.
const CODES_MAX: usize = 256;
/// Most modules that wait to be compiled.
const FAST_MAX: Capacity = Capacity { all: 256, each: 192 };
/// Most modules that wait to be optimised; one beyond it stays on its baseline code for a while.
const SLOW_MAX: Capacity = Capacity { all: 64, each: 48 };

/// The result for a module: its code, or why it is refused.
pub(super) type Verdict = Result<Arc<Code>, Refusal>;

/// What is to be done after a try to optimise a module that brought no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing: another try would end the same.
    Never,
    /// Another try after a while.
    Later,
    /// The same, with a longer time limit.
    Longer,
}

/// The answer to a request.
pub(super) enum Claim {
    /// The result is known.
    Known(OnDone, Verdict),
    /// The queue is full.
    Full(OnDone),
    /// The callback will be called later.
    Queued,
}

struct Entry {
    verdict: Option<Verdict>,
    /// When it was refused for exceeding its compile time.
    late_since: Option<Instant>,
    making: bool,
    upgrade: Upgrade,
    waiting: Vec<OnDone>,
    used: u64,
}

impl Entry {
    fn code(&self) -> Option<&Arc<Code>> {
        self.verdict.as_ref()?.as_ref().ok()
    }

    /// Forgets a refusal for exceeded compile time after `late_for`.
    fn try_again(&mut self, late_for: Duration) {
        if self.late_since.is_some_and(|since| since.elapsed() >= late_for) {
            (self.verdict, self.late_since) = (None, None);
        }
    }

    /// Whether no thread has it or will have it.
    fn is_at_rest(&self) -> bool {
        !self.making && !self.upgrade.is_coming()
    }
}

/// The state of the compiler.
pub(super) struct ModuleTable {
    entries: BTreeMap<ModuleKey, Entry>,
    fast: ThreadGroup,
    slow: ThreadGroup,
    uses: u64,
    codes: usize,
    code_bytes: u64,
    most_bytes: u64,
    late_for: Duration,
    compiled: u64,
    loaded: u64,
    quit: bool,
}

impl ModuleTable {
    pub(super) fn new(most_bytes: u64, late_for: Duration) -> Self {
        Self {
            entries: BTreeMap::new(),
            fast: ThreadGroup::new(FAST_MAX),
            slow: ThreadGroup::new(SLOW_MAX),
            uses: 0,
            codes: 0,
            code_bytes: 0,
            most_bytes,
            late_for,
            compiled: 0,
            loaded: 0,
            quit: false,
        }
    }

    /// The result for a module, if it is known.
    pub(super) fn get(&mut self, module_key: ModuleKey) -> Option<Verdict> {
        self.uses += 1;
        let late_for = self.late_for;
        let entry = self.entries.get_mut(&module_key)?;
        entry.try_again(late_for);
        entry.used = self.uses;
        entry.verdict.clone()
    }

    /// Queues a module for the optimising compiler again, if that is due; returns whether it was. If the queue is full,
    /// it is due again later.
    pub(super) fn try_again(&mut self, module_key: ModuleKey) -> bool {
        let entry = self.entries.get_mut(&module_key);
        let Some(job) = entry.and_then(|entry| entry.upgrade.take_due(Instant::now())) else { return false };
        self.queue_slow(job);
        true
    }

    /// The result for a module, unless better code is being compiled.
    pub(super) fn get_best(&mut self, module_key: ModuleKey) -> Option<Verdict> {
        let verdict = self.get(module_key);
        verdict.filter(|_| self.entries.get(&module_key).is_some_and(Entry::is_at_rest))
    }

    /// Reserves the module for the caller, who must answer for it. False if it is known or reserved already.
    pub(super) fn claim(&mut self, module_key: ModuleKey) -> bool {
        let entry = self.entry(module_key);
        let free = entry.verdict.is_none() && !entry.making;
        entry.making |= free;
        free
    }

    /// Adds a request, and queues its module if necessary.
    pub(super) fn request(&mut self, job: Job, on_done: OnDone) -> Claim {
        let full = !self.fast.queue.has_room(job.owner);
        let entry = self.entry(job.module_key);
        if let Some(verdict) = &entry.verdict {
            return Claim::Known(on_done, verdict.clone());
        }
        if entry.making {
            entry.waiting.push(on_done);
            return Claim::Queued;
        }
        if full {
            return Claim::Full(on_done);
        }
        entry.making = true;
        entry.waiting.push(on_done);
        self.fast.queue.push(job.owner, job);
        Claim::Queued
    }

    /// Records the result; returns the callbacks to call.
    pub(super) fn answer(
        &mut self,
        module_key: ModuleKey,
        result: &Result<Arc<Code>, PrepareError>,
    ) -> Vec<OnDone> {
        let verdict = match result {
            Ok(code) => Some(Ok(Arc::clone(code))),
            Err(error) => error.refusal().map(Err),
        };
        let entry = self.entry(module_key);
        entry.making = false;
        // The caller queues a module with baseline code for optimising next.
        entry.upgrade = if is_baseline(result) { Upgrade::Coming } else { Upgrade::No };
        let waiting = std::mem::take(&mut entry.waiting);
        self.set(module_key, verdict);
        if let Some(entry) = self.entries.get_mut(&module_key) {
            entry.late_since = matches!(result, Err(PrepareError::Late(_))).then(Instant::now);
        }
        waiting
    }

    /// Counts a module as loaded or compiled.
    pub(super) fn count(&mut self, from_disk: bool) {
        let count = if from_disk { &mut self.loaded } else { &mut self.compiled };
        *count += 1;
    }

    /// Queues a module that has baseline code for optimising.
    pub(super) fn queue_slow(&mut self, job: Job) {
        if self.slow.queue.has_room(job.owner) {
            self.slow.queue.push(job.owner, job);
        } else {
            self.upgraded(job, Err(Again::Later));
        }
    }

    /// Records the end of optimising: with better code, or with what is to be done now. Another try comes after a while,
    /// which doubles each time, when the module is asked for.
    pub(super) fn upgraded(&mut self, job: Job, code: Result<Arc<Code>, Again>) {
        let (module_key, late_for) = (job.module_key, self.late_for);
        let Some(entry) = self.entries.get_mut(&module_key) else { return };
        entry.upgrade = match &code {
            Err(Again::Later) => Upgrade::later(job, Instant::now(), late_for),
            Err(Again::Longer) => {
                let late = job.late.saturating_add(1);
                Upgrade::later(Job { late, ..job }, Instant::now(), late_for)
            }
            Ok(_) | Err(Again::Never) => Upgrade::No,
        };
        if let Ok(code) = code {
            self.set(module_key, Some(Ok(code)));
        }
    }

    /// Whether one more thread of this kind is to be started; it is counted from now on.
    pub(super) fn wants(&mut self, pace: Pace, most: usize) -> bool {
        self.group(pace).wants(most)
    }

    /// Takes the next module for a thread.
    pub(super) fn take(&mut self, pace: Pace) -> Option<Job> {
        self.group(pace).take()
    }

    /// A thread finished a module of this owner.
    pub(super) fn done(&mut self, pace: Pace, owner: PeerId) {
        self.group(pace).done(owner);
    }

    /// A thread ended.
    pub(super) fn thread_ends(&mut self, pace: Pace) {
        self.group(pace).threads -= 1;
    }

    /// A counted thread could not be started. If there is no other, nothing would answer the queue: returns its
    /// callbacks; modules that were to be optimised are tried again later.
    pub(super) fn no_thread(&mut self, pace: Pace) -> Vec<OnDone> {
        let group = self.group(pace);
        group.threads -= 1;
        if group.threads > 0 {
            return Vec::new();
        }
        let jobs = group.queue.take();
        let mut unheard = Vec::new();
        for job in jobs {
            match pace {
                Pace::Fast => {
                    let Some(entry) = self.entries.get_mut(&job.module_key) else { continue };
                    entry.making = false;
                    unheard.append(&mut entry.waiting);
                }
                Pace::Slow => self.upgraded(job, Err(Again::Later)),
            }
        }
        unheard
    }

    /// Makes the threads end after their current module.
    pub(super) fn quit(&mut self) {
        self.quit = true;
        drop((self.fast.queue.take(), self.slow.queue.take()));
    }

    /// Whether the threads are to end.
    pub(super) fn must_quit(&self) -> bool {
        self.quit
    }

    pub(super) fn status(&self) -> CompilerStatus {
        let mut status = CompilerStatus {
            compiled: self.compiled,
            loaded: self.loaded,
            code_bytes: self.code_bytes,
            ..CompilerStatus::default()
        };
        for entry in self.entries.values() {
            status.compiling += u64::from(entry.making);
            status.optimising += u64::from(entry.upgrade.is_coming());
            status.ready += u64::from(entry.verdict.as_ref().is_some_and(Result::is_ok));
        }
        status
    }

    fn group(&mut self, pace: Pace) -> &mut ThreadGroup {
        match pace {
            Pace::Fast => &mut self.fast,
            Pace::Slow => &mut self.slow,
        }
    }

    fn entry(&mut self, module_key: ModuleKey) -> &mut Entry {
        self.uses += 1;
        let (used, late_for) = (self.uses, self.late_for);
        let entry = self.entries.entry(module_key).or_insert_with(|| Entry {
            verdict: None,
            late_since: None,
            making: false,
            upgrade: Upgrade::No,
            waiting: Vec::new(),
            used,
        });
        entry.try_again(late_for);
        entry.used = used;
        entry
    }

    fn set(&mut self, module_key: ModuleKey, verdict: Option<Verdict>) {
        let before = self.entry(module_key).verdict.take();
        self.forget(before);
        if let Some(Ok(code)) = &verdict {
            self.codes += 1;
            self.code_bytes += code.bytes_len();
        }
        self.entry(module_key).verdict = verdict;
        self.trim();
    }

    /// Subtracts a dropped result from the counts.
    fn forget(&mut self, verdict: Option<Verdict>) {
        if let Some(Ok(code)) = verdict {
            self.codes -= 1;
            self.code_bytes -= code.bytes_len();
        }
    }

    /// Evicts the least recently used modules; while there is too much code, only modules with code. The last used one
    /// is kept, however large.
    fn trim(&mut self) {
        loop {
            let much_code = self.codes > CODES_MAX || self.code_bytes > self.most_bytes;
            if !much_code && self.entries.len() <= MODULES_MAX {
                return;
            }
            let newest = self.uses;
            let may_go = |entry: &Entry| {
                entry.is_at_rest() && entry.used < newest && (!much_code || entry.code().is_some())
            };
            let rest = self.entries.iter().filter(|(_, entry)| may_go(entry));
            let Some(oldest) = rest.min_by_key(|(_, entry)| entry.used).map(|(module_key, _)| *module_key)
            else {
                return;
            };
            let gone = self.entries.remove(&oldest).and_then(|entry| entry.verdict);
            self.forget(gone);
        }
    }
}

/// Whether the result is baseline code.
pub(super) fn is_baseline(verdict: &Result<Arc<Code>, PrepareError>) -> bool {
    verdict.as_ref().is_ok_and(|code| code.tier() == Tier::Baseline)
}

#[cfg(test)]
mod tests;
