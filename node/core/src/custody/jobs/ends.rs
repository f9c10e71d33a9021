//! How jobs ended that this node keeps, for nodes that do not and lead jobs that come after them (`owner/absent.rs`). The rest of
//! `custody/jobs.rs`, in a file of its own for its length.

use alloc::vec::Vec;

use super::Custody;
use crate::ctx::Ctx;
use crate::id::{JobId, PeerId};
use crate::message::Message;

impl Custody {
    /// Another node wants to know how jobs ended. Any may ask, for every member may read every job. Of one that goes on it is told
    /// nothing. The log of one that has ended is read once; the node asks again.
    pub(crate) fn on_ask_ends(&mut self, ctx: &mut Ctx<'_>, from: PeerId, asked: &[JobId]) {
        let mut ends: Vec<(JobId, bool)> = Vec::new();
        for job in ctx.within_frame(asked).iter().copied() {
            let kept = self.jobs.get(&job).filter(|kept| kept.member.has_ended());
            if self.gone.has(job) {
                ends.push((job, false));
            } else if let Some(kept) = kept {
                let known = kept.ended_as.filter(|(seq, _)| Some(*seq) == kept.member.log().ended());
                match known {
                    Some((_, succeeded)) => ends.push((job, succeeded)),
                    None => self.watch(job),
                }
            }
        }
        if !ends.is_empty() {
            ctx.send(from, Message::JobEnds(ends));
        }
    }

    /// A job ended with that record of its log.
    pub(crate) fn note_end(&mut self, job: JobId, seq: u32, succeeded: bool) {
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.ended_as = Some((seq, succeeded));
        }
    }
}
