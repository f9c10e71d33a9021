//! How far the input of a job is that gathers the results of others. Plain data; `gather.rs` changes it.

/// How far a job's input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gathering {
    pub(super) state: State,
    /// How often a parent's log was not there, and nothing said that it may come.
    pub(super) missing: u8,
    /// How often it could not be made.
    pub(super) delays: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It was not asked for, or is known.
    #[default]
    Idle,
    /// The driver makes it.
    Asked,
    /// It is asked for again at a time that is set.
    Later,
}
