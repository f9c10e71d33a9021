//! The worst message of each kind that the codec accepts, sent repeatedly by one member: its cost for the receiver, in
//! work and in memory. Work is counted, not timed: entries examined because of a message, and answers. Memory is what
//! the allocator gave and did not get back.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "worst/keeper.rs"]
mod keeper;
mod wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use weft_core::codec::{CodecError, decode_gossip, decode_message, encode_gossip, encode_message};
use weft_core::custody::{CustodyMessage, Position, SPANS_MAX, Spans};
use weft_core::durable::LogRecord;
use weft_core::message::{
    Assign, Award, Bid, Call, Capacity, Class, Credit, Decline, Delivery, Grant, HeldLease, HeldState,
    Holding, LABELS_MAX, LeaseRange, MESSAGE_BYTES_MAX, Needs, Reason, TEXT_BYTES,
};
use weft_core::task::OUTCOME_TEXT_BYTES_MAX;
use weft_core::*;

/// The system's allocator with a counter for each thread.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts for the system's")]
// SAFETY: every call is passed unchanged to the system's allocator, and its result is returned unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller keeps the promises that this needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps the promises that this needs.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// How often each message is sent.
const TIMES: u64 = 150;
/// Most entries examined for one message.
const WORK_MAX: u64 = 1100;
/// Most effects of one message at its receiver.
const ANSWERS_MAX: usize = 1100;
/// Most memory that decoding and handling one message takes at its peak, in bytes.
const PEAK_MAX: usize = 12 * MIB;
/// A configuration in which a small mesh has three cells.
const CELLS: MeshConfig = MeshConfig { full_mesh: 4, cell_nodes: 2, ..MeshConfig::DEFAULT };

fn peer(number: u8) -> PeerId {
    PeerId(BlobId::of(&[number]).0)
}

fn program() -> Program {
    Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    }
}

fn call(number: u64, program: Program, needs: Needs) -> Call {
    Call {
        call: CallId(number),
        job: JobId(number),
        program: Arc::new(program),
        needs,
        class: Class::Batch,
        terms: Terms::default(),
        count: 1000,
        service_us: 0,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    }
}

fn labels(count: usize, bytes: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("{number:0>bytes$}"), "v".repeat(bytes))).collect()
}

fn request(number: u64, labels: Vec<(String, String)>, without: usize) -> Message {
    let needs = Needs { labels, slots: 1 };
    let request_id = u32::try_from(number).expect("few are requested");
    let (call, memory_bytes, class) = (CallId(number % 7), 0, Class::Batch);
    let without = vec![peer(99); without];
    Message::Cell(CellMessage::Request(BidRequest {
        call,
        request_id,
        class,
        needs,
        memory_bytes,
        count: 1,
        without,
    }))
}

fn lease(index: u32) -> LeaseId {
    LeaseId { job: JOB, epoch: 0, index, attempt: 1 }
}

/// More leases than a frame may have; the receiver knows the first few hundred.
fn leases() -> Vec<LeaseId> {
    (0..80_000).map(lease).collect()
}

/// The longest possible outcome, with a blob that never arrives.
fn delivery(index: u32) -> Delivery {
    let inline = || Payload::inline(&[7; 16 * KIB]);
    let output = Payload::Blob { id: BlobId::of(&index.to_le_bytes()), bytes: 1 };
    let outcome = Outcome::Failed(Failure::Error("e".repeat(OUTCOME_TEXT_BYTES_MAX)));
    let report = Report { output, errors: inline(), files: inline(), ..Report::bare(outcome) };
    Delivery { lease: lease(index), report: report.into(), memo: None, proof: None }
}

/// The shortest possible outcomes, of leases that were never issued.
/// Nearly as many as a frame may bring.
fn short_deliveries() -> Vec<Delivery> {
    let report = || Report::bare(Outcome::Done);
    let of = |index| Delivery {
        lease: LeaseId { attempt: 9, ..lease(index) },
        report: report().into(),
        memo: None,
        proof: None,
    };
    (0..10_800).map(of).collect()
}

fn grants(count: u32) -> Vec<Grant> {
    (0..count).map(|index| Grant { lease: lease(index), input: Payload::empty() }).collect()
}

const JOB: JobId = JobId(0xa11ce);

/// What the attacker knows.
#[derive(Clone, Copy)]
struct Learnt {
    /// A call of the receiver.
    call: CallId,
    /// A bid of the receiver on a call of the attacker, and its credit.
    bid: BidId,
    credit: BidId,
}

const NOTHING: Learnt = Learnt { call: CallId(0), bid: BidId(0), credit: BidId(0) };

/// The receiver: it owns a job whose tasks the attacker holds, and works for the attacker.
struct Hearer {
    engine: Engine,
    now: Time,
    learnt: Learnt,
}

const ATTACKER: u8 = 1;

impl Hearer {
    fn new(mesh: MeshConfig) -> Self {
        let node = NodeConfig {
            name: "hearer".into(),
            slots: 4,
            memory_bytes: 1 << 30,
            module_bytes: u64::MAX,
            store_bytes: u64::MAX,
            labels: labels(24, 64),
            class_min: Class::Scavenger,
            disk: 0,
            boot: 1,
            owners: Owners::All,
        };
        let engine = Engine::new(peer(0), mesh, node, [7; 32]);
        let mut hearer = Self { engine, now: Time::ZERO, learnt: NOTHING };
        hearer.input(Input::Mesh { nodes: 6 });
        // A further peer, which the attacker's messages may affect.
        for number in [ATTACKER, 2] {
            hearer.input(Input::PeerUp { peer: peer(number), boot: 9, host: Host::Unknown });
            hearer.hear_gossip(Gossip::Matchmaker { slots: 8 }, number);
        }
        let inputs = (0..400u32).map(|number| Payload::inline(&number.to_le_bytes())).collect();
        let limits = Limits { memory_bytes: 2 << 30, ..Limits::DEFAULT };
        let what = Submission {
            // Its own worker takes none of these tasks.
            program: Arc::new(Program { limits, ..program() }),
            terms: Terms { stream: true, ..Terms::default() },
            ..Submission::new(JOB, Arc::new(program()), inputs)
        };
        hearer.input(Input::Command(Command::Submit(what)));
        hearer.now = hearer.now.plus_ms(1100);
        hearer.input(Input::Wake);
        let (call, bid) = (hearer.learnt.call, BidId(5));
        assert_ne!(call, NOTHING.call, "it calls every node that may fit");
        hearer.hear(Message::Bid(Bid { call, bid, slots: 256, start_in_us: 0, warm: true, ttl_ms: 2000 }));
        hearer.hear(Message::Call(Call {
            service_us: 1000,
            ..self::call(1 << 40, program(), Needs::default())
        }));
        hearer.hear(Message::Call(self::call(1 << 41, program(), Needs::default())));
        hearer
    }

    fn input(&mut self, input: Input) -> usize {
        let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
        for effect in &effects {
            let Effect::Send { message, .. } = effect else { continue };
            if let Message::Call(call) = message {
                self.learnt.call = call.call;
            } else if let Message::Bid(bid) = message {
                self.learnt.bid = bid.bid;
            } else if let Message::Credit(credit) = message {
                self.learnt.credit = credit.bid;
            }
        }
        effects.len()
    }

    /// Decodes and handles a message from the wire.
    fn hear(&mut self, message: Message) -> usize {
        let bytes = encode_message(&message);
        drop(message);
        let message = decode_message(&bytes).expect("the codec lets it pass");
        drop(bytes);
        self.input(Input::Received { from: peer(ATTACKER), message })
    }

    fn hear_gossip(&mut self, gossip: Gossip, origin: u8) -> usize {
        let bytes = encode_gossip(&gossip).expect("it is short enough");
        let gossip = decode_gossip(&bytes).expect("the codec lets it pass");
        self.input(Input::Heard { origin: peer(origin), gossip })
    }
}

/// A message, by its number and what its sender knows, and the memory that all of them may take at the receiver, in
/// bytes.
type Row = (&'static str, fn(u64, Learnt) -> Message, usize);

/// The same for a gossip, which may carry a result.
type GossipRow = (&'static str, fn(u64, Report) -> Gossip, usize);

/// Memory of the texts of one owner's calls, and of the programs that are kept for their service time, in bytes.
const CALLS: usize = 64 * (64 * KIB + KIB) + 32 * 65 * KIB;
/// Memory of outcomes that wait for blobs, of the attempts that the sender holds, in bytes.
const OUTCOMES: usize = 256 * 3 * 17 * KIB;

const WORDS: &[Row] = &[
    ("call", |n, _| Message::Call(call(n, program(), Needs { labels: labels(20_000, 0), slots: 1 })), KIB),
    (
        "call: as many texts without letters as are kept",
        |n, _| {
            let args = vec![String::new(); 64 * KIB / TEXT_BYTES - 1];
            Message::Call(call(n, Program { module_bytes: n, args, ..program() }, Needs::default()))
        },
        CALLS,
    ),
    (
        "call: a long name of a function",
        |n, _| {
            let entry = Entry::Function("f".repeat(1_000_000));
            Message::Call(call(n, Program { entry, ..program() }, Needs::default()))
        },
        KIB,
    ),
    ("withdraw", |n, _| Message::Withdraw(CallId(n)), KIB),
    (
        "bid",
        |n, learnt| {
            let (call, bid) = (learnt.call, BidId(n));
            Message::Bid(Bid { call, bid, slots: u32::MAX, start_in_us: 0, warm: true, ttl_ms: u32::MAX })
        },
        256 * KIB,
    ),
    (
        "decline",
        |_, learnt| {
            let reason = Reason::Label { name: "n".repeat(500), wanted: "w".repeat(500) };
            Message::Decline(Decline { call: learnt.call, reason, is_permanent: true })
        },
        8 * KIB,
    ),
    (
        "award",
        |_, learnt| {
            let grants = grants(30_000);
            Message::Award(Award { call: CallId(1 << 41), bid: learnt.bid, left: u32::MAX, grants })
        },
        KIB,
    ),
    ("release", |n, _| Message::Release(BidId(n)), KIB),
    ("refuse", |_, _| Message::Refuse { leases: leases() }, 64 * KIB),
    ("stopped", |_, _| Message::Stopped { leases: leases() }, 64 * KIB),
    (
        "custody",
        |n, _| Message::Custody(vec![CustodyMessage::Forget { job: JobId(n), epoch: 3 }; 50_000]),
        64 * KIB,
    ),
    (
        "lead",
        |n, _| Message::Lead((0..50_000).map(|job| (JobId(n << 20 | job), u32::MAX)).collect()),
        64 * KIB,
    ),
    (
        "ask holding",
        |n, _| Message::AskHolding((0..50_000).map(|job| (JobId(n << 20 | job), u32::MAX)).collect()),
        64 * KIB,
    ),
    (
        "holding",
        |_, _| {
            let all = leases().into_iter().map(|lease| HeldLease { lease, state: HeldState::Ended });
            Message::Holding(Holding { job: JOB, epoch: 0, all: all.collect(), is_last: false })
        },
        64 * KIB,
    ),
    ("ask ends", |n, _| Message::AskEnds((0..100_000).map(|job| JobId(n << 20 | job)).collect()), 64 * KIB),
    (
        "job ends",
        |n, _| Message::JobEnds((0..80_000).map(|job| (JobId(n << 20 | job), true)).collect()),
        64 * KIB,
    ),
    ("given back", |_, _| Message::GivenBack { leases: leases() }, 64 * KIB),
    (
        "renew",
        |_, _| {
            let range = |index: u32| widest_range(lease(index * 1000));
            Message::Renew((0..50_000).map(range).collect())
        },
        64 * KIB,
    ),
    ("outcome: many", |_, _| Message::Outcome(short_deliveries()), 64 * KIB),
    (
        "outcome: long",
        |n, _| {
            let first = u32::try_from(n * 16 % 256).expect("it is small");
            Message::Outcome((first..first + 16).map(delivery).collect())
        },
        OUTCOMES,
    ),
    (
        "outcome: a text that is too long",
        |n, _| {
            let index = u32::try_from(n % 256).expect("it is small");
            let outcome = Outcome::Invalid("i".repeat(1_000_000));
            let report = Report { outcome, ..Report::clone(&delivery(index).report) };
            Message::Outcome(vec![Delivery { report: report.into(), ..delivery(index) }])
        },
        64 * KIB,
    ),
    ("ack", |_, _| Message::Ack(leases()), KIB),
    ("cancel", |_, _| Message::Cancel(leases()), KIB),
    (
        "printed",
        |n, _| {
            let bytes = vec![7; 900_000].into();
            let index = u32::try_from(n % 256).expect("it is small");
            Message::Printed { lease: lease(index), stream: Stream::Output, offset: 0, bytes }
        },
        KIB,
    ),
    ("credit", |n, _| Message::Credit(credit(n)), 8 * KIB),
    ("ended", |n, _| Message::Ended { all: short_deliveries(), credit: credit(n) }, 64 * KIB),
    (
        "assign",
        |n, learnt| {
            let call = call(n, program(), Needs::default());
            let (acks, grants) = (leases()[..50_000].to_vec(), grants(20_000));
            let place = Assign { call, bid: learnt.credit, placed: u64::MAX, acks, grants };
            Message::Assign(Box::new(place))
        },
        // It may send as many tasks as it has credit for.
        256 * KIB,
    ),
    ("advertise", |n, _| stand(n), 64 * KIB),
    ("request: more labels than there may be", |n, _| request(n, labels(20_000, 0), 0), KIB),
    ("request: as much as is kept", |n, _| request(n, labels(LABELS_MAX, 64), 32), 1100 * KIB),
    ("request: who is not wanted", |n, _| request(n, Vec::new(), 30_000), KIB),
    ("waits", |_, learnt| Message::Cell(CellMessage::Waits { call: learnt.call, request_id: u32::MAX }), KIB),
    (
        "flock request",
        |_, _| Message::Cell(CellMessage::FlockRequest { count: u32::MAX, memory_bytes: 0 }),
        64 * KIB,
    ),
    (
        "flock",
        |n, _| {
            let bids = (0..20_000).map(|bid| (peer(3), BidId(n << 20 | bid), u32::MAX)).collect();
            Message::Cell(CellMessage::Flock { bids, ttl_ms: u32::MAX })
        },
        64 * KIB,
    ),
    (
        "match",
        |n, learnt| {
            let (call, bid, worker) = (learnt.call, BidId(n), peer(3));
            let word = Match { call, request_id: 0, worker, bid, slots: u32::MAX, ttl_ms: u32::MAX };
            Message::Cell(CellMessage::Match(word))
        },
        64 * KIB,
    ),
    (
        "claim",
        |n, _| {
            let grants = grants(30_000);
            let award = Award { call: CallId(n), bid: BidId(n), left: 0, grants };
            let call = call(n, program(), Needs::default());
            Message::Cell(CellMessage::Claim { call, award })
        },
        KIB,
    ),
];

fn credit(number: u64) -> Credit {
    Credit {
        bid: BidId(number),
        taken: 0,
        room: u32::MAX,
        held: 0,
        slots: u32::MAX,
        ttl_ms: u32::MAX,
        class_min: Class::Scavenger,
    }
}

fn stand(number: u64) -> Message {
    let bids = (0..20_000).map(|bid| (BidId(number << 20 | bid), u32::MAX)).collect();
    Message::Cell(CellMessage::Advertise { bids, ttl_ms: u32::MAX })
}

/// The kind of a message: a new kind must have its worst message in the table.
fn kind(message: &Message) -> &'static str {
    match message {
        Message::Call(_) => "call",
        Message::Withdraw(_) => "withdraw",
        Message::Bid(_) => "bid",
        Message::Decline(_) => "decline",
        Message::Award(_) => "award",
        Message::Release(_) => "release",
        Message::Refuse { .. } => "refuse",
        Message::Renew(_) => "renew",
        Message::Outcome(_) => "outcome",
        Message::Ack(_) => "ack",
        Message::Cancel(_) => "cancel",
        Message::Printed { .. } => "printed",
        Message::Credit(_) => "credit",
        Message::Ended { .. } => "ended",
        Message::Assign(_) => "assign",
        Message::Stopped { .. } => "stopped",
        Message::GivenBack { .. } => "given back",
        Message::Custody(_) => "custody",
        Message::Lead(_) => "lead",
        Message::AskHolding(_) => "ask holding",
        Message::Holding(_) => "holding",
        Message::AskEnds(_) => "ask ends",
        Message::JobEnds(_) => "job ends",
        Message::Cell(CellMessage::Advertise { .. }) => "advertise",
        Message::Cell(CellMessage::Request(_)) => "request",
        Message::Cell(CellMessage::Waits { .. }) => "waits",
        Message::Cell(CellMessage::FlockRequest { .. }) => "flock request",
        Message::Cell(CellMessage::Flock { .. }) => "flock",
        Message::Cell(CellMessage::Match(_)) => "match",
        Message::Cell(CellMessage::Claim { .. }) => "claim",
    }
}

/// Sends each message of the table repeatedly to a new receiver; returns what each cost.
fn all_words_to(mesh: MeshConfig) -> Vec<String> {
    let mut costs = Vec::new();
    for (name, word, keeps_max) in WORDS {
        let mut hearer = Hearer::new(mesh);
        let (before, examined) = (LIVE.get(), hearer.engine.audit().examined);
        let mut worst = (0, 0, 0);
        let mut examined_before = examined;
        for number in 0..TIMES {
            hearer.now.0 += 1;
            let message = word(number, hearer.learnt);
            let bytes = encode_message(&message);
            assert!(name.starts_with(kind(&message)), "{name} is a word of its kind");
            drop(message);
            let live = LIVE.get();
            PEAK.set(live);
            let message = decode_message(&bytes).expect("the codec lets it pass");
            let answers = hearer.input(Input::Received { from: peer(ATTACKER), message });
            let examined = hearer.engine.audit().examined;
            worst = (
                worst.0.max(examined - examined_before),
                worst.1.max(answers),
                worst.2.max(PEAK.get().saturating_sub(live)),
            );
            examined_before = examined;
        }
        let kept = LIVE.get().saturating_sub(before);
        let (work, answers, peak) = worst;
        costs.push(format!(
            "{name}: {work} examined, {answers} answers, {} KiB for a moment, {} KiB kept",
            peak / KIB,
            kept / KIB
        ));
        assert!(work <= WORK_MAX, "{name}: {work} entries are examined for one message");
        assert!(answers <= ANSWERS_MAX, "{name}: {answers} answers to one word");
        assert!(peak <= PEAK_MAX, "{name}: {peak} bytes for a moment");
        // Lists that every input fills and empties keep their capacity.
        let most = keeps_max + 128 * KIB;
        assert!(kept <= most, "{name}: {kept} bytes are kept of {TIMES} words, {most} may be");
    }
    costs
}

#[test]
fn what_reports_take_behind_pointers_counts_for_the_limit_of_a_frame() {
    let twice = [short_deliveries(), short_deliveries()].concat();
    let bytes = encode_message(&Message::Outcome(twice));
    assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(decode_message(&bytes).unwrap_err(), CodecError::Malformed);
}

#[test]
fn the_worst_word_of_each_kind_costs_little_in_a_full_mesh() {
    println!("{}", all_words_to(MeshConfig::DEFAULT).join("\n"));
}

#[test]
fn the_worst_word_of_each_kind_costs_little_in_a_mesh_of_cells() {
    println!("{}", all_words_to(CELLS).join("\n"));
}

#[test]
fn each_kind_of_word_has_its_worst() {
    let kinds: std::collections::BTreeSet<_> =
        WORDS.iter().map(|(_, word, _)| kind(&word(0, NOTHING))).collect();
    assert_eq!(kinds.len(), 30, "{kinds:?}");
}

/// Sixty-four requests of twenty thousand labels each, followed by one bid, once kept a node busy for a minute.
#[test]
fn one_bid_costs_little_however_many_seeks_wait_and_whatever_they_want() {
    let mut hearer = Hearer::new(CELLS);
    for number in 0..256 {
        hearer.hear(request(number, labels(LABELS_MAX, 64), 32));
    }
    let waiting = hearer.engine.audit().cells.waiting;
    assert!(waiting > 64, "{waiting} requests wait");
    let before = hearer.engine.audit().examined;
    hearer.hear(stand(1));
    let examined = hearer.engine.audit().examined - before;
    assert!((64..=WORK_MAX).contains(&examined), "{examined} are examined");
}

#[test]
fn words_of_the_cells_are_not_heard_where_there_are_none() {
    let mut hearer = Hearer::new(MeshConfig::DEFAULT);
    let before = hearer.engine.snapshot().counters.dropped;
    assert_eq!(hearer.hear(request(1, Vec::new(), 0)), 0);
    assert_eq!(hearer.hear(stand(1)), 0);
    let audit = hearer.engine.audit();
    assert_eq!((audit.cells.waiting, audit.cells.bids), (0, 0));
    assert_eq!(hearer.engine.snapshot().counters.dropped - before, 2);
}

/// As many leases as one range can name.
fn widest_range(first: LeaseId) -> LeaseRange {
    LeaseRange { first, count: u32::MAX, paused: true, progress: message::Progress::Unknown }
}

#[test]
fn the_worst_gossip_of_each_kind_costs_little() {
    let report = Report { usage: Usage { wall_us: 2000, ..Usage::default() }, ..Report::bare(Outcome::Done) };
    let table: [GossipRow; 6] = [
        (
            "capacity",
            |n, _| {
                let owners = Owners::Only(vec![peer(7); 32]);
                let labels = labels(LABELS_MAX, 40);
                Gossip::Capacity(Capacity {
                    boot: 9,
                    seq: n,
                    labels,
                    owners,
                    backlog: 9,
                    ..Capacity::default()
                })
            },
            16 * KIB,
        ),
        (
            "outcome",
            |_, report| {
                let delivery = Delivery { lease: lease(1), report: report.into(), memo: None, proof: None };
                Gossip::Outcome { owner: peer(0), delivery }
            },
            64 * KIB,
        ),
        (
            "renew",
            |_, _| {
                let leases = (0..200).map(|index| widest_range(lease(index))).collect();
                Gossip::Renew { owner: peer(0), leases }
            },
            64 * KIB,
        ),
        ("ack", |_, _| Gossip::Ack { worker: peer(0), leases: leases()[..250].to_vec() }, KIB),
        (
            "known",
            |n, report| {
                let known = |task: u64| {
                    let task = TaskId(BlobId::of(&(n << 8 | task).to_le_bytes()).0);
                    Known { task, report: report.clone().into(), worker: peer(ATTACKER) }
                };
                Gossip::Known((0..30).map(known).collect())
            },
            // A table of sixteen thousand results.
            16 * MIB,
        ),
        ("matchmaker", |_, _| Gossip::Matchmaker { slots: u32::MAX }, KIB),
    ];
    for mesh in [MeshConfig::DEFAULT, CELLS] {
        for (name, gossip, keeps_max) in &table {
            let mut hearer = Hearer::new(mesh);
            let before = LIVE.get();
            for number in 0..TIMES {
                hearer.now.0 += 1;
                let examined = hearer.engine.audit().examined;
                let answers = hearer.hear_gossip(gossip(number, report.clone()), ATTACKER);
                let work = hearer.engine.audit().examined - examined;
                assert!(
                    work <= WORK_MAX && answers <= ANSWERS_MAX,
                    "{name}: {work} examined, {answers} answers"
                );
            }
            let kept = LIVE.get().saturating_sub(before);
            assert!(kept <= keeps_max + 128 * KIB, "{name}: {kept} bytes are kept of {TIMES} gossips");
        }
    }
}
