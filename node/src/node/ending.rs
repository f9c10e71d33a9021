//! What ends with a node: jobs live in the memory of the node that they were submitted to.

use std::collections::BTreeSet;
use std::fmt;

use weft_core::snapshot::Snapshot;
use weft_core::{Command, Effect, Input, PeerId};

use super::Node;

/// Jobs that were not over when their node ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Jobs that end.
    pub jobs: u64,
    /// Tasks of theirs that had not ended.
    pub tasks: u64,
}

impl Ending {
    fn of(snapshot: &Snapshot) -> Self {
        let mut ending = Self::default();
        for job in &snapshot.jobs {
            let unfinished = job.tasks - job.done - job.failed - job.cancelled;
            if unfinished > 0 || job.open {
                ending.jobs += 1;
                ending.tasks += u64::from(unfinished);
            }
        }
        ending
    }
}

impl Node {
    /// The engine's last messages.
    pub(super) async fn end(mut self) -> Ending {
        let ending = Ending::of(&self.engine.snapshot());
        let (now, input) = (self.now(), Input::Command(Command::Stop));
        let draft = self.recorder.draft(now, &input);
        let effects: Vec<Effect> = self.engine.handle(now, input).collect();
        if let Some(draft) = draft {
            self.recorder.finish(draft, &effects);
        }
        let to = |effect: &Effect| if let Effect::Send { to, .. } = effect { Some(*to) } else { None };
        let told: BTreeSet<PeerId> = effects.iter().filter_map(to).collect();
        effects.into_iter().for_each(|effect| self.ports.perform(effect));
        self.ports.flush();
        let told: Vec<PeerId> = told.into_iter().collect();
        let mut delivered = std::pin::pin!(self.ports.deliver(&told));
        loop {
            tokio::select! {
                () = &mut delivered => return ending,
                // Further messages of peers don't matter, but must be read before their acknowledgements.
                Some(_) = self.events.next() => {}
            }
        }
    }
}

/// For people; of no use when nothing ends.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, tasks } = self;
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
        let said = |jobs, tasks| Ending { jobs, tasks }.to_string();
        assert_eq!(said(2, 40), "2 jobs with 40 unfinished tasks end with this node");
        assert_eq!(said(1, 1), "1 job with 1 unfinished task ends with this node");
    }
}
