//! How far a node is trusted with more work, by the outcomes of earlier work: plain data and integer arithmetic, no
//! messages. The owner keeps one record for each peer, and one for each peer of a job.
//!
//! It is a circuit breaker with a decaying memory. A node that loses a task gets no tasks for a while, which doubles
//! with every loss in a row. Afterwards it is asked last. A node with more blame than one loss gets one task at a time,
//! as a probe, until it succeeds or enough time passes. Blame halves with time, so that no node is excluded for ever.

use alloc::collections::BTreeMap;

use crate::id::PeerId;
use crate::membership::PEERS_MAX;
use crate::message::Reason;
use crate::time::Time;

/// Half-life of blame, in milliseconds.
pub(crate) const HALF_LIFE_MS: u64 = 60_000;
/// Blame from which a node is asked last.
const DEPRIORITISED_FROM: u32 = 500;
/// Blame from which a node gets one task at a time: more than one loss, less than two at once.
const HALF_OPEN_FROM: u32 = 1_500;
/// Blame for a loss: a lease that ran out, or a task that the node gave up.
const BLAME_LOST: u32 = 1_000;
/// Blame for a task whose backup copy ended sooner, and for one that failed on this node and succeeded on another.
const BLAME_SLOW: u32 = 500;
/// Blame for an answer that a majority contradicts.
const BLAME_LIE: u32 = 8_000;
/// Most blame that is kept.
const BLAME_MAX: u32 = 64_000;
/// Most doublings of the time in which a node that loses task after task gets none: about four minutes.
const STREAK_MAX: u32 = 10;
/// Refused awards in a row from which a node is treated like one that loses tasks. Fewer are normal: a bid may end
/// while its award is on the way.
const REFUSALS_MAX: u8 = 4;
/// Time in which a node gets no tasks after its first false answer, in milliseconds; doubled with each further one.
const LIE_MS: u64 = 30_000;
/// Most doublings of [`LIE_MS`]: four minutes.
const LIES_DOUBLED_MAX: u32 = 3;

/// Time in which a node gets no tasks after its disk was full, in milliseconds; doubled each time in a row.
const FULL_MS: u64 = 5_000;
/// Most doublings of [`FULL_MS`]: 80 s.
const FULL_DOUBLED_MAX: u32 = 4;

/// Time in which a node gets no tasks after it gave some back because it drains, in milliseconds; doubled each time in a
/// row.
const DRAINED_MS: u64 = 1_000;
/// Most doublings of [`DRAINED_MS`]: about a minute.
const DRAINED_DOUBLED_MAX: u32 = 6;

/// Which tasks a node may get: the state of the circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// All tasks that it bids for.
    #[default]
    Closed,
    /// All tasks that it bids for, after all other nodes.
    Deprioritised,
    /// One task at a time, after all other nodes.
    HalfOpen,
    /// No tasks now.
    Open,
}

/// A read-only view of a node's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReputationView {
    /// The state of its circuit breaker.
    pub trust: Trust,
    /// Its blame now: 1,000 right after one loss, half of that a minute later.
    pub blame: u32,
    /// For how much longer it gets no tasks, in milliseconds.
    pub open_ms: u64,
    /// Tasks whose backup copy on another node ended sooner, or that failed on this one and succeeded on another.
    pub slow: u32,
    /// Answers that a majority contradicted.
    pub lies: u32,
}

/// A node's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reputation {
    blame: u32,
    blamed_at: Time,
    /// Losses in a row; losses at the same time count once.
    streak: u32,
    /// Until when it gets no tasks.
    until: Time,
    slow: u32,
    lies: u32,
    /// Refused awards in a row.
    refusals: u8,
    /// Until when it gets no tasks because its disk is full; this is no blame, and the view shows it by `trust` alone.
    full_until: Time,
    /// How often in a row its disk was full; tasks at the same time count once.
    full: u32,
    /// Until when it gets no tasks because it gave some back; this is no blame either.
    drained_until: Time,
    /// How often in a row it gave tasks back; those at the same time count once.
    drained: u32,
}

impl Reputation {
    /// It lost a task. Losses at the same time count once. `base_ms` is how long it gets no tasks after the first loss.
    pub(crate) fn on_lost(&mut self, now: Time, base_ms: u64) {
        if now < self.until {
            return;
        }
        self.add_blame(now, BLAME_LOST);
        self.until = now.plus_ms(base_ms << self.streak);
        self.streak = (self.streak + 1).min(STREAK_MAX - 1);
    }

    /// It refused awards on its bids, in one message.
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

    /// It gave tasks back, because it takes no work any more.
    pub(crate) fn on_drained(&mut self, now: Time) {
        if now < self.drained_until {
            return;
        }
        self.drained_until = now.plus_ms(DRAINED_MS << self.drained.min(DRAINED_DOUBLED_MAX));
        self.drained = self.drained.saturating_add(1);
    }

    /// Another node completed a task sooner than this one, or completed a task that failed on this one.
    pub(crate) fn on_slow(&mut self, now: Time) {
        self.slow = self.slow.saturating_add(1);
        self.add_blame(now, BLAME_SLOW);
    }

    /// A majority contradicts its answer.
    pub(crate) fn on_lie(&mut self, now: Time) {
        let open_ms = LIE_MS << self.lies.min(LIES_DOUBLED_MAX);
        self.until = self.until.max(now.plus_ms(open_ms));
        self.lies = self.lies.saturating_add(1);
        self.add_blame(now, BLAME_LIE);
    }

    /// It completed a task. The streak of losses ends, and blame is halved; false answers are forgiven only with time.
    pub(crate) fn on_done(&mut self, now: Time) {
        self.refusals = 0;
        // A task that it held before its disk was full says nothing of the room for the next.
        if now >= self.full_until {
            self.full = 0;
        }
        if now >= self.drained_until {
            self.drained = 0;
        }
        if self.blame == 0 {
            return;
        }
        self.streak = 0;
        if self.lies == 0 {
            self.until = Time::ZERO;
            let left = self.blame(now) / 2;
            (self.blame, self.blamed_at) = (if left < DEPRIORITISED_FROM { 0 } else { left }, now);
        }
    }

    /// The state of its circuit breaker.
    pub(crate) fn trust(&self, now: Time) -> Trust {
        if now < self.until || now < self.full_until || now < self.drained_until {
            return Trust::Open;
        }
        match self.blame(now) {
            HALF_OPEN_FROM.. => Trust::HalfOpen,
            DEPRIORITISED_FROM.. => Trust::Deprioritised,
            _ => Trust::Closed,
        }
    }

    /// A read-only view.
    pub(crate) fn view(&self, now: Time) -> ReputationView {
        ReputationView {
            trust: self.trust(now),
            blame: self.blame(now),
            open_ms: self.open_ms(now),
            slow: self.slow,
            lies: self.lies,
        }
    }

    /// Why it gets no tasks now; `None` if it may.
    fn barred(&self, now: Time) -> Option<Reason> {
        match self.open_ms(now) {
            0 if now < self.full_until => Some(Reason::NoRoom),
            0 => (now < self.drained_until).then_some(Reason::Draining),
            for_ms => Some(Reason::Mistrusted { for_ms }),
        }
    }

    fn open_ms(&self, now: Time) -> u64 {
        self.until.since_us(now).div_ceil(1000)
    }

    /// Its blame now: halved once for each half-life, and interpolated linearly between two of them.
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

/// Records of many nodes; a node without blame has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reputations {
    of: BTreeMap<PeerId, Reputation>,
}

impl Reputations {
    /// The record of a node, new if it has none. At most as many as there may be peers are kept; beyond it the least
    /// blamed is forgotten.
    pub(crate) fn blamed(&mut self, peer: PeerId, now: Time) -> &mut Reputation {
        if self.of.len() >= PEERS_MAX && !self.of.contains_key(&peer) {
            let least =
                self.of.iter().min_by_key(|(_, reputation)| (reputation.trust(now), reputation.blame(now)));
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.of.remove(&least);
            }
        }
        self.of.entry(peer).or_default()
    }

    /// A node completed a task.
    pub(crate) fn on_done(&mut self, peer: PeerId, now: Time) {
        if let Some(reputation) = self.of.get_mut(&peer) {
            reputation.on_done(now);
        }
    }

    pub(crate) fn trust(&self, peer: PeerId, now: Time) -> Trust {
        self.of.get(&peer).map_or(Trust::Closed, |reputation| reputation.trust(now))
    }

    /// Why a node gets no tasks now; `None` if it may.
    pub(crate) fn barred(&self, peer: PeerId, now: Time) -> Option<Reason> {
        self.of.get(&peer).and_then(|reputation| reputation.barred(now))
    }

    pub(crate) fn view(&self, peer: PeerId, now: Time) -> ReputationView {
        self.of.get(&peer).map(|reputation| reputation.view(now)).unwrap_or_default()
    }

    /// Adds what each node is blamed for now, and awards that it refused in a row.
    pub(crate) fn tally(&self, now: Time, blamed: &mut BTreeMap<PeerId, u64>) {
        for (peer, reputation) in &self.of {
            let more = u64::from(reputation.blame(now)) + u64::from(reputation.refusals);
            *blamed.entry(*peer).or_default() += more;
        }
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
        let mut reputation = Reputation::default();
        reputation.on_lost(at(0), 500);
        // seconds after the loss -> blame left
        let table = [(0, 1000), (30, 750), (60, 500), (90, 375), (120, 250), (600, 0), (1 << 40, 0)];
        for (s, left) in table {
            assert_eq!(reputation.view(at(s * 1000)).blame, left, "after {s} s");
        }
    }

    #[test]
    fn losses_in_a_row_shut_a_node_out_for_longer_and_many_at_once_count_once() {
        let mut reputation = Reputation::default();
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..12 {
            reputation.on_lost(at(now), 500);
            reputation.on_lost(at(now), 500);
            let shut = reputation.view(at(now)).open_ms;
            assert_eq!(reputation.trust(at(now + shut - 1)), Trust::Open);
            assert_ne!(reputation.trust(at(now + shut)), Trust::Open, "asked again");
            waits.push(shut);
            now += shut;
        }
        assert_eq!(waits[..4], [500, 1000, 2000, 4000]);
        assert_eq!(waits[9..], [256_000, 256_000, 256_000]);
    }

    #[test]
    fn who_refuses_what_it_bids_for_again_and_again_is_shut_out_like_one_that_loses() {
        let refused = |reputation: &mut Reputation, ms| reputation.on_refused(at(ms), 500);
        let mut reputation = Reputation::default();
        (1..=3).for_each(|ms| refused(&mut reputation, ms));
        assert_eq!(reputation.trust(at(3)), Trust::Closed, "bad luck");
        reputation.on_done(at(4));
        (5..=7).for_each(|ms| refused(&mut reputation, ms));
        assert_eq!(reputation.trust(at(7)), Trust::Closed, "not in a row");
        refused(&mut reputation, 8);
        assert_eq!((reputation.trust(at(8)), reputation.view(at(8)).open_ms), (Trust::Open, 500));
        refused(&mut reputation, 600);
        assert_eq!(reputation.view(at(600)).open_ms, 1000, "asked again, and no better");
    }

    #[test]
    fn a_full_disk_is_waited_for_longer_each_time_and_is_no_blame() {
        let (mut reputation, mut now, mut waits) = (Reputation::default(), 0, Vec::new());
        for _ in 0..6 {
            // Tasks that lack different blobs are refused one by one.
            (0..4).for_each(|_| reputation.on_full(at(now)));
            assert_eq!(reputation.barred(at(now)), Some(Reason::NoRoom));
            let wait =
                (now..).find(|ms| reputation.trust(at(*ms)) == Trust::Closed).expect("it is asked again")
                    - now;
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [5_000, 10_000, 20_000, 40_000, 80_000, 80_000]);
        assert_eq!(reputation.view(at(now)), ReputationView::default());
        reputation.on_full(at(now));
        reputation.on_done(at(now));
        assert_eq!(reputation.barred(at(now)), Some(Reason::NoRoom), "a task without output needs no room");
        now += 80_000;
        reputation.on_done(at(now));
        reputation.on_full(at(now));
        assert_eq!(reputation.barred(at(now + 4_999)), Some(Reason::NoRoom));
        assert_eq!(
            reputation.barred(at(now + 5_000)),
            None,
            "it had room meanwhile, so the pause is short again"
        );
    }

    #[test]
    fn trust_follows_what_happened() {
        type Story = fn(&mut Reputation);
        // events at 0 s, trust a second later, five minutes later
        let table: [(Story, Trust, Trust); 7] = [
            (|_| (), Trust::Closed, Trust::Closed),
            (|s| s.on_lost(at(0), 500), Trust::Deprioritised, Trust::Closed),
            (|s| (0..4).for_each(|_| s.on_slow(at(0))), Trust::HalfOpen, Trust::Closed),
            (|s| (0..2).for_each(|_| s.on_slow(at(0))), Trust::Deprioritised, Trust::Closed),
            (|s| s.on_lie(at(0)), Trust::Open, Trust::Closed),
            (
                |s| {
                    s.on_lie(at(0));
                    s.on_done(at(0));
                },
                Trust::Open,
                Trust::Closed,
            ),
            (
                |s| {
                    s.on_lost(at(0), 60_000);
                    s.on_done(at(0));
                    s.on_done(at(0));
                },
                Trust::Closed,
                Trust::Closed,
            ),
        ];
        for (place, (story, soon, late)) in table.into_iter().enumerate() {
            let mut reputation = Reputation::default();
            story(&mut reputation);
            assert_eq!((reputation.trust(at(1000)), reputation.trust(at(300_000))), (soon, late), "{place}");
        }
    }

    #[test]
    fn a_probe_that_does_well_opens_the_door_again() {
        let mut reputation = Reputation::default();
        for ms in [0, 600] {
            reputation.on_lost(at(ms), 500);
        }
        assert_eq!(reputation.trust(at(1000)), Trust::Open);
        assert_eq!(reputation.trust(at(1600)), Trust::HalfOpen, "half open");
        reputation.on_done(at(1700));
        assert_eq!(reputation.trust(at(1700)), Trust::Deprioritised);
        reputation.on_done(at(1800));
        assert_eq!(reputation.trust(at(1800)), Trust::Closed);
    }

    #[test]
    fn a_liar_is_shut_out_for_longer_each_time_and_does_not_work_it_off() {
        let mut reputation = Reputation::default();
        let mut waits = Vec::new();
        for hour in 0..5 {
            reputation.on_lie(at(hour * 3_600_000));
            reputation.on_done(at(hour * 3_600_000));
            waits.push(reputation.view(at(hour * 3_600_000)).open_ms / 1000);
        }
        assert_eq!(waits, [30, 60, 120, 240, 240]);
        assert_eq!(reputation.trust(at(4 * 3_600_000 + 241_000)), Trust::Closed, "four half-lives later");
    }
}
