//! The fast way in and out: `POST /v1/jobs` with `content-type: application/vnd.weft.frames`.
//!
//! Both bodies are streams of frames: a length (`u32`, little endian), then that many bytes of bincode (standard
//! configuration). They flow at the same time: results come while inputs still go.
//!
//! ```text
//! client:  Open(JobRequest)  Inputs([..])*  Close
//! node:    Accepted { job }  ([Next { from }] Results([..]) | Printed(..) | Kept { tasks })*  Ended(summary)   attached
//!          Accepted { job }  Kept { tasks }*  Taken { tasks }                detached
//!          Accepted { job }  (Next { from } Results([..]))*  (Ended | SoFar)(summary)   results, read again
//!          .. or Error(..), which is the last frame
//! ```
//!
//! A client whose node ended before all inputs of a job above level `memory` had come goes on with `POST /v1/jobs/{id}/inputs`: the
//! body has `Inputs([..])*  Close` from the input on that the node does not have, and the answer is one of those of the job.

use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{Buf, BytesMut};

use crate::api::{
    Class, ErrorBody, Join, Level, Outcome, Policy, Profile, Recall, Recalled, Receipt, Stream, Usage,
    Verified,
};

/// The content type of a stream of frames.
pub const CONTENT_TYPE: &str = "application/vnd.weft.frames";
/// Longest frame, in bytes, without its length; a longer one ends the stream with an error.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of at most this length travel inside a frame; longer ones as blobs.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Most inputs or results in one frame.
pub const BATCH_MAX: usize = 2048;
/// A frame is closed once the bytes in it reach this length.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Longest receipt in a frame, in bytes; a longer one is left out.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// Longest names of the nodes that computed one task, in bytes: of 31 nodes, each of 64 digits.
const VERIFIED_BYTES_MAX: usize = 31 * 66;
/// Memory that decoding one frame may claim.
const CLAIM_MAX: usize = 8 * FRAME_BYTES_MAX;
const LENGTH_BYTES: usize = 4;

// The last item may come on top of a batch that is almost full.
const _: () = assert!(
    BATCH_BYTES + 5 * INLINE_BYTES_MAX + RECEIPT_BYTES_MAX + VERIFIED_BYTES_MAX + BATCH_MAX * 300
        < FRAME_BYTES_MAX
);

/// What a client says.
#[expect(clippy::large_enum_variant, reason = "the large one comes once a job")]
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ClientFrame {
    /// A new job; the first frame.
    Open(JobRequest),
    /// More tasks, one per input, indexed in order.
    Inputs(Vec<Payload>),
    /// No more tasks will come; the last frame.
    Close,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum NodeFrame {
    /// The job has a name; the first frame.
    Accepted {
        /// The name.
        job: String,
    },
    /// Tasks ended, in order of completion.
    Results(Vec<ResultItem>),
    /// A task that runs printed something; only where the job asked for it. What is not told this way is in the
    /// result.
    Printed(PrintedItem),
    /// Every task ended and was told; the last frame of an attached job and of a results stream.
    Ended(Summary),
    /// Every input of a detached job arrived; the last frame.
    Taken {
        /// Tasks.
        tasks: u32,
    },
    /// Something went wrong; the last frame. The job of this stream is cancelled, unless it is detached or on disk.
    Error(ErrorBody),
    /// Every result that is there was told, and the job goes on; the last frame of a results stream that does not follow.
    SoFar(Summary),
    /// Where to read on behind the results that come next, which are kept: who has those and reads from there on gets none of
    /// them again, and misses none.
    Next {
        /// The number to read from.
        from: u64,
    },
    /// These inputs of a job above level `memory`, counted from its first, need not be handed in again, whatever becomes of the
    /// node. Told now and then.
    Kept {
        /// How many.
        tasks: u32,
    },
}

/// A job without its inputs.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct JobRequest {
    /// The module: a blob that the node has.
    pub module: [u8; 32],
    /// The function to call; without one the module runs as a command.
    pub function: Option<String>,
    /// Arguments of a command, without its own name.
    pub args: Vec<String>,
    /// Environment of a command.
    pub env: Vec<(String, String)>,
    /// What lies under `/in`: a tar archive; empty for nothing.
    pub files: Payload,
    /// What the tasks may see of the real world.
    pub profile: Profile,
    /// Bounds of each task.
    pub limits: Limits,
    /// Labels that a worker must carry.
    pub needs: Vec<(String, String)>,
    /// The priority class.
    pub class: Class,
    /// How often a task that failed, trapped or reached a limit is tried again.
    pub retries: u32,
    /// How it wants to be treated beyond that.
    pub policy: Policy,
    /// Which known results of a pure task are used, so that it need not run; `None` for the node's setting.
    pub memo: Option<Recall>,
    /// Whether workers sign what they report.
    pub receipts: bool,
    /// Whether what tasks print is told while they run; attached jobs only.
    pub stream: bool,
    /// Attached: the results flow back here, and the job is cancelled when this stream breaks before its end.
    /// Detached: the results are kept by the node, and only a break before `Close` cancels the job.
    pub detached: bool,
    /// Slots of one node that each task holds while it runs, 1 to 1024.
    pub slots: u32,
    /// The jobs of this node that must have ended before any task begins: their ids, or the first digits, at most 64.
    pub after: Vec<String>,
    /// How those must have ended.
    pub join: Join,
    /// Whether each input of a command is a parcel: its stdin, and arguments and files of its own.
    pub parcels: bool,
    /// What it survives. Above memory, a break of this stream does not cancel it, attached or not, and its results are
    /// kept.
    pub level: Level,
    /// A name that it can be found by; empty for none.
    pub name: String,
    /// Labels that it can be found by.
    pub labels: Vec<(String, String)>,
    /// Whether every member of the mesh may cancel, retry and forget it, not only its submitter.
    pub shared: bool,
    /// A job of this node that the same nodes are to keep: its id, or the first digits, or its name; empty for none.
    pub keep_with: String,
}

/// Bounds of a task; `None` takes the node's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Limits {
    /// Running time.
    pub wall_ms: Option<u32>,
    /// Linear memory.
    pub memory_bytes: Option<u64>,
    /// Deterministic instruction budget; unmetered without one.
    pub fuel: Option<u64>,
    /// Output.
    pub output_bytes: Option<u64>,
    /// Standard error.
    pub errors_bytes: Option<u64>,
    /// What a task keeps under `/tmp` and leaves in `/out`, together.
    pub files_bytes: Option<u64>,
    /// How many files and directories it makes there.
    pub files: Option<u32>,
}

/// Bytes, here or in the node's store.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Payload {
    /// The bytes, at most [`INLINE_BYTES_MAX`].
    Inline(Arc<[u8]>),
    /// A blob.
    Blob {
        /// Its name.
        id: [u8; 32],
        /// Its length.
        bytes: u64,
    },
}

impl Default for Payload {
    /// No bytes.
    fn default() -> Self {
        Self::Inline(Arc::from([]))
    }
}

impl Payload {
    /// How many bytes travel inside the frame.
    #[must_use]
    pub fn inline_len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Blob { .. } => 0,
        }
    }
}

/// One ended task.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ResultItem {
    /// Its place among all ends that were told of a job whose results are kept, from 0: results can be read from there on.
    /// `None` where they flow to their submitter.
    pub number: Option<u64>,
    /// Its input's place in the job, from 0.
    pub index: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Standard output, or the function's result.
    pub output: Payload,
    /// Standard error.
    pub errors: Payload,
    /// What it left in `/out`: a tar archive; empty for nothing.
    pub files: Payload,
    /// The node that computed it; `None` when it was not computed.
    pub worker: Option<[u8; 32]>,
    /// How many attempts it took; 0 when the result was known.
    pub attempts: u32,
    /// Where the result was known, if nothing ran.
    pub memo: Option<Recalled>,
    /// What the attempt that counted used.
    pub usage: Usage,
    /// What the worker signed, where the job asked for it and the task was run.
    pub receipt: Option<Receipt>,
    /// Who agreed and who differed, where several nodes computed the task: the node's own finding.
    pub verified: Option<Verified>,
}

/// Something that a running task printed.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PrintedItem {
    /// The task's place in the job.
    pub index: u32,
    /// Which attempt; a later one begins from offset 0 again.
    pub attempt: u32,
    /// Its standard output or standard error.
    pub stream: Stream,
    /// How many bytes of that stream came before.
    pub offset: u64,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// How a job ended, or how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Summary {
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks that ended as done.
    pub done: u32,
    /// Tasks that ended otherwise.
    pub failed: u32,
    /// Tasks that were cancelled.
    pub cancelled: u32,
}

/// Bytes that are no frame of this protocol. The stream they came on can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than a frame may be.
    #[error("a frame of {bytes} bytes, the limit is {FRAME_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The bytes don't decode, claim more than they may, or have a tail.
    #[error("bytes that are no frame")]
    Malformed,
}

/// Appends a frame to a buffer.
///
/// # Errors
/// When the frame is longer than [`FRAME_BYTES_MAX`]; the buffer is unchanged then.
pub fn encode<T: bincode::Encode>(frame: &T, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_BYTES]);
    let encoded = bincode::encode_into_std_write(frame, buffer, bincode::config::standard());
    assert!(encoded.is_ok(), "plain data always encodes, and a vector takes every byte");
    let bytes = buffer.len() - start - LENGTH_BYTES;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
    let Some((length, place)) = length.zip(buffer.get_mut(start..start + LENGTH_BYTES)) else {
        buffer.truncate(start);
        return Err(FrameError::TooLong { bytes });
    };
    place.copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Cuts a stream of bytes into frames. Holds at most one unfinished frame and what was pushed last.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: BytesMut,
}

impl Splitter {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// When the stream holds something that is not a frame.
    pub fn next_frame<T: bincode::Decode<()>>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: length });
        }
        let Some(body) = self.buffer.get(LENGTH_BYTES..LENGTH_BYTES + length) else { return Ok(None) };
        let frame = decode(body)?;
        self.buffer.advance(LENGTH_BYTES + length);
        Ok(Some(frame))
    }

    /// Whether an unfinished frame is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn decode<T: bincode::Decode<()>>(body: &[u8]) -> Result<T, FrameError> {
    let config: Configuration<LittleEndian, Varint, Limit<CLAIM_MAX>> =
        bincode::config::standard().with_limit::<CLAIM_MAX>();
    let (frame, used) = bincode::decode_from_slice(body, config).ok().ok_or(FrameError::Malformed)?;
    if used == body.len() { Ok(frame) } else { Err(FrameError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let frames = [
            ClientFrame::Inputs(vec![
                Payload::Inline(Arc::from(*b"abc")),
                Payload::Blob { id: [7; 32], bytes: 9 },
            ]),
            ClientFrame::Close,
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            encode(frame, &mut bytes).unwrap();
        }
        for cut in 0..bytes.len() {
            let mut splitter = Splitter::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                splitter.push(part);
                while let Some(frame) = splitter.next_frame::<ClientFrame>().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames);
            assert!(splitter.is_empty());
        }
    }

    #[test]
    fn forged_lengths_are_refused_not_allocated() {
        let mut splitter = Splitter::default();
        splitter.push(&u32::MAX.to_le_bytes());
        assert!(matches!(splitter.next_frame::<ClientFrame>(), Err(FrameError::TooLong { .. })));

        let mut splitter = Splitter::default();
        splitter.push(&[10, 0, 0, 0, 1, 253, 0, 0, 0, 0, 0, 0, 0, 64]);
        assert_eq!(splitter.next_frame::<ClientFrame>(), Err(FrameError::Malformed));
    }

    #[test]
    fn too_long_a_frame_is_not_sent() {
        let frame = ClientFrame::Inputs(vec![Payload::Inline(Arc::from(vec![0; FRAME_BYTES_MAX]))]);
        let mut buffer = vec![1];
        assert!(matches!(encode(&frame, &mut buffer), Err(FrameError::TooLong { .. })));
        assert_eq!(buffer, [1]);
    }
}
