//! What a write of the store promises when it returns.

/// What a power cut may do to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It may be lost, and never be wrong: for what can be fetched or computed again.
    Cached,
    /// It is on the disk when the call returns: for what an accepted job rests on. Costs an fsync or two.
    Durable,
}
