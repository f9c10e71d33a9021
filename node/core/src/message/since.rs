//! Which version of the protocol brought each kind of message: it is not sent to a node that speaks an older one.

use super::Message;

/// The version that has all kinds that were there when two versions first could meet in one mesh.
const FIRST: u8 = 11;

impl Message {
    /// The version that brought this kind. A new kind gets the version that it comes with.
    #[must_use]
    pub fn since(&self) -> u8 {
        match self {
            Self::Call(_)
            | Self::Withdraw(_)
            | Self::Bid(_)
            | Self::Decline(_)
            | Self::Award(_)
            | Self::Release(_)
            | Self::Refuse { .. }
            | Self::Renew(_)
            | Self::Outcome(_)
            | Self::Ack(_)
            | Self::Cancel(_)
            | Self::Printed { .. }
            | Self::Credit(_)
            | Self::Ended { .. }
            | Self::Assign(_)
            | Self::Cell(_)
            | Self::Stopped { .. }
            | Self::AskHolding(_)
            | Self::Holding(_)
            | Self::Custody(_)
            | Self::Lead(_)
            | Self::GivenBack { .. }
            | Self::AskEnds(_)
            | Self::JobEnds(_) => FIRST,
        }
    }
}
