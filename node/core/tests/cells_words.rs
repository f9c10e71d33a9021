//! Words of a mesh of cells, said to one engine by hand: what of them it may believe, and from whom.

use std::sync::Arc;

use weft_core::message::{Award, Call, Class, Grant, Needs};
use weft_core::*;

const MESH: MeshConfig = MeshConfig { full_mesh: 4, cell_nodes: 2, ..MeshConfig::DEFAULT };
/// Nodes of the mesh, which make three cells.
const NODES: u32 = 6;
const CELLS: u32 = 3;

fn peer(number: u8) -> PeerId {
    PeerId(BlobId::of(&[number]).0)
}

/// The first so many peers of a cell, this node not among them.
fn of_cell(cell: u32, count: usize) -> Vec<PeerId> {
    (1..=255).map(peer).filter(|peer| cell_of(*peer, CELLS) == cell).take(count).collect()
}

/// One engine of a mesh of cells, and what it said since somebody looked.
struct Alone {
    engine: Engine,
    now: Time,
    said: Vec<(PeerId, Message)>,
    /// Exchanges that answer each seek with a word that it waits.
    answer: Vec<PeerId>,
}

impl Alone {
    fn of(slots: u32) -> Self {
        let node = NodeConfig {
            name: String::from("alone"),
            slots,
            memory_bytes: 1 << 30,
            module_bytes: u64::MAX,
            labels: Vec::new(),
            class_min: Class::Scavenger,
            boot: 1,
            owners: Owners::All,
        };
        let engine = Engine::new(peer(0), MESH, node, [7; 32]);
        let mut alone = Self { engine, now: Time::ZERO, said: Vec::new(), answer: Vec::new() };
        alone.input(Input::Mesh { nodes: NODES });
        alone
    }

    fn input(&mut self, input: Input) {
        let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
        for effect in effects {
            let Effect::Send { to, message } = effect else { continue };
            if let Message::Cell(CellWord::Seek(seek)) = &message
                && self.answer.contains(&to)
            {
                let (call, desk, count) = (seek.call, seek.desk, seek.count);
                self.hear(to, Message::Cell(CellWord::Waits { call, desk, count }));
            }
            self.said.push((to, message));
        }
    }

    fn hear(&mut self, from: PeerId, message: Message) {
        self.input(Input::Received { from, message });
    }

    fn up(&mut self, peer: PeerId) {
        self.input(Input::PeerUp { peer, boot: 9, host: Host::Unknown });
    }

    fn claims(&mut self, origin: PeerId) {
        self.input(Input::Heard { origin, gossip: Gossip::Exchange { slots: 8 } });
    }

    fn submit(&mut self, needs: Needs) {
        let what = Submission { needs, ..Submission::new(JobId(1), program(), vec![Payload::inline(b"in")]) };
        self.input(Input::Command(Command::Submit(what)));
    }

    fn advance_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while let Some((at, _)) = self.engine.next_wakeup().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Wake);
        }
        self.now = end;
    }

    /// What was sought last, and where.
    fn seeks(&self) -> Vec<(PeerId, Seek)> {
        let seeks = self.said.iter().filter_map(|(to, message)| {
            let Message::Cell(CellWord::Seek(seek)) = message else { return None };
            Some((*to, seek.clone()))
        });
        seeks.collect()
    }

    fn counts(&self, counted: impl Fn(&PeerId, &Message) -> bool) -> usize {
        self.said.iter().filter(|(to, message)| counted(to, message)).count()
    }
}

fn program() -> Arc<Program> {
    Arc::new(Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    })
}

fn plain_seek(call: u64) -> Message {
    Message::Cell(CellWord::Seek(Seek {
        call: CallId(call),
        desk: 0,
        class: Class::Batch,
        needs: Needs::default(),
        memory_bytes: 0,
        count: 1,
        without: Vec::new(),
    }))
}

/// Two cells that this node is not of.
fn others() -> (u32, u32) {
    let own = cell_of(peer(0), CELLS);
    ((own + 1) % CELLS, (own + 2) % CELLS)
}

fn introduced(alone: &Alone, owner: PeerId, bid: BidId) -> bool {
    let named = |to: &PeerId, message: &Message| {
        let word = matches!(message, Message::Cell(CellWord::Introduce(word)) if word.bid == bid);
        word && *to == owner
    };
    alone.counts(named) > 0
}

/// Only one cell has who carries the label, and its exchange dies while the task waits.
#[test]
fn what_wants_a_label_is_sought_at_whoever_serves_a_cell_next() {
    let (one, other) = others();
    let (first, second, elsewhere) = (of_cell(one, 2)[0], of_cell(one, 2)[1], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![first, second, elsewhere];
    for exchange in [first, elsewhere] {
        alone.up(exchange);
        alone.claims(exchange);
    }
    alone.submit(Needs { labels: vec![("gpu".into(), "yes".into())], ..Needs::default() });
    alone.advance_ms(2000);
    let sought: Vec<PeerId> = alone.seeks().into_iter().map(|(to, _)| to).collect();
    assert!(sought.contains(&first) && sought.contains(&elsewhere));
    alone.input(Input::PeerDown { peer: first, closed: true });
    alone.up(second);
    alone.claims(second);
    alone.said.clear();
    alone.advance_ms(3000);
    let sought = alone.seeks().into_iter().filter(|(to, seek)| *to == second && seek.count > 0);
    assert!(sought.count() > 0, "nobody asks the cell that may have it");
}

/// Any peer that heard of a call knows its name, and the desks are numbered from nought.
#[test]
fn who_was_not_asked_introduces_nobody() {
    let (one, other) = others();
    let (exchange, stranger) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![exchange];
    alone.up(exchange);
    alone.up(stranger);
    alone.claims(exchange);
    alone.submit(Needs::default());
    alone.advance_ms(100);
    let seeks = alone.seeks();
    assert!(!seeks.is_empty());
    alone.said.clear();
    for (to, seek) in seeks {
        let (call, desk, bid) = (seek.call, seek.desk, BidId(5));
        let word = Introduction { call, desk, worker: stranger, bid, slots: 1, ttl_ms: 2000 };
        let from = if to == stranger { exchange } else { stranger };
        alone.hear(from, Message::Cell(CellWord::Introduce(word)));
    }
    let hired = |_: &PeerId, message: &Message| matches!(message, Message::Cell(CellWord::Hire { .. }));
    assert_eq!(alone.counts(hired), 0);
    let released = |to: &PeerId, message: &Message| *to == stranger && matches!(message, Message::Release(_));
    assert!(alone.counts(released) > 0, "it need not wait for the end of its bid");
}

/// A bid in another's name costs its owner refusals, and that other its room at the exchange.
#[test]
fn nobody_lends_bids_unasked() {
    let (one, other) = others();
    let (liar, owner, victim) = (of_cell(one, 1)[0], of_cell(other, 1)[0], of_cell(other, 2)[1]);
    let mut alone = Alone::of(0);
    [liar, owner, victim].into_iter().for_each(|peer| alone.up(peer));
    alone.claims(liar);
    let forged = (0..64).map(|number| (victim, BidId(1000 + number), 1)).collect();
    alone.hear(liar, Message::Cell(CellWord::Lend { bids: forged, ttl_ms: 2000 }));
    assert_eq!(alone.engine.audit().cells.bids, 0);
    // Asked, it may.
    alone.hear(owner, plain_seek(1));
    let scouted = |to: &PeerId, message: &Message| {
        *to == liar && matches!(message, Message::Cell(CellWord::Scout { .. }))
    };
    assert_eq!(alone.counts(scouted), 1);
    let bids = vec![(victim, BidId(1), 1), (victim, BidId(2), 1)];
    alone.hear(liar, Message::Cell(CellWord::Lend { bids, ttl_ms: 2000 }));
    assert!(introduced(&alone, owner, BidId(1)));
    assert_eq!(alone.engine.audit().cells.bids, 0, "as many as were asked for");
}

/// Whoever is lent what stands here takes it from those who seek here.
#[test]
fn only_exchanges_are_lent_what_stands() {
    let (one, other) = others();
    let (exchange, stranger) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    [exchange, stranger].into_iter().for_each(|peer| alone.up(peer));
    alone.claims(exchange);
    let stand = |bid| Message::Cell(CellWord::Stand { bids: vec![(BidId(bid), 1)], ttl_ms: 2000 });
    let worker = of_cell(other, 2)[1];
    let scout = || Message::Cell(CellWord::Scout { count: 1, memory_bytes: 0 });
    alone.hear(worker, stand(1));
    alone.hear(stranger, scout());
    assert_eq!(alone.engine.audit().cells.bids, 1);
    alone.hear(exchange, scout());
    assert_eq!(alone.engine.audit().cells.bids, 0);
}

/// An exchange knows the names of the bids that stand at it, and no call is behind them.
#[test]
fn an_exchange_awards_nothing_on_what_stands_at_it() {
    let own = cell_of(peer(0), CELLS);
    // One that outranks this node serves the cell.
    let mut meshes = of_cell(own, 20).into_iter().map(|mate| {
        let mut alone = Alone::of(2);
        alone.up(mate);
        alone.advance_ms(1500);
        alone
    });
    let mut alone = meshes.find(|alone| !alone.said.is_empty()).expect("somebody outranks it");
    // The last word says it to whoever serves the cell now.
    let stood = alone.said.iter().rev().find_map(|(to, message)| {
        let Message::Cell(CellWord::Stand { bids, .. }) = message else { return None };
        Some((*to, bids[0].0))
    });
    let (exchange, bid) = stood.expect("what is free stands at another node");
    let call = Call {
        call: CallId(0),
        job: JobId(1),
        program: program(),
        needs: Needs::default(),
        class: Class::Batch,
        terms: Terms::default(),
        // It wants nothing yet, so that nothing is taken back for it.
        count: 0,
        service_us: 0,
        deadline_ms: None,
        waited_ms: 0,
    };
    alone.hear(exchange, Message::Call(call));
    let lease = LeaseId { job: JobId(1), index: 0, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    alone.hear(exchange, Message::Award(Award { call: CallId(0), bid, lease_ms: 4000, left: 0, grants }));
    let audit = alone.engine.audit();
    assert!(audit.held.is_empty(), "no call was answered with it");
    assert!(audit.cells.standing <= audit.reserved, "{:?}", audit.cells);
}

/// The mesh shrinks while an exchange owes its first word.
#[test]
fn a_call_is_repeated_also_when_the_mesh_has_no_cells_any_more() {
    let (one, _) = others();
    let other = of_cell(one, 1)[0];
    let mut alone = Alone::of(0);
    alone.up(other);
    alone.claims(other);
    alone.submit(Needs::default());
    alone.advance_ms(20);
    alone.input(Input::Mesh { nodes: 1 });
    alone.advance_ms(10_000);
    let called = |to: &PeerId, message: &Message| *to == other && matches!(message, Message::Call(_));
    assert!(alone.counts(called) >= 8, "called {} times in ten seconds", alone.counts(called));
}

/// Of two cells one says that it has more slots than there are machines.
#[test]
fn a_claim_that_is_too_large_is_believed_within_a_bound() {
    let (one, other) = others();
    let (honest, liar) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![honest, liar];
    for exchange in [honest, liar] {
        alone.up(exchange);
    }
    alone.input(Input::Heard { origin: honest, gossip: Gossip::Exchange { slots: 100 } });
    alone.input(Input::Heard { origin: liar, gossip: Gossip::Exchange { slots: u32::MAX } });
    let inputs = (0..100u8).map(|number| Payload::inline(&[number])).collect();
    let what = Submission::new(JobId(1), program(), inputs);
    alone.input(Input::Command(Command::Submit(what)));
    let sought: u32 = alone.seeks().iter().filter(|(to, _)| *to == honest).map(|(_, seek)| seek.count).sum();
    assert!(sought >= 15, "{sought} of 100 are sought at the honest cell");
}
