//! What the journal says while the node runs, for the loop: it goes to the engine.

use weft_core::{Input, JobId};

use super::Node;
use crate::ports::News;

impl Node {
    /// Tells the engine what the journal said.
    pub(super) fn on_news(&mut self) {
        self.ports.news().into_iter().for_each(|news| self.hear(news));
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Lost { job, blob } => self.on_lost(job, blob),
            News::Input(Input::JournalFailed) => {
                self.apply(Input::JournalFailed);
                self.on_journal_failed();
            }
            News::Input(input) => {
                let recalled = if let Input::Recalled { job, .. } = &input { Some(*job) } else { None };
                self.apply(input);
                recalled.into_iter().for_each(|job| self.on_recalled(job));
            }
        }
    }

    /// A log was read. What the table would show of it is wanted only where this node leads the job, and not where only its end
    /// was asked for.
    fn on_recalled(&mut self, job: JobId) {
        if !self.engine.leads(job) {
            self.ports.drop_recalled(job);
        }
    }
}
