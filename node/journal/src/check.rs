//! Keyed hashes of rows: what was not written by this journal, or is no longer what was written, has another one. They
//! guard against bad disks and foreign rows, not against a user who can read the key from the same directory.

use weft_core::{JobId, PeerId};

use crate::head::Head;

/// Bytes of a hash that are kept.
pub(crate) const CHECK_BYTES: usize = 16;
/// The end of a hash, as kept in a row.
pub(crate) type Check = [u8; CHECK_BYTES];

/// The name of one journal file, drawn when it was made.
pub(crate) type Id = [u8; 16];

/// A row of the table of records, without its hash: a record, or a member's own word as record 0, with its number for a
/// kind.
pub(crate) struct RecordRow<'a> {
    pub(crate) id: i64,
    pub(crate) job: JobId,
    pub(crate) kind: i64,
    /// Ends of tasks that the log has told up to and with it.
    pub(crate) upto: i64,
    pub(crate) bytes: &'a [u8],
}

/// What checks the rows of one journal.
#[derive(Clone)]
pub(crate) struct Checker {
    key: [u8; 32],
}

impl Checker {
    pub(crate) fn new(journal: Id, node: PeerId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("weft journal, rows, 1");
        hasher.update(&journal).update(&node.0);
        Self { key: *hasher.finalize().as_bytes() }
    }

    /// A record. Its id is part of it: a record of an earlier log of the same job has another one.
    pub(crate) fn row(&self, row: &RecordRow<'_>) -> Check {
        let RecordRow { id, job, kind, upto, bytes } = row;
        let mut sum = self.sum(1);
        sum.update(&id.to_le_bytes()).update(&job.0.to_le_bytes());
        sum.update(&kind.to_le_bytes()).update(&upto.to_le_bytes()).update(bytes);
        end(&sum)
    }

    /// What says how long a job's log is.
    pub(crate) fn head(&self, job: JobId, head: &Head, is_gone: bool) -> Check {
        let mut sum = self.sum(2);
        sum.update(&job.0.to_le_bytes()).update(&[u8::from(is_gone)]);
        for number in [head.no, head.first, head.next, head.cuts, head.owns] {
            sum.update(&number.to_le_bytes());
        }
        end(&sum)
    }

    /// A line of the list of jobs, its parts in order.
    pub(crate) fn listing(&self, numbers: &[i64], texts: &[&[u8]]) -> Check {
        let mut sum = self.sum(3);
        for number in numbers {
            sum.update(&number.to_le_bytes());
        }
        for text in texts {
            part(&mut sum, text);
        }
        end(&sum)
    }

    /// A thing on a shelf.
    pub(crate) fn shelved(&self, shelf: i64, key: &[u8], bytes: &[u8]) -> Check {
        let mut sum = self.sum(4);
        sum.update(&shelf.to_le_bytes());
        part(&mut sum, key);
        sum.update(bytes);
        end(&sum)
    }

    fn sum(&self, table: u8) -> blake3::Hasher {
        let mut sum = blake3::Hasher::new_keyed(&self.key);
        sum.update(&[table]);
        sum
    }
}

/// What a journal says about itself; its key can't be the journal's, which is part of it.
pub(crate) fn about(journal: Id, node: PeerId, numbers: [i64; 5]) -> Check {
    let mut sum = blake3::Hasher::new_derive_key("weft journal, about, 1");
    sum.update(&journal).update(&node.0);
    for number in numbers {
        sum.update(&number.to_le_bytes());
    }
    end(&sum)
}

/// A part of changing length, so that no two lists of parts are one text.
fn part(sum: &mut blake3::Hasher, bytes: &[u8]) {
    sum.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes()).update(bytes);
}

fn end(sum: &blake3::Hasher) -> Check {
    let mut check = [0; CHECK_BYTES];
    sum.finalize_xof().fill(&mut check);
    check
}
