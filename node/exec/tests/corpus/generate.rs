//! Entries of the corpus that would be huge as text, made byte by byte: giant modules, giant functions, and all the
//! ways to cut a module short.

use weft_core::Entry;

use super::Trial;

/// All of them.
pub(super) fn all() -> Vec<Trial> {
    let command =
        |name: &str, module: Vec<u8>, expect: &str| Trial::new(name, module, Entry::Command, expect);
    let mut all = vec![
        command("giant-module", giant_module(), "limit the limit is 67108864"),
        command("giant-function", one_function(&[], &add_and_drop(250_000)), "done | limit"),
        command("giant-expression", one_function(&[], &deep_sum(200_000)), "done | limit"),
        command("functions-100000", many_functions(100_000), "done | limit"),
        command("functions-10000000-claimed", claimed_functions(), "invalid | limit"),
        command("locals-50001", one_function(&locals(50_001), &[]), "invalid locals | limit locals"),
        command("locals-4294967295", one_function(&locals(u32::MAX), &[]), "invalid locals | limit locals"),
        command("locals-50000", one_function(&locals(50_000), &[]), "done | limit"),
        command("blocks-9000-deep", one_function(&[], &nested(9_000)), "done"),
        command("blocks-100000-deep", one_function(&[], &nested(100_000)), "limit"),
        command(
            "branch-table-giant",
            one_function(&[], &branch_table(1_000_000)),
            "invalid br_table | limit br_table",
        ),
        command("branch-tables-many", one_function(&[], &branch_table(60_000).repeat(16)), "done | limit"),
        command("exports-100000", many_exports(100_000), "done | limit"),
        command("data-segments-100000", data_segments(100_000), "done | invalid | limit"),
        command("types-giant", giant_type(2_000), "invalid | limit"),
    ];
    all.extend(WILD_CALLS.iter().enumerate().map(|(number, call)| {
        command(&format!("pointer-{number}"), wild_call(call), "trapped access outside the memory")
    }));
    let whole = one_function(&[(1, 0x7f)], &add_and_drop(3));
    for cut in 0..whole.len() {
        // A cut behind a whole section leaves a module, but one without a body for its function, or without a door.
        all.push(command(&format!("cut-after-{cut}-bytes"), whole[..cut].to_vec(), "invalid"));
    }
    all.push(command("cut-nowhere", whole, "done"));
    all
}

/// Host calls with an address or a length that leads out of a memory of 64 KiB. Each must end the run: the
/// specification of preview 1 says so, and a guest that went on would not know what it reads.
const WILD_CALLS: [&str; 28] = [
    "(call $args_sizes_get (i32.const 65533) (i32.const 0))",
    "(call $args_sizes_get (i32.const 0) (i32.const 65536))",
    "(call $args_get (i32.const -4) (i32.const 0))",
    "(call $args_get (i32.const 0) (i32.const 65535))",
    "(call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 65529))",
    "(call $clock_time_get (i32.const 1) (i64.const 0) (i32.const -8))",
    "(call $clock_res_get (i32.const 0) (i32.const 65536))",
    "(call $random_get (i32.const 0) (i32.const -1))",
    "(call $random_get (i32.const -8) (i32.const 64))",
    "(call $random_get (i32.const 65536) (i32.const 1))",
    // One buffer of 4 GiB; one that starts at the end; one whose sum runs over; lists that lie outside.
    "(call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0))",
    "(call $fd_write (i32.const 1) (i32.const 1032) (i32.const 1) (i32.const 0))",
    "(call $fd_write (i32.const 1) (i32.const 1040) (i32.const 1) (i32.const 0))",
    "(call $fd_read (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0))",
    "(call $fd_read (i32.const 0) (i32.const 1032) (i32.const 1) (i32.const 0))",
    "(call $fd_write (i32.const 1) (i32.const 65529) (i32.const 1) (i32.const 0))",
    "(call $fd_write (i32.const 1) (i32.const -4) (i32.const 1) (i32.const 0))",
    "(call $fd_read (i32.const 0) (i32.const 65536) (i32.const 3) (i32.const 0))",
    // Good buffers, but no room for the answer.
    "(call $fd_write (i32.const 1) (i32.const 1048) (i32.const 1) (i32.const 65534))",
    "(call $fd_fdstat_get (i32.const 0) (i32.const 65513))",
    "(call $fd_filestat_get (i32.const 0) (i32.const 65473))",
    "(call $fd_prestat_get (i32.const 3) (i32.const 65529))",
    "(call $fd_prestat_dir_name (i32.const 3) (i32.const 65536) (i32.const 1))",
    "(call $path_create_directory (i32.const 3) (i32.const 65530) (i32.const 64))",
    "(call $path_create_directory (i32.const 3) (i32.const 64) (i32.const -1))",
    "(call $poll_oneoff (i32.const 65500) (i32.const 2048) (i32.const 1) (i32.const 0))",
    "(call $poll_oneoff (i32.const 2048) (i32.const 65510) (i32.const 1) (i32.const 0))",
    "(call $poll_oneoff (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 65533))",
];

fn wild_call(call: &str) -> Vec<u8> {
    let name = call.split(['$', ' ']).nth(2).unwrap();
    let parameters: String = call.split("(i").skip(1).map(|rest| format!(" i{}", &rest[..2])).collect();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{name}" (func ${name} (param{parameters}) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "\00\00\00\00\ff\ff\ff\ff"
                "\00\00\01\00\01\00\00\00" "\f0\ff\ff\ff\20\00\00\00" "\00\00\00\00\04\00\00\00")
            (func (export "_start") (drop {call})))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// An unsigned number as the format writes it.
fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn len(bytes: &[u8]) -> Vec<u8> {
    leb(bytes.len() as u64)
}

fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (id, payload) in sections {
        bytes.push(*id);
        bytes.extend(len(payload));
        bytes.extend(payload);
    }
    bytes
}

/// One type: no parameters, no results.
fn plain_type() -> (u8, Vec<u8>) {
    (1, vec![1, 0x60, 0, 0])
}

/// `count` functions of the first type.
fn functions(count: u64) -> (u8, Vec<u8>) {
    let mut payload = leb(count);
    payload.extend(std::iter::repeat_n(0, usize::try_from(count).unwrap()));
    (3, payload)
}

fn start_export() -> (u8, Vec<u8>) {
    (7, [&[1, 6][..], b"_start", &[0, 0]].concat())
}

fn body(locals: &[(u32, u8)], code: &[u8]) -> Vec<u8> {
    let mut inner = leb(locals.len() as u64);
    for (count, kind) in locals {
        inner.extend(leb(u64::from(*count)));
        inner.push(*kind);
    }
    inner.extend(code);
    inner.push(0x0b);
    [len(&inner), inner].concat()
}

fn code(bodies: &[Vec<u8>]) -> (u8, Vec<u8>) {
    (10, [leb(bodies.len() as u64), bodies.concat()].concat())
}

/// A command whose `_start` is this code.
fn one_function(locals: &[(u32, u8)], instructions: &[u8]) -> Vec<u8> {
    module(&[plain_type(), functions(1), start_export(), code(&[body(locals, instructions)])])
}

fn locals(count: u32) -> Vec<(u32, u8)> {
    vec![(count, 0x7f)]
}

/// `count` times: two constants, their sum, dropped. Four instructions each.
fn add_and_drop(count: usize) -> Vec<u8> {
    [0x41, 1, 0x41, 2, 0x6a, 0x1a].repeat(count)
}

/// `count` constants on the stack, then their sum.
fn deep_sum(count: usize) -> Vec<u8> {
    [[0x41, 1].repeat(count), vec![0x6a; count - 1], vec![0x1a]].concat()
}

fn nested(depth: usize) -> Vec<u8> {
    [[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat()
}

/// A block with a jump that has this many targets.
fn branch_table(targets: u64) -> Vec<u8> {
    let zeros = vec![0; usize::try_from(targets).unwrap() + 1];
    [&[0x02, 0x40, 0x41, 0, 0x0e][..], &leb(targets), &zeros, &[0x0b]].concat()
}

/// Its bytes are a custom section of 65 MiB.
fn giant_module() -> Vec<u8> {
    let mut sections = vec![(0, vec![0; 65 << 20])];
    sections.extend([plain_type(), functions(1), start_export(), code(&[body(&[], &[])])]);
    module(&sections)
}

fn many_functions(count: u64) -> Vec<u8> {
    let bodies = vec![body(&[], &add_and_drop(1)); usize::try_from(count).unwrap()];
    module(&[plain_type(), functions(count), start_export(), code(&bodies)])
}

/// Says that it has ten million functions, and has not.
fn claimed_functions() -> Vec<u8> {
    module(&[plain_type(), (3, leb(10_000_000)), start_export(), code(&[body(&[], &[])])])
}

fn many_exports(count: u64) -> Vec<u8> {
    let mut payload = leb(count + 1);
    payload.extend([&[6][..], b"_start", &[0, 0]].concat());
    for number in 0..count {
        let name = format!("e{number}");
        payload.extend([&len(name.as_bytes())[..], name.as_bytes(), &[0, 0]].concat());
    }
    module(&[plain_type(), functions(1), (7, payload), code(&[body(&[], &[])])])
}

/// This many pieces of one byte each, one over the other.
fn data_segments(count: u64) -> Vec<u8> {
    let mut payload = leb(count);
    for _ in 0..count {
        payload.extend([0, 0x41, 0, 0x0b, 1, 42]);
    }
    let memory = (5, vec![1, 0, 1]);
    module(&[plain_type(), functions(1), memory, start_export(), code(&[body(&[], &[])]), (11, payload)])
}

/// A function type with this many parameters.
fn giant_type(parameters: u64) -> Vec<u8> {
    let kinds = vec![0x7f; usize::try_from(parameters).unwrap()];
    let types = [&[1, 0x60][..], &leb(parameters), &kinds, &[0]].concat();
    module(&[(1, types), functions(1), start_export(), code(&[body(&[], &[])])])
}
