//! The worst message of each kind about a job of level `mesh`, at a node that keeps it.

use super::*;

/// What the receiver is to a job that the attacker keeps, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It follows the attacker, whose log has as many epochs as there may be.
    Follows,
    /// It wants to lead, and fetches the attacker's log.
    Seals,
    /// The attacker follows it.
    Leads,
}

/// A node that keeps a job, and what the attacker knows of it.
struct Keeper {
    engine: Engine,
    now: Time,
    known: Facts,
    /// The first record of the job.
    first: Vec<u8>,
}

/// The epoch that the receiver promised, and its last record.
#[derive(Clone, Copy)]
struct Facts {
    epoch: u32,
    last: Position,
}

/// Epochs of the attacker's log.
const LED: u32 = 4090;
/// Records of one frame that are taken.
const TAKEN: u32 = 512;

impl Keeper {
    fn new(role: Role) -> Self {
        let mut mesh = wire::Mesh::keeping(&[0, 0, 0]);
        let owner = usize::from(role != Role::Leads);
        mesh.submit_with(owner, 1, |what| what.level = Level::Mesh);
        let log = mesh.disks[0].log(JOB);
        let (first, seq) = (log[0].encode(), u32::try_from(log.len()).expect("it is short"));
        let mut known = Facts { epoch: 3, last: Position { epoch: 3, seq } };
        mesh.deaf = Some((0, 1));
        if role == Role::Follows {
            known.epoch = 3 * LED;
            let led: Vec<u32> = (2..LED).map(|round| 3 * round).collect();
            for part in led.chunks(256) {
                let records = part.iter().map(|epoch| LogRecord::Led { epoch: *epoch, at: Time::ZERO });
                let keep = keep(known, known.last, records.map(|record| record.encode()).collect());
                mesh.say(1, 0, Message::Custody(vec![keep]));
                let seq = known.last.seq + u32::try_from(part.len()).expect("it is short");
                known.last = Position { epoch: part[part.len() - 1], seq };
            }
            assert_eq!(mesh.engines[0].snapshot().kept[0].last, known.last.seq, "it has all of them");
        }
        let mut keeper = Self { engine: mesh.engines.swap_remove(0), now: mesh.now, known, first };
        if role == Role::Seals {
            keeper.seal();
        }
        keeper
    }

    /// Takes over from the attacker, whose log is longer.
    fn seal(&mut self) {
        let before = self.known.epoch;
        for _ in 0..120 {
            self.now = self.now.plus_ms(1000);
            self.input(Input::Wake);
            self.hear(vec![CustodyMessage::PreSealed { job: JOB, epoch: before, silent: true }]);
            if self.known.epoch > before {
                break;
            }
        }
        let epoch = self.known.epoch;
        assert!(epoch > before, "it seals");
        let mut spans = Spans::new();
        (0..200_000).for_each(|seq| assert!(spans.push((seq == 0).then_some(3))));
        self.hear(vec![CustodyMessage::Sealed { job: JOB, epoch, spans, committed: 0, disk: 1002 }]);
    }

    /// The number of effects; what is to be written is at once.
    fn input(&mut self, input: Input) -> usize {
        let effects: Vec<Effect> = self.engine.handle(self.now, input).collect();
        let mut synced = None;
        for effect in &effects {
            if let Effect::Promise { ticket, epoch, .. } = effect {
                (synced, self.known.epoch) = (Some(*ticket), *epoch);
            } else if let Effect::Persist { ticket, .. }
            | Effect::Cut { ticket, .. }
            | Effect::Forget { ticket, .. } = effect
            {
                synced = Some(*ticket);
            }
        }
        let count = effects.len();
        drop(effects);
        if let Some(upto) = synced {
            self.input(Input::Persisted { upto });
        }
        count
    }

    fn hear(&mut self, messages: Vec<CustodyMessage>) -> usize {
        self.input(Input::Received { from: wire::id(1), message: Message::Custody(messages) })
    }
}

fn keep(known: Facts, after: Position, records: Vec<Vec<u8>>) -> CustodyMessage {
    keep_of(JOB, known, after, records)
}

fn keep_of(job: JobId, known: Facts, after: Position, records: Vec<Vec<u8>>) -> CustodyMessage {
    let records = records.into_iter().map(Into::into).collect();
    CustodyMessage::Keep { job, epoch: known.epoch, after, records, committed: u32::MAX, last: u32::MAX }
}

/// As many epochs as a log may have.
fn most_spans(step: u32) -> Spans {
    let mut spans = Spans::new();
    let most = u32::try_from(SPANS_MAX).expect("they are few");
    (1..=most).for_each(|epoch| assert!(spans.push(Some(epoch * step))));
    spans
}

/// As many short records as a frame may have, behind those of earlier frames.
fn short_records(number: u64, known: Facts) -> (Position, Vec<Vec<u8>>) {
    let before = u32::try_from(number).expect("few are sent") * TAKEN;
    let after = Position { seq: known.last.seq + before, ..known.last };
    (after, vec![LogRecord::Closed.encode(); 100_000])
}

/// As many blobs as a record of that length names.
fn record_of_blobs(number: u64) -> Vec<u8> {
    let blob = |task: u64| Payload::Blob { id: BlobId::of(&(number << 20 | task).to_le_bytes()), bytes: 1 };
    LogRecord::Extended { inputs: (0..20_000).map(blob).collect() }.encode()
}

/// A frame of messages about a job, by its number, and what the attacker knows.
type CustodyRow = (&'static str, fn(u64, Facts) -> Vec<CustodyMessage>);

const MANY: usize = 15_000;

const CUSTODY: &[CustodyRow] = &[
    ("keep: without records", |_, known| vec![keep(known, known.last, Vec::new()); MANY]),
    ("keep: what does not fit", |_, known| {
        vec![keep(known, Position { epoch: 1, seq: 9 }, Vec::new()); MANY]
    }),
    ("keep: as many records as there may be", |number, known| {
        let (after, records) = short_records(number, known);
        vec![keep(known, after, records)]
    }),
    ("keep: the longest record", |number, known| {
        let workers = (0..250u8).map(peer).collect();
        let after = Position {
            seq: known.last.seq + 100 * u32::try_from(number).expect("few are sent"),
            ..known.last
        };
        vec![keep(known, after, vec![LogRecord::Given { workers }.encode(); 100])]
    }),
    ("kept", |n, known| {
        let upto = known.last.seq;
        vec![CustodyMessage::Kept { job: JOB, epoch: known.epoch, upto, disk: 1002 + n }; MANY]
    }),
    ("behind", |n, known| {
        let spans = most_spans(1 + u32::try_from(n % 3).expect("it is small"));
        vec![CustodyMessage::Behind { job: JOB, epoch: known.epoch, spans, disk: n }; 30]
    }),
    ("stale", |_, known| vec![CustodyMessage::Stale { job: JOB, promised: known.epoch + 1000 }; MANY]),
    ("seal: again and again", |_, known| {
        // The first has it promised.
        let epoch = if known.epoch == 3 * LED { known.epoch + 3 } else { known.epoch };
        vec![CustodyMessage::Seal { job: JOB, epoch }; MANY]
    }),
    ("seal: rising", |_, known| {
        let seal = |round: u32| CustodyMessage::Seal { job: JOB, epoch: known.epoch / 3 * 3 + 3 * round };
        (1..=256).map(seal).collect()
    }),
    ("sealed", |_, known| {
        let spans = most_spans(1);
        vec![
            CustodyMessage::Sealed { job: JOB, epoch: known.epoch, spans, committed: u32::MAX, disk: 1002 };
            30
        ]
    }),
    ("want", |_, known| {
        vec![CustodyMessage::Want { job: JOB, epoch: known.epoch, after: Position::NONE }; MANY]
    }),
    ("have", |number, known| {
        let (after, records) = short_records(number, known);
        let records = records.into_iter().map(Into::into).collect();
        vec![CustodyMessage::Have { job: JOB, epoch: known.epoch, after, records }]
    }),
    ("forget", |_, known| vec![CustodyMessage::Forget { job: JOB, epoch: known.epoch }; MANY]),
    ("forgotten", |_, _| vec![CustodyMessage::Forgotten { job: JOB }; MANY]),
    ("dismissed", |_, _| {
        vec![CustodyMessage::Dismissed { job: JOB, at: Position { epoch: 1, seq: 1 } }; MANY]
    }),
    ("pre-seal", |_, known| vec![CustodyMessage::PreSeal { job: JOB, epoch: known.epoch }; MANY]),
    ("pre-sealed", |_, known| {
        vec![CustodyMessage::PreSealed { job: JOB, epoch: known.epoch, silent: true }; MANY]
    }),
    ("unknown", |n, _| vec![CustodyMessage::Unknown { job: JOB, disk: 1002 + n }; MANY]),
    ("hand over", |_, known| vec![CustodyMessage::HandOver { job: JOB, epoch: known.epoch }; MANY]),
];

/// The kind of a message: a new kind must have its worst message in the table.
fn custody_kind(message: &CustodyMessage) -> &'static str {
    match message {
        CustodyMessage::Keep { .. } => "keep",
        CustodyMessage::Kept { .. } => "kept",
        CustodyMessage::Behind { .. } => "behind",
        CustodyMessage::Stale { .. } => "stale",
        CustodyMessage::Seal { .. } => "seal",
        CustodyMessage::Sealed { .. } => "sealed",
        CustodyMessage::Want { .. } => "want",
        CustodyMessage::Have { .. } => "have",
        CustodyMessage::Forget { .. } => "forget",
        CustodyMessage::Forgotten { .. } => "forgotten",
        CustodyMessage::Dismissed { .. } => "dismissed",
        CustodyMessage::PreSeal { .. } => "pre-seal",
        CustodyMessage::PreSealed { .. } => "pre-sealed",
        CustodyMessage::Unknown { .. } => "unknown",
        CustodyMessage::HandOver { .. } => "hand over",
    }
}

/// What one frame cost at most.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    work: u64,
    answers: usize,
    peak: usize,
}

/// Most memory that a frame takes at its peak, in bytes; decoding alone may claim two thirds of it.
const FRAME_PEAK_MAX: usize = 6 * MIB;

/// Sends a frame of a row repeatedly to a node that keeps the job; what one cost at most, and what is kept of all.
fn cost_at_a_keeper(role: Role, (name, frame): CustodyRow) -> (Cost, usize) {
    let mut keeper = Keeper::new(role);
    let before = LIVE.get();
    let (known, mut cost) = (keeper.known, Cost::default());
    for number in 0..TIMES / 5 {
        keeper.now.0 += 1;
        let messages = frame(number, if name.starts_with("seal: r") { keeper.known } else { known });
        assert!(name.starts_with(custody_kind(&messages[0])), "{name} is a word of its kind");
        let bytes = encode_message(&Message::Custody(messages));
        let (live, examined) = (LIVE.get(), keeper.engine.audit().examined);
        PEAK.set(live);
        let message = decode_message(&bytes).expect("the codec lets it pass");
        let answers = keeper.input(Input::Received { from: wire::id(1), message });
        cost.work = cost.work.max(keeper.engine.audit().examined - examined);
        cost.answers = cost.answers.max(answers);
        cost.peak = cost.peak.max(PEAK.get().saturating_sub(live));
    }
    (cost, LIVE.get().saturating_sub(before))
}

#[test]
fn the_worst_message_of_each_kind_about_a_job_costs_little_at_a_node_that_keeps_it() {
    let mut wrong = Vec::new();
    for row in CUSTODY {
        for role in [Role::Follows, Role::Seals, Role::Leads] {
            let (cost, kept) = cost_at_a_keeper(role, *row);
            let Cost { work, answers, peak } = cost;
            let told = format!("{} at one that {role:?}: {cost:?}, {} KiB kept", row.0, kept / KIB);
            println!("{told}");
            // Lists that every input fills and empties keep their capacity.
            if work > WORK_MAX || answers > ANSWERS_MAX || peak > FRAME_PEAK_MAX || kept > MIB {
                wrong.push(told);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What follows a record whose bytes are nowhere waits with it, and short inputs take much more than they are long.
#[test]
fn records_behind_one_that_waits_are_bounded_over_all_jobs() {
    const JOBS: u64 = 40;
    let mut keeper = Keeper::new(Role::Follows);
    let (before, known) = (LIVE.get(), Facts { epoch: 3, ..keeper.known });
    let short = LogRecord::Extended { inputs: vec![Payload::empty(); 200_000] }.encode();
    for number in 0..JOBS {
        let records = vec![keeper.first.clone(), short.clone()];
        keeper.hear(vec![keep_of(JobId(1000 + number), known, Position::NONE, records)]);
    }
    let kept = LIVE.get().saturating_sub(before);
    println!("{} KiB kept", kept / KIB);
    assert!(kept <= 128 * MIB, "{} MiB kept", kept / MIB);
}

/// Each blob that a record names is pinned and fetched: its owner's tasks may have as many inputs.
#[test]
fn records_that_wait_for_their_blobs_are_bounded_over_all_jobs() {
    let mut keeper = Keeper::new(Role::Follows);
    let (before, known) = (LIVE.get(), Facts { epoch: 3, ..keeper.known });
    let mut fetched = 0;
    for number in 0..16 {
        let records = vec![keeper.first.clone(), record_of_blobs(number)];
        let message = keep_of(JobId(1000 + number), known, Position::NONE, records);
        let live = LIVE.get();
        PEAK.set(live);
        let answers = keeper.hear(vec![message]);
        let peak = PEAK.get().saturating_sub(live);
        println!("{number}: {answers} answers, {} KiB for a moment", peak / KIB);
        assert!(answers <= 2 * 20_000 + 16, "{answers} answers");
        assert!(peak <= 64 * MIB, "{peak} bytes for a moment");
        fetched += answers / 2;
    }
    println!("{fetched} are fetched, {} KiB kept", LIVE.get().saturating_sub(before) / KIB);
    assert!((200_000..=300_000).contains(&fetched), "{fetched} are fetched");
}

#[test]
fn each_kind_of_message_about_a_job_has_its_worst() {
    let known = Facts { epoch: 3, last: Position { epoch: 3, seq: 1 } };
    let kinds: std::collections::BTreeSet<_> =
        CUSTODY.iter().map(|(_, frame)| custody_kind(&frame(0, known)[0])).collect();
    assert_eq!(kinds.len(), 15, "{kinds:?}");
}
