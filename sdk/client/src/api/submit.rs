//! `POST /v1/jobs` in JSON: the way in for curl and for languages without a library of their own. One object in, one
//! line of JSON out per ended task, as it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, Join, Level, Policy, Profile, Recall, Recalled, Receipt, Usage, Verified};

/// A job, all of its tasks included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSubmission {
    /// The module: the id of a blob that was uploaded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The module itself, in base64, instead of `module`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm_base64: Option<String>,
    /// The module as WebAssembly text, instead of `module`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wat: Option<String>,
    /// The function to call; without one the module runs as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Arguments of a command, without its own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment of a command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What every task finds under `/in`.
    #[serde(default, skip_serializing_if = "FilesJson::is_none")]
    pub files: FilesJson,
    /// What the tasks may see of the real world: `pure`, `portable` or `impure`.
    #[serde(default)]
    pub profile: Profile,
    /// Bounds of each task; what is left out has its default.
    #[serde(default)]
    pub limits: LimitsJson,
    /// Labels that a worker must carry.
    #[serde(default)]
    pub needs: BTreeMap<String, String>,
    /// Slots of one node that each task holds while it runs, 1 to 1024.
    #[serde(default = "one")]
    pub slots: u32,
    /// The priority class.
    #[serde(default)]
    pub class: Class,
    /// How often a task that failed is tried again.
    #[serde(default)]
    pub retries: u32,
    /// How it wants to be treated beyond that; what is left out has its default.
    #[serde(default)]
    pub policy: Policy,
    /// Which known results of a pure task are used, so that it need not run: `own`, `mesh` or `off`; what the node is
    /// set to, if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<Recall>,
    /// Whether workers sign what they report; the result lines have a `receipt` then.
    #[serde(default)]
    pub receipts: bool,
    /// The jobs of this node that must have ended before any task begins: their ids, or the first digits, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// How those must have ended: `all_succeeded`, with every task done, or `all_ended`, anyhow.
    #[serde(default)]
    pub join: Join,
    /// One task per input.
    pub inputs: Vec<Value>,
    /// Answer with `{"job": id}` once it is accepted; the results are kept for `GET /v1/jobs/{id}/results`.
    #[serde(default)]
    pub detached: bool,
    /// What the job survives: `memory`, `disk` or `mesh`; see [`Level::of_none`] for one that names none. One above `memory` is not
    /// cancelled with its connection, and its results are kept as those of a detached one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// A name that it can be found by; up to 256 bytes, not hexadecimal digits alone, as ids are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels that it can be found by, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether every member of the mesh may cancel, retry and forget it, not only its submitter.
    #[serde(default)]
    pub shared: bool,
    /// A job of this node: at level `mesh` the same three nodes keep both, as long as the same nodes can keep jobs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keep_with: String,
}

fn one() -> u32 {
    1
}

/// Files of a submission: an archive that was uploaded before, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FilesJson {
    /// A tar archive in the node's store.
    Archive {
        /// Its id.
        blob: String,
    },
    /// One by one; none at all is nothing.
    List(Vec<FileJson>),
}

impl FilesJson {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for FilesJson {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// One file of a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileJson {
    /// Where it lies: `a/b.txt`, or the same with `/in/` before it.
    pub path: String,
    /// Its bytes as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Its bytes as a blob of the node's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

/// Bounds of a task; what is left out has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsJson {
    /// Running time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u32>,
    /// Linear memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Deterministic instruction budget; unmetered without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_bytes: Option<u64>,
    /// What a task keeps under `/tmp` and leaves in `/out`, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_bytes: Option<u64>,
    /// How many files and directories it makes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
}

/// Bytes in JSON: text where it is UTF-8, `{"base64": ..}` where not, `{"blob": id}` where they are in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// The bytes as text.
    Text(String),
    /// The bytes in standard base64.
    Base64 {
        /// The base64.
        base64: String,
    },
    /// A blob of the node's store.
    Blob {
        /// Its id.
        blob: String,
        /// Its length; not needed in a submission.
        #[serde(default)]
        bytes: u64,
    },
}

/// One ended task, a line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLine {
    /// The input's place in the submission, from 0.
    pub index: u32,
    /// Its place among all ends that were told of a job whose results are kept, from 0; absent where they flow to their
    /// submitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// `done`, `failed`, `trapped`, `limit`, `invalid`, `cancelled`, `lost`, `expired` or `skipped`.
    pub outcome: String,
    /// Why it is not `done`, where there is more to say than the outcome and the exit code do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The exit code, if the program ran to its end.
    pub exit_code: Option<i32>,
    /// Standard output, or the function's result.
    pub output: Value,
    /// Standard error.
    pub errors: Value,
    /// What it left in `/out`, a tar archive; absent when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Value>,
    /// The node that computed it.
    pub worker: Option<String>,
    /// How many attempts it took; 0 when the result was known.
    pub attempts: u32,
    /// Whether the result was known and nothing ran.
    #[serde(default)]
    pub memo: bool,
    /// Where it was known then: `here`, `home`, `worker` or `mesh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Recalled>,
    /// Running time.
    pub wall_us: u64,
    /// Everything that it used.
    pub usage: Usage,
    /// What the worker signed, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Who agreed and who differed, where several nodes computed the task: the node's own finding, not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}
