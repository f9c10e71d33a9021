//! The log of one engine: its inputs with their times, and the effects, as bytes. A reader can pass the same inputs to
//! a new engine and compare the effects, byte for byte. Encoding and decoding only: the node writes the file, the
//! simulator reads it.
//!
//! ```text
//!   log    = MAGIC frame(header) frame(record)*
//!   frame  = length, u32 little endian, then that number of bytes
//!   header = bincode of Header
//!   record = 0, bincode of (time, input, effects)  |  1, bincode of End
//! ```
//!
//! A process that is killed leaves a log without an end record, perhaps with a torn frame after the last whole one.
//! A log contains inputs and outputs of tasks: it is as secret as they are.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::config::{MeshConfig, NodeConfig};
use crate::effect::Effect;
use crate::engine::Engine;
use crate::id::PeerId;
use crate::input::Input;
use crate::time::Time;

/// The first bytes of a log; the digit is the version of the format.
pub const MAGIC: [u8; 8] = *b"weftlog5";
/// Longest frame, in bytes; a longer record is not written, and the log ends before it.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Memory that decoding one record may claim.
const CLAIM_MAX: usize = 4 * RECORD_BYTES_MAX;

const KIND_STEP: u8 = 0;
const KIND_END: u8 = 1;

/// What a new engine needs to replay the log.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Header {
    /// The version of the program that wrote it: an engine of another version may decide otherwise.
    pub version: String,
    /// The node.
    pub me: PeerId,
    /// The mesh's configuration.
    pub mesh: MeshConfig,
    /// The node's own configuration.
    pub node: NodeConfig,
    /// Its engine's seed.
    pub seed: [u8; 32],
}

impl Header {
    /// The engine as it was before its first input.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::new(self.me, self.mesh, self.node.clone(), self.seed)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a log is steps, and one end")]
pub enum Record {
    /// An input and its effects.
    Step(Step),
    /// The end of the log.
    End(End),
}

/// One input of an engine and its effects.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Step {
    /// The time that was passed with the input.
    pub at: Time,
    /// The input.
    pub input: Input,
    /// The effects, in order.
    pub effects: Vec<Effect>,
}

/// Why a log has no further records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum End {
    /// The node stopped.
    Stopped,
    /// The log reached its largest size; the node went on.
    Full,
    /// The disk was slower than the node; the node went on.
    Behind,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the node stopped",
            Self::Full => "the log was full; the node went on",
            Self::Behind => "the disk was slower than the node, which went on",
        })
    }
}

/// Why a log can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// The bytes don't start with [`MAGIC`].
    NotALog,
    /// The last frame is incomplete: its writer was killed. Everything before it is valid.
    Torn {
        /// Bytes of the incomplete frame.
        bytes: usize,
    },
    /// A frame's length is above [`RECORD_BYTES_MAX`].
    TooLong {
        /// The frame's number; the header is 0.
        frame: u64,
        /// Its length, in bytes.
        bytes: usize,
    },
    /// A frame can't be decoded.
    Malformed {
        /// The frame's number; the header is 0.
        frame: u64,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALog => f.write_str("not a log of a weft node, or one of another format"),
            Self::Torn { bytes } => write!(f, "torn: {bytes} bytes of a record whose writer was killed"),
            Self::TooLong { frame, bytes } => {
                write!(f, "frame {frame} claims {bytes} bytes, the limit is {RECORD_BYTES_MAX}")
            }
            Self::Malformed { frame } => write!(f, "frame {frame} is malformed"),
        }
    }
}

impl core::error::Error for LogError {}

/// The start of a log: [`MAGIC`] and the header's frame.
#[must_use]
pub fn encode_header(header: &Header) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(frame(&encode(header)).unwrap_or_default());
    bytes
}

/// A step that is being written: its input before the engine handles it, its effects after.
#[derive(Debug)]
pub struct StepDraft(Vec<u8>);

impl StepDraft {
    /// Encodes the input that the engine is about to get.
    #[must_use]
    pub fn new(at: Time, input: &Input) -> Self {
        let mut bytes = alloc::vec![KIND_STEP];
        bytes.extend(encode(&(at, input)));
        Self(bytes)
    }

    /// Encodes the effects and returns a whole frame; `None` when it would be too long.
    #[must_use]
    pub fn finish(mut self, effects: &[Effect]) -> Option<Vec<u8>> {
        self.0.extend(encode_effects(effects));
        frame(&self.0)
    }
}

/// The last record of a log, as a frame.
#[must_use]
pub fn encode_end(end: End) -> Vec<u8> {
    let mut bytes = alloc::vec![KIND_END];
    bytes.extend(encode(&end));
    frame(&bytes).unwrap_or_default()
}

/// Effects as bytes, for comparison in a replay.
#[must_use]
pub fn encode_effects(effects: &[Effect]) -> Vec<u8> {
    encode(&effects)
}

/// Reads the records of a log, in order.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    frames: u64,
}

impl<'a> Reader<'a> {
    /// Opens a log.
    ///
    /// # Errors
    /// When the bytes are not a log, or the header is incomplete.
    pub fn open(bytes: &'a [u8]) -> Result<(Header, Self), LogError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(LogError::NotALog)?;
        let mut reader = Self { rest, frames: 0 };
        let header = reader.frame()?.ok_or(LogError::Torn { bytes: 0 })?;
        let header = decode(header).ok_or(LogError::Malformed { frame: 0 })?;
        Ok((header, reader))
    }

    /// The next record; `None` where the log ends between two records.
    ///
    /// # Errors
    /// When the next frame is torn, too long or malformed; nothing can be read after it.
    pub fn read(&mut self) -> Result<Option<Record>, LogError> {
        let Some(bytes) = self.frame()? else { return Ok(None) };
        let record = match bytes.split_first() {
            Some((&KIND_STEP, step)) => decode(step).map(Record::Step),
            Some((&KIND_END, end)) => decode(end).map(Record::End),
            Some(_) | None => None,
        };
        record.map(Some).ok_or(LogError::Malformed { frame: self.frames - 1 })
    }

    fn frame(&mut self) -> Result<Option<&'a [u8]>, LogError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let torn = LogError::Torn { bytes: self.rest.len() };
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(torn)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > RECORD_BYTES_MAX {
            return Err(LogError::TooLong { frame: self.frames, bytes: length });
        }
        let (bytes, rest) = rest.split_at_checked(length).ok_or(torn)?;
        self.rest = rest;
        self.frames += 1;
        Ok(Some(bytes))
    }
}

fn frame(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= RECORD_BYTES_MAX)?;
    let mut framed = Vec::with_capacity(4 + bytes.len());
    framed.extend(length.to_le_bytes());
    framed.extend(bytes);
    Some(framed)
}

fn encode<T: bincode::Encode>(word: &T) -> Vec<u8> {
    bincode::encode_to_vec(word, bincode::config::standard()).expect("plain data always encodes")
}

fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<CLAIM_MAX>();
    let (word, used) = bincode::decode_from_slice(bytes, config).ok()?;
    (used == bytes.len()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;
    use crate::input::Command;
    use alloc::vec;

    fn header() -> Header {
        let node = NodeConfig {
            name: "a".into(),
            slots: 2,
            memory_bytes: 1 << 30,
            module_bytes: u64::MAX,
            store_bytes: u64::MAX,
            labels: vec![("rack".into(), "3".into())],
            disk: 0,
            boot: 7,
            owners: crate::policy::Owners::All,
            class_min: crate::message::Class::Batch,
        };
        Header { version: "1".into(), me: PeerId([1; 32]), mesh: MeshConfig::DEFAULT, node, seed: [9; 32] }
    }

    fn inputs() -> Vec<(Time, Input)> {
        vec![
            (Time(5), Input::PeerUp { peer: PeerId([2; 32]), boot: 3, host: crate::Host::At([4; 16]) }),
            (Time(9), Input::Command(Command::Cancel { job: JobId(4) })),
            (Time(400_000), Input::Wake),
        ]
    }

    /// A log of an engine that got all inputs, without an end.
    fn log() -> Vec<u8> {
        let mut engine = header().engine();
        let mut bytes = encode_header(&header());
        for (at, input) in inputs() {
            let draft = StepDraft::new(at, &input);
            let effects: Vec<Effect> = engine.handle(at, input).collect();
            bytes.extend(draft.finish(&effects).unwrap());
        }
        bytes
    }

    #[test]
    fn a_log_says_what_was_written() {
        let mut bytes = log();
        bytes.extend(encode_end(End::Full));
        let (read, mut reader) = Reader::open(&bytes).unwrap();
        assert_eq!(read, header());
        let mut engine = read.engine();
        for (at, input) in inputs() {
            let Some(Record::Step(step)) = reader.read().unwrap() else { panic!("a step is missing") };
            assert_eq!((step.at, &step.input), (at, &input));
            let again: Vec<Effect> = engine.handle(at, input).collect();
            assert_eq!(encode_effects(&again), encode_effects(&step.effects));
        }
        assert_eq!(reader.read(), Ok(Some(Record::End(End::Full))));
        assert_eq!(reader.read(), Ok(None));
    }

    #[test]
    fn a_log_that_is_torn_anywhere_reads_up_to_its_last_whole_record() {
        let bytes = log();
        let whole = |bytes: &[u8]| {
            let Ok((_, mut reader)) = Reader::open(bytes) else { return None };
            let mut records = 0;
            loop {
                match reader.read() {
                    Ok(Some(_)) => records += 1,
                    Ok(None) => return Some((records, false)),
                    Err(LogError::Torn { bytes }) => return Some((records, bytes > 0)),
                    Err(other) => panic!("{other}"),
                }
            }
        };
        let all: Vec<_> = (0..=bytes.len()).filter_map(|end| whole(bytes.get(..end).unwrap())).collect();
        assert!(all.is_sorted_by_key(|(records, _)| *records));
        let between = all.iter().filter(|(_, torn)| !torn).count();
        assert_eq!((between, all.last()), (4, Some(&(3, false))), "after the header and three records");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert_eq!(Reader::open(b"a picture").err(), Some(LogError::NotALog));
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::MAX.to_le_bytes());
        let claimed = usize::try_from(u32::MAX).unwrap();
        assert_eq!(Reader::open(&bytes).err(), Some(LogError::TooLong { frame: 0, bytes: claimed }));
        let mut bytes = encode_header(&header());
        bytes.extend([1, 0, 0, 0, 77]);
        let (_, mut reader) = Reader::open(&bytes).unwrap();
        assert_eq!(reader.read(), Err(LogError::Malformed { frame: 1 }));
    }

    #[test]
    fn a_record_that_is_too_long_is_not_written() {
        let bytes = alloc::sync::Arc::from(vec![0; RECORD_BYTES_MAX]);
        assert_eq!(StepDraft::new(Time(0), &Input::Wake).finish(&[Effect::Stash(bytes)]), None);
    }
}
