//! Errors of starting a sandbox and of preparing a module, and which of them are remembered.

use std::io;

use weft_core::{Limit, Outcome};

/// A sandbox or pool can't be started on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime refused its settings, most often because the address space is limited (`ulimit -v`).
    #[error("the wasm runtime does not start: {0}")]
    Engine(String),
    /// The cache directory or its key can't be used.
    #[error("the module cache can't be opened: {0}")]
    Cache(#[source] io::Error),
    /// A thread could not be started.
    #[error("a thread can't be started: {0}")]
    Thread(#[source] io::Error),
    /// No slot process could be started.
    #[error("the slots can't be started: {0}")]
    Slot(String),
}

/// A module can't be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its bytes are not available or have another hash: this node's fault.
    #[error("the module can't be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It can't be run; the text says what was expected and what was found.
    #[error("invalid module: {0}")]
    Invalid(String),
    /// It is longer than this node accepts.
    #[error("module: {bytes} bytes, the limit is {limit}; see `weft node --module-limit`")]
    TooLong {
        /// Its length, in bytes.
        bytes: u64,
        /// Longest module that the node accepts, in bytes.
        limit: u64,
    },
    /// It exceeds a bound on what this node compiles; the text names it.
    #[error("{0}")]
    Limit(String),
    /// Compiling exceeded the time limit, this time.
    #[error("{0}")]
    Late(String),
    /// It could not be compiled or loaded on this node now: this node's fault.
    #[error("the module can't be compiled here: {0}")]
    Host(String),
    /// wasmtime could not create an engine for the task's profile: this node's fault.
    #[error("the wasm runtime does not start: {0}")]
    Engine(String),
}

impl PrepareError {
    /// The outcome of a task that needs the module.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unreadable(_) | Self::Host(_) | Self::Engine(_) => Outcome::Lost(self.to_string()),
            Self::Invalid(text) => Outcome::Invalid(text.clone()),
            Self::Limit(_) | Self::Late(_) | Self::TooLong { .. } => {
                Outcome::LimitExceeded(Limit::Other(self.to_string()))
            }
        }
    }

    /// The same error for another caller: `io::Error` can't be cloned.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Unreadable(error) => Self::Unreadable(io::Error::new(error.kind(), error.to_string())),
            Self::Invalid(text) => Self::Invalid(text.clone()),
            Self::TooLong { bytes, limit } => Self::TooLong { bytes: *bytes, limit: *limit },
            Self::Limit(text) => Self::Limit(text.clone()),
            Self::Late(text) => Self::Late(text.clone()),
            Self::Host(text) => Self::Host(text.clone()),
            Self::Engine(text) => Self::Engine(text.clone()),
        }
    }

    /// What is remembered of an error that will be the same again, always or for a while.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Invalid(text) => Some(Refusal::Invalid(text.clone())),
            Self::Limit(text) => Some(Refusal::Limit(text.clone())),
            Self::Late(text) => Some(Refusal::Late(text.clone())),
            Self::TooLong { bytes, limit } => Some(Refusal::TooLong { bytes: *bytes, limit: *limit }),
            Self::Unreadable(_) | Self::Host(_) | Self::Engine(_) => None,
        }
    }
}

/// Why a module is refused, as remembered.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Invalid(String),
    Limit(String),
    Late(String),
    TooLong { bytes: u64, limit: u64 },
}

impl From<Refusal> for PrepareError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text) => Self::Invalid(text),
            Refusal::Limit(text) => Self::Limit(text),
            Refusal::Late(text) => Self::Late(text),
            Refusal::TooLong { bytes, limit } => Self::TooLong { bytes, limit },
        }
    }
}
