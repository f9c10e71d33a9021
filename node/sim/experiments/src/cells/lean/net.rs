//! A lean mesh's network, agenda and faults: one delay, losses, a cut, matchmakers that die or lie.

use std::sync::Arc;

use weft_core::codec::{encode_gossip, encode_message};
use weft_core::{BidId, CellMessage, Gossip, Input, Message, PeerId, Scope};

use super::super::tally::Kind;
use super::{Agenda, Conduct, Lean, LeanJob, Mishap, WEIGHED, Word};

impl Lean {
    pub(super) fn connect(&mut self) {
        for host in 0..self.spec.nodes {
            self.tell(host, Input::Mesh { nodes: self.spec.nodes });
            let mates = std::mem::take(&mut self.mates[self.hosts[host as usize].cell as usize]);
            for mate in mates.iter().copied().filter(|mate| *mate != host) {
                let peer = self.hosts[mate as usize].peer;
                self.tell(
                    host,
                    Input::PeerUp { peer, boot: u64::from(mate) + 1, host: weft_core::Host::Unknown },
                );
            }
            let cell = self.hosts[host as usize].cell as usize;
            self.mates[cell] = mates;
        }
    }

    pub(crate) fn plan(&mut self, job: LeanJob) {
        let number = u32::try_from(self.jobs.len()).expect("jobs are counted in 32 bits");
        self.agenda_at(job.at_us, Agenda::Submit { owner: job.owner, job: number });
        self.jobs.push(job);
    }

    pub(crate) fn plan_mishap(&mut self, at_us: u64, mishap: Mishap) {
        let number = self.mishaps.len();
        self.mishaps.push(mishap);
        self.agenda_at(at_us, Agenda::Mishap(number));
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.now
    }

    pub(super) fn send(&mut self, from: u32, to: PeerId, message: Message) {
        let Some(message) = self.conduct(from, message) else { return };
        let bytes = if self.tally.messages.is_multiple_of(WEIGHED) {
            encode_message(&message).len() as u64
        } else {
            0
        };
        self.tally.on_message(Kind::of(&message), bytes * WEIGHED);
        self.hosts[from as usize].said += 1;
        let to = number(to);
        if self.passes(from, to) {
            self.wire.push_back((self.now + self.spec.delay_us, from, to, Word::Message(message)));
        }
    }

    fn passes(&mut self, from: u32, to: u32) -> bool {
        let half = self.spec.nodes / 2;
        let apart = self.cut && (from < half) != (to < half);
        let lives = self.hosts.get(to as usize).is_some_and(|host| host.engine.is_some());
        lives && !apart && !self.chance.permille(self.loss_permille)
    }

    /// The message that a node really sends; a dishonest matchmaker drops or forges matches.
    fn conduct(&mut self, from: u32, message: Message) -> Option<Message> {
        match (self.hosts[from as usize].conduct, message) {
            (Conduct::Silent, Message::Cell(CellMessage::Match(_))) => None,
            (Conduct::Forges, Message::Cell(CellMessage::Match(mut word))) => {
                word.bid = BidId(self.chance.any());
                word.worker = self.hosts[self.chance.index(self.hosts.len())].peer;
                Some(Message::Cell(CellMessage::Match(word)))
            }
            (_, message) => Some(message),
        }
    }

    pub(super) fn publish(&mut self, from: u32, gossip: Gossip) {
        let bytes = encode_gossip(&gossip).map_or(0, |bytes| bytes.len() as u64);
        let everybody: Vec<u32> = match gossip.scope() {
            Scope::Cell => self.mates[self.hosts[from as usize].cell as usize].clone(),
            Scope::Mesh => (0..self.spec.nodes).collect(),
        };
        let gossip = Arc::new(gossip);
        for to in everybody.into_iter().filter(|to| *to != from) {
            self.tally.on_gossip(bytes);
            if self.passes(from, to) {
                let word = Word::Gossip(Arc::clone(&gossip));
                self.wire.push_back((self.now + self.spec.delay_us, from, to, word));
            }
        }
    }

    // ---- faults

    pub(super) fn suffer(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Crash(count) => {
                for host in self.matchmakers(count) {
                    self.crash(host);
                }
            }
            Mishap::Loss(permille) => self.loss_permille = permille,
            Mishap::Cut(cut) => self.cut = cut,
            Mishap::Silent(count) => self.corrupt(count, Conduct::Silent),
            Mishap::Forge(count) => self.corrupt(count, Conduct::Forges),
        }
    }

    fn corrupt(&mut self, count: usize, conduct: Conduct) {
        for host in self.matchmakers(count) {
            self.hosts[host as usize].conduct = conduct;
        }
    }

    /// In each of the first cells, the node with the most advertised bids and waiting requests.
    fn matchmakers(&self, count: usize) -> Vec<u32> {
        let serves = |host: &u32| {
            let audit = self.hosts[*host as usize].engine.as_ref().map(|engine| engine.audit().cells);
            audit.map_or(0, |cells| cells.bids + cells.waiting)
        };
        let first = self.mates.iter().take(count);
        first.filter_map(|mates| mates.iter().copied().max_by_key(serves)).collect()
    }

    /// A process dies; all other nodes learn at once that their connection with it was closed.
    fn crash(&mut self, dead: u32) {
        let peer = self.hosts[dead as usize].peer;
        self.hosts[dead as usize].engine = None;
        self.hosts[dead as usize].busy.clear();
        self.hosts[dead as usize].waiting.clear();
        for host in (0..self.spec.nodes).filter(|host| *host != dead) {
            self.soon.push_back((host, Input::PeerDown { peer, closed: true }));
        }
    }
}

/// The number of the host with this peer id.
fn number(peer: PeerId) -> u32 {
    u32::from_le_bytes([peer.0[28], peer.0[29], peer.0[30], peer.0[31]])
}
