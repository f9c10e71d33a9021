//! Jobs of others of which nothing is on the way to this node's disk yet, because bytes that their first record names are not
//! here. One whose leader is gone for good would stay for ever. Plain bookkeeping.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::message::CustodyMessage;
use crate::id::JobId;
use crate::time::Time;

/// How long nothing is heard of such a job before it is left, in milliseconds.
const UNHEARD_MAX_MS: u64 = 600_000;
/// How often that is looked for, in milliseconds.
const LOOK_MS: u64 = 60_000;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// When each was heard of last.
    heard: BTreeMap<JobId, Time>,
    looks_at: Option<Time>,
}

impl Unwritten {
    /// A job came.
    pub(super) fn begin(&mut self, job: JobId, now: Time) {
        self.heard.insert(job, now);
        self.looks_at.get_or_insert(now.plus_ms(LOOK_MS));
    }

    /// Another node said something of a job. It does not count where that node has nothing of it either: it says so, or asks in no
    /// epoch.
    pub(super) fn hear(&mut self, message: &CustodyMessage, now: Time) {
        if !matches!(message, CustodyMessage::Unknown { .. } | CustodyMessage::PreSeal { epoch: 0, .. }) {
            self.heard.get_mut(&message.job()).into_iter().for_each(|at| *at = now);
        }
    }

    /// A record of a job is written, or the job is here no more.
    pub(super) fn end(&mut self, job: JobId) {
        self.heard.remove(&job);
    }

    /// The jobs that are to be left, when it is time to look.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<JobId> {
        if self.looks_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let is_due = |at: &Time| at.plus_ms(UNHEARD_MAX_MS) <= now;
        let due: Vec<JobId> = self.heard.iter().filter(|(_, at)| is_due(at)).map(|(job, _)| *job).collect();
        due.iter().for_each(|job| self.end(*job));
        self.looks_at = (!self.heard.is_empty()).then(|| now.plus_ms(LOOK_MS));
        due
    }

    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.looks_at
    }
}
