//! Third-party programs from the package registries behave under `weft run` and `weft map` as under plain `wasmtime run`.
//! This test runs wasm-tasks/third-party/check.sh. If the registries can't be reached, it says so and passes.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the script ends with when it could not try.
const SKIPPED: i32 = 77;

#[test]
fn other_peoples_programs_do_what_they_do_under_wasmtime() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasm-tasks/third-party/check.sh");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut child = Command::new("timeout")
        .args(["--kill-after=10", "1500", "bash"])
        .arg(script)
        .env("WEFT", env!("CARGO_BIN_EXE_weft"))
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Passed on line by line: where it hangs, the last one says at what.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        println!("{}", line.unwrap());
    }
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | SKIPPED)), "the script ended with {code:?}; the lines above say why");
}
