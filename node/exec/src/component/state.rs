//! State of a run for the host of components: arguments, environment, streams and resources. Plain data; the calls are
//! in the other modules here.

use bytes::Bytes;
use wasmtime_wasi::p2::{StreamError, StreamResult};
use weft_core::Program;

use crate::component::table::Table;
use crate::sink::Sink;

/// A command's first argument, its own name.
const PROGRAM_NAME: &str = "main.wasm";

/// State of a run for the host of components.
pub(crate) struct ComponentState {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// Standard input that is not read yet.
    pub(super) input: Bytes,
    pub(super) output: Sink,
    pub(super) errors: Sink,
    pub(super) table: Table,
}

impl ComponentState {
    pub(crate) fn new(program: &Program, input: Bytes, output: &Sink, errors: &Sink) -> Self {
        let args = std::iter::once(PROGRAM_NAME.to_owned()).chain(program.args.iter().cloned()).collect();
        let env = program.env.clone();
        Self { args, env, input, output: output.clone(), errors: errors.clone(), table: Table::default() }
    }

    pub(super) fn read_stdin(&mut self, len: usize) -> StreamResult<Vec<u8>> {
        if self.input.is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.input.split_to(len.min(self.input.len())).to_vec())
    }
}
