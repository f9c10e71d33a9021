//! New tasks of a job: those whose result is known end without anybody running them, the others queue.

use alloc::vec::Vec;

use super::Owner;
use super::job::{Attempt, Brought, RECALLED, State};
use super::joins::Gate;
use crate::ctx::Ctx;
use crate::id::{JobId, LeaseId, PeerId};
use crate::task::{Payload, Recall, Recalled, Report};

impl Owner {
    /// Takes tasks with these inputs. Without a remembered result it costs nothing to look.
    pub(super) fn take_inputs(&mut self, ctx: &mut Ctx<'_>, name: JobId, inputs: Vec<Payload>) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        // What is held does not end before its job fires, whoever knows the result; nor is it asked for then, since that
        // would cost as much at once as there are tasks: workers answer from memory, too.
        let open = job.gate == Gate::Open;
        let wanted = job.what.terms.memo;
        let asks = open && wanted != Recall::Off && job.what.program.is_pure() && !ctx.memo.is_empty();
        let mut recalled: Vec<(u32, Report, (PeerId, Recalled))> = Vec::new();
        for input in inputs {
            ctx.pin(&input);
            let task = asks.then(|| job.key().task_id(&input));
            let index = job.add(input);
            match task.and_then(|task| ctx.memo.recall(task, wanted)) {
                Some((report, worker, word)) => recalled.push((index, report, (worker, word))),
                None if open => job.queue.push_back(index),
                None => job.held.push_back(index),
            }
        }
        for (index, report, memo) in recalled {
            self.recall(ctx, LeaseId { job: name, index, attempt: RECALLED }, report, memo);
        }
    }

    /// Ends a task with its known result, once everything that belongs to it is here.
    fn recall(&mut self, ctx: &mut Ctx<'_>, lease: LeaseId, report: Report, memo: (PeerId, Recalled)) {
        let (worker, _) = memo;
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let Some(task) = job.task_mut(lease.index) else { return };
        task.state = State::Leased;
        task.live.push(Attempt::new(RECALLED, worker, ctx.now, ctx.now));
        job.counts.leased += 1;
        let brought = Brought { memo: Some(memo), ..report.into() };
        if brought.report.blobs().next().is_none() {
            self.commit_recalled(ctx, lease, brought);
        } else {
            self.fetch_blobs(ctx, lease, worker, brought);
        }
    }

    pub(super) fn commit_recalled(&mut self, ctx: &mut Ctx<'_>, lease: LeaseId, brought: Brought) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let key = job.key();
        let Some(task) = job.task_mut(lease.index) else { return };
        let id = key.task_id(&task.input);
        if brought.memo.is_none_or(|(computer, _)| !ctx.memo.is_word_of(id, computer)) {
            // Who said it was caught lying while its bytes came, or the result is another's word by now, which stays.
            task.live.retain(|attempt| attempt.number != RECALLED);
            self.again(ctx, lease.job, lease.index);
            return;
        }
        task.live.retain(|attempt| attempt.number != RECALLED);
        ctx.counters.recalled += 1;
        self.commit(ctx, lease.job, lease.index, None, brought);
    }

    /// What the known result rests on can't be had: it is forgotten, and the task waits like any other.
    pub(super) fn on_not_recalled(&mut self, ctx: &mut Ctx<'_>, lease: LeaseId) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        let key = job.key();
        let Some(task) = job.task_mut(lease.index) else { return };
        task.live.retain(|attempt| attempt.number != RECALLED);
        ctx.memo.drop_known(key.task_id(&task.input));
        self.again(ctx, lease.job, lease.index);
    }
}
