//! The records of one job on one disk, from the first: which epoch each belongs to, who sits in the trio, what they name.

use std::sync::Arc;

use weft_core::custody::Seat;
use weft_core::durable::LogRecord;
use weft_core::{BlobId, Outcome, Report};

use crate::kept::KeptEnd;

/// The epoch that begins with the first record of a job at level `mesh`.
const FIRST_EPOCH: u32 = 3;

/// Records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows(pub(crate) Vec<Arc<LogRecord>>);

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first of them.
    pub(crate) fn first(&self, count: usize) -> Self {
        Self(self.0.iter().take(count).cloned().collect())
    }

    /// The epoch of the last of the first `count`; 0 if there are none.
    pub(crate) fn epoch_at(&self, count: usize) -> u32 {
        self.0.iter().take(count).rev().find_map(|record| epoch_begun(record)).unwrap_or(0)
    }

    /// The epoch of a record behind them.
    pub(crate) fn epoch_of_next(&self, record: &LogRecord) -> u32 {
        epoch_begun(record).unwrap_or_else(|| self.epoch_at(self.len()))
    }

    /// How many of the first ones are those, in that order.
    pub(crate) fn count_common(&self, others: &[Arc<LogRecord>]) -> usize {
        self.0.iter().zip(others).take_while(|(one, other)| one == other).count()
    }

    pub(crate) fn begin_with(&self, others: &[Arc<LogRecord>]) -> bool {
        self.count_common(others) == others.len()
    }

    /// Whether all of them are the first of those.
    pub(crate) fn begin_with_all(&self, others: &[Arc<LogRecord>]) -> bool {
        self.count_common(others) == self.len()
    }

    /// Who sits in the trio after the last of them.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let mut seats = Vec::new();
        for record in &self.0 {
            if let LogRecord::Accepted(accepted) = record.as_ref() {
                seats = accepted.keepers.trio().map_or(Vec::new(), |trio| trio.0.to_vec());
            }
            if let LogRecord::Replaced { seat, by } = record.as_ref() {
                seats.get_mut(usize::from(*seat)).into_iter().for_each(|seat| *seat = *by);
            }
        }
        seats
    }

    /// Those from a number on, as many as a driver reads at once.
    pub(crate) fn page(&self, from: u32, bytes_max: u32) -> Vec<LogRecord> {
        let (from, most) =
            (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(bytes_max).unwrap_or(0));
        let mut bytes = 0;
        let fits = |record: &&Arc<LogRecord>| {
            let fits = bytes < most;
            bytes += record.encode().len();
            fits
        };
        let records = self.0.iter().skip(from.saturating_sub(1));
        let mut page: Vec<LogRecord> =
            records.clone().take(1).map(|record| LogRecord::clone(record)).collect();
        page.extend(records.take_while(fits).skip(1).map(|record| LogRecord::clone(record)));
        page
    }

    /// The blobs that they name.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.0.iter().flat_map(|record| record.blobs())
    }

    // ---- where they say something: the number of records up to it

    /// That this many tasks are accepted.
    pub(crate) fn accepting(&self, tasks: usize) -> Option<usize> {
        let mut found = 0;
        let place = self.0.iter().position(|record| {
            found += inputs_in(record);
            found >= tasks
        });
        place.map(|place| place + 1)
    }

    /// How a task ended, behind the last word that it is to be tried again.
    pub(crate) fn ending(&self, index: u32) -> Option<(usize, KeptEnd)> {
        let begun = self.last(|record| matches!(record, LogRecord::Retried { .. })).unwrap_or(0);
        let ends = |from: usize| {
            let behind = self.0.iter().enumerate().skip(from);
            behind.filter_map(|(place, record)| Some((place + 1, end_in(record, index)?)))
        };
        // What was done is not tried again.
        ends(begun).next().or_else(|| ends(0).find(|(_, end)| end.report.outcome == Outcome::Done))
    }

    /// The last one of a kind.
    pub(crate) fn last(&self, is: impl Fn(&LogRecord) -> bool) -> Option<usize> {
        self.0.iter().rposition(|record| is(record)).map(|place| place + 1)
    }
}

fn epoch_begun(record: &LogRecord) -> Option<u32> {
    if let LogRecord::Led { epoch, .. } | LogRecord::Retried { epoch, .. } = record {
        return Some(*epoch);
    }
    matches!(record, LogRecord::Accepted(_)).then_some(FIRST_EPOCH)
}

fn inputs_in(record: &LogRecord) -> usize {
    if let LogRecord::Accepted(accepted) = record {
        return accepted.spec.inputs.len();
    }
    if let LogRecord::Extended { inputs } = record { inputs.len() } else { 0 }
}

/// How a task ended by a record.
fn end_in(record: &LogRecord, index: u32) -> Option<KeptEnd> {
    if let LogRecord::Rest(rest) = record {
        let task = rest.tasks.iter().find(|task| task.index == index)?;
        let report = Report::bare(rest.outcome.clone());
        return Some(KeptEnd { report: report.into(), worker: None, attempts: task.attempts });
    }
    let LogRecord::Outcomes(all) = record else { return None };
    let kept = all.iter().find(|kept| kept.index == index)?;
    Some(KeptEnd { report: kept.report.clone(), worker: kept.worker, attempts: kept.attempts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::Time;

    fn rows(records: &[LogRecord]) -> Rows {
        Rows(records.iter().cloned().map(Arc::new).collect())
    }

    #[test]
    fn a_record_belongs_to_the_epoch_that_began_before_it() {
        let led = |epoch| LogRecord::Led { epoch, at: Time(1) };
        let rows = rows(&[led(4), LogRecord::Cancelled, led(6), LogRecord::Ended { at: Time(9) }]);
        assert_eq!([0, 1, 2, 3, 4].map(|count| rows.epoch_at(count)), [0, 4, 4, 6, 6]);
        assert_eq!((rows.epoch_of_next(&LogRecord::Closed), rows.epoch_of_next(&led(9))), (6, 9));
    }

    #[test]
    fn logs_agree_up_to_the_first_record_that_differs() {
        let one = rows(&[LogRecord::Closed, LogRecord::Cancelled, LogRecord::Ended { at: Time(9) }]);
        let other = rows(&[LogRecord::Closed, LogRecord::Ended { at: Time(9) }]);
        assert_eq!(one.count_common(&other.0), 1);
        assert!(one.begin_with(&other.first(1).0) && !one.begin_with(&other.0));
        assert!(one.first(1).begin_with_all(&other.0));
    }
}
