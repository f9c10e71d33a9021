//! A node with a disk and one member of a trio on it, for tests: it does what the member wants done. Records are tiny, and
//! what is written is lost in a crash unless it was synced. Drives the same code as a node.
#![expect(clippy::panic, reason = "a test may panic")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;

use weft_core::custody::{
    Action, CustodyMessage, Mark, Member, Moment, Outline, Record, Restored, Role, Seat, Tombstones, Trio,
    remains_of,
};
use weft_core::{JobId, PeerId, Remains, Time};

pub(crate) const JOB: JobId = JobId(7);

/// A record of a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tiny {
    /// Of the members with these disks, on the nodes 0 to 2.
    Accepted([u8; 3]),
    Led(u8),
    Retried(u8),
    /// On that seat, that node with that disk.
    Replaced(u8, u8, u8),
    Ended,
    /// What a client was told.
    Value(u8),
    /// A value with a blob.
    Blob(u8),
}

/// The seat of a node with a disk. Nodes are numbers.
pub(crate) fn seat(node: u8, disk: u8) -> Seat {
    Seat { peer: peer(node), disk: u64::from(disk) }
}

pub(crate) fn peer(node: u8) -> PeerId {
    PeerId([node + 1; 32])
}

pub(crate) fn node_of(peer: PeerId) -> usize {
    usize::from(peer.0[0]) - 1
}

impl Record for Tiny {
    fn mark(&self) -> Mark {
        match *self {
            Self::Accepted([a, b, c]) => Mark::Accepted(Trio([seat(0, a), seat(1, b), seat(2, c)])),
            Self::Led(epoch) => Mark::Led(u32::from(epoch)),
            Self::Retried(epoch) => Mark::Retried(u32::from(epoch)),
            Self::Replaced(at, node, disk) => Mark::Replaced { seat: at, by: seat(node, disk) },
            Self::Ended => Mark::Ended,
            Self::Value(_) | Self::Blob(_) => Mark::Other,
        }
    }

    fn names_blobs(&self) -> bool {
        matches!(self, Self::Blob(_))
    }

    fn led(epoch: u32, _at: Time) -> Self {
        Self::Led(small(epoch))
    }

    fn retried(epoch: u32, _at: Time) -> Self {
        Self::Retried(small(epoch))
    }

    fn replaced(at: u8, by: Seat) -> Self {
        Self::Replaced(at, by.peer.0[0] - 1, u8::try_from(by.disk).expect("disks of tests are small"))
    }

    fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Accepted([a, b, c]) => vec![0, a, b, c],
            Self::Led(epoch) => vec![1, epoch],
            Self::Retried(epoch) => vec![2, epoch],
            Self::Replaced(at, node, disk) => vec![3, at, node, disk],
            Self::Ended => vec![4],
            Self::Value(value) => vec![5, value],
            Self::Blob(value) => vec![6, value],
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [0, a, b, c] => Some(Self::Accepted([a, b, c])),
            [1, epoch] => Some(Self::Led(epoch)),
            [2, epoch] => Some(Self::Retried(epoch)),
            [3, at, node, disk] => Some(Self::Replaced(at, node, disk)),
            [4] => Some(Self::Ended),
            [5, value] => Some(Self::Value(value)),
            [6, value] => Some(Self::Blob(value)),
            _ => None,
        }
    }
}

fn small(epoch: u32) -> u8 {
    u8::try_from(epoch).expect("tests have few epochs")
}

/// Time as a test has it: it does not pass unless the test says so.
pub(crate) fn moment(now_ms: u64) -> Moment {
    Moment { now: Time::ZERO.plus_ms(now_ms), draw: 0, draining: false }
}

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) log: Vec<Tiny>,
    pub(crate) promised: u32,
    /// What it knows of logs that are gone.
    pub(crate) gone: Tombstones,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Persist(Tiny),
    Cut(u32),
    Promise(u32),
}

impl Disk {
    /// A new one, from which nothing is gone.
    fn new() -> Self {
        let mut gone = Tombstones::default();
        gone.restore(&[], &[], true);
        Self { log: Vec::new(), promised: 0, gone }
    }

    pub(crate) fn has_forgotten(&self) -> bool {
        self.gone.has(JOB)
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Persist(record) => self.log.push(record),
            Write::Cut(after) => self.log.truncate(after as usize),
            Write::Promise(epoch) => self.promised = epoch,
        }
    }

    fn outline(&self) -> Option<Outline> {
        let (first, rest) = self.log.split_first()?;
        let mut outline = Outline::new(first)?;
        rest.iter().for_each(|record| assert!(outline.push(record), "{record:?} in {self:?}"));
        Some(outline)
    }
}

/// What a node did that others may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Sent {
        to: usize,
        message: CustodyMessage,
    },
    /// As a leader: what is committed, from the first record on.
    Committed(Vec<Tiny>),
    /// It leads, with this log.
    Leads(Vec<Tiny>),
    SteppedDown,
    Follows(Option<usize>),
    Keepers(Trio),
    Fetches(Tiny),
    Forgot,
    Left,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) me: Seat,
    pub(crate) member: Option<Member<Tiny>>,
    pub(crate) disk: Disk,
    /// What was written and not synced.
    pub(crate) writes: VecDeque<Write>,
    /// The greatest epoch that it promised in an earlier life.
    pub(crate) lived: u32,
    pub(crate) now_ms: u64,
}

impl Node {
    pub(crate) fn new(me: Seat) -> Self {
        Self { me, member: None, disk: Disk::new(), writes: VecDeque::new(), lived: 0, now_ms: 0 }
    }

    /// The owner of a new job.
    pub(crate) fn found(accepted: Tiny, said: &mut Vec<Said>) -> Self {
        let Mark::Accepted(trio) = accepted.mark() else { panic!("{accepted:?}") };
        let mut node = Self::new(trio.0[0]);
        node.member = Member::found(JOB, node.me, accepted, &moment(0));
        node.with(said, |member| member.flush(&moment(0)));
        node
    }

    /// Tells the member something, and does what it wants done.
    pub(crate) fn with(&mut self, said: &mut Vec<Said>, what: impl FnOnce(&mut Member<Tiny>)) {
        let Some(member) = &mut self.member else { return };
        what(member);
        self.act(said);
    }

    pub(crate) fn receive(&mut self, from: usize, message: &CustodyMessage, said: &mut Vec<Said>) {
        let from = u8::try_from(from).expect("few nodes");
        let moment = &moment(self.now_ms);
        let gone = &self.disk.gone;
        let answer = gone.answer(message).or_else(|| {
            if let Some(member) = &mut self.member {
                // It says whether it was dropped.
                let _ = member.on_message(peer(from), message.clone(), moment);
                return None;
            }
            self.member = gone.begin(self.me, peer(from), message, moment);
            if self.member.is_some() { None } else { gone.answer_without_log(message, self.me.disk) }
        });
        self.act(said);
        said.extend(answer.map(|message| Said::Sent { to: usize::from(from), message }));
    }

    /// The oldest write is durable from now on.
    pub(crate) fn sync_one(&mut self, said: &mut Vec<Said>) {
        if let Some(write) = self.writes.pop_front() {
            self.disk.write(write);
            let moment = moment(self.now_ms);
            self.with(said, |member| member.on_durable(1, &moment));
        }
    }

    pub(crate) fn sync_all(&mut self, said: &mut Vec<Said>) {
        while !self.writes.is_empty() {
            self.sync_one(said);
        }
    }

    /// The node dies, and starts again with what its disk has.
    pub(crate) fn crash(&mut self, said: &mut Vec<Said>) {
        self.writes.clear();
        let (me, promised) = (self.me, self.disk.promised);
        let left = self.disk.gone.left_at(JOB);
        let restored = self.disk.outline().map(|log| Restored { job: JOB, me, log, promised, left });
        // What it promised and did not sync was told to no other node.
        let last = restored.as_ref().map_or(0, |restored| restored.log.last().epoch);
        self.lived = self.lived.max(promised).max(last);
        self.member = restored.map(|restored| Member::restored(restored, &moment(self.now_ms)));
        self.act(said);
    }

    /// The node dies, and starts again with another disk.
    pub(crate) fn wipe(&mut self, said: &mut Vec<Said>) {
        self.disk = Disk::new();
        self.me.disk += 3;
        self.crash(said);
    }

    pub(crate) fn leads(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.role() == Role::Leader)
    }

    pub(crate) fn follows(&self) -> bool {
        self.member.as_ref().is_some_and(|member| matches!(member.role(), Role::Follower { .. }))
    }

    /// The log, with what is not synced.
    pub(crate) fn log(&self) -> Vec<Tiny> {
        let mut disk = self.disk.clone();
        self.writes.iter().for_each(|write| disk.write(*write));
        disk.log
    }

    fn act(&mut self, said: &mut Vec<Said>) {
        while let Some(member) = &mut self.member {
            let actions: Vec<Action<Tiny>> = member.actions().collect();
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.perform(action, said));
        }
    }

    fn perform(&mut self, action: Action<Tiny>, said: &mut Vec<Said>) {
        match action {
            Action::Send { to, message } => said.push(Said::Sent { to: node_of(to), message }),
            Action::Persist { seq, record, bytes } => {
                assert_eq!(*bytes, *record.encode());
                assert_eq!(seq as usize, self.log().len() + 1, "numbers have no gaps");
                self.writes.push_back(Write::Persist(record));
            }
            Action::Cut { after } => self.writes.push_back(Write::Cut(after)),
            Action::Promise { epoch } => self.writes.push_back(Write::Promise(epoch)),
            Action::Read { from, bytes_max: _ } => {
                let records = self.log().into_iter().skip(from as usize - 1).collect();
                let moment = moment(self.now_ms);
                if let Some(member) = &mut self.member {
                    member.on_read(from, records, &moment);
                }
            }
            Action::Fetch { at: _, record, bytes: _ } => said.push(Said::Fetches(record)),
            Action::Drop { from: _ } => {}
            Action::Committed { upto } => {
                if self.leads() {
                    said.push(Said::Committed(self.log().into_iter().take(upto as usize).collect()));
                }
            }
            Action::Lead { epoch: _ } => said.push(Said::Leads(self.log())),
            Action::StepDown => said.push(Said::SteppedDown),
            Action::Follow { leader } => said.push(Said::Follows(leader.map(node_of))),
            Action::Keepers(trio) => said.push(Said::Keepers(trio)),
            Action::Forget { tell } => {
                self.end(Remains::Forgotten);
                said.push(Said::Forgot);
                let told = tell.map(|to| Said::Sent {
                    to: node_of(to),
                    message: CustodyMessage::Forgotten { job: JOB },
                });
                said.extend(told);
            }
            Action::Leave { at } => {
                self.end(self.member.as_ref().map_or(Remains::Nothing, |member| remains_of(member, at)));
                said.push(Said::Left);
            }
        }
    }

    /// The log is deleted, durably.
    fn end(&mut self, remains: Remains) {
        self.member = None;
        self.writes.clear();
        (self.disk.log, self.disk.promised) = (Vec::new(), 0);
        self.disk.gone.add(JOB, remains);
    }
}
