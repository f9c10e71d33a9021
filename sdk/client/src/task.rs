//! What to run: a module, the way into it, and its bounds. Building a task does nothing; a [`crate::Mesh`] runs it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::api::{Class, Join, Level, Policy, Profile, Recall};
use crate::frames::{JobRequest, Limits, Payload};
use crate::input::Input;
use crate::kept::Keep;

/// A WebAssembly module, wherever it is. It is uploaded to the node at most once per [`crate::Mesh`].
#[derive(Clone)]
pub enum Module {
    /// The module itself.
    Bytes(Bytes),
    /// A file that holds it; read when its task is first run, and not again for that task or its clones.
    File(PathBuf),
    /// A blob of the node's store, by its id.
    Blob(String),
}

impl Module {
    /// The module in that file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// The module with that blob id.
    #[must_use]
    pub fn blob(id: impl Into<String>) -> Self {
        Self::Blob(id.into())
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Blob(id) => write!(f, "blob {id}"),
        }
    }
}

impl From<Bytes> for Module {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Module {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Module {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Module {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl From<PathBuf> for Module {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&std::path::Path> for Module {
    fn from(path: &std::path::Path) -> Self {
        Self::File(path.to_owned())
    }
}

/// What to run on each input: a program and its bounds. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use weft_client::{Class, Module, Task};
///
/// let resize = Task::command(Module::file("resize.wasm"))
///     .args(["--width", "640"])
///     .env("QUALITY", "80")
///     .file("photos")
///     .file_bytes("palette.txt", "black\nwhite\n")
///     .timeout(Duration::from_secs(20))
///     .memory_bytes(512 << 20)
///     .need("arch", "x86_64")
///     .class(Class::Interactive)
///     .retries(2)
///     .backoff(Duration::from_secs(1), Duration::from_secs(60))
///     .deadline(Duration::from_secs(600));
/// # let _ = resize;
/// ```
#[derive(Clone, Debug)]
pub struct Task {
    pub(crate) module: Module,
    /// The module's hash, once known. Shared by all clones.
    pub(crate) hash: Arc<OnceLock<[u8; 32]>>,
    function: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    pub(crate) files: Vec<Given>,
    /// The files as they travel, once packed. Shared by all clones that have the same files.
    pub(crate) packed: Arc<Mutex<Option<Payload>>>,
    profile: Profile,
    limits: Limits,
    needs: Vec<(String, String)>,
    slots: u32,
    class: Class,
    retries: u32,
    pub(crate) policy: Policy,
    memo: Option<Recall>,
    receipts: bool,
    streamed: bool,
    parcels: bool,
    pub(crate) after: Vec<String>,
    pub(crate) join: Join,
    pub(crate) keep: Keep,
}

/// Something under `/in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A file or a directory of this machine, under that name; without one, under its own.
    Path(PathBuf, Option<String>),
    /// These bytes, under that name.
    Bytes(String, Bytes),
    /// A whole archive, made before; no other files.
    Archive(Input),
}

impl Task {
    /// Runs the module as a WASI command: the input is its standard input, its standard output the result.
    #[must_use]
    pub fn command(module: impl Into<Module>) -> Self {
        Self::new(module.into(), None)
    }

    /// Calls one function of a module built with weft-guest: bytes in, bytes out. The fast way for small tasks.
    #[must_use]
    pub fn function(module: impl Into<Module>, name: impl Into<String>) -> Self {
        Self::new(module.into(), Some(name.into()))
    }

    fn new(module: Module, function: Option<String>) -> Self {
        Self {
            module,
            hash: Arc::default(),
            function,
            args: Vec::new(),
            env: Vec::new(),
            files: Vec::new(),
            packed: Arc::default(),
            profile: Profile::Pure,
            limits: Limits::default(),
            needs: Vec::new(),
            slots: 1,
            class: Class::default(),
            retries: 0,
            policy: Policy::default(),
            memo: None,
            receipts: false,
            streamed: false,
            parcels: false,
            after: Vec::new(),
            join: Join::default(),
            keep: Keep::default(),
        }
    }

    /// Adds an argument of a command; its own name is not among them.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments of a command.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in the environment of a command. Of two values for one name the last one counts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.env.retain(|(set, _)| *set != name);
        self.env.push((name, value.into()));
        self
    }

    /// Puts a file, or a directory with everything in it, under `/in`, by its own name. It is read when the task is
    /// first run, and not again for that task or its clones. Tasks see files read-only; modes other than executable,
    /// owners and times do not travel. A symbolic link inside a directory must stay in it.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.give(Given::Path(path.into(), None))
    }

    /// [`Task::file`] under another name: `/in/NAME`, or `/in` for what is in a directory.
    #[must_use]
    pub fn file_as(self, path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        self.give(Given::Path(path.into(), Some(name.into())))
    }

    /// Puts these bytes at `/in/NAME`.
    #[must_use]
    pub fn file_bytes(self, name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.give(Given::Bytes(name.into(), bytes.into()))
    }

    /// Puts what a tar archive holds under `/in`, such as what another task left in `/out`. In the place of all files
    /// that were given before.
    #[must_use]
    pub fn files_archive(mut self, archive: impl Into<Input>) -> Self {
        self.files.clear();
        self.give(Given::Archive(archive.into()))
    }

    fn give(mut self, given: Given) -> Self {
        self.files.push(given);
        // Clones made before have other files.
        self.packed = Arc::default();
        self
    }

    /// Bounds the running time, in whole milliseconds, at least one and at most 49 days. Default: one minute.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.wall_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        self
    }

    /// Bounds the linear memory. Default: 256 MiB.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = Some(bytes);
        self
    }

    /// Bounds the instructions, deterministically. Metering costs running time; without a bound there is none.
    #[must_use]
    pub fn fuel(mut self, fuel: u64) -> Self {
        self.limits.fuel = Some(fuel);
        self
    }

    /// Bounds the output. Default: 64 MiB.
    #[must_use]
    pub fn output_bytes(mut self, bytes: u64) -> Self {
        self.limits.output_bytes = Some(bytes);
        self
    }

    /// Bounds standard error. Default: 1 MiB.
    #[must_use]
    pub fn errors_bytes(mut self, bytes: u64) -> Self {
        self.limits.errors_bytes = Some(bytes);
        self
    }

    /// Bounds what the task keeps under `/tmp` and leaves in `/out`, together. Default: 64 MiB.
    #[must_use]
    pub fn files_bytes(mut self, bytes: u64) -> Self {
        self.limits.files_bytes = Some(bytes);
        self
    }

    /// Bounds how many files and directories it makes there. Default: 10,000.
    #[must_use]
    pub fn files_count(mut self, count: u32) -> Self {
        self.limits.files = Some(count);
        self
    }

    /// Asks for nodes that carry this label. A job that no node fits waits, and says why. `node` is one node, by its name, its id, or
    /// the first eight digits of that; a name or digits of none, or of several, are refused.
    #[must_use]
    pub fn need(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.needs.push((label.into(), value.into()));
        self
    }

    /// Takes `slots` slots of one node while it runs, 1 to 1024; it waits until they are free together. The task has one
    /// thread all the same and the other slots idle: this is for what wants a machine's memory or caches to itself.
    /// Default: 1.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// Says how urgent it is. Default: [`Class::Batch`].
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// How often a task that failed, trapped or reached a limit is tried again. Default: never. A task that was lost
    /// with its worker is tried again in any case.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The same bytes on every processor, the bits of a NaN included, at a cost to float-heavy code.
    #[must_use]
    pub fn portable(mut self) -> Self {
        self.profile = Profile::Portable;
        self
    }

    /// Real clock and randomness; the result is never reused.
    #[must_use]
    pub fn impure(mut self) -> Self {
        self.profile = Profile::Impure;
        self
    }

    /// Which known results of a pure task are used, so that it need not run; `false` is [`Recall::Off`]. Default: what
    /// the node is set to, which is [`Recall::Own`] unless its user says otherwise.
    #[must_use]
    pub fn memo(mut self, memo: impl Into<Recall>) -> Self {
        self.memo = Some(memo.into());
        self
    }

    /// Asks the workers to sign what they report; see [`crate::TaskResult::receipt`]. Known results are no answer
    /// then: nothing was run that could be signed.
    #[must_use]
    pub fn receipts(mut self) -> Self {
        self.receipts = true;
        self.memo = Some(Recall::Off);
        self
    }

    /// Passes on what a task prints while it runs; [`crate::Map::next_told`] takes it. Attached jobs only.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }

    /// Inputs may be a [`crate::Parcel`]: each task has arguments and files of its own besides these. For commands only.
    #[must_use]
    pub fn parcels(mut self) -> Self {
        self.parcels = true;
        self
    }

    pub(crate) fn takes_parcels(&self) -> bool {
        self.parcels
    }

    pub(crate) fn request(&self, module: [u8; 32], files: Payload, detached: bool) -> JobRequest {
        JobRequest {
            module,
            function: self.function.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            files,
            profile: self.profile,
            limits: self.limits,
            needs: self.needs.clone(),
            class: self.class,
            retries: self.retries,
            policy: self.policy,
            memo: self.memo,
            receipts: self.receipts,
            stream: self.streamed && !detached,
            detached,
            slots: self.slots,
            after: self.after.clone(),
            join: self.join,
            parcels: self.parcels,
            level: self.keep.level.unwrap_or_else(|| Level::of_none(detached)),
            name: self.keep.name.clone(),
            labels: self.keep.labels.clone(),
            shared: self.keep.shared,
            keep_with: self.keep.keep_with.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let task = Task::command(Vec::new()).env("A", "1").env("B", "2").env("A", "3");
        assert_eq!(task.env, [("B".into(), "2".into()), ("A".into(), "3".into())]);
    }
}
