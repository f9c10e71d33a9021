//! The number of this node's disk, by which a job's trio knows its members: drawn at random with a new journal, and drawn anew
//! when the journal may lack something that this node has acknowledged to others.
//!
//! It is written with the number of this life of the journal before anybody is told of it. A life that ended before that is
//! missed in the next one, which draws anew: whether *its* journal was whole is not known any more.

use weft_journal::{Entry, Journal, Opened, Shelf};

use super::news::News;

/// Its name on its shelf.
pub(super) const KEY: &[u8] = b"disk";

/// What is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The number, never 0.
    disk: u64,
    /// The last life of the journal that used it.
    opens: u64,
}

impl Written {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (disk, opens) = bytes.split_first_chunk::<8>()?;
        let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let (disk, opens) = (number(*disk), number(opens.try_into().ok()?));
        (disk != 0).then_some(Self { disk, opens })
    }

    fn encode(self) -> Vec<u8> {
        [self.disk.to_le_bytes(), self.opens.to_le_bytes()].concat()
    }
}

/// The number in this life, on the disk when this returns; 0 if it can't be written, and then this node keeps nothing. Drawn
/// anew, too, if something `is_lost` of what this node keeps with others.
pub(super) fn settle(
    journal: &Journal,
    opened: &Opened,
    news: &News,
    found: Option<Written>,
    is_lost: bool,
) -> u64 {
    let opens = opened.stamp.opens;
    let is_whole = opened.continuity.is_whole() && !is_lost;
    let before = found.filter(|found| is_whole && found.opens.checked_add(1) == Some(opens));
    let Some(disk) = before.map(|found| found.disk).or_else(draw) else { return 0 };
    let bytes = Written { disk, opens }.encode();
    let put = Entry::Put { shelf: Shelf::Disk, key: KEY.to_vec(), bytes };
    match journal.append(vec![put]) {
        Ok(append) if news.wait_written(append) => disk,
        Ok(_) => 0,
        Err(refused) => {
            tracing::warn!(%refused, "the number of this node's disk was not written: it keeps no jobs of others");
            0
        }
    }
}

/// A number that no disk had before.
fn draw() -> Option<u64> {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(u64::from_le_bytes(bytes).max(1)),
        Err(error) => {
            tracing::warn!(%error, "the operating system gives no random bytes: this node keeps no jobs of others");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let written = Written { disk: 0x1122_3344_5566_7788, opens: 9 };
        assert_eq!(Written::decode(&written.encode()), Some(written));
        for bad in [&[1; 15][..], &[1; 17], &[], &[0; 16]] {
            assert_eq!(Written::decode(bad), None, "{bad:?}");
        }
    }
}
