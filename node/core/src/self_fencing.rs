//! Self-fencing: a node that loses most of its peers at once is probably cut off itself, and a node that was woken late
//! slept while others went on. In both cases silence of a peer does not prove that it is dead: the node does not expire
//! leases of silent workers for a while. Plain data, which the owner asks before it expires a lease.

use alloc::collections::VecDeque;
use core::fmt;

use crate::config::MeshConfig;
use crate::id::PeerId;
use crate::time::Time;

/// Least number of peers that must fall silent within one lease for a node to fence itself.
const LOST_MIN: usize = 3;
/// Silent peers kept; the oldest is forgotten first.
const SILENCES_MAX: usize = 4096;
/// How long it lasts, in lease periods: enough to notice a partition, to heal it, and to dial again.
const GRACE_LEASES: u64 = 2;

/// Why a node fences itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It lost most of its peers within one lease.
    LostPeers {
        /// Lost peers.
        lost: u32,
        /// Peers before, lost ones included.
        had: u32,
    },
    /// It was woken much later than it asked for: its process was stopped, or the machine slept.
    Slept {
        /// The delay, in milliseconds.
        late_ms: u64,
    },
}

/// A read-only view of a node's self-fencing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfFencingView {
    /// The cause.
    pub cause: Cause,
    /// For how much longer, in milliseconds.
    pub for_ms: u64,
}

impl fmt::Display for SelfFencingView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, for_ms } = self;
        match cause {
            Cause::LostPeers { lost, had } => write!(f, "this node lost {lost} of {had} peers at once")?,
            Cause::Slept { late_ms } => write!(f, "this node slept for {late_ms} ms")?,
        }
        write!(f, ", so it may be the cause: leases that run out are kept for {for_ms} ms more")
    }
}

/// The state of a node's self-fencing.
#[derive(Debug, Default)]
pub(crate) struct SelfFencing {
    /// Peers that fell silent within the last lease and have not come back, oldest first.
    silent: VecDeque<(Time, PeerId)>,
    now: Option<(Cause, Time)>,
}

impl SelfFencing {
    /// A peer fell silent; `left` peers are still connected.
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
            // Peers that are noticed later do not prolong it.
            Some((Cause::LostPeers { .. }, until)) => until,
            // The peers gave up this node while it slept, and will connect again.
            Some((Cause::Slept { .. }, _)) => return,
            None => now.plus_ms(GRACE_LEASES * mesh.lease_ms),
        };
        self.now = Some((cause, until));
    }

    /// A peer is connected again, `connected` in all. With most of them back self-fencing ends, and leases expire as
    /// usual.
    pub(crate) fn on_back(&mut self, peer: PeerId, connected: usize) {
        self.silent.retain(|(_, silent)| *silent != peer);
        if matches!(self.now, Some((Cause::LostPeers { .. }, _))) && self.silent.len() < connected {
            self.now = None;
        }
    }

    /// Whether this node slept, so that all tasks seem to have taken long.
    pub(crate) fn slept(&self, now: Time) -> bool {
        matches!(self.cause(now), Some((Cause::Slept { .. }, _)))
    }

    /// A lease's end is handled only now. If that is late by more than a renewal interval, this node slept, and
    /// renewals may wait unread.
    pub(crate) fn on_late(&mut self, now: Time, mesh: &MeshConfig, due: Time) {
        let late_ms = now.since_us(due) / 1000;
        if late_ms > mesh.renew_ms {
            self.now = Some((Cause::Slept { late_ms }, now.plus_ms(mesh.lease_ms)));
        }
    }

    /// Until when a lease that runs out is kept; `None` if it expires. Leases of a connected worker are kept only if
    /// this node slept.
    pub(crate) fn holds(&self, now: Time, connected: bool) -> Option<Time> {
        match self.cause(now)? {
            (Cause::LostPeers { .. }, until) => (!connected).then_some(until),
            (Cause::Slept { .. }, until) => Some(until),
        }
    }

    pub(crate) fn view(&self, now: Time) -> Option<SelfFencingView> {
        let (cause, until) = self.cause(now)?;
        Some(SelfFencingView { cause, for_ms: until.since_us(now) / 1000 })
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
    fn who_loses_most_of_its_peers_within_a_lease_fences_itself() {
        // peers before, when they fell silent in ms -> whether it fences itself
        let table: [(usize, &[u64], bool); 7] = [
            (10, &[0, 100, 200, 300, 400, 500], true),
            (10, &[0, 100, 200, 300, 400], false),
            (3, &[0, 0, 0], true),
            (2, &[0, 0], false),
            (4, &[0, 0, 0], true),
            (6, &[0, 0, 0], false),
            (4, &[0, 2000, 5000], false),
        ];
        for (had, silences, fences) in table {
            let mut fencing = SelfFencing::default();
            for (number, ms) in (0u8..).zip(silences) {
                fencing.on_silent(at(*ms), &MESH, peer(number), had - usize::from(number) - 1);
            }
            assert_eq!(fencing.view(at(5000)).is_some(), fences, "{silences:?} of {had}");
        }
    }

    #[test]
    fn it_ends_by_itself_and_later_silences_do_not_prolong_it() {
        let mut fencing = SelfFencing::default();
        for number in 0..20 {
            fencing.on_silent(at(u64::from(number) * 100), &MESH, peer(number), 20 - usize::from(number) - 1);
        }
        let began = 1000;
        let until = at(began + 2 * MESH.lease_ms);
        assert_eq!(fencing.holds(at(2000), false), Some(until));
        assert_eq!(fencing.holds(at(2000), true), None, "leases of a connected worker expire as usual");
        assert_eq!(fencing.holds(until, false), None);
    }

    #[test]
    fn peers_that_come_back_are_no_loss() {
        let mut fencing = SelfFencing::default();
        for number in 0..10 {
            fencing.on_silent(at(0), &MESH, peer(number), 9);
            fencing.on_back(peer(number), 10);
        }
        assert_eq!(fencing.view(at(0)), None);
    }

    #[test]
    fn self_fencing_ends_when_most_are_back() {
        let mut fencing = SelfFencing::default();
        for number in 0..6 {
            fencing.on_silent(at(0), &MESH, peer(number), 9 - usize::from(number));
        }
        // Six of ten are silent at first, then five, which is not fewer than the others, then four.
        for (number, fences) in [(0, true), (1, false)] {
            fencing.on_back(peer(number), 5 + usize::from(number));
            assert_eq!(fencing.view(at(1)).is_some(), fences, "{number}");
        }
        let slept = || {
            let mut fencing = SelfFencing::default();
            fencing.on_late(at(30_000), &MESH, at(0));
            fencing
        };
        let mut fencing = slept();
        fencing.on_back(peer(1), 10);
        assert!(fencing.slept(at(30_001)), "it slept, whichever peers are back");
    }

    #[test]
    fn who_is_late_by_more_than_a_renewal_slept() {
        let mut fencing = SelfFencing::default();
        fencing.on_late(at(1000 + MESH.renew_ms), &MESH, at(1000));
        assert_eq!(fencing.view(at(0)), None);
        fencing.on_late(at(31_000), &MESH, at(1000));
        let view = fencing.view(at(31_000)).unwrap();
        assert_eq!((view.cause, view.for_ms), (Cause::Slept { late_ms: 30_000 }, MESH.lease_ms));
        assert!(fencing.holds(at(32_000), true).is_some());
        assert_eq!(fencing.holds(at(31_000 + MESH.lease_ms), true), None);
    }
}
