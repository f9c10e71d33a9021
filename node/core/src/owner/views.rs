//! The owner as others may look at it: jobs, one task and why it does not run, figures for invariants.

use alloc::vec::Vec;

use super::Owner;
use super::job::{Attempt, Job, State, Task};
use crate::audit::JobAudit;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::snapshot::{Answer, Deadline, JobView, Note, Said, StandingView, SuspicionView, TaskView, Why};
use crate::time::Time;

impl Owner {
    pub(crate) fn job_views(&self) -> Vec<JobView> {
        let live = self.jobs.values().map(|job| (job.number, job.view()));
        let mut all: Vec<(u64, JobView)> = live.chain(self.past.views()).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, view)| view).collect()
    }

    pub(crate) fn backlog(&self) -> u32 {
        let called: Vec<JobId> = self.calls.values().copied().collect();
        let short = self.room.jobs().filter(|name| !called.contains(name));
        let waiting = short.chain(called.iter().copied()).filter_map(|name| self.jobs.get(&name));
        waiting.map(|job| job.wanted()).fold(0, u32::saturating_add)
    }

    pub(crate) fn leased_to(&self, peer: PeerId) -> u32 {
        let range = (peer, LeaseId::FIRST)..=(peer, LeaseId::LAST);
        u32::try_from(self.leases.range(range).count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn why(
        &self,
        now: Time,
        (members, own_slots): (&Membership, u32),
        name: JobId,
        index: u32,
    ) -> Option<Why> {
        let Some(job) = self.jobs.get(&name) else {
            let ended =
                Why { state: TaskView::Ended, deadline: None, answers: Vec::new(), notes: Vec::new() };
            return self.past.tasks_of(name).filter(|tasks| index < *tasks).map(|_| ended);
        };
        if index >= job.total {
            return None;
        }
        let state = match job.task(index) {
            None => match job.tasks.fate(index) {
                Some((State::Cancelled, _)) => TaskView::Cancelled,
                Some((State::Expired, _)) => TaskView::Expired,
                Some((State::Queued | State::Leased | State::Delayed(_) | State::Ended(_), _)) | None => {
                    TaskView::Ended
                }
            },
            Some(task) => match task.state {
                State::Queued if job.is_held() => self.waits_for(job)?,
                State::Queued if now < job.starts_at => {
                    TaskView::NotBefore { in_ms: job.starts_at.since_us(now) / 1000 }
                }
                State::Queued => {
                    let before = job.queue.iter().take_while(|queued| **queued != index).count();
                    TaskView::Queued { before: u32::try_from(before).unwrap_or(u32::MAX) }
                }
                State::Leased => leased_view(task.live.iter().rfind(|attempt| !attempt.overdue), now),
                State::Delayed(until) => {
                    TaskView::Delayed { failures: task.failures, in_ms: until.since_us(now) / 1000 }
                }
                State::Ended(_) => TaskView::Ended,
                State::Cancelled => TaskView::Cancelled,
                State::Expired => TaskView::Expired,
            },
        };
        let answers = job.said.iter().map(|(peer, (at, said))| {
            let reachable = members.is_connected(*peer) || !members.iter().any(|(known, _)| known == *peer);
            let said = if reachable { said.clone() } else { Said::Unreachable };
            Answer { peer: *peer, said, ago_ms: now.since_us(*at) / 1000 }
        });
        let mut notes = self.notes(now, (members, own_slots), job, index);
        let slots = job.what.needs.width();
        if slots > 1 && job.task(index).is_some_and(|task| task.state == State::Queued) {
            notes.push(Note::Wide { slots, largest: members.slots_max().max(own_slots) });
        }
        Some(Why { state, deadline: deadline(job, now), answers: answers.collect(), notes })
    }

    fn notes(&self, now: Time, (members, own_slots): (&Membership, u32), job: &Job, index: u32) -> Vec<Note> {
        let mut notes = Vec::new();
        let Some(task) = job.task(index) else { return notes };
        let live = match task.state {
            State::Queued | State::Leased | State::Delayed(_) => task,
            State::Ended(_) | State::Cancelled | State::Expired => return notes,
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let held = count(live.due().count());
        if job.verifies() {
            let answered = job.ballots.get(&index).map_or(0, super::verify::Ballot::count);
            let nodes = job.what.policy.verify;
            let wanted = super::verify::missing(nodes, answered, held);
            let machines = count(members.voices(own_slots));
            notes.push(Note::Verifying { nodes, answered, held, wanted, machines });
        } else if job.extra.contains(&index) {
            notes.push(Note::CopySought);
        } else if held > 1 {
            notes.push(Note::Copied { copies: held - 1 });
        }
        notes.extend((live.stops > 0).then_some(Note::Stopped { times: live.stops }));
        notes.extend(self.suspicion.view(now).map(Note::Suspects));
        let starved = live.live.iter().any(|attempt| attempt.starved);
        notes.extend(starved.then_some(Note::NoRoom));
        notes
    }

    pub(crate) fn standing(&self, now: Time, peer: PeerId) -> StandingView {
        self.standings.view(peer, now)
    }

    pub(crate) fn suspicion(&self, now: Time) -> Option<SuspicionView> {
        self.suspicion.view(now)
    }

    pub(crate) fn audits(&self) -> Vec<JobAudit> {
        self.jobs.values().filter(|job| !job.ended).map(|job| audit(job)).collect()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn issued(&self) -> impl Iterator<Item = (PeerId, LeaseId)> + '_ {
        self.leases.iter().copied()
    }

    pub(crate) fn lease_ends(&self) -> Option<(Time, Time)> {
        Some((self.expiries.first()?.0, self.expiries.last()?.0))
    }
}

fn audit(job: &Job) -> JobAudit {
    let count = |wanted: fn(State) -> bool| {
        u32::try_from(job.tasks.states().filter(|state| wanted(*state)).count()).unwrap_or(u32::MAX)
    };
    let most = |measure: fn(&Task) -> usize| {
        u32::try_from(job.tasks.live().map(measure).max().unwrap_or(0)).unwrap_or(u32::MAX)
    };
    let waiting = count(|state| state == State::Queued);
    JobAudit {
        job: job.what.job,
        total: job.total,
        queued: if job.is_held() { 0 } else { waiting },
        held: if job.is_held() { waiting } else { 0 },
        in_held: u32::try_from(job.held.len()).unwrap_or(u32::MAX),
        in_queue: job.waiting(),
        leased: count(|state| state == State::Leased),
        delayed: count(|state| matches!(state, State::Delayed(_))),
        ended: count(|state| matches!(state, State::Ended(_) | State::Expired)),
        cancelled: count(|state| state == State::Cancelled),
        copies: job.counts.copies,
        most_due: most(|task| task.due().count()),
        most_doubled: most(|task| {
            let twice =
                |attempt: &Attempt| task.due().filter(|other| other.worker == attempt.worker).count() - 1;
            task.due().map(twice).max().unwrap_or(0)
        }),
        ballots: job.ballots.len(),
    }
}

fn deadline(job: &Job, now: Time) -> Option<Deadline> {
    job.what.policy.deadline_ms.filter(|_| !job.ended)?;
    Some(job.deadline_left_ms(now).map_or(Deadline::Missed, |ms| Deadline::Left { ms }))
}

fn leased_view(attempt: Option<&Attempt>, now: Time) -> TaskView {
    match attempt {
        None => TaskView::Queued { before: 0 },
        Some(attempt) if attempt.fetching.is_some() => TaskView::Fetching { worker: attempt.worker },
        Some(attempt) => TaskView::Leased {
            worker: attempt.worker,
            attempt: attempt.number,
            since_ms: now.since_us(attempt.since) / 1000,
            paused: attempt.paused,
            progress: attempt.progress,
        },
    }
}
