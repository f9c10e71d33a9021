//! [`Mesh`]: the way to the mesh, through the node on this machine.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt, stream};
use hyper::Method;

use crate::api;
use crate::error::Error;
use crate::frames::{self, ClientFrame, Payload};
use crate::http::{About, Call, Http, full};
use crate::input::Input;
use crate::map::{self, Map};
use crate::pack;
use crate::pump::Pump;
use crate::result::{TaskResult, hex, parse_id};
use crate::task::{Module, Task};

/// Modules remembered as uploaded; beyond it all are forgotten, and asked for again.
const UPLOADED_MAX: usize = 1024;
/// An upload of at least this length first asks whether the node has the bytes already.
const ASK_FIRST_BYTES: usize = 1 << 20;

/// The mesh, by way of the node on this machine. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Mesh {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    uploaded: Mutex<BTreeSet<[u8; 32]>>,
}

/// The default data directory: `WEFT_DATA_DIR`, or `weft` under `XDG_DATA_HOME` or `~/.local/share`. `None` when none of
/// these is set; a variable that is set to nothing is not set.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    data_dir_by(|name| std::env::var_os(name))
}

fn data_dir_by(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let shared = || set("XDG_DATA_HOME").map(|share| share.join("weft"));
    let home = || set("HOME").map(|home| home.join(".local/share/weft"));
    set("WEFT_DATA_DIR").or_else(shared).or_else(home)
}

impl Mesh {
    /// Connects to the node of the default data directory.
    ///
    /// # Errors
    /// As [`Mesh::connect_in`].
    pub async fn connect() -> Result<Self, Error> {
        let data_dir = default_data_dir().unwrap_or_else(|| PathBuf::from(".weft"));
        Self::connect_in(&data_dir).await
    }

    /// Connects to the node of a data directory.
    ///
    /// # Errors
    /// [`Error::NoNode`] when none runs there, [`Error::Unreachable`] when it does not answer.
    pub async fn connect_in(data_dir: &Path) -> Result<Self, Error> {
        let http = Http::open(data_dir).await?;
        Ok(Self { shared: Arc::new(Shared { http, uploaded: Mutex::default() }) })
    }

    /// The data directory of the node that this speaks to.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.http().data_dir()
    }

    /// Runs a task on one input and waits for its end. However the task ends is a result, not an error; see
    /// [`TaskResult::into_done`]. Dropping the future cancels the task, unless its job is kept: at [`crate::Level::Disk`] and
    /// [`crate::Level::Mesh`] it goes on.
    ///
    /// # Errors
    /// When the task could not be handed in, or the node went away meanwhile.
    pub async fn run(&self, task: &Task, input: impl Into<Input>) -> Result<TaskResult, Error> {
        let input = self.prepare_for(task.takes_parcels(), input.into()).await?;
        let parts = self.parts(task, false).await?;
        match self.run_once(task, parts, &input).await {
            // The node's store made room: bring module and files again.
            Err(Error::NotFound { .. }) if !matches!(task.module, Module::Blob(_)) => {
                let parts = self.parts(task, true).await?;
                self.run_once(task, parts, &input).await
            }
            result => result,
        }
    }

    async fn run_once(&self, task: &Task, parts: Parts, input: &Payload) -> Result<TaskResult, Error> {
        let module = parts.module;
        let mut body = map::open_frame(task, parts, false)?;
        for frame in [ClientFrame::Inputs(vec![input.clone()]), ClientFrame::Close] {
            frames::encode(&frame, &mut body).map_err(|error| Error::protocol(error.to_string()))?;
        }
        let results = map::start(self, full(body), module, Pump::finished()).await?;
        let mut results = results.of_task(task);
        let result = results.next().await;
        // Reading to the end frees the connection for the next task.
        while results.next().await.is_some() {}
        result.unwrap_or_else(|| Err(Error::protocol("a job of one task ended without a result")))
    }

    /// Runs a task once per input. The results come as the tasks end, in no order but that (see
    /// [`TaskResult::index`]). Inputs are taken as the mesh gets through them, and no faster than the results are
    /// taken here; a thousand inputs or a hundred million need the same memory. An input that can't be read has a
    /// result that says so, and the others go on. Dropping the results cancels what has not ended, unless the job is kept; see [`Map`].
    ///
    /// # Errors
    /// When the job could not be opened. What goes wrong later comes as an item, the last one.
    pub async fn map<S>(&self, task: &Task, inputs: S) -> Result<Map, Error>
    where
        S: Stream<Item = Input> + Send + 'static,
    {
        let parts = self.parts(task, true).await?;
        let module = parts.module;
        let open = map::open_frame(task, parts, false)?;
        let pump = Pump::default();
        let body = pump.body(self.clone(), open, task.handing(false), inputs);
        Ok(map::start(self, body, module, pump).await?.of_task(task))
    }

    /// [`Mesh::map`] for anything that can be iterated.
    ///
    /// # Errors
    /// As [`Mesh::map`].
    pub async fn map_iter<I>(&self, task: &Task, inputs: I) -> Result<Map, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input> + 'static,
        I::IntoIter: Send + 'static,
    {
        self.map(task, stream::iter(inputs.into_iter().map(Into::into))).await
    }

    /// The node that this speaks to.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn status(&self) -> Result<api::Status, Error> {
        self.http().json(Call::get("/v1/status", About { what: "status", name: "" }).soon()).await
    }

    /// The nodes of the mesh, as this one sees them; itself is not among them.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn peers(&self) -> Result<Vec<api::Peer>, Error> {
        self.http().json(Call::get("/v1/peers", About { what: "peers", name: "" }).soon()).await
    }

    /// Has the node forget a disconnected peer, by its whole id: it is no longer listed or dialled until it connects by
    /// itself.
    ///
    /// # Errors
    /// When there is no such peer, when it is connected, or when the node does not answer.
    pub async fn forget_peer(&self, id: &str) -> Result<(), Error> {
        if id.len() != 64 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::not_found("peer", id));
        }
        let call = Call::post(format!("/v1/peers/{id}/forget"), About { what: "peer", name: id });
        self.http().done(call).await
    }

    /// Tells the node to take no new work (or to take it again). What it holds goes on.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn drain(&self, on: bool) -> Result<(), Error> {
        let call = Call::post(format!("/v1/drain?on={on}"), About { what: "node", name: "" }).soon();
        self.http().done(call).await
    }

    /// Tells the node to end.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn stop(&self) -> Result<(), Error> {
        self.http().done(Call::post("/v1/stop", About { what: "node", name: "" }).soon()).await
    }

    pub(crate) fn http(&self) -> &Http {
        &self.shared.http
    }

    /// Whether to ask the node before an upload of that length.
    pub(crate) fn asks_first(bytes: usize) -> bool {
        bytes >= ASK_FIRST_BYTES
    }

    /// Makes sure that the node has the task's module and files.
    pub(crate) async fn parts(&self, task: &Task, check: bool) -> Result<Parts, Error> {
        let module = self.module(task, check).await?;
        Ok(Parts { module, files: self.task_files(task, check).await? })
    }

    /// The task's files as they travel; packs and uploads them the first time, and when the node has lost them.
    async fn task_files(&self, task: &Task, check: bool) -> Result<Payload, Error> {
        if task.files.is_empty() {
            return Ok(Payload::default());
        }
        let known = task.packed.lock().expect("no thread panics while it holds this lock").clone();
        match known {
            Some(inline @ Payload::Inline(_)) => return Ok(inline),
            Some(blob) if !check => return Ok(blob),
            Some(Payload::Blob { id, bytes }) if self.has_blob(&hex(&id)).await? => {
                return Ok(Payload::Blob { id, bytes });
            }
            Some(Payload::Blob { .. }) | None => {}
        }
        let packed = self.prepare_packed(pack::pack(task.files.clone()).await?).await?;
        *task.packed.lock().expect("no thread panics while it holds this lock") = Some(packed.clone());
        Ok(packed)
    }

    /// Makes sure that the node has the task's module. With `check` it asks even if it was seen there before.
    async fn module(&self, task: &Task, check: bool) -> Result<[u8; 32], Error> {
        if let Some(hash) = task.hash.get()
            && self.seen(hash, check).await?
        {
            return Ok(*hash);
        }
        let bytes = match &task.module {
            Module::Blob(id) => return parse_id(id),
            Module::Bytes(bytes) => bytes.clone(),
            Module::File(path) => {
                let read = tokio::fs::read(path).await;
                read.map_err(|source| Error::File { path: path.clone(), source })?.into()
            }
        };
        let hash = *blake3::hash(&bytes).as_bytes();
        if !self.seen(&hash, check).await? {
            self.put_bytes(bytes).await?;
        }
        let mut uploaded = self.shared.uploaded.lock().expect("no thread panics while it holds this lock");
        if uploaded.len() >= UPLOADED_MAX {
            uploaded.clear();
        }
        uploaded.insert(hash);
        drop(uploaded);
        // A file that changed meanwhile: the version that was read first counts for this task.
        Ok(*task.hash.get_or_init(|| hash))
    }

    async fn seen(&self, hash: &[u8; 32], check: bool) -> Result<bool, Error> {
        let known =
            self.shared.uploaded.lock().expect("no thread panics while it holds this lock").contains(hash);
        if known && !check { Ok(true) } else { self.has_blob(&hex(hash)).await }
    }

    /// Whether the node has a blob.
    ///
    /// # Errors
    /// When the node does not answer, or the id is none.
    pub async fn has_blob(&self, id: &str) -> Result<bool, Error> {
        let name = hex(&parse_id(id)?);
        let about = About { what: "blob", name: id };
        let call = Call { method: Method::HEAD, ..Call::get(format!("/v1/blobs/{name}"), about) };
        match self.http().done(call).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What a job needs before it can be opened.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) module: [u8; 32],
    pub(crate) files: Payload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_by_the_first_variable_that_is_set_to_something() {
        let by = |set: &[(&str, &str)]| {
            let of = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            data_dir_by(of).map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/anna");
        assert_eq!(by(&[("WEFT_DATA_DIR", "/x"), home]).as_deref(), Some("/x"));
        assert_eq!(by(&[("XDG_DATA_HOME", "/share"), home]).as_deref(), Some("/share/weft"));
        let empty = [("WEFT_DATA_DIR", ""), ("XDG_DATA_HOME", ""), home];
        assert_eq!(by(&empty).as_deref(), Some("/home/anna/.local/share/weft"));
        assert_eq!(by(&[]), None);
    }
}
