//! Memory of a job at its owner: a single node takes a million tasks, runs them, and every allocated byte is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weft_core::message::Class;
use weft_core::*;

/// The system's allocator, which counts.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts for the system's")]
// SAFETY: every call is passed unchanged to the system's allocator, and its result is returned unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises that this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises that this needs.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TASKS: u32 = 1_000_000;
/// Most bytes that a task may cost while it waits, its input of 8 bytes included.
const WAITING_MAX: usize = 300;
/// Most bytes that a task may cost after it ended.
const ENDED_MAX: usize = 16;

/// A single node, with tasks that end at once.
struct Lone {
    engine: Engine,
    now: Time,
    runs: VecDeque<RunId>,
    ended: u32,
}

impl Lone {
    fn tell(&mut self, input: Input) {
        self.now.0 += 1;
        let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
        let mut fetched = None;
        for effect in effects {
            if let Effect::Execute { run, .. } = effect {
                self.runs.push_back(run);
            } else if let Effect::Fetch { blob, .. } = effect {
                fetched = Some(blob);
            } else if let Effect::Notify(Event::TaskEnded { .. }) = effect {
                self.ended += 1;
            }
        }
        if let Some(blob) = fetched {
            self.tell(Input::Fetched { blob, fetched: Fetched::Here });
        }
    }

    /// Ends what runs, until this many tasks have ended.
    fn run_until(&mut self, ended: u32) {
        while self.ended < ended {
            let room = usize::try_from(ended - self.ended).expect("it is small");
            let count = self.runs.len().min(room);
            let usage = Usage { wall_us: 2, ..Usage::default() };
            let report = Report { usage, ..Report::bare(Outcome::Done) };
            let ran = self.runs.drain(..count).map(|run| (run, report.clone())).collect();
            self.tell(Input::Ran(ran));
        }
    }
}

fn submission() -> Submission {
    let program = Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    Submission {
        terms: Terms { memo: Recall::Off, ..Terms::default() },
        closed: false,
        ..Submission::new(JobId(1), Arc::new(program), Vec::new())
    }
}

#[test]
fn a_million_tasks_cost_a_few_hundred_bytes_each_while_they_wait_and_almost_none_once_they_ended() {
    let node = NodeConfig {
        name: "lone".into(),
        slots: 4,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        disk: 0,
        boot: 1,
        owners: Owners::All,
    };
    let engine = Engine::new(PeerId([1; 32]), MeshConfig::DEFAULT, node, [7; 32]);
    let mut lone = Lone { engine, now: Time::ZERO, runs: VecDeque::new(), ended: 0 };
    lone.tell(Input::Command(Command::Submit(submission())));
    let before = LIVE.load(Ordering::Relaxed);
    for first in (0..TASKS).step_by(1000) {
        let inputs = (first..first + 1000).map(|n| Payload::inline(&u64::from(n).to_le_bytes())).collect();
        lone.tell(Input::Command(Command::Extend { job: JobId(1), inputs }));
    }
    let each = |live: usize| live.saturating_sub(before) / usize::try_from(TASKS).expect("it fits");
    let waiting = each(LIVE.load(Ordering::Relaxed));
    assert!((30..=WAITING_MAX).contains(&waiting), "{waiting} bytes a task that waits");
    lone.run_until(TASKS / 2);
    let half = each(LIVE.load(Ordering::Relaxed));
    assert!(half <= waiting / 2 + ENDED_MAX, "{half} bytes a task when half of them have ended");
    lone.run_until(TASKS - 1);
    let ended = each(LIVE.load(Ordering::Relaxed));
    assert!(ended <= ENDED_MAX, "{ended} bytes a task that ended");
    lone.run_until(TASKS);
    lone.tell(Input::Command(Command::Close { job: JobId(1) }));
    let over = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    // Lists that every input fills and empties keep their capacity, whatever the size of a job.
    assert!(over < 4_000_000, "{over} bytes stay when the job is over");
    println!("{waiting} bytes a task that waits, {ended} once it ended, {over} in all when the job is over");
}
