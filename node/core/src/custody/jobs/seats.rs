//! When seats of nodes that are gone or drain for long are given to others, and when the jobs that a draining node leads are led
//! by others. The rest of `custody/jobs.rs`, in a file of its own for its length.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Custody, Kept};
use crate::ctx::Ctx;
use crate::custody::lookout::{self, Known};
use crate::custody::member::Role;
use crate::id::JobId;
use crate::membership::Membership;
use crate::time::Time;

impl Custody {
    /// Gives seats of nodes that are gone for long to others. A node that drains has others lead what it leads.
    pub(crate) fn look_out(&mut self, ctx: &mut Ctx<'_>, members: &Membership, known: &Known) {
        let drain = if self.draining { BTreeSet::new() } else { lookout::all_draining(members) };
        let drained = core::mem::replace(&mut self.drained, drain);
        let led: Vec<JobId> = self.led().map(|(job, _)| job).collect();
        for job in led.iter().copied() {
            if self.draining {
                self.hand_over(ctx, members, job, known.open.contains(&job));
            } else {
                let nodes = lookout::Nodes { members, eligible: &known.eligible, drained: &drained };
                self.with(ctx, job, |member, moment| lookout::replace(member, nodes, moment));
            }
        }
        self.looks_at = None;
        if !led.is_empty() {
            self.look_later(ctx.now);
        }
    }

    /// This node leads a job: it is looked after from now on.
    pub(super) fn look_later(&mut self, now: Time) {
        let pause = if self.draining { lookout::HAND_OVER_MS } else { lookout::LOOK_MS };
        self.looks_at.get_or_insert(now.plus_ms(pause));
    }

    fn hand_over(&mut self, ctx: &mut Ctx<'_>, members: &Membership, job: JobId, is_open: bool) {
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.handed_over = !is_open && lookout::hand_over(&mut kept.member, members);
        }
        self.perform(ctx, job);
    }

    /// Jobs that others were asked to lead because this node drains, and do not lead yet.
    pub(crate) fn handing_over(&self) -> usize {
        let leads = |kept: &Kept| kept.handed_over && kept.member.role() == Role::Leader;
        if self.draining { self.jobs.values().filter(|kept| leads(kept)).count() } else { 0 }
    }

    /// Whether it is time for that.
    pub(crate) fn is_to_look_out(&self, now: Time) -> bool {
        self.looks_at.is_some_and(|at| at <= now)
    }
}
