//! The messages between a node and its slot, and their bounds. Messages of a slot are untrusted: a guest may control
//! it.

use std::sync::Arc;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bytes::Bytes;

use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{Outcome, Payload, Program, Stream, TaskId, Usage};

use super::confine::Confinement;
use crate::code::CodeInfo;

/// Version of the messages. Both sides are the same executable, unless its file was replaced.
pub(crate) const PROTOCOL: u32 = 2;
/// Longest frame to a slot, in bytes: arguments and environment of a program are the longest part.
pub(crate) const TO_SLOT_BYTES_MAX: usize = 64 << 20;
/// Memory that decoding a frame to a slot may claim.
pub(crate) const TO_SLOT_CLAIM_MAX: usize = 4 * TO_SLOT_BYTES_MAX;
/// Longest frame from a slot, in bytes: three inline payloads and a text.
pub(crate) const FROM_SLOT_BYTES_MAX: usize = 4 * INLINE_BYTES_MAX;
/// Memory that decoding a frame from a slot may claim.
pub(crate) const FROM_SLOT_CLAIM_MAX: usize = 4 * FROM_SLOT_BYTES_MAX;

/// A message from a node to its slot.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum ToSlot {
    /// The first message.
    Begin {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Most memory of any task, in bytes.
        memory_max_bytes: u64,
    },
    /// Code of programs. Its file is attached.
    Code {
        /// Its number in later messages.
        number: u32,
        /// Its description.
        info: CodeInfo,
    },
    /// A program. The file of its `/in` is attached, if that is a blob.
    Program {
        /// Its number in later messages.
        number: u32,
        /// Number of its code.
        code: u32,
        /// The program.
        program: Arc<Program>,
    },
    /// No later task uses this program.
    ForgetProgram(u32),
    /// No later program uses this code.
    ForgetCode(u32),
    /// A task to run. The file of its input is attached, if that is a blob.
    Task {
        /// Its number: they count up from 0 and wrap.
        number: u32,
        /// Number of its program.
        program: u32,
        /// Seeds its randomness.
        task: TaskId,
        /// Its input.
        input: Input,
        /// When it was submitted, in microseconds of the monotonic clock.
        since_us: u64,
        /// Whether its output is streamed.
        stream: bool,
    },
}

/// A message from a slot to its node.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum FromSlot {
    /// The first message: the slot is ready, and has dropped its rights.
    Ready {
        /// [`PROTOCOL`].
        protocol: u32,
        /// How far its rights are dropped.
        confinement: Confinement,
    },
    /// A run ended. The files of its long payloads are attached, in this order.
    Ran {
        number: u32,
        /// Its outcome.
        outcome: Outcome,
        /// Standard output or the function's result.
        output: Brought,
        /// Standard error.
        errors: Brought,
        /// Archive of `/out`.
        files: Brought,
        /// Resources used.
        usage: Usage,
    },
    /// The current run printed something.
    Printed {
        number: u32,
        stream: Stream,
        /// Offset in that stream, in bytes.
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The slot ends with this error.
    Failed(String),
}

/// The input of a run.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum Input {
    /// Inside of the message.
    Inline(Held),
    /// This many bytes, in an attached file.
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

/// Bytes that are shared when sent and owned when received, so that neither side copies them again.
#[derive(Debug)]
pub(crate) enum Held {
    /// When sent.
    Shared(Arc<[u8]>),
    /// When received.
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

/// An output of a run.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub(crate) enum Brought {
    /// At most [`INLINE_BYTES_MAX`] bytes.
    Inline(Vec<u8>),
    /// This many bytes, in an attached sealed memory file.
    File(u64),
}

impl Brought {
    /// Its length in bytes, as the slot claims.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File(bytes) => *bytes,
        }
    }
}

impl FromSlot {
    /// Number of attached files.
    pub(crate) fn files(&self) -> usize {
        match self {
            Self::Ran { output, errors, files, .. } => {
                [output, errors, files].iter().filter(|part| matches!(part, Brought::File(_))).count()
            }
            Self::Ready { .. } | Self::Printed { .. } | Self::Failed(_) => 0,
        }
    }
}
