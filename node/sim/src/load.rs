//! The load of a run, over all jobs, and from it how many slots a worker may promise: a model of the bidder without
//! calls and bids. It checks only runs in which every task is long, since workers bid ahead for short tasks only; what
//! they may promise for those is bounded by `promises_hold` alone. The reference model and the world feed it, the
//! invariants ask it.

use std::collections::BTreeSet;

use weft_core::message::Class;
use weft_core::{Payload, Time};

use crate::invariants::{Scene, ensure};
use crate::workload::Catalog;

/// Tasks of at least this many round trips are long (the engine's rule).
const LONG_ROUND_TRIPS: u64 = 10;
/// Time between two tasks besides the round trip, in microseconds (the engine's figure).
const HANDOVER_US: u64 = 500;
/// A task that waits this long gains one priority class, in microseconds (the engine's figure).
const AGE_US: u64 = 30_000_000;

/// What all users of a mesh have asked for.
#[derive(Debug, Default)]
pub(crate) struct Load {
    classes: BTreeSet<Class>,
    first_at: Option<Time>,
    shortest_us: Option<u32>,
    rtt_max_us: u32,
}

impl Load {
    pub(crate) fn on_job(&mut self, now: Time, class: Class) {
        self.classes.insert(class);
        self.first_at.get_or_insert(now);
    }

    pub(crate) fn on_inputs(&mut self, inputs: &[Payload], catalog: &Catalog) {
        let specs = inputs.iter().filter_map(|input| catalog.read(input));
        specs.for_each(|spec| self.on_task(spec.service_us));
    }

    fn on_task(&mut self, service_us: u32) {
        self.shortest_us = Some(self.shortest_us.map_or(service_us, |shortest| shortest.min(service_us)));
    }

    pub(crate) fn on_rtt(&mut self, rtt_us: u32) {
        self.rtt_max_us = self.rtt_max_us.max(rtt_us);
    }

    /// How many slots a worker with `slots` slots may have promised and leased at most; `None` if some tasks may be
    /// short. Each priority class may be promised all slots that lower classes have.
    fn most(&self, slots: u32, now: Time) -> Option<u32> {
        let long_us = LONG_ROUND_TRIPS * (u64::from(self.rtt_max_us) + HANDOVER_US);
        let shortest_us = self.shortest_us.filter(|us| u64::from(*us) >= long_us);
        let aged = self.first_at.is_some_and(|first| now.since_us(first) >= AGE_US);
        let classes = if aged { Class::ALL.len() } else { self.classes.len() };
        shortest_us.map(|_| slots * u32::try_from(classes).unwrap_or(u32::MAX))
    }
}

/// A slot is promised to one caller at a time.
pub(crate) fn invariant_a_slot_is_promised_once(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = scene.host.audit.as_ref().filter(|_| scene.reference.forgers.is_empty()) else {
        return Ok(());
    };
    let Some(most) = scene.reference.load.most(audit.slots, scene.world_now) else { return Ok(()) };
    let held: u32 = audit.held.iter().map(|(_, lease)| scene.reference.width_of(*lease)).sum();
    let bid = audit.bid;
    ensure(held + bid <= most, || {
        format!("{held} slots held and {bid} bid to callers of long tasks, at most {most}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tasks_get_each_slot_once_and_short_ones_are_not_judged() {
        let mut load = Load::default();
        load.on_rtt(1000);
        assert_eq!(load.most(3, Time(0)), None, "nothing is known to be long");
        load.on_job(Time(5), Class::Batch);
        load.on_task(20_000);
        assert_eq!(load.most(3, Time(5)), Some(3));
        load.on_job(Time(6), Class::Realtime);
        assert_eq!(load.most(3, Time(6)), Some(6), "one class may preempt the other");
        assert_eq!(load.most(3, Time(5 + AGE_US)), Some(12), "waiting tasks gain classes");
        load.on_rtt(1600);
        assert_eq!(load.most(3, Time(6)), None, "over a slower network the tasks are short");
    }
}
