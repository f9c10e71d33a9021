//! How a run ended, in the core's words. The host's own failures become `Lost` and are never the guest's fault.

use std::io;

use wasmtime::{GcHeapOutOfMemory, PoolConcurrencyLimitError, ThrownException};
use weft_core::{Failure, Limit, Outcome, Trap};

use crate::guest::End;
use crate::module::words;

/// Why a run did not come to its own end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Making the instance failed.
    Instantiate(wasmtime::Error),
    /// A call into the guest failed.
    Call(wasmtime::Error),
    /// The guest broke a promise of the guest ABI.
    Abi(String),
    /// The guest reached a bound that the host checks itself.
    Limit(Limit),
}

/// The outcome of a run whose output the blob store did not take: a full disk is nobody's fault.
pub(crate) fn of_unstored(error: &io::Error) -> Outcome {
    let text = format!("the output can't be stored: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Outcome::NoRoom(text),
        _ => Outcome::Lost(text),
    }
}

/// The outcome of a run that ended with this; `fuel` is the task's budget, `refused` the growth that it was refused.
pub(crate) fn of_broken(broken: Broken, fuel: Option<u64>, refused: Option<&Limit>) -> Outcome {
    match broken {
        Broken::Abi(text) => Outcome::Trapped(Trap::Abi(text)),
        Broken::Limit(limit) => Outcome::LimitExceeded(limit),
        Broken::Instantiate(error) => of_guest(&error, fuel).unwrap_or_else(|| {
            if error.is::<PoolConcurrencyLimitError>() {
                return Outcome::Lost("all of this node's instances are in use".into());
            }
            // Its memory or table is larger from the beginning.
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

/// The outcome of what the guest's own code did.
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

/// The outcome of a run that ended badly after a growth had been refused to it: that is why, as far as anybody can know.
/// The text of a function's error is handed to `errors`, where it is not lost.
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

/// The outcome of a run that was ended from outside the guest's code. A command may exit; a function owes an answer.
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
