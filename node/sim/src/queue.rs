//! Virtual time: one ordered queue of events. Events of the same time happen in the order in which they were planned.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::{BlobId, Command, Gossip, JobId, Message, PeerId, RunId, Time};

use crate::custody::Read;
use crate::fault::Fault;
use crate::gathers::Gather;
use crate::host::HostId;
use crate::link::LinkId;
use crate::mesh::Rows;

/// How an execution ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, if it still has the slot of this turn, which counts from 1.
    Natural(u32),
    /// It was aborted.
    Aborted,
}

/// What a user wants of a job at level `mesh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That it is cancelled.
    Cancel,
    /// That what failed of it is tried again.
    Retry,
    /// That it is forgotten.
    Forget,
}

/// An event of the world.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A user gives a host a command.
    User { host: HostId, command: Command },
    /// An execution of one process of a host ends, by itself or after an abort.
    Ran { host: HostId, life: u32, run: RunId, how: Ending },
    /// An execution of one process of a host prints.
    Prints { host: HostId, life: u32, run: RunId },
    /// A batch of receipts is signed.
    Signed { host: HostId, life: u32, batch: u64, root: [u8; 32] },
    /// A record of one process of a host is on its disk.
    Persisted { host: HostId, life: u32, ticket: u64 },
    /// A driver of one process of a host has read a log: as it was when it was asked, or as it is.
    Read { host: HostId, life: u32, read: Read, rows: Option<Rows> },
    /// A driver of one process of a host has made a job's input of the results of its parents.
    Gather { host: HostId, life: u32, what: Gather },
    /// A user wants something of the node that leads a job at level `mesh`.
    Wish { job: JobId, wish: Wish, tries: u32 },
    /// A fetch of one process of a host ends.
    Fetched { host: HostId, life: u32, blob: BlobId, from: Vec<PeerId> },
    /// A frame reaches the other end of its connection.
    Arrive { from: HostId, to: HostId, epoch: u64, seq: u64, message: Message },
    /// A gossip reaches a host.
    Heard { host: HostId, origin: PeerId, gossip: Gossip },
    /// One end of a connection learns that it is open.
    SideUp { link: LinkId, side: usize, epoch: u64 },
    /// One end of a connection learns that it is gone: closed by the other end, or silent.
    SideDown { link: LinkId, side: usize, epoch: u64, closed: bool },
    /// A connection was silent since then; if it still is, the heartbeat closes it.
    Silent { link: LinkId, since: Time },
    /// One end of a closed connection dials.
    Redial { link: LinkId },
    /// An engine asked to be woken now.
    Wake { host: HostId, life: u32 },
    /// A fault, or its mending.
    Fault(Fault),
    /// A process that its user ended exits.
    Ends { host: HostId, life: u32 },
}

/// The queue of planned events, and the current time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    now: Time,
    planned: u64,
    events: BTreeMap<(Time, u64), Event>,
}

impl Queue {
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Plans an event `after` from now.
    pub(crate) fn after(&mut self, after: Duration, event: Event) {
        self.at(self.now + after, event);
    }

    /// Plans an event; one in the past happens now.
    pub(crate) fn at(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.events.insert((at.max(self.now), self.planned), event);
    }

    /// The next event no later than `until`, with the clock set to it; otherwise the clock is set to `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<Event> {
        match self.events.first_entry().filter(|entry| entry.key().0 <= until) {
            Some(entry) => {
                let ((at, _), event) = entry.remove_entry();
                self.now = at;
                Some(event)
            }
            None => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_then_of_planning() {
        let mut queue = Queue::default();
        let wake = |host| Event::Wake { host: HostId(host), life: 0 };
        queue.after(Duration::from_millis(2), wake(2));
        queue.after(Duration::from_millis(1), wake(0));
        queue.after(Duration::from_millis(1), wake(1));
        let mut order = Vec::new();
        while let Some(event) = queue.pop(Time::ZERO.plus_ms(10)) {
            if let Event::Wake { host, .. } = event {
                order.push((host.0, queue.now().0));
            }
        }
        assert_eq!(order, [(0, 1000), (1, 1000), (2, 2000)]);
        assert_eq!(queue.now(), Time::ZERO.plus_ms(10));
    }
}
