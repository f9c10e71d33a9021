//! What is refused before it is compiled: one module per bound, each one beyond it, and each at it taken.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use bytes::Bytes;
use support::command;
use weft_core::Outcome;
use weft_exec::{Bounds, Compiler, CompilerConfig, How, Interrupt, PrepareError};

fn compiler(bounds: Bounds) -> Compiler {
    let base = CompilerConfig::new(None, Interrupt::Kill, How::Here);
    Compiler::start(CompilerConfig { bounds, ..base }).unwrap()
}

/// The error of admission for a module; empty if it is admitted.
fn verdict(compiler: &Compiler, module: &[u8]) -> String {
    match compiler.code(&command(module), || Ok(Bytes::copy_from_slice(module))) {
        Ok(_) => String::new(),
        Err(error @ PrepareError::Limit(_)) => {
            let Outcome::LimitExceeded(limit) = error.outcome() else { panic!("{error}") };
            limit.to_string()
        }
        Err(error) => error.to_string(),
    }
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 127).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 128);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// A module of `count` functions without parameters, each with this body.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let types = section(1, &[1, 0x60, 0, 0]);
    let kinds = section(3, &[leb(count), vec![0; count]].concat());
    let body = [leb(body.len() + 2).as_slice(), &[0], body, &[0x0b]].concat();
    let code = section(10, &[leb(count), body.repeat(count)].concat());
    [b"\0asm\x01\0\0\0".as_slice(), &types, &kinds, &code].concat()
}

fn nested(blocks: usize) -> Vec<u8> {
    functions(1, &[[2, 0x40].repeat(blocks), vec![0x0b; blocks]].concat())
}

fn branching(targets: usize) -> Vec<u8> {
    functions(1, &[&[0x41, 0, 0x0e], leb(targets - 1).as_slice(), &vec![0; targets]].concat())
}

/// This many functions, each of which creates this many objects of 10,000 fields.
fn objects(functions: usize, objects: usize) -> Vec<u8> {
    let function = format!("(func {})", "(drop (struct.new_default $object))".repeat(objects));
    let fields = "i32 ".repeat(10_000);
    wat(&format!("(module (type $object (struct (field {fields}))) {})", function.repeat(functions)))
}

/// This many functions, each with this many calls below 1,000 exception handlers.
fn tries(functions: usize, calls: usize) -> Vec<u8> {
    let (handlers, calls) = ("(catch_all 0)".repeat(1000), "call 0 ".repeat(calls));
    let function = format!("(func (try_table {handlers} {calls}))");
    wat(&format!("(module {})", function.repeat(functions)))
}

/// Something `count` times.
fn times(count: u32, one: impl Fn(u32) -> String) -> String {
    (0..count).map(one).collect()
}

/// For each bound: its name in the text, the bound when it is 5, and a module that exceeds it.
type Row = (&'static str, fn(&mut Bounds, u64), fn(u32) -> Vec<u8>);

const TABLE: &[Row] = &[
    ("functions", |b, n| b.functions = n, |n| wat(&format!("(module {})", times(n, |_| "(func)".into())))),
    ("bytes of a function's body", |b, n| b.body_bytes = n, |n| functions(1, &vec![1; n as usize - 2])),
    (
        "locals of a function",
        |b, n| b.locals = n,
        |n| wat(&format!("(module (func (param i32) (local {})))", " i64".repeat(n as usize - 1))),
    ),
    // The function itself is the first block.
    ("blocks inside each other", |b, n| b.nesting = n, |n| nested(n as usize - 1)),
    (
        "locals times open loops of a function",
        |b, n| b.carried = n,
        |n| {
            wat(&format!(
                "(module (func (local i32) {}{}))",
                "(loop ".repeat(n as usize),
                ")".repeat(n as usize)
            ))
        },
    ),
    ("targets of a br_table", |b, n| b.targets = n, |n| branching(n as usize + 1)),
    (
        "handlers of a try_table",
        |b, n| b.targets = n,
        |n| wat(&format!("(module (func (try_table {})))", "(catch_all 0)".repeat(n as usize))),
    ),
    (
        "open handlers of a function's calls",
        |b, n| b.handlers = n,
        |n| {
            // What is closed counts no more.
            let calls = "(call 0)".repeat(n as usize);
            let tries = format!("(try_table (catch_all 0)) (try_table (catch_all 0) {calls})");
            wat(&format!("(module (func (call 0) {tries} (call 0)))"))
        },
    ),
    (
        "open handlers of all calls",
        |b, n| b.all_handlers = n,
        |n| {
            let try_once = "(func (try_table (catch_all 0) (call 0)))";
            wat(&format!("(module {})", try_once.repeat(n as usize)))
        },
    ),
    (
        "default fields and caught values of one function",
        |b, n| b.fields = n,
        |n| {
            let fields = "i32 ".repeat(n as usize);
            // Fields that have operands of their own are not counted.
            wat(&format!(
                "(module (type $none (struct)) (type $object (struct (field {fields}))) (type $byte (struct (field i8)))
                    (func (result eqref) (struct.new_default $object))
                    (func (result eqref) (struct.new $byte (i32.const 1))))"
            ))
        },
    ),
    (
        "default fields and caught values of one function",
        |b, n| b.fields = n,
        |n| {
            let make = "(drop (struct.new_default $pair))".repeat(n as usize / 2);
            let more = "(drop (struct.new_default $one))".repeat(n as usize % 2);
            wat(&format!(
                "(module (type $one (struct (field i32))) (type $pair (struct (field i32 i64)))
                    (func {make} {more}) (func {make}))"
            ))
        },
    ),
    (
        "default fields and caught values of one function",
        |b, n| b.fields = n,
        |n| {
            let values = "i32 ".repeat(n as usize);
            wat(&format!(
                "(module (tag $e (param {values}))
                    (func (result {values})
                        (block $none
                            (return (try_table (result {values}) (catch $e 1) (catch_all $none) (unreachable))))
                        (unreachable)))"
            ))
        },
    ),
    // The initial values are one function.
    (
        "default fields and caught values of one function",
        |b, n| b.fields = n,
        |n| {
            let global = "(global eqref (struct.new_default $one))".repeat(n as usize - 4);
            wat(&format!(
                "(module (type $one (struct (field i32))) {global}
                    (table 1 eqref (struct.new_default $one))
                    (elem eqref (struct.new_default $one) (item struct.new_default $one))
                    (elem (table 0) (i32.const 0) eqref (struct.new_default $one)))"
            ))
        },
    ),
    (
        "default fields and caught values of all functions",
        |b, n| b.all_fields = n,
        |n| {
            let function = "(func (drop (struct.new_default $one)))".repeat(n as usize - 2);
            wat(&format!(
                "(module (type $one (struct (field i32))) (global eqref (struct.new_default $one))
                    (tag $e (param i32)) {function}
                    (func (result i32) (try_table (catch $e 0)) (i32.const 0)))"
            ))
        },
    ),
    (
        "default fields and caught values of all functions",
        |b, n| b.all_fields = n,
        |n| {
            // Types have their numbers in each module anew.
            let part = "(core module (type (struct (field i32))) (func (drop (struct.new_default 0))))";
            wat(&format!("(component {})", part.repeat(n as usize)))
        },
    ),
    ("tags", |b, n| b.tags = n, |n| wat(&format!("(module {})", times(n, |_| "(tag)".into())))),
    (
        "parameters or results of a function type",
        |b, n| b.arity = n,
        |n| wat(&format!("(module (type (func (param {}))))", " i32".repeat(n as usize))),
    ),
    (
        "types",
        |b, n| b.types = n,
        |n| {
            wat(&format!(
                "(module {})",
                times(n, |i| format!("(type (func {}))", "(param i32)".repeat(i as usize)))
            ))
        },
    ),
    (
        "types",
        |b, n| b.types = n,
        |n| wat(&format!("(module (rec {}))", "(type (struct))".repeat(n as usize))),
    ),
    (
        "imports",
        |b, n| b.imports = n,
        |n| wat(&format!("(module {})", times(n, |i| format!(r#"(import "m" "{i}" (func))"#)))),
    ),
    (
        "exports",
        |b, n| b.exports = n,
        |n| wat(&format!("(module (func){})", times(n, |i| format!(r#"(export "{i}" (func 0))"#)))),
    ),
    (
        "globals",
        |b, n| b.globals = n,
        |n| wat(&format!("(module {})", times(n, |_| "(global i32 (i32.const 0))".into()))),
    ),
    (
        "data segments",
        |b, n| b.data = n,
        |n| wat(&format!("(module (memory 1){})", times(n, |_| r#"(data "x")"#.into()))),
    ),
    (
        "element segments",
        |b, n| b.segments = n,
        |n| wat(&format!("(module (func){})", times(n, |_| "(elem func 0)".into()))),
    ),
    (
        "elements",
        |b, n| b.elements = n,
        |n| wat(&format!("(module (func)(elem func {}))", " 0".repeat(n as usize))),
    ),
    (
        "tables",
        |b, n| b.tables = n,
        |n| wat(&format!("(module {})", times(n, |_| "(table 1 funcref)".into()))),
    ),
    (
        "nested modules",
        |b, n| b.modules = n,
        |n| wat(&format!("(component {})", times(n, |_| "(core module)".into()))),
    ),
    (
        "instances and aliases",
        |b, n| b.links = n,
        |n| {
            wat(&format!(
                "(component (core module $m){})",
                times(n, |_| "(core instance (instantiate $m))".into())
            ))
        },
    ),
];

#[test]
fn each_bound_holds_and_is_named() {
    for (name, set, module) in TABLE {
        let mut bounds = Bounds::NODE;
        set(&mut bounds, 5);
        let compiler = compiler(bounds);
        assert_eq!(verdict(&compiler, &module(5)), "", "{name}: 5 are allowed");
        assert_eq!(verdict(&compiler, &module(6)), format!("module: 6 {name}, the limit is 5"));
    }
}

#[test]
fn a_module_that_is_too_long_is_not_looked_at() {
    let module = functions(3, &[]);
    let bytes = module.len() as u64;
    assert_eq!(verdict(&compiler(Bounds { bytes, ..Bounds::NODE }), &module), "");
    let text = verdict(&compiler(Bounds { bytes: bytes - 1, ..Bounds::NODE }), &module);
    let limit = bytes - 1;
    assert_eq!(text, format!("module: {bytes} bytes, the limit is {limit}; see `weft node --module-limit`"));
}

#[test]
fn a_nodes_own_bounds_stop_the_usual_bombs() {
    let compiler = compiler(Bounds::NODE);
    for (module, text) in [
        (nested(100_000), "module: 10001 blocks inside each other, the limit is 10000"),
        (branching(1_000_000), "module: 999999 targets of a br_table, the limit is 65536"),
        (
            functions(1, &vec![1; 4_000_000]),
            "module: 4000002 bytes of a function's body, the limit is 2097152",
        ),
        (functions(300_000, &[]), "module: 300000 functions, the limit is 200000"),
        (
            objects(1, 100),
            "module: 210000 default fields and caught values of one function, the limit is 200000",
        ),
        (
            objects(60, 20),
            "module: 10200000 default fields and caught values of all functions, the limit is 10000000",
        ),
        (tries(1, 10_000), "module: 201000 open handlers of a function's calls, the limit is 200000"),
        (tries(60, 200), "module: 10200000 open handlers of all calls, the limit is 10000000"),
    ] {
        assert_eq!(verdict(&compiler, &module), text);
    }
}

#[test]
fn what_is_no_module_is_told_apart() {
    let compiler = compiler(Bounds::NODE);
    for (bytes, text) in [
        (b"".as_slice(), "invalid module: it is empty"),
        (b"  (module)", "invalid module: it looks like WebAssembly text; the binary format is needed"),
        (b"\x7fELF\x02\x01", "invalid module: it is not WebAssembly: it does not begin with `\\0asm`"),
        (b"\0asm\x02\0\0\0", "invalid module: it is WebAssembly of an unknown version"),
        (b"\0asm\x01\0\0\0\x01", "invalid module: unexpected end"),
    ] {
        let verdict = verdict(&compiler, bytes);
        assert!(verdict.starts_with(text), "{verdict}");
    }
}
