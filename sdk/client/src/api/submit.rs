//! `POST /v1/jobs` in JSON: the way in for curl and for languages without a library of their own. One object in, one
//! line of JSON out per ended task, as it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Class;

/// A job, all of its tasks included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSubmission {
    /// The module: the id of a blob that was uploaded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The module itself, in base64, instead of `module`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm_base64: Option<String>,
    /// The function to call; without one the module runs as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Arguments of a command, without its own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment of a command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Bounds of each task; what is left out has its default.
    #[serde(default)]
    pub limits: LimitsJson,
    /// Labels that a worker must carry.
    #[serde(default)]
    pub needs: BTreeMap<String, String>,
    /// How urgent.
    #[serde(default)]
    pub class: Class,
    /// How often a task that failed is tried again.
    #[serde(default)]
    pub retries: u32,
    /// One task per input.
    pub inputs: Vec<Value>,
    /// Answer with `{"job": id}` at once; the results are kept for `GET /v1/jobs/{id}/results`.
    #[serde(default)]
    pub detached: bool,
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
    /// `done`, `failed`, `trapped`, `limit`, `invalid`, `cancelled` or `lost`.
    pub outcome: String,
    /// The outcome in words, when it is not `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The exit code, if the program ran to its end.
    pub exit_code: Option<i32>,
    /// Standard output, or the function's result.
    pub output: Value,
    /// Standard error.
    pub errors: Value,
    /// The node that ran it.
    pub worker: Option<String>,
    /// How many attempts it took.
    pub attempts: u32,
    /// Running time.
    pub wall_us: u64,
}
