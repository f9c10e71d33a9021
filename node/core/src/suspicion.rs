//! Self-suspicion: a node that lost most of its peers at once was rather cut off itself, and one that was not woken in
//! time slept while others waited for it. Either way silence proves nothing about those who seem silent. Plain data,
//! which the owner asks before it gives a lease up.

use alloc::collections::VecDeque;
use core::fmt;

use crate::config::MeshConfig;
use crate::id::PeerId;
use crate::time::Time;

/// Peers that must fall silent within one lease before a node suspects itself.
const LOST_MIN: usize = 3;
/// Silences remembered; the oldest is forgotten first.
const SILENCES_MAX: usize = 4096;
/// For how many leases a node suspects itself: as long as it may take to notice a cut, to mend it, and to dial again.
const GRACE_LEASES: u64 = 2;

/// Why a node suspects itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It lost most of its peers within one lease.
    LostPeers {
        /// How many.
        lost: u32,
        /// Of how many.
        had: u32,
    },
    /// It was woken much later than it asked for: it was stopped, or the machine slept.
    Slept {
        /// How much later, in milliseconds.
        late_ms: u64,
    },
}

/// A node's suspicion of itself, as others may look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspicionView {
    /// Why.
    pub cause: Cause,
    /// For how much longer, in milliseconds.
    pub for_ms: u64,
}

impl fmt::Display for SuspicionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, for_ms } = self;
        match cause {
            Cause::LostPeers { lost, had } => write!(f, "this node lost {lost} of {had} peers at once")?,
            Cause::Slept { late_ms } => write!(f, "this node slept for {late_ms} ms")?,
        }
        write!(f, " and may be the one at fault: what they hold is left to them for {for_ms} ms more")
    }
}

/// What a node knows against itself.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    /// Peers that fell silent within the last lease and have not come back, oldest first.
    silent: VecDeque<(Time, PeerId)>,
    now: Option<(Cause, Time)>,
}

impl Suspicion {
    /// A peer fell silent; so many can still be spoken to.
    pub(crate) fn on_silent(&mut self, now: Time, mesh: &MeshConfig, peer: PeerId, left: usize) {
        self.silent.retain(|(_, silent)| *silent != peer);
        while self.silent.front().is_some_and(|(at, _)| now.since_us(*at) > 1000 * mesh.lease_ms) {
            self.silent.pop_front();
        }
        if self.silent.len() >= SILENCES_MAX {
            self.silent.pop_front();
        }
        self.silent.push_back((now, peer));
        let lost = self.silent.len();
        if lost < LOST_MIN || lost <= left {
            return;
        }
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let cause = Cause::LostPeers { lost: count(lost), had: count(lost + left) };
        let until = match self.cause(now) {
            // Those that are noticed later do not prolong it.
            Some((Cause::LostPeers { .. }, until)) => until,
            // They gave up who slept, and will be back.
            Some((Cause::Slept { .. }, _)) => return,
            None => now.plus_ms(GRACE_LEASES * mesh.lease_ms),
        };
        self.now = Some((cause, until));
    }

    /// A peer can be spoken to again, as so many can now. With most of them back there is no doubt any more: what is
    /// given up from now on is judged as always.
    pub(crate) fn on_back(&mut self, peer: PeerId, connected: usize) {
        self.silent.retain(|(_, silent)| *silent != peer);
        if matches!(self.now, Some((Cause::LostPeers { .. }, _))) && self.silent.len() < connected {
            self.now = None;
        }
    }

    /// Whether it slept, so that everybody seems to have taken long.
    pub(crate) fn slept(&self, now: Time) -> bool {
        matches!(self.cause(now), Some((Cause::Slept { .. }, _)))
    }

    /// A lease's end is looked at only now: more than a renewal late says that this node slept through it, and that
    /// the renewals of others lie unread.
    pub(crate) fn on_late(&mut self, now: Time, mesh: &MeshConfig, due: Time) {
        let late_ms = now.since_us(due) / 1000;
        if late_ms > mesh.renew_ms {
            self.now = Some((Cause::Slept { late_ms }, now.plus_ms(mesh.lease_ms)));
        }
    }

    /// Until when leases that run out are held, if they are; those of a worker that can be spoken to only if this
    /// node slept.
    pub(crate) fn holds(&self, now: Time, connected: bool) -> Option<Time> {
        match self.cause(now)? {
            (Cause::LostPeers { .. }, until) => (!connected).then_some(until),
            (Cause::Slept { .. }, until) => Some(until),
        }
    }

    pub(crate) fn view(&self, now: Time) -> Option<SuspicionView> {
        let (cause, until) = self.cause(now)?;
        Some(SuspicionView { cause, for_ms: until.since_us(now) / 1000 })
    }

    fn cause(&self, now: Time) -> Option<(Cause, Time)> {
        self.now.filter(|(_, until)| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: MeshConfig = MeshConfig::DEFAULT;

    fn at(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    #[test]
    fn who_loses_most_of_its_peers_within_a_lease_suspects_itself() {
        // peers that it had, when they fell silent in ms, whether it suspects itself
        let table: [(usize, &[u64], bool); 7] = [
            (10, &[0, 100, 200, 300, 400, 500], true),
            (10, &[0, 100, 200, 300, 400], false),
            (3, &[0, 0, 0], true),
            (2, &[0, 0], false),
            (4, &[0, 0, 0], true),
            (6, &[0, 0, 0], false),
            (4, &[0, 2000, 5000], false),
        ];
        for (had, silences, suspects) in table {
            let mut suspicion = Suspicion::default();
            for (number, ms) in (0u8..).zip(silences) {
                suspicion.on_silent(at(*ms), &MESH, peer(number), had - usize::from(number) - 1);
            }
            assert_eq!(suspicion.view(at(5000)).is_some(), suspects, "{silences:?} of {had}");
        }
    }

    #[test]
    fn it_ends_by_itself_and_later_silences_do_not_prolong_it() {
        let mut suspicion = Suspicion::default();
        for number in 0..20 {
            suspicion.on_silent(
                at(u64::from(number) * 100),
                &MESH,
                peer(number),
                20 - usize::from(number) - 1,
            );
        }
        let began = 1000;
        let until = at(began + 2 * MESH.lease_ms);
        assert_eq!(suspicion.holds(at(2000), false), Some(until));
        assert_eq!(suspicion.holds(at(2000), true), None, "what can be spoken to is judged as always");
        assert_eq!(suspicion.holds(until, false), None);
    }

    #[test]
    fn peers_that_come_back_are_no_loss() {
        let mut suspicion = Suspicion::default();
        for number in 0..10 {
            suspicion.on_silent(at(0), &MESH, peer(number), 9);
            suspicion.on_back(peer(number), 10);
        }
        assert_eq!(suspicion.view(at(0)), None);
    }

    #[test]
    fn doubt_ends_when_most_are_back() {
        let mut suspicion = Suspicion::default();
        for number in 0..6 {
            suspicion.on_silent(at(0), &MESH, peer(number), 9 - usize::from(number));
        }
        // Six of ten are silent at first, then five, which is not fewer than the others, then four.
        for (number, doubts) in [(0, true), (1, false)] {
            suspicion.on_back(peer(number), 5 + usize::from(number));
            assert_eq!(suspicion.view(at(1)).is_some(), doubts, "{number}");
        }
        let slept = || {
            let mut suspicion = Suspicion::default();
            suspicion.on_late(at(30_000), &MESH, at(0));
            suspicion
        };
        let mut suspicion = slept();
        suspicion.on_back(peer(1), 10);
        assert!(suspicion.slept(at(30_001)), "who slept does so whoever is back");
    }

    #[test]
    fn who_is_late_by_more_than_a_renewal_slept() {
        let mut suspicion = Suspicion::default();
        suspicion.on_late(at(1000 + MESH.renew_ms), &MESH, at(1000));
        assert_eq!(suspicion.view(at(0)), None);
        suspicion.on_late(at(31_000), &MESH, at(1000));
        let view = suspicion.view(at(31_000)).unwrap();
        assert_eq!((view.cause, view.for_ms), (Cause::Slept { late_ms: 30_000 }, MESH.lease_ms));
        assert!(suspicion.holds(at(32_000), true).is_some());
        assert_eq!(suspicion.holds(at(31_000 + MESH.lease_ms), true), None);
    }
}
