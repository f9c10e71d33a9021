//! Each peer's last response to a job's calls: for `why`, and for what is known of a deadline. Plain bookkeeping. Over a
//! job's life more peers may come and go than there are at a time.

use alloc::collections::BTreeMap;

use crate::id::PeerId;
use crate::membership::PEERS_MAX;
use crate::snapshot::Response;
use crate::time::Time;

/// The last response of each peer, and when it came. At most as many as there may be peers are kept; beyond it the oldest
/// is forgotten.
#[derive(Debug, Default)]
pub(in crate::owner) struct Responses(BTreeMap<PeerId, (Time, Response)>);

impl Responses {
    pub(in crate::owner) fn set(&mut self, peer: PeerId, now: Time, response: Response) {
        if self.0.len() >= PEERS_MAX && !self.0.contains_key(&peer) {
            let oldest = self.0.iter().min_by_key(|(peer, (at, _))| (*at, **peer)).map(|(peer, _)| *peer);
            oldest.into_iter().for_each(|oldest| drop(self.0.remove(&oldest)));
        }
        self.0.insert(peer, (now, response));
    }

    /// A peer is asked; its response before holds until it answers.
    pub(in crate::owner) fn ask(&mut self, peer: PeerId, now: Time) {
        if !self.0.contains_key(&peer) {
            self.set(peer, now, Response::Nothing);
        }
    }

    pub(in crate::owner) fn get(&self, peer: PeerId) -> Option<&Response> {
        self.0.get(&peer).map(|(_, response)| response)
    }

    /// All of them, in the order of the peers' names.
    pub(in crate::owner) fn iter(&self) -> impl Iterator<Item = (PeerId, Time, &Response)> + '_ {
        self.0.iter().map(|(peer, (at, response))| (*peer, *at, response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u64) -> PeerId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        PeerId(id)
    }

    #[test]
    fn however_many_peers_come_and_go_the_latest_responses_are_kept() {
        let mut responses = Responses::default();
        let most = PEERS_MAX as u64;
        for number in 0..most + 10 {
            responses.set(peer(number), Time(number), Response::Bid(1));
            if number < most {
                responses.set(peer(0), Time(number), Response::Bid(2));
            }
        }
        assert_eq!(responses.iter().count(), PEERS_MAX);
        assert_eq!(responses.get(peer(0)), Some(&Response::Bid(2)), "it has spoken since");
        assert_eq!(responses.get(peer(1)), None);
        assert_eq!(responses.get(peer(10)), None);
        assert_eq!(responses.get(peer(11)), Some(&Response::Bid(1)));
        responses.ask(peer(11), Time(0));
        assert_eq!(responses.get(peer(11)), Some(&Response::Bid(1)), "until it answers");
        responses.ask(peer(1 << 40), Time(1 << 40));
        assert_eq!((responses.iter().count(), responses.get(peer(12))), (PEERS_MAX, Some(&Response::Bid(1))));
        assert_eq!((responses.get(peer(11)), responses.get(peer(1 << 40))), (None, Some(&Response::Nothing)));
    }
}
