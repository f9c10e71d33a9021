//! Detects paths on which small packets pass and large ones never do: a switch or tunnel with a smaller packet size
//! than the hosts assume, which does not report it. Links over such a path come up, fall silent with the first large
//! packet and come up again. Pure: the driver reports how links ended, and asks which ones should probe.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use weft_core::PeerId;

use crate::link::{End, Path};

/// Most peers that are remembered; beyond it the one without news for longest is forgotten.
const PEERS_MAX: usize = 256;
/// A broken link makes the next one to the same process probe, if it comes up within this time.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Links in a row over which large packets were lost.
const EVIDENCE: u32 = 2;
/// A path that stays bad is reported again after this time.
const TOLD_EVERY: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(crate) struct Paths {
    peers: BTreeMap<PeerId, Known>,
}

struct Known {
    boot: u64,
    broke: Instant,
    swallowed: u32,
    told: Option<Instant>,
}

impl Paths {
    /// Whether a link to this process, which comes up now, should probe large packets.
    pub(crate) fn is_doubtful(&self, peer: PeerId, boot: u64, now: Instant) -> bool {
        self.peers.get(&peer).is_some_and(|known| {
            known.boot == boot && (known.swallowed > 0 || now - known.broke < REMEMBERED)
        })
    }

    /// Large packets pass. Returns whether the opposite was reported before.
    pub(crate) fn passed(&mut self, peer: PeerId) -> bool {
        self.peers.remove(&peer).is_some_and(|known| known.told.is_some())
    }

    /// A link ended. Returns whether to report now that large packets get lost on its path.
    pub(crate) fn ended(&mut self, peer: PeerId, boot: u64, end: &End, path: Path, now: Instant) -> bool {
        let told = self.peers.get(&peer).and_then(|known| known.told);
        if !matches!(end, End::Silent | End::Closed(_)) {
            return false;
        }
        let before =
            self.peers.get(&peer).filter(|known| known.boot == boot).map_or(0, |known| known.swallowed);
        let swallowed = match path {
            Path::Unknown => before,
            Path::Passes => 0,
            Path::Swallows => before + 1,
        };
        let news = swallowed >= EVIDENCE && told.is_none_or(|at| now - at >= TOLD_EVERY);
        let told = if news { Some(now) } else { told };
        self.make_room();
        self.peers.insert(peer, Known { boot, broke: now, swallowed, told });
        news
    }

    fn make_room(&mut self) {
        if self.peers.len() < PEERS_MAX {
            return;
        }
        let oldest = self.peers.iter().min_by_key(|(_, known)| known.broke).map(|(peer, _)| *peer);
        if let Some(oldest) = oldest {
            self.peers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: PeerId = PeerId([2; 32]);

    fn closed() -> End {
        End::Closed(String::new())
    }

    #[test]
    fn large_packets_that_are_lost_twice_in_a_row_are_told_once() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        assert!(!paths.is_doubtful(BOB, 1, now), "a first link costs nothing");
        assert!(!paths.ended(BOB, 1, &End::Silent, Path::Unknown, now));
        assert!(paths.is_doubtful(BOB, 1, now) && !paths.is_doubtful(BOB, 2, now));
        assert!(!paths.ended(BOB, 1, &closed(), Path::Swallows, now));
        assert!(paths.ended(BOB, 1, &End::Silent, Path::Swallows, now));
        assert!(!paths.ended(BOB, 1, &End::Silent, Path::Swallows, now));
        assert!(paths.passed(BOB) && !paths.passed(BOB));
        assert!(!paths.is_doubtful(BOB, 1, now));
    }

    #[test]
    fn cuts_restarts_and_losses_are_no_such_path() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        for boot in 0..10 {
            assert!(!paths.ended(BOB, boot, &End::Silent, Path::Swallows, now));
        }
        for _ in 0..10 {
            assert!(!paths.ended(BOB, 9, &End::Silent, Path::Unknown, now));
        }
        assert!(!paths.ended(BOB, 9, &End::Silent, Path::Passes, now));
        assert!(!paths.ended(BOB, 9, &End::Silent, Path::Swallows, now));
        for name in 0..1000u32 {
            let mut peer = [0; 32];
            peer[..4].copy_from_slice(&name.to_be_bytes());
            paths.ended(PeerId(peer), 1, &End::Silent, Path::Unknown, now);
        }
        assert!(paths.peers.len() <= PEERS_MAX);
    }
}
