//! The programs that a slot has loaded, from code that its node compiled. The node decides when one is unloaded, so
//! that both know what is loaded.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use weft_core::{Outcome, Payload, Program};

use super::payload::read_whole;
use crate::code::{Code, CodeInfo};
use crate::module::Prepared;
use crate::sandbox::Sandbox;

/// Programs and code by number.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    code: BTreeMap<u32, Loading>,
    programs: BTreeMap<u32, Entry>,
}

/// A loaded module, or how every task of it ends.
type Loading = Result<Arc<Prepared>, Outcome>;

/// A loaded program, or how every task of it ends.
type Entry = Result<Ready, Outcome>;

/// A loaded program.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) program: Arc<Program>,
    pub(super) prepared: Arc<Prepared>,
    /// Files under `/in`: a tar archive.
    pub(super) files: Bytes,
}

impl Loaded {
    pub(super) fn add_code(&mut self, sandbox: &Sandbox, number: u32, info: CodeInfo, file: OwnedFd) {
        let code = Code::from_file(info, file.into());
        let code = code.map_err(|error| Outcome::Lost(format!("the slot can't use the code: {error}")));
        let loaded = code.and_then(|code| sandbox.load(&code).map_err(|error| error.outcome()));
        self.code.insert(number, loaded);
    }

    pub(super) fn add_program(
        &mut self,
        number: u32,
        code: u32,
        program: Arc<Program>,
        files: Option<OwnedFd>,
    ) {
        let entry = self.ready(code, program, files);
        self.programs.insert(number, entry);
    }

    fn ready(&self, code: u32, program: Arc<Program>, files: Option<OwnedFd>) -> Entry {
        let lost = |text: &str| Outcome::Lost(text.to_owned());
        let code = self.code.get(&code).ok_or_else(|| lost("the slot was not given the program's code"))?;
        let prepared = code.clone()?;
        let files = match (&program.files, files) {
            (Payload::Inline(bytes), _) => Bytes::from_owner(Arc::clone(bytes)),
            (Payload::Blob { bytes, .. }, Some(file)) => read_whole(&file, *bytes)
                .map_err(|error| Outcome::Lost(format!("the program's files can't be read: {error}")))?,
            (Payload::Blob { .. }, None) => return Err(lost("the slot was not given the program's files")),
        };
        Ok(Ready { program, prepared, files })
    }

    pub(super) fn forget_program(&mut self, number: u32) {
        self.programs.remove(&number);
    }

    pub(super) fn forget_code(&mut self, number: u32) {
        self.code.remove(&number);
    }

    /// The program of this number.
    ///
    /// # Errors
    /// How a task of it ends.
    pub(super) fn program(&self, number: u32) -> Result<&Ready, Outcome> {
        let missing = || Err(Outcome::Lost("the slot was not given the program".into()));
        match self.programs.get(&number).map_or_else(missing, |entry| entry.as_ref().map_err(Clone::clone)) {
            Ok(ready) => Ok(ready),
            Err(outcome) => Err(outcome),
        }
    }
}
