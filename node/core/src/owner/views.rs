//! The owner as others may look at it: jobs, one task and why it does not run, figures for invariants.

use alloc::vec::Vec;

use super::Owner;
use super::job::{Attempt, Job, State};
use crate::engine::JobAudit;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::snapshot::{Answer, JobView, Said, TaskView, Why};
use crate::time::Time;

impl Owner {
    pub(crate) fn job_views(&self) -> Vec<JobView> {
        self.order.values().filter_map(|name| self.jobs.get(name)).map(|job| job.view()).collect()
    }

    pub(crate) fn backlog(&self) -> u32 {
        let called: Vec<JobId> = self.calls.values().copied().collect();
        let short = self.room.jobs().filter(|name| !called.contains(name));
        let waiting = short.chain(called.iter().copied()).filter_map(|name| self.jobs.get(&name));
        waiting.map(|job| job.waiting()).fold(0, u32::saturating_add)
    }

    pub(crate) fn leased_to(&self, peer: PeerId) -> u32 {
        let range = (peer, LeaseId::FIRST)..=(peer, LeaseId::LAST);
        u32::try_from(self.leases.range(range).count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn why(&self, now: Time, members: &Membership, name: JobId, index: u32) -> Option<Why> {
        let job = self.jobs.get(&name)?;
        if index >= job.total {
            return None;
        }
        let state = match job.task(index) {
            None => match job.tasks.fate(index) {
                Some((State::Cancelled, _)) => TaskView::Cancelled,
                Some((State::Queued | State::Leased | State::Ended(_), _)) | None => TaskView::Ended,
            },
            Some(task) => match task.state {
                State::Queued => {
                    let before = job.queue.iter().take_while(|queued| **queued != index).count();
                    TaskView::Queued { before: u32::try_from(before).unwrap_or(u32::MAX) }
                }
                State::Leased => leased_view(task.live.iter().rfind(|attempt| !attempt.overdue), now),
                State::Ended(_) => TaskView::Ended,
                State::Cancelled => TaskView::Cancelled,
            },
        };
        let answers = job.said.iter().map(|(peer, (at, said))| {
            let reachable = members.is_connected(*peer) || !members.iter().any(|(known, _)| known == *peer);
            let said = if reachable { said.clone() } else { Said::Unreachable };
            Answer { peer: *peer, said, ago_ms: now.since_us(*at) / 1000 }
        });
        Some(Why { state, answers: answers.collect() })
    }

    pub(crate) fn audits(&self) -> Vec<JobAudit> {
        self.jobs.values().filter(|job| !job.ended).map(|job| audit(job)).collect()
    }

    pub(crate) fn calls_open(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn leases_open(&self) -> usize {
        self.leases.len()
    }
}

fn audit(job: &Job) -> JobAudit {
    let count = |wanted: fn(State) -> bool| {
        u32::try_from(job.tasks.states().filter(|state| wanted(*state)).count()).unwrap_or(u32::MAX)
    };
    JobAudit {
        job: job.what.job,
        total: job.total,
        queued: count(|state| state == State::Queued),
        in_queue: job.waiting(),
        leased: count(|state| state == State::Leased),
        ended: count(|state| matches!(state, State::Ended(_))),
        cancelled: count(|state| state == State::Cancelled),
    }
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
        },
    }
}
