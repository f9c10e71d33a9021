//! Bounds that owner and worker both count on, so that each knows what the other does.

/// A worker stops no attempt with a higher number than this for memory. Attempts that ended otherwise count, too: a
/// worker knows no more of a task's past than the number that its lease carries.
pub(crate) const STOPPED_ATTEMPTS_MAX: u32 = 2;
/// Longest wait of a worker between two attempts to deliver an outcome, in milliseconds.
pub(crate) const RESEND_MAX_MS: u64 = 8000;
