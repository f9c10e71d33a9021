//! Advice for modules that import functions that no task has, by the toolchain that produced them. Plain data.

/// Imports of one toolchain, and advice for its users.
struct Family {
    /// Whether an import, by module and name, belongs to this toolchain.
    has: fn(&str, &str) -> bool,
    help: &'static str,
}

/// Toolchains, most specific first: the first that matches an import gives the advice.
const FAMILIES: [Family; 7] = [
    Family {
        has: |module, name| module == "wasi" && name == "thread-spawn",
        help: "it starts threads, and a task has one: build it without -pthread, for wasm32-wasip1",
    },
    Family {
        has: |module, _| module.starts_with("wasix_"),
        help: "it was built for WASIX: build it for WASI (wasm32-wasip1)",
    },
    Family {
        has: |module, _| module == "gojs" || module == "go",
        help: "it was built by Go for a browser: build it with GOOS=wasip1 GOARCH=wasm",
    },
    Family {
        has: |module, _| module == "wbg" || module.starts_with("__wbindgen"),
        help: "it was built with wasm-bindgen for a browser: build it for wasm32-wasip1 without that",
    },
    Family {
        has: |module, _| module.starts_with("wasi:"),
        help: "it is the core of a component: make the component of it, with `wasm-tools component new`",
    },
    Family {
        has: |module, name| {
            let starts = ["emscripten_", "_emscripten", "invoke_", "__syscall_", "__cxa_", "_embind"];
            module == "env" && starts.iter().any(|start| name.starts_with(start))
        },
        help: "it was built by emscripten for a browser: link it with -sSTANDALONE_WASM, or build it with a wasi-sdk",
    },
    Family {
        has: |module, _| module == "env",
        help: "what is imported from `env` was not found when it was linked: link what defines it",
    },
];

/// Advice for these imports, given as (module, name), if any is known.
pub(crate) fn help(missing: &[(String, String)]) -> Option<&'static str> {
    let speaks = |family: &&Family| missing.iter().any(|(module, name)| (family.has)(module, name));
    FAMILIES.iter().find(speaks).map(|family| family.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_of_imports_has_its_advice() {
        let said = |module: &str, name: &str| help(&[(module.into(), name.into())]).unwrap_or_default();
        for (module, name, word) in [
            ("wasi", "thread-spawn", "-pthread"),
            ("wasix_32v1", "fd_dup", "WASIX"),
            ("gojs", "runtime.wasmExit", "GOOS=wasip1"),
            ("wbg", "__wbg_new", "wasm-bindgen"),
            ("wasi:io/streams@0.2.0", "read", "component new"),
            ("env", "emscripten_resize_heap", "-sSTANDALONE_WASM"),
            ("env", "my_library_call", "link what defines it"),
        ] {
            assert!(said(module, name).contains(word), "{module}::{name}: {}", said(module, name));
        }
        assert_eq!(said("wasi_snapshot_preview1", "no_such_call"), "");
    }
}
