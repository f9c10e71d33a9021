//! Where one job's log is and where it ends: the journal's word for it, in memory and in its table of jobs.

/// Where one job's log is, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The job's number in the file: the upper half of its rows' ids.
    pub(crate) no: u32,
    /// The first record that counts: 1, or the newest snapshot.
    pub(crate) first: u32,
    /// The record that comes next.
    pub(crate) next: u32,
    /// How often its end was cut off. Only what is gathered from raw pages needs it: old records lie there, too.
    pub(crate) cuts: u32,
    /// How often a member's own word was written: the one that counts has this number.
    pub(crate) owns: u32,
    /// False in quarantine.
    pub(crate) sound: bool,
}
