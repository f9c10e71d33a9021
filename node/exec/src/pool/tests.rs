//! Tests of malicious slots: each is a socket that the test writes to, and a process that only sleeps. Whatever it
//! sends, its task is reported once, its process is killed, and nothing else happens. Also what becomes of tasks that
//! no slot has.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use weft_core::{
    BlobId, Entry, Limit, Limits, Outcome, Payload, PeerId, Profile, Program, Report, RunId, Stream, Usage,
    Work,
};

use super::assignment::{FILE_TASKS_MAX, TASKS_MAX};
use super::child::{Phase, Spawned};
use super::front::Front;
use super::io_threads::IoThreads;
use super::spawn_queue::SpawnQueue;
use crate::compile::{Compiler, CompilerConfig, How};
use crate::make::Interrupt;
use crate::pool::blobs::BlobAccess;
use crate::pool::types::PoolEvent;
use crate::slot::page::Page;
use crate::slot::socket::{Incoming, Outgoing};
use crate::slot::wire::{Brought, FromSlot, PROTOCOL, TO_SLOT_BYTES_MAX, TO_SLOT_CLAIM_MAX, ToSlot};
use crate::slot::{Confinement, Fence};

const DEADLINE: Duration = Duration::from_secs(60);

struct OneBlob(Vec<u8>);

impl BlobAccess for OneBlob {
    fn read(&self, _: BlobId) -> io::Result<Bytes> {
        Ok(Bytes::from(self.0.clone()))
    }

    fn len(&self, _: BlobId) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        Ok(BlobId::of(&bytes))
    }
}

fn module() -> Vec<u8> {
    wat::parse_str(r#"(module (func (export "_start")))"#).unwrap()
}

fn program(wall_ms: u32) -> Program {
    let module = module();
    Program {
        module: BlobId::of(&module),
        module_bytes: module.len() as u64,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits { output_bytes: 1000, wall_ms, ..Limits::DEFAULT },
    }
}

fn work(program: Program, stream: bool) -> Work {
    let input = Payload::empty();
    let task = program.task_id(&input);
    Work { task, owner: PeerId([0; 32]), program: Arc::new(program), input, stream }
}

/// A pool whose only slot is in the test's hands, with one task in it.
struct Liar {
    front: Arc<Front>,
    socket: OwnedFd,
    page: Page,
}

impl Liar {
    fn ready(kind: SocketType) -> Self {
        let module = module();
        let compiler = Compiler::start(CompilerConfig::new(None, Interrupt::Kill, How::Here)).unwrap();
        // Neither the supervisor nor the I/O threads are started: no other slot starts, and nothing is stored.
        let helpers = (SpawnQueue::new().unwrap(), IoThreads::default(), compiler);
        let front = Front::new(1, 1 << 30, Arc::new(OneBlob(module)), Arc::new(|| {}), helpers).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
        let process = Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn().unwrap();
        let (page, page_file) = Page::create().unwrap();
        let mine = Page::map(&page_file).unwrap();
        let words = io::pipe().unwrap().0.into();
        front.spawned(0, Ok(Spawned { process, socket: ours, page, page_file, words }));
        let liar = Self { front, socket: theirs, page: mine };
        let confinement = Confinement { seccomp: Fence::Full, landlock: Fence::Full };
        liar.say(&FromSlot::Ready { protocol: PROTOCOL, confinement }, []);
        liar
    }

    fn with_a_task(stream: bool) -> Self {
        let liar = Self::ready(SocketType::STREAM);
        liar.front.submit(vec![(RunId(7), work(program(Limits::DEFAULT.wall_ms), stream))]);
        liar.wait_task();
        liar
    }

    fn say(&self, word: &FromSlot, files: impl IntoIterator<Item = OwnedFd>) {
        let mut out = Outgoing::default();
        out.push(word, files.into_iter().map(Arc::new));
        // A pool that has hung up does not listen.
        let _heard = out.send(&self.socket);
        self.front.turn();
    }

    /// Waits until the task is here, and claims it.
    fn wait_task(&self) {
        let until = Instant::now() + DEADLINE;
        let mut incoming = Incoming::new(TO_SLOT_BYTES_MAX);
        loop {
            assert!(Instant::now() < until, "the task does not come");
            self.front.turn();
            incoming.receive(&self.socket).unwrap();
            while let Some(word) = incoming.next::<ToSlot, TO_SLOT_CLAIM_MAX>().unwrap() {
                if let ToSlot::Task { number: 0, .. } = word {
                    assert!(self.page.claim(0));
                    return;
                }
            }
        }
    }

    /// What becomes of the task.
    fn answer(&self) -> Report {
        let until = Instant::now() + DEADLINE;
        let mut events = Vec::new();
        while events.is_empty() {
            assert!(Instant::now() < until, "no answer");
            self.front.turn();
            events.extend(self.events());
        }
        let Some(PoolEvent::Ran(RunId(7), report)) = events.pop() else { panic!("no report: {events:?}") };
        assert!(events.is_empty(), "{events:?}");
        report
    }

    /// Expects that the slot is killed for this, and that the task's report says so.
    fn is_caught(&self, word: &str) {
        let outcome = self.answer().outcome;
        assert!(matches!(&outcome, Outcome::Lost(text) if text.contains(word)), "{outcome}");
        let until = Instant::now() + DEADLINE;
        let mut status = super::PoolStatus::default();
        self.front.status(&mut status);
        while !status.children.is_empty() {
            assert!(Instant::now() < until, "it lives");
            self.front.turn();
            self.front.status(&mut status);
        }
        assert!(self.events().is_empty());
    }

    /// What happened, but that a module was compiled.
    fn events(&self) -> Vec<PoolEvent> {
        let mut events = self.front.take_events();
        events.retain(|event| !matches!(event, PoolEvent::Compiling { .. }));
        events
    }
}

/// Tasks behind the first, which has been answered.
impl Liar {
    /// A slot that has answered its first task, and was given two more: runs 8 and 9 are its tasks 1 and 2.
    fn with_two_tasks(wall_ms: u32) -> Self {
        let liar = Self::with_a_task(false);
        liar.say(&ran(0, inline(10)), []);
        assert_eq!(liar.answer().outcome, Outcome::Done);
        let work = work(program(wall_ms), false);
        liar.front.submit(vec![(RunId(8), work.clone()), (RunId(9), work)]);
        let has = liar.front.lock().children.values().map(|child| child.tasks.len()).collect::<Vec<_>>();
        assert_eq!(has, [2], "both are its own at once");
        liar
    }

    /// How these runs ended, once as many have.
    fn outcomes(&self, count: usize) -> Vec<(u64, Outcome)> {
        let until = Instant::now() + DEADLINE;
        let mut ended = Vec::new();
        while ended.len() < count {
            assert!(Instant::now() < until, "only {ended:?} ended");
            self.front.turn();
            ended.extend(self.events().into_iter().map(|event| match event {
                PoolEvent::Ran(RunId(run), report) => (run, report.outcome),
                other @ (PoolEvent::Printed { .. } | PoolEvent::Compiling { .. }) => panic!("{other:?}"),
            }));
        }
        ended.sort_by_key(|(run, _)| *run);
        ended
    }

    /// Waits until the slot is dead; the status then.
    fn wait_gone(&self) -> super::PoolStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            let mut status = super::PoolStatus::default();
            self.front.turn();
            self.front.status(&mut status);
            if status.children.is_empty() {
                return status;
            }
            assert!(Instant::now() < until, "it lives");
        }
    }

    /// Whether the slot is still trusted when the clock is so much later.
    fn lives_after(&self, later: Duration) -> bool {
        let mut state = self.front.lock();
        state.handle_timeouts(Instant::now() + later);
        state.children.values().all(|child| child.phase == Phase::Ready)
    }
}

#[test]
fn a_slot_has_many_tasks_at_once_and_fewer_where_each_brings_a_file() {
    let len = module().len() as u64;
    let stored = Payload::Blob { id: BlobId::of(&module()), bytes: len };
    // Inputs are opened one after the other, and a slot that has half of what it may have gets no more.
    for (input, most) in [(Payload::empty(), TASKS_MAX), (stored, FILE_TASKS_MAX / 2 + 1)] {
        let liar = Liar::with_a_task(false);
        liar.say(&ran(0, inline(10)), []);
        assert_eq!(liar.answer().outcome, Outcome::Done);
        let one = work(program(Limits::DEFAULT.wall_ms), false);
        let of_run = |run: usize| (RunId(run as u64), Work { input: input.clone(), ..one.clone() });
        liar.front.submit(vec![(RunId(8), one.clone())]);
        {
            let mut state = liar.front.lock();
            let number = state.children.values().map(|child| child.tasks[0].waiting.program).next().unwrap();
            // Tasks of this program take no time.
            (0..1000).for_each(|_| state.programs.took(number, Duration::ZERO));
        }
        liar.front.submit((9..9 + 2 * TASKS_MAX).map(of_run).collect());
        loop {
            let places: Vec<u64> = liar.front.lock().opening.keys().copied().collect();
            if places.is_empty() {
                break;
            }
            for place in places {
                let file = crate::pool::blobs::in_memory(b"input").unwrap();
                liar.front.opened_input(place, Ok(OwnedFd::from(file)));
            }
        }
        let has: Vec<usize> = liar.front.lock().children.values().map(|child| child.tasks.len()).collect();
        assert_eq!(has, [most]);
    }
}

/// The node's own socket refuses a message, as it does when the system lacks memory for it; the slot lives.
#[test]
fn a_slot_that_can_not_be_sent_its_task_does_not_keep_it() {
    // Such a socket sends a message as a whole or not at all.
    let liar = Liar::ready(SocketType::SEQPACKET);
    let args = vec!["x".repeat(10_000); 100];
    liar.front.submit(vec![(RunId(7), work(Program { args, ..program(1000) }, false))]);
    assert_eq!(liar.wait_gone().queued, 1, "it waits for another slot");
    assert!(liar.events().is_empty());
}

/// A module that arrives when the test says so.
struct Gate(Mutex<mpsc::Receiver<()>>);

impl BlobAccess for Gate {
    fn read(&self, _: BlobId) -> io::Result<Bytes> {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gate.recv_timeout(DEADLINE).map_err(io::Error::other)?;
        Ok(Bytes::from(module()))
    }

    fn len(&self, _: BlobId) -> Option<u64> {
        None
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        Ok(BlobId::of(&bytes))
    }
}

#[test]
fn a_task_that_is_paused_while_its_module_is_compiled_waits_for_it_no_longer() {
    let compiler = Compiler::start(CompilerConfig::new(None, Interrupt::Kill, How::Here)).unwrap();
    let helpers = (SpawnQueue::new().unwrap(), IoThreads::default(), compiler);
    let (open, gate) = mpsc::channel();
    let blobs = Arc::new(Gate(Mutex::new(gate)));
    let front = Front::new(1, 1 << 30, blobs, Arc::new(|| {}), helpers).unwrap();
    let told = |waits| vec![PoolEvent::Compiling { runs: vec![RunId(7)], waits }];
    front.submit(vec![(RunId(7), work(program(1000), false))]);
    assert_eq!(front.take_events(), told(true));
    front.pause(RunId(7));
    assert_eq!(front.take_events(), told(false));
    front.resume(RunId(7));
    assert_eq!(front.take_events(), [], "no slot asked what it lacks");
    front.pause(RunId(7));
    open.send(()).unwrap();
    let until = Instant::now() + DEADLINE;
    let status = || {
        let mut status = super::PoolStatus::default();
        front.status(&mut status);
        status
    };
    while status().compiled == 0 {
        assert!(Instant::now() < until, "it is not compiled");
        std::thread::yield_now();
    }
    front.resume(RunId(7));
    assert_eq!((front.take_events(), status().queued), (vec![], 1));
    front.quit();
}

#[test]
fn an_abort_of_what_has_ended_leaves_the_next_alone() {
    let liar = Liar::with_two_tasks(60_000);
    // The first has ended and is not reported yet.
    assert!(liar.page.claim(1) && liar.page.claim(2));
    liar.front.abort(RunId(8));
    assert!(liar.lives_after(Duration::ZERO));
    liar.say(&ran(1, inline(10)), []);
    liar.say(&ran(2, inline(10)), []);
    assert_eq!(liar.outcomes(2), [(8, Outcome::Done), (9, Outcome::Done)]);
}

#[test]
fn what_is_asked_of_a_task_of_a_dying_slot_is_not_forgotten() {
    let liar = Liar::with_two_tasks(60_000);
    assert!(liar.page.claim(1) && liar.page.claim(2));
    liar.front.abort(RunId(9));
    assert!(!liar.lives_after(Duration::ZERO));
    liar.front.abort(RunId(8));
    assert_eq!(liar.outcomes(2), [(8, Outcome::Cancelled), (9, Outcome::Cancelled)]);

    for resumed in [false, true] {
        let liar = Liar::with_two_tasks(60_000);
        assert!(liar.page.claim(1) && liar.page.claim(2));
        liar.front.abort(RunId(9));
        liar.front.pause(RunId(8));
        if resumed {
            liar.front.resume(RunId(8));
        }
        let status = liar.wait_gone();
        let (paused, queued) = if resumed { (0, 1) } else { (1, 0) };
        assert_eq!((status.paused, status.queued), (paused, queued));
        assert_eq!(liar.outcomes(1), [(9, Outcome::Cancelled)]);
    }
}

#[test]
fn a_task_that_a_bad_slot_never_began_goes_elsewhere() {
    let liar = Liar::with_two_tasks(60_000);
    liar.say(&ran(77, inline(10)), []);
    assert_eq!(liar.wait_gone().queued, 2);
    assert!(liar.events().is_empty());
    liar.front.abort(RunId(8));
    liar.front.abort(RunId(9));
    assert_eq!(liar.outcomes(2), [(8, Outcome::Cancelled), (9, Outcome::Cancelled)]);
}

#[test]
fn a_task_that_is_still_being_loaded_has_used_no_time() {
    let liar = Liar::with_two_tasks(200);
    assert!(liar.lives_after(Duration::from_secs(5)));
    assert!(!liar.lives_after(Duration::from_secs(70)));
    let ended = liar.outcomes(1);
    let lost = matches!(ended.as_slice(), [(8, Outcome::Lost(text))] if text.contains("was not loaded"));
    assert!(lost, "{ended:?}");
    // It was not begun.
    assert_eq!(liar.wait_gone().queued, 1);
}

#[test]
fn a_tasks_time_counts_from_its_beginning() {
    let liar = Liar::with_two_tasks(200);
    assert!(liar.page.claim(1));
    assert!(liar.lives_after(Duration::from_secs(5)), "its input is being read");
    liar.page.begin(crate::os::now_us());
    assert!(liar.lives_after(Duration::ZERO) && !liar.lives_after(Duration::from_secs(5)));
    let late = Outcome::LimitExceeded(Limit::WallTime { limit_ms: 200 });
    assert_eq!(liar.outcomes(1), [(8, late)]);

    // No slot gets more time by saying that it has only begun.
    let liar = Liar::with_two_tasks(200);
    assert!(liar.page.claim(1));
    liar.page.begin(u64::MAX);
    assert!(!liar.lives_after(Duration::from_secs(70)));
    assert!(matches!(liar.outcomes(1).as_slice(), [(8, Outcome::LimitExceeded(_))]));
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.front.quit();
    }
}

fn ran(number: u32, output: Brought) -> FromSlot {
    let none = || Brought::Inline(Vec::new());
    let (errors, files) = (none(), none());
    FromSlot::Ran { number, outcome: Outcome::Done, output, errors, files, usage: Usage::default() }
}

fn inline(bytes: usize) -> Brought {
    Brought::Inline(vec![0; bytes])
}

#[test]
fn an_honest_word_is_taken() {
    let liar = Liar::with_a_task(false);
    liar.say(&ran(0, inline(10)), []);
    let report = liar.answer();
    assert_eq!((report.outcome, report.output.bytes_len()), (Outcome::Done, 10));
}

#[test]
fn reports_of_other_tasks_are_lies() {
    for number in [1, 5, u32::MAX] {
        let liar = Liar::with_a_task(false);
        liar.say(&ran(number, inline(10)), []);
        liar.is_caught("out of order");
    }
    // A task can't be reported twice.
    let liar = Liar::with_a_task(false);
    liar.say(&ran(0, inline(10)), []);
    assert_eq!(liar.answer().outcome, Outcome::Done);
    liar.say(&ran(0, inline(10)), []);
    liar.front.turn();
    assert!(liar.events().is_empty());
}

#[test]
fn more_than_a_task_may_bring_is_a_lie() {
    let liar = Liar::with_a_task(false);
    liar.say(&ran(0, inline(1001)), []);
    liar.is_caught("exceeds the task's limits");
    let liar = Liar::with_a_task(false);
    let sealed = memfd_create("lie", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    fcntl_add_seals(&sealed, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
    liar.say(&ran(0, Brought::File(u64::MAX)), [sealed]);
    liar.is_caught("exceeds the task's limits");
}

#[test]
fn a_file_that_may_change_or_block_is_a_lie() {
    let (pipe, _other) = io::pipe().unwrap();
    let unsealed = memfd_create("lie", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let half = memfd_create("lie", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    fcntl_add_seals(&half, SealFlags::SHRINK).unwrap();
    for file in [OwnedFd::from(pipe), unsealed, half] {
        let liar = Liar::with_a_task(false);
        liar.say(&ran(0, Brought::File(100)), [file]);
        liar.is_caught("not sealed");
    }
    let liar = Liar::with_a_task(false);
    liar.say(&ran(0, Brought::File(100)), []);
    liar.is_caught("a file is missing");
}

#[test]
fn words_that_nobody_asked_for_are_lies() {
    let printed =
        |number, len| FromSlot::Printed { number, stream: Stream::Output, offset: 0, bytes: vec![0; len] };
    for (stream, word) in [(false, printed(0, 5)), (true, printed(3, 5)), (true, printed(0, 0))] {
        let liar = Liar::with_a_task(stream);
        liar.say(&word, []);
        liar.is_caught("stream");
    }
    let liar = Liar::with_a_task(false);
    let confinement = Confinement { seccomp: Fence::Full, landlock: Fence::Full };
    liar.say(&FromSlot::Ready { protocol: PROTOCOL, confinement }, []);
    liar.is_caught("another protocol version");
}

#[test]
fn bytes_that_are_no_words_are_lies() {
    for bytes in [b"\xff\xff\xff\x7fxxxx".as_slice(), b"\x02\0\0\0\xff\xff"] {
        let liar = Liar::with_a_task(false);
        rustix::io::write(&liar.socket, bytes).unwrap();
        liar.is_caught("protocol violation");
    }
}

#[test]
fn a_slot_that_hangs_up_is_killed() {
    let mut liar = Liar::with_a_task(false);
    let (other, _) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    drop(std::mem::replace(&mut liar.socket, other));
    liar.is_caught("signal: 9");
}
