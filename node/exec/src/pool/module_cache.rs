//! The programs and code that one slot has loaded.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::programs::Runnable;
use crate::slot::socket::Outgoing;
use crate::slot::wire::ToSlot;

/// Most programs that one slot keeps loaded.
const PROGRAMS_MAX: usize = 32;
/// Most bytes of files for `/in` that one slot keeps in memory for programs that have no task there, together with the
/// newest.
const FILES_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct ModuleCache {
    /// By number of the program.
    programs: BTreeMap<u32, Sent>,
    uses: u64,
}

/// A program that a slot has loaded.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Number of its code.
    code: u32,
    /// When it was used last.
    used: u64,
    /// Bytes that the slot has in memory for it: the files under `/in`.
    files_bytes: u64,
}

impl ModuleCache {
    /// Sends the program and code that the slot lacks for a task. `in_use` returns whether a program must stay loaded.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(super) fn send_missing(
        &mut self,
        runnable: &Runnable<'_>,
        out: &mut Outgoing,
        in_use: impl Fn(u32) -> bool,
    ) -> io::Result<()> {
        self.uses += 1;
        let Runnable { program_number: number, code_number: code, .. } = *runnable;
        if let Some(known) = self.programs.get_mut(&number)
            && known.code == code
        {
            known.used = self.uses;
            return Ok(());
        }
        if !self.has_code(code) {
            let file = Arc::new(OwnedFd::from(runnable.code.file()?));
            out.push(&ToSlot::Code { number: code, info: *runnable.code.info() }, [file]);
        }
        let program = Arc::clone(runnable.program);
        let files_bytes = if runnable.files.is_some() { program.files.bytes_len() } else { 0 };
        out.push(&ToSlot::Program { number, code, program }, runnable.files.cloned());
        let sent = Sent { code, used: self.uses, files_bytes };
        if let Some(old) = self.programs.insert(number, sent) {
            self.forget_code(old.code, out);
        }
        while self.is_too_much() && self.forget_oldest(number, out, &in_use) {}
        Ok(())
    }

    /// Whether the slot has that program with that code.
    pub(super) fn has(&self, program: u32, code: u32) -> bool {
        self.programs.get(&program).is_some_and(|known| known.code == code)
    }

    fn is_too_much(&self) -> bool {
        let files_bytes =
            self.programs.values().fold(0, |all: u64, sent| all.saturating_add(sent.files_bytes));
        self.programs.len() > PROGRAMS_MAX || files_bytes > FILES_BYTES_MAX
    }

    /// Unloads the least recently used program; false if none may be unloaded.
    fn forget_oldest(&mut self, new: u32, out: &mut Outgoing, in_use: &impl Fn(u32) -> bool) -> bool {
        let free = self.programs.iter().filter(|(number, _)| **number != new && !in_use(**number));
        let oldest = free.min_by_key(|(_, sent)| sent.used).map(|(number, sent)| (*number, sent.code));
        let Some((number, code)) = oldest else { return false };
        self.programs.remove(&number);
        out.push(&ToSlot::ForgetProgram(number), []);
        self.forget_code(code, out);
        true
    }

    fn forget_code(&self, code: u32, out: &mut Outgoing) {
        if !self.has_code(code) {
            out.push(&ToSlot::ForgetCode(code), []);
        }
    }

    fn has_code(&self, code: u32) -> bool {
        self.programs.values().any(|sent| sent.code == code)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pool::programs::tests::program;

    #[test]
    fn a_slot_forgets_files_before_they_fill_its_memory() {
        let (mut known, mut out) = (ModuleCache::default(), Outgoing::default());
        let file = Arc::new(OwnedFd::from(crate::pool::blobs::in_memory(b"files").unwrap()));
        for number in 0..5_u8 {
            let (program, code) = program(number);
            let runnable = Runnable {
                program_number: u32::from(number),
                program: &program,
                files: Some(&file),
                code_number: u32::from(number),
                code: &code,
                expected: Duration::ZERO,
            };
            known.send_missing(&runnable, &mut out, |number| number == 1).unwrap();
        }
        let left: Vec<u32> = known.programs.keys().copied().collect();
        assert_eq!(left, [1, 4], "what is in use stays, and the newest");
    }
}
