//! Counters of events since the start of a node. The roles count, and the driver counts `unknown`; this is the table of all counters. The struct, the
//! API's JSON and its metrics are generated from it, so that a counter has one name and one help text.

/// One row of the table of counters.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name in Prometheus' text format.
    pub metric: &'static str,
    /// Its help text, without a full stop.
    pub help: &'static str,
    /// Reads it. All are plain counts without a unit.
    pub get: fn(&Counters) -> u64,
}

/// One row for each counter: its doc comment, which is its help text, its name, and the middle of its metric's name.
macro_rules! counters {
    ($(#[doc = $help:literal] $name:ident: $metric:literal,)+) => {
        /// Counters since start; each counts one kind of event.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $help] pub $name: u64,)+
        }

        impl Counters {
            /// Every counter, in the order of the fields.
            pub const TABLE: &'static [Counter] = &[$(Counter {
                name: stringify!($name),
                metric: concat!("weft_", $metric, "_total"),
                help: $help,
                get: |counters| counters.$name,
            },)+];
        }
    };
}

counters! {
    #[doc = "Calls for bids sent, one per peer and repetition"]
    calls: "calls",
    #[doc = "Bids made as a worker"]
    bids_made: "bids_made",
    #[doc = "Bids received as an owner"]
    bids_received: "bids_received",
    #[doc = "Declines made as a worker"]
    declines: "declines",
    #[doc = "Leases awarded as an owner"]
    awards: "awards",
    #[doc = "Attempts of an earlier epoch that go on"]
    adopted: "attempts_adopted",
    #[doc = "Awards returned without an outcome"]
    refused: "awards_refused",
    #[doc = "Tasks executed as a worker"]
    executed: "tasks_executed",
    #[doc = "Tasks committed as an owner"]
    committed: "tasks_committed",
    #[doc = "Leases that ended without an outcome"]
    lost: "leases_lost",
    #[doc = "Outcomes that came for a task that had ended already"]
    late: "outcomes_late",
    #[doc = "Late outcomes of a pure task whose output differs from the committed one"]
    differing: "outcomes_differing",
    #[doc = "Outcomes that named a lease never issued to their sender"]
    forged: "outcomes_forged",
    #[doc = "Outcomes sent again"]
    resent: "outcomes_resent",
    #[doc = "Outcomes that came home through gossip"]
    gossiped_home: "outcomes_gossiped_home",
    #[doc = "Messages, calls or outcomes dropped at a bound"]
    dropped: "messages_dropped",
    #[doc = "Messages dropped because this node, or the older one that they were for, does not know their kind"]
    unknown: "messages_unknown",
    #[doc = "Own tasks that ended at once, because their result was known"]
    recalled: "memo_recalled",
    #[doc = "Tasks of others answered without running, because their result was known"]
    answered: "memo_answered",
    #[doc = "Results told to all peers"]
    told: "memo_told",
    #[doc = "Results that were worth telling and were not told, because the budget was used up"]
    untold: "memo_untold",
    #[doc = "Known results that another result contradicted; neither is used any more"]
    disagreed: "memo_disagreed",
    #[doc = "Proofs that did not belong to the outcome they came with"]
    unproven: "proofs_dropped",
    #[doc = "Running tasks paused for another of a higher class"]
    preempted: "tasks_preempted",
    #[doc = "Bids made without a call, to an owner that told of a backlog"]
    unasked: "bids_unasked",
    #[doc = "Backup copies awarded as an owner"]
    copies: "copies",
    #[doc = "Backup copies that ended before what they were copies of"]
    copies_won: "copies_won",
    #[doc = "Own tasks that several nodes computed alike"]
    verified: "tasks_verified",
    #[doc = "Answers that most others contradicted"]
    lies: "lies",
    #[doc = "Leases that ran out and were kept, because this node may have been cut off or slept"]
    fenced: "leases_fenced",
    #[doc = "Tasks stopped as a worker, because their owner was gone"]
    abandoned: "tasks_abandoned",
    #[doc = "Tasks given back as a worker, because this node takes no work any more"]
    given_back: "tasks_given_back",
    #[doc = "Requests sent to matchmakers as an owner"]
    requested: "cells_requested",
    #[doc = "Bids advertised at a matchmaker as a worker"]
    advertised: "cells_advertised",
    #[doc = "Bids matched with owners as a matchmaker"]
    matched: "cells_matched",
    #[doc = "Slots passed on to another matchmaker"]
    flocked: "cells_flocked",
    #[doc = "Matches that failed, as an owner: the worker refused, or was not there"]
    mismatched: "cells_mismatched",
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_counter_is_in_the_table_once_with_names_and_a_text_of_its_own() {
        let rows = Counters::TABLE;
        // Each field is one `u64`: a counter that is missing in the table, or in it twice, changes the count.
        assert_eq!(rows.len() * size_of::<u64>(), size_of::<Counters>());
        let kinds: [fn(&Counter) -> &'static str; 3] = [|row| row.name, |row| row.metric, |row| row.help];
        for kind in kinds {
            assert_eq!(rows.iter().map(kind).collect::<BTreeSet<_>>().len(), rows.len());
        }
        for row in rows {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}: {:?}", row.name, row.help);
        }
    }

    #[test]
    fn each_row_reads_its_own_counter() {
        let counters = Counters { calls: 3, dropped: 5, ..Counters::default() };
        let read = |name| Counters::TABLE.iter().find(|row| row.name == name).map(|row| (row.get)(&counters));
        assert_eq!((read("calls"), read("dropped"), read("late")), (Some(3), Some(5), Some(0)));
    }
}
