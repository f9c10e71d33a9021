//! Dishonest peers: false messages that a member sends in its own name, without its engine. They break no invariant: a
//! peer can't end, prolong or stop leases between others, nor take slots that were not promised to it.
//!
//! False remembered results are in `memories`. Not here: false results of the liar's own leases.

mod cells;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weft_core::message::{
    Assign, Award, BATCH_MAX, Bid, Call, Capacity, Class, Credit, Decline, Delivery, Grant, HeldLease,
    HeldState, Holding, LeaseRange, Needs, Progress, Reason,
};
use weft_core::{
    BidId, BlobId, CallId, Entry, Gossip, JobId, LeaseId, Limits, Message, Outcome, Payload, Profile,
    Program, Report, Stream, Terms,
};

use crate::chance::Chance;
use crate::host::HostId;
use crate::queue::Event;
use crate::world::World;

/// Most leases in one false message.
const LEASES_MAX: usize = 64;
/// Most credit that a liar exceeds with as many tasks as fit into a message.
const LITTLE_ROOM: u32 = 20;
/// The number of calls in one flood.
const FLOOD: u64 = 100;

impl World {
    /// A host sends a false message, which `seed` determines.
    pub(crate) fn on_lie(&mut self, from: HostId, to: HostId, seed: u64) {
        if from == to || self.hosts[from.0].engine.is_none() {
            return;
        }
        let chance = &mut Chance::new(seed, "lie");
        let mut forged = Forger { chance, owned: self.owned(from, to), worked: self.worked(from, to) };
        let heard = self.hosts[from.0].last_call.filter(|(owner, _)| *owner == to).map(|(_, call)| call);
        let kept = self.hosts[from.0].last_credit.filter(|(worker, _)| *worker == to).map(|(_, ahead)| ahead);
        // A stream of its own, so that the other false messages of a seed stay the same.
        if Chance::new(seed, "lies of cells").permille(300) {
            let (liar, victim) = (self.peer(from), self.peer(to));
            let word = forged.cell_word(heard, &[liar, victim]);
            self.lie(from, to, Message::Cell(word));
            return;
        }
        if Chance::new(seed, "false holdings").permille(300) {
            self.claim_to_hold(from, to, &forged.owned);
        }
        if Chance::new(seed, "false memories").permille(400) {
            self.tell_false_memories(from, to, seed);
        }
        match forged.chance.below(15) {
            0 => self.lie(from, to, Message::Outcome(forged.outcomes())),
            1 if seed.is_multiple_of(2) => self.lie(from, to, Message::Stopped { leases: forged.owned }),
            1 if seed.is_multiple_of(3) => self.lie(from, to, Message::GivenBack { leases: forged.owned }),
            1 => self.lie(from, to, Message::Refuse { leases: forged.owned }),
            2 => self.lie(from, to, Message::Renew(forged.ranges())),
            3 => forged.printed().into_iter().for_each(|message| self.lie(from, to, message)),
            4 => self.lie(from, to, Message::Cancel(forged.worked)),
            5 => self.lie(from, to, Message::Ack(forged.worked)),
            6 => self.lie(from, to, Message::Award(forged.award())),
            7 => (0..FLOOD)
                .for_each(|_| self.lie(from, to, Message::Call(idle_call(CallId(forged.chance.any()))))),
            8 => self.lie(from, to, Message::Bid(forged.bid(heard))),
            9 => self.lie(from, to, forged.word(heard)),
            10 => self.lie(from, to, Message::Credit(forged.ahead())),
            11 => self.lie(from, to, Message::Ended { all: forged.outcomes(), credit: forged.ahead() }),
            12 => self.lie(from, to, Message::Assign(Box::new(forged.place(kept)))),
            _ => {
                let gossip = forged.gossip(self.peer(to));
                self.reference.forgers.insert(self.hosts[from.0].peer);
                let origin = self.peer(from);
                self.queue.after(Duration::from_millis(1), Event::Heard { host: to, origin, gossip });
            }
        }
    }

    /// A host says that it holds what others were given, under an epoch before the one that the owner has by now.
    fn claim_to_hold(&mut self, from: HostId, to: HostId, owned: &[LeaseId]) {
        let of_job = |job: JobId| owned.iter().filter(move |lease| lease.job == job).copied();
        let jobs: BTreeSet<JobId> = owned.iter().map(|lease| lease.job).collect();
        for job in jobs {
            let all = of_job(job).map(|lease| HeldLease { lease, state: HeldState::Ended }).collect();
            let epoch = self.reference.kept.epoch(job).max(self.reference.mesh.epoch(job));
            self.lie(from, to, Message::Holding(Holding { job, epoch, all, is_last: true }));
        }
    }

    /// Leases of `owner` at other workers than the liar.
    fn owned(&self, liar: HostId, owner: HostId) -> Vec<LeaseId> {
        let liar = self.peer(liar);
        let all = self.reference.issued.iter().rev().filter(|(lease, workers)| {
            let owns = self.reference.jobs.get(&lease.job).is_some_and(|job| job.owner == owner);
            owns && !workers.contains_key(&liar)
        });
        all.map(|(lease, _)| *lease).take(LEASES_MAX).collect()
    }

    /// Leases at `worker` of other owners than the liar.
    fn worked(&self, liar: HostId, worker: HostId) -> Vec<LeaseId> {
        let worker = self.peer(worker);
        let all = self.reference.issued.iter().rev().filter(|(lease, workers)| {
            let foreign = self.reference.jobs.get(&lease.job).is_some_and(|job| job.owner != liar);
            foreign && workers.contains_key(&worker)
        });
        all.map(|(lease, _)| *lease).take(LEASES_MAX).collect()
    }
}

/// Makes the contents of false messages.
struct Forger<'a> {
    chance: &'a mut Chance,
    owned: Vec<LeaseId>,
    worked: Vec<LeaseId>,
}

impl Forger<'_> {
    fn outcomes(&mut self) -> Vec<Delivery> {
        let outcome =
            if self.chance.permille(500) { Outcome::Done } else { Outcome::Lost("so I say".into()) };
        let report = Report { output: Payload::inline(b"forged"), ..Report::bare(outcome) };
        let deliver = |lease: &LeaseId| Delivery {
            lease: *lease,
            report: report.clone().into(),
            memo: None,
            proof: None,
        };
        self.owned.iter().map(deliver).collect()
    }

    fn ranges(&mut self) -> Vec<LeaseRange> {
        let count = [0, 1, 300, u32::MAX][self.chance.index(4)];
        let paused = self.chance.permille(500);
        self.owned
            .iter()
            .map(|lease| LeaseRange { first: *lease, count, paused, progress: Progress::Unknown })
            .collect()
    }

    fn printed(&mut self) -> Option<Message> {
        let lease = *self.owned.first()?;
        let (stream, offset) = (Stream::Output, self.chance.any());
        Some(Message::Printed { lease, stream, offset, bytes: Arc::from(*b"forged") })
    }

    /// An award for a bid that does not exist.
    fn award(&mut self) -> Award {
        let job = JobId(self.chance.any());
        let lease = |index| LeaseId { job, epoch: 0, index, attempt: 1 };
        let grants = (0..4).map(|index| Grant { lease: lease(index), input: Payload::empty() }).collect();
        let (call, bid) = (CallId(self.chance.any()), BidId(self.chance.any()));
        Award { call, bid, left: u32::MAX, grants }
    }

    /// Tasks on a standing bid that does not exist, or far more than there is room for on one that keeps little.
    fn place(&mut self, kept: Option<Credit>) -> Assign {
        let Award { call, bid, left: _, grants } = self.award();
        let (call, placed) = (idle_call(call), self.chance.any());
        let acks = self.worked.clone();
        let Some(kept) = kept.filter(|kept| (1..=LITTLE_ROOM).contains(&kept.room)) else {
            return Assign { call, bid, placed, acks, grants };
        };
        let job = call.job;
        let lease = |index| LeaseId { job, epoch: 0, index, attempt: 1 };
        let count = u32::try_from(BATCH_MAX).unwrap_or(u32::MAX);
        let grants = (0..count).map(|index| Grant { lease: lease(index), input: Payload::empty() }).collect();
        let placed = kept.taken + u64::from(count);
        Assign { call, bid: kept.bid, placed, acks, grants }
    }

    /// A standing bid for more than the liar has.
    fn ahead(&mut self) -> Credit {
        let taken = [0, u64::MAX][self.chance.index(2)];
        let [room, held, slots] = [(); 3].map(|()| [0, 3, 200, u32::MAX][self.chance.index(4)]);
        let bid = BidId(self.chance.any());
        Credit { bid, taken, room, held, slots, ttl_ms: u32::MAX, class_min: Class::Scavenger }
    }

    /// A bid for more than the liar has, for a call that it heard or invented.
    fn bid(&mut self, heard: Option<CallId>) -> Bid {
        let call = heard.unwrap_or(CallId(self.chance.any()));
        let (bid, slots) = (BidId(self.chance.any()), [0, 3, 200, u32::MAX][self.chance.index(4)]);
        Bid { call, bid, slots, start_in_us: 0, warm: true, ttl_ms: u32::MAX }
    }

    fn word(&mut self, heard: Option<CallId>) -> Message {
        let call = heard.unwrap_or(CallId(self.chance.any()));
        match self.chance.below(3) {
            0 => Message::Release(BidId(self.chance.any())),
            1 => Message::Withdraw(call),
            _ => {
                let reason = Reason::Label { name: "x".repeat(5000), wanted: String::new() };
                Message::Decline(Decline { call, reason, is_permanent: true })
            }
        }
    }

    fn gossip(&mut self, to: weft_core::PeerId) -> Gossip {
        match self.chance.below(4) {
            0 => match self.outcomes().pop() {
                Some(delivery) => Gossip::Outcome { owner: to, delivery },
                None => Gossip::Known(Vec::new()),
            },
            1 => Gossip::Renew { owner: to, leases: self.ranges() },
            2 => Gossip::Ack { worker: to, leases: self.worked.clone() },
            _ => Gossip::Capacity(Capacity {
                seq: u64::MAX,
                slots: u32::MAX,
                free: u32::MAX,
                backlog: u32::MAX,
                draining: self.chance.permille(500),
                ..Capacity::default()
            }),
        }
    }
}

/// A call for many tasks, none of which is ever awarded.
#[must_use]
pub fn idle_call(call: CallId) -> Call {
    let program = Program {
        module: BlobId::of(b"no module"),
        module_bytes: 1,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    Call {
        call,
        job: JobId(call.0),
        program: Arc::new(program),
        needs: Needs::default(),
        class: Class::Realtime,
        terms: Terms::default(),
        count: u32::MAX,
        service_us: 1,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    }
}
