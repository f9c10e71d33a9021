//! What is known of each module, who waits for it, and what is to be compiled: plain data under the compiler's lock. It
//! compiles nothing, reads nothing and never waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::job::{Job, ModuleKey, OnDone, Pace};
use super::queue::{Capacity, Queue};
use super::settings::CompilerStatus;
use super::upgrade::Upgrade;
use crate::code::Code;
use crate::error::{PrepareError, Refusal};
use crate::make::Tier;

/// Modules remembered at once, refused ones included.
const MODULES_MAX: usize = 4096;
/// Modules whose code is kept at once: on Linux each is an open file.
const CODES_MAX: usize = 256;
/// Modules that may wait to be compiled.
const FAST_MAX: Capacity = Capacity { all: 256, each: 192 };
/// Modules that may wait to be optimised; one beyond it stays on its baseline code for a while.
const SLOW_MAX: Capacity = Capacity { all: 64, each: 48 };

/// What became of a module.
pub(super) type Verdict = Result<Arc<Code>, Refusal>;

/// What became of a request.
pub(super) enum Claim {
    /// It is known already.
    Known(OnDone, Verdict),
    /// Too many wait.
    Full(OnDone),
    /// It will be answered.
    Queued,
}

struct Entry {
    verdict: Option<Verdict>,
    /// When it was made, if it holds for a while only.
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

    /// Forgets that it took too long, after a while.
    fn try_again(&mut self, late_for: Duration) {
        if self.late_since.is_some_and(|since| since.elapsed() >= late_for) {
            (self.verdict, self.late_since) = (None, None);
        }
    }

    /// Whether nobody is at it.
    fn is_at_rest(&self) -> bool {
        !self.making && !self.upgrade.is_coming()
    }
}

/// One kind of thread, and what it has to do.
struct ThreadGroup {
    queue: Queue<Job>,
    threads: usize,
    busy: usize,
}

impl ThreadGroup {
    fn new(most: Capacity) -> Self {
        Self { queue: Queue::new(most), threads: 0, busy: 0 }
    }

    /// Counts one more thread, if there is work for it and it is allowed.
    fn wants(&mut self, most: usize) -> bool {
        let more = self.threads < most && self.busy + self.queue.len() > self.threads;
        self.threads += usize::from(more);
        more
    }
}

/// Everything.
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

    /// What is known of a module.
    pub(super) fn get(&mut self, module_key: ModuleKey) -> Option<Verdict> {
        self.uses += 1;
        let late_for = self.late_for;
        let entry = self.entries.get_mut(&module_key)?;
        entry.try_again(late_for);
        entry.used = self.uses;
        entry.verdict.clone()
    }

    /// Gives a module another chance to be optimised, if it is due; whether it is queued now.
    pub(super) fn try_again(&mut self, module_key: ModuleKey) -> bool {
        let entry = self.entries.get_mut(&module_key);
        let Some(job) = entry.and_then(|entry| entry.upgrade.take_due(Instant::now())) else { return false };
        self.queue_slow(job);
        true
    }

    /// The same, unless better code is to come.
    pub(super) fn get_best(&mut self, module_key: ModuleKey) -> Option<Verdict> {
        let verdict = self.get(module_key);
        verdict.filter(|_| self.entries.get(&module_key).is_some_and(Entry::is_at_rest))
    }

    /// Gives the caller the right and the duty to answer for this module, unless it is known or somebody has it.
    pub(super) fn claim(&mut self, module_key: ModuleKey) -> bool {
        let entry = self.entry(module_key);
        let free = entry.verdict.is_none() && !entry.making;
        entry.making |= free;
        free
    }

    /// Notes who wants to know, and what is to do for it.
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

    /// Notes the answer; returns whoever is to be told.
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
        // Whoever answers with baseline code queues the module next.
        entry.upgrade = if is_baseline(result) { Upgrade::Coming } else { Upgrade::No };
        let waiting = std::mem::take(&mut entry.waiting);
        self.set(module_key, verdict);
        if let Some(entry) = self.entries.get_mut(&module_key) {
            entry.late_since = matches!(result, Err(PrepareError::Late(_))).then(Instant::now);
        }
        waiting
    }

    /// Notes what this thread made.
    pub(super) fn count(&mut self, from_disk: bool) {
        let count = if from_disk { &mut self.loaded } else { &mut self.compiled };
        *count += 1;
    }

    /// Queues a module whose baseline code is there.
    pub(super) fn queue_slow(&mut self, job: Job) {
        if self.slow.queue.has_room(job.owner) {
            self.slow.queue.push(job.owner, job);
        } else {
            self.upgraded(job, Err(true));
        }
    }

    /// Ends the wait for better code, with it or without; then says whether another time may do. It comes after a while,
    /// which doubles each time, when somebody asks for the module.
    pub(super) fn upgraded(&mut self, job: Job, code: Result<Arc<Code>, bool>) {
        let (module_key, late_for) = (job.module_key, self.late_for);
        let Some(entry) = self.entries.get_mut(&module_key) else { return };
        entry.upgrade = match &code {
            Err(true) => Upgrade::later(job, Instant::now(), late_for),
            Ok(_) | Err(false) => Upgrade::No,
        };
        if let Ok(code) = code {
            self.set(module_key, Some(Ok(code)));
        }
    }

    /// Whether one more thread of this kind is to be started; it counts from now on.
    pub(super) fn wants(&mut self, pace: Pace, most: usize) -> bool {
        self.group(pace).wants(most)
    }

    /// The next thing to do for a thread.
    pub(super) fn take(&mut self, pace: Pace) -> Option<Job> {
        let group = self.group(pace);
        let job = group.queue.pop()?;
        group.busy += 1;
        Some(job)
    }

    /// The thread is done with it.
    pub(super) fn done(&mut self, pace: Pace) {
        self.group(pace).busy -= 1;
    }

    /// A thread ends.
    pub(super) fn thread_ends(&mut self, pace: Pace) {
        self.group(pace).threads -= 1;
    }

    /// A thread that was counted could not be started. Without any, nobody would ever answer: returns whom to tell.
    pub(super) fn no_thread(&mut self, pace: Pace) -> Vec<OnDone> {
        let group = self.group(pace);
        group.threads -= 1;
        if group.threads > 0 {
            return Vec::new();
        }
        let jobs = group.queue.take();
        let mut unheard = Vec::new();
        for job in jobs {
            let Some(entry) = self.entries.get_mut(&job.module_key) else { continue };
            match pace {
                Pace::Fast => {
                    entry.making = false;
                    unheard.append(&mut entry.waiting);
                }
                Pace::Slow => entry.upgrade = Upgrade::No,
            }
        }
        unheard
    }

    /// Ends the threads when they are done with what they do.
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

    /// Counts a verdict that is no more.
    fn forget(&mut self, verdict: Option<Verdict>) {
        if let Some(Ok(code)) = verdict {
            self.codes -= 1;
            self.code_bytes -= code.bytes_len();
        }
    }

    /// Forgets the least recently used modules, while there is too much code only such as have some; the last used one
    /// stays, however large.
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

/// Which tier a verdict has.
pub(super) fn is_baseline(verdict: &Result<Arc<Code>, PrepareError>) -> bool {
    verdict.as_ref().is_ok_and(|code| code.tier() == Tier::Baseline)
}
