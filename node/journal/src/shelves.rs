//! Things by key that are in no job's log: outcomes not delivered yet, the index of remembered results, schedules,
//! names of functions, bans, and what a node knows of jobs that several keep. Each shelf has a bound, beyond which its oldest thing goes.

use rusqlite::{Connection, params};

use crate::check::Checker;
use crate::schema;
use crate::shelf::{SHELVES, Shelf};

/// Bits of a thing's number below its shelf's: numbers rise on each shelf, so the lowest is the oldest.
const SHELF_SHIFT: u32 = 48;

/// What the writer knows of each shelf without asking: how much is on it, and the next number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelves {
    counts: [u64; SHELVES],
    next: [i64; SHELVES],
}

impl Shelves {
    /// Notes a thing that was read back.
    pub(crate) fn note(&mut self, shelf: Shelf, id: i64) {
        if let Some(count) = self.counts.get_mut(shelf.place()) {
            *count += 1;
        }
        if let Some(next) = self.next.get_mut(shelf.place()) {
            *next = (*next).max((id & ((1 << SHELF_SHIFT) - 1)) + 1);
        }
    }

    pub(crate) fn put(
        &mut self,
        db: &Connection,
        checker: &Checker,
        shelf: Shelf,
        key: &[u8],
        bytes: &[u8],
    ) -> rusqlite::Result<()> {
        self.put_below(shelf.things_max(), db, checker, shelf, key, bytes)
    }

    /// Puts a thing on a shelf that has at most `most` of them.
    fn put_below(
        &mut self,
        most: u64,
        db: &Connection,
        checker: &Checker,
        shelf: Shelf,
        key: &[u8],
        bytes: &[u8],
    ) -> rusqlite::Result<()> {
        self.take(db, shelf, key)?;
        let Some(next) = self.next.get_mut(shelf.place()) else { return Ok(()) };
        let id = shelf.number() << SHELF_SHIFT | *next;
        *next += 1;
        let sum = checker.shelved(shelf.number(), key, bytes);
        schema::write_thing(db, id, shelf, key, bytes, sum)?;
        if let Some(count) = self.counts.get_mut(shelf.place()) {
            *count += 1;
            if *count > most {
                *count -= 1;
                return drop_oldest(db, shelf);
            }
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, db: &Connection, shelf: Shelf, key: &[u8]) -> rusqlite::Result<()> {
        let gone = db
            .prepare_cached(&format!("DELETE FROM {} WHERE shelf = ?1 AND key = ?2", shelf.table()))?
            .execute(params![shelf.number(), key])?;
        if let Some(count) = self.counts.get_mut(shelf.place()) {
            *count = count.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

fn drop_oldest(db: &Connection, shelf: Shelf) -> rusqlite::Result<()> {
    let (from, to) = (shelf.number() << SHELF_SHIFT, (shelf.number() + 1) << SHELF_SHIFT);
    let table = shelf.table();
    db.prepare_cached(&format!(
        "DELETE FROM {table} WHERE id = (SELECT min(id) FROM {table} WHERE id >= ?1 AND id < ?2)"
    ))?
    .execute(params![from, to])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_bound_each_shelf_loses_its_own_oldest_thing() {
        let dir = tempfile::tempdir().unwrap();
        let db = schema::create(&dir.path().join("journal.db")).unwrap();
        let checker = Checker::new([1; 16], weft_core::PeerId([2; 32]));
        let mut shelves = Shelves::default();
        for key in 1..=5 {
            for shelf in Shelf::ALL {
                shelves.put_below(3, &db, &checker, shelf, &[key], &[0]).unwrap();
            }
        }
        for shelf in Shelf::ALL {
            let sql = format!("SELECT key FROM {} WHERE shelf = ?1 ORDER BY id", shelf.table());
            let mut statement = db.prepare(&sql).unwrap();
            let keys = statement.query_map([shelf.number()], |row| row.get::<_, Vec<u8>>(0)).unwrap();
            assert_eq!(keys.map(Result::unwrap).collect::<Vec<_>>(), [[3], [4], [5]], "{shelf:?}");
        }
    }
}
