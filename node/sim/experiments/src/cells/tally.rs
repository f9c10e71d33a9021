//! Counts of a lean mesh: messages by kind, gossips, executions and ends.

use std::collections::BTreeMap;

use weft_core::{CellMessage, Message};

/// Kinds of messages that are counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Bids that are advertised at a matchmaker.
    Advertise,
    /// Requests for bids at a matchmaker.
    Request,
    /// Responses that a request waits.
    Waits,
    /// Requests of matchmakers for bids of other matchmakers.
    FlockRequest,
    /// Bids that matchmakers pass on to others.
    Flock,
    /// Introductions of workers to owners.
    Match,
    /// Awards on matched bids.
    Claim,
    /// Calls, bids, awards and declines without a matchmaker.
    Direct,
    /// Refused awards.
    Refuse,
    /// Releases, withdrawals and cancellations.
    Undo,
    /// Renewals of leases.
    Renew,
    /// Outcomes.
    Outcome,
    /// Acknowledgements.
    Ack,
}

impl Kind {
    pub(crate) fn of(message: &Message) -> Self {
        match message {
            Message::Cell(CellMessage::Advertise { .. }) => Self::Advertise,
            Message::Cell(CellMessage::Request(_)) => Self::Request,
            Message::Cell(CellMessage::Waits { .. }) => Self::Waits,
            Message::Cell(CellMessage::FlockRequest { .. }) => Self::FlockRequest,
            Message::Cell(CellMessage::Flock { .. }) => Self::Flock,
            Message::Cell(CellMessage::Match(_)) => Self::Match,
            Message::Cell(CellMessage::Claim { .. }) => Self::Claim,
            Message::Call(_)
            | Message::Bid(_)
            | Message::Award(_)
            | Message::Decline(_)
            | Message::Credit(_)
            | Message::Assign(_)
            | Message::Custody(_)
            | Message::Lead(_)
            | Message::AskHolding(_)
            | Message::Holding(_)
            | Message::AskEnds(_)
            | Message::JobEnds(_) => Self::Direct,
            Message::Refuse { .. } | Message::Stopped { .. } | Message::GivenBack { .. } => Self::Refuse,
            Message::Withdraw(_) | Message::Release(_) | Message::Cancel(_) => Self::Undo,
            Message::Renew(_) => Self::Renew,
            Message::Outcome(_) | Message::Ended { .. } | Message::Printed { .. } => Self::Outcome,
            Message::Ack(_) => Self::Ack,
        }
    }

    /// Whether it belongs to the end of a task; published tables leave these messages out.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Outcome | Self::Ack)
    }
}

/// Counts since the mesh began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<Kind, u64>,
    pub(crate) messages: u64,
    /// Estimated from the messages whose length was measured.
    pub(crate) bytes: u64,
    pub(crate) gossips: u64,
    pub(crate) gossip_bytes: u64,
    pub(crate) inputs: u64,
    pub(crate) executed: u64,
    pub(crate) ended: u64,
    /// The number of tasks that did not end as done.
    pub(crate) undone: u64,
    pub(crate) lost: u64,
    pub(crate) jobs_told: u64,
}

impl Tally {
    pub(crate) fn on_message(&mut self, kind: Kind, bytes: u64) {
        *self.kinds.entry(kind).or_default() += 1;
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(crate) fn on_gossip(&mut self, bytes: u64) {
        self.gossips += 1;
        self.gossip_bytes += bytes;
    }
}
