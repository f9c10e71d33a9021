//! A member that leads: it appends, sends the others what they lack, and says what is committed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::state::{Follower, Following, Leading, Page, Reading, State};
use super::{Member, Moment};
use crate::custody::action::Action;
use crate::custody::message::CustodyMessage;
use crate::custody::outline::Replacement;
use crate::custody::position::Spans;
use crate::custody::record::Record;
use crate::custody::trio::{Seat, Trio};
use crate::id::PeerId;

/// Time between two heartbeats of a leader, in milliseconds.
pub(super) const BEAT_MS: u64 = 2_000;
/// Most records on the way to a follower; the others wait in the log.
const WINDOW_RECORDS: u32 = 64;
/// The same in bytes; one record may be longer.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes of records after which no further one is in the same message.
pub(super) const PAGE_BYTES: usize = 256 << 10;
/// How often a follower has its leader begin again between two heartbeats, by saying where its log ends; what it says then counts
/// at the next one.
const RESTARTS_MAX: u32 = 4;
/// Bytes of records that a leader has in memory for its followers; older ones are read from its disk.
const TAIL_BYTES_MAX: usize = 2 << 20;

impl<R: Record + Clone> Member<R> {
    // ---- records

    pub(super) fn append_own(&mut self, record: R) -> Option<u32> {
        let bytes: Arc<[u8]> = record.encode().into();
        let seq = self.push_own(record, Arc::clone(&bytes))?;
        if let State::Leader(leading) = &mut self.state {
            leading.tail_bytes = leading.tail_bytes.saturating_add(bytes.len());
            leading.tail.push_back(bytes);
            while leading.tail_bytes > TAIL_BYTES_MAX {
                leading.forget_oldest();
            }
        }
        Some(seq)
    }

    pub(super) fn settle_leader(&mut self) {
        self.advance_commit();
        let State::Leader(leading) = &mut self.state else { return };
        if !leading.led && self.durable >= leading.first {
            leading.led = true;
            let epoch = leading.epoch;
            self.emit(Action::Lead { epoch });
        }
        self.replace_disk();
        self.know_followers();
        for peer in self.others() {
            self.pump(peer);
        }
        self.trim();
    }

    /// Each other node of the trio is a follower, and no further one: one whose seat another has is told.
    fn know_followers(&mut self) {
        let others = self.others();
        let next = self.log.last().seq.saturating_add(1);
        let State::Leader(leading) = &mut self.state else { return };
        let gone =
            leading.followers.iter().map(|follower| follower.peer).filter(|peer| !others.contains(peer));
        let gone: Vec<PeerId> = gone.collect();
        leading.followers.retain(|follower| others.contains(&follower.peer));
        let new = others.into_iter().filter(|peer| leading.followers.iter().all(|known| known.peer != *peer));
        let new: Vec<PeerId> = new.collect();
        leading.followers.extend(new.iter().map(|peer| Follower::new(*peer, next)));
        for peer in new {
            self.send_keep(peer, Vec::new());
        }
        for peer in gone {
            self.dismiss(peer);
        }
    }

    /// Sends a follower what it lacks, as far as its window goes.
    fn pump(&mut self, peer: PeerId) {
        let last = self.log.last().seq;
        while self.is_up(peer)
            && let State::Leader(leading) = &mut self.state
            && let Some(follower) = leading.follower(peer)
            && follower.has_room()
            && follower.next <= last
        {
            let from = follower.next;
            let in_memory = last.saturating_sub(count(leading.tail.len()));
            let Some(skipped) = from.checked_sub(in_memory.saturating_add(1)) else {
                return self.read_for(peer, from);
            };
            let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
            let page = page_of(leading.tail.iter().skip(skipped).cloned());
            self.send_keep(peer, page);
        }
    }

    fn read_for(&mut self, peer: PeerId, from: u32) {
        let blocked = match &mut self.state {
            State::Leader(leading) => leading.follower(peer).is_none_or(|follower| follower.blocked),
            State::Follower(_) | State::Candidate(_) => true,
        };
        if self.reading.is_none() && !blocked {
            self.read(peer, from);
        }
    }

    pub(super) fn read(&mut self, to: PeerId, from: u32) {
        self.reading = Some(Reading { to, from, is_late: false, stale: false });
        self.emit(Action::Read { from, bytes_max: u32::try_from(PAGE_BYTES).unwrap_or(u32::MAX) });
    }

    /// Records that were read for a follower.
    pub(super) fn send_read(&mut self, reading: Reading, records: &[R]) {
        let room = usize::try_from(self.written.saturating_sub(reading.from).saturating_add(1)).unwrap_or(0);
        let State::Leader(leading) = &mut self.state else { return };
        let Some(follower) = leading.follower(reading.to) else { return };
        if follower.next != reading.from || !follower.has_room() {
            return;
        }
        let page = page_of(records.iter().take(room).map(|record| record.encode().into()));
        if page.is_empty() {
            follower.blocked = true;
        } else {
            self.send_keep(reading.to, page);
        }
    }

    /// Sends a follower its next records; with none, a heartbeat.
    fn send_keep(&mut self, to: PeerId, records: Vec<Arc<[u8]>>) {
        let committed = self.committed;
        let last = self.log.last().seq;
        let State::Leader(leading) = &mut self.state else { return };
        let epoch = leading.epoch;
        let Some(follower) = leading.follower(to) else { return };
        let before = follower.next.saturating_sub(1);
        follower.told = committed;
        if !records.is_empty() {
            follower.next = follower.next.saturating_add(count(records.len()));
            let bytes = records.iter().map(|bytes| bytes.len()).sum();
            follower.in_flight.push_back(Page { last: follower.next.saturating_sub(1), bytes });
        }
        let after = self.log.spans().at(before);
        self.send(to, CustodyMessage::Keep { job: self.job, epoch, after, records, committed, last });
    }

    /// Records that all connected followers have are not needed in memory.
    fn trim(&mut self) {
        let last = self.log.last().seq;
        let up: Vec<PeerId> = self.others().into_iter().filter(|peer| self.is_up(*peer)).collect();
        let State::Leader(leading) = &mut self.state else { return };
        let followers = leading.followers.iter().filter(|follower| up.contains(&follower.peer));
        let needed = followers.map(|follower| follower.matched).min().unwrap_or(last);
        let keep = usize::try_from(last.saturating_sub(needed)).unwrap_or(usize::MAX);
        while leading.tail.len() > keep {
            leading.forget_oldest();
        }
    }

    // ---- answers

    pub(super) fn on_kept(&mut self, by: Seat, epoch: u32, upto: u32) -> bool {
        let last = self.log.last().seq;
        let State::Leader(leading) = &mut self.state else { return false };
        if epoch != leading.epoch || upto > last {
            return false;
        }
        let Some(follower) = leading.follower(by.peer) else { return false };
        follower.know_disk(by.disk);
        follower.matched = follower.matched.max(upto);
        follower.common = follower.common.max(upto);
        follower.next = follower.next.max(upto.saturating_add(1));
        while follower.in_flight.pop_front_if(|page| page.last <= upto).is_some() {}
        follower.probes = false;
        follower.knows = follower.told;
        true
    }

    pub(super) fn on_behind(&mut self, by: Seat, epoch: u32, spans: &Spans) -> bool {
        let common = self.log.spans().common(spans);
        let State::Leader(leading) = &mut self.state else { return false };
        if epoch != leading.epoch || !spans.is_sound() {
            return false;
        }
        let Some(follower) = leading.follower(by.peer) else { return false };
        follower.know_disk(by.disk);
        // Each message on the way is answered so; the records behind the common ones are sent once.
        let is_known = follower.probes && !follower.in_flight.is_empty() && follower.behind == Some(common);
        follower.common = common;
        // Its few bytes cost this node a page.
        if !is_known && follower.restarts < RESTARTS_MAX {
            follower.restarts += 1;
            follower.begin_again(common.saturating_add(1));
            follower.behind = Some(common);
        }
        true
    }

    /// A member promised a higher epoch: this one leads no more.
    pub(super) fn on_stale(&mut self, promised: u32, moment: &Moment) -> bool {
        self.seen = self.seen.max(promised);
        if matches!(&self.state, State::Leader(leading) if promised > leading.epoch) {
            let takes_over_at = self.patience(moment);
            self.follow(Following::of(None, takes_over_at));
        }
        true
    }

    // ---- what is committed

    /// A record is committed once a majority of the trio has it on disk, this member included, under one of the own epoch.
    fn advance_commit(&mut self) {
        while let State::Leader(leading) = &self.state {
            let (first, before) = (leading.first, self.committed);
            let upto = self.committable(leading).min(self.durable);
            if upto < first || upto <= before {
                return;
            }
            self.commit(upto);
            self.confirm_replacement();
        }
    }

    /// What enough members keep. An uncommitted replacement, and what follows it, has to be kept by both that stay: the one that
    /// leaves deletes its log once that is committed, so it may not be needed for it. That goes for what is before its
    /// confirmation, too: a member without that record would still ask the one that left.
    fn committable(&self, leading: &Leading) -> u32 {
        let now = second_of(self.kept(leading, &self.log.trio()));
        if self.log.last_replaced().is_none_or(|seq| seq <= self.committed) {
            return now;
        }
        let Some(last) = self.log.replacement() else { return now };
        let Some(change) = self.log.replacements().find(|of| !of.confirms()) else { return now };
        if last.confirms() && now >= last.seq {
            return now;
        }
        let Replacement { seq, seat, before, by: _ } = change;
        let mut stay = self.kept(leading, &before);
        let before = second_of(stay);
        if let Some(leaves) = stay.get_mut(usize::from(seat)) {
            *leaves = u32::MAX;
        }
        let both = stay.into_iter().min().unwrap_or(0);
        both.max(before.min(seq.saturating_sub(1)))
    }

    /// A replacement is committed, and no member knows that any more once it was started again. The next record tells it to each
    /// one that has it. A log that is full goes on without it.
    fn confirm_replacement(&mut self) {
        let last = self.log.replacement().filter(|last| last.seq <= self.committed && !last.confirms());
        if let Some(Replacement { seat, by, .. }) = last {
            self.append_own(R::replaced(seat, by));
        }
    }

    /// What each member of a trio keeps. A node with another disk than the trio names is not that member.
    fn kept(&self, leading: &Leading, trio: &Trio) -> [u32; 3] {
        trio.0.map(|seat| {
            let follower = leading.followers.iter().find(|follower| follower.peer == seat.peer);
            let follower = follower.filter(|follower| follower.disk == seat.disk);
            if seat == self.me { self.durable } else { follower.map_or(0, |follower| follower.matched) }
        })
    }

    // ---- time

    /// Whether the leader has to say that it is there.
    pub(super) fn needs_beat(&self, leading: &Leading) -> bool {
        let last = self.log.last().seq;
        let lags = |follower: &Follower| {
            self.is_up(follower.peer) && (follower.matched < last || follower.knows < self.committed)
        };
        leading.forgets || !self.has_ended() || leading.followers.iter().any(lags)
    }

    pub(super) fn beat(&mut self, moment: &Moment) {
        let (job, others) = (self.job, self.others());
        let State::Leader(leading) = &self.state else { return };
        if moment.now < leading.beat_at || !self.needs_beat(leading) {
            return;
        }
        let (epoch, forgets) = (leading.epoch, leading.forgets);
        for peer in others.into_iter().filter(|peer| self.is_up(*peer)).collect::<Vec<_>>() {
            if forgets {
                self.send(peer, CustodyMessage::Forget { job, epoch });
            }
            self.send_again(peer);
        }
        if let State::Leader(leading) = &mut self.state {
            leading.beat_at = moment.now.plus_ms(BEAT_MS);
        }
    }

    /// A heartbeat. What was sent and not answered since the one before is sent again.
    fn send_again(&mut self, peer: PeerId) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(follower) = leading.follower(peer) else { return };
        let stuck = !follower.in_flight.is_empty() && follower.matched == follower.matched_before;
        follower.matched_before = follower.matched;
        (follower.blocked, follower.restarts) = (false, 0);
        if stuck {
            follower.begin_again(follower.common.saturating_add(1));
        }
        self.send_keep(peer, Vec::new());
    }

    /// A follower was connected: what was on the way is lost.
    pub(super) fn greet(&mut self, peer: PeerId) {
        let last = self.log.last().seq;
        if let State::Leader(leading) = &mut self.state {
            let Some(follower) = leading.follower(peer) else { return };
            let common = if follower.disk == 0 { last } else { follower.common };
            follower.begin_again(common.saturating_add(1));
            follower.knows = 0;
            self.send_keep(peer, Vec::new());
        } else {
            self.ask_again(peer);
            self.ask_connected(peer);
        }
    }

    /// A follower asks for the leader: it is here.
    pub(super) fn send_beat(&mut self, peer: PeerId) {
        self.send_keep(peer, Vec::new());
    }
}

impl Leading {
    pub(super) fn follower(&mut self, peer: PeerId) -> Option<&mut Follower> {
        self.followers.iter_mut().find(|follower| follower.peer == peer)
    }

    fn forget_oldest(&mut self) {
        let bytes = self.tail.pop_front().map_or(0, |bytes| bytes.len());
        self.tail_bytes = self.tail_bytes.saturating_sub(bytes);
    }
}

impl Follower {
    /// Whether it may be sent more.
    fn has_room(&self) -> bool {
        if self.probes {
            return self.in_flight.is_empty();
        }
        let bytes: usize = self.in_flight.iter().map(|page| page.bytes).sum();
        self.next.saturating_sub(self.matched) <= WINDOW_RECORDS && bytes < WINDOW_BYTES
    }

    /// Another disk keeps nothing of what the one before kept.
    fn know_disk(&mut self, disk: u64) {
        if self.disk != disk {
            (self.disk, self.matched, self.common) = (disk, 0, 0);
        }
    }
}

fn second_of(mut kept: [u32; 3]) -> u32 {
    kept.sort_unstable();
    let [_, second, _] = kept;
    second
}

/// The first of these records that are in one message; at least one of any.
pub(super) fn page_of(records: impl Iterator<Item = Arc<[u8]>>) -> Vec<Arc<[u8]>> {
    let mut bytes = 0;
    let fits = |record: &Arc<[u8]>| {
        let fits = bytes == 0 || bytes + record.len() <= PAGE_BYTES;
        bytes += record.len();
        fits
    };
    records.take(usize::try_from(WINDOW_RECORDS).unwrap_or(usize::MAX)).take_while(fits).collect()
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
