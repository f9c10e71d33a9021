//! What matchmakers were worth so far: those that were silent or misled this owner are not asked for a while. Plain
//! bookkeeping.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::requests::Requests;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::time::Time;

/// Matchmakers of which something is remembered; beyond it all are believed again.
const KNOWN_MAX: usize = 512;
/// Matches whose matchmaker is remembered.
const RECENT_MAX: usize = 64;
/// How long a matchmaker that is silent is not asked, in milliseconds.
const SILENT_MS: u64 = 2000;
/// The same for one that misleads.
const MISMATCHED_MS: u64 = 10_000;

/// What is remembered of matchmakers.
#[derive(Debug, Default)]
pub(in crate::owner) struct Matchmakers {
    by: BTreeMap<PeerId, Worth>,
    /// Which worker was matched by which matchmaker.
    recent: VecDeque<(PeerId, PeerId)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Worth {
    matched: u32,
    mismatched: u32,
    /// It is not asked sooner.
    until: Time,
}

/// A matchmaker that may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matchmaker {
    pub(super) peer: PeerId,
    /// Slots of its cell.
    pub(super) slots: u32,
}

impl Matchmakers {
    /// Those that did not answer in time are not asked for a while; what was requested there is requested elsewhere.
    pub(super) fn on_silence(&mut self, ctx: &Ctx<'_>, requests: &mut Requests) {
        for request in requests.all.iter_mut().filter(|request| request.is_silent()) {
            if request.since.plus_ms(ctx.mesh.request_ms) <= ctx.now {
                request.left = 0;
                self.worth(request.matchmaker).until = ctx.now.plus_ms(SILENT_MS);
            }
        }
    }

    pub(super) fn on_matched(&mut self, worker: PeerId, matchmaker: PeerId) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((worker, matchmaker));
        let worth = self.worth(matchmaker);
        worth.matched += 1;
        if worth.matched >= 64 {
            worth.matched /= 2;
            worth.mismatched /= 2;
        }
    }

    /// A worker refused an award or was not there. If a matchmaker handed it on, and most of those that it handed on
    /// lately, that matchmaker is not asked for a while. One refusal is nothing: bids end while they are handed on.
    pub(in crate::owner) fn on_mismatched(&mut self, ctx: &mut Ctx<'_>, worker: PeerId) {
        let place = self.recent.iter().rposition(|(matched, _)| *matched == worker);
        if let Some((_, matchmaker)) = place.and_then(|place| self.recent.remove(place)) {
            ctx.counters.mismatched += 1;
            let worth = self.worth(matchmaker);
            worth.mismatched += 1;
            if worth.mismatched >= 4 && worth.mismatched * 2 > worth.matched {
                *worth = Worth { until: ctx.now.plus_ms(MISMATCHED_MS), ..Worth::default() };
            }
        }
    }

    /// Those that are believed; where none is, the one that would serve this node's cell instead.
    pub(super) fn believed(&self, ctx: &Ctx<'_>, members: &Membership) -> Vec<Matchmaker> {
        let all = members.cells().matchmakers(ctx.now, ctx.mesh).into_iter();
        let believed = |peer: &PeerId| self.by.get(peer).is_none_or(|worth| worth.until <= ctx.now);
        let all = all.filter(|(peer, _)| believed(peer)).map(|(peer, slots)| Matchmaker { peer, slots });
        let mut all: Vec<Matchmaker> = all.collect();
        if all.is_empty() {
            all.push(Matchmaker { peer: members.cells().matchmaker(true), slots: 1 });
        }
        all
    }

    fn worth(&mut self, matchmaker: PeerId) -> &mut Worth {
        if self.by.len() >= KNOWN_MAX && !self.by.contains_key(&matchmaker) {
            self.by.clear();
        }
        self.by.entry(matchmaker).or_default()
    }
}
