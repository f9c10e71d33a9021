//! Blobs that someone is to want soon: a job what a client brought for it, a client the result that it was told. Until then, and no
//! longer than a while, the index pins them. Pure bookkeeping.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use weft_core::BlobId;

/// Blobs that are awaited; beyond it the one whose time is over first is not.
const AWAITED_MAX: usize = 65_536;

/// Who is to want a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wanted {
    /// A job, which pins it.
    ByJob,
    /// A client, which takes it.
    ByClient,
}

/// Which they are.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    until: HashMap<(BlobId, Wanted), Instant>,
    /// By the end of their time.
    due: BTreeSet<(Instant, BlobId, Wanted)>,
}

impl Awaited {
    /// A blob is awaited. Itself, if it was already: it is not awaited twice for the same.
    pub(crate) fn begin(&mut self, id: BlobId, wanted: Wanted, until: Instant) -> Option<BlobId> {
        let before = self.until.insert((id, wanted), until);
        if let Some(until) = before {
            self.due.remove(&(until, id, wanted));
        }
        self.due.insert((until, id, wanted));
        before.map(|_| id)
    }

    /// One too many, which is awaited no more.
    pub(crate) fn surplus(&mut self) -> Option<BlobId> {
        let is_full = self.until.len() > AWAITED_MAX;
        let (_, first, wanted) = self.due.first().copied().filter(|_| is_full)?;
        self.end(first, wanted).then_some(first)
    }

    /// A blob is awaited so no more. True if it was.
    pub(crate) fn end(&mut self, id: BlobId, wanted: Wanted) -> bool {
        let Some(until) = self.until.remove(&(id, wanted)) else { return false };
        self.due.remove(&(until, id, wanted))
    }

    /// One whose time is over, which is awaited no more.
    pub(crate) fn over(&mut self, now: Instant) -> Option<BlobId> {
        let (_, first, wanted) = self.due.first().copied().filter(|(until, ..)| *until <= now)?;
        self.end(first, wanted).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn beyond_the_bound_the_one_whose_time_is_over_first_is_not_awaited() {
        let mut awaited = Awaited::default();
        let now = Instant::now();
        let id = |number: u64| BlobId::of(&number.to_le_bytes());
        for number in 0..AWAITED_MAX as u64 {
            // The first to come has the longest time.
            let until = now + Duration::from_millis(1_000_000 - number);
            assert_eq!(awaited.begin(id(number), Wanted::ByJob, until), None);
            assert_eq!(awaited.surplus(), None);
        }
        assert_eq!(awaited.begin(BlobId::of(b"more"), Wanted::ByClient, now + Duration::from_hours(1)), None);
        assert_eq!(awaited.surplus(), Some(id(AWAITED_MAX as u64 - 1)));
        assert_eq!((awaited.until.len(), awaited.due.len()), (AWAITED_MAX, AWAITED_MAX));
    }
}
