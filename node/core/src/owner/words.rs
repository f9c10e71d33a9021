//! What is said once the disk has what it rests on: ends of tasks and jobs to the user, acknowledgements to workers. Held
//! by `keeping.rs`; nothing is decided here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::durable::{Ends, Kept, LogRecord, Rest};
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};

/// One of them.
#[derive(Debug)]
pub(super) enum Word {
    Outcomes { job: JobId, all: Vec<Kept> },
    Rest { job: JobId, rest: Rest },
    Event(Box<Event>),
    Acks(Vec<(PeerId, LeaseId)>),
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

    /// Tells the user; what is for workers comes back.
    pub(super) fn tell(self, ctx: &mut Ctx<'_>) -> Vec<(PeerId, LeaseId)> {
        match self {
            Self::Outcomes { job, all } => all.into_iter().for_each(|kept| ctx.notify(told(job, kept))),
            Self::Rest { job, rest } => {
                Ends::Rest(&rest).kept().for_each(|kept| ctx.notify(told(job, kept)));
            }
            Self::Event(event) => ctx.notify(*event),
            Self::Acks(acks) => return acks,
        }
        Vec::new()
    }
}

/// The event of a task that ended.
fn told(job: JobId, kept: Kept) -> Event {
    let Kept { index, report, worker, attempts, memo, proof, verified } = kept;
    Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified }
}
