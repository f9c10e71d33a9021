//! How a job is kept and found again: what it survives, its name and its labels.

use crate::api::Level;
use crate::pump::Handing;
use crate::task::Task;

/// How a job is kept and called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keep {
    pub(crate) level: Option<Level>,
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) shared: bool,
    pub(crate) keep_with: String,
}

impl Task {
    /// Whether a job of it is kept above memory.
    pub(crate) fn is_kept(&self, detached: bool) -> bool {
        self.keep.level.unwrap_or_else(|| Level::of_none(detached)) != Level::Memory
    }

    /// How its inputs are handed in. What takes results has none that would have to go again.
    pub(crate) fn handing(&self, detached: bool) -> Handing {
        let holds = self.is_kept(detached) && !self.join.takes_results();
        Handing { takes_parcels: self.takes_parcels(), holds }
    }

    /// What a job of this task survives. Default: [`Level::of_none`].
    ///
    /// A job of [`Level::Disk`] goes on when this program ends or its node restarts, however it was begun;
    /// [`crate::Mesh::attach`] finds it again.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.keep.level = Some(level);
        self
    }

    /// A name for its job, which can be used in the place of the id: 1 to 256 bytes without control characters and
    /// slashes, not hexadecimal digits alone. Several jobs may have the same name; then it takes an id to tell them apart.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.keep.name = name.into();
        self
    }

    /// A label for its job, for filters: at most 32, each of up to 64 bytes and a value of up to 256. Of two values for
    /// one label the last one counts.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        let label = label.into();
        self.keep.labels.retain(|(set, _)| *set != label);
        self.keep.labels.push((label, value.into()));
        self
    }

    /// Every member of the mesh may cancel, retry and forget its job, not only the node that it is submitted to. Each may
    /// read it in any case.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.keep.shared = true;
        self
    }

    /// Has its job, at [`Level::Mesh`], kept by the same three nodes as another job of this node, as long as the same nodes can keep
    /// jobs; so that one job can take the results of both ([`Task::gather`]).
    #[must_use]
    pub fn keep_with(mut self, job: impl Into<String>) -> Self {
        self.keep.keep_with = job.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Payload;

    #[test]
    fn a_job_says_what_it_survives_and_how_it_is_found() {
        let task = Task::command(Vec::new()).name("nightly").label("a", "1").label("b", "2").label("a", "3");
        let request = task.request([0; 32], Payload::default(), false);
        assert_eq!((request.name.as_str(), request.level), ("nightly", Level::Memory));
        assert_eq!(request.labels, [("b".into(), "2".into()), ("a".into(), "3".into())]);
        let request = task.level(Level::Disk).request([0; 32], Payload::default(), false);
        assert_eq!((request.level, request.shared), (Level::Disk, false));
        let task = Task::command(Vec::new()).shared();
        assert!(task.request([0; 32], Payload::default(), true).shared);
    }
}
