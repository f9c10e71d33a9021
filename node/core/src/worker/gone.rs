//! Owners that are gone: what they awarded is stopped, for nobody will ever take the results. Whether an owner is gone is
//! told by silence, and by how it began. A connection that was closed is how a process ends, and with it ends all that it
//! knew of its jobs; one that lives is heard again within three leases, over another connection or by what it tells
//! everybody. One that just fell silent may be cut off: it is waited for as long as an outcome would be kept for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Worker;
use crate::config::MeshConfig;
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::PeerId;
use crate::message::{BATCH_MAX, Message};
use crate::time::Time;

/// For how many leases nothing is heard of an owner whose connection was closed until it counts as gone.
const GONE_LEASES: u64 = 3;

/// Owners of held tasks that can't be spoken to.
#[derive(Debug, Default)]
pub(super) struct Gone(BTreeMap<PeerId, Absence>);

#[derive(Clone, Copy, Debug)]
struct Absence {
    /// When anything of it was heard last, by whichever way.
    heard_at: Time,
    /// Its connection was closed; otherwise it fell silent.
    closed: bool,
}

impl Absence {
    /// When it counts as gone.
    fn ends_at(&self, mesh: &MeshConfig) -> Time {
        self.heard_at.plus_ms(if self.closed { GONE_LEASES * mesh.lease_ms } else { mesh.keep_ms })
    }
}

impl Gone {
    pub(super) fn on_down(&mut self, now: Time, owner: PeerId, closed: bool) {
        self.0.insert(owner, Absence { heard_at: now, closed });
    }

    pub(super) fn on_up(&mut self, owner: PeerId) {
        self.0.remove(&owner);
    }

    fn on_heard(&mut self, now: Time, owner: PeerId) {
        if let Some(absence) = self.0.get_mut(&owner) {
            absence.heard_at = now;
        }
    }

    pub(super) fn next_wakeup(&self, mesh: &MeshConfig) -> Option<Time> {
        self.0.values().map(|absence| absence.ends_at(mesh)).min()
    }

    /// Those that count as gone by now, each with whether its connection was closed. Who looks at that much too late
    /// slept, and may have slept through what they said: it listens anew.
    fn take(&mut self, now: Time, mesh: &MeshConfig) -> Vec<(PeerId, Absence)> {
        let late = |absence: &Absence| now.since_us(absence.ends_at(mesh)) > 1000 * mesh.renew_ms;
        for absence in self.0.values_mut().filter(|absence| late(absence)) {
            absence.heard_at = now;
        }
        let over = self.0.iter().filter(|(_, absence)| absence.ends_at(mesh) <= now);
        let over: Vec<(PeerId, Absence)> = over.map(|(owner, absence)| (*owner, *absence)).collect();
        self.0.retain(|_, absence| absence.ends_at(mesh) > now);
        over
    }
}

impl Worker {
    /// An owner said something, to this node or to everybody.
    pub(crate) fn on_heard(&mut self, now: Time, from: PeerId) {
        self.gone.on_heard(now, from);
    }

    /// Stops what owners awarded that are gone, and says so: to its user, and to them, should they live after all.
    pub(super) fn leave_gone(&mut self, ctx: &mut Ctx<'_>) {
        if self.gone.next_wakeup(ctx.mesh).is_none_or(|at| at > ctx.now) {
            return;
        }
        for (owner, absence) in self.gone.take(ctx.now, ctx.mesh) {
            let leases = self.runs.leases_of(owner);
            if leases.is_empty() {
                continue;
            }
            self.cancel_all(ctx, owner);
            for part in leases.chunks(BATCH_MAX) {
                ctx.send(owner, Message::Refuse { leases: part.to_vec() });
            }
            let tasks = u32::try_from(leases.len()).unwrap_or(u32::MAX);
            ctx.counters.abandoned += u64::from(tasks);
            let unheard_ms = ctx.now.since_us(absence.heard_at) / 1000;
            ctx.notify(Event::OwnerGone { owner, tasks, closed: absence.closed, unheard_ms });
        }
    }

    /// Stops everything that is held of an owner.
    pub(super) fn cancel_all(&mut self, ctx: &mut Ctx<'_>, owner: PeerId) {
        for part in self.runs.leases_of(owner).chunks(BATCH_MAX) {
            self.on_cancel(ctx, owner, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: MeshConfig = MeshConfig::DEFAULT;
    const OWNER: PeerId = PeerId([1; 32]);

    fn at(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    /// Whether the owner counts as gone when this is looked at, then and not a moment before.
    fn gone(gone: &mut Gone, ms: u64) -> bool {
        assert!(gone.take(at(ms - 1), &MESH).is_empty());
        !gone.take(at(ms), &MESH).is_empty()
    }

    #[test]
    fn a_closed_owner_is_gone_soon_and_a_silent_one_when_its_outcomes_would_be_dropped() {
        for (closed, ms) in [(true, 3 * MESH.lease_ms), (false, MESH.keep_ms)] {
            let mut owners = Gone::default();
            owners.on_down(at(1000), OWNER, closed);
            assert!(gone(&mut owners, 1000 + ms), "closed {closed}");
            assert_eq!(owners.next_wakeup(&MESH), None, "told once");
        }
    }

    #[test]
    fn who_is_heard_is_not_gone_and_who_is_back_neither() {
        let mut owners = Gone::default();
        owners.on_down(at(0), OWNER, true);
        owners.on_heard(at(5000), OWNER);
        assert!(gone(&mut owners, 5000 + 3 * MESH.lease_ms));
        owners.on_down(at(0), OWNER, true);
        owners.on_up(OWNER);
        assert_eq!(owners.next_wakeup(&MESH), None);
    }

    #[test]
    fn who_slept_listens_anew() {
        let mut owners = Gone::default();
        owners.on_down(at(0), OWNER, true);
        assert!(owners.take(at(60_000), &MESH).is_empty());
        assert!(gone(&mut owners, 60_000 + 3 * MESH.lease_ms));
    }
}
