//! What the first task of a job that has no result yet waits for: asked of the node now and then, in the background.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use weft_client::Mesh;

use super::why::at_work;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct StageWatch {
    text: Arc<Mutex<Option<String>>>,
    /// Ends with this.
    _asks: JoinSet<()>,
}

impl StageWatch {
    /// Begins to ask about this job.
    pub(crate) fn start(mesh: &Mesh, job: &str) -> Self {
        let text = Arc::new(Mutex::new(None));
        let (mesh, job, theirs) = (mesh.clone(), job.to_owned(), Arc::clone(&text));
        let mut asks = JoinSet::new();
        asks.spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                // It is not waited for: without an answer, the last one stays.
                let Ok(why) = mesh.why(&job, None).await else { continue };
                *theirs.lock().unwrap_or_else(PoisonError::into_inner) = at_work(&why.task);
            }
        });
        Self { text, _asks: asks }
    }

    /// What a worker is at with it, by the last answer.
    pub(crate) fn text(&self) -> Option<String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
