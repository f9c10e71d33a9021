//! What a node and its slot say to each other, and how much of it. What a slot says is a stranger's word: its guest
//! may have taken it over.

use std::sync::Arc;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;

use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{Outcome, Payload, Program, Stream, TaskId, Usage};

use super::confine::Confinement;
use crate::code::CodeInfo;

/// Both ends are the same binary, unless somebody replaced it meanwhile.
pub(crate) const PROTOCOL: u32 = 2;
/// Longest frame to a slot: a program's arguments and environment are the longest part.
pub(crate) const TO_SLOT_BYTES_MAX: usize = 64 << 20;
/// Memory that decoding a frame to a slot may claim.
pub(crate) const TO_SLOT_CLAIM_MAX: usize = 4 * TO_SLOT_BYTES_MAX;
/// Longest frame from a slot: three short payloads, and a text.
pub(crate) const FROM_SLOT_BYTES_MAX: usize = 4 * INLINE_BYTES_MAX;
/// Memory that decoding a frame from a slot may claim.
pub(crate) const FROM_SLOT_CLAIM_MAX: usize = 4 * FROM_SLOT_BYTES_MAX;

/// A node's word to its slot.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum ToSlot {
    /// The first word.
    Begin {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Memory that any one task gets, in bytes.
        memory_max_bytes: u64,
    },
    /// Code by which programs run. Its file comes with it.
    Code {
        /// Its name from now on.
        number: u32,
        /// What it is.
        info: CodeInfo,
    },
    /// A program that tasks run. The file of what it finds under `/in` comes with it, if that is a blob.
    Program {
        /// Its name from now on.
        number: u32,
        /// Its code.
        code: u32,
        /// It.
        program: Arc<Program>,
    },
    /// No task will name this program again.
    ForgetProgram(u32),
    /// No program will name this code again.
    ForgetCode(u32),
    /// One run. The input's file comes with it, if it is a blob.
    Task {
        /// Its name: they count up from 0 and round again.
        number: u32,
        /// Which program.
        program: u32,
        /// Seeds its randomness.
        task: TaskId,
        /// On what.
        input: Input,
        /// Since when it waits, in microseconds of the monotonic clock.
        since_us: u64,
        /// Whether what it prints is passed on at once.
        stream: bool,
    },
}

/// A slot's word to its node.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum FromSlot {
    /// The first word: it is ready, and has dropped its rights.
    Ready {
        /// [`PROTOCOL`].
        protocol: u32,
        /// How far.
        confinement: Confinement,
    },
    /// A run ended. Its long payloads' files come with it, in this order.
    Ran {
        /// Which.
        number: u32,
        /// How.
        outcome: Outcome,
        /// Standard output or the function's result.
        output: Brought,
        /// Standard error.
        errors: Brought,
        /// What it left in `/out`.
        files: Brought,
        /// What it used.
        usage: Usage,
    },
    /// The run that is under way printed something.
    Printed {
        /// Which.
        number: u32,
        /// Where.
        stream: Stream,
        /// How many bytes of that stream came before.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// It can't go on, and ends.
    Failed(String),
}

/// What a run is given.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum Input {
    /// It travels with the task.
    Inline(Held),
    /// So many bytes, in a file that comes with the frame.
    File(u64),
}

impl Input {
    pub(crate) fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Inline(bytes) => Self::Inline(Held::Shared(Arc::clone(bytes))),
            Payload::Blob { bytes, .. } => Self::File(*bytes),
        }
    }
}

/// Bytes that one end shares with others and the other end has for itself: neither copies them once more.
#[derive(Debug)]
pub(crate) enum Held {
    /// As they are sent.
    Shared(Arc<[u8]>),
    /// As they came.
    Own(Vec<u8>),
}

impl bincode::Encode for Held {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Self::Shared(bytes) => bytes.encode(encoder),
            Self::Own(bytes) => bytes.encode(encoder),
        }
    }
}

impl<Context> bincode::Decode<Context> for Held {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        bincode::Decode::decode(decoder).map(Self::Own)
    }
}

bincode::impl_borrow_decode!(Held);

impl From<Held> for Bytes {
    fn from(held: Held) -> Self {
        match held {
            Held::Shared(bytes) => Self::from_owner(bytes),
            Held::Own(bytes) => Self::from(bytes),
        }
    }
}

/// Bytes that a run brought home.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum Brought {
    /// At most [`INLINE_BYTES_MAX`].
    Inline(Vec<u8>),
    /// So many, in a sealed file in memory that comes with the frame.
    File(u64),
}

impl Brought {
    /// How many bytes, by the slot's own words.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(bytes) => *bytes,
        }
    }
}

impl FromSlot {
    /// How many files come with it.
    pub(crate) fn files(&self) -> usize {
        match self {
            Self::Ran { output, errors, files, .. } => {
                [output, errors, files].iter().filter(|part| matches!(part, Brought::File(_))).count()
            }
            Self::Ready { .. } | Self::Printed { .. } | Self::Failed(_) => 0,
        }
    }
}
