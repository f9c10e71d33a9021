//! Distinguishes a copied data directory from a restarted node. Both connect with an identity that is linked already
//! and another boot nonce; but a restarted node never returns with an earlier nonce, and its old link falls silent.
//! Pure: the driver reports events and acts on the result.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use weft_core::PeerId;

/// Most peers that are remembered; beyond it they are not reported.
const PEERS_MAX: usize = 64;
/// Most nonces that are remembered of one peer.
const BOOTS_MAX: usize = 8;
/// A link that is up this long after another process connected is alive: a leftover would have fallen silent.
const ALIVE_FOR: Duration = Duration::from_secs(4);
/// An identity that is used twice is reported again after this time.
const TOLD_EVERY: Duration = Duration::from_secs(3600);
/// A second process without news for this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(300);

/// The peers whose identity is, or may be, used twice.
#[derive(Default)]
pub(crate) struct Twins {
    peers: BTreeMap<PeerId, Seen>,
}

#[derive(Default)]
struct Seen {
    /// Nonces of processes that were linked before the current one, and of those that were found at the same time.
    boots: Vec<u64>,
    /// Whether it is proven that they run at the same time.
    proven: bool,
    linked: Option<u64>,
    told: Option<Instant>,
    /// When the second process was last seen.
    met: Option<Instant>,
}

impl Twins {
    /// A link to this process is up; `replaced` is the process whose link had to end for it.
    pub(crate) fn linked(&mut self, peer: PeerId, boot: u64, replaced: Option<u64>) {
        if !self.peers.contains_key(&peer) && self.peers.len() >= PEERS_MAX {
            let Some(unproven) = self.peers.iter().find(|(_, seen)| !seen.proven).map(|(peer, _)| *peer)
            else {
                return;
            };
            self.peers.remove(&unproven);
        }
        let replaced = replaced.filter(|other| *other != boot);
        if replaced.is_none() && !self.peers.contains_key(&peer) {
            return;
        }
        let seen = self.peers.entry(peer).or_default();
        seen.linked = Some(boot);
        if let Some(other) = replaced {
            seen.note(other);
        }
    }

    /// The link is down, and none replaced it.
    pub(crate) fn unlinked(&mut self, peer: PeerId) {
        let Some(seen) = self.peers.get_mut(&peer) else { return };
        seen.linked = None;
        if !seen.proven {
            self.peers.remove(&peer);
        }
    }

    /// Another process of a linked peer has been connected this long. Returns whether both run: then its connection
    /// must be closed.
    pub(crate) fn beside(
        &mut self,
        peer: PeerId,
        linked: u64,
        other: u64,
        since: Instant,
        now: Instant,
    ) -> bool {
        if linked == other {
            return false;
        }
        let was_before = self.peers.get(&peer).is_some_and(|seen| seen.boots.contains(&other));
        if !was_before && now - since < ALIVE_FOR {
            return false;
        }
        self.linked(peer, linked, Some(other));
        let Some(seen) = self.peers.get_mut(&peer) else { return false };
        seen.proven = true;
        seen.met = Some(now);
        true
    }

    /// The second process was refused again.
    pub(crate) fn met(&mut self, peer: PeerId, now: Instant) {
        if let Some(seen) = self.peers.get_mut(&peer) {
            seen.met = Some(now);
        }
    }

    /// Peers that were reported and whose second process is gone.
    pub(crate) fn over(&mut self, now: Instant) -> Vec<PeerId> {
        let gone = |seen: &Seen| seen.proven && seen.met.is_none_or(|at| now - at >= GONE_AFTER);
        let over: Vec<_> = self.peers.iter().filter(|(_, seen)| gone(seen)).map(|(peer, _)| *peer).collect();
        self.peers.retain(|_, seen| !gone(seen));
        over
    }

    /// The processes that must be refused now.
    pub(crate) fn refused(&self, peer: PeerId) -> Vec<u64> {
        let Some(seen) = self.peers.get(&peer).filter(|seen| seen.proven) else { return Vec::new() };
        let Some(linked) = seen.linked else { return Vec::new() };
        seen.boots.iter().copied().filter(|boot| *boot != linked).collect()
    }

    /// Whether to report now that this identity is used twice.
    pub(crate) fn is_news(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(seen) = self.peers.get_mut(&peer) else { return false };
        let news = seen.told.is_none_or(|at| now - at >= TOLD_EVERY);
        if news {
            seen.told = Some(now);
        }
        news
    }
}

impl Seen {
    fn note(&mut self, boot: u64) {
        if self.boots.contains(&boot) {
            return;
        }
        if self.boots.len() >= BOOTS_MAX {
            self.boots.remove(0);
        }
        self.boots.push(boot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: PeerId = PeerId([2; 32]);

    #[test]
    fn who_comes_back_after_it_was_replaced_runs_beside_the_other() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        twins.linked(BOB, 1, None);
        twins.linked(BOB, 2, Some(1));
        assert!(twins.refused(BOB).is_empty(), "a restart looks like this");
        assert!(twins.beside(BOB, 2, 1, now, now));
        assert_eq!(twins.refused(BOB), [1]);
        assert!(twins.is_news(BOB, now) && !twins.is_news(BOB, now));
        assert!(twins.is_news(BOB, now + TOLD_EVERY));
        // When the linked process ends, the other one may connect, and then the first one not.
        twins.unlinked(BOB);
        assert!(twins.refused(BOB).is_empty());
        twins.linked(BOB, 1, None);
        assert!(twins.beside(BOB, 1, 2, now, now + ALIVE_FOR));
        assert_eq!(twins.refused(BOB), [2]);
    }

    #[test]
    fn a_link_that_lives_on_beside_a_newcomer_is_no_leftover() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        twins.linked(BOB, 1, None);
        assert!(!twins.beside(BOB, 1, 2, now, now + Duration::from_secs(1)));
        assert!(twins.beside(BOB, 1, 2, now, now + ALIVE_FOR));
        assert_eq!(twins.refused(BOB), [2]);
    }

    #[test]
    fn it_is_over_when_the_second_process_is_met_no_more() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        twins.linked(BOB, 2, Some(1));
        assert!(twins.beside(BOB, 2, 1, now, now));
        twins.met(BOB, now + GONE_AFTER);
        assert!(twins.over(now + GONE_AFTER).is_empty());
        assert_eq!(twins.over(now + GONE_AFTER * 2), [BOB]);
        assert!(twins.refused(BOB).is_empty());
    }

    #[test]
    fn any_number_of_restarts_is_no_twin_and_leaves_nothing() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        for boot in 1..100 {
            twins.linked(BOB, boot, (boot > 1).then_some(boot - 1));
            assert!(!twins.beside(BOB, boot, boot, now, now + ALIVE_FOR));
            assert!(!twins.beside(BOB, boot, boot + 1, now, now));
        }
        assert!(twins.refused(BOB).is_empty());
        assert!(twins.peers[&BOB].boots.len() <= BOOTS_MAX);
        twins.unlinked(BOB);
        assert!(twins.peers.is_empty());
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let mut twins = Twins::default();
        for name in 0..=255 {
            twins.linked(PeerId([name; 32]), 2, Some(1));
        }
        assert!(twins.peers.len() <= PEERS_MAX);
    }
}
