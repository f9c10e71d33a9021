//! What members want written and read: gathered while an input is handled, and emitted at its end, in order. What is on the
//! disk is told to the members by the tickets. Plain bookkeeping.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ctx::Ctx;
use crate::durable::LogRecord;
use crate::effect::{Effect, LogReader, Remains};
use crate::id::{JobId, PeerId};

/// A member, of all that this node had of its job: a job that left may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) job: JobId,
    pub(super) serial: u64,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Order {
    Persist(Box<LogRecord>, Arc<[u8]>),
    Cut { after: u32 },
    Promise { epoch: u32 },
    Read { from: u32, bytes_max: u32 },
    Recall,
    Forget(Gone),
}

/// A job whose log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) job: JobId,
    /// What later lives are to know.
    pub(super) remains: Remains,
    /// The node that is told then.
    pub(super) tell: Option<PeerId>,
}

/// What is on the disk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// This many writes of a member.
    Writes {
        of: Of,
        count: usize,
    },
    Gone(Gone),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Writes {
    orders: Vec<(Of, Order)>,
    /// What has a ticket, in the order of these.
    emitted: VecDeque<(u64, Done)>,
}

impl Writes {
    pub(super) fn add(&mut self, of: Of, order: Order) {
        self.orders.push((of, order));
    }

    /// The input has been handled. `issue` gives tickets.
    pub(super) fn emit(&mut self, ctx: &mut Ctx<'_>, issue: &mut dyn FnMut() -> u64) {
        for (of, order) in core::mem::take(&mut self.orders) {
            let job = of.job;
            let (done, effect) = match order {
                Order::Read { from, bytes_max } => {
                    ctx.emit(Effect::ReadLog { reader: LogReader::Keeper, job, from, bytes_max });
                    continue;
                }
                Order::Recall => {
                    ctx.emit(Effect::Recall { job });
                    continue;
                }
                Order::Persist(record, bytes) => {
                    let ticket = issue();
                    let effect = Effect::Persist { ticket, job, record: *record, bytes: Some(bytes) };
                    ((ticket, Done::Writes { of, count: 1 }), effect)
                }
                Order::Cut { after } => {
                    let ticket = issue();
                    ((ticket, Done::Writes { of, count: 1 }), Effect::Cut { ticket, job, after })
                }
                Order::Promise { epoch } => {
                    let ticket = issue();
                    ((ticket, Done::Writes { of, count: 1 }), Effect::Promise { ticket, job, epoch })
                }
                Order::Forget(gone) => {
                    let (ticket, remains) = (issue(), gone.remains);
                    ((ticket, Done::Gone(gone)), Effect::Forget { ticket, job, remains })
                }
            };
            self.emitted.push_back(done);
            ctx.emit(effect);
        }
    }

    /// All up to that ticket is on the disk.
    pub(super) fn on_persisted(&mut self, upto: u64) -> Vec<Done> {
        let mut all: Vec<Done> = Vec::new();
        while let Some((_, done)) = self.emitted.pop_front_if(|(ticket, _)| *ticket <= upto) {
            match (all.last_mut(), done) {
                (Some(Done::Writes { of: last, count }), Done::Writes { of, .. }) if *last == of => {
                    *count += 1;
                }
                (_, done) => all.push(done),
            }
        }
        all
    }

    /// Nothing is written any more.
    pub(super) fn on_failed(&mut self) {
        *self = Self::default();
    }
}
