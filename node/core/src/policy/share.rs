//! Fair share between owners: the owner that used least of a worker's time goes first. Owners are charged by time and
//! not by tasks, so that many short tasks and few long ones count the same.
//!
//! Deficit round robin (Shreedhar and Varghese, 1996) with the smallest possible rounds: instead of credits that are
//! granted each round, used time is summed up, and the least sum of the owners with waiting tasks is the floor for all.
//! A new or returning owner starts at the floor: idle time earns no credit. A task is charged by an estimate when it is
//! taken and settled by the time that it used. Pure arithmetic; the worker drives it.

use alloc::collections::BTreeMap;

use crate::id::PeerId;

/// Owners whose use is kept; beyond it the one that used least is forgotten and starts at the floor.
const OWNERS_MAX: usize = 4096;

/// Time used by each owner.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    used_us: BTreeMap<PeerId, u64>,
    floor_us: u64,
}

impl Shares {
    /// Used time of an owner, in microseconds; meaningful only in comparison with other owners.
    pub(crate) fn used_us(&self, owner: PeerId) -> u64 {
        self.used_us.get(&owner).map_or(self.floor_us, |used| (*used).max(self.floor_us))
    }

    /// Raises the floor to the least used time of the owners with waiting tasks.
    pub(crate) fn raise_floor(&mut self, wanting: impl Iterator<Item = PeerId>) {
        let least = wanting.map(|owner| self.used_us(owner)).min();
        self.floor_us = least.unwrap_or(self.floor_us).max(self.floor_us);
    }

    /// Charges an owner for a task of the estimated time.
    pub(crate) fn charge(&mut self, owner: PeerId, us: u64) {
        if let Some(used) = self.used_us.get_mut(&owner) {
            *used = (*used).max(self.floor_us).saturating_add(us);
            return;
        }
        if self.used_us.len() >= OWNERS_MAX {
            let least = self.used_us.iter().min_by_key(|(_, used)| **used).map(|(owner, _)| *owner);
            least.map(|owner| self.used_us.remove(&owner));
        }
        self.used_us.insert(owner, self.floor_us.saturating_add(us));
    }

    /// Replaces a charge by the time that was really used.
    pub(crate) fn settle(&mut self, owner: PeerId, charged_us: u64, took_us: u64) {
        if let Some(used) = self.used_us.get_mut(&owner) {
            *used = used.saturating_add(took_us).saturating_sub(charged_us);
        } else {
            self.charge(owner, took_us.saturating_sub(charged_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PeerId = PeerId([1; 32]);
    const TWO: PeerId = PeerId([2; 32]);
    const THREE: PeerId = PeerId([3; 32]);

    /// Serves the owner that used least, `times` times, and returns the time that each got. `wanting` has each owner's
    /// service time.
    fn serve(shares: &mut Shares, times: u32, wanting: &[(PeerId, u64)]) -> BTreeMap<PeerId, u64> {
        let mut had: BTreeMap<PeerId, u64> = BTreeMap::new();
        for _ in 0..times {
            shares.raise_floor(wanting.iter().map(|(owner, _)| *owner));
            let next = wanting.iter().min_by_key(|(owner, _)| shares.used_us(*owner));
            let Some((owner, us)) = next.copied() else { continue };
            shares.charge(owner, 500);
            shares.settle(owner, 500, us);
            *had.entry(owner).or_default() += us;
        }
        had
    }

    #[test]
    fn time_is_shared_and_not_tasks() {
        // service time of each owner's tasks: all get the same time, within the longest task
        let tables: [&[(PeerId, u64)]; 3] =
            [&[(ONE, 100), (TWO, 10_000)], &[(ONE, 1), (TWO, 1000), (THREE, 300)], &[(ONE, 700), (TWO, 700)]];
        for table in tables {
            let had = serve(&mut Shares::default(), 10_000, table);
            let longest = table.iter().map(|(_, us)| *us).max().unwrap();
            let (least, most) = (had.values().min().unwrap(), had.values().max().unwrap());
            assert!(most - least <= longest, "{had:?}");
        }
    }

    #[test]
    fn who_was_away_has_no_credit_for_it() {
        let mut shares = Shares::default();
        serve(&mut shares, 10, &[(ONE, 100), (TWO, 100)]);
        serve(&mut shares, 1000, &[(ONE, 100)]);
        let had = serve(&mut shares, 20, &[(ONE, 100), (TWO, 100)]);
        assert_eq!((had.get(&ONE), had.get(&TWO)), (Some(&1000), Some(&1000)));
    }

    #[test]
    fn owners_are_remembered_within_a_bound_and_numbers_do_not_wrap() {
        let mut shares = Shares::default();
        for number in 0..10_000u32 {
            let mut name = [0; 32];
            name[..4].copy_from_slice(&number.to_le_bytes());
            shares.charge(PeerId(name), u64::from(number) + 1);
        }
        assert_eq!(shares.used_us.len(), OWNERS_MAX);
        shares.charge(ONE, u64::MAX);
        shares.charge(ONE, u64::MAX);
        shares.settle(ONE, u64::MAX, 0);
        assert_eq!(shares.used_us(ONE), 0);
        shares.settle(TWO, 5, 9);
        assert_eq!(shares.used_us(TWO), 4, "a settlement of a forgotten owner");
    }
}
