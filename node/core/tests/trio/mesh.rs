//! Three members of a job and a node that has nothing to do with it, with a wire between them: messages, cuts and time are the
//! test's.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeSet, VecDeque};

use weft_core::custody::{CustodyMessage, Member, Role};

use crate::trio::{Node, Said, Tiny, moment, peer, seat};

pub(crate) fn number(node: usize) -> weft_core::PeerId {
    peer(u8::try_from(node).expect("few nodes"))
}

pub(crate) const ACCEPTED: Tiny = Tiny::Accepted([1, 2, 3]);

/// Nodes and a wire. Links are cut by the test; what is sent over a cut one is lost.
pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    pub(crate) wire: VecDeque<(usize, usize, CustodyMessage)>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) said: Vec<(usize, Said)>,
    pub(crate) sent: Vec<(usize, usize, CustodyMessage)>,
    pub(crate) now_ms: u64,
}

impl Mesh {
    /// A new job, kept by the nodes 0 to 2. Node 3 has nothing to do with it.
    pub(crate) fn new() -> Self {
        let mut said = Vec::new();
        let owner = Node::found(ACCEPTED, &mut said);
        let mut mesh = Self {
            nodes: vec![owner, Node::new(seat(1, 2)), Node::new(seat(2, 3)), Node::new(seat(3, 4))],
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            said: Vec::new(),
            sent: Vec::new(),
            now_ms: 0,
        };
        mesh.hear(0, said);
        mesh
    }

    /// The same, when all have its first records.
    pub(crate) fn accepted() -> Self {
        let mut mesh = Self::new();
        mesh.settle();
        assert_eq!(mesh.committed(0), [ACCEPTED]);
        mesh
    }

    pub(crate) fn hear(&mut self, at: usize, said: Vec<Said>) {
        for word in said {
            if let Said::Sent { to, message } = &word {
                self.sent.push((at, *to, message.clone()));
                if !self.cut.contains(&(at, *to)) {
                    self.wire.push_back((at, *to, message.clone()));
                }
            }
            self.said.push((at, word));
        }
    }

    pub(crate) fn at(&mut self, at: usize, what: impl FnOnce(&mut Node, &mut Vec<Said>)) {
        let mut said = Vec::new();
        self.nodes[at].now_ms = self.now_ms;
        what(&mut self.nodes[at], &mut said);
        self.hear(at, said);
    }

    pub(crate) fn member(&mut self, at: usize, what: impl FnOnce(&mut Member<Tiny>)) {
        self.at(at, |node, said| node.with(said, what));
    }

    /// Delivers all messages, and does not sync.
    pub(crate) fn deliver(&mut self) {
        for _ in 0..10_000 {
            let Some((from, to, message)) = self.wire.pop_front() else { return };
            self.at(to, |node, said| node.receive(from, &message, said));
        }
        panic!("they never stop");
    }

    /// Delivers and syncs until nothing happens.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.deliver();
            (0..self.nodes.len()).for_each(|at| self.at(at, Node::sync_all));
            if self.wire.is_empty() {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Time passes, with what falls due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.now_ms = (self.now_ms + 250).min(end);
            let moment = moment(self.now_ms);
            (0..self.nodes.len()).for_each(|at| self.member(at, |member| member.on_time(&moment)));
            self.settle();
        }
    }

    pub(crate) fn write(&mut self, at: usize, record: Tiny) -> Option<u32> {
        let (mut seq, moment) = (None, moment(self.now_ms));
        self.member(at, |member| {
            seq = member.append(record);
            member.flush(&moment);
        });
        seq
    }

    pub(crate) fn cut(&mut self, one: usize, two: usize) {
        self.cut.extend([(one, two), (two, one)]);
        let moment = moment(self.now_ms);
        for (at, other) in [(one, two), (two, one)] {
            self.member(at, |member| member.on_disconnected(number(other), &moment));
        }
    }

    pub(crate) fn isolate(&mut self, node: usize) {
        (0..self.nodes.len()).filter(|other| *other != node).for_each(|other| self.cut(node, other));
    }

    pub(crate) fn join(&mut self, one: usize, two: usize) {
        let moment = moment(self.now_ms);
        for (at, other) in [(one, two), (two, one)] {
            self.cut.remove(&(at, other));
            self.member(at, |member| member.on_connected(number(other), &moment));
        }
    }

    pub(crate) fn rejoin(&mut self, node: usize) {
        (0..self.nodes.len()).filter(|other| *other != node).for_each(|other| self.join(node, other));
    }

    pub(crate) fn role(&self, at: usize) -> Option<Role> {
        self.nodes[at].member.as_ref().map(Member::role)
    }

    pub(crate) fn epoch(&self, at: usize) -> u32 {
        self.nodes[at].member.as_ref().map_or(0, Member::epoch)
    }

    /// What a node said last to be committed, as a leader.
    pub(crate) fn committed(&self, at: usize) -> Vec<Tiny> {
        let said = self.said.iter().rev().filter(|(by, _)| *by == at);
        said.into_iter()
            .find_map(|(_, said)| if let Said::Committed(log) = said { Some(log.clone()) } else { None })
            .unwrap_or_default()
    }

    pub(crate) fn logs(&self) -> Vec<Vec<Tiny>> {
        self.nodes.iter().take(3).map(|node| node.disk.log.clone()).collect()
    }
}
