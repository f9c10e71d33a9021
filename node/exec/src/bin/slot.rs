//! A slot process or a compile child, as `weft slot` is: for the tests and benchmarks of this crate.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--compile") => weft_exec::compile_main(),
        Some("--try-escape") => weft_exec::try_escape(),
        Some(_) | None => weft_exec::slot_main(),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}
