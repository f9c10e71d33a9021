//! The rules of custody through all orders of events, within bounds: a model checker (stateright) drives the members of a trio
//! as nodes do ([`trio::Node`]), with the same code. `tests/holds.rs` says within which bounds, and how to search further.
//!
//! A message stays on the way for ever once it was sent: it may come at any time later, several times, before others, or never.
//! What was written is lost in a crash unless it was synced before. No time passes: that a member takes over, or that a
//! leader says that it is there, may happen at any time.

#[path = "../../tests/trio/mod.rs"]
mod trio;

mod cached;

use std::collections::BTreeSet;

pub use cached::Cached;
use stateright::{Model, Property};
use trio::{Node, Said, Tiny, moment, peer, seat};
use weft_core::custody::{CustodyMessage, Member, Seat};

/// How it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// All three keep the job, and all know that.
    Accepted,
    /// The same, and the messages so far may come again.
    Fresh,
    /// The owner has a record that no other node has; the custodian took over since, with the witness, and no other node has
    /// its first record.
    Contested,
    /// The owner leads again since, with the witness, and no other node has its first record; what it sent is on its way.
    Older,
}

/// What may happen, and how often in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// How it begins.
    pub start: Start,
    /// A member takes over, whether there is a leader or not.
    pub takeovers: u8,
    /// A client writes a record, at a node that leads or thinks so.
    pub values: u8,
    /// A node dies and starts again; what was not synced is lost.
    pub crashes: u8,
    /// The same, and it has another disk.
    pub wipes: u8,
    /// A leader gives a seat to a node that had none.
    pub replacements: u8,
    /// A leader says that it is there.
    pub beats: u8,
    /// Writes are synced later, one after the other; otherwise at once.
    pub syncs: bool,
}

impl Bounds {
    /// Nothing happens.
    pub const NONE: Self = Self {
        start: Start::Accepted,
        takeovers: 0,
        values: 0,
        crashes: 0,
        wipes: 0,
        replacements: 0,
        beats: 0,
        syncs: false,
    };
}

/// One trio, its messages, and what was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    nodes: Vec<Cached<Node>>,
    wire: BTreeSet<Cached<Sent>>,
    left: Bounds,
    /// What leaders said to be committed, together, and the epochs in which they did.
    committed: Vec<(Tiny, u32)>,
    broken: Option<&'static str>,
    /// The epochs that members led.
    led: Vec<u32>,
    /// What was committed by them.
    committed_later: bool,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    from: usize,
    to: usize,
    message: CustodyMessage,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message arrives.
    Deliver(Cached<Sent>),
    /// The oldest write of a node is durable.
    Sync(usize),
    /// A member takes over.
    TakeOver(usize),
    /// A client writes at a node that leads.
    Write(usize),
    /// A leader says that it is there.
    Beat(usize),
    /// A node dies and starts again.
    Crash(usize),
    /// The same, with another disk.
    Wipe(usize),
    /// A leader gives that seat to a node that has none.
    Replace(usize, u8),
}

impl World {
    /// A job that all three keep, and all know that.
    fn new(left: Bounds) -> Self {
        let mut said = Vec::new();
        let owner = Node::found(Tiny::Accepted([1, 2, 3]), &mut said);
        let others = [(1, 2), (2, 3), (3, 4)].map(|(node, disk)| Node::new(seat(node, disk)));
        let nodes = std::iter::once(owner).chain(others).map(Cached::new).collect();
        let mut world = Self {
            nodes,
            wire: BTreeSet::new(),
            left,
            committed: Vec::new(),
            broken: None,
            led: vec![3],
            committed_later: false,
        };
        world.hear(0, said);
        loop {
            let before = world.clone();
            before.wire.iter().for_each(|sent| world.deliver(sent));
            (0..world.nodes.len()).for_each(|at| world.at(at, Node::sync_all));
            if world == before {
                match left.start {
                    Start::Fresh => {}
                    Start::Accepted => world.wire.clear(),
                    Start::Contested => world.contest(),
                    Start::Older => {
                        world.contest();
                        world.restart(0, Node::crash);
                        world.lead_with_witness(0);
                        world.wire.retain(|sent| (sent.from, sent.to) == (0, 2));
                    }
                }
                return world;
            }
        }
    }

    fn contest(&mut self) {
        self.at(0, |node, said| node.with(said, |member| write(member, Tiny::Value(100))));
        self.at(0, Node::sync_all);
        self.lead_with_witness(1);
        assert!(self.leads(0) && self.leads(1), "each thinks so");
        self.wire.clear();
    }

    fn lead_with_witness(&mut self, at: usize) {
        self.wire.clear();
        self.at(at, |node, said| node.with(said, |member| member.take_over(&moment(0))));
        self.at(at, Node::sync_all);
        for (from, to) in [(at, 2), (2, at)] {
            let wire = self.wire.clone();
            wire.iter().filter(|sent| (sent.from, sent.to) == (from, to)).for_each(|sent| self.deliver(sent));
            self.at(to, Node::sync_all);
        }
        assert!(self.leads(at));
    }

    fn deliver(&mut self, sent: &Sent) {
        self.at(sent.to, |node, said| node.receive(sent.from, &sent.message, said));
    }

    /// A node dies and starts again, and is connected with the others.
    fn restart(&mut self, at: usize, how: impl FnOnce(&mut Node, &mut Vec<Said>)) {
        self.at(at, how);
        self.connect(at);
    }

    fn connect(&mut self, at: usize) {
        for other in (0..4).filter(|other| usize::from(*other) != at) {
            self.at(at, |node, said| node.with(said, |member| member.on_connected(peer(other), &moment(0))));
        }
    }

    fn at(&mut self, at: usize, what: impl FnOnce(&mut Node, &mut Vec<Said>)) {
        let mut said = Vec::new();
        let mut node = Node::clone(&self.nodes[at]);
        what(&mut node, &mut said);
        if !self.left.syncs {
            node.sync_all(&mut said);
        }
        self.nodes[at] = Cached::new(node);
        self.hear(at, said);
    }

    fn hear(&mut self, at: usize, said: Vec<Said>) {
        for word in said {
            match word {
                Said::Sent { to, message } => {
                    self.wire.insert(Cached::new(Sent { from: at, to, message }));
                }
                Said::Committed(log) => self.on_committed(at, log),
                Said::Leads(log) => {
                    self.on_leads(at, &log);
                }
                Said::SteppedDown
                | Said::Follows(_)
                | Said::Keepers(_)
                | Said::Fetches(_)
                | Said::Forgot
                | Said::Left => {}
            }
        }
    }

    fn on_committed(&mut self, at: usize, log: Vec<Tiny>) {
        let node = &self.nodes[at];
        if node.member.as_ref().is_some_and(|member| member.epoch() <= node.lived) {
            self.broken = Some("a leader that restarted commits in an epoch of its earlier life");
        }
        let epoch = node.member.as_ref().map_or(0, Member::epoch);
        if log.iter().zip(&self.committed).any(|(one, (other, _))| one != other) {
            self.broken = Some("two leaders committed different records");
        }
        let new = log.into_iter().skip(self.committed.len()).map(|record| (record, epoch));
        let before = self.committed.len();
        self.committed.extend(new);
        self.committed_later |= self.led.len() > 1 && self.committed.len() > before;
    }

    /// What was committed in an epoch before its own is in a leader's log. One of an older epoch may not know better: it commits
    /// nothing any more.
    fn on_leads(&mut self, at: usize, log: &[Tiny]) {
        let epoch = self.nodes[at].member.as_ref().map_or(0, Member::epoch);
        if self.led.contains(&epoch) {
            self.broken = Some("an epoch has two leaders");
        }
        self.led.push(epoch);
        let before = self.committed.iter().take_while(|(_, committed)| *committed < epoch);
        let before: Vec<Tiny> = before.map(|(record, _)| *record).collect();
        if !log.starts_with(&before) {
            self.broken = Some("a leader lacks what was committed before");
        }
    }

    /// Which rule was broken, if one was.
    #[must_use]
    pub fn broken(&self) -> Option<&'static str> {
        self.broken
    }

    /// How many records were committed.
    #[must_use]
    pub fn committed_len(&self) -> usize {
        self.committed.len()
    }

    /// A node that has no seat, as the log of another says.
    fn without_seat(&self, at: usize) -> Option<Seat> {
        let trio = self.nodes[at].member.as_ref()?.log().trio();
        self.nodes.iter().map(|node| node.me).find(|me| trio.seat_of(me.peer).is_none())
    }

    fn leads(&self, at: usize) -> bool {
        self.nodes[at].leads()
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(*self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let left = world.left;
        steps.extend(world.wire.iter().cloned().map(Step::Deliver));
        for at in 0..world.nodes.len() {
            let node = &world.nodes[at];
            let lives = node.member.is_some();
            let mut may = |can: bool, step| steps.extend(can.then_some(step));
            may(!node.writes.is_empty(), Step::Sync(at));
            may(left.takeovers > 0 && node.follows(), Step::TakeOver(at));
            may(left.values > 0 && world.leads(at), Step::Write(at));
            may(left.beats > 0 && world.leads(at), Step::Beat(at));
            may(left.crashes > 0 && lives, Step::Crash(at));
            may(left.wipes > 0 && lives, Step::Wipe(at));
            for seat in 0..3 {
                may(left.replacements > 0 && world.leads(at), Step::Replace(at, seat));
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Deliver(sent) => next.deliver(&sent),
            Step::Sync(at) => next.at(at, Node::sync_one),
            Step::TakeOver(at) => {
                next.left.takeovers -= 1;
                next.at(at, |node, said| node.with(said, |member| member.take_over(&moment(0))));
            }
            Step::Write(at) => {
                next.left.values -= 1;
                let value = Tiny::Value(next.left.values);
                next.at(at, |node, said| node.with(said, |member| write(member, value)));
            }
            Step::Beat(at) => {
                next.left.beats -= 1;
                next.connect(at);
            }
            Step::Crash(at) => {
                next.left.crashes -= 1;
                next.restart(at, Node::crash);
            }
            Step::Wipe(at) => {
                next.left.wipes -= 1;
                next.restart(at, Node::wipe);
            }
            Step::Replace(at, place) => {
                next.left.replacements -= 1;
                let by = next.without_seat(at)?;
                next.at(at, |node, said| {
                    node.with(said, |member| replace(member, place, by));
                });
            }
        }
        // What changes nothing but what may still happen is not worth a look.
        (next.nodes != world.nodes || next.wire != world.wire).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was told stays, and each leader has it", |_, world: &World| {
                world.broken.is_none()
            }),
            Property::sometimes("a leader that took over commits", |_, world: &World| world.committed_later),
        ]
    }
}

fn replace(member: &mut Member<Tiny>, place: u8, by: Seat) {
    // Where it may not, nothing happens.
    let _ = member.replace(place, by, &moment(0));
}

fn write(member: &mut Member<Tiny>, value: Tiny) {
    if member.append(value).is_some() {
        member.flush(&moment(0));
    }
}
