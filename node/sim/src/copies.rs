//! A naive model of copies of jobs at level `disk`: a node has what their owners' disks have, in order, and goes on with none of
//! them. It reads disks and what users are told, not the engine.

use weft_core::custody::Pair;
use weft_core::durable::LogRecord;
use weft_core::{Event, JobId};

use crate::breach::Breach;
use crate::host::{HostId, SimHost};
use crate::invariants::Scene;

const LEADS: &str = "a_copy_never_leads";
const OTHER: &str = "a_copy_has_what_its_owner_wrote";

/// All copies.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    breach: Breach,
}

impl Copies {
    /// A node that has a copy writes a record behind the first `place` ones.
    pub(crate) fn on_written(
        &mut self,
        owner: Option<&SimHost>,
        (by, job): (HostId, JobId),
        place: usize,
        record: &LogRecord,
    ) {
        let Some(owner) = owner else { return };
        let log = owner.disk.records(job);
        let is_same = log.is_empty() || log.get(place).is_some_and(|known| **known == *record);
        self.breach.demand(OTHER, is_same, || {
            format!(
                "host {} has {record:?} behind {place} records of {job:?}, its owner {:?}",
                by.0,
                log.get(place)
            )
        });
    }

    /// A node tells its user something of a job of which it has a copy.
    pub(crate) fn on_event(&mut self, by: HostId, event: &Event) {
        let is_silent = matches!(event, Event::Follows { .. } | Event::Forgotten { .. });
        self.breach.demand(LEADS, is_silent, || format!("host {} has a copy, and tells {event:?}", by.0));
    }
}

/// The nodes of a job of which a node has a copy, by its records there.
pub(crate) fn pair_in<'a>(host: &SimHost, mut records: impl Iterator<Item = &'a LogRecord>) -> Option<Pair> {
    let Some(LogRecord::Accepted(accepted)) = records.next() else { return None };
    accepted.keepers.pair().filter(|pair| pair.is_copied_by(host.peer))
}

pub(crate) fn a_copy_never_leads(scene: &Scene<'_>) -> Result<(), String> {
    scene.reference.copies.breach.check(LEADS)
}

pub(crate) fn a_copy_has_what_its_owner_wrote(scene: &Scene<'_>) -> Result<(), String> {
    scene.reference.copies.breach.check(OTHER)
}
