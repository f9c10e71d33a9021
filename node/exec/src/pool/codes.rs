//! Where the pool of processes has its code from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use weft_core::{Outcome, Program};

use crate::code::Code;
use crate::sandbox::{Sandbox, SandboxError};

#[derive(Debug)]
pub(super) struct Codes {
    sandbox: Sandbox,
}

impl Codes {
    pub(super) fn new() -> Result<Self, SandboxError> {
        Ok(Self { sandbox: Sandbox::for_slot(0)? })
    }

    pub(super) fn make(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Code>, Outcome> {
        self.sandbox.code(program, read).map(Arc::new).map_err(|error| error.outcome())
    }
}
