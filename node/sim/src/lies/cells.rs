//! False messages of a mesh of cells: advertised and matched bids that do not exist, requests for all slots of a
//! mesh, claims without a bid. They cost refused claims, and the slots of a bid until it expires.

use weft_core::message::{Class, Needs};
use weft_core::{BidId, BidRequest, CallId, CellMessage, Match, PeerId};

use super::{Forger, idle_call};

impl Forger<'_> {
    /// A false message about one of these nodes, for a call that the liar heard or invented.
    pub(super) fn cell_word(&mut self, heard: Option<CallId>, about: &[PeerId]) -> CellMessage {
        let call = heard.unwrap_or(CallId(self.chance.any()));
        let request_id = u32::try_from(self.chance.index(3)).unwrap_or(0);
        let (worker, bid) = (about[self.chance.index(about.len())], BidId(self.chance.any()));
        let count = [0, 3, 200, u32::MAX][self.chance.index(4)];
        match self.chance.below(7) {
            0 => {
                let bids = (0..100).map(|_| (BidId(self.chance.any()), count)).collect();
                CellMessage::Advertise { bids, ttl_ms: u32::MAX }
            }
            1 => CellMessage::Request(BidRequest {
                call,
                request_id,
                class: Class::Realtime,
                needs: Needs::default(),
                memory_bytes: 0,
                count,
                without: about.to_vec(),
            }),
            2 => CellMessage::Waits { call, request_id },
            3 => CellMessage::FlockRequest { count, memory_bytes: 0 },
            4 => CellMessage::Flock { bids: vec![(worker, bid, count)], ttl_ms: u32::MAX },
            5 => {
                let slots = count;
                CellMessage::Match(Match { call, request_id, worker, bid, slots, ttl_ms: u32::MAX })
            }
            _ => {
                let award = self.award();
                let job = award.grants.first().map(|grant| grant.lease.job);
                let call = idle_call(award.call);
                CellMessage::Claim {
                    call: weft_core::message::Call { job: job.unwrap_or(call.job), ..call },
                    award,
                }
            }
        }
    }
}
