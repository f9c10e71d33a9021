//! What a write guarantees when it returns.

/// What a power failure may do to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It may be lost, but is never corrupt: for blobs that can be fetched or computed again.
    Cached,
    /// It is on disk when the call returns: for blobs that must survive a power failure. Costs one or two fsyncs.
    /// A node asks for it for what a job at level `disk` rests on.
    Durable,
}
