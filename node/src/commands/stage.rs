//! What the first task of a job that has no result yet waits for: asked of the node now and then, beside everything else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use weft_client::Mesh;

use super::why::at_work;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct StageWatch {
    text: Arc<Mutex<Option<String>>>,
    asks: JoinHandle<()>,
}

impl StageWatch {
    /// Begins to ask about this job.
    pub(crate) fn start(mesh: &Mesh, job: &str) -> Self {
        let text = Arc::new(Mutex::new(None));
        let (mesh, job, theirs) = (mesh.clone(), job.to_owned(), Arc::clone(&text));
        let asks = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                // Nobody waits for it: what can't be answered is left as it was.
                let Ok(why) = mesh.why(&job, None).await else { continue };
                *theirs.lock().unwrap_or_else(PoisonError::into_inner) = at_work(&why.task);
            }
        });
        Self { text, asks }
    }

    /// What a worker is at with it, by the last answer.
    pub(crate) fn text(&self) -> Option<String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for StageWatch {
    fn drop(&mut self) {
        self.asks.abort();
    }
}
