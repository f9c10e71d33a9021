//! State of a run for its WASI calls: arguments, environment, streams and open descriptors. Plain data; the calls are
//! in the other modules here.

use bytes::Bytes;
use wasmtime::Memory;
use weft_core::Program;

use super::table::Table;
use crate::sink::Sink;

/// State of a run for its WASI calls.
#[derive(Debug)]
pub(crate) struct Wasi {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) input: Bytes,
    pub(super) output: Sink,
    pub(super) errors: Sink,
    pub(super) table: Table,
    /// Looked up at the first call, for a look-up costs more than a small call.
    pub(super) memory: Option<Memory>,
}

impl Wasi {
    /// For a run with this standard input, standard output and standard error.
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
