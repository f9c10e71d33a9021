//! The programs of waiting and running tasks: their code, their files under `/in`, and the running time of their tasks.
//! Requests what is missing and keeps the tasks that wait for it.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_core::{BlobId, Outcome, PeerId, Program};

use super::assignment::{WORK_MAX, Waiting};
use crate::code::Code;
use crate::make::{EngineKey, Tier};

/// Most programs that are kept, with their code and open files, without a waiting or running task.
const IDLE_PROGRAMS_MAX: usize = 64;
/// Most bytes of code of such programs; the last used one is kept in any case.
const IDLE_CODE_BYTES_MAX: u64 = 256 << 20;
/// Weight of the newest task in the expected running time: one part in this many.
const NEWEST_PART: u32 = 8;
/// Time between two checks for better code.
const IMPROVE_EVERY: Duration = Duration::from_millis(50);

/// The key of code: the module and the settings that it is compiled with.
pub(super) type CodeKey = (BlobId, EngineKey);

/// Everything that a slot needs for a task's program.
#[derive(Debug)]
pub(super) struct Runnable<'a> {
    pub(super) program_number: u32,
    pub(super) program: &'a Arc<Program>,
    pub(super) files: Option<&'a Arc<OwnedFd>>,
    pub(super) code_number: u32,
    pub(super) code: &'a Arc<Code>,
    /// Expected running time of a task; more than [`WORK_MAX`] while it is unknown.
    pub(super) expected: Duration,
}

/// What is missing before a task can run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing.
    Nothing,
    /// Its code, which was requested.
    Code,
    /// The program's files, which were requested.
    Files,
    /// It will never run and ends like this.
    Failed(Outcome),
}

/// A request for something that a program lacks.
#[derive(Debug)]
pub(super) enum ProgramRequest {
    /// Code for this program, for a task of this owner.
    Code(CodeKey, Arc<Program>, PeerId),
    /// The files of the program of this number.
    Files(u32, BlobId),
}

#[derive(Debug, Default)]
pub(super) struct Programs {
    /// Program numbers by address; an address is not reused while the program is here.
    by_place: HashMap<usize, u32>,
    programs: BTreeMap<u32, ProgramEntry>,
    codes: BTreeMap<CodeKey, CodeEntry>,
    next_program: u32,
    next_code: u32,
    uses: u64,
    /// Programs without a task, by when they were used last.
    idle: BTreeMap<u64, u32>,
    /// Number of programs' codes that are baseline code.
    baseline: usize,
    /// When better code was last checked for.
    improved: Option<Instant>,
    /// Requests to pass on.
    pub(super) requests: Vec<ProgramRequest>,
}

#[derive(Debug)]
struct ProgramEntry {
    program: Arc<Program>,
    key: CodeKey,
    files: Files,
    /// Number of its tasks that wait or run.
    users: usize,
    used: u64,
}

/// A program's files under `/in`.
#[derive(Debug)]
enum Files {
    /// Inline in the program, or none.
    Inside,
    /// A blob that was not requested yet.
    Unknown,
    /// A blob that is being opened.
    Requested,
    /// An open blob.
    Open(Arc<OwnedFd>),
}

#[derive(Debug, Default)]
struct CodeEntry {
    state: CodeState,
    /// Number of programs that use it.
    users: usize,
    expected: Option<Duration>,
    /// Tasks that wait for it, by position in the queue.
    parked: BTreeMap<u64, Box<Waiting>>,
}

#[derive(Debug, Default)]
enum CodeState {
    /// It was not requested yet.
    #[default]
    Unknown,
    /// It was requested.
    Requested,
    /// Its number and code.
    Ready(u32, Arc<Code>),
    /// The module can't be run; its tasks end like this.
    Failed(Outcome),
}

impl CodeEntry {
    fn bytes(&self) -> u64 {
        match &self.state {
            CodeState::Ready(_, code) => code.bytes_len(),
            CodeState::Unknown | CodeState::Requested | CodeState::Failed(_) => 0,
        }
    }

    fn is_baseline(&self) -> bool {
        matches!(&self.state, CodeState::Ready(_, code) if code.tier() == Tier::Baseline)
    }
}

impl Programs {
    /// The program's number; each task of it is counted until [`Programs::done`].
    pub(super) fn enter(&mut self, program: &Arc<Program>) -> u32 {
        self.uses += 1;
        let place = Arc::as_ptr(program).addr();
        if let Some(number) = self.by_place.get(&place)
            && let Some(entry) = self.programs.get_mut(number)
        {
            self.idle.remove(&entry.used);
            (entry.users, entry.used) = (entry.users + 1, self.uses);
            return *number;
        }
        let number = self.next_program;
        self.next_program = number.wrapping_add(1);
        let key = (program.module, EngineKey::of(program));
        let files = if program.files.blob().is_some() { Files::Unknown } else { Files::Inside };
        let entry = ProgramEntry { program: Arc::clone(program), key, files, users: 1, used: self.uses };
        self.by_place.insert(place, number);
        self.programs.insert(number, entry);
        let code = self.codes.entry(key).or_default();
        code.users += 1;
        number
    }

    /// Whether this program (by address) was entered before.
    pub(super) fn knows(&self, program: &Arc<Program>) -> bool {
        self.by_place.contains_key(&Arc::as_ptr(program).addr())
    }

    /// A task of this program was reported.
    pub(super) fn done(&mut self, number: u32) {
        if let Some(entry) = self.programs.get_mut(&number) {
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 {
                self.idle.insert(entry.used, number);
                self.trim(IDLE_CODE_BYTES_MAX);
            }
        }
    }

    /// What is missing for this owner's task of a program; it is requested once.
    pub(super) fn missing(&mut self, number: u32, owner: PeerId) -> Missing {
        let Some(entry) = self.programs.get_mut(&number) else {
            return Missing::Failed(Outcome::Lost("the program was forgotten".into()));
        };
        let Some(code) = self.codes.get_mut(&entry.key) else {
            return Missing::Failed(Outcome::Lost("the program's code was forgotten".into()));
        };
        match (&code.state, &entry.files) {
            (CodeState::Failed(outcome), _) => Missing::Failed(outcome.clone()),
            (CodeState::Unknown, _) => {
                code.state = CodeState::Requested;
                self.requests.push(ProgramRequest::Code(entry.key, Arc::clone(&entry.program), owner));
                Missing::Code
            }
            (CodeState::Requested, _) => Missing::Code,
            (CodeState::Ready(..), Files::Unknown) => {
                entry.files = Files::Requested;
                self.requests
                    .extend(entry.program.files.blob().map(|blob| ProgramRequest::Files(number, blob)));
                Missing::Files
            }
            (CodeState::Ready(..), Files::Requested) => Missing::Files,
            (CodeState::Ready(..), Files::Inside | Files::Open(_)) => Missing::Nothing,
        }
    }

    /// Keeps a task until its program is complete.
    pub(super) fn park(&mut self, place: u64, waiting: Box<Waiting>) {
        let key = self.programs.get(&waiting.program).map(|entry| entry.key);
        if let Some(code) = key.and_then(|key| self.codes.get_mut(&key)) {
            code.parked.insert(place, waiting);
        }
    }

    /// Removes a task that is kept.
    pub(super) fn unpark(&mut self, number: u32, place: u64) -> Option<Box<Waiting>> {
        let key = self.programs.get(&number)?.key;
        self.codes.get_mut(&key)?.parked.remove(&place)
    }

    /// Whether the program's code is not here yet: tasks that are kept wait for it, not for files.
    pub(super) fn lacks_code(&self, number: u32) -> bool {
        let code = self.programs.get(&number).and_then(|entry| self.codes.get(&entry.key));
        code.is_some_and(|code| matches!(code.state, CodeState::Unknown | CodeState::Requested))
    }

    /// Everything that a slot needs for a task of this program; `None` while something is missing.
    pub(super) fn runnable(&self, number: u32) -> Option<Runnable<'_>> {
        let entry = self.programs.get(&number)?;
        let code = self.codes.get(&entry.key)?;
        let files = match &entry.files {
            Files::Inside => None,
            Files::Open(file) => Some(file),
            Files::Unknown | Files::Requested => return None,
        };
        let CodeState::Ready(code_number, file) = &code.state else { return None };
        // One task at a time, until the running time is known.
        let expected = code.expected.unwrap_or(WORK_MAX + Duration::from_micros(1));
        Some(Runnable {
            program_number: number,
            program: &entry.program,
            files,
            code_number: *code_number,
            code: file,
            expected,
        })
    }

    /// Expected running time of a task of this program.
    pub(super) fn expected(&self, number: u32) -> Option<Duration> {
        self.codes.get(&self.programs.get(&number)?.key)?.expected
    }

    /// Records the running time of a task of this program.
    pub(super) fn took(&mut self, number: u32, took: Duration) {
        let Some(entry) = self.programs.get(&number) else { return };
        let Some(code) = self.codes.get_mut(&entry.key) else { return };
        code.expected = Some(match code.expected {
            None => took,
            Some(before) => (before * (NEWEST_PART - 1) + took) / NEWEST_PART,
        });
    }

    /// Code arrived, the first or a better one, or failed. Returns the tasks that waited for it; if it failed, each of
    /// them ends like that.
    pub(super) fn code_came(
        &mut self,
        key: CodeKey,
        code: Result<Arc<Code>, Outcome>,
    ) -> BTreeMap<u64, Box<Waiting>> {
        let Some(entry) = self.codes.get_mut(&key) else { return BTreeMap::new() };
        self.baseline -= usize::from(entry.is_baseline());
        entry.state = match code {
            Ok(file) => {
                let number = self.next_code;
                self.next_code = number.wrapping_add(1);
                CodeState::Ready(number, file)
            }
            // The next task may succeed; the compiler remembers permanent refusals.
            Err(Outcome::Lost(_) | Outcome::LimitExceeded(_)) => CodeState::Unknown,
            Err(outcome) => CodeState::Failed(outcome),
        };
        self.baseline += usize::from(entry.is_baseline());
        std::mem::take(&mut entry.parked)
    }

    /// A program's files were opened, or failed to open, which the next task tries again. Returns the tasks that waited
    /// for them, and others that waited for the same code.
    pub(super) fn files_came(
        &mut self,
        number: u32,
        file: Option<Arc<OwnedFd>>,
    ) -> BTreeMap<u64, Box<Waiting>> {
        let Some(entry) = self.programs.get_mut(&number) else { return BTreeMap::new() };
        entry.files = file.map_or(Files::Unknown, Files::Open);
        self.codes.get_mut(&entry.key).map(|code| std::mem::take(&mut code.parked)).unwrap_or_default()
    }

    /// Tasks that wait for code or files.
    pub(super) fn parked(&self) -> usize {
        self.codes.values().map(|code| code.parked.len()).sum()
    }

    /// Codes that are baseline code, each with one program that uses it; empty if called too soon after the last call.
    pub(super) fn due_for_better(&mut self, now: Instant) -> Vec<(CodeKey, Arc<Program>)> {
        if self.baseline == 0 || self.improved.is_some_and(|at| now < at + IMPROVE_EVERY) {
            return Vec::new();
        }
        self.improved = Some(now);
        let baseline = |key: &CodeKey| self.codes.get(key).is_some_and(CodeEntry::is_baseline);
        let mut found: BTreeMap<CodeKey, Arc<Program>> = BTreeMap::new();
        for entry in self.programs.values().filter(|entry| baseline(&entry.key)) {
            found.entry(entry.key).or_insert_with(|| Arc::clone(&entry.program));
        }
        found.into_iter().collect()
    }

    /// Evicts the least recently used programs without a task, while they exceed the bounds.
    fn trim(&mut self, code_bytes_max: u64) {
        while self.idle.len() > IDLE_PROGRAMS_MAX
            || (self.idle.len() > 1 && self.idle_code_bytes() > code_bytes_max)
        {
            let Some((_, number)) = self.idle.pop_first() else { return };
            self.forget(number);
        }
    }

    /// Bytes of code of programs without a task; code that several of them use is counted for each.
    fn idle_code_bytes(&self) -> u64 {
        let idle = self.idle.values().filter_map(|number| self.programs.get(number));
        let codes = idle.filter_map(|entry| self.codes.get(&entry.key));
        codes.fold(0, |all: u64, code| all.saturating_add(code.bytes()))
    }

    fn forget(&mut self, number: u32) {
        let Some(entry) = self.programs.remove(&number) else { return };
        self.by_place.remove(&Arc::as_ptr(&entry.program).addr());
        let Some(code) = self.codes.get_mut(&entry.key) else { return };
        code.users -= 1;
        if code.users == 0 {
            self.baseline -= usize::from(code.is_baseline());
            self.codes.remove(&entry.key);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use weft_core::{Entry, Limits, Payload, Profile};

    use super::*;
    use crate::code::{Draft, Kind};
    use crate::make::{Interrupt, Make};

    /// A program with files under `/in`, and code of 1,000 bytes.
    pub(crate) fn program(number: u8) -> (Arc<Program>, Arc<Code>) {
        let program = Program {
            module: BlobId([number; 32]),
            module_bytes: 1,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::Blob { id: BlobId([number; 32]), bytes: 40 << 20 },
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let key = EngineKey::of(&program);
        let make = Make { key, interrupt: Interrupt::Kill, tier: Tier::Optimised };
        let mut draft = Draft::new().unwrap();
        draft.write(&[number; 1000]).unwrap();
        (Arc::new(program), Arc::new(draft.seal(BlobId([number; 32]), Kind::Core, make).unwrap()))
    }

    fn ready(programs: &mut Programs, number: u8) -> u32 {
        let (program, code) = program(number);
        let key = (program.module, EngineKey::of(&program));
        let entered = programs.enter(&program);
        programs.code_came(key, Ok(code));
        let file = crate::pool::blobs::in_memory(b"files").unwrap();
        programs.files_came(entered, Some(Arc::new(file.into())));
        assert!(programs.runnable(entered).is_some());
        entered
    }

    #[test]
    fn what_no_task_needs_any_more_is_let_go_at_once() {
        let mut programs = Programs::default();
        let all: Vec<u32> = (0..200).map(|number| ready(&mut programs, number)).collect();
        assert!(all.iter().all(|number| programs.runnable(*number).is_some()), "all are in use");
        for number in &all {
            programs.done(*number);
        }
        assert_eq!((programs.programs.len(), programs.codes.len()), (IDLE_PROGRAMS_MAX, IDLE_PROGRAMS_MAX));
        assert!(programs.runnable(*all.last().unwrap()).is_some());
        programs.trim(3500);
        assert_eq!((programs.programs.len(), programs.codes.len()), (3, 3));
        programs.trim(0);
        assert_eq!(programs.programs.len(), 1, "the last one may come again");
    }
}
