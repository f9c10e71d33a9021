//! The worst word of each kind that the codec lets pass, said again and again by one member: what it costs whoever
//! hears it, in work and in memory. Work is counted, not timed: what was looked at one by one because a word said so, and
//! what was answered. Memory is what the allocator gave and did not get back.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use weft_core::codec::{decode_gossip, decode_message, encode_gossip, encode_message};
use weft_core::message::{
    Ahead, Award, Bid, Call, Capacity, Class, Decline, Delivery, Grant, LABELS_MAX, LeaseRange, Needs, Place,
    Reason, TEXT_BYTES,
};
use weft_core::task::OUTCOME_TEXT_BYTES_MAX;
use weft_core::*;

/// The system's allocator, which counts what each thread has.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts for the system's")]
// SAFETY: every call is handed on to the system's allocator as it came, and what it answers is handed back.
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
/// How often each word is said.
const TIMES: u64 = 150;
/// Most that is looked at one by one for one word.
const WORK_MAX: u64 = 1100;
/// Most that one word has its hearer say or do.
const ANSWERS_MAX: usize = 1100;
/// Most that decoding and hearing one word takes for a moment.
const PEAK_MAX: usize = 12 * MIB;
/// Small enough a mesh to fall into cells, three of them.
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
    }
}

fn labels(count: usize, bytes: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("{number:0>bytes$}"), "v".repeat(bytes))).collect()
}

fn seek(number: u64, labels: Vec<(String, String)>, without: usize) -> Message {
    let needs = Needs { labels, slots: 1 };
    let desk = u32::try_from(number).expect("few are sought");
    let (call, memory_bytes, class) = (CallId(number % 7), 0, Class::Batch);
    let without = vec![peer(99); without];
    Message::Cell(CellWord::Seek(Seek { call, desk, class, needs, memory_bytes, count: 1, without }))
}

fn lease(index: u32) -> LeaseId {
    LeaseId { job: JOB, index, attempt: 1 }
}

/// More leases than a frame may have, of which the hearer knows the first few hundred.
fn leases() -> Vec<LeaseId> {
    (0..80_000).map(lease).collect()
}

/// An outcome as long as may be, with a blob that never comes.
fn delivery(index: u32) -> Delivery {
    let inline = || Payload::inline(&[7; 16 * KIB]);
    let output = Payload::Blob { id: BlobId::of(&index.to_le_bytes()), bytes: 1 };
    let outcome = Outcome::Failed(Failure::Error("e".repeat(OUTCOME_TEXT_BYTES_MAX)));
    let report = Report { output, errors: inline(), files: inline(), ..Report::bare(outcome) };
    Delivery { lease: lease(index), report, memo: None, proof: None }
}

/// Outcomes that are as short as they can be, of leases that nobody gave.
fn short_deliveries() -> Vec<Delivery> {
    let report = || Report::bare(Outcome::Done);
    let of = |index| Delivery {
        lease: LeaseId { attempt: 9, ..lease(index) },
        report: report(),
        memo: None,
        proof: None,
    };
    (0..7000).map(of).collect()
}

fn grants(count: u32) -> Vec<Grant> {
    (0..count).map(|index| Grant { lease: lease(index), input: Payload::empty() }).collect()
}

const JOB: JobId = JobId(0xa11ce);

/// What whoever attacks has learnt.
#[derive(Clone, Copy)]
struct Learnt {
    /// A call of the hearer.
    call: CallId,
    /// A bid of the hearer to a call of the attacker's, and a standing one.
    bid: BidId,
    ahead: BidId,
}

const NOTHING: Learnt = Learnt { call: CallId(0), bid: BidId(0), ahead: BidId(0) };

/// The hearer: it owns a job whose tasks the attacker holds, and works for the attacker.
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
            labels: labels(24, 64),
            class_min: Class::Scavenger,
            boot: 1,
            owners: Owners::All,
        };
        let engine = Engine::new(peer(0), mesh, node, [7; 32]);
        let mut hearer = Self { engine, now: Time::ZERO, learnt: NOTHING };
        hearer.input(Input::Mesh { nodes: 6 });
        // A further peer, for whom the attacker's words may have consequences.
        for number in [ATTACKER, 2] {
            hearer.input(Input::PeerUp { peer: peer(number), boot: 9, host: Host::Unknown });
            hearer.hear_gossip(Gossip::Exchange { slots: 8 }, number);
        }
        let inputs = (0..400u32).map(|number| Payload::inline(&number.to_le_bytes())).collect();
        let limits = Limits { memory_bytes: 2 << 30, ..Limits::DEFAULT };
        let what = Submission {
            // Its own worker takes none of it.
            program: Arc::new(Program { limits, ..program() }),
            terms: Terms { stream: true, ..Terms::default() },
            ..Submission::new(JOB, Arc::new(program()), inputs)
        };
        hearer.input(Input::Command(Command::Submit(what)));
        hearer.now = hearer.now.plus_ms(1100);
        hearer.input(Input::Wake);
        let (call, bid) = (hearer.learnt.call, BidId(5));
        assert_ne!(call, NOTHING.call, "it calls whoever may fit");
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
            } else if let Message::Ahead(ahead) = message {
                self.learnt.ahead = ahead.bid;
            }
        }
        effects.len()
    }

    /// Hears it as it comes off the wire.
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

/// A word, by its number and what its speaker has learnt, and what all of them may have the hearer keep, in bytes.
type Row = (&'static str, fn(u64, Learnt) -> Message, usize);

/// The same of a gossip, which may carry a result.
type GossipRow = (&'static str, fn(u64, Report) -> Gossip, usize);

/// What the texts of the calls of one owner take, and the programs that are remembered for their pace.
const CALLS: usize = 64 * (64 * KIB + KIB) + 32 * 65 * KIB;
/// What waits for blobs of the attempts that the speaker holds.
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
            Message::Decline(Decline { call: learnt.call, reason, retry_after_ms: None })
        },
        8 * KIB,
    ),
    (
        "award",
        |_, learnt| {
            let grants = grants(30_000);
            Message::Award(Award {
                call: CallId(1 << 41),
                bid: learnt.bid,
                lease_ms: 1,
                left: u32::MAX,
                grants,
            })
        },
        KIB,
    ),
    ("release", |n, _| Message::Release(BidId(n)), KIB),
    ("refuse", |_, _| Message::Refuse { leases: leases() }, 64 * KIB),
    ("stopped", |_, _| Message::Stopped { leases: leases() }, 64 * KIB),
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
            let report = Report { outcome, ..delivery(index).report };
            Message::Outcome(vec![Delivery { report, ..delivery(index) }])
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
    ("ahead", |n, _| Message::Ahead(ahead(n)), 8 * KIB),
    ("ended", |n, _| Message::Ended { all: short_deliveries(), ahead: ahead(n) }, 64 * KIB),
    (
        "place",
        |n, learnt| {
            let call = call(n, program(), Needs::default());
            let (acks, grants) = (leases()[..50_000].to_vec(), grants(20_000));
            let place = Place { call, bid: learnt.ahead, placed: u64::MAX, lease_ms: 1, acks, grants };
            Message::Place(Box::new(place))
        },
        // What it was promised room for, it may place.
        256 * KIB,
    ),
    ("stand", |n, _| stand(n), 64 * KIB),
    ("seek: more labels than there may be", |n, _| seek(n, labels(20_000, 0), 0), KIB),
    ("seek: as much as is kept", |n, _| seek(n, labels(LABELS_MAX, 64), 32), 1100 * KIB),
    ("seek: who is not wanted", |n, _| seek(n, Vec::new(), 30_000), KIB),
    (
        "waits",
        |_, learnt| Message::Cell(CellWord::Waits { call: learnt.call, desk: u32::MAX, count: u32::MAX }),
        KIB,
    ),
    ("scout", |_, _| Message::Cell(CellWord::Scout { count: u32::MAX, memory_bytes: 0 }), 64 * KIB),
    (
        "lend",
        |n, _| {
            let bids = (0..20_000).map(|bid| (peer(3), BidId(n << 20 | bid), u32::MAX)).collect();
            Message::Cell(CellWord::Lend { bids, ttl_ms: u32::MAX })
        },
        64 * KIB,
    ),
    (
        "introduce",
        |n, learnt| {
            let (call, bid, worker) = (learnt.call, BidId(n), peer(3));
            let word = Introduction { call, desk: 0, worker, bid, slots: u32::MAX, ttl_ms: u32::MAX };
            Message::Cell(CellWord::Introduce(word))
        },
        64 * KIB,
    ),
    (
        "hire",
        |n, _| {
            let grants = grants(30_000);
            let award = Award { call: CallId(n), bid: BidId(n), lease_ms: 1, left: 0, grants };
            let call = call(n, program(), Needs::default());
            Message::Cell(CellWord::Hire { call, award })
        },
        KIB,
    ),
];

fn ahead(number: u64) -> Ahead {
    Ahead {
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
    Message::Cell(CellWord::Stand { bids, ttl_ms: u32::MAX })
}

/// The kind of a word: a new one must have its worst in the table.
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
        Message::Ahead(_) => "ahead",
        Message::Ended { .. } => "ended",
        Message::Place(_) => "place",
        Message::Stopped { .. } => "stopped",
        Message::Cell(CellWord::Stand { .. }) => "stand",
        Message::Cell(CellWord::Seek(_)) => "seek",
        Message::Cell(CellWord::Waits { .. }) => "waits",
        Message::Cell(CellWord::Scout { .. }) => "scout",
        Message::Cell(CellWord::Lend { .. }) => "lend",
        Message::Cell(CellWord::Introduce(_)) => "introduce",
        Message::Cell(CellWord::Hire { .. }) => "hire",
    }
}

/// Says each word of the table again and again to a hearer of its own; what each cost.
fn all_words_to(mesh: MeshConfig) -> Vec<String> {
    let mut costs = Vec::new();
    for (name, word, keeps_max) in WORDS {
        let mut hearer = Hearer::new(mesh);
        let (before, looked) = (LIVE.get(), hearer.engine.audit().looked);
        let mut worst = (0, 0, 0);
        let mut looked_before = looked;
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
            let looked = hearer.engine.audit().looked;
            worst = (
                worst.0.max(looked - looked_before),
                worst.1.max(answers),
                worst.2.max(PEAK.get().saturating_sub(live)),
            );
            looked_before = looked;
        }
        let kept = LIVE.get().saturating_sub(before);
        let (work, answers, peak) = worst;
        costs.push(format!(
            "{name}: {work} looked at, {answers} answers, {} KiB for a moment, {} KiB kept",
            peak / KIB,
            kept / KIB
        ));
        assert!(work <= WORK_MAX, "{name}: {work} are looked at for one word");
        assert!(answers <= ANSWERS_MAX, "{name}: {answers} answers to one word");
        assert!(peak <= PEAK_MAX, "{name}: {peak} bytes for a moment");
        // Lists that every input fills and empties keep their room.
        let most = keeps_max + 128 * KIB;
        assert!(kept <= most, "{name}: {kept} bytes are kept of {TIMES} words, {most} may be");
    }
    costs
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
    assert_eq!(kinds.len(), 23, "{kinds:?}");
}

/// Sixty-four seeks of twenty thousand labels each, and then one bid, once kept a node busy for a minute.
#[test]
fn one_bid_costs_little_however_many_seeks_wait_and_whatever_they_want() {
    let mut hearer = Hearer::new(CELLS);
    for number in 0..256 {
        hearer.hear(seek(number, labels(LABELS_MAX, 64), 32));
    }
    let waiting = hearer.engine.audit().cells.waiting;
    assert!(waiting > 64, "{waiting} seeks wait");
    let before = hearer.engine.audit().looked;
    hearer.hear(stand(1));
    let looked = hearer.engine.audit().looked - before;
    assert!((64..=WORK_MAX).contains(&looked), "{looked} are looked at");
}

#[test]
fn words_of_the_cells_are_not_heard_where_there_are_none() {
    let mut hearer = Hearer::new(MeshConfig::DEFAULT);
    let before = hearer.engine.snapshot().counters.dropped;
    assert_eq!(hearer.hear(seek(1, Vec::new(), 0)), 0);
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
                let delivery = Delivery { lease: lease(1), report, memo: None, proof: None };
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
                    Known { task, report: report.clone(), worker: peer(ATTACKER) }
                };
                Gossip::Known((0..30).map(known).collect())
            },
            // A table of sixteen thousand results.
            16 * MIB,
        ),
        ("exchange", |_, _| Gossip::Exchange { slots: u32::MAX }, KIB),
    ];
    for mesh in [MeshConfig::DEFAULT, CELLS] {
        for (name, gossip, keeps_max) in &table {
            let mut hearer = Hearer::new(mesh);
            let before = LIVE.get();
            for number in 0..TIMES {
                hearer.now.0 += 1;
                let looked = hearer.engine.audit().looked;
                let answers = hearer.hear_gossip(gossip(number, report.clone()), ATTACKER);
                let work = hearer.engine.audit().looked - looked;
                assert!(
                    work <= WORK_MAX && answers <= ANSWERS_MAX,
                    "{name}: {work} looked at, {answers} answers"
                );
            }
            let kept = LIVE.get().saturating_sub(before);
            assert!(kept <= keeps_max + 128 * KIB, "{name}: {kept} bytes are kept of {TIMES} gossips");
        }
    }
}
