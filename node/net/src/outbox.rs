//! The queue of frames to one peer: bounded, filled without blocking, drained in batches by the link's writer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::frame::NetFrame;

/// Most waiting messages: enough for a burst to a peer that reads late. Beyond it the newest is dropped and counted,
/// which the core handles like any other loss.
const MESSAGES_MAX: usize = 32_768;
/// Most waiting bytes of messages.
const BYTES_MAX: usize = 32 << 20;
/// Most waiting heartbeats and address lists; dropped beyond it, for newer ones follow.
const URGENT_MAX: usize = 128;
/// A batch ends at this many bytes,
const BATCH_BYTES: usize = 16 << 10;
/// or at this many frames.
const BATCH_FRAMES: usize = 64;

#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    /// The peer answered a ping that was queued behind all earlier messages.
    delivered: Notify,
}

/// The number of a ping that is queued behind messages; those of heartbeats count up from 1.
pub(crate) const LAST_PING: u64 = u64::MAX;

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Vec<u8>>,
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether a frame was added since the last [`Outbox::has_spoken`]; pings don't count.
    spoken: bool,
}

impl Outbox {
    /// Adds an encoded frame behind the others; `false` when there is no room.
    #[must_use]
    pub(crate) fn push(&self, frame: Vec<u8>) -> bool {
        let mut queue = self.lock();
        if queue.frames.len() >= MESSAGES_MAX || queue.bytes + frame.len() > BYTES_MAX {
            return false;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        queue.spoken = true;
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Adds an encoded frame in front of messages: a heartbeat must not wait behind megabytes.
    pub(crate) fn push_urgent(&self, frame: Vec<u8>) {
        self.urge(frame, true);
    }

    /// Adds a ping, which does not count for [`Outbox::has_spoken`].
    pub(crate) fn ping(&self, frame: Vec<u8>) {
        self.urge(frame, false);
    }

    /// Waits until the peer has received all earlier messages; for ever, if it never does.
    pub(crate) async fn deliver(&self) {
        if self.push(NetFrame::Ping(LAST_PING).encode()) {
            self.delivered.notified().await;
        }
    }

    /// The peer answered.
    pub(crate) fn on_delivered(&self) {
        self.delivered.notify_one();
    }

    /// Whether anything but pings was added since this was last asked.
    pub(crate) fn has_spoken(&self) -> bool {
        std::mem::take(&mut self.lock().spoken)
    }

    fn urge(&self, frame: Vec<u8>, speaks: bool) {
        let mut queue = self.lock();
        if queue.urgent.len() < URGENT_MAX {
            queue.urgent.push_back(frame);
            queue.spoken |= speaks;
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Waits for frames and moves one batch of them into `batch`, which must be empty.
    pub(crate) async fn next_batch(&self, batch: &mut Vec<u8>) {
        while !self.take_batch(batch) {
            self.filled.notified().await;
        }
    }

    fn take_batch(&self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        let mut taken = 0;
        while taken < BATCH_FRAMES && batch.len() < BATCH_BYTES {
            let urgent = queue.urgent.pop_front();
            let Some(frame) = urgent.or_else(|| queue.pop()) else { break };
            batch.extend_from_slice(&frame);
            taken += 1;
        }
        taken > 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_bound_the_newest_is_dropped() {
        let outbox = Outbox::default();
        assert!(outbox.push(vec![0; BYTES_MAX]));
        assert!(!outbox.push(vec![0]));
        assert!(outbox.take_batch(&mut Vec::new()));
        assert!(outbox.push(vec![0]));
    }

    #[test]
    fn what_is_urgent_overtakes() {
        let outbox = Outbox::default();
        assert!(outbox.push(vec![1]));
        outbox.push_urgent(vec![2]);
        let mut batch = Vec::new();
        assert!(outbox.take_batch(&mut batch));
        assert_eq!(batch, [2, 1]);
        assert!(!outbox.take_batch(&mut batch));
    }

    #[test]
    fn a_ping_is_no_speech() {
        let outbox = Outbox::default();
        outbox.ping(vec![1]);
        assert!(!outbox.has_spoken());
        outbox.push_urgent(vec![2]);
        assert!(outbox.has_spoken());
        assert!(!outbox.has_spoken());
        assert!(outbox.push(vec![3]));
        assert!(outbox.has_spoken());
    }

    #[test]
    fn a_batch_ends_at_its_bounds() {
        let outbox = Outbox::default();
        for _ in 0..BATCH_FRAMES + 1 {
            assert!(outbox.push(vec![0; 10]));
        }
        let mut batch = Vec::new();
        assert!(outbox.take_batch(&mut batch));
        assert_eq!(batch.len(), BATCH_FRAMES * 10);
    }
}
