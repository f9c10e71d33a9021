//! Short jobs that wait for room are tried from the head, most urgent first. What stands there may fit nowhere, for want
//! of a label perhaps, and must not hide those behind it: a few further ones are tried each time, on a tour through all
//! of them, and room is asked for on behalf of one that somebody may have it for. Used by the short regime.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound;

use super::Owner;
use super::ahead::TRIED_MAX;
use super::room::Room;
use crate::ctx::Ctx;
use crate::id::JobId;
use crate::membership::Membership;
use crate::message::Class;
use crate::time::Time;
use crate::worker::Worker;

/// Jobs behind those at the head that are tried within one input.
const TOUR: usize = 2;
/// Jobs that are looked through for one that room may be asked for.
const ASKERS_MAX: usize = 256;
/// For how long a job that is called out like a long one keeps others from that, in milliseconds: what found nobody by
/// then waits like a long one, however long.
const CALLED_MS: u64 = 1000;

/// The place of a short job among those that wait.
pub(super) type Rank = (Reverse<Class>, u64, JobId);

impl Room {
    /// Jobs behind that one, so many, and then those before it.
    pub(super) fn jobs_after(&self, last: Option<Rank>, count: usize) -> Vec<Rank> {
        let Some(last) = last else { return self.short.iter().take(count).copied().collect() };
        let behind = self.short.range((Bound::Excluded(last), Bound::Unbounded));
        behind.chain(self.short.range(..=last)).take(count).copied().collect()
    }

    /// Jobs that were called out so lately that they keep others from it.
    pub(super) fn called_lately(&self, now: Time) -> usize {
        self.called.values().filter(|since| since.plus_ms(CALLED_MS) > now).count()
    }
}

impl Owner {
    /// Tries a few jobs behind the head, each time further on.
    pub(super) fn tour(&mut self, ctx: &mut Ctx<'_>, members: &Membership, worker: &Worker, here: &mut u32) {
        if self.room.short.len() <= TRIED_MAX {
            return;
        }
        for rank in self.room.jobs_after(self.room.toured, TOUR) {
            self.room.toured = Some(rank);
            let (_, _, name) = rank;
            self.place_job(ctx, members, worker, (name, here));
        }
    }

    /// The first job that somebody may run who did not say what it takes; if there is none, the first of all.
    pub(super) fn asker(&self, ctx: &Ctx<'_>, members: &Membership) -> Option<JobId> {
        let may_run = |name: &JobId| {
            let Some(job) = self.jobs.get(name) else { return false };
            members.connected().any(|(peer, known)| {
                let silent = self.room.place_of(peer).is_err();
                silent && Membership::unfit((peer, known), ctx, &job.what).is_none()
            })
        };
        let first = self.room.jobs().next();
        self.room.jobs().take(ASKERS_MAX).find(may_run).or(first)
    }
}
