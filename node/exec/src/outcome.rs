//! Turns the end of a run into the core's `Outcome`. Failures of the host become `Lost`, never the guest's fault.

use std::io;

use crate::end::End;
use crate::text::words;
use wasmtime::{GcHeapOutOfMemory, PoolConcurrencyLimitError, ThrownException};
use weft_core::{Failure, Limit, Outcome, Trap};

/// Why a run did not end by itself.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The instance could not be created.
    Instantiate(wasmtime::Error),
    /// A call into the guest failed.
    Call(wasmtime::Error),
    /// The guest violated the guest ABI.
    Abi(String),
    /// The guest exceeded a bound that the host checks.
    Limit(Limit),
}

/// The outcome of a run whose output the blob store did not take: a full disk is no fault of the worker.
pub(crate) fn of_unstored(error: &io::Error) -> Outcome {
    let text = format!("the output can't be stored: {error}");
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { Outcome::NoRoom(text) } else { Outcome::Lost(text) }
}

/// The outcome of a run that ended with this error. `fuel` is the task's budget, `refused` a growth of memory that was
/// refused before.
pub(crate) fn of_broken(broken: Broken, fuel: Option<u64>, refused: Option<&Limit>) -> Outcome {
    match broken {
        Broken::Abi(text) => Outcome::Trapped(Trap::Abi(text)),
        Broken::Limit(limit) => Outcome::LimitExceeded(limit),
        Broken::Instantiate(error) => of_guest(&error, fuel).unwrap_or_else(|| {
            if error.is::<PoolConcurrencyLimitError>() {
                return Outcome::Lost("all of this node's instances are in use".into());
            }
            // Its initial memory or table exceeds the limit.
            if let Some(limit) = refused {
                return Outcome::LimitExceeded(limit.clone());
            }
            Outcome::Lost(format!("could not start an instance: {}", words(&error)))
        }),
        Broken::Call(error) => {
            of_guest(&error, fuel).unwrap_or_else(|| Outcome::Trapped(Trap::Other(words(&error))))
        }
    }
}

/// The outcome, if the guest's own code caused the error.
fn of_guest(error: &wasmtime::Error, fuel: Option<u64>) -> Option<Outcome> {
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return Some(of_trap(*trap, fuel));
    }
    let other = |text: &str| Some(Outcome::Trapped(Trap::Other(text.into())));
    if error.is::<ThrownException>() {
        return other("an exception was thrown and not caught");
    }
    if error.is::<GcHeapOutOfMemory<()>>() { other("no memory for one more collected object") } else { None }
}

/// The outcome of a run that failed after a growth of its memory had been refused: the refusal is taken as the cause.
/// The text of a function's error is passed to `errors`, so that it is not lost.
pub(crate) fn of_refused(outcome: Outcome, refused: Option<Limit>, errors: impl FnOnce(&str)) -> Outcome {
    match (outcome, refused) {
        (Outcome::Failed(Failure::Error(text)), Some(limit)) => {
            errors(&text);
            Outcome::LimitExceeded(limit)
        }
        (Outcome::Failed(Failure::Exit(_)) | Outcome::Trapped(_), Some(limit)) => {
            Outcome::LimitExceeded(limit)
        }
        (outcome, _) => outcome,
    }
}

/// The outcome of a run that was ended from outside of the guest's code. A command may exit with 0; a function must
/// return an answer.
pub(crate) fn of_end(end: End, command: bool) -> Outcome {
    match end {
        End::Cancelled => Outcome::Cancelled,
        End::Limit(limit) => Outcome::LimitExceeded(limit),
        End::Host(text) => Outcome::Lost(text),
        End::Trap(trap) => Outcome::Trapped(trap),
        End::Exit(0) if command => Outcome::Done,
        End::Exit(0) => Outcome::Trapped(Trap::Abi("the function exited before it answered".into())),
        End::Exit(code) => Outcome::Failed(Failure::Exit(code)),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "wasmtime's list is open; what is new there is `Other` here"
)]
fn of_trap(trap: wasmtime::Trap, fuel: Option<u64>) -> Outcome {
    let trap = match trap {
        wasmtime::Trap::OutOfFuel => {
            return Outcome::LimitExceeded(Limit::Fuel { limit: fuel.unwrap_or_default() });
        }
        wasmtime::Trap::UnreachableCodeReached => Trap::Unreachable,
        wasmtime::Trap::StackOverflow => Trap::StackOverflow,
        wasmtime::Trap::MemoryOutOfBounds | wasmtime::Trap::HeapMisaligned => Trap::MemoryOutOfBounds,
        wasmtime::Trap::TableOutOfBounds
        | wasmtime::Trap::IndirectCallToNull
        | wasmtime::Trap::BadSignature
        | wasmtime::Trap::NullReference => Trap::BadTable,
        wasmtime::Trap::IntegerOverflow
        | wasmtime::Trap::IntegerDivisionByZero
        | wasmtime::Trap::BadConversionToInteger => Trap::Arithmetic,
        other => Trap::Other(other.to_string()),
    };
    Outcome::Trapped(trap)
}
