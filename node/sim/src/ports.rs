//! Performs the effects of engines on the fake network, slots, blob store and user. A new kind of effect does not
//! compile until it is handled here.

use std::time::Duration;

use weft_core::codec::{encode_gossip, encode_message};
use weft_core::durable::LogRecord;
use weft_core::message::Award;
use weft_core::{
    BlobId, CellMessage, Effect, Gossip, Input, LeaseId, Message, Outcome, PeerId, Report, RunId, Stream,
    Work,
};

use crate::custody::Read;
use crate::gathers::Gather;
use crate::host::{HostId, SimRun};
use crate::invariants::Violation;
use crate::mesh::job_in;
use crate::queue::{Ending, Event};
use crate::reference::Fact;
use crate::world::World;

impl World {
    pub(crate) fn perform(&mut self, id: HostId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(id, to, message),
            Effect::Publish(gossip) => self.publish(id, &gossip),
            Effect::Execute { run, work } => self.execute(id, run, work),
            Effect::Abort(run) => {
                if let Some(held) = self.hosts[id.0].runs.get_mut(&run) {
                    held.aborted = true;
                }
                let life = self.hosts[id.0].life;
                let soon = Duration::from_micros(self.chance.between(50, 20_000));
                self.queue.after(soon, Event::Ran { host: id, life, run, how: Ending::Aborted });
            }
            Effect::Pause(run) => {
                let now = self.now();
                self.hosts[id.0].pause_run(run, now);
                self.fill_slots(id);
            }
            Effect::Resume(run) => {
                self.hosts[id.0].resume_run(run);
                self.fill_slots(id);
            }
            Effect::Sign { batch, root } => self.sign(id, batch, root),
            Effect::Fetch { blob, from, bytes: _ } => self.fetch(id, blob, from),
            Effect::Pin(blob) => *self.hosts[id.0].pins.entry(blob).or_default() += 1,
            Effect::Unpin(blob) => {
                let pins = &mut self.hosts[id.0].pins;
                let left = pins.get_mut(&blob).map(|count| {
                    *count -= 1;
                    *count
                });
                assert!(left.is_some(), "host {} unpins {blob:?}, which it never pinned", id.0);
                if left == Some(0) {
                    pins.remove(&blob);
                }
            }
            // The hosts of the simulator remember nothing over their restarts.
            Effect::Remember { .. } => {}
            Effect::Retain { outcomes, gone } => self.hosts[id.0].retain(outcomes, &gone),
            Effect::Persist { ticket, job, record, bytes } => {
                let is_same = bytes.is_none_or(|bytes| LogRecord::decode(&bytes).as_ref() == Ok(&record));
                assert!(is_same, "host {} has other bytes of a record of {job} than the record", id.0);
                self.persist(id, ticket, job, &record);
            }
            Effect::Forget { ticket, job, remains } => {
                self.safe_later(id, ticket);
                self.forget(id, ticket, job, remains);
            }
            Effect::Cut { ticket, job, after } => {
                self.safe_later(id, ticket);
                self.cut_log(id, ticket, job, after);
            }
            Effect::Promise { ticket, job, epoch } => {
                self.safe_later(id, ticket);
                self.hosts[id.0].disk.promise(ticket, job, epoch);
            }
            Effect::ReadLog { reader, job, from, bytes_max } => {
                self.read_later(id, Read::Part { reader, job, from, bytes_max });
            }
            Effect::Gather { job, epoch, parents } => self.gather_later(id, Gather { job, epoch, parents }),
            Effect::Recall { job } => self.read_later(id, Read::Whole { job }),
            Effect::Stash(bytes) => {
                self.hosts[id.0].blobs.insert(BlobId::of(&bytes));
            }
            Effect::Notify(event) => self.notify(id, event),
        }
    }

    /// An engine tells its user something.
    fn notify(&mut self, id: HostId, event: weft_core::Event) {
        let now = self.hosts[id.0].local(self.now());
        if let weft_core::Event::Differed { worker, .. } = &event {
            self.hosts[id.0].credit_model.on_named(*worker, now);
        }
        if job_in(&event).is_some_and(|job| self.copied(id, job).is_some()) {
            return self.reference.copies.on_event(id, &event);
        }
        self.reference.results.on_event(&event);
        self.reference.kept.on_event(&event);
        if self.reference.kept.is_committed(&event) {
            self.wish_again(id, &event);
        } else {
            self.tell_user(id, event);
        }
    }

    fn send(&mut self, id: HostId, to: PeerId, message: Message) {
        let (bytes, leases) = (encode_message(&message).len(), leases_in(&message));
        self.facts.push(Fact::Sent { to, bytes, leases });
        for lease in leases_awarded(&message) {
            self.reference.on_award(id, to, lease);
            self.facts.push(Fact::Awarded(lease));
            let now = self.hosts[id.0].local(self.now());
            self.hosts[id.0].credit_model.on_award(to, now);
        }
        if let Message::Cell(word) = &message {
            self.hosts[id.0].credit_model.on_said(to, word);
        }
        self.note_parting(id, to, &message);
        if let Message::Custody(all) = &message {
            for word in all {
                let told = self.reference.mesh.on_sent(&self.hosts, id, word);
                told.job.into_iter().for_each(|job| self.reference.go_on_at_mesh(job, &told));
            }
        }
        let now = self.hosts[id.0].local(self.now());
        if let Message::Call(call) = &message
            && call.needs.slots > 1
        {
            self.reference.widths.insert(call.call, call.needs.slots);
        }
        if let Message::Bid(bid) = &message {
            let width = self.reference.widths.get(&bid.call).copied().unwrap_or(1);
            self.hosts[id.0].on_bid(now, bid.ttl_ms, bid.slots * width);
        }
        if let Message::Credit(ahead) | Message::Ended { credit: ahead, .. } = &message {
            self.hosts[id.0].on_ahead(now, to, ahead, matches!(message, Message::Credit(_)));
        }
        if let Message::Cell(CellMessage::Advertise { bids, ttl_ms }) = &message {
            bids.iter().for_each(|(_, slots)| self.hosts[id.0].on_bid(now, *ttl_ms, *slots));
        }
        if let Some(to) = self.peers.get(&to).copied().filter(|to| *to != id) {
            self.fabric.send(&mut self.queue, id, to, message);
        }
    }

    /// Notes which peer is told that a lease has ended.
    fn note_parting(&mut self, id: HostId, to: PeerId, message: &Message) {
        if let Message::Ack(leases) = message {
            self.note_acknowledged(id, to, leases);
        }
        if let Message::Ack(leases) | Message::Cancel(leases) = message {
            let host = &self.hosts[id.0];
            self.reference.mesh.on_let_go(host, host.local(self.now()), leases);
            self.facts.push(Fact::Parted { worker: to, leases: leases.clone() });
        }
        if let Message::Assign(place) = message {
            self.note_acknowledged(id, to, &place.acks);
            self.facts.push(Fact::Parted { worker: to, leases: place.acks.clone() });
        }
        if let Message::Refuse { leases } | Message::Stopped { leases } | Message::GivenBack { leases } =
            message
        {
            self.facts.push(Fact::Excused { owner: to, leases: leases.clone() });
        }
    }

    fn note_acknowledged(&mut self, id: HostId, worker: PeerId, leases: &[LeaseId]) {
        self.reference.kept.on_acknowledged(worker, leases);
        self.reference.mesh.on_acknowledged(&self.hosts, (id, worker), leases);
    }

    fn publish(&mut self, id: HostId, gossip: &Gossip) {
        let bytes = encode_gossip(gossip).ok().map(|bytes| bytes.len());
        self.facts.push(Fact::Published { bytes });
        if let Gossip::Ack { worker, leases } = gossip {
            self.note_acknowledged(id, *worker, leases);
        }
        let origin = self.peer(id);
        for (host, after) in self.fabric.reach(id) {
            self.queue.after(after, Event::Heard { host, origin, gossip: gossip.clone() });
        }
    }

    fn execute(&mut self, id: HostId, run: RunId, work: Work) {
        self.coverage.add("a wide task begins", u64::from(self.reference.ledger.width(work.task) > 1));
        let host = &mut self.hosts[id.0];
        let needed = [Some(work.program.module), work.program.files.blob(), work.input.blob()];
        let missing = needed.into_iter().flatten().find(|blob| !host.blobs.contains(blob));
        self.reference.joins.on_started(work.task);
        self.facts.push(Fact::Started { task: work.task, missing });
        let run_of = SimRun { work, left: None, ends: None, paused: false, aborted: false, turn: 0 };
        host.runs.insert(run, run_of);
        host.waiting.push_back(run);
        self.fill_slots(id);
    }

    /// Begins waiting executions as long as a slot is free.
    fn fill_slots(&mut self, id: HostId) {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        let life = host.life;
        while let Some(run) = host.next_run() {
            let slowness = host.slowness;
            let Some(held) = host.runs.get_mut(&run) else { continue };
            let task = self.catalog.read(&held.work.input).expect("only inputs of the catalog are submitted");
            let service = Duration::from_micros(u64::from(task.service_us) * u64::from(slowness));
            if held.work.stream && held.left.is_none() {
                self.queue.after(service / 2, Event::Prints { host: id, life, run });
            }
            let left = held.left.unwrap_or(service);
            held.turn += 1;
            held.ends = Some(now + left);
            self.queue.after(left, Event::Ran { host: id, life, run, how: Ending::Natural(held.turn) });
        }
    }

    pub(crate) fn on_prints(&mut self, (id, life): (HostId, u32), run: RunId) -> Result<(), Violation> {
        let host = &self.hosts[id.0];
        let begun = |run: &SimRun| run.ends.is_some();
        if host.life != life || !host.runs.get(&run).is_some_and(begun) {
            return Ok(());
        }
        let printed = Input::Printed { run, stream: Stream::Output, offset: 0, bytes: (*PRINTED).into() };
        self.tell(id, printed)
    }

    /// Signs a batch of receipts with the host's key; some batches are never signed.
    fn sign(&mut self, id: HostId, batch: u64, root: [u8; 32]) {
        if self.chance.permille(self.unsigned_permille) {
            return;
        }
        let life = self.hosts[id.0].life;
        let after = Duration::from_micros(self.chance.below(1000));
        self.queue.after(after, Event::Signed { host: id, life, batch, root });
    }

    pub(crate) fn on_signed(
        &mut self,
        (id, life): (HostId, u32),
        batch: u64,
        root: [u8; 32],
    ) -> Result<(), Violation> {
        if self.hosts[id.0].life != life {
            return Ok(());
        }
        let signature = signature(self.peer(id), root);
        self.tell(id, Input::Signed { batch, signature })
    }

    /// An execution ends by itself or by an abort; the first of the two counts.
    pub(crate) fn on_ran(
        &mut self,
        (id, life): (HostId, u32),
        run: RunId,
        how: Ending,
    ) -> Result<(), Violation> {
        let host = &mut self.hosts[id.0];
        let due = |held: &SimRun| match how {
            Ending::Natural(turn) => held.ends.is_some() && held.turn == turn,
            Ending::Aborted => true,
        };
        if host.life != life || !host.runs.get(&run).is_some_and(due) {
            return Ok(());
        }
        let Some(held) = host.take_run(run) else { return Ok(()) };
        let mut lied = false;
        let report = match how {
            Ending::Aborted => Report::bare(Outcome::Cancelled),
            Ending::Natural(_) => {
                let input = &held.work.input;
                let task = self.catalog.read(input).expect("only inputs of the catalog are submitted");
                self.reference.on_ran(host.peer, held.work.task);
                if self.chance.permille(host.spec.lies_permille) {
                    // Liars on one machine collude.
                    let liar = host.spec.machine.map_or(id.0 as u64, |machine| 1000 + u64::from(machine));
                    let lie = task.lie(liar);
                    self.reference.on_lie(host.peer, held.work.task, &lie);
                    lied = true;
                    lie
                } else {
                    task.answer(&mut self.chance)
                }
            }
        };
        let report = if host.is_full && !report.blobs().all(|blob| host.blobs.contains(&blob)) {
            Report::bare(Outcome::NoRoom("the output can't be stored".into()))
        } else {
            report
        };
        host.blobs.extend(report.blobs());
        self.fill_slots(id);
        if lied {
            self.boast(id);
        }
        self.tell(id, Input::Ran(vec![(run, report)]))
    }
}

/// What every streaming task prints after half of its running time.
pub(crate) const PRINTED: &[u8] = b"halfway";

/// A fake signature of a root by a worker.
pub(crate) fn signature(worker: PeerId, root: [u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&root);
    signature[32..].copy_from_slice(&worker.0);
    signature
}

/// The leases that a message awards.
pub(crate) fn leases_awarded(message: &Message) -> Vec<LeaseId> {
    let place = if let Message::Assign(place) = message { Some(&place.grants) } else { None };
    let grants = award_in(message).map(|award| &award.grants).or(place);
    grants.into_iter().flatten().map(|grant| grant.lease).collect()
}

/// The award in a message, if any.
pub(crate) fn award_in(message: &Message) -> Option<&Award> {
    match message {
        Message::Award(award) | Message::Cell(CellMessage::Claim { award, .. }) => Some(award),
        Message::Call(_)
        | Message::Withdraw(_)
        | Message::Bid(_)
        | Message::Decline(_)
        | Message::Release(_)
        | Message::Refuse { .. }
        | Message::Stopped { .. }
        | Message::GivenBack { .. }
        | Message::Custody(_)
        | Message::Lead(_)
        | Message::AskHolding(_)
        | Message::Holding(_)
        | Message::AskEnds(_)
        | Message::JobEnds(_)
        | Message::Renew(_)
        | Message::Outcome(_)
        | Message::Ack(_)
        | Message::Cancel(_)
        | Message::Printed { .. }
        | Message::Credit(_)
        | Message::Ended { .. }
        | Message::Assign(_)
        | Message::Cell(_) => None,
    }
}

fn leases_in(message: &Message) -> usize {
    match message {
        Message::Award(award) => award.grants.len(),
        Message::Refuse { leases }
        | Message::Stopped { leases }
        | Message::GivenBack { leases }
        | Message::Ack(leases)
        | Message::Cancel(leases) => leases.len(),
        Message::Renew(ranges) => ranges.len(),
        Message::Holding(holding) => holding.all.len(),
        Message::Outcome(all) | Message::Ended { all, .. } => all.len(),
        Message::Assign(place) => place.grants.len().max(place.acks.len()),
        Message::Cell(CellMessage::Claim { award, .. }) => award.grants.len(),
        Message::Cell(
            CellMessage::Advertise { .. }
            | CellMessage::Request(_)
            | CellMessage::Waits { .. }
            | CellMessage::FlockRequest { .. }
            | CellMessage::Flock { .. }
            | CellMessage::Match(_),
        )
        | Message::Call(_)
        | Message::Custody(_)
        | Message::Lead(_)
        | Message::AskHolding(_)
        | Message::AskEnds(_)
        | Message::JobEnds(_)
        | Message::Credit(_)
        | Message::Withdraw(_)
        | Message::Bid(_)
        | Message::Decline(_)
        | Message::Release(_)
        | Message::Printed { .. } => 0,
    }
}
