//! Peers come and go: in which order the roles learn it.

use super::Engine;
use crate::host::Host;
use crate::id::PeerId;
use crate::membership::{Arrival, Membership};
use crate::message::{Capacity, Gossip};
use crate::time::Time;
use crate::worker::Worker;

impl Engine {
    pub(super) fn on_peer_up(&mut self, peer: PeerId, boot: u64, host: Host) {
        let (mut ctx, owner, worker, members) = self.parts();
        let voters = members.voters();
        let arrival =
            if peer == ctx.me { Arrival::Ignored } else { members.on_up(peer, boot, host, ctx.now) };
        match arrival {
            Arrival::Ignored => return,
            Arrival::Restarted => {
                owner.on_peer_down(&ctx, peer, Some(0));
                worker.on_peer_restarted(&mut ctx, peer);
            }
            Arrival::Same => {}
        }
        owner.on_peer_up(members, peer);
        owner.on_voters(&mut ctx, members, voters);
        worker.on_peer_up(&mut ctx, members, peer);
        owner.ask_holding(&mut ctx, peer);
        let restarted = arrival == Arrival::Restarted;
        if restarted {
            self.matchmaker.on_peer_down(peer);
        }
        self.with_custody(|custody, ctx, _| custody.on_peer_up(ctx, peer, restarted));
        let (mut ctx, owner, ..) = self.parts();
        owner.name_keepers(&mut ctx, peer);
        self.announced = Capacity { seq: self.announced.seq, ..Capacity::default() };
    }

    pub(super) fn on_peer_down(&mut self, peer: PeerId, closed: bool) {
        let (mut ctx, owner, worker, members) = self.parts();
        let voters = members.voters();
        members.on_down(peer, ctx.now);
        owner.on_voters(&mut ctx, members, voters);
        owner.on_peer_down(&ctx, peer, closed.then_some(ctx.mesh.grace_ms));
        if !closed {
            owner.on_silent(&ctx, members, peer);
        }
        worker.on_peer_down(&mut ctx, members, peer, closed);
        self.matchmaker.on_peer_down(peer);
        self.with_custody(|custody, ctx, _| custody.on_peer_down(ctx, peer));
    }
}

/// What gossip says of its sender, whatever it is about: that node is there, and by its boot which of its processes.
pub(super) fn on_heard(
    now: Time,
    worker: &mut Worker,
    members: &Membership,
    origin: PeerId,
    gossip: &Gossip,
) {
    let boot = if let Gossip::Capacity(capacity) = gossip { Some(capacity.boot) } else { None };
    worker.on_heard(now, origin, boot.and_then(|boot| members.is_boot(origin, boot)));
}
