//! What a worker says that it is at with the tasks it holds. For people: nothing is decided by it.

/// How far a worker is with a task that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Progress {
    /// It did not say.
    #[default]
    Unknown,
    /// The module, the input or the files are on their way to it.
    Fetching,
    /// The task waits for a slot.
    Waiting,
    /// The module is being compiled, or waits for that.
    Compiling,
    /// The task was handed to a slot.
    Running,
}

impl Progress {
    /// It in one lower-case word; `None` where there is nothing to say.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Fetching => Some("fetching"),
            Self::Waiting => Some("waiting"),
            Self::Compiling => Some("compiling"),
            Self::Running => Some("running"),
        }
    }
}
