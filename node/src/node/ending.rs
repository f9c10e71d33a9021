//! What ends with a node: jobs at level `memory` live in the memory of the node that they were submitted to. Those at level
//! `disk` go on when it is started again.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tokio::task::JoinHandle;
use weft_core::snapshot::Snapshot;
use weft_core::{Command, Effect, Input, JobId, PeerId};

use super::Node;

/// How long a node that ends waits for its journal.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// Jobs that were not over when their node ended, and how its journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Jobs that end.
    pub jobs: u64,
    /// Tasks of theirs that had not ended.
    pub tasks: u64,
    /// Unfinished jobs that are kept on disk: they go on when the node is started again.
    pub kept_jobs: u64,
    /// Why the journal keeps nothing any more, if it failed, or could not be closed.
    pub journal_failure: Option<String>,
    /// Why it had no journal at all, if that could not be opened.
    pub journal_unopened: Option<String>,
    /// What is wrong with the journal, if it was found damaged, or had lost what was in it, when it was opened or later: the
    /// first of it.
    pub journal_damage: Option<String>,
}

impl Ending {
    fn of(snapshot: &Snapshot, is_kept: impl Fn(JobId) -> bool) -> Self {
        let mut ending = Self::default();
        for job in &snapshot.jobs {
            let unfinished = job.tasks - job.done - job.failed - job.cancelled;
            if unfinished == 0 && !job.open {
                continue;
            }
            if is_kept(job.job) {
                ending.kept_jobs += 1;
                continue;
            }
            ending.jobs += 1;
            ending.tasks += u64::from(unfinished);
        }
        ending
    }
}

impl Node {
    /// The engine's last messages. `all_hear` waits for all peers, not only for workers of this node: they were given tasks
    /// back.
    pub(super) async fn end(mut self, all_hear: bool) -> Ending {
        let jobs = self.handle.jobs();
        let is_kept = |job| jobs.summary(job).is_some_and(|summary| summary.journalled);
        let snapshot = self.engine.snapshot();
        let here = snapshot.peers.iter().filter(|peer| peer.connected).map(|peer| peer.peer);
        let mut ending = Ending::of(&snapshot, is_kept);
        ending.journal_failure = self.kept.failure().map(String::from);
        ending.journal_unopened = self.kept.unopened().map(String::from);
        ending.journal_damage = self.kept.damage().map(String::from).or_else(|| {
            let journal = self.ports.keeper()?.journal();
            journal.troubles().next()
        });
        let (now, input) = (self.now(), Input::Command(Command::Stop));
        let draft = self.recorder.draft(now, &input);
        let effects: Vec<Effect> = self.engine.handle(now, input).collect();
        if let Some(draft) = draft {
            self.recorder.finish(draft, &effects);
        }
        let to = |effect: &Effect| if let Effect::Send { to, .. } = effect { Some(*to) } else { None };
        let mut told: BTreeSet<PeerId> = effects.iter().filter_map(to).collect();
        told.extend(here.filter(|_| all_hear));
        effects.into_iter().for_each(|effect| self.ports.perform(effect));
        self.ports.flush();
        let told: Vec<PeerId> = told.into_iter().collect();
        let keeper = self.ports.take_keeper();
        let closing = keeper.map(|keeper| tokio::task::spawn_blocking(|| keeper.close()));
        {
            let mut delivered = std::pin::pin!(self.ports.deliver(&told));
            loop {
                tokio::select! {
                    () = &mut delivered => break,
                    // Further messages of peers don't matter, but must be read before their acknowledgements.
                    Some(_) = self.events.next() => {}
                }
            }
        }
        if let (None, Some(closing)) = (&ending.journal_failure, closing) {
            ending.journal_failure = closed(closing).await.err();
        }
        ending
    }
}

/// Waits until the journal is closed. A disk that hangs is not waited for: what was told to clients is on it.
async fn closed(closing: JoinHandle<Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(CLOSE_MAX, closing).await {
        Ok(Ok(closed)) => closed,
        Ok(Err(ended)) => {
            crate::ports::report_panic("closing the journal", ended);
            Err(String::from("closing the journal broke, which is a fault of weft"))
        }
        Err(_late) => {
            Err(format!("the journal did not close within {} s; check the disk", CLOSE_MAX.as_secs()))
        }
    }
}

/// For people; of no use when nothing ends.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, tasks, .. } = self;
        let (job, ends) = if *jobs == 1 { ("job", "ends") } else { ("jobs", "end") };
        let task = if *tasks == 1 { "task" } else { "tasks" };
        write!(f, "{jobs} {job} with {tasks} unfinished {task} {ends} with this node")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_in_one_sentence() {
        let said = |jobs, tasks| Ending { jobs, tasks, ..Ending::default() }.to_string();
        assert_eq!(said(2, 40), "2 jobs with 40 unfinished tasks end with this node");
        assert_eq!(said(1, 1), "1 job with 1 unfinished task ends with this node");
    }
}
