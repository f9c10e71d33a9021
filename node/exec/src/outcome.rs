//! How a run ended, in the core's words. The host's own failures become `Lost` and are never the guest's fault.

use wasmtime::PoolConcurrencyLimitError;
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

/// The outcome of a run that ended with this; `fuel` is the task's budget.
pub(crate) fn of_broken(broken: Broken, fuel: Option<u64>) -> Outcome {
    match broken {
        Broken::Abi(text) => Outcome::Trapped(Trap::Abi(text)),
        Broken::Limit(limit) => Outcome::LimitExceeded(limit),
        Broken::Instantiate(error) => match error.downcast_ref::<wasmtime::Trap>() {
            Some(trap) => of_trap(*trap, fuel),
            None if error.is::<PoolConcurrencyLimitError>() => {
                Outcome::Lost("all of this node's instances are in use".into())
            }
            None => Outcome::Lost(format!("could not start an instance: {}", words(&error))),
        },
        Broken::Call(error) => match error.downcast_ref::<wasmtime::Trap>() {
            Some(trap) => of_trap(*trap, fuel),
            None => Outcome::Trapped(Trap::Other(words(&error))),
        },
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
