//! WebAssembly proposals: which ones are supported, and the error for the others. A module that uses an unsupported one
//! is refused with a sentence that names it and says what to do. Plain data; the settings in `engine_config.rs` must
//! agree with [`RUN`].

use wasmparser::WasmFeatures;

/// Supported: WebAssembly 3.0 and components of WASI 0.2, without threads and 64-bit memories.
pub(super) const RUN: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::THREADS.union(WasmFeatures::MEMORY64));

/// An unsupported proposal.
struct Proposal {
    /// Its name, and how a module uses it.
    name: &'static str,
    features: WasmFeatures,
    /// Advice for the module's author.
    help: &'static str,
}

/// Unsupported proposals that toolchains can emit. The first one that explains an error is named.
const REFUSED: [Proposal; 12] = [
    Proposal {
        name: "threads (a shared memory or an atomic instruction)",
        features: WasmFeatures::THREADS,
        help: "build it without -pthread and without the target feature `atomics`: a task has one thread",
    },
    Proposal {
        name: "legacy exception handling (`try` and `rethrow`)",
        features: WasmFeatures::LEGACY_EXCEPTIONS,
        help: "build it with the exceptions of the standard (clang: -mllvm -wasm-use-legacy-eh=false, emscripten: \
               -sWASM_LEGACY_EXCEPTIONS=0), or translate it: wasm-opt --translate-to-exnref",
    },
    Proposal {
        name: "memory64 (a memory or a table of 64-bit addresses)",
        features: WasmFeatures::MEMORY64.union(WasmFeatures::CM64),
        help: "build it for wasm32: a task's memory has at most 4 GiB",
    },
    Proposal {
        name: "wide arithmetic",
        features: WasmFeatures::WIDE_ARITHMETIC,
        help: "build it without the target feature `wide-arithmetic`",
    },
    Proposal {
        name: "stack switching",
        features: WasmFeatures::STACK_SWITCHING,
        help: "build it without continuations, or translate it: wasm-opt --asyncify",
    },
    Proposal {
        name: "custom page sizes",
        features: WasmFeatures::CUSTOM_PAGE_SIZES,
        help: "link it with pages of 64 KiB, without --page-size",
    },
    Proposal {
        name: "shared-everything threads",
        features: WasmFeatures::SHARED_EVERYTHING_THREADS,
        help: "build it for one thread",
    },
    Proposal {
        name: "memory control (`memory.discard`)",
        features: WasmFeatures::MEMORY_CONTROL,
        help: "build it without that target feature",
    },
    Proposal {
        name: "custom descriptors",
        features: WasmFeatures::CUSTOM_DESCRIPTORS,
        help: "build it for WebAssembly 3.0",
    },
    Proposal {
        name: "compact imports",
        features: WasmFeatures::COMPACT_IMPORTS,
        help: "link it without compact imports",
    },
    Proposal {
        name: "asynchronous components (WASI 0.3)",
        features: WasmFeatures::CM_ASYNC
            .union(WasmFeatures::CM_ASYNC_STACKFUL)
            .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
            .union(WasmFeatures::CM_ERROR_CONTEXT)
            .union(WasmFeatures::CM_THREADING),
        help: "build it for WASI 0.2 (wasm32-wasip2) or WASI preview 1 (wasm32-wasip1)",
    },
    Proposal {
        name: "components beyond WASI 0.2 (maps, lists of a fixed length, values, collected objects, nested or \
               versioned names)",
        features: WasmFeatures::CM_MAP
            .union(WasmFeatures::CM_GC)
            .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
            .union(WasmFeatures::CM_VALUES)
            .union(WasmFeatures::CM_NESTED_NAMES)
            .union(WasmFeatures::CM_IMPLEMENTS)
            .union(WasmFeatures::CM_CANON_NAMES),
        help: "build it for WASI 0.2 (wasm32-wasip2)",
    },
];

/// The error for a module that is invalid at `offset` with [`RUN`], if a proposal explains that. `reach` returns the
/// offset up to which the module is valid with other features.
pub(super) fn refusal(offset: usize, reach: impl Fn(WasmFeatures) -> usize) -> Option<String> {
    let alone = REFUSED.iter().find(|proposal| reach(RUN.union(proposal.features)) > offset);
    // One place may need several proposals at once: find one without which all the others don't help.
    let all = REFUSED.iter().fold(RUN, |all, proposal| all.union(proposal.features));
    let needed = || {
        let helps = reach(all) > offset;
        REFUSED.iter().find(|proposal| helps && reach(all.difference(proposal.features)) <= offset)
    };
    let Proposal { name, features: _, help } = alone.or_else(needed)?;
    Some(format!("it uses {name}, which does not run here; {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::admission::check;
    use crate::compile::bounds::Bounds;
    use crate::compile::compilation::CompileError;

    /// A module for each row of [`REFUSED`], in its order.
    const ROWS: [&[u8]; REFUSED.len()] = [
        b"(module (memory 1 2 shared) (func (drop (i32.atomic.load (i32.const 0)))))",
        b"(module (func try catch_all end))",
        b"(module (memory i64 1))",
        b"(module (func (param i64 i64 i64 i64) (result i64 i64)
            (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))",
        b"(module (type $f (func)) (type $c (cont $f)) (func (param (ref $c)) (resume $c (local.get 0))))",
        b"(module (memory 1 (pagesize 1)))",
        b"(module (global (shared i32) (i32.const 0)))",
        b"(module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0))))",
        b"(module (rec (type $a (descriptor $b) (struct)) (type $b (describes $a) (struct))))",
        // One module's name for a group of one import, a global.
        b"\0asm\x01\0\0\0\x02\x0a\x01\x01m\0\x7f\x01\x01a\x03\x7f\0",
        b"(component (import \"f\" (func async)))",
        b"(component (type (map u32 string)))",
    ];

    fn text(module: &[u8]) -> String {
        match check(module, &Bounds::NODE) {
            Err(CompileError::Invalid(text)) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_proposal_that_does_not_run_is_refused_by_its_name_and_with_what_to_do() {
        let mut wrong = Vec::new();
        for (Proposal { name, features: _, help }, module) in REFUSED.iter().zip(ROWS) {
            let module = wat::parse_bytes(module).unwrap();
            let expected = format!("it uses {name}, which does not run here; {help}");
            let text = text(&module);
            if text != expected {
                wrong.push(format!("{name}: {text}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn two_proposals_at_one_place_are_told_too() {
        let module = wat::parse_str("(module (memory i64 1 2 shared))").unwrap();
        let text = text(&module);
        assert!(text.starts_with("it uses threads") || text.starts_with("it uses memory64"), "{text}");
    }

    #[test]
    fn what_no_proposal_explains_keeps_its_own_words() {
        let module = wat::parse_str("(module (func (result i32)))").unwrap();
        let text = text(&module);
        assert!(text.starts_with("type mismatch"), "{text}");
    }
}
