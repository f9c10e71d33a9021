//! Credit accounts: how many short tasks each owner may send without a call. An account counts deliveries, as AMQP's
//! link credit and HTTP/2's windows do: the limit grows with each grant, and used credit is counted against it, so that
//! lost and late messages are harmless. Bookkeeping only; `worker/credit.rs` decides how much is granted.

use alloc::collections::BTreeMap;

use crate::id::{BidId, PeerId};
use crate::message::{Assign, Call, Class, Grant};
use crate::stats::Average;
use crate::time::Time;

/// Owners with an account; a further one has to call.
const CREDITS_MAX: usize = 1024;

/// One owner's credit.
#[derive(Debug)]
pub(in crate::worker) struct Credit {
    /// The id of the account.
    pub(in crate::worker) bid: BidId,
    /// Tasks that were sent on it.
    pub(in crate::worker) used: u64,
    /// Tasks that may be sent on it.
    limit: u64,
    /// Tasks sent on it that are still held.
    pub(in crate::worker) held: u32,
    /// Run time of its tasks.
    pub(in crate::worker) service: Average,
    /// Class of the last task sent on it.
    pub(in crate::worker) class: Class,
    pub(in crate::worker) expires_at: Time,
}

impl Credit {
    fn new(bid: BidId, expires_at: Time) -> Self {
        let (service, class) = (Average::default(), Class::Batch);
        Self { bid, used: 0, limit: 0, held: 0, service, class, expires_at }
    }

    /// Tasks that may still be sent on it.
    pub(in crate::worker) fn left(&self) -> u32 {
        u32::try_from(self.limit - self.used).unwrap_or(u32::MAX)
    }
}

/// Tasks that an owner sent on its credit.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Spent {
    /// The account that the owner names.
    pub(in crate::worker) bid: BidId,
    pub(in crate::worker) class: Class,
    pub(in crate::worker) tasks: u32,
    /// Tasks that the owner says it has sent on it in all.
    pub(in crate::worker) used: u64,
}

impl Spent {
    /// The credit that an assignment spends; `None` if its tasks are invalid.
    pub(in crate::worker) fn of(assign: &Assign) -> Option<Self> {
        let Assign { call: Call { job, class, needs, .. }, grants, .. } = assign;
        let of_job = |grant: &Grant| grant.lease.job == *job && grant.input.is_sound();
        let sound = needs.task_slots() == 1 && grants.iter().all(of_job);
        let tasks = u32::try_from(grants.len()).unwrap_or(u32::MAX);
        sound.then_some(Self { bid: assign.bid, class: *class, tasks, used: assign.placed })
    }
}

/// All credit accounts.
#[derive(Debug, Default)]
pub(in crate::worker) struct Credits {
    by_owner: BTreeMap<PeerId, Credit>,
    /// Unused credit of all accounts, in slots.
    slots: u32,
}

impl Credits {
    pub(in crate::worker) fn slots(&self) -> u32 {
        self.slots
    }

    /// Accounts with unused credit.
    pub(in crate::worker) fn len(&self) -> usize {
        self.by_owner.values().filter(|credit| credit.left() > 0).count()
    }

    /// Accounts, used up or not.
    pub(in crate::worker) fn owners(&self) -> usize {
        self.by_owner.len()
    }

    pub(in crate::worker) fn get(&self, owner: PeerId) -> Option<&Credit> {
        self.by_owner.get(&owner)
    }

    /// Owners with held tasks that were sent on credit, and their class.
    pub(in crate::worker) fn at_work(&self) -> impl Iterator<Item = (PeerId, Class)> + '_ {
        self.by_owner
            .iter()
            .filter(|(_, credit)| credit.held > 0)
            .map(|(owner, credit)| (*owner, credit.class))
    }

    /// A task that was sent on credit took this long.
    pub(in crate::worker) fn measure(&mut self, owner: PeerId, wall_us: u64) {
        if let Some(credit) = self.by_owner.get_mut(&owner) {
            credit.service.add(wall_us);
        }
    }

    /// Spends credit for tasks. False if there is not enough.
    pub(in crate::worker) fn spend(&mut self, owner: PeerId, spent: Spent) -> bool {
        let Some(credit) = self.by_owner.get_mut(&owner) else { return false };
        if credit.bid != spent.bid || credit.left() < spent.tasks {
            return false;
        }
        let before = credit.left();
        credit.used = (credit.used + u64::from(spent.tasks)).max(spent.used.min(credit.limit));
        credit.held += spent.tasks;
        credit.class = spent.class;
        self.slots -= before - credit.left();
        true
    }

    /// Raises an owner's limit by what `more` returns for its account, and extends it to that time. Returns when it
    /// would have ended, and the account.
    pub(super) fn grant(
        &mut self,
        owner: PeerId,
        expires_at: Time,
        fresh: impl FnOnce() -> BidId,
        more: impl FnOnce(&mut Credit) -> u32,
    ) -> Option<(Time, &Credit)> {
        if self.by_owner.len() >= CREDITS_MAX && !self.by_owner.contains_key(&owner) {
            return None;
        }
        let credit = self.by_owner.entry(owner).or_insert_with(|| Credit::new(fresh(), expires_at));
        let more = more(credit);
        credit.limit += u64::from(more);
        self.slots += more;
        let ended_at = core::mem::replace(&mut credit.expires_at, expires_at);
        Some((ended_at, credit))
    }

    /// Voids the unused credit of an account. The account stays while tasks that were sent on it are held.
    pub(super) fn expire(&mut self, owner: PeerId) {
        let credit = self.by_owner.get_mut(&owner).expect("what ends by time has not ended before");
        self.slots -= credit.left();
        credit.limit = credit.used;
        if credit.held == 0 {
            self.by_owner.remove(&owner);
        }
    }

    /// A task that was sent on credit has ended. True if it was the last and the credit has expired.
    pub(super) fn on_left(&mut self, owner: PeerId, now: Time) -> bool {
        // The owner may have been forgotten since it sent the task.
        self.by_owner.get_mut(&owner).is_some_and(|credit| {
            credit.held = credit.held.saturating_sub(1);
            credit.held == 0 && credit.expires_at <= now
        })
    }

    pub(super) fn remove(&mut self, owner: PeerId) -> Option<Time> {
        let credit = self.by_owner.remove(&owner)?;
        self.slots -= credit.left();
        Some(credit.expires_at)
    }
}
