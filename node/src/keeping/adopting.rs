//! A job's log as a new job takes it over: first all of it, for what goes over, and then its inputs with their outcomes, part
//! by part. Driven by `handle/adopting.rs`, on blocking threads.

use std::ops::ControlFlow;

use weft_core::durable::{Adopting, Adoption, Kept, LogRecord, NotAdoptable};
use weft_core::{JobId, LogReader, Payload};

use super::shelf::{Shelf, Unreadable};

/// Tasks of one part; the next part has the others.
const INHERITED_TASKS_MAX: usize = 1024;

/// Tasks that follow one another in a job.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) inputs: Vec<Payload>,
    /// Outcomes of some of them that go over.
    pub(crate) ends: Vec<Kept>,
}

/// Where a part begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The record that has the inputs, or one before it.
    record: u32,
    /// Inputs of that record that were in parts before.
    skip: usize,
    /// The place of the first task in its job.
    first: u32,
}

impl Cursor {
    pub(crate) const START: Self = Self { record: 1, skip: 0, first: 0 };

    /// Tasks in the parts before.
    pub(crate) fn tasks(self) -> u32 {
        self.first
    }
}

impl Shelf {
    /// What goes over.
    pub(super) fn adoption(&self, job: JobId) -> Result<Result<Adoption, NotAdoptable>, Unreadable> {
        let mut adopting = Adopting::default();
        let mut unsound = None;
        self.walk(job, 0, |seq, record| match adopting.apply(seq, record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                unsound = Some(why);
                ControlFlow::Break(())
            }
        })?;
        Ok(unsound.map_or_else(|| adopting.finish(), |why| Err(why.into())))
    }

    /// The next part, and where the one after it begins; nothing behind the last.
    pub(super) fn inherited(
        &self,
        job: JobId,
        adoption: &Adoption,
        from: Cursor,
    ) -> Result<Option<(Inherited, Cursor)>, Unreadable> {
        let mut found = None;
        self.walk(job, from.record.saturating_sub(1), |seq, record| {
            let skip = if seq == from.record { from.skip } else { 0 };
            let inputs: Vec<Payload> =
                record.inputs().iter().skip(skip).take(INHERITED_TASKS_MAX).cloned().collect();
            if inputs.is_empty() {
                return ControlFlow::Continue(());
            }
            found = Some((seq, skip, inputs));
            ControlFlow::Break(())
        })?;
        let Some((record, skip, inputs)) = found else { return Ok(None) };
        let ends = self.outcomes(job, adoption, from.first, inputs.len())?;
        let first = from.first.saturating_add(u32::try_from(inputs.len()).unwrap_or(u32::MAX));
        let next = Cursor { record, skip: skip + inputs.len(), first };
        Ok(Some((Inherited { inputs, ends }, next)))
    }

    /// The outcomes of this many tasks from that one on, as far as they go over.
    fn outcomes(
        &self,
        job: JobId,
        adoption: &Adoption,
        first: u32,
        tasks: usize,
    ) -> Result<Vec<Kept>, Unreadable> {
        let behind = u64::from(first).saturating_add(tasks as u64);
        let mut ends = Vec::new();
        for seq in adoption.records_of(first, tasks) {
            // One record, however long it is.
            let records = self.page(LogReader::Keeper, job, seq, 1)?;
            let Some(LogRecord::Outcomes(all)) = records.into_iter().next() else { continue };
            let of_these = |kept: &Kept| kept.index >= first && u64::from(kept.index) < behind;
            ends.extend(all.into_iter().filter(|kept| of_these(kept) && adoption.takes(seq, kept)));
        }
        Ok(ends)
    }
}
