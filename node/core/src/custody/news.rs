//! What custody has to tell the owner of jobs. Plain data.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::trio::Trio;
use crate::durable;
use crate::id::{JobId, PeerId};

/// What the owner is to know.
#[derive(Debug)]
pub(crate) enum News {
    /// Another node answers for a job from here on; this one keeps it.
    Keeps(JobId),
    /// All records of a led job up to that one are committed.
    Committed { job: JobId, upto: u32 },
    /// More records are committed of a job that another node leads, and that jobs here come after.
    Grown(JobId),
    /// This node leads a job no more.
    StepDown(JobId),
    /// This node leads a job.
    Leads(Box<Led>),
    /// Who keeps a job from here on.
    Keepers { job: JobId, trio: Trio },
    /// A job that another node leads has ended for good.
    Ended(Box<durable::Restored>),
    /// The log of a job can't be read here, and how it ended is to be known; these nodes keep it, too.
    Unread { job: JobId, keepers: [PeerId; 3] },
    /// This node keeps a job no more.
    Gone(Departed),
}

/// A job that this node leads from here on.
#[derive(Debug)]
pub(crate) struct Led {
    pub(crate) job: durable::Restored,
    /// Its user wanted it tried again.
    pub(crate) retried: bool,
    /// All of its records up to that one are committed.
    pub(crate) committed: u32,
    /// Those of the jobs that it comes after which are known to be forgotten.
    pub(crate) forgotten: Vec<JobId>,
}

/// A job that this node keeps no more.
#[derive(Debug)]
pub(crate) struct Departed {
    pub(crate) job: JobId,
    /// Its user wanted it forgotten. Otherwise these nodes keep it, as far as this one knows.
    pub(crate) forgotten: bool,
    pub(crate) keepers: Vec<PeerId>,
}
