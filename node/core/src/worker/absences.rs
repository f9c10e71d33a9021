//! Owners that can't be spoken to, and when they count as gone: then the results of what they awarded are of no use.
//! Whether an owner is gone is told by silence, and by how it began. A connection that was closed is how a process
//! ends, and with it ends all that it knew of its jobs; one that lives is heard again within three leases, over another
//! connection or by its gossip. What the next process of its node says does not count. One that just fell silent may be cut
//! off: it is waited for as long as an outcome would be kept for it. So is one whose process ended, with what it keeps over
//! a restart.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::config::MeshConfig;
use crate::id::PeerId;
use crate::time::Time;

/// An owner whose connection was closed counts as gone after this many leases without a message.
const GONE_LEASES: u64 = 3;

/// Owners of held tasks that can't be spoken to.
#[derive(Debug, Default)]
pub(super) struct Absences(BTreeMap<PeerId, Absence>);

#[derive(Clone, Copy, Debug)]
struct Absence {
    /// When anything of it was heard last, in any way.
    heard_at: Time,
    what: What,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Its connection was closed.
    Closed,
    /// It fell silent.
    Silent,
    /// Another process of its node was heard, since then: the one that awarded has ended.
    Restarted { at: Time, was_closed: bool },
    /// It counts as gone, and is waited for with what it keeps over a restart.
    Gone,
}

/// An owner that counts as gone.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) owner: PeerId,
    /// Its process ended; otherwise it fell silent.
    pub(super) closed: bool,
    /// How long nothing was heard of it, in milliseconds.
    pub(super) unheard_ms: u64,
    heard_at: Time,
}

impl Absence {
    /// When it counts as gone.
    fn ends_at(&self, mesh: &MeshConfig) -> Time {
        match self.what {
            What::Closed => self.heard_at.plus_ms(GONE_LEASES * mesh.lease_ms),
            What::Restarted { at, .. } => self.heard_at.plus_ms(GONE_LEASES * mesh.lease_ms).max(at),
            What::Silent | What::Gone => self.heard_at.plus_ms(mesh.keep_ms),
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.what, What::Closed | What::Restarted { .. })
    }
}

impl Absences {
    pub(super) fn on_down(&mut self, now: Time, owner: PeerId, closed: bool) {
        let what = if closed { What::Closed } else { What::Silent };
        self.0.insert(owner, Absence { heard_at: now, what });
    }

    /// An owner that is gone is waited for on, as one that fell silent.
    pub(super) fn wait_on(&mut self, gone: &Gone) {
        self.0.insert(gone.owner, Absence { heard_at: gone.heard_at, what: What::Gone });
    }

    pub(super) fn on_up(&mut self, owner: PeerId) {
        self.0.remove(&owner);
    }

    /// The process of an owner tells its capacity, or another one of its node does.
    pub(super) fn on_life(&mut self, now: Time, owner: PeerId, is_same: bool) {
        let Some(absence) = self.0.get_mut(&owner) else { return };
        absence.what = match absence.what {
            What::Closed if !is_same => What::Restarted { at: now, was_closed: true },
            What::Silent if !is_same => What::Restarted { at: now, was_closed: false },
            // One of the two came late.
            What::Restarted { was_closed: true, .. } if is_same => What::Closed,
            What::Restarted { was_closed: false, .. } if is_same => What::Silent,
            What::Closed | What::Silent | What::Restarted { .. } | What::Gone => absence.what,
        };
    }

    pub(super) fn on_heard(&mut self, now: Time, owner: PeerId) {
        if let Some(absence) = self.0.get_mut(&owner)
            && !matches!(absence.what, What::Restarted { .. })
        {
            absence.heard_at = now;
        }
    }

    pub(super) fn next_wakeup(&self, mesh: &MeshConfig) -> Option<Time> {
        self.0.values().map(|absence| absence.ends_at(mesh)).min()
    }

    /// Takes the owners that count as gone by now. If this is called much too late, the node slept and may have missed
    /// their messages: their time begins anew.
    pub(super) fn take_gone(&mut self, now: Time, mesh: &MeshConfig) -> Vec<Gone> {
        if self.next_wakeup(mesh).is_none_or(|at| at > now) {
            return Vec::new();
        }
        let late = |absence: &Absence| now.since_us(absence.ends_at(mesh)) > 1000 * mesh.renew_ms;
        for absence in self.0.values_mut().filter(|absence| late(absence)) {
            absence.heard_at = now;
        }
        let over = self.0.iter().filter(|(_, absence)| absence.ends_at(mesh) <= now);
        let gone = over.map(|(owner, absence)| Gone {
            owner: *owner,
            closed: absence.has_ended(),
            unheard_ms: now.since_us(absence.heard_at) / 1000,
            heard_at: absence.heard_at,
        });
        let gone: Vec<Gone> = gone.collect();
        self.0.retain(|_, absence| absence.ends_at(mesh) > now);
        gone
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
    fn gone(owners: &mut Absences, ms: u64) -> bool {
        assert!(owners.take_gone(at(ms - 1), &MESH).is_empty());
        !owners.take_gone(at(ms), &MESH).is_empty()
    }

    #[test]
    fn a_closed_owner_is_gone_soon_and_a_silent_one_when_its_outcomes_would_be_dropped() {
        for (closed, ms) in [(true, 3 * MESH.lease_ms), (false, MESH.keep_ms)] {
            let mut owners = Absences::default();
            owners.on_down(at(1000), OWNER, closed);
            assert!(gone(&mut owners, 1000 + ms), "closed {closed}");
            assert_eq!(owners.next_wakeup(&MESH), None, "told once");
        }
    }

    #[test]
    fn who_is_heard_is_not_gone_and_who_is_back_neither() {
        let mut owners = Absences::default();
        owners.on_down(at(0), OWNER, true);
        owners.on_heard(at(5000), OWNER);
        assert!(gone(&mut owners, 5000 + 3 * MESH.lease_ms));
        owners.on_down(at(0), OWNER, true);
        owners.on_up(OWNER);
        assert_eq!(owners.next_wakeup(&MESH), None);
    }

    #[test]
    fn what_the_next_process_says_does_not_prolong_the_one_before() {
        for closed in [true, false] {
            let mut owners = Absences::default();
            owners.on_down(at(0), OWNER, closed);
            owners.on_life(at(2000), OWNER, true);
            owners.on_heard(at(2000), OWNER);
            owners.on_life(at(4000), OWNER, false);
            owners.on_heard(at(4000), OWNER);
            assert!(gone(&mut owners, 2000 + 3 * MESH.lease_ms), "closed {closed}");
        }
    }

    #[test]
    fn who_was_silent_for_long_is_gone_once_its_next_process_is_heard() {
        let mut owners = Absences::default();
        owners.on_down(at(0), OWNER, false);
        owners.on_life(at(60_000), OWNER, false);
        owners.on_heard(at(60_000), OWNER);
        let all = owners.take_gone(at(60_000), &MESH);
        assert_eq!(all.first().map(|gone| (gone.closed, gone.unheard_ms)), Some((true, 60_000)));
    }

    #[test]
    fn gossip_of_an_earlier_process_that_came_late_changes_nothing_for_long() {
        let mut owners = Absences::default();
        owners.on_down(at(0), OWNER, false);
        owners.on_life(at(1000), OWNER, false);
        owners.on_life(at(2000), OWNER, true);
        owners.on_heard(at(2000), OWNER);
        assert!(gone(&mut owners, 2000 + MESH.keep_ms), "it is silent, as before");
    }

    #[test]
    fn what_an_owner_keeps_waits_while_its_next_process_is_heard() {
        let mut owners = Absences::default();
        owners.on_down(at(0), OWNER, true);
        let gone_at = 3 * MESH.lease_ms;
        let all = owners.take_gone(at(gone_at), &MESH);
        assert!(all.iter().all(|gone| gone.closed) && all.len() == 1);
        owners.wait_on(all.first().expect("it is one"));
        owners.on_life(at(gone_at), OWNER, false);
        owners.on_heard(at(gone_at), OWNER);
        assert!(gone(&mut owners, gone_at + MESH.keep_ms));
    }

    #[test]
    fn who_slept_listens_anew() {
        let mut owners = Absences::default();
        owners.on_down(at(0), OWNER, true);
        assert!(owners.take_gone(at(60_000), &MESH).is_empty());
        assert!(gone(&mut owners, 60_000 + 3 * MESH.lease_ms));
    }
}
