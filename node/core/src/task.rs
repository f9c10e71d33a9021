//! Tasks, their limits, and the reports of attempts. Plain data: nothing is run here.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bincode::de::{Decode, Decoder};
use bincode::error::DecodeError;

use crate::claim::claim_shared;
use crate::id::{BlobId, TaskId};
pub use crate::outcome::{Expiry, Failure, Fault, Limit, OUTCOME_TEXT_BYTES_MAX, Outcome, Trap};
pub use crate::payload::{INLINE_BYTES_MAX, Payload};

/// The entry point of the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Entry {
    /// A WASI command: `_start`, with stdin, args, env and an exit code.
    Command,
    /// A function by ABI v1: bytes in, bytes out.
    Function(String),
    /// A WASI command whose input is a parcel: its stdin, and arguments and files of the task, in addition to those of
    /// the program. The core does not read it: only the client that packs it and the executor do.
    Parcel,
}

/// What a task sees of the real world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Profile {
    /// Virtual clock, seeded randomness: the same bytes on every node, except for the bits of a NaN.
    #[default]
    Pure,
    /// Pure, and NaN bits are made canonical, at a cost to float-heavy code.
    Portable,
    /// Real clock and randomness. Never memoised.
    Impure,
}

/// Limits of one attempt; always enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Limits {
    /// Running time, in milliseconds, compile and queue time not counted.
    pub wall_ms: u32,
    /// Linear memory, in bytes, all memories together.
    pub memory_bytes: u64,
    /// Deterministic instruction budget; `None` runs unmetered.
    pub fuel: Option<u64>,
    /// Output (stdout of a command, result of a function), in bytes.
    pub output_bytes: u64,
    /// Standard error, in bytes.
    pub errors_bytes: u64,
    /// Files under `/tmp` and `/out` together, in bytes.
    pub files_bytes: u64,
    /// Number of files and directories under `/tmp` and `/out` together.
    pub files: u32,
}

impl Limits {
    /// One minute, 256 MiB of memory, 64 MiB of output, 1 MiB of errors, 10,000 files of 64 MiB together, no fuel
    /// metering.
    pub const DEFAULT: Self = Self {
        wall_ms: 60_000,
        memory_bytes: 256 << 20,
        fuel: None,
        output_bytes: 64 << 20,
        errors_bytes: 1 << 20,
        files_bytes: 64 << 20,
        files: 10_000,
    };
}

impl Limits {
    /// The highest limits that a node grants to any owner: a week, 256 MiB of output, 16 MiB of errors, 100,000 files
    /// of 1 GiB together. Each node sets its own limit of memory.
    pub const MAX: Self = Self {
        wall_ms: 7 * 24 * 3600 * 1000,
        memory_bytes: u64::MAX,
        fuel: None,
        output_bytes: 256 << 20,
        errors_bytes: 16 << 20,
        files_bytes: 1 << 30,
        files: 100_000,
    };

    /// The first limit that is higher than any node grants: its name, its value, the highest value.
    #[must_use]
    pub fn beyond_max(&self) -> Option<(&'static str, u64, u64)> {
        let Self { wall_ms, memory_bytes: _, fuel: _, output_bytes, errors_bytes, files_bytes, files } =
            *self;
        let all = [
            ("wall_ms", u64::from(wall_ms), u64::from(Self::MAX.wall_ms)),
            ("output_bytes", output_bytes, Self::MAX.output_bytes),
            ("errors_bytes", errors_bytes, Self::MAX.errors_bytes),
            ("files_bytes", files_bytes, Self::MAX.files_bytes),
            ("files", u64::from(files), u64::from(Self::MAX.files)),
        ];
        all.into_iter().find(|(_, value, most)| value > most)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Everything that all tasks of a job share: all but the input.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Program {
    /// The module's bytes.
    pub module: BlobId,
    /// Length of the module, in bytes.
    pub module_bytes: u64,
    /// The entry point.
    pub entry: Entry,
    /// Arguments of a command, without the program's own name.
    pub args: Vec<String>,
    /// Environment of a command.
    pub env: Vec<(String, String)>,
    /// Its files under `/in`, read-only: a tar archive; empty for none.
    pub files: Payload,
    /// What it sees of the real world.
    pub profile: Profile,
    /// Its limits.
    pub limits: Limits,
}

/// Options of a job about its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Terms {
    /// Which known results of pure tasks are used instead of running them.
    pub memo: Recall,
    /// Whether workers sign their reports.
    pub receipts: bool,
    /// Whether a task's output is sent while it runs.
    pub stream: bool,
}

impl Default for Terms {
    /// Known results of trusted sources are used; no receipts; output arrives when the task has ended.
    fn default() -> Self {
        Self { memo: Recall::Own, receipts: false, stream: false }
    }
}

/// Which known results of a pure task are used, so that it need not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Recall {
    /// None: the task runs.
    Off,
    /// Results that this node computed, results that were delivered to its own jobs, and results that the worker which
    /// is awarded the task computed itself.
    #[default]
    Own,
    /// Also results that any member gossiped, unless that member is refused here or was caught lying.
    Mesh,
}

/// The source of a known result that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Recalled {
    /// This node computed it.
    Here,
    /// A worker delivered it for an earlier task of this node.
    Home,
    /// The worker that was awarded the task claims to have computed it before.
    Worker,
    /// A member gossiped it, without having been awarded the task by this node.
    Told,
}

/// One of a task's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

impl Program {
    /// A pure command of this module without arguments, variables and files, within the usual limits.
    #[must_use]
    pub fn command(module: BlobId, module_bytes: u64) -> Self {
        Self {
            module,
            module_bytes,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        }
    }

    /// The id of the task that runs this program on that input: the same on every node, whether its input is inline or
    /// a blob. Claimed lengths are part of it: a result for a false length is never taken for the result of the real
    /// input.
    #[must_use]
    pub fn task_id(&self, input: &Payload) -> TaskId {
        self.task_key().task_id(input)
    }

    /// The common part of its tasks' ids. Computed once for many tasks of one program.
    #[must_use]
    pub fn task_key(&self) -> TaskKey {
        let mut hasher = blake3::Hasher::new_derive_key("weft 2026 task id v2");
        let config = bincode::config::standard();
        let Self { module, module_bytes, entry, args, env, files, profile, limits } = self;
        let files = (files.id(), files.bytes_len());
        let fields = (module, module_bytes, entry, args, env, files, profile, limits);
        let canonical = bincode::encode_to_vec(fields, config).expect("plain data always encodes");
        hasher.update(&canonical);
        TaskKey(*hasher.finalize().as_bytes())
    }

    /// Whether its results may be kept: the same task always has the same result.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        match self.profile {
            Profile::Pure | Profile::Portable => true,
            Profile::Impure => false,
        }
    }
}

/// A program as a part of its tasks' ids: see [`Program::task_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskKey([u8; 32]);

impl TaskKey {
    /// The id of the task that runs the program on that input.
    #[must_use]
    pub fn task_id(&self, input: &Payload) -> TaskId {
        let mut name = [0; 40];
        let (id, bytes) = name.split_at_mut(32);
        id.copy_from_slice(&input.id().0);
        bytes.copy_from_slice(&input.bytes_len().to_le_bytes());
        TaskId(*blake3::keyed_hash(&self.0, &name).as_bytes())
    }
}

/// Resources that one attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Usage {
    /// Running time, in microseconds.
    pub wall_us: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Time spent compiling for this attempt; 0 when the module was warm.
    pub compile_us: u64,
    /// Time between award and start, in microseconds.
    pub queue_us: u64,
    /// Peak of linear memory, in bytes.
    pub memory_bytes: u64,
    /// Fuel used, when metered.
    pub fuel: Option<u64>,
    /// Bytes of its input and its files under `/in`.
    pub in_bytes: u64,
    /// Bytes of output, standard error, and its files in `/out`.
    pub out_bytes: u64,
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode)]
pub struct Report {
    /// Its outcome.
    pub outcome: Outcome,
    /// Standard output, or the function's result.
    pub output: Payload,
    /// Standard error.
    pub errors: Payload,
    /// Its files in `/out`: a tar archive; empty for none.
    pub files: Payload,
    /// The resources that it used.
    pub usage: Usage,
}

impl<C> Decode<C> for Report {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        claim_shared::<Self, D>(decoder)?;
        Ok(Self {
            outcome: Decode::decode(decoder)?,
            output: Decode::decode(decoder)?,
            errors: Decode::decode(decoder)?,
            files: Decode::decode(decoder)?,
            usage: Decode::decode(decoder)?,
        })
    }
}

bincode::impl_borrow_decode!(Report);

impl Report {
    /// A report without output.
    #[must_use]
    pub fn bare(outcome: Outcome) -> Self {
        let empty = Payload::empty;
        Self { outcome, output: empty(), errors: empty(), files: empty(), usage: Usage::default() }
    }

    /// Whether its text and inline payloads are within their bounds. Must be checked for a peer's report.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let short = self.outcome.text().len() <= OUTCOME_TEXT_BYTES_MAX;
        short && self.payloads().into_iter().all(Payload::is_sound)
    }

    /// The blobs that must be fetched before the report is complete.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.payloads().into_iter().filter_map(Payload::blob)
    }

    /// These blobs with their lengths; a blob that is named twice appears once.
    pub(crate) fn blobs_with_lengths(&self) -> BTreeMap<BlobId, u64> {
        let all = self.payloads().into_iter();
        all.filter_map(|payload| Some((payload.blob()?, payload.bytes_len()))).collect()
    }

    /// Its inline payloads and the text of its outcome, in bytes.
    #[must_use]
    pub fn carried_len(&self) -> u64 {
        let Self { outcome, output, errors, files, usage: _ } = self;
        let text = outcome.text().len() as u64;
        output.inline_len() + errors.inline_len() + files.inline_len() + text
    }

    /// Output, standard error, files.
    #[must_use]
    pub fn payloads(&self) -> [&Payload; 3] {
        [&self.output, &self.errors, &self.files]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program {
            module: BlobId::of(b"module"),
            module_bytes: 6,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        }
    }

    #[test]
    fn a_task_has_one_name_however_its_input_travels() {
        let inline = Payload::inline(b"input");
        let blob = Payload::Blob { id: BlobId::of(b"input"), bytes: 5 };
        assert_eq!(program().task_id(&inline), program().task_id(&blob));
        assert_ne!(program().task_id(&inline), program().task_id(&Payload::empty()));
        let other = Program { args: alloc::vec![String::from("-v")], ..program() };
        assert_ne!(program().task_id(&inline), other.task_id(&inline));
        let here = Program { files: Payload::inline(b"tar"), ..program() };
        let there = Program { files: Payload::Blob { id: BlobId::of(b"tar"), bytes: 3 }, ..program() };
        assert_eq!(here.task_id(&inline), there.task_id(&inline));
        assert_ne!(program().task_id(&inline), here.task_id(&inline));
    }

    #[test]
    fn a_blob_of_a_claimed_length_is_not_the_whole_one() {
        let blob = |bytes| Payload::Blob { id: BlobId::of(b"input"), bytes };
        assert_ne!(program().task_id(&blob(5)), program().task_id(&blob(4)));
        let with = |bytes| Program { files: blob(bytes), ..program() }.task_id(&Payload::empty());
        assert_ne!(with(5), with(4));
    }
}
