//! What a run keeps for its WASI calls: its arguments, environment, streams and table of descriptors. Plain data; the
//! calls are in the modules next to it.

use bytes::Bytes;
use wasmtime::Memory;
use weft_core::Program;

use super::table::Table;
use crate::sink::Sink;

/// What a run keeps for its WASI calls.
#[derive(Debug)]
pub(crate) struct Wasi {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) input: Bytes,
    pub(super) output: Sink,
    pub(super) errors: Sink,
    pub(super) table: Table,
    /// Found at the first call: looking an export up costs more than a small call.
    pub(super) memory: Option<Memory>,
}

impl Wasi {
    /// For a run that reads `input`, and whose standard output goes to `output` and standard error to `errors`.
    pub(crate) fn new(program: &Program, input: Bytes, output: &Sink, errors: &Sink) -> Self {
        Self {
            args: program.args.clone(),
            env: program.env.clone(),
            input,
            output: output.clone(),
            errors: errors.clone(),
            table: Table::new(),
            memory: None,
        }
    }
}
