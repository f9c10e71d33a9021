//! What decides the results of a task, as hashes: from the hashes of an earlier run one tells whether the same inputs would give the
//! same results, and if not, why. Nothing is sent for it.

use std::io::{self, Read};

use crate::error::Error;
use crate::frames::{JobRequest, Payload};
use crate::input::Input;
use crate::pack::{self, Packed};
use crate::result::parse_id;
use crate::task::{Module, Task};

/// How much of a file is read at once.
const READ_BYTES: usize = 256 << 10;

/// BLAKE3 hashes of a task's parts. Two tasks in which all of them are equal give the same result for the same input, unless they
/// are [`Task::impure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskDigest {
    /// The module.
    pub module: [u8; 32],
    /// The function, the arguments, the environment and the profile.
    pub call: [u8; 32],
    /// The files under `/in`.
    pub files: [u8; 32],
    /// The bounds, of which a task can find out that it reached them.
    pub limits: [u8; 32],
}

impl Task {
    /// The hashes of what decides its results. Reads its module and its files.
    ///
    /// # Errors
    /// [`Error::File`] when one of them can't be read.
    pub async fn digest(&self) -> Result<TaskDigest, Error> {
        let module = match &self.module {
            Module::Blob(id) => parse_id(id)?,
            Module::Bytes(bytes) => *blake3::hash(bytes).as_bytes(),
            Module::File(path) => {
                let path = path.clone();
                pack::by_thread(move || hash_input(&Input::File(path))).await?
            }
        };
        let files = self.files.clone();
        let files = if files.is_empty() {
            [0; 32]
        } else {
            let packed = pack::pack(files).await?;
            pack::by_thread(move || hash_packed(packed)).await?
        };
        let JobRequest { function, args, env, profile, limits, .. } =
            self.request(module, Payload::Inline([].into()), true);
        Ok(TaskDigest {
            module,
            call: hash_of(&(function, args, env, profile))?,
            files,
            limits: hash_of(&limits)?,
        })
    }
}

impl Input {
    /// The BLAKE3 hash of its bytes; of a parcel, of what its task is given in all. May block.
    ///
    /// # Errors
    /// [`Error::File`] when they can't be read; [`Error::NoInput`] when it is missing.
    pub fn digest(&self) -> Result<[u8; 32], Error> {
        hash_input(self)
    }
}

fn hash_of<T: bincode::Encode>(value: &T) -> Result<[u8; 32], Error> {
    let bytes = bincode::encode_to_vec(value, bincode::config::standard());
    let bytes =
        bytes.map_err(|error| Error::Broken { reason: format!("a task can't be written: {error}") })?;
    Ok(*blake3::hash(&bytes).as_bytes())
}

fn hash_input(input: &Input) -> Result<[u8; 32], Error> {
    match input {
        Input::Bytes(bytes) => Ok(*blake3::hash(bytes).as_bytes()),
        Input::File(path) => {
            let opened = std::fs::File::open(path);
            opened.and_then(hash_read).map_err(|source| Error::File { path: path.clone(), source })
        }
        Input::Part(part) => {
            hash_read(part.reader()).map_err(|source| Error::File { path: part.name().to_owned(), source })
        }
        Input::Blob { id, .. } => parse_id(id),
        Input::Missing { reason } => Err(Error::NoInput { reason: reason.clone() }),
        Input::Parcel(parcel) => hash_packed(parcel.pack()?),
    }
}

fn hash_packed(packed: Packed) -> Result<[u8; 32], Error> {
    match packed {
        Packed::Input(input) => hash_input(&input),
        Packed::Spooled(part) => hash_input(&Input::Part(part)),
    }
}

fn hash_read(mut reader: impl Read) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut buffer)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(*hasher.finalize().as_bytes()),
            Some(bytes) => hasher.update(bytes),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(task: Task) -> TaskDigest {
        task.digest().await.unwrap()
    }

    #[tokio::test]
    async fn each_part_has_a_hash_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "one").unwrap();
        let task = Task::command(&b"module"[..]).args(["a", "b"]).file(&path);
        let first = of(task.clone()).await;
        assert_eq!(first.module, *blake3::hash(b"module").as_bytes());
        assert_eq!(of(task.clone().retries(3).name("x")).await, first, "no results hang on it");
        assert_eq!(
            of(task.clone().arg("c")).await,
            TaskDigest { call: of(task.clone().arg("c")).await.call, ..first }
        );
        assert_ne!(
            of(Task::command(&b"module"[..]).args(["ab"])).await.call,
            first.call,
            "where one ends counts"
        );
        let limited = of(task.clone().memory_bytes(1 << 20)).await;
        assert_eq!((limited.call, limited.files), (first.call, first.files));
        assert_ne!(limited.limits, first.limits);
        // By content, and not by times.
        std::fs::write(&path, "one").unwrap();
        assert_eq!(of(task.clone()).await, first);
        std::fs::write(&path, "two").unwrap();
        assert_ne!(of(task).await.files, first.files);
    }
}
