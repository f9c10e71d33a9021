//! Detects that swap is added while a slot runs. The runtime finds a guest's dirty pages by a scan that misses
//! swapped-out pages, so engines with this scan are used only on machines without swap. If swap is added, the process
//! must end before a page of one guest can reach the next. Called by the slot's watchdog.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::engine_config::{SWAPS, lists_swap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that are read of the list: its first swap is on its second line.
const LIST_BYTES: usize = 4096;

/// The open list of swap devices: nothing can be opened later. It must be opened before the engines read the same list,
/// so that no change is missed.
#[derive(Debug)]
pub(super) struct Swaps(Option<File>);

impl Swaps {
    pub(super) fn open() -> Self {
        // If it can't be read, no engine relies on it.
        Self(File::open(SWAPS).ok())
    }

    /// For engines that don't rely on it.
    pub(super) fn ignored() -> Self {
        Self(None)
    }

    /// Whether swap was added since this was opened. One system call, unless the list has changed.
    pub(super) fn came(&self) -> bool {
        let Some(file) = &self.0 else { return false };
        let changed = PollFlags::PRI | PollFlags::ERR;
        let mut look = [PollFd::new(file, PollFlags::PRI)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = poll(&mut look, Some(&at_once));
        polled.is_ok() && look.iter().any(|fd| fd.revents().intersects(changed)) && is_listed(file)
    }
}

/// Whether the list names any swap now; true if it can't be read.
fn is_listed(file: &File) -> bool {
    let mut list = [0; LIST_BYTES];
    let read = file.read_at(&mut list, 0).ok().and_then(|read| list.get(..read));
    read.is_none_or(|list| lists_swap(&String::from_utf8_lossy(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stays_as_it_is_is_not_taken_for_another() {
        let swaps = Swaps::open();
        assert!(swaps.0.is_some(), "every Linux has the list");
        assert!(!swaps.came() && !swaps.came());
    }

    #[test]
    fn a_list_is_told_from_its_heading() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!lists_swap(heading) && !lists_swap(""));
        assert!(lists_swap(&format!("{heading}/swapfile file\t\t1020\t\t0\t\t-2\n")));
    }
}
