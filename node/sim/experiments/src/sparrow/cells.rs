//! Scheduling above 64 nodes, as a model: machines are divided into cells, each with a matchmaker that matches bids of
//! free slots with calls of owners. The owner of the call gets the matched bid and awards a task to the worker: three
//! one-way delays from a job's arrival to a task's start, and from a slot's release to its next task.
//!
//! It models time and messages only, and no failures: the engine has its own tests for those.

use std::collections::VecDeque;

use super::meter::Meter;
use crate::agenda::Agenda;
use crate::trace::{Shape, Trace};
use weft_sim::Chance;

/// The parameters of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The number of cells, each with one matchmaker.
    pub cells: usize,
    /// How many more matchmakers a call without a bid tries before it waits.
    pub hops: u8,
    /// Interval at which matchmakers report their numbers of bids or waiting calls, in microseconds; 0 is never.
    pub report_us: u64,
    /// Whether an owner chooses, for each task, the better of two matchmakers by their last reports.
    pub two_choices: bool,
    /// Whether a bid without a call goes once to a matchmaker where calls wait, by its last report.
    pub bids_walk: bool,
    /// How many other matchmakers, one after the other, are asked for a bid when a call must wait.
    pub flocks: u8,
    /// Whether owners deposit tasks at the matchmaker, which claims workers itself: two one-way delays instead of
    /// three.
    pub deposits: bool,
}

impl Cells {
    /// Calls wait at their matchmaker, and matchmakers report nothing.
    #[must_use]
    pub fn plain(cells: usize) -> Self {
        Self {
            cells,
            hops: 0,
            report_us: 0,
            two_choices: false,
            bids_walk: false,
            flocks: 0,
            deposits: false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(u32),
    CallAt {
        cell: u32,
        job: u32,
        count: u32,
        hops: u8,
    },
    BidAt {
        cell: u32,
        worker: u32,
        walked: bool,
    },
    /// The owner of the job gets a bid of the worker.
    Handed {
        job: u32,
        worker: u32,
    },
    Starts {
        job: u32,
        worker: u32,
    },
    Ended {
        worker: u32,
    },
    Report,
    /// A matchmaker is asked for a bid for calls that wait at `home`.
    Flock {
        home: u32,
        cell: u32,
        asked: u8,
    },
}

#[derive(Clone, Debug, Default)]
struct Matchmaker {
    /// Workers of free slots, the longest free one first.
    bids: VecDeque<u32>,
    /// Jobs with waiting tasks, and their numbers.
    calls: VecDeque<(u32, u32)>,
    waiting: u32,
}

impl Matchmaker {
    /// The number of bids, or minus the number of waiting calls.
    fn balance(&self) -> i64 {
        self.bids.len() as i64 - i64::from(self.waiting)
    }
}

struct Run<'a> {
    shape: &'a Shape,
    trace: &'a Trace,
    rule: Cells,
    meter: Meter,
    agenda: Agenda<Event>,
    chance: Chance,
    matchmakers: Vec<Matchmaker>,
    /// The last reported balance of each matchmaker.
    reported: Vec<i64>,
    /// The number of tasks for each matchmaker, while one job is divided.
    shares: Vec<u32>,
}

/// Runs a trace.
#[must_use]
pub fn run(shape: &Shape, trace: &Trace, rule: Cells, seed: u64) -> Meter {
    let mut run = Run {
        shape,
        trace,
        rule,
        meter: Meter::new(shape, trace),
        agenda: Agenda::new(),
        chance: Chance::new(seed, "cells"),
        matchmakers: vec![Matchmaker::default(); rule.cells],
        reported: vec![0; rule.cells],
        shares: vec![0; rule.cells],
    };
    for worker in 0..shape.workers as u32 {
        let home = run.home(worker) as usize;
        run.matchmakers[home].bids.extend(std::iter::repeat_n(worker, shape.slots));
    }
    if rule.report_us > 0 {
        run.agenda.after(rule.report_us, Event::Report);
    }
    for (job, at) in (0u32..).zip(&trace.arrivals) {
        run.agenda.at(*at, Event::Arrives(job));
    }
    while let Some(event) = run.agenda.pop() {
        run.happen(event);
    }
    run.meter
}

impl Run<'_> {
    fn home(&self, worker: u32) -> u32 {
        (worker as usize * self.rule.cells / self.shape.workers) as u32
    }

    fn happen(&mut self, event: Event) {
        let delay = self.shape.delay_us;
        match event {
            Event::Arrives(job) => self.call(job),
            Event::CallAt { cell, job, count, hops } => self.on_call(cell, job, count, hops),
            Event::BidAt { cell, worker, walked } => self.on_bid(cell, worker, walked),
            Event::Handed { job, worker } => {
                self.meter.messages += 1;
                self.agenda.after(delay, Event::Starts { job, worker });
            }
            Event::Starts { job, worker } => {
                let ends = self.agenda.now() + self.trace.durations[job as usize];
                self.meter.task_ends(self.trace, job, ends);
                self.agenda.at(ends, Event::Ended { worker });
            }
            Event::Ended { worker } => {
                self.meter.messages += 1;
                self.agenda.after(delay, Event::BidAt { cell: self.home(worker), worker, walked: false });
            }
            Event::Flock { home, cell, asked } => self.on_flock(home, cell, asked),
            Event::Report => {
                for (reported, matchmaker) in self.reported.iter_mut().zip(&self.matchmakers) {
                    *reported = matchmaker.balance();
                }
                if self.meter.ended < (self.shape.tasks * self.trace.arrivals.len()) as u64 {
                    self.agenda.after(self.rule.report_us, Event::Report);
                }
            }
        }
    }

    /// An owner divides a job's tasks among matchmakers.
    fn call(&mut self, job: u32) {
        let (tasks, cells) = (self.shape.tasks, self.rule.cells);
        let spread = tasks.min(cells);
        let first = self.chance.index(cells);
        self.shares.fill(0);
        for task in 0..tasks {
            let cell = if self.rule.two_choices {
                let (one, other) = (self.chance.index(cells), self.chance.index(cells));
                let ahead = |cell: usize| self.reported[cell] - i64::from(self.shares[cell]);
                if ahead(one) >= ahead(other) { one } else { other }
            } else {
                (first + (task % spread) * cells / spread) % cells
            };
            self.shares[cell] += 1;
        }
        for cell in 0..cells {
            let count = self.shares[cell];
            if count > 0 {
                self.send_call(cell, job, count, 0);
            }
        }
    }

    fn send_call(&mut self, cell: usize, job: u32, count: u32, hops: u8) {
        self.meter.messages += 1;
        self.agenda.after(self.shape.delay_us, Event::CallAt { cell: cell as u32, job, count, hops });
    }

    fn on_call(&mut self, cell: u32, job: u32, count: u32, hops: u8) {
        let mut left = count;
        let matchmaker = &mut self.matchmakers[cell as usize];
        // A new call does not overtake waiting ones.
        let fits = if matchmaker.calls.is_empty() { left.min(matchmaker.bids.len() as u32) } else { 0 };
        let bids: Vec<u32> = matchmaker.bids.drain(..fits as usize).collect();
        left -= fits;
        for worker in bids {
            self.pair(job, worker);
        }
        if left == 0 {
            return;
        }
        if hops < self.rule.hops {
            let next = self.next_matchmaker(cell);
            self.send_call(next, job, left, hops + 1);
            return;
        }
        let matchmaker = &mut self.matchmakers[cell as usize];
        matchmaker.calls.push_back((job, left));
        matchmaker.waiting += left;
        for _ in 0..left {
            self.flock(cell, cell, 0);
        }
    }

    /// Asks one more matchmaker for a bid.
    fn flock(&mut self, home: u32, from: u32, asked: u8) {
        if asked < self.rule.flocks {
            let cell = self.next_matchmaker(from) as u32;
            self.meter.messages += 1;
            self.agenda.after(self.shape.delay_us, Event::Flock { home, cell, asked: asked + 1 });
        }
    }

    fn on_flock(&mut self, home: u32, cell: u32, asked: u8) {
        let matchmaker = &mut self.matchmakers[cell as usize];
        if cell == home || !matchmaker.calls.is_empty() {
            return self.flock(home, cell, asked);
        }
        match matchmaker.bids.pop_front() {
            Some(worker) => {
                self.meter.messages += 1;
                let event = Event::BidAt { cell: home, worker, walked: true };
                self.agenda.after(self.shape.delay_us, event);
            }
            None => self.flock(home, cell, asked),
        }
    }

    /// The next matchmaker of a call without a bid: the better of two, by their last reports.
    fn next_matchmaker(&mut self, cell: u32) -> usize {
        let others = self.rule.cells - 1;
        let mut other = || (cell as usize + 1 + self.chance.index(others.max(1))) % self.rule.cells;
        let (one, two) = (other(), other());
        if self.reported[one] >= self.reported[two] { one } else { two }
    }

    fn on_bid(&mut self, cell: u32, worker: u32, walked: bool) {
        let matchmaker = &mut self.matchmakers[cell as usize];
        let Some((job, count)) = matchmaker.calls.front_mut() else {
            if self.rule.bids_walk && !walked {
                let next = self.next_matchmaker(cell);
                let poorest = if self.reported[next] < 0 { Some(next) } else { self.poorest() };
                if let Some(next) = poorest {
                    self.meter.messages += 1;
                    let event = Event::BidAt { cell: next as u32, worker, walked: true };
                    self.agenda.after(self.shape.delay_us, event);
                    return;
                }
            }
            self.matchmakers[cell as usize].bids.push_back(worker);
            return;
        };
        let job = *job;
        *count -= 1;
        matchmaker.waiting -= 1;
        if *count == 0 {
            matchmaker.calls.pop_front();
        }
        self.pair(job, worker);
    }

    /// The matchmaker with the most waiting calls among a few random ones, by their last reports.
    fn poorest(&mut self) -> Option<usize> {
        let few: Vec<usize> = (0..4).map(|_| self.chance.index(self.rule.cells)).collect();
        few.into_iter().filter(|cell| self.reported[*cell] < 0).min_by_key(|cell| self.reported[*cell])
    }

    fn pair(&mut self, job: u32, worker: u32) {
        self.meter.messages += 1;
        let delay = self.shape.delay_us;
        if self.rule.deposits {
            self.agenda.after(delay, Event::Starts { job, worker });
        } else {
            self.agenda.after(delay, Event::Handed { job, worker });
        }
    }
}
