//! A job that no node leads any more is made anew: another job, with another id, that has the old one's inputs and those of its
//! outcomes that this node's copy of its log has. It is handed in here as any other, so nothing that was promised of the old
//! job's id is touched, and the old job goes on under its own id if its nodes come back. Whether it has a leader is for the
//! caller to find out.

use std::sync::Arc;

use weft_core::durable::{Adoption, Kept as KeptEnd, NotAdoptable};
use weft_core::{About, BlobId, Command, JobId, Level, Submission};

use super::jobs::Change;
use super::{NodeHandle, NodeStopped, NotChanged};
use crate::jobs::{JobMeta, JobSummary, NoSuchJob, NotAccepted, TableFull, Title, now_ms};
use crate::keeping::{Cursor, Inherited, Kept, Unreadable};

/// The label of a job that was made of another one: the id of that.
pub const ADOPTED_FROM: &str = "adopted-from";

/// What a job that is to be adopted becomes.
#[derive(Clone, Debug)]
pub struct Heir {
    /// Its id, a new one.
    pub job: JobId,
    /// What it survives.
    pub level: Level,
    /// What it is called.
    pub title: Title,
}

/// How much of a job went over, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inheritance {
    /// Its tasks.
    pub tasks: u32,
    /// Those of which an outcome goes over.
    pub outcomes: u32,
    /// Whether the old job was to have more tasks: the new one is cancelled then.
    pub is_half: bool,
}

/// Why a job was not adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// Another change of the job is going on, its log can't be read, or the node keeps nothing now.
    #[error(transparent)]
    NotChanged(#[from] NotChanged),
    /// No other node leads it, or can come to.
    #[error("no other node can lead job {0}, so it needs no other job in its place")]
    OfThisNode(JobId),
    /// It was adopted before.
    #[error("job {job} was adopted here before, as job {heir}")]
    Before {
        /// The job.
        job: JobId,
        /// What was made of it.
        heir: JobId,
    },
    /// What it is does not allow it.
    #[error("job {job} can't be adopted: {why}")]
    Unfit {
        /// The job.
        job: JobId,
        /// Why.
        why: NotAdoptable,
    },
    /// Bytes that it rests on are not here.
    #[error("job {job} can't be adopted: {missing} of its blobs are not on this node, the first is {first}")]
    NoBytes {
        /// The job.
        job: JobId,
        /// Blobs of its module, its files and its inputs.
        missing: usize,
        /// The first of them.
        first: BlobId,
    },
    /// Its log changed while it was read.
    #[error("the log of job {0} changed while it was read, so it has a leader: nothing was adopted")]
    Changed(JobId),
    /// The table has no room for the new job.
    #[error(transparent)]
    Full(#[from] TableFull),
    /// The new job was refused.
    #[error(transparent)]
    Refused(#[from] NotAccepted),
}

impl From<NoSuchJob> for NotAdopted {
    fn from(error: NoSuchJob) -> Self {
        Self::NotChanged(error.into())
    }
}

impl From<NodeStopped> for NotAdopted {
    fn from(error: NodeStopped) -> Self {
        Self::NotChanged(error.into())
    }
}

impl From<Unreadable> for NotAdopted {
    fn from(error: Unreadable) -> Self {
        Self::NotChanged(error.into())
    }
}

impl NodeHandle {
    /// How much of a job would go over to a new one.
    ///
    /// # Errors
    /// [`NotAdopted`].
    pub async fn adoptable(&self, job: JobId) -> Result<Inheritance, NotAdopted> {
        let (_summary, _kept, adoption) = self.adoption(job).await?;
        Ok(inheritance(&adoption))
    }

    /// Makes a new job of one that this node keeps and no node leads. Returns once the new one is kept as its level promises.
    ///
    /// # Errors
    /// [`NotAdopted`]; then there is no new job.
    pub async fn adopt(&self, job: JobId, heir: Heir) -> Result<Inheritance, NotAdopted> {
        let _one = Change::begin(self, job)?;
        let (summary, kept, adoption) = self.adoption(job).await?;
        let (name, submission) = (heir.job, submission(&adoption, &summary, heir.clone()));
        self.jobs.create(name, self.meta(&submission, heir.title))?;
        if let Err(error) = self.command(Command::Submit(submission)).await {
            self.jobs.retract(name);
            return Err(error.into());
        }
        if let Err(refused) = self.accepted(name).await {
            // Its user is told; the list need not.
            let _ended = self.jobs.forget(name);
            return Err(refused.into());
        }
        let handed_over = HandOver { handle: self, kept, from: job, to: name };
        let inheritance = handed_over.run(Arc::new(adoption)).await;
        if inheritance.is_err() {
            // What there is of it must not pass for the whole.
            drop(self.cancel(name).await);
            drop(self.forget(name).await);
        }
        inheritance
    }

    /// What goes over of a job that this node has a copy of, once that is known to be of use.
    async fn adoption(&self, job: JobId) -> Result<(JobSummary, &Kept, Adoption), NotAdopted> {
        let summary = self.jobs.summary(job).ok_or(NoSuchJob)?;
        let is_kept_by_others =
            summary.custody.is_some() && (summary.meta.level == Level::Mesh || summary.here().is_err());
        let kept = self.kept.as_ref().filter(|_| is_kept_by_others);
        let kept = kept.ok_or(NotAdopted::OfThisNode(job))?;
        if let Some(heir) = self.jobs.labelled(ADOPTED_FROM, &job.to_string(), self.info.peer) {
            return Err(NotAdopted::Before { job, heir });
        }
        let adoption = kept.adoption(job).await?.map_err(|why| NotAdopted::Unfit { job, why })?;
        let missing: Vec<&BlobId> = adoption.blobs().iter().filter(|blob| !self.store.has(**blob)).collect();
        match missing.first() {
            Some(first) => Err(NotAdopted::NoBytes { job, missing: missing.len(), first: **first }),
            None => Ok((summary, kept, adoption)),
        }
    }

    fn meta(&self, submission: &Submission, title: Title) -> JobMeta {
        JobMeta {
            module: submission.program.module,
            class: submission.class,
            detached: true,
            level: submission.level,
            owner: self.info.peer,
            shared: submission.about.shared,
            title: Arc::new(title),
            submitted_ms: submission.about.submitted_ms,
            streamed: false,
            signed: submission.terms.receipts.then(|| Arc::clone(&submission.program)),
            after: submission.after.clone().into(),
            takes_results: submission.join.takes_results(),
        }
    }
}

fn inheritance(adoption: &Adoption) -> Inheritance {
    let (tasks, outcomes) = (adoption.tasks(), adoption.outcomes());
    Inheritance { tasks, outcomes, is_half: adoption.is_half() }
}

/// The new job, open and without inputs.
fn submission(adoption: &Adoption, summary: &JobSummary, heir: Heir) -> Submission {
    let Heir { job, level, title } = heir;
    let about = About {
        name: title.name,
        labels: title.labels.into_iter().collect(),
        shared: summary.is_shared(),
        submitted_ms: now_ms(),
    };
    Submission { job, level, about, ..adoption.spec().clone() }
}

/// The tasks of a job on their way to another one.
struct HandOver<'a> {
    handle: &'a NodeHandle,
    kept: &'a Kept,
    from: JobId,
    to: JobId,
}

impl HandOver<'_> {
    async fn run(&self, adoption: Arc<Adoption>) -> Result<Inheritance, NotAdopted> {
        let Self { handle, kept, from, to } = *self;
        let mut cursor = Cursor::START;
        let mut outcomes = 0;
        while let Some((inherited, next)) = kept.inherited(from, &adoption, cursor).await? {
            outcomes += self.hand_in(inherited).await?;
            cursor = next;
        }
        if cursor.tasks() != adoption.tasks() {
            return Err(NotAdopted::Changed(from));
        }
        handle.accepted(to).await?;
        if let Some(reason) = handle.jobs.summary(to).and_then(|summary| summary.refused_more) {
            return Err(NotAccepted::Refused(reason).into());
        }
        if adoption.is_half() {
            handle.cancel(to).await?;
        } else {
            handle.jobs.close(to);
            handle.command(Command::Close { job: to }).await?;
            handle.accepted(to).await?;
        }
        Ok(Inheritance { outcomes, ..inheritance(&adoption) })
    }

    /// Hands tasks in; how many of them count as ended. One whose output is not here runs again.
    async fn hand_in(&self, inherited: Inherited) -> Result<u32, NotAdopted> {
        let Self { handle, to, .. } = *self;
        let Inherited { inputs, mut ends } = inherited;
        let is_here = |kept: &KeptEnd| kept.report.blobs().all(|blob| handle.store.has(blob));
        ends.retain(is_here);
        let outcomes = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        handle.jobs.submitted(to, &inputs);
        handle.command(Command::ExtendEnded { job: to, inputs, ends }).await?;
        Ok(outcomes)
    }
}
