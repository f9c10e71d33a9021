//! Logs of simulated processes, in the format of a real node's, for [`crate::replay()`]. They are kept in memory;
//! `weft-sim run --record` writes them to files.

use std::collections::BTreeMap;

use weft_core::log::{Header, StepDraft, encode_header};
use weft_core::{Effect, Input, Time};

use crate::host::HostId;
use crate::world::World;

/// One process's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLog {
    /// The host whose process wrote it.
    pub host: HostId,
    /// The number of the process on its host, from 1.
    pub life: u32,
    /// The log's bytes, without an end record: a killed process writes none.
    pub bytes: Vec<u8>,
}

/// The logs of a world.
#[derive(Debug, Default)]
pub(crate) struct Logs(BTreeMap<(HostId, u32), Vec<u8>>);

impl Logs {
    /// Appends an input of one process and its effects.
    pub(crate) fn add(
        &mut self,
        process: (HostId, u32),
        header: &Header,
        (at, input): (Time, &Input),
        effects: &[Effect],
    ) {
        let bytes = self.0.entry(process).or_insert_with(|| encode_header(header));
        let step = StepDraft::new(at, input).finish(effects);
        bytes.extend(step.expect("no step of a simulated host is too long for a log"));
    }
}

impl World {
    /// The logs of all processes so far, if the world was built to record.
    #[must_use]
    pub fn logs(&self) -> Vec<HostLog> {
        let all = self.logs.iter().flat_map(|logs| &logs.0);
        all.map(|((host, life), bytes)| HostLog { host: *host, life: *life, bytes: bytes.clone() }).collect()
    }
}
