//! Turns a panic in a task into an error for the code that waits for the task, which would otherwise wait for ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt as _;

/// Longest text of a panic that is passed on, in characters.
const TEXT_MAX: usize = 300;

/// A task panicked, which is a bug of weft. Its state is not used afterwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task of this node panicked, which is a fault of weft: {text}")]
pub struct Panicked {
    text: String,
}

/// Runs a future to its end.
///
/// # Errors
/// When it panics; the panic is logged too.
pub async fn caught<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| logged(what, panic.as_ref()))
}

/// Runs a function to its end: for work on blocking threads.
///
/// # Errors
/// When it panics; the panic is logged too.
pub fn caught_call<T>(what: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| logged(what, panic.as_ref()))
}

/// The error for a panic of a task that was spawned without these functions.
#[must_use]
pub fn of_task(what: &'static str, panic: &(dyn Any + Send)) -> Panicked {
    logged(what, panic)
}

fn logged(what: &'static str, panic: &(dyn Any + Send)) -> Panicked {
    let text = panic.downcast_ref::<&str>().copied();
    let text =
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text");
    let text: String = text.chars().take(TEXT_MAX).collect();
    tracing::error!(what, text, "a task of this node panicked: this is a fault of weft, please report it");
    Panicked { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_with_its_text() {
        let error = caught::<()>("a test", async { panic!("{} broke", "it") }).await.unwrap_err();
        assert!(error.to_string().ends_with("it broke"), "{error}");
        assert_eq!(caught("a test", async { 7 }).await, Ok(7));
        assert!(caught_call::<()>("a test", || panic!("no text of its own")).is_err());
    }
}
