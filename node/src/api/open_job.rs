//! A job whose stream is open, so that it ends well however the stream does.

use tokio::sync::OwnedSemaphorePermit;
use weft_core::JobId;

use super::{Api, Orphan};
use crate::jobs::Feed;

/// A job in the table whose stream is open. Dropped before its time, it gives the job up: it is cancelled, and its
/// results are not kept. One that goes on without its stream gets no more inputs then. A job that another stream brings
/// inputs to, or will, or that another node leads, is left as it is.
pub(super) struct OpenJob {
    pub(super) api: Api,
    pub(super) job: JobId,
    pub(super) feed: Feed,
    permit: Option<OwnedSemaphorePermit>,
    /// The engine knows of it.
    pub(super) handed_in: bool,
    /// It goes on without its stream, with the inputs that came.
    pub(super) goes_on: bool,
}

impl OpenJob {
    pub(super) fn new(api: Api, job: JobId, feed: Feed, permit: OwnedSemaphorePermit) -> Self {
        Self { api, job, feed, permit: Some(permit), handed_in: false, goes_on: false }
    }

    /// The job no longer needs this stream.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }

    /// Whether this stream is the one that brings the job's inputs.
    pub(super) fn feeds(&self) -> bool {
        self.api.handle.jobs().is_fed_by(self.job, self.feed)
    }
}

impl Drop for OpenJob {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let jobs = self.api.handle.jobs();
        if !self.handed_in {
            jobs.retract(self.job);
            return;
        }
        if !self.feeds() || jobs.is_followed(self.job) {
            return;
        }
        if self.goes_on {
            jobs.close(self.job);
        } else {
            jobs.cancel(self.job);
            jobs.abandon(self.job);
        }
        // It holds as many as there are streams; only a server that ends refuses, and with it the node ends.
        drop(self.api.orphans.try_send(Orphan { job: self.job, goes_on: self.goes_on, _permit: permit }));
    }
}
