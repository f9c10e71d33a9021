//! One compilation, on a pool of threads that exists for this call. The same function runs in the node's process and in
//! the compile child; the caller sets deadlines and memory limits.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::Engine;

use crate::code::Kind;
use crate::make::Tier;
use crate::text::{panic_text, shorten, words};

/// Stack of a compiling thread, in bytes.
const STACK_BYTES: usize = 8 << 20;
/// Longest text of a panic in an error, in characters.
const PANIC_MAX: usize = 300;

/// Why a module was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) enum CompileError {
    /// The module can't be run; the text says why.
    Invalid(String),
    /// It exceeds a bound; the text names it.
    Limit(String),
    /// This compiler can't compile it; the other one may.
    Unsupported(String),
    /// Compiling exceeded its memory limit or killed the compiler; the text says which.
    Heavy(String),
    /// Compiling exceeded its time limit, perhaps because the machine is busy; the text says so.
    Late(String),
    /// This machine failed.
    Host(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(text)
        | Self::Limit(text)
        | Self::Unsupported(text)
        | Self::Heavy(text)
        | Self::Late(text)
        | Self::Host(text)) = self;
        f.write_str(text)
    }
}

/// Processor use of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Effort {
    /// Threads that compile.
    pub(crate) threads: u32,
    /// Added to their nice value.
    pub(crate) nice: i32,
}

/// Compiles a module that passed admission. Its threads have ended when it returns.
pub(crate) fn compile(
    engine: &Engine,
    tier: Tier,
    kind: Kind,
    bytes: &[u8],
    effort: Effort,
) -> Result<Vec<u8>, CompileError> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(effort.threads as usize)
        .stack_size(STACK_BYTES)
        .thread_name(|number| format!("weft-compile-{number}"))
        .start_handler(move |_| crate::os::lower_priority(effort.nice))
        .build()
        .map_err(|error| CompileError::Host(format!("no thread to compile on: {error}")))?;
    let made = catch_unwind(AssertUnwindSafe(|| {
        threads.install(|| match kind {
            Kind::Core => engine.precompile_module(bytes),
            Kind::Component => engine.precompile_component(bytes),
        })
    }));
    match made {
        Ok(Ok(code)) => Ok(code),
        Ok(Err(error)) => Err(compile_error(tier, &error)),
        Err(panic) => {
            let text = shorten(panic_text(panic.as_ref()), PANIC_MAX);
            Err(match tier {
                Tier::Baseline => CompileError::Unsupported(text),
                Tier::Optimised => CompileError::Invalid(format!("the compiler gave up: {text}")),
            })
        }
    }
}

fn compile_error(tier: Tier, error: &wasmtime::Error) -> CompileError {
    let cause = error.root_cause();
    if cause.is::<rustix::io::Errno>()
        || cause.is::<io::Error>()
        || cause.is::<wasmtime::error::OutOfMemory>()
    {
        // The operating system refused memory: temporary, and not the module's fault.
        return CompileError::Host(words(error));
    }
    match tier {
        // Admission found it valid, so this compiler lacks support.
        Tier::Baseline => CompileError::Unsupported(words(error)),
        Tier::Optimised => CompileError::Invalid(words(error)),
    }
}
