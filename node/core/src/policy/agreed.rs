//! Bounds that owner and worker both rely on.

/// Highest number of an attempt that a worker stops because memory is short. Attempts that ended otherwise count, too:
/// all that a worker knows of earlier attempts is the number in the lease.
pub(crate) const STOPPED_ATTEMPTS_MAX: u32 = 2;
/// Outcomes of one owner that wait for its acknowledgement, beyond which a worker takes no new work of it: one that does not
/// acknowledge must not stop the work for others.
pub(crate) const UNDELIVERED_PER_OWNER_MAX: usize = 2048;
/// Longest wait of a worker between two attempts to deliver an outcome, in milliseconds.
pub(crate) const RESEND_MAX_MS: u64 = 8000;
