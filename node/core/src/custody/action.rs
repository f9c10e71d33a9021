//! What a member wants done. The engine does it, in order.

use alloc::sync::Arc;

use super::message::CustodyMessage;
use super::position::Position;
use super::trio::Trio;
use crate::id::PeerId;

/// One thing to do. `Persist`, `Cut` and `Promise` are *writes*: they are made durable in the order in which they came, and
/// [`Member::on_durable`](super::Member::on_durable) is told how many more are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action<R> {
    /// Send a message; where its receiver is not connected, it is lost.
    Send {
        /// The receiver.
        to: PeerId,
        /// The message.
        message: CustodyMessage,
    },
    /// Write the next record of the log.
    Persist {
        /// Its number: that of the last record that was written and not cut, and one.
        seq: u32,
        /// The record.
        record: R,
        /// Bytes that [`Record::decode`](super::record::Record::decode) makes it of, as they came or are sent.
        bytes: Arc<[u8]>,
    },
    /// Remove the records behind this one.
    Cut {
        /// The number of the last one that stays.
        after: u32,
    },
    /// Write that this epoch was promised, in place of what was promised before.
    Promise {
        /// The epoch.
        epoch: u32,
    },
    /// Read records of the log, all writes before this one included; [`Member::on_read`](super::Member::on_read) answers.
    Read {
        /// The number of the first.
        from: u32,
        /// Bytes of records after which no further one is read; at least one is.
        bytes_max: u32,
    },
    /// Fetch the blobs that a record names, from each node of the trio that has them, until they are here or the record is not
    /// wanted any more ([`Self::Drop`]); [`Member::on_blobs`](super::Member::on_blobs) answers. Only then is it written, so
    /// what is in a log has its blobs here.
    Fetch {
        /// The record's place.
        at: Position,
        /// The record.
        record: R,
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The blobs of the records from this number on, which were to be fetched, are not wanted any more.
    Drop {
        /// The number of the first.
        from: u32,
    },
    /// All records up to this one are committed: they survive the loss of any one member.
    Committed {
        /// The number of the last.
        upto: u32,
    },
    /// This member leads from here on, and its log says so on its disk: recall it, then place tasks. Not said of a new job.
    Lead {
        /// Its epoch.
        epoch: u32,
    },
    /// This member leads no more. What it appended and was not committed may be lost.
    StepDown,
    /// This member follows.
    Follow {
        /// The leader, if it is known.
        leader: Option<PeerId>,
    },
    /// Other members keep the job from here on, which is committed.
    Keepers(Trio),
    /// The job was forgotten: delete its log, keep a tombstone ([`Tombstones`](super::Tombstones)), and when that is durable,
    /// tell a node [`CustodyMessage::Forgotten`]. This member has done its work.
    Forget {
        /// The node that is told, if any is.
        tell: Option<PeerId>,
    },
    /// Another member sits on this node's seat: delete the log, and remember what it
    /// left ([`Tombstones`](super::Tombstones)). This member has done its work.
    Leave {
        /// Where it lost its seat; [`Position::NONE`] if it never had one that counted.
        at: Position,
    },
}
