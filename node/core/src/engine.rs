//! The engine: routes an input to the roles, delivers their messages to each other, returns effects. Read this first.
//!
//! Its only decision of its own is when to announce this node's capacity.

mod cells;
mod custody;
mod peers;
mod stop;
mod tell;
mod views;

use alloc::vec::{self, Vec};

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::config::{MeshConfig, NodeConfig};
use crate::ctx::{Ctx, Outlet, Surroundings};
use crate::custody::{Custody, Wish};
use crate::effect::Effect;
use crate::id::PeerId;
use crate::input::{Command, Input};
use crate::matchmaker::Matchmaker;
use crate::membership::Membership;
use crate::memo::{self, Memo};
use crate::message::{BATCH_MAX, Capacity, Gossip, Message};
use crate::owner::{Extension, Owner, Printed};
use crate::programs::Programs;
use crate::snapshot::Counters;
use crate::time::{Soonest, Time};
use crate::worker::{Piece, Worker};

/// Rounds in which this node's owner and worker may answer each other within one input. A round either awards a
/// task, or opens or closes a call, so a few are usual; the bound keeps a bug from hanging the node.
const ROUNDS_MAX: u32 = 100_000;

/// Every decision of one node.
#[derive(Debug)]
pub struct Engine {
    me: PeerId,
    mesh: MeshConfig,
    node: NodeConfig,
    now: Time,
    members: Membership,
    owner: Owner,
    worker: Worker,
    matchmaker: Matchmaker,
    custody: Custody,
    counters: Counters,
    memo: Memo,
    programs: Programs,
    announced: Capacity,
    announced_at: Time,
    /// The announced capacity may have changed.
    announce_soon: bool,
    /// When that was last checked.
    checked_at: Time,
    out: Outlet,
    /// Its user stopped it: no further input has an effect.
    stopped: bool,
}

impl Engine {
    /// A node without peers. `seed` is its only source of randomness.
    #[must_use]
    pub fn new(me: PeerId, mesh: MeshConfig, node: NodeConfig, seed: [u8; 32]) -> Self {
        let disk = node.disk;
        Self {
            me,
            mesh,
            worker: Worker::new(me, &node),
            owner: Owner::new(node.disk),
            node,
            now: Time::ZERO,
            members: Membership::new(me, &mesh),
            matchmaker: Matchmaker::default(),
            custody: Custody::new(me, disk),
            counters: Counters::default(),
            memo: Memo::default(),
            programs: Programs::default(),
            announced: Capacity::default(),
            announced_at: Time::ZERO,
            announce_soon: false,
            checked_at: Time::ZERO,
            out: Outlet::new(ChaCha8Rng::from_seed(seed)),
            stopped: false,
        }
    }

    /// Handles one input and returns the effects that the driver must perform, in order. Time never runs backwards: an
    /// earlier `now` than the last one counts as the last one.
    #[must_use = "effects are the only way the engine acts on the world"]
    pub fn handle(&mut self, now: Time, input: Input) -> vec::Drain<'_, Effect> {
        self.now = self.now.max(now);
        if self.stopped {
            return self.out.drain();
        }
        if matches!(&input, Input::Command(command) if !matches!(command, Command::Extend { .. })) {
            self.seal_now();
        }
        if matches!(input, Input::Command(Command::Stop)) {
            self.stop();
            return self.out.drain();
        }
        self.owner.on_woken(self.now, &self.mesh);
        let time_alone = matches!(input, Input::Wake);
        self.dispatch(input);
        self.on_time();
        self.heed_custody();
        self.settle();
        self.note_committed();
        self.seal();
        self.gather();
        let anybody = self.members.any_connected();
        memo::gossip::flush(&mut self.parts().0, anybody);
        memo::shelf::flush(&mut self.parts().0);
        let (mut ctx, _, worker, _) = self.parts();
        worker.retain(&mut ctx);
        self.announce_soon |= !time_alone || self.out.has_effects();
        self.announce();
        self.out.drain()
    }

    /// When the engine needs an [`Input::Wake`] at the latest, and why.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        if self.stopped {
            return None;
        }
        let mut next = Soonest::default();
        next.or(self.owner.next_wakeup());
        next.or(self.worker.next_wakeup(&self.mesh));
        next.or(self.matchmaker.next_wakeup());
        next.or(self.custody.next_wakeup());
        next.at(self.members.any_connected().then(|| self.announce_at()), "capacity is announced");
        next.get()
    }

    fn dispatch(&mut self, input: Input) {
        let (mut ctx, owner, worker, members) = self.parts();
        match input {
            Input::Command(command) => self.on_command(command),
            Input::PeerUp { peer, boot, host } => self.on_peer_up(peer, boot, host),
            Input::PeerDown { peer, closed } => self.on_peer_down(peer, closed),
            Input::Rtt { peer, rtt_us } => members.on_rtt(peer, rtt_us),
            Input::Received { from, message } => {
                if from != ctx.me {
                    worker.on_heard(ctx.now, from, None);
                    self.receive(from, message);
                }
            }
            Input::Heard { origin, gossip } => {
                if origin != ctx.me {
                    on_gossip(&mut ctx, owner, worker, members, origin, gossip);
                }
            }
            Input::Ran(reports) => {
                for (run, report) in reports {
                    worker.on_ran(&mut ctx, run, report);
                }
            }
            Input::Printed { run, stream, offset, bytes } => {
                worker.on_printed(&mut ctx, run, Piece { stream, offset, bytes });
            }
            Input::Signed { batch, signature } => worker.on_signed(batch, signature),
            Input::Fetched { blob, fetched } => {
                owner.on_fetched(&mut ctx, members, blob, fetched);
                worker.on_fetched(&mut ctx, blob, fetched);
                self.with_custody(|custody, ctx, _| custody.on_fetched(ctx, blob, fetched));
            }
            Input::Wake => {}
            Input::Mesh { nodes } => members.on_mesh(nodes),
            Input::Compiling { runs, waits } => worker.on_compiling(&runs, waits),
            Input::Persisted { upto } => {
                owner.on_persisted(&mut ctx, upto);
                self.with_custody(|custody, ctx, _| custody.on_persisted(ctx, upto));
            }
            Input::JournalFailed => {
                owner.on_journal_failed(&mut ctx, members);
                self.with_custody(|custody, ctx, _| custody.on_journal_failed(ctx));
            }
            Input::DiskLow(low) => {
                owner.on_disk_low(low);
                self.custody.on_disk_low(low);
            }
            Input::Restore(job) => {
                let copied = job.pair().map(|pair| (job.job(), pair));
                owner.on_restore(&mut ctx, members, *job);
                copied.into_iter().for_each(|(job, pair)| self.custody.on_restore_copied(job, pair));
            }
            Input::Remembered(all) => memo::shelf::restore(&mut ctx, all),
            Input::Retained(all) => worker.on_retained(&mut ctx, all),
            Input::RestoreKept { promised, job } => {
                self.with_custody(|custody, ctx, _| custody.on_restore(ctx, promised, &job));
            }
            Input::BlobLost { job, blob } => {
                self.with_custody(|custody, ctx, _| custody.on_blob_lost(ctx, job, blob));
            }
            Input::RestoreGone { forgotten, left, knows_all } => {
                self.custody.on_restore_gone(&forgotten, &left, knows_all);
            }
            Input::LogRead { reader, job, from, records } => self.on_log_read(reader, job, from, records),
            Input::Gathered { job, epoch, gathered } => self.on_gathered(job, epoch, gathered),
            Input::Recalled { job, restored } => {
                self.with_custody(|custody, ctx, members| custody.on_recalled(ctx, members, job, restored));
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        let keeps = |job| self.custody.has(job);
        match command {
            Command::Forget(peer) => self.members.forget(peer),
            Command::Retry(job) if keeps(job.job()) => self.retry_kept(&job),
            Command::ForgetJob { job } if keeps(job) => self.wish(job, Wish::Forget),
            Command::ForgetJob { job } => self.forget_kept(job),
            Command::Submit(what) => self.submit(what),
            Command::Extend { .. }
            | Command::Close { .. }
            | Command::Cancel { .. }
            | Command::Drain(_)
            | Command::Stop
            | Command::Retry(_)
            | Command::ExtendEnded { .. }
            | Command::GiveBack => {
                let (mut ctx, owner, worker, members) = self.parts();
                on_command(&mut ctx, owner, worker, members, command);
            }
        }
    }

    fn receive(&mut self, from: PeerId, message: Message) {
        let (mut ctx, owner, worker, members) = self.parts();
        let ctx = &mut ctx;
        match message {
            Message::Call(call) => worker.on_call(ctx, members, from, call),
            Message::Withdraw(call) => self.on_withdraw(from, call),
            Message::Bid(bid) => owner.on_bid(ctx, members, from, &bid),
            Message::Decline(decline) => owner.on_decline(ctx, from, decline),
            Message::Award(award) => worker.on_award(ctx, from, award),
            Message::Release(bid) => worker.on_release(from, bid),
            Message::Refuse { leases } => owner.on_refuse(ctx, members, from, &leases),
            Message::Renew(ranges) => {
                owner.on_renew(ctx, from, &ranges);
                self.leave_what_is_over(from, ranges.iter().take(BATCH_MAX).map(|range| range.first));
            }
            Message::Outcome(all) => self.on_outcomes(from, all),
            Message::Ack(leases) => worker.on_ack(ctx, from, &leases),
            Message::Cancel(leases) => worker.on_cancel(ctx, from, &leases),
            Message::Printed { lease, stream, offset, bytes } => {
                owner.on_printed(ctx, from, Printed { lease, stream, offset, bytes });
            }
            Message::Credit(credit) => {
                owner.on_grant(ctx, members, from, credit);
                owner.on_unasked(ctx, members, from);
            }
            Message::Ended { all, credit } => {
                owner.on_grant(ctx, members, from, credit);
                owner.on_outcomes(ctx, members, from, all);
            }
            Message::Assign(assign) => worker.on_assign(ctx, from, *assign),
            Message::Cell(word) => self.receive_cell(from, word),
            Message::Custody(all) => self.receive_custody(from, all),
            Message::Lead(led) => worker.on_lead(ctx, members, from, &led),
            Message::AskHolding(asked) => worker.on_ask_holding(ctx, from, &asked),
            Message::Holding(holding) => owner.on_holding(ctx, members, from, holding),
            Message::AskEnds(jobs) => self.say_ends(from, &jobs),
            Message::JobEnds(ends) => owner.on_ends(ctx, from, &ends),
            Message::Stopped { leases } => owner.on_stopped(ctx, members, from, &leases),
            Message::GivenBack { leases } => owner.on_given_back(ctx, members, from, &leases),
        }
    }

    fn on_time(&mut self) {
        let (mut ctx, owner, worker, members) = self.parts();
        owner.on_time(&mut ctx, members);
        worker.on_time(&mut ctx, members);
        self.on_time_cells();
    }

    /// Lets the roles act on the input, until neither has a message for the other.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let (mut ctx, owner, worker, members) = self.parts();
            worker.dispatch(&mut ctx);
            worker.flush(&mut ctx, members);
            owner.flush(&mut ctx, members);
            if owner.waits_for_credit() {
                let local = worker.local_capacity(ctx.now);
                owner.place_on_credit(&mut ctx, members, local);
            }
            // Tasks that this node's owner placed here get their slots before more is promised to other owners.
            let told = self.hear_itself();
            let (mut ctx, _, worker, members) = self.parts();
            worker.offer(&mut ctx, members);
            if !told && !self.out.has_loopback() && !self.owner.is_dirty() {
                return;
            }
        }
        debug_assert!(false, "owner and worker never stop answering each other");
    }

    /// Delivers messages between this node's roles. True if there were any.
    fn hear_itself(&mut self) -> bool {
        let told = self.out.has_loopback();
        while let Some(message) = self.out.pop_loopback() {
            self.receive(self.me, message);
        }
        told
    }

    fn parts(&mut self) -> (Ctx<'_>, &mut Owner, &mut Worker, &mut Membership) {
        let (ctx, owner, worker, members, _) = self.all_parts();
        (ctx, owner, worker, members)
    }

    fn all_parts(&mut self) -> (Ctx<'_>, &mut Owner, &mut Worker, &mut Membership, &mut Matchmaker) {
        let surroundings = Surroundings {
            counters: &mut self.counters,
            memo: &mut self.memo,
            programs: &mut self.programs,
            out: &mut self.out,
        };
        let ctx = Ctx::new(self.now, self.me, &self.mesh, surroundings);
        (ctx, &mut self.owner, &mut self.worker, &mut self.members, &mut self.matchmaker)
    }
}

fn on_command(
    ctx: &mut Ctx<'_>,
    owner: &mut Owner,
    worker: &mut Worker,
    members: &mut Membership,
    command: Command,
) {
    match command {
        Command::Submit(_) => debug_assert!(false, "handled with custody"),
        Command::Extend { job, inputs } => owner.on_extend(ctx, members, job, inputs.into()),
        Command::ExtendEnded { job, inputs, ends } => {
            owner.on_extend(ctx, members, job, Extension { inputs, ends });
        }
        Command::Close { job } => owner.on_close(ctx, members, job),
        Command::Cancel { job } => owner.on_cancel(ctx, members, job),
        Command::Drain(draining) => worker.on_drain(ctx, draining),
        Command::GiveBack => worker.on_give_back(ctx),
        Command::Forget(_) => debug_assert!(false, "the membership handles it"),
        Command::ForgetJob { .. } => debug_assert!(false, "handled with custody"),
        // Handled before any other input.
        Command::Stop => {}
        Command::Retry(job) => owner.on_retry(ctx, members, *job),
    }
}

fn on_gossip(
    ctx: &mut Ctx<'_>,
    owner: &mut Owner,
    worker: &mut Worker,
    members: &mut Membership,
    origin: PeerId,
    gossip: Gossip,
) {
    peers::on_heard(ctx.now, worker, members, origin, &gossip);
    match gossip {
        Gossip::Capacity(capacity) => {
            let backlog = capacity.backlog;
            if members.on_capacity(origin, capacity, ctx.now) {
                // In a mesh of cells the matchmakers match owners with idle workers. To a peer that is not connected
                // this node does not bid, so it need not keep its backlog.
                let heeds = !members.cells().on() && members.is_connected(origin);
                worker.on_backlog(ctx, origin, if heeds { backlog } else { 0 });
            } else {
                ctx.counters.dropped += 1;
            }
        }
        Gossip::Outcome { owner: to, delivery } => {
            if to == ctx.me {
                let before = ctx.counters.committed;
                owner.on_outcomes(ctx, members, origin, alloc::vec![delivery]);
                ctx.counters.gossiped_home += ctx.counters.committed - before;
            }
        }
        Gossip::Renew { owner: to, leases } => {
            if to == ctx.me {
                owner.on_renew(ctx, origin, &leases);
                if members.cells().on() {
                    // A worker that is not connected learns by this that its owner is alive; elsewhere capacity shows
                    // it.
                    ctx.emit(Effect::Publish(Gossip::Ack { worker: origin, leases: Vec::new() }));
                }
            }
        }
        Gossip::Known(all) => memo::gossip::on_known(ctx, members, worker.owners(), origin, all),
        Gossip::Matchmaker { slots } => members.on_matchmaker(origin, slots, ctx.now, ctx.mesh),
        Gossip::Ack { worker: to, leases } => {
            if to == ctx.me {
                worker.on_ack(ctx, origin, &leases);
            }
        }
    }
}
