//! Two published schedulers for short and long jobs, as models (Sparrow: Ousterhout et al., SOSP 2013; Hawk: Delgado et
//! al., USENIX ATC 2015). Sparrow places two reservations per task, and each task binds to the first worker that is
//! ready. Hawk does so for short jobs only: long ones are placed by one scheduler that knows the number of long tasks of
//! each worker and leaves out a few workers that only short jobs may use. An idle worker steals the first short
//! reservations that are queued behind a long task at one of ten others.
//!
//! Workers have one slot, as in both papers. A steal takes no time here: it would take a millisecond, and tasks run for
//! seconds.

use std::collections::VecDeque;

use super::Job;
use crate::agenda::Agenda;
use crate::trace::Distinct;
use weft_sim::Chance;

/// One-way delay of the network, in microseconds.
const DELAY_US: u64 = 500;
/// Reservations per task.
const PROBES: usize = 2;
/// Most other workers that an idle worker asks for work.
const ASKED_MAX: usize = 10;

/// The scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Reservations for all jobs.
    Sparrow,
    /// Reservations for short jobs only; `spared` workers run no long jobs.
    Hawk { spared: usize },
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    /// A reservation: the worker asks the job for a task when it reaches the head of the queue.
    Probe(usize),
    /// A task that was placed.
    Placed { job: usize, us: u32 },
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(usize),
    Lands { worker: usize, entry: Entry },
    Answered { worker: usize, job: usize },
    Ended { worker: usize, job: usize },
}

#[derive(Clone, Debug, Default)]
struct Worker {
    busy: bool,
    /// Whether it runs a task of a long job.
    runs_long: bool,
    queue: VecDeque<Entry>,
    /// The number of long tasks that were placed here and have not ended.
    longs: u32,
}

struct Run<'a> {
    jobs: &'a [Job],
    rule: Rule,
    agenda: Agenda<Event>,
    chance: Chance,
    distinct: Distinct,
    workers: Vec<Worker>,
    /// The number of tasks of each job that were handed out.
    begun: Vec<usize>,
    responses: Vec<u64>,
}

/// Each job's response time, in microseconds.
pub(super) fn run(jobs: &[Job], workers: usize, rule: Rule, seed: u64) -> Vec<u64> {
    let mut run = Run {
        jobs,
        rule,
        agenda: Agenda::new(),
        chance: Chance::new(seed, "hawk"),
        distinct: Distinct::new(workers),
        workers: vec![Worker::default(); workers],
        begun: vec![0; jobs.len()],
        responses: vec![0; jobs.len()],
    };
    for (number, job) in jobs.iter().enumerate() {
        run.agenda.at(job.at_us, Event::Arrives(number));
    }
    while let Some(event) = run.agenda.pop() {
        run.happen(event);
    }
    run.responses
}

impl Run<'_> {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(job) => match self.rule {
                Rule::Hawk { spared } if !self.jobs[job].short => self.place(job, spared),
                Rule::Hawk { .. } | Rule::Sparrow => self.probe(job),
            },
            Event::Lands { worker, entry } => {
                self.workers[worker].queue.push_back(entry);
                self.go_on(worker);
            }
            Event::Answered { worker, job } => {
                self.workers[worker].busy = false;
                match self.jobs[job].tasks_us.get(self.begun[job]) {
                    Some(us) => {
                        self.begun[job] += 1;
                        self.start(worker, job, *us);
                    }
                    None => self.go_on(worker),
                }
            }
            Event::Ended { worker, job } => {
                let response = self.agenda.now() - self.jobs[job].at_us;
                self.responses[job] = self.responses[job].max(response);
                let at = &mut self.workers[worker];
                (at.busy, at.longs) = (false, at.longs.saturating_sub(u32::from(at.runs_long)));
                at.runs_long = false;
                self.go_on(worker);
            }
        }
    }

    /// Places a job's reservations at random workers, distinct as far as there are enough.
    fn probe(&mut self, job: usize) {
        let mut left = PROBES * self.jobs[job].tasks_us.len();
        let mut drawn = Vec::new();
        while left > 0 {
            self.distinct.draw(&mut self.chance, left, &mut drawn);
            left -= drawn.len();
            for worker in &drawn {
                let event = Event::Lands { worker: *worker as usize, entry: Entry::Probe(job) };
                self.agenda.after(DELAY_US, event);
            }
        }
    }

    /// Places each task at the worker with the fewest long ones.
    fn place(&mut self, job: usize, spared: usize) {
        let general = self.workers.len() - spared;
        for us in &self.jobs[job].tasks_us {
            let first = self.chance.index(general);
            let ring = (first..general).chain(0..first);
            let Some(worker) = ring.min_by_key(|worker| self.workers[*worker].longs) else { return };
            self.workers[worker].longs += 1;
            let entry = Entry::Placed { job, us: *us };
            self.agenda.after(DELAY_US, Event::Lands { worker, entry });
        }
    }

    /// A free worker takes the first entry of its queue, or steals one that is queued behind a long task elsewhere.
    fn go_on(&mut self, worker: usize) {
        if self.workers[worker].busy {
            return;
        }
        if self.workers[worker].queue.is_empty() && matches!(self.rule, Rule::Hawk { .. }) {
            self.steal(worker);
        }
        match self.workers[worker].queue.pop_front() {
            Some(Entry::Probe(job)) => {
                self.workers[worker].busy = true;
                self.agenda.after(2 * DELAY_US, Event::Answered { worker, job });
            }
            Some(Entry::Placed { job, us }) => self.start(worker, job, us),
            None => {}
        }
    }

    fn start(&mut self, worker: usize, job: usize, us: u32) {
        let at = &mut self.workers[worker];
        (at.busy, at.runs_long) = (true, !self.jobs[job].short);
        self.agenda.at(self.agenda.now() + u64::from(us), Event::Ended { worker, job });
    }

    fn steal(&mut self, thief: usize) {
        for _ in 0..ASKED_MAX {
            let victim = self.chance.index(self.workers.len());
            let Worker { runs_long, queue, .. } = &mut self.workers[victim];
            let is_probe = |entry: &Entry| matches!(entry, Entry::Probe(_));
            let behind = if *runs_long { Some(0) } else { queue.iter().position(|entry| !is_probe(entry)) };
            let first =
                behind.and_then(|behind| (behind..queue.len()).find(|place| is_probe(&queue[*place])));
            let Some(first) = first.filter(|_| victim != thief) else { continue };
            let count = queue.iter().skip(first).take_while(|entry| is_probe(entry)).count();
            let taken: Vec<Entry> = queue.drain(first..first + count).collect();
            self.workers[thief].queue.extend(taken);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(at_us: u64, short: bool, tasks_us: &[u32]) -> Job {
        Job { at_us, owner: 0, short, tasks_us: tasks_us.to_vec() }
    }

    #[test]
    fn an_idle_mesh_adds_a_round_trip_and_a_half_to_what_is_claimed_and_one_way_to_what_is_placed() {
        let jobs = [job(0, true, &[10_000; 3]), job(1_000_000, false, &[50_000; 3])];
        assert_eq!(run(&jobs, 20, Rule::Sparrow, 1), [11_500, 51_500]);
        assert_eq!(run(&jobs, 20, Rule::Hawk { spared: 2 }, 1), [11_500, 50_500]);
    }

    #[test]
    fn hawk_takes_short_tasks_out_from_behind_long_ones() {
        // Three of four workers are busy for a minute; the fourth is for short jobs alone.
        let jobs = [job(0, false, &[60_000_000; 3]), job(1_000_000, true, &[1_000_000; 4])];
        let [sparrow, hawk] = [Rule::Sparrow, Rule::Hawk { spared: 1 }].map(|rule| run(&jobs, 4, rule, 1)[1]);
        assert!(hawk < 5_000_000, "one worker runs all four: {hawk}");
        assert!(sparrow >= hawk, "{sparrow} {hawk}");
    }

    #[test]
    fn more_tasks_than_workers_all_run() {
        let jobs = [job(0, true, &[1000; 100])];
        for rule in [Rule::Sparrow, Rule::Hawk { spared: 1 }] {
            assert!(run(&jobs, 8, rule, 1)[0] >= 13_000, "a hundred tasks on eight workers");
        }
    }
}
