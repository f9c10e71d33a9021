//! One number for each kind of event since the start of a node. The roles count; this names what is counted.

/// Counters since start; each counts one kind of event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls sent, one per peer and repetition.
    pub calls: u64,
    /// Bids made as a worker.
    pub bids_made: u64,
    /// Bids received as an owner.
    pub bids_received: u64,
    /// Declines made as a worker.
    pub declines: u64,
    /// Leases awarded as an owner.
    pub awards: u64,
    /// Awards refused, because the bid no longer stood.
    pub refused: u64,
    /// Tasks executed as a worker.
    pub executed: u64,
    /// Tasks committed as an owner.
    pub committed: u64,
    /// Leases that ended without an outcome.
    pub lost: u64,
    /// Outcomes that came for a task that was already committed or cancelled.
    pub late: u64,
    /// Late outcomes of a pure task whose output differs from the committed one.
    pub differing: u64,
    /// Outcomes that named a lease never issued to their sender.
    pub forged: u64,
    /// Outcomes sent again.
    pub resent: u64,
    /// Outcomes that came home through gossip.
    pub gossiped_home: u64,
    /// Messages, calls or outcomes dropped at a bound.
    pub dropped: u64,
    /// Own tasks that ended at once, because their result was known.
    pub recalled: u64,
    /// Tasks of others answered without running, because their result was known.
    pub answered: u64,
    /// Results told to everybody.
    pub told: u64,
    /// Results worth telling that were not, for want of budget.
    pub untold: u64,
    /// Remembered results that another one contradicted; neither is believed any more.
    pub disagreed: u64,
    /// Proofs that did not belong to what they came with.
    pub unproven: u64,
    /// Running tasks paused for another of a higher class.
    pub preempted: u64,
    /// Standing bids made unasked, to an owner that told of a backlog.
    pub unasked: u64,
    /// Backup copies awarded as an owner.
    pub copies: u64,
    /// Backup copies that ended before what they were copies of.
    pub copies_won: u64,
    /// Own tasks that several nodes computed alike.
    pub verified: u64,
    /// Answers that most others contradicted.
    pub lies: u64,
    /// Leases that ran out and were held, because this node suspected itself.
    pub held_back: u64,
    /// Tasks of owners that were gone, stopped as a worker.
    pub abandoned: u64,
    /// Seeks sent to exchanges as an owner.
    pub sought: u64,
    /// Bids stood at an exchange as a worker.
    pub stood: u64,
    /// Bids handed to owners as an exchange.
    pub introduced: u64,
    /// Slots lent to another exchange.
    pub lent: u64,
    /// Introductions that came to nothing as an owner: refused, or nobody there.
    pub misled: u64,
}
