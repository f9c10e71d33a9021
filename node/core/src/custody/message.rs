//! What the members of a trio tell each other. Unchecked: the receiver must validate it.

use crate::id::JobId;

/// One message between two members.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum CustodyMessage {
    /// Follower to candidate and leader: no more of this job; it was forgotten.
    Forget {
        /// The job.
        job: JobId,
    },
}
