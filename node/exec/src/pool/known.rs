//! The programs and the code that one slot was sent and has not been told to forget.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::programs::Runnable;
use crate::slot::socket::Outgoing;
use crate::slot::wire::ToSlot;

/// Programs that one slot keeps loaded.
const PROGRAMS_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the program's number: its code's number, and when it was used last.
    programs: BTreeMap<u32, (u32, u64)>,
    uses: u64,
}

impl Known {
    /// Sends what the slot needs for a task of this program and does not have; `in_use` says which programs must stay.
    ///
    /// # Errors
    /// When no file is left.
    pub(super) fn introduce(
        &mut self,
        runnable: &Runnable<'_>,
        out: &mut Outgoing,
        in_use: impl Fn(u32) -> bool,
    ) -> io::Result<()> {
        self.uses += 1;
        let Runnable { program_number: number, code_number: code, .. } = *runnable;
        if let Some(known) = self.programs.get_mut(&number)
            && known.0 == code
        {
            known.1 = self.uses;
            return Ok(());
        }
        if !self.has_code(code) {
            let file = Arc::new(OwnedFd::from(runnable.code.file()?));
            out.push(&ToSlot::Code { number: code, info: *runnable.code.info() }, [file]);
        }
        let program = Arc::clone(runnable.program);
        out.push(&ToSlot::Program { number, code, program }, runnable.files.cloned());
        if let Some((old, _)) = self.programs.insert(number, (code, self.uses)) {
            self.forget_code(old, out);
        }
        self.forget_oldest(number, out, in_use);
        Ok(())
    }

    /// Forgets the program that was used longest ago, if there are too many.
    fn forget_oldest(&mut self, new: u32, out: &mut Outgoing, in_use: impl Fn(u32) -> bool) {
        if self.programs.len() <= PROGRAMS_MAX {
            return;
        }
        let free = self.programs.iter().filter(|(number, _)| **number != new && !in_use(**number));
        let oldest = free.min_by_key(|(_, known)| known.1).map(|(number, known)| (*number, known.0));
        let Some((number, code)) = oldest else { return };
        self.programs.remove(&number);
        out.push(&ToSlot::ForgetProgram(number), []);
        self.forget_code(code, out);
    }

    fn forget_code(&self, code: u32, out: &mut Outgoing) {
        if !self.has_code(code) {
            out.push(&ToSlot::ForgetCode(code), []);
        }
    }

    fn has_code(&self, code: u32) -> bool {
        self.programs.values().any(|(known, _)| *known == code)
    }
}
