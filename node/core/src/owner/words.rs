//! What is said once the disk has what it rests on: ends of tasks and jobs to the user, acknowledgements to workers. Held
//! by `keeping.rs`; nothing is decided here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::durable::{Ends, Kept, LogRecord, ParentEnd, Rest};
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};

/// One of them.
#[derive(Debug)]
pub(super) enum Word {
    Outcomes {
        job: JobId,
        all: Vec<Kept>,
    },
    Rest {
        job: JobId,
        rest: Rest,
    },
    Event(Box<Event>),
    Acks(Vec<(PeerId, LeaseId)>),
    /// To the jobs that come after one at level mesh.
    ParentEnded(ParentEnd),
}

/// What is told to others than the user.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) acks: Vec<(PeerId, LeaseId)>,
    pub(super) ended: Option<ParentEnd>,
}

impl Word {
    /// What is told of a record once it is on the disk.
    pub(super) fn of(job: JobId, record: &LogRecord) -> Option<Self> {
        match record.ends() {
            Ends::None => matches!(record, LogRecord::Closed | LogRecord::Retried { .. })
                .then(|| Self::Event(Box::new(Event::Confirmed { job }))),
            Ends::Outcomes(all) => Some(Self::Outcomes { job, all: all.to_vec() }),
            Ends::Rest(rest) => Some(Self::Rest { job, rest: rest.clone() }),
        }
    }

    /// Acknowledgements that it is.
    pub(super) fn count_acks(&self) -> usize {
        match self {
            Self::Acks(acks) => acks.len(),
            Self::Outcomes { .. } | Self::Rest { .. } | Self::Event(_) | Self::ParentEnded(_) => 0,
        }
    }

    /// Tells the user; what is for others comes back.
    pub(super) fn tell(self, ctx: &mut Ctx<'_>) -> Told {
        match self {
            Self::Outcomes { job, all } => all.into_iter().for_each(|kept| ctx.notify(told(job, kept))),
            Self::Rest { job, rest } => {
                Ends::Rest(&rest).kept().for_each(|kept| ctx.notify(told(job, kept)));
            }
            Self::Event(event) => ctx.notify(*event),
            Self::Acks(acks) => return Told { acks, ended: None },
            Self::ParentEnded(end) => return Told { acks: Vec::new(), ended: Some(end) },
        }
        Told::default()
    }
}

/// The event of a task that ended.
fn told(job: JobId, kept: Kept) -> Event {
    let Kept { index, report, worker, attempts, memo, proof, verified } = kept;
    Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified }
}
