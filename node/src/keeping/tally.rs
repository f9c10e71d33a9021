//! What a job's log says of its tasks, as the job table shows it: the same records that the engine's own fold reads.

use weft_core::durable::{Ends, LogRecord};
use weft_core::{Outcome, Payload, PeerId, Time};

use crate::jobs::{Counts, Custody, Led, Shown};

/// The sum of the records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// Bytes of the inputs that are not in the blob store.
    pub(super) input_bytes: u64,
    /// Ends of tasks in the log.
    pub(super) told: u64,
    /// One bit for each task that has ended.
    pub(super) ended: Bits,
    /// One bit for each task that is done, which is never tried again.
    done: Bits,
    /// The last record that says that what was not done is tried again.
    pub(super) retried: Option<u32>,
    /// The node that it was submitted to, if others keep it, too: it stays that, whichever node has its seat.
    pub(super) owner: Option<PeerId>,
    /// Who keeps it, by seat, if that is not its owner alone; and whether all members may change it.
    keepers: Vec<PeerId>,
    /// It is at level `disk`, and another node has a copy: its owner alone leads it.
    is_copied: bool,
    is_shared: bool,
    closed: bool,
    cancelled: bool,
    given_up: bool,
    pub(super) has_ended: bool,
    /// When; [`Time::ZERO`] if that is not known.
    ended_at: Time,
}

impl Tally {
    pub(super) fn apply(&mut self, seq: u32, record: &LogRecord) {
        let inputs = record.inputs();
        self.add(inputs.len());
        self.input_bytes += inputs.iter().map(Payload::inline_len).sum::<u64>();
        match record.ends() {
            Ends::None => {}
            Ends::Outcomes(all) => all.iter().for_each(|kept| self.end(kept.index, &kept.report.outcome)),
            Ends::Rest(rest) => rest.tasks.iter().for_each(|task| self.end(task.index, &rest.outcome)),
        }
        self.note(seq, record);
    }

    /// What a record says of the whole job.
    fn note(&mut self, seq: u32, record: &LogRecord) {
        match record {
            LogRecord::Accepted(accepted) => {
                self.keepers = accepted.keepers.peers();
                self.is_copied = accepted.keepers.pair().is_some();
                self.owner = self.keepers.first().copied();
                self.is_shared = accepted.spec.about.shared;
                self.closed = accepted.spec.closed;
            }
            LogRecord::Retried { .. } => {
                self.retried = Some(seq);
                self.retry();
            }
            LogRecord::Closed => self.closed = true,
            LogRecord::Cancelled => (self.cancelled, self.closed) = (true, true),
            LogRecord::GivenUp { .. } => (self.given_up, self.closed) = (true, true),
            LogRecord::Ended { at } => (self.has_ended, self.ended_at) = (true, *at),
            LogRecord::Replaced { seat, by } => {
                if let Some(keeper) = self.keepers.get_mut(usize::from(*seat)) {
                    *keeper = by.peer;
                }
            }
            LogRecord::Extended { .. }
            | LogRecord::Outcomes(_)
            | LogRecord::Rest(_)
            | LogRecord::ParentEnded(_)
            | LogRecord::Restarted { .. }
            | LogRecord::Led { .. }
            | LogRecord::NotTaken(_)
            | LogRecord::Given { .. }
            | LogRecord::Leased { .. }
            | LogRecord::Resolved { .. } => {}
        }
    }

    /// Who led a job that others keep, too, in an epoch, or at its beginning.
    pub(super) fn leader(&self, epoch: Option<u32>) -> Option<PeerId> {
        let seat = usize::try_from(epoch.unwrap_or(0) % 3).unwrap_or(0);
        self.keepers.get(if self.is_copied { 0 } else { seat }).copied()
    }

    /// Who keeps a job that others keep, too. No node is known to lead one at level `mesh`, or one of which this node has a copy.
    pub(super) fn custody(&self, me: PeerId) -> Option<Custody> {
        let keepers = self.keepers.clone();
        let is_own = self.is_copied && self.owner == Some(me);
        let led = if is_own { Led::Here } else { Led::Elsewhere { leader: None } };
        (!keepers.is_empty()).then_some(Custody { keepers, led, shared: self.is_shared })
    }

    /// What changes of a job, as the table shows it.
    pub(super) fn shown(&self) -> Shown {
        let Self { counts, told, closed, cancelled, given_up, has_ended, .. } = *self;
        Shown { counts, told, closed, cancelled, given_up, has_ended, ended_ms: self.ended_ms() }
    }

    /// When it ended, in milliseconds since 1970, if its log says so.
    pub(super) fn ended_ms(&self) -> Option<u64> {
        (self.has_ended && self.ended_at != Time::ZERO).then_some(self.ended_at.0 / 1000)
    }

    /// Tasks that have not ended.
    pub(super) fn open(&self) -> u32 {
        let Counts { tasks, done, failed, skipped: _, cancelled } = self.counts;
        tasks.saturating_sub(done).saturating_sub(failed).saturating_sub(cancelled)
    }

    /// The job has ended like this, and its log has told this many ends of tasks; not all of them were read.
    pub(super) fn set_ended(&mut self, counts: Counts, told: u64) {
        (self.counts, self.told) = (Counts { skipped: self.counts.skipped, ..counts }, told);
    }

    fn add(&mut self, inputs: usize) {
        let inputs = u32::try_from(inputs).unwrap_or(u32::MAX);
        self.counts.tasks = self.counts.tasks.saturating_add(inputs);
    }

    fn end(&mut self, index: u32, outcome: &Outcome) {
        self.told += 1;
        self.counts.end(outcome);
        // A log of another node's may name tasks that the job does not have; it can't be led then.
        if index >= self.counts.tasks {
            return;
        }
        self.ended.set(index);
        if *outcome == Outcome::Done {
            self.done.set(index);
        }
    }

    /// What is not done is open again.
    pub(super) fn retry(&mut self) {
        (self.cancelled, self.given_up, self.has_ended) = (false, false, false);
        self.ended = self.done.clone();
        self.counts = Counts { failed: 0, skipped: 0, cancelled: 0, ..self.counts };
    }
}

/// A set of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(pub(super) Vec<u64>);

impl Bits {
    fn set(&mut self, index: u32) {
        let place = usize::try_from(index / u64::BITS).unwrap_or(usize::MAX);
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        if let Some(word) = self.0.get_mut(place) {
            *word |= 1 << (index % u64::BITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_core::Report;
    use weft_core::durable::Kept;

    use super::*;

    #[test]
    fn a_job_ended_when_its_log_says_so_if_it_does() {
        let mut tally = Tally::default();
        let ended = |tally: &Tally| (tally.shown().has_ended, tally.shown().ended_ms);
        tally.apply(1, &LogRecord::Ended { at: Time(5_000_999) });
        assert_eq!(ended(&tally), (true, Some(5000)));
        tally.apply(2, &LogRecord::Retried { epoch: 2, at: Time(6_000_000) });
        assert_eq!(ended(&tally), (false, None));
        tally.apply(3, &LogRecord::Ended { at: Time::ZERO });
        assert_eq!(ended(&tally), (true, None), "an older program wrote it");
    }

    #[test]
    fn a_task_that_the_job_does_not_have_takes_no_memory() {
        let mut tally = Tally::default();
        tally.apply(1, &LogRecord::Extended { inputs: vec![Payload::empty(); 2] });
        for index in [1, 2, 1 << 24] {
            let report = Report::bare(Outcome::Done).into();
            let kept =
                Kept { index, report, worker: None, attempts: 1, memo: None, proof: None, verified: None };
            tally.apply(2, &LogRecord::Outcomes(vec![kept]));
        }
        assert_eq!((tally.ended.0, tally.done.0, tally.told), (vec![0b10], vec![0b10], 3));
    }
}
