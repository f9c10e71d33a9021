//! Priority classes: which of two tasks goes first.

/// Priority class, least urgent first. On a full worker a task of a higher class pauses one of a lower class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Class {
    /// Only slots that no other class wants.
    Scavenger,
    /// Throughput matters, latency does not.
    #[default]
    Batch,
    /// A person waits for the result.
    Interactive,
    /// A machine or a process waits for the result.
    Realtime,
}

impl Class {
    /// All classes, least urgent first.
    pub const ALL: [Self; 4] = [Self::Scavenger, Self::Batch, Self::Interactive, Self::Realtime];

    /// The next more urgent class; for the most urgent class itself.
    #[must_use]
    pub fn above(self) -> Self {
        match self {
            Self::Scavenger => Self::Batch,
            Self::Batch => Self::Interactive,
            Self::Interactive | Self::Realtime => Self::Realtime,
        }
    }

    /// The name of the class, in lower case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scavenger => "scavenger",
            Self::Batch => "batch",
            Self::Interactive => "interactive",
            Self::Realtime => "realtime",
        }
    }
}
