//! What a task brought home.

use std::path::Path;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::api::{Fault, Outcome, Recalled, Receipt, Usage, Verified};
use crate::error::Error;
use crate::files::{self, Existing, Files};
use crate::frames::{Payload, ResultItem};
use crate::mesh::Mesh;

/// Bytes that a task left: here, or in the node's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The bytes.
    Inline(Bytes),
    /// A blob.
    Blob {
        /// Its id.
        id: String,
        /// Its length.
        bytes: u64,
    },
}

impl Output {
    /// How many bytes.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { bytes, .. } => *bytes,
        }
    }

    /// The bytes, from the node's store if they are not here; all of them in memory.
    ///
    /// # Errors
    /// As [`Mesh::get_blob`]; none when the bytes are here.
    pub async fn fetch(&self, mesh: &Mesh) -> Result<Bytes, Error> {
        match self {
            Self::Inline(bytes) => Ok(bytes.clone()),
            Self::Blob { id, .. } => mesh.get_blob(id).await,
        }
    }

    fn of(payload: Payload) -> Self {
        match payload {
            Payload::Inline(bytes) => Self::Inline(Bytes::copy_from_slice(&bytes)),
            Payload::Blob { id, bytes } => Self::Blob { id: hex(&id), bytes },
        }
    }
}

/// One ended task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// Its place among all ends that were told of a job whose results are kept, from 0: [`crate::Reading::from`] takes it.
    /// `None` where they flow to their submitter.
    pub number: Option<u64>,
    /// Its input's place in the job, from 0.
    pub index: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Standard output of a command, or what a function returned.
    pub output: Output,
    /// Standard error of a command.
    pub errors: Output,
    /// What it left in `/out`: a tar archive, empty for nothing; see [`TaskResult::files`] and [`TaskResult::unpack`].
    pub archive: Output,
    /// The id of the node that computed it; `None` when it was not computed.
    pub worker: Option<String>,
    /// How many attempts it took; 0 when the result was known.
    pub attempts: u32,
    /// Whether the result was known and nothing ran.
    pub memo: bool,
    /// Where it was known then.
    pub recalled: Option<Recalled>,
    /// What the attempt that counted used.
    pub usage: Usage,
    /// What the worker signed, if the task asked for it (see [`crate::Task::receipts`]) and it was run now.
    pub receipt: Option<Receipt>,
    /// Who agreed and who differed, if the task was computed on several nodes (see [`crate::Task::verify`]). It is what
    /// the node that compared them says, and is not part of what a worker signed.
    pub verified: Option<Verified>,
}

impl TaskResult {
    /// The program's exit code, if it ran to its end: 0 when done, 1 for the error of a function.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.outcome.exit_code()
    }

    /// Whether the task ran to its end and all is well.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.fault() == Fault::None
    }

    /// This result if the task is done, an error that holds it if not.
    ///
    /// # Errors
    /// [`Error::TaskFailed`] for every other outcome.
    pub fn into_done(self) -> Result<Self, Error> {
        if self.is_done() { Ok(self) } else { Err(Error::TaskFailed(Box::new(self))) }
    }

    /// The output, from the node's store if it was too long to come along; all of it in memory.
    ///
    /// # Errors
    /// As [`Mesh::get_blob`].
    pub async fn output_bytes(&self, mesh: &Mesh) -> Result<Bytes, Error> {
        self.output.fetch(mesh).await
    }

    /// The files that the task left in `/out`, all of them in memory.
    ///
    /// # Errors
    /// [`Error::BadFile`] when the archive breaks the rules; as [`Mesh::get_blob`].
    pub async fn files(&self, mesh: &Mesh) -> Result<Files, Error> {
        Files::parse(&self.archive.fetch(mesh).await?)
    }

    /// Makes the files that the task left in `/out` below `dir`, which is made when it is missing, and says how many
    /// they are. Nothing is made outside of it, whatever the archive says. After an error some files may be there.
    ///
    /// # Errors
    /// [`Error::File`] when one can't be made, [`Error::BadFile`] when the archive breaks the rules; as
    /// [`Mesh::get_blob`].
    pub async fn unpack(&self, mesh: &Mesh, dir: &Path, existing: Existing) -> Result<usize, Error> {
        files::unpack(mesh, &self.archive, dir, existing).await
    }

    /// The result of an input that could not be had: no task was made of it.
    pub(crate) fn of_no_input(index: u32, reason: String) -> Self {
        let nothing = || Output::Inline(Bytes::new());
        Self {
            number: None,
            index,
            outcome: Outcome::Invalid { reason },
            output: nothing(),
            errors: nothing(),
            archive: nothing(),
            worker: None,
            attempts: 0,
            memo: false,
            recalled: None,
            usage: Usage::default(),
            receipt: None,
            verified: None,
        }
    }

    pub(crate) fn of(item: ResultItem) -> Self {
        let ResultItem {
            number,
            index,
            outcome,
            output,
            errors,
            files,
            worker,
            attempts,
            memo,
            usage,
            receipt,
            verified,
        } = item;
        Self {
            number,
            index,
            outcome,
            output: Output::of(output),
            errors: Output::of(errors),
            archive: Output::of(files),
            worker: worker.map(|id| hex(&id)),
            attempts,
            memo: memo.is_some(),
            recalled: memo,
            usage,
            receipt,
            verified,
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The 32 bytes of a blob id.
pub(crate) fn parse_id(text: &str) -> Result<[u8; 32], Error> {
    let wrong = || Error::refused(format!("{text:?} is not a blob id"), "64 hexadecimal digits");
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(wrong()) };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    <[u8; 32]>::try_from(bytes).ok().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Failure;

    #[test]
    fn ids_survive_text() {
        let id = *blake3::hash(b"weft").as_bytes();
        assert_eq!(parse_id(&hex(&id)).unwrap(), id);
        for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(66), &"é".repeat(32)] {
            assert!(parse_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_function_error_counts_as_exit_code_1() {
        let item = ResultItem {
            number: None,
            index: 0,
            outcome: Outcome::Failed(Failure::Error { error: String::from("no") }),
            output: Payload::Inline([].into()),
            errors: Payload::default(),
            files: Payload::default(),
            worker: None,
            attempts: 1,
            memo: None,
            usage: Usage::default(),
            receipt: None,
            verified: None,
        };
        let result = TaskResult::of(item);
        assert_eq!(result.exit_code(), Some(1));
        assert_eq!(result.into_done().unwrap_err().to_string(), "task 0 failed: no");
    }
}
