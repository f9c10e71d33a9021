//! How an owner finds somebody in a mesh that is too large to be called: it seeks at exchanges, spread evenly, hires
//! whom they introduce, and doubts those that are silent or mislead it. What waits for more than a moment is also
//! offered to a few known peers directly, so that no exchange is needed for a task to end, only for it to start soon.
//!
//! **Simulated only:** meshes of cells run in the simulator today; see [`crate::cells`].
//!
//! Seeks are laid out over the cells by systematic sampling, in proportion to their slots: hashed cells differ in size by a
//! tenth, and an even spread overloads the small ones at 90 % load. An exchange that is silent for 50 ms, or most of whose
//! introductions come to nothing, is not asked for a while. What waits for a second is called directly at 16 peers at most.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Owner;
use super::award::{SLOTS_MAX, ask, nobody_makes_it};
use super::job::{Job, not_asked};
use super::open::StandingBid;
use crate::ctx::Ctx;
use crate::id::{CallId, JobId, PeerId};
use crate::membership::Membership;
use crate::message::Message;
use crate::policy::order;
use crate::referral::{CellWord, Introduction, Seek, WITHOUT_MAX};
use crate::standing::Standings;
use crate::time::Time;

/// Peers that one waiting call is offered to directly, each time it is repeated.
const DIRECT_MAX: usize = 16;
/// Exchanges that are doubted or measured; beyond it all are believed again.
const DOUBTS_MAX: usize = 512;
/// Introductions whose exchange is remembered.
const RECENT_MAX: usize = 64;
/// How long an exchange that is silent is not asked, in milliseconds.
const SILENT_MS: u64 = 2000;
/// The same for one that misleads.
const MISLED_MS: u64 = 10_000;

/// What one call seeks, and where.
#[derive(Debug, Default)]
pub(super) struct Seeking {
    desks: Vec<Desk>,
    /// Introduced workers that were of no use; nobody hands them on again before the call is repeated.
    without: Vec<PeerId>,
    /// When silence of a desk is noticed.
    pub(super) look_at: Option<Time>,
}

/// One exchange that was asked.
#[derive(Clone, Copy, Debug)]
struct Desk {
    exchange: PeerId,
    /// Tasks sought there and not introduced.
    left: u32,
    /// Whether it said anything since it was asked.
    answered: bool,
    since: Time,
}

impl Seeking {
    fn sought(&self) -> u32 {
        self.desks.iter().map(|desk| desk.left).fold(0, u32::saturating_add)
    }

    /// Where something still waits.
    pub(super) fn open_desks(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.desks.iter().filter(|desk| desk.left > 0).map(|desk| desk.exchange)
    }

    /// That node can't be spoken to: what waits there is sought elsewhere at once.
    pub(super) fn on_gone(&mut self, peer: PeerId, now: Time) {
        for desk in self.desks.iter_mut().filter(|desk| desk.exchange == peer && desk.left > 0) {
            desk.left = 0;
            self.look_at = Some(now);
        }
    }

    /// That worker is given nothing of this call for now.
    pub(super) fn spare(&mut self, worker: PeerId) {
        if self.without.len() < WITHOUT_MAX && !self.without.contains(&worker) {
            self.without.push(worker);
        }
    }

    /// There are no cells any more: where something waits that is to be withdrawn.
    pub(super) fn leave(&mut self) -> Vec<PeerId> {
        let open = self.open_desks().collect();
        *self = Self::default();
        open
    }

    fn desk_mut(&mut self, number: u32) -> Option<&mut Desk> {
        self.desks.get_mut(usize::try_from(number).ok()?)
    }

    /// Tasks sought at an exchange.
    fn left_at(&self, exchange: PeerId) -> u32 {
        self.desks.iter().find(|desk| desk.exchange == exchange).map_or(0, |desk| desk.left)
    }

    /// The number of the desk for an exchange.
    fn desk_at(&mut self, exchange: PeerId, now: Time) -> usize {
        let same = |desk: &Desk| desk.exchange == exchange;
        let place = self.desks.iter().position(same).unwrap_or(self.desks.len());
        if place == self.desks.len() {
            self.desks.push(Desk { exchange, left: 0, answered: true, since: now });
        }
        place
    }
}

impl Owner {
    /// Brings what is sought at exchanges in line with what waits.
    pub(super) fn seek(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let wanted = job.wanted();
        let Some(open) = &mut job.call else { return };
        let call = open.call;
        let repeat = open.repeat_at <= ctx.now;
        if repeat {
            // The few that were called speak for all.
            let asked_others = open.asked.iter().any(|peer| *peer != ctx.me) || !members.any_connected();
            job.hopeless |= asked_others && nobody_makes_it(open, &job.said);
            open.repeat_at = ctx.now.plus_ms(ctx.mesh.call_ms);
            open.asked.clear();
            open.seeking.without.clear();
        }
        let at_home = !open.asked.contains(&ctx.me);
        self.doubts.on_silence(ctx, &mut open.seeking);
        let shut = job.shut(&self.standings, ctx.me, ctx.now);
        if let Some(reason) = shut.filter(|_| at_home) {
            job.said.insert(ctx.me, (ctx.now, not_asked(reason)));
        } else if at_home && !job.spares(members, ctx.me) {
            ask(ctx, job, call, ctx.me);
        }
        if repeat {
            say_again(ctx, job, call);
            call_some(ctx, members, &self.standings, job, call);
        }
        let Some(open) = &job.call else { return };
        let sought = open.seeking.sought();
        // So many were of no use that nobody else is sought before the call is repeated.
        let barren = open.seeking.without.len() >= WITHOUT_MAX;
        // What wants labels is sought everywhere, also at whoever serves a cell only now.
        let everywhere = repeat && !job.what.needs.labels.is_empty();
        if (sought < wanted || everywhere) && !barren {
            self.spread(ctx, members, name, wanted.saturating_sub(sought));
        } else if sought > wanted {
            seek_less(ctx, job, call, sought - wanted);
        }
        if let Some(open) = self.jobs.get_mut(&name).and_then(|job| job.call.as_mut()) {
            let silent = open.seeking.desks.iter().filter(|desk| desk.left > 0 && !desk.answered);
            open.seeking.look_at = silent.map(|desk| desk.since.plus_ms(ctx.mesh.seek_ms)).min();
            let due = open.due();
            self.remind(due);
        }
    }

    /// Seeks so many more, spread over the exchanges by the slots of their cells. Tasks that want labels are sought at
    /// every exchange: few workers may carry them.
    fn spread(&mut self, ctx: &mut Ctx<'_>, members: &Membership, name: JobId, want: u32) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let (wide, wanted) = (!job.what.needs.labels.is_empty(), job.wanted());
        let desks = self.doubts.believed(ctx.now, members.cells().desks(ctx.now, ctx.mesh), members);
        let chance = ctx.fresh_id();
        let shares = shares(&desks, want, chance);
        for ((exchange, _), share) in desks.into_iter().zip(shares) {
            let Some(open) = &mut job.call else { continue };
            let share = if wide { wanted.saturating_sub(open.seeking.left_at(exchange)) } else { share };
            if share == 0 {
                continue;
            }
            let desk = open.seeking.desk_at(exchange, ctx.now);
            seek_at(ctx, job, desk, Some(share));
        }
    }

    // ---- what exchanges say

    pub(crate) fn on_introduce(&mut self, ctx: &mut Ctx<'_>, from: PeerId, word: Introduction) {
        let name = self.calls.get(&word.call).copied();
        let Some(job) = name.and_then(|name| self.jobs.get_mut(&name)) else {
            ctx.send(word.worker, Message::Release(word.bid));
            ctx.send(from, Message::Withdraw(word.call));
            return;
        };
        let Some(open) = &mut job.call else { return };
        let expires_at = ctx.now.plus_ms(u64::from(word.ttl_ms).min(ctx.mesh.bid_ms));
        let Some(desk) = open.seeking.desk_mut(word.desk).filter(|desk| desk.exchange == from) else {
            // It was not asked, or is not any more: the worker need not wait for the end of its bid.
            ctx.counters.dropped += 1;
            ctx.send(word.worker, Message::Release(word.bid));
            return;
        };
        // Nobody is introduced beyond what was asked for, so that a lie can't take what others would run.
        let slots = word.slots.min(desk.left).min(SLOTS_MAX);
        desk.left -= slots;
        desk.answered = true;
        self.doubts.on_introduced(word.worker, from);
        let standing = StandingBid {
            bid: word.bid,
            worker: word.worker,
            left: slots,
            start_in_us: 0,
            warm: false,
            introduced: true,
            came_at: ctx.now,
            expires_at,
        };
        if slots == 0 || !open.take(standing) {
            ctx.send(word.worker, Message::Release(word.bid));
        }
        self.dirty.insert(job.what.job);
    }

    /// Nobody stands at that exchange, but it is alive.
    pub(crate) fn on_waits(&mut self, ctx: &mut Ctx<'_>, from: PeerId, call: CallId, desk: u32) {
        let job = self.calls.get(&call).and_then(|name| self.jobs.get_mut(name));
        let Some(open) = job.and_then(|job| job.call.as_mut()) else {
            ctx.send(from, Message::Withdraw(call));
            return;
        };
        if let Some(desk) = open.seeking.desk_mut(desk).filter(|desk| desk.exchange == from) {
            desk.answered = true;
        }
    }
}

/// Shares of `want` tasks in proportion to slots, each rounded up or down: a comb of `want` teeth, laid by chance over
/// all slots in a row (systematic sampling). Sums to `want` unless there are no slots at all.
fn shares(desks: &[(PeerId, u32)], want: u32, chance: u64) -> Vec<u32> {
    let all: u64 = desks.iter().map(|(_, slots)| u64::from(*slots)).sum();
    let offset = if all == 0 { 0 } else { chance % all };
    // The tooth number k stands at (k * all + offset) / want; so many stand before a place.
    let before = |place: u64| {
        let past = (place * u64::from(want)).saturating_sub(offset);
        if all == 0 { 0 } else { past.div_ceil(all) }
    };
    let mut place = 0;
    let mut shares = Vec::with_capacity(desks.len());
    for (_, slots) in desks {
        let next = place + u64::from(*slots);
        shares.push(u32::try_from(before(next) - before(place)).unwrap_or(u32::MAX));
        place = next;
    }
    shares
}

/// Says to one desk what is sought there: `more` than before, or the same again.
fn seek_at(ctx: &mut Ctx<'_>, job: &mut Job, number: usize, more: Option<u32>) {
    let Some(open) = &mut job.call else { return };
    let Some(desk) = open.seeking.desks.get_mut(number) else { return };
    if let Some(more) = more {
        desk.left = desk.left.saturating_add(more);
        desk.answered = false;
        desk.since = ctx.now;
    }
    let seek = Seek {
        call: open.call,
        desk: u32::try_from(number).unwrap_or(u32::MAX),
        class: order::aged(job.what.class, ctx.now.since_us(job.fed_at)),
        needs: job.what.needs.clone(),
        memory_bytes: job.what.program.limits.memory_bytes,
        count: desk.left,
        without: open.seeking.without.clone(),
    };
    ctx.counters.sought += 1;
    ctx.send(desk.exchange, Message::Cell(CellWord::Seek(seek)));
}

/// What waits at exchanges is said again where it waits: a word may have been lost, an exchange may have forgotten.
fn say_again(ctx: &mut Ctx<'_>, job: &mut Job, call: CallId) {
    let Some(open) = &mut job.call else { return };
    debug_assert_eq!(open.call, call, "one call at a time");
    let again = open.seeking.desks.iter().enumerate().filter(|(_, desk)| desk.left > 0 && desk.answered);
    for number in again.map(|(number, _)| number).collect::<Vec<_>>() {
        seek_at(ctx, job, number, None);
    }
}

/// What was found elsewhere is sought no more, as far as it waits anywhere.
fn seek_less(ctx: &mut Ctx<'_>, job: &mut Job, call: CallId, mut surplus: u32) {
    let wide = !job.what.needs.labels.is_empty();
    let Some(open) = &mut job.call else { return };
    debug_assert_eq!(open.call, call, "one call at a time");
    let mut changed: Vec<usize> = Vec::new();
    for (number, desk) in open.seeking.desks.iter_mut().enumerate() {
        // What was not answered yet is on its way, and will be said to wait or be introduced.
        if surplus == 0 || wide {
            break;
        }
        if desk.left > 0 && desk.answered {
            let less = desk.left.min(surplus);
            desk.left -= less;
            surplus -= less;
            changed.push(number);
        }
    }
    for number in changed {
        seek_at(ctx, job, number, None);
    }
}

/// Offers what still waits to a few peers that are known, by chance, without any exchange.
fn call_some(ctx: &mut Ctx<'_>, members: &Membership, standings: &Standings, job: &mut Job, call: CallId) {
    let fits = |peer, known| Membership::unfit((peer, known), ctx, &job.what).is_none();
    let useful = |peer| !job.spares(members, peer) && job.shut(standings, peer, ctx.now).is_none();
    let suits = members.connected().filter(|(peer, known)| fits(*peer, known) && useful(*peer));
    let known: Vec<PeerId> = suits.map(|(peer, _)| peer).collect();
    let most = usize::try_from(job.wanted()).unwrap_or(DIRECT_MAX).saturating_mul(2).min(DIRECT_MAX);
    let count = u64::try_from(known.len()).unwrap_or(u64::MAX).max(1);
    let start = usize::try_from(ctx.fresh_id() % count).unwrap_or(0);
    for peer in known.iter().cycle().skip(start).take(most.min(known.len())) {
        ask(ctx, job, call, *peer);
    }
}

/// What exchanges were worth so far.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    by: BTreeMap<PeerId, Doubt>,
    /// Who introduced whom.
    recent: VecDeque<(PeerId, PeerId)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    introduced: u32,
    misled: u32,
    until: Time,
}

impl Doubts {
    /// Exchanges that did not answer in time are not asked for a while; what was sought there is sought elsewhere.
    fn on_silence(&mut self, ctx: &mut Ctx<'_>, seeking: &mut Seeking) {
        for desk in &mut seeking.desks {
            let late = desk.left > 0 && !desk.answered && desk.since.plus_ms(ctx.mesh.seek_ms) <= ctx.now;
            if late {
                desk.left = 0;
                self.doubt(desk.exchange).until = ctx.now.plus_ms(SILENT_MS);
            }
        }
    }

    fn on_introduced(&mut self, worker: PeerId, exchange: PeerId) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((worker, exchange));
        let doubt = self.doubt(exchange);
        doubt.introduced += 1;
        if doubt.introduced >= 64 {
            doubt.introduced /= 2;
            doubt.misled /= 2;
        }
    }

    /// Somebody refused an award or was not there. If an exchange introduced it, and most of those that it introduced
    /// lately, that exchange is not asked for a while. One refusal is nothing: bids end while they are handed on.
    pub(super) fn on_misled(&mut self, ctx: &mut Ctx<'_>, worker: PeerId) {
        let Some(place) = self.recent.iter().rposition(|(introduced, _)| *introduced == worker) else {
            return;
        };
        let Some((_, exchange)) = self.recent.remove(place) else { return };
        ctx.counters.misled += 1;
        let doubt = self.doubt(exchange);
        doubt.misled += 1;
        if doubt.misled >= 4 && doubt.misled * 2 > doubt.introduced {
            *doubt = Doubt { until: ctx.now.plus_ms(MISLED_MS), ..Doubt::default() };
        }
    }

    /// The exchanges that are believed; where none is, the one that would serve this node's cell instead.
    fn believed(&self, now: Time, mut desks: Vec<(PeerId, u32)>, members: &Membership) -> Vec<(PeerId, u32)> {
        desks.retain(|(desk, _)| self.by.get(desk).is_none_or(|doubt| doubt.until <= now));
        if desks.is_empty() {
            desks.push((members.cells().exchange(true), 1));
        }
        desks
    }

    fn doubt(&mut self, exchange: PeerId) -> &mut Doubt {
        if self.by.len() >= DOUBTS_MAX && !self.by.contains_key(&exchange) {
            self.by.clear();
        }
        self.by.entry(exchange).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion_and_sum_up() {
        let desk = |slots| (PeerId([1; 32]), slots);
        // slots of each, tasks, chance -> shares
        let table: [(&[u32], u32, u64, &[u32]); 7] = [
            (&[100, 100, 100, 100], 4, 0, &[1, 1, 1, 1]),
            (&[100, 100, 100, 100], 4, 399, &[1, 1, 1, 1]),
            (&[300, 100], 4, 7, &[3, 1]),
            (&[100, 100, 100, 100], 1, 250, &[0, 0, 1, 0]),
            (&[100, 100], 1001, 150, &[500, 501]),
            (&[0, 5], 3, 2, &[0, 3]),
            (&[0], 3, 2, &[0]),
        ];
        for (slots, want, chance, expected) in table {
            let desks: Vec<_> = slots.iter().map(|slots| desk(*slots)).collect();
            assert_eq!(shares(&desks, want, chance), expected, "{slots:?} {want} {chance}");
        }
    }

    #[test]
    fn whatever_chance_says_every_task_has_one_share() {
        let desks: Vec<_> = [3, 1, 400, 7, 90, 90].map(|slots| (PeerId([2; 32]), slots)).to_vec();
        for chance in 0..2000 {
            let sum: u32 = shares(&desks, 37, chance).iter().sum();
            assert_eq!(sum, 37, "chance {chance}");
        }
    }
}
