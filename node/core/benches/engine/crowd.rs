//! One node of a large mesh, with the other nodes played by the benchmark: their credit, their outcomes, their gossip.

use super::*;

/// One engine and its peers, which run the tasks that they get and give this node as many to run.
pub(super) struct Crowd {
    engine: Engine,
    now: Time,
    peers: Vec<Peer>,
    /// Future inputs, in order.
    next: VecDeque<Input>,
    /// Tasks in the slots, of any owner.
    runs: VecDeque<RunId>,
    job: u64,
    /// Inputs that the engine got.
    log: Log,
    ended: u64,
}

/// The state of a peer that the benchmark needs.
pub(super) struct Peer {
    id: PeerId,
    /// Tasks of this node that it took and that it holds.
    taken: u64,
    held: Vec<LeaseId>,
    /// Credit that this node granted to it, and how much was used.
    credit: Option<Credit>,
    placed: u64,
    acks: Vec<LeaseId>,
}

impl Crowd {
    pub(super) fn new(count: u8) -> Self {
        let peers = (1..=count).map(|number| Peer {
            id: PeerId([number.wrapping_mul(37) | 1; 32].map(|byte| byte ^ number)),
            taken: 0,
            held: Vec::new(),
            credit: None,
            placed: 0,
            acks: Vec::new(),
        });
        let mut crowd = Self {
            engine: engine(),
            now: Time::ZERO,
            peers: peers.collect(),
            next: VecDeque::new(),
            runs: VecDeque::new(),
            job: 0,
            log: Vec::new(),
            ended: 0,
        };
        for place in 0..crowd.peers.len() {
            let peer = crowd.peers.get(place).expect("it is one of them").id;
            crowd.tell(Input::PeerUp { peer, boot: 1, host: weft_core::Host::Unknown });
            crowd.tell(Input::Rtt { peer, rtt_us: 200 });
            let slots = 4;
            let capacity = Capacity {
                boot: 1,
                seq: 1,
                slots,
                free: slots,
                memory_bytes: 1 << 30,
                ..Capacity::default()
            };
            crowd.tell(Input::Heard { origin: peer, gossip: Gossip::Capacity(capacity) });
            // It has short tasks, so that this node bids to it, and it grants this node credit.
            crowd.tell(Input::Received { from: peer, message: Message::Call(call(JobId(u64::MAX))) });
        }
        crowd
    }

    /// Submits tasks, and lets the peers submit as many in turn, until all have ended. Returns the number of tasks, and
    /// the inputs of the engine, before the first task and after.
    pub(super) fn run(mut self, tasks: u64) -> (u64, Log, Log) {
        self.submit();
        self.drain(0);
        for place in 0..self.peers.len() {
            self.say_ended(place);
        }
        let before = std::mem::take(&mut self.log);
        self.ended = 0;
        for number in 0..tasks {
            self.submit();
            let place = usize::try_from(number).unwrap_or(0) % self.peers.len();
            self.place(place);
            self.drain(6);
            self.now.0 += 300;
        }
        self.drain(0);
        let foreign: u64 = self.peers.iter().map(|peer| peer.placed).sum();
        assert!(self.ended >= tasks, "{} of {tasks} tasks ended", self.ended);
        (tasks + foreign, before, self.log)
    }

    fn submit(&mut self) {
        self.job += 1;
        let inputs = vec![Payload::inline(&self.job.to_le_bytes())];
        let terms = Terms { memo: Recall::Off, ..Terms::default() };
        self.tell(Input::Command(Command::Submit(submission(
            JobId(self.job.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            inputs,
            terms,
        ))));
    }

    /// A peer gives this node a task, if it has credit.
    fn place(&mut self, place: usize) {
        self.job += 1;
        let job = JobId(self.job);
        let Some(peer) = self.peers.get_mut(place) else { return };
        let Some(credit) = peer.credit.filter(|credit| credit.taken + u64::from(credit.room) > peer.placed)
        else {
            return;
        };
        peer.placed += 1;
        let grants = vec![Grant {
            lease: LeaseId { job, epoch: 0, index: 0, attempt: 1 },
            input: Payload::inline(&self.job.to_le_bytes()),
        }];
        let acks = std::mem::take(&mut peer.acks);
        let placed = Assign { call: call(job), bid: credit.bid, placed: peer.placed, acks, grants };
        let (from, message) = (peer.id, Message::Assign(Box::new(placed)));
        self.tell(Input::Received { from, message });
    }

    /// Ends tasks until this many are left in the slots, and lets the peers deliver theirs.
    fn drain(&mut self, left: usize) {
        while self.runs.len() > left {
            let Some(run) = self.runs.pop_front() else { break };
            self.tell(Input::Ran(vec![(run, report(500))]));
        }
        for place in 0..self.peers.len() {
            if self.peers.get(place).is_some_and(|peer| !peer.held.is_empty()) {
                self.say_ended(place);
            }
        }
    }

    fn say_ended(&mut self, place: usize) {
        let Some(peer) = self.peers.get_mut(place) else { return };
        let all = std::mem::take(&mut peer.held).into_iter();
        let all = all
            .map(|lease| Delivery { lease, report: report(500).into(), memo: None, proof: None })
            .collect();
        let credit = Credit {
            bid: BidId(1),
            taken: peer.taken,
            room: 4,
            held: 3,
            slots: 4,
            ttl_ms: 2000,
            class_min: Class::Scavenger,
        };
        let from = peer.id;
        self.tell(Input::Received { from, message: Message::Ended { all, credit } });
    }

    fn tell(&mut self, input: Input) {
        self.next.push_back(input);
        while let Some(input) = self.next.pop_front() {
            self.now.0 += 1;
            self.log.push((self.now, input.clone()));
            let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
            let wake = self.engine.next_wakeup();
            effects.into_iter().for_each(|effect| self.perform(effect));
            if wake.is_some_and(|(at, _)| at <= self.now) {
                self.next.push_back(Input::Wake);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Execute { run, .. } => self.runs.push_back(run),
            Effect::Fetch { blob, .. } => {
                self.next.push_back(Input::Fetched { blob, fetched: Fetched::Here });
            }
            Effect::Notify(Event::TaskEnded { .. }) => self.ended += 1,
            Effect::Send { to, message } => self.hear(to, message),
            Effect::Notify(
                Event::JobEnded { .. }
                | Event::JobGivenUp { .. }
                | Event::Lost { .. }
                | Event::Printed { .. }
                | Event::Differed { .. }
                | Event::Refused { .. }
                | Event::OwnerGone { .. }
                | Event::DependenciesSatisfied { .. }
                | Event::Accepted { .. }
                | Event::ExtensionRefused { .. }
                | Event::Grown { .. }
                | Event::RetryRefused { .. }
                | Event::Confirmed { .. }
                | Event::Forgotten { .. }
                | Event::Leads { .. }
                | Event::Follows { .. }
                | Event::Keepers { .. }
                | Event::Leased { .. },
            )
            | Effect::Sign { .. }
            | Effect::Publish(_)
            | Effect::Abort(_)
            | Effect::Pause(_)
            | Effect::Resume(_)
            | Effect::Pin(_)
            | Effect::Unpin(_)
            | Effect::Stash(_)
            | Effect::Persist { .. }
            | Effect::Forget { .. }
            | Effect::Cut { .. }
            | Effect::Promise { .. }
            | Effect::ReadLog { .. }
            | Effect::Gather { .. }
            | Effect::Recall { .. }
            | Effect::Remember { .. }
            | Effect::Retain { .. } => {}
        }
    }

    fn hear(&mut self, to: PeerId, message: Message) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == to) else { return };
        match message {
            Message::Assign(place) => {
                peer.taken = place.placed;
                peer.held.extend(place.grants.iter().map(|grant| grant.lease));
            }
            Message::Credit(credit) => peer.credit = Some(credit),
            Message::Ended { all, credit } => {
                peer.credit = Some(credit);
                peer.acks.extend(all.iter().map(|delivery| delivery.lease));
            }
            Message::Call(_)
            | Message::Custody(_)
            | Message::Lead(_)
            | Message::AskHolding(_)
            | Message::Holding(_)
            | Message::AskEnds(_)
            | Message::JobEnds(_)
            | Message::Withdraw(_)
            | Message::Bid(_)
            | Message::Decline(_)
            | Message::Award(_)
            | Message::Release(_)
            | Message::Refuse { .. }
            | Message::Renew(_)
            | Message::Outcome(_)
            | Message::Ack(_)
            | Message::Cancel(_)
            | Message::Cell(_)
            | Message::Stopped { .. }
            | Message::GivenBack { .. }
            | Message::Printed { .. } => {}
        }
    }
}

fn call(job: JobId) -> Call {
    Call {
        call: CallId(job.0),
        job,
        program: program(),
        needs: Needs::default(),
        class: Class::Batch,
        terms: Terms { memo: Recall::Off, ..Terms::default() },
        count: 1,
        service_us: 500,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    }
}
