//! Messages of a mesh of cells, sent to one engine by hand: which of them it accepts, and from which sender.

use std::sync::Arc;

use weft_core::message::{Award, Call, Class, Grant, Needs};
use weft_core::*;

const MESH: MeshConfig = MeshConfig { full_mesh: 4, cell_nodes: 2, ..MeshConfig::DEFAULT };
/// Nodes of the mesh; they make three cells.
const NODES: u32 = 6;
const CELLS: u32 = 3;

fn peer(number: u8) -> PeerId {
    PeerId(BlobId::of(&[number]).0)
}

/// The first peers of a cell, without this node.
fn of_cell(cell: u32, count: usize) -> Vec<PeerId> {
    (1..=255).map(peer).filter(|peer| cell_of(*peer, CELLS) == cell).take(count).collect()
}

/// One engine of a mesh of cells, and its messages since they were taken last.
struct Alone {
    engine: Engine,
    now: Time,
    said: Vec<(PeerId, Message)>,
    /// Matchmakers that answer each request with a notice that it waits.
    answer: Vec<PeerId>,
}

impl Alone {
    fn of(slots: u32) -> Self {
        let node = NodeConfig {
            name: String::from("alone"),
            slots,
            memory_bytes: 1 << 30,
            module_bytes: u64::MAX,
            store_bytes: u64::MAX,
            labels: Vec::new(),
            class_min: Class::Scavenger,
            disk: 0,
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
            if let Message::Cell(CellMessage::Request(request)) = &message
                && self.answer.contains(&to)
            {
                let (call, request_id) = (request.call, request.request_id);
                self.hear(to, Message::Cell(CellMessage::Waits { call, request_id }));
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
        self.input(Input::Heard { origin, gossip: Gossip::Matchmaker { slots: 8 } });
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

    /// The last request, and its receiver.
    fn requests(&self) -> Vec<(PeerId, BidRequest)> {
        let requests = self.said.iter().filter_map(|(to, message)| {
            let Message::Cell(CellMessage::Request(request)) = message else { return None };
            Some((*to, request.clone()))
        });
        requests.collect()
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

fn plain_request(call: u64) -> Message {
    Message::Cell(CellMessage::Request(BidRequest {
        call: CallId(call),
        request_id: 0,
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

fn matched(alone: &Alone, owner: PeerId, bid: BidId) -> bool {
    let named = |to: &PeerId, message: &Message| {
        let word = matches!(message, Message::Cell(CellMessage::Match(word)) if word.bid == bid);
        word && *to == owner
    };
    alone.counts(named) > 0
}

/// Only one cell has a node with the label, and its matchmaker dies while the task waits.
#[test]
fn what_wants_a_label_is_sought_at_whoever_serves_a_cell_next() {
    let (one, other) = others();
    let (first, second, elsewhere) = (of_cell(one, 2)[0], of_cell(one, 2)[1], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![first, second, elsewhere];
    for matchmaker in [first, elsewhere] {
        alone.up(matchmaker);
        alone.claims(matchmaker);
    }
    alone.submit(Needs { labels: vec![("gpu".into(), "yes".into())], ..Needs::default() });
    alone.advance_ms(2000);
    let requested: Vec<PeerId> = alone.requests().into_iter().map(|(to, _)| to).collect();
    assert!(requested.contains(&first) && requested.contains(&elsewhere));
    alone.input(Input::PeerDown { peer: first, closed: true });
    alone.up(second);
    alone.claims(second);
    alone.said.clear();
    alone.advance_ms(3000);
    let requested = alone.requests().into_iter().filter(|(to, request)| *to == second && request.count > 0);
    assert!(requested.count() > 0, "no request goes to the cell that may have it");
}

/// More than is wanted is requested of what wants labels, so nothing more is requested that would say so by the way.
#[test]
fn a_matchmaker_is_told_at_once_which_worker_is_of_no_use_for_what_wants_labels() {
    let (one, other) = others();
    let (first, elsewhere) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let worker = of_cell(one, 2)[1];
    let mut alone = Alone::of(0);
    alone.answer = vec![first, elsewhere];
    [first, elsewhere, worker].into_iter().for_each(|peer| alone.up(peer));
    [first, elsewhere].into_iter().for_each(|matchmaker| alone.claims(matchmaker));
    let needs = Needs { labels: vec![("gpu".into(), "yes".into())], ..Needs::default() };
    let inputs = (0..20u8).map(|input| Payload::inline(&[input])).collect();
    let what = Submission { needs, ..Submission::new(JobId(1), program(), inputs) };
    alone.input(Input::Command(Command::Submit(what)));
    alone.advance_ms(100);
    let (_, request) = alone.requests().into_iter().find(|(to, _)| *to == first).expect("it is asked");
    let (call, request_id) = (request.call, request.request_id);
    let matches = |alone: &mut Alone, bid| {
        let word = Match { call, request_id, worker, bid: BidId(bid), slots: 1, ttl_ms: 2000 };
        alone.said.clear();
        alone.hear(first, Message::Cell(CellMessage::Match(word)));
    };
    // As often as one may refuse before it is given nothing for a while.
    for bid in 0..4 {
        matches(&mut alone, bid);
        let claimed = alone.said.iter().find_map(|(_, message)| {
            let Message::Cell(CellMessage::Claim { award, .. }) = message else { return None };
            Some(award.grants[0].lease)
        });
        let leases = vec![claimed.expect("it is claimed")];
        alone.hear(worker, Message::Refuse { leases });
    }
    matches(&mut alone, 9);
    assert!(alone.said.contains(&(worker, Message::Release(BidId(9)))), "it is of no use");
    let told = alone.requests().into_iter().find(|(to, _)| *to == first).map(|(_, request)| request.without);
    assert!(told.is_some_and(|without| without.contains(&worker)), "and would be matched again");
}

/// Any peer that got a call knows its id, and the numbers of the matchmakers start at 0.
#[test]
fn who_was_not_asked_introduces_nobody() {
    let (one, other) = others();
    let (matchmaker, stranger) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![matchmaker];
    alone.up(matchmaker);
    alone.up(stranger);
    alone.claims(matchmaker);
    alone.submit(Needs::default());
    alone.advance_ms(100);
    let requests = alone.requests();
    assert!(!requests.is_empty());
    alone.said.clear();
    for (to, request) in requests {
        let (call, request_id, bid) = (request.call, request.request_id, BidId(5));
        let word = Match { call, request_id, worker: stranger, bid, slots: 1, ttl_ms: 2000 };
        let from = if to == stranger { matchmaker } else { stranger };
        alone.hear(from, Message::Cell(CellMessage::Match(word)));
    }
    let claimed = |_: &PeerId, message: &Message| matches!(message, Message::Cell(CellMessage::Claim { .. }));
    assert_eq!(alone.counts(claimed), 0);
    let released = |to: &PeerId, message: &Message| *to == stranger && matches!(message, Message::Release(_));
    assert!(alone.counts(released) > 0, "it need not wait for the end of its bid");
}

/// A bid in another worker's name costs its owner refusals, and that worker its room at the matchmaker.
#[test]
fn nobody_lends_bids_unasked() {
    let (one, other) = others();
    let (liar, owner, victim) = (of_cell(one, 1)[0], of_cell(other, 1)[0], of_cell(other, 2)[1]);
    let mut alone = Alone::of(0);
    [liar, owner, victim].into_iter().for_each(|peer| alone.up(peer));
    alone.claims(liar);
    let forged = (0..64).map(|number| (victim, BidId(1000 + number), 1)).collect();
    alone.hear(liar, Message::Cell(CellMessage::Flock { bids: forged, ttl_ms: 2000 }));
    assert_eq!(alone.engine.audit().cells.bids, 0);
    // It may, once it was asked.
    alone.hear(owner, plain_request(1));
    let scouted = |to: &PeerId, message: &Message| {
        *to == liar && matches!(message, Message::Cell(CellMessage::FlockRequest { .. }))
    };
    assert_eq!(alone.counts(scouted), 1);
    let bids = vec![(victim, BidId(1), 1), (victim, BidId(2), 1)];
    alone.hear(liar, Message::Cell(CellMessage::Flock { bids, ttl_ms: 2000 }));
    assert!(matched(&alone, owner, BidId(1)));
    assert_eq!(alone.engine.audit().cells.bids, 0, "as many as were asked for");
}

/// A matchmaker that borrows bids takes them from the owners that wait here.
#[test]
fn only_matchmakers_are_lent_what_stands() {
    let (one, other) = others();
    let (matchmaker, stranger) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    [matchmaker, stranger].into_iter().for_each(|peer| alone.up(peer));
    alone.claims(matchmaker);
    let stand = |bid| Message::Cell(CellMessage::Advertise { bids: vec![(BidId(bid), 1)], ttl_ms: 2000 });
    let worker = of_cell(other, 2)[1];
    let flock_request = || Message::Cell(CellMessage::FlockRequest { count: 1, memory_bytes: 0 });
    alone.hear(worker, stand(1));
    alone.hear(stranger, flock_request());
    assert_eq!(alone.engine.audit().cells.bids, 1);
    alone.hear(matchmaker, flock_request());
    assert_eq!(alone.engine.audit().cells.bids, 0);
}

/// A matchmaker knows the ids of the bids advertised at it, which belong to no call.
#[test]
fn an_matchmaker_awards_nothing_on_what_stands_at_it() {
    let own = cell_of(peer(0), CELLS);
    // One that outranks this node serves the cell.
    let mut meshes = of_cell(own, 20).into_iter().map(|mate| {
        let mut alone = Alone::of(2);
        alone.up(mate);
        alone.advance_ms(1500);
        alone
    });
    let mut alone = meshes.find(|alone| !alone.said.is_empty()).expect("another node outranks it");
    // The last message goes to the node that serves the cell now.
    let advertised = alone.said.iter().rev().find_map(|(to, message)| {
        let Message::Cell(CellMessage::Advertise { bids, .. }) = message else { return None };
        Some((*to, bids[0].0))
    });
    let (matchmaker, bid) = advertised.expect("free slots are advertised at another node");
    let call = Call {
        call: CallId(0),
        job: JobId(1),
        program: program(),
        needs: Needs::default(),
        class: Class::Batch,
        terms: Terms::default(),
        // It has no tasks yet, so no advertised bid is withdrawn for it.
        count: 0,
        service_us: 0,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    };
    alone.hear(matchmaker, Message::Call(call));
    let lease = LeaseId { job: JobId(1), epoch: 0, index: 0, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    alone.hear(matchmaker, Message::Award(Award { call: CallId(0), bid, left: 0, grants }));
    let audit = alone.engine.audit();
    assert!(audit.held.is_empty(), "no call was answered with it");
    assert!(audit.cells.advertised <= audit.reserved, "{:?}", audit.cells);
}

/// The mesh shrinks while a matchmaker's first answer is due.
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

/// One of two cells claims more slots than there are.
#[test]
fn a_claim_that_is_too_large_is_believed_within_a_bound() {
    let (one, other) = others();
    let (honest, liar) = (of_cell(one, 1)[0], of_cell(other, 1)[0]);
    let mut alone = Alone::of(0);
    alone.answer = vec![honest, liar];
    for matchmaker in [honest, liar] {
        alone.up(matchmaker);
    }
    alone.input(Input::Heard { origin: honest, gossip: Gossip::Matchmaker { slots: 100 } });
    alone.input(Input::Heard { origin: liar, gossip: Gossip::Matchmaker { slots: u32::MAX } });
    let inputs = (0..100u8).map(|number| Payload::inline(&[number])).collect();
    let what = Submission::new(JobId(1), program(), inputs);
    alone.input(Input::Command(Command::Submit(what)));
    let requested: u32 =
        alone.requests().iter().filter(|(to, _)| *to == honest).map(|(_, request)| request.count).sum();
    assert!(requested >= 15, "{requested} of 100 are requested at the honest cell");
}
