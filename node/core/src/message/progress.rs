//! What a worker does with the tasks that it holds, as it reports it. For people; no decision depends on it.

/// What a worker does with a task that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Progress {
    /// The worker did not report it.
    #[default]
    Unknown,
    /// It fetches the module, the input or the files.
    Fetching,
    /// The task waits for a slot.
    Waiting,
    /// The module is being compiled, or waits to be.
    Compiling,
    /// The task was handed to a slot.
    Running,
}

impl Progress {
    /// Its name in lower case; `None` if it is unknown.
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
