//! Function modules that behave at random, against the host's side of the guest ABI: quiet ones, whose answer a
//! plain model foretells, and wild ones, of which only the frame is known: an outcome of the right kind, in time,
//! within every limit, and the same again. `PROPTEST_CASES` runs more of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test may panic, and is told how long to run"
)]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::fmt::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use support::{function, run, sandbox};
use weft_core::{Failure, Limit, Limits, Outcome, Profile, Program, Trap};
use weft_exec::{Finished, Sandbox};

const PAGE: u64 = 65_536;
const WALL: Duration = Duration::from_millis(200);
/// How much later than its limit a run may end, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(3);

/// What a module does; every address may be wrong.
#[derive(Clone, Debug)]
enum Act {
    Grow(u32),
    GrowTable(u32),
    Store { at: u32, value: u8 },
    Fill { at: u32, value: u8, len: u32 },
    Copy { to: u32, from: u32, len: u32 },
    Load(u32),
    Divide(u32),
    Exit(u32),
    Random { at: u32, len: u32 },
    Print { fd: u32, at: u32, len: u32 },
    Spin(u32),
    SpinForEver,
    Recurse,
    Call,
    Unreachable,
}

/// What `weft_alloc` answers.
#[derive(Clone, Debug)]
enum Room {
    At(u32),
    /// This many bytes before the end of the memory.
    BeforeTheEnd(u32),
    /// Fresh pages.
    Grown(u32),
    /// As it should be.
    Honest,
}

/// A whole module, its input, and its limits.
#[derive(Clone, Debug)]
struct Guest {
    pages: u32,
    data: Vec<u8>,
    data_at: u16,
    start: Vec<Act>,
    initialize: Vec<Act>,
    alloc: Vec<Act>,
    room: Room,
    call: Vec<Act>,
    answer: (u32, u32),
    input: Vec<u8>,
    limits: Limits,
    profile: Profile,
}

fn body(acts: &[Act]) -> String {
    let mut text = String::new();
    for act in acts {
        let line = match act {
            Act::Grow(pages) => format!("(drop (memory.grow (i32.const {pages})))"),
            Act::GrowTable(by) => format!("(drop (table.grow $table (ref.null func) (i32.const {by})))"),
            Act::Store { at, value } => format!("(i32.store8 (i32.const {at}) (i32.const {value}))"),
            Act::Fill { at, value, len } => {
                format!("(memory.fill (i32.const {at}) (i32.const {value}) (i32.const {len}))")
            }
            Act::Copy { to, from, len } => {
                format!("(memory.copy (i32.const {to}) (i32.const {from}) (i32.const {len}))")
            }
            Act::Load(at) => format!("(drop (i64.load (i32.const {at})))"),
            Act::Divide(by) => format!("(drop (i32.div_s (i32.const 0x80000000) (i32.const {by})))"),
            Act::Exit(code) => format!("(call $exit (i32.const {code}))"),
            Act::Random { at, len } => format!("(drop (call $random (i32.const {at}) (i32.const {len})))"),
            Act::Print { fd, at, len } => format!(
                "(i32.store (i32.const 8) (i32.const {at})) (i32.store (i32.const 12) (i32.const {len}))
                 (drop (call $fd_write (i32.const {fd}) (i32.const 8) (i32.const 1) (i32.const 16)))"
            ),
            Act::Spin(times) => format!(
                "(global.set $n (i32.const {times}))
                 (loop (br_if 0 (global.set $n (i32.sub (global.get $n) (i32.const 1))) (global.get $n)))"
            ),
            Act::SpinForEver => "(loop (br 0))".to_owned(),
            Act::Recurse => "(call $deep)".to_owned(),
            Act::Call => "(call_indirect $table (i32.const 1))".to_owned(),
            Act::Unreachable => "unreachable".to_owned(),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

impl Guest {
    fn module(&self) -> Vec<u8> {
        let room = match self.room {
            Room::At(at) => format!("(i32.const {at})"),
            Room::BeforeTheEnd(by) => {
                format!("(i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const {by}))")
            }
            Room::Grown(pages) => format!("(i32.shl (memory.grow (i32.const {pages})) (i32.const 16))"),
            Room::Honest => {
                "(global.get $free) (global.set $free (i32.add (global.get $free) (local.get 0)))".into()
            }
        };
        let data: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let start = if self.start.is_empty() { "" } else { "(start $start)" };
        let initialize =
            if self.initialize.is_empty() { "" } else { "(export \"_initialize\" (func $initialize))" };
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") {pages})
                (table $table 2 funcref)
                (global $free (mut i32) (i32.const 1024))
                (global $n (mut i32) (i32.const 0))
                (data (i32.const {at}) "{data}")
                (func $deep (call $deep) (global.set $n (i32.const 1)))
                (func $start {start_body})
                (func $initialize {initialize_body})
                {start} {initialize}
                (func (export "weft_alloc") (param i32) (result i32) {alloc_body} {room})
                (func (export "weft_fn_f") (param i32 i32) (result i64) {call_body}
                    (i64.or (i64.shl (i64.const {address}) (i64.const 32)) (i64.const {len}))))"#,
            pages = self.pages,
            at = self.data_at,
            start_body = body(&self.start),
            initialize_body = body(&self.initialize),
            alloc_body = body(&self.alloc),
            call_body = body(&self.call),
            address = self.answer.0,
            len = self.answer.1,
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn program(&self, module: &[u8]) -> Program {
        Program { limits: self.limits, profile: self.profile, ..function(module, "f") }
    }

    /// How it must end if it only allocates and answers.
    fn foretold(&self) -> Outcome {
        let abi = || Outcome::Trapped(Trap::Abi(String::new()));
        let mut memory = vec![0; usize::try_from(u64::from(self.pages) * PAGE).unwrap()];
        let data_at = usize::from(self.data_at);
        memory[data_at..data_at + self.data.len()].copy_from_slice(&self.data);
        let room = match self.room {
            Room::At(at) => at as usize,
            Room::BeforeTheEnd(by) => (memory.len() as u32).wrapping_sub(by) as usize,
            Room::Grown(_) | Room::Honest => 1024,
        };
        let Some(room) = memory.get_mut(room..room + self.input.len()) else { return abi() };
        room.copy_from_slice(&self.input);
        let (at, len) = (self.answer.0 as usize, self.answer.1 as usize);
        let Some((tag, bytes)) = memory.get(at..at + len).and_then(<[u8]>::split_first) else { return abi() };
        if bytes.len() as u64 > self.limits.output_bytes {
            return Outcome::LimitExceeded(Limit::Output { limit_bytes: self.limits.output_bytes });
        }
        match (tag, std::str::from_utf8(bytes)) {
            (0, _) => Outcome::Done,
            (1, Ok(text)) => Outcome::Failed(Failure::Error(text.to_owned())),
            _ => abi(),
        }
    }
}

/// Numbers that break things: small, at the ends of pages and of 32 bits.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..2048_u32,
        2 => (1..6_u32, 0..16_u32).prop_map(|(page, by)| page * 65_536 - by),
        1 => (0..16_u32).prop_map(|by| u32::MAX - by),
        1 => Just(0x8000_0000),
        1 => any::<u32>(),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop_oneof![0..4_u32, word()].prop_map(Act::Grow),
        2 => word().prop_map(Act::GrowTable),
        6 => (word(), any::<u8>()).prop_map(|(at, value)| Act::Store { at, value }),
        3 => (word(), any::<u8>(), word()).prop_map(|(at, value, len)| Act::Fill { at, value, len }),
        3 => (word(), word(), word()).prop_map(|(to, from, len)| Act::Copy { to, from, len }),
        2 => word().prop_map(Act::Load),
        1 => word().prop_map(Act::Divide),
        1 => prop_oneof![Just(0), word()].prop_map(Act::Exit),
        4 => (word(), word()).prop_map(|(at, len)| Act::Random { at, len }),
        4 => (0..6_u32, word(), word()).prop_map(|(fd, at, len)| Act::Print { fd, at, len }),
        2 => (1..100_000_u32).prop_map(Act::Spin),
        1 => Just(Act::SpinForEver),
        1 => Just(Act::Recurse),
        1 => Just(Act::Call),
        1 => Just(Act::Unreachable),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let fuel = prop_oneof![4 => Just(None), 1 => (0..20_000_u64).prop_map(Some)];
    (1..40_u64, prop_oneof![0..100_u64, 0..100_000_u64], 0..5_000_u64, fuel).prop_map(
        |(pages, output_bytes, errors_bytes, fuel)| Limits {
            wall_ms: u32::try_from(WALL.as_millis()).unwrap(),
            memory_bytes: pages * PAGE,
            output_bytes,
            errors_bytes,
            fuel,
            ..Limits::DEFAULT
        },
    )
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..most), vec(0x61..0x7b_u8, 0..most), vec(0..2_u8, 0..most)]
}

/// An answer that often lies where data or input lie.
fn answer() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![
        3 => (0..1024_u32, 0..128_u32),
        2 => (1020..1030_u32, 0..1100_u32),
        1 => (word(), word()),
    ]
}

fn room() -> impl Strategy<Value = Room> {
    prop_oneof![
        3 => Just(Room::Honest),
        2 => word().prop_map(Room::At),
        2 => prop_oneof![0..1100_u32, word()].prop_map(Room::BeforeTheEnd),
        1 => prop_oneof![0..3_u32, word()].prop_map(Room::Grown),
    ]
}

fn wild() -> impl Strategy<Value = Guest> {
    let acts = |most| vec(act(), 0..most);
    let few = prop_oneof![4 => Just(Vec::new()), 1 => acts(4)].boxed();
    let profile =
        prop_oneof![8 => Just(Profile::Pure), 1 => Just(Profile::Portable), 1 => Just(Profile::Impure)];
    let code = (few.clone(), few.clone(), few, acts(8), room());
    (0..4_u32, bytes(600), 0..2_000_u16, code, answer(), bytes(1100), limits(), profile).prop_map(
        |(pages, data, data_at, (start, initialize, alloc, call, room), answer, input, limits, profile)| {
            Guest {
                pages,
                data,
                data_at,
                start,
                initialize,
                alloc,
                room,
                call,
                answer,
                input,
                limits,
                profile,
            }
        },
    )
}

/// One that only allocates and answers, and has the memory and the time for it.
fn quiet() -> impl Strategy<Value = Guest> {
    let room = room().prop_filter("only what the model knows", |room| !matches!(room, Room::Grown(_)));
    (wild(), 1..4_u32, room).prop_map(|(guest, pages, room)| Guest {
        pages,
        start: Vec::new(),
        initialize: Vec::new(),
        alloc: Vec::new(),
        call: Vec::new(),
        room,
        profile: Profile::Pure,
        limits: Limits { wall_ms: 60_000, memory_bytes: 4 * PAGE, fuel: None, ..guest.limits },
        ..guest
    })
}

fn shared() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(sandbox)
}

/// What may differ between two equal runs is only what took time.
fn same(first: &Finished, second: &Finished) -> bool {
    let late =
        |finished: &Finished| matches!(finished.outcome, Outcome::LimitExceeded(Limit::WallTime { .. }));
    late(first)
        || late(second)
        || (&first.outcome, &first.output, &first.errors, first.usage.memory_bytes, first.usage.fuel)
            == (&second.outcome, &second.output, &second.errors, second.usage.memory_bytes, second.usage.fuel)
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_quiet_guest_ends_as_the_model_says(guest in quiet()) {
        let module = guest.module();
        let finished = run(shared(), &module, &guest.program(&module), &guest.input);
        match (guest.foretold(), &finished.outcome) {
            (Outcome::Trapped(Trap::Abi(_)), Outcome::Trapped(Trap::Abi(text))) => prop_assert!(!text.is_empty()),
            (foretold, outcome) => prop_assert_eq!(&foretold, outcome),
        }
        if finished.outcome == Outcome::Done {
            prop_assert_eq!(finished.output.len() + 1, guest.answer.1 as usize);
        }
    }

    #[test]
    fn a_wild_guest_ends_within_its_frame(guest in wild()) {
        let module = guest.module();
        let program = guest.program(&module);
        let started = Instant::now();
        let finished = run(shared(), &module, &program, &guest.input);
        // Compiling these takes some milliseconds.
        prop_assert!(started.elapsed() < WALL + LATE, "took {:?}", started.elapsed());
        let outcome = &finished.outcome;
        prop_assert!(
            !matches!(outcome, Outcome::Lost(_) | Outcome::Cancelled | Outcome::Invalid(_)),
            "{}", outcome
        );
        prop_assert!(finished.output.len() as u64 <= guest.limits.output_bytes);
        prop_assert!(finished.errors.len() as u64 <= guest.limits.errors_bytes);
        prop_assert!(finished.usage.memory_bytes <= guest.limits.memory_bytes);
        prop_assert_eq!(finished.usage.fuel.is_some(), guest.limits.fuel.is_some());
        prop_assert!(finished.usage.fuel <= guest.limits.fuel);
        prop_assert!(finished.output.is_empty() || *outcome == Outcome::Done, "an answer of a run that failed");
        if guest.profile != Profile::Impure {
            let again = run(shared(), &module, &program, &guest.input);
            prop_assert!(same(&finished, &again), "{} and {}", outcome, again.outcome);
        }
    }
}
