//! Bounds that owner and worker both rely on.

/// Highest number of an attempt that a worker stops because memory is short. Attempts that ended otherwise count, too:
/// all that a worker knows of earlier attempts is the number in the lease.
pub(crate) const STOPPED_ATTEMPTS_MAX: u32 = 2;
/// Longest wait of a worker between two attempts to deliver an outcome, in milliseconds.
pub(crate) const RESEND_MAX_MS: u64 = 8000;
