//! Recent programs: the common part of their task ids, hashed once, and the service time of a task. A user who submits
//! one task after another submits the same program each time. A bounded table; a forgotten program is hashed and
//! measured again.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

pub(crate) use crate::stats::Average;
use crate::task::{Program, TaskKey};

/// Programs kept; beyond it the least recently used one is forgotten.
const PROGRAMS_MAX: usize = 32;

/// One program.
#[derive(Debug)]
struct Known {
    program: Arc<Program>,
    key: TaskKey,
    service: Average,
}

/// The table, the most recently used program first.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    recent: VecDeque<Known>,
}

impl Programs {
    /// The key of a program, and the one copy of it that all its tasks share.
    pub(crate) fn intern(&mut self, program: &Arc<Program>) -> (Arc<Program>, TaskKey) {
        let same = |known: &Known| Arc::ptr_eq(&known.program, program) || known.program == *program;
        let place = self.recent.iter().position(same);
        if let Some(known) = self.recent.front().filter(|_| place == Some(0)) {
            return (Arc::clone(&known.program), known.key);
        }
        let known = match place.and_then(|place| self.recent.remove(place)) {
            Some(known) => known,
            None => {
                Known { program: Arc::clone(program), key: program.task_key(), service: Average::default() }
            }
        };
        let found = (Arc::clone(&known.program), known.key);
        self.recent.push_front(known);
        self.recent.truncate(PROGRAMS_MAX);
        found
    }

    /// Service time of a task of that program, in microseconds; 0 while unknown.
    pub(crate) fn service_us(&self, key: TaskKey) -> u32 {
        self.recent.iter().find(|known| known.key == key).map_or(0, |known| known.service.us())
    }

    /// Adds a measured service time, in microseconds.
    pub(crate) fn measure(&mut self, key: TaskKey, wall_us: u64) {
        if let Some(known) = self.recent.iter_mut().find(|known| known.key == key) {
            known.service.add(wall_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BlobId;
    use crate::task::{Entry, Limits, Payload, Profile};
    use alloc::vec::Vec;

    fn program(number: u8) -> Arc<Program> {
        Arc::new(Program {
            module: BlobId([number; 32]),
            module_bytes: 1,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        })
    }

    #[test]
    fn equal_programs_are_one_and_keep_their_pace() {
        let mut programs = Programs::default();
        let (first, key) = programs.intern(&program(1));
        programs.measure(key, 500);
        let (again, same) = programs.intern(&program(1));
        assert!(Arc::ptr_eq(&first, &again) && key == same && key == first.task_key());
        assert_eq!((programs.service_us(key), programs.recent.len()), (500, 1));
        programs.measure(key, 1300);
        assert_eq!(programs.service_us(key), 500 - 62 + 162);
    }

    #[test]
    fn the_table_is_bounded_and_the_used_stay() {
        let mut programs = Programs::default();
        let (_, key) = programs.intern(&program(0));
        programs.measure(key, 7);
        for number in 1..=200 {
            programs.intern(&program(number));
            programs.intern(&program(0));
        }
        assert_eq!((programs.recent.len(), programs.service_us(key)), (PROGRAMS_MAX, 7));
        assert_eq!(programs.service_us(program(1).task_key()), 0);
    }
}
