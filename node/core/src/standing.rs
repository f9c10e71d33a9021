//! How far a node is trusted with more work, by what became of the work it had: plain data and integer arithmetic,
//! without a word to anybody. The owner keeps one for each peer, and one for each peer of a job.
//!
//! It is a circuit breaker with a memory. Whoever loses something is given nothing for a while, which doubles with
//! every loss in a row; then it is asked last; and whoever did worse than once gets one task at a time, as a probe,
//! until it did well or enough time passed. Blame halves with time, so that nobody is shut out for ever.

use alloc::collections::BTreeMap;

use crate::id::PeerId;
use crate::membership::PEERS_MAX;
use crate::message::Reason;
use crate::time::Time;

/// Blame halves in so many milliseconds.
pub(crate) const HALF_LIFE_MS: u64 = 60_000;
/// Blame from which a node is asked last.
const LAST_FROM: u32 = 500;
/// Blame from which a node gets one task at a time: more than one mishap, less than two that came together.
const PROBE_FROM: u32 = 1_500;
/// Blame for a loss: a lease that ran out, or a task that the node gave up itself.
const BLAME_LOST: u32 = 1_000;
/// Blame for a task whose backup copy ended sooner, and for one that failed here and ended well elsewhere.
const BLAME_SLOW: u32 = 500;
/// Blame for an answer that a majority of other nodes contradicts.
const BLAME_LIE: u32 = 8_000;
/// Most blame that is kept.
const BLAME_MAX: u32 = 64_000;
/// Doublings of the time for which a node that loses task after task is given none: about four minutes at most.
const STREAK_MAX: u32 = 10;
/// Refusals in a row of what it bid for, from which a node is treated like one that loses tasks. Fewer are bad luck: a
/// bid may end while its award is on the way.
const REFUSALS_MAX: u8 = 4;
/// For how long a node is given none after its first lie, in milliseconds; doubled with each further one.
const LIE_MS: u64 = 30_000;
/// Doublings of that: four minutes at most.
const LIES_DOUBLED_MAX: u32 = 3;

/// For how long a node is given none after its disk was full, in milliseconds; doubled each time in a row.
const FULL_MS: u64 = 5_000;
/// Doublings of that: 80 s at most.
const FULL_DOUBLED_MAX: u32 = 4;

/// What a node may be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Whatever it bids for.
    #[default]
    Full,
    /// Whatever it bids for, after all others.
    Last,
    /// One task at a time, after all others.
    Probe,
    /// Nothing now.
    Shut,
}

/// A node's record with this owner, as others may look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingView {
    /// What it may be given now.
    pub trust: Trust,
    /// Blame that is left of all its misfortunes: 1,000 is one loss just now, and half of that a minute later.
    pub blame: u32,
    /// For how much longer it is given nothing, in milliseconds.
    pub shut_ms: u64,
    /// Tasks whose backup copy elsewhere ended sooner, or that failed here and ended well elsewhere.
    pub slow: u32,
    /// Answers that a majority of other nodes contradicted.
    pub lies: u32,
}

/// A node's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    blame: u32,
    blamed_at: Time,
    /// Losses in a row, many at once being one.
    streak: u32,
    /// Until when it is given nothing.
    until: Time,
    slow: u32,
    lies: u32,
    /// Times in a row that it refused what it had bid for.
    refusals: u8,
    /// Until when it is given nothing because its disk is full: no blame, and nothing that others see.
    full_until: Time,
    /// How often in a row it was full, many tasks at once being one.
    full: u32,
}

impl Standing {
    /// It lost a task. Many at once are one mishap. `base_ms` is how long it is given nothing after the first.
    pub(crate) fn on_lost(&mut self, now: Time, base_ms: u64) {
        if now < self.until {
            return;
        }
        self.add_blame(now, BLAME_LOST);
        self.until = now.plus_ms(base_ms << self.streak);
        self.streak = (self.streak + 1).min(STREAK_MAX - 1);
    }

    /// It refused what it had bid for, in one word.
    pub(crate) fn on_refused(&mut self, now: Time, base_ms: u64) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= REFUSALS_MAX {
            self.on_lost(now, base_ms);
        }
    }

    /// Its disk had no room for a task.
    pub(crate) fn on_full(&mut self, now: Time) {
        if now < self.full_until {
            return;
        }
        self.full_until = now.plus_ms(FULL_MS << self.full.min(FULL_DOUBLED_MAX));
        self.full = self.full.saturating_add(1);
    }

    /// Another node did sooner, or well, what this one did late or badly.
    pub(crate) fn on_slow(&mut self, now: Time) {
        self.slow = self.slow.saturating_add(1);
        self.add_blame(now, BLAME_SLOW);
    }

    /// Most others contradict what it said.
    pub(crate) fn on_lie(&mut self, now: Time) {
        let shut_ms = LIE_MS << self.lies.min(LIES_DOUBLED_MAX);
        self.until = self.until.max(now.plus_ms(shut_ms));
        self.lies = self.lies.saturating_add(1);
        self.add_blame(now, BLAME_LIE);
    }

    /// It brought something home. Losses are forgiven at once, and blame by a half; lies only with time.
    pub(crate) fn on_done(&mut self, now: Time) {
        self.refusals = 0;
        (self.full, self.full_until) = (0, Time::ZERO);
        if self.blame == 0 {
            return;
        }
        self.streak = 0;
        if self.lies == 0 {
            self.until = Time::ZERO;
            let left = self.blame(now) / 2;
            (self.blame, self.blamed_at) = (if left < LAST_FROM { 0 } else { left }, now);
        }
    }

    /// What it may be given now.
    pub(crate) fn trust(&self, now: Time) -> Trust {
        if now < self.until || now < self.full_until {
            return Trust::Shut;
        }
        match self.blame(now) {
            PROBE_FROM.. => Trust::Probe,
            LAST_FROM.. => Trust::Last,
            _ => Trust::Full,
        }
    }

    /// As others may look at it.
    pub(crate) fn view(&self, now: Time) -> StandingView {
        StandingView {
            trust: self.trust(now),
            blame: self.blame(now),
            shut_ms: self.shut_ms(now),
            slow: self.slow,
            lies: self.lies,
        }
    }

    /// Why it is given nothing now, if it is not.
    fn shut(&self, now: Time) -> Option<Reason> {
        match self.shut_ms(now) {
            0 => (now < self.full_until).then_some(Reason::NoRoom),
            for_ms => Some(Reason::Mistrusted { for_ms }),
        }
    }

    fn shut_ms(&self, now: Time) -> u64 {
        self.until.since_us(now).div_ceil(1000)
    }

    /// Blame that time has left: halved once for each half-life, and in a straight line between two of them.
    fn blame(&self, now: Time) -> u32 {
        let half_us = HALF_LIFE_MS * 1000;
        let passed_us = now.since_us(self.blamed_at);
        let halvings = u32::try_from(passed_us / half_us).unwrap_or(u32::MAX);
        let whole = u64::from(self.blame.checked_shr(halvings).unwrap_or(0));
        let part = whole * (passed_us % half_us) / (2 * half_us);
        u32::try_from(whole - part).unwrap_or(u32::MAX)
    }

    fn add_blame(&mut self, now: Time, more: u32) {
        self.blame = self.blame(now).saturating_add(more).min(BLAME_MAX);
        self.blamed_at = now;
    }
}

/// Records of many nodes; whoever did nothing wrong has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standings {
    of: BTreeMap<PeerId, Standing>,
}

impl Standings {
    /// The record of a node that may have done something wrong. There is room for as many as there may be peers;
    /// beyond it the least blamed is forgotten.
    pub(crate) fn blamed(&mut self, peer: PeerId, now: Time) -> &mut Standing {
        if self.of.len() >= PEERS_MAX && !self.of.contains_key(&peer) {
            let least = self.of.iter().min_by_key(|(_, standing)| (standing.trust(now), standing.blame(now)));
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.of.remove(&least);
            }
        }
        self.of.entry(peer).or_default()
    }

    /// A node did well.
    pub(crate) fn on_done(&mut self, peer: PeerId, now: Time) {
        if let Some(standing) = self.of.get_mut(&peer) {
            standing.on_done(now);
        }
    }

    pub(crate) fn trust(&self, peer: PeerId, now: Time) -> Trust {
        self.of.get(&peer).map_or(Trust::Full, |standing| standing.trust(now))
    }

    /// Why a node is given nothing now, if it is not.
    pub(crate) fn shut(&self, peer: PeerId, now: Time) -> Option<Reason> {
        self.of.get(&peer).and_then(|standing| standing.shut(now))
    }

    pub(crate) fn view(&self, peer: PeerId, now: Time) -> StandingView {
        self.of.get(&peer).map(|standing| standing.view(now)).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(ms: u64) -> Time {
        Time::ZERO.plus_ms(ms)
    }

    #[test]
    fn blame_halves_with_time_and_never_grows_by_itself() {
        let mut standing = Standing::default();
        standing.on_lost(at(0), 500);
        // seconds after the loss -> blame left
        let table = [(0, 1000), (30, 750), (60, 500), (90, 375), (120, 250), (600, 0), (1 << 40, 0)];
        for (s, left) in table {
            assert_eq!(standing.view(at(s * 1000)).blame, left, "after {s} s");
        }
    }

    #[test]
    fn losses_in_a_row_shut_a_node_out_for_longer_and_many_at_once_count_once() {
        let mut standing = Standing::default();
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..12 {
            standing.on_lost(at(now), 500);
            standing.on_lost(at(now), 500);
            let shut = standing.view(at(now)).shut_ms;
            assert_eq!(standing.trust(at(now + shut - 1)), Trust::Shut);
            assert_ne!(standing.trust(at(now + shut)), Trust::Shut, "asked again");
            waits.push(shut);
            now += shut;
        }
        assert_eq!(waits[..4], [500, 1000, 2000, 4000]);
        assert_eq!(waits[9..], [256_000, 256_000, 256_000]);
    }

    #[test]
    fn who_refuses_what_it_bids_for_again_and_again_is_shut_out_like_one_that_loses() {
        let refused = |standing: &mut Standing, ms| standing.on_refused(at(ms), 500);
        let mut standing = Standing::default();
        (1..=3).for_each(|ms| refused(&mut standing, ms));
        assert_eq!(standing.trust(at(3)), Trust::Full, "bad luck");
        standing.on_done(at(4));
        (5..=7).for_each(|ms| refused(&mut standing, ms));
        assert_eq!(standing.trust(at(7)), Trust::Full, "not in a row");
        refused(&mut standing, 8);
        assert_eq!((standing.trust(at(8)), standing.view(at(8)).shut_ms), (Trust::Shut, 500));
        refused(&mut standing, 600);
        assert_eq!(standing.view(at(600)).shut_ms, 1000, "asked again, and no better");
    }

    #[test]
    fn a_full_disk_is_waited_for_longer_each_time_and_is_no_blame() {
        let (mut standing, mut now, mut waits) = (Standing::default(), 0, Vec::new());
        for _ in 0..6 {
            // Tasks that lack different blobs say so one by one.
            (0..4).for_each(|_| standing.on_full(at(now)));
            assert_eq!(standing.shut(at(now)), Some(Reason::NoRoom));
            let wait =
                (now..).find(|ms| standing.trust(at(*ms)) == Trust::Full).expect("it is asked again") - now;
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [5_000, 10_000, 20_000, 40_000, 80_000, 80_000]);
        assert_eq!(standing.view(at(now)), StandingView::default());
        standing.on_full(at(now));
        standing.on_done(at(now));
        assert_eq!((standing.trust(at(now)), standing.shut(at(now))), (Trust::Full, None), "it has room");
    }

    #[test]
    fn trust_follows_what_happened() {
        type Story = fn(&mut Standing);
        // what happened at 0 s, trust a second later, five minutes later
        let table: [(Story, Trust, Trust); 7] = [
            (|_| (), Trust::Full, Trust::Full),
            (|s| s.on_lost(at(0), 500), Trust::Last, Trust::Full),
            (|s| (0..4).for_each(|_| s.on_slow(at(0))), Trust::Probe, Trust::Full),
            (|s| (0..2).for_each(|_| s.on_slow(at(0))), Trust::Last, Trust::Full),
            (|s| s.on_lie(at(0)), Trust::Shut, Trust::Full),
            (
                |s| {
                    s.on_lie(at(0));
                    s.on_done(at(0));
                },
                Trust::Shut,
                Trust::Full,
            ),
            (
                |s| {
                    s.on_lost(at(0), 60_000);
                    s.on_done(at(0));
                    s.on_done(at(0));
                },
                Trust::Full,
                Trust::Full,
            ),
        ];
        for (place, (story, soon, late)) in table.into_iter().enumerate() {
            let mut standing = Standing::default();
            story(&mut standing);
            assert_eq!((standing.trust(at(1000)), standing.trust(at(300_000))), (soon, late), "{place}");
        }
    }

    #[test]
    fn a_probe_that_does_well_opens_the_door_again() {
        let mut standing = Standing::default();
        for ms in [0, 600] {
            standing.on_lost(at(ms), 500);
        }
        assert_eq!(standing.trust(at(1000)), Trust::Shut);
        assert_eq!(standing.trust(at(1600)), Trust::Probe, "half open");
        standing.on_done(at(1700));
        assert_eq!(standing.trust(at(1700)), Trust::Last);
        standing.on_done(at(1800));
        assert_eq!(standing.trust(at(1800)), Trust::Full);
    }

    #[test]
    fn a_liar_is_shut_out_for_longer_each_time_and_does_not_work_it_off() {
        let mut standing = Standing::default();
        let mut waits = Vec::new();
        for hour in 0..5 {
            standing.on_lie(at(hour * 3_600_000));
            standing.on_done(at(hour * 3_600_000));
            waits.push(standing.view(at(hour * 3_600_000)).shut_ms / 1000);
        }
        assert_eq!(waits, [30, 60, 120, 240, 240]);
        assert_eq!(standing.trust(at(4 * 3_600_000 + 241_000)), Trust::Full, "four half-lives later");
    }
}
