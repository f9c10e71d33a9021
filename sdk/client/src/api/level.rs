//! What a job survives, the same in JSON and in frames.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a job survives: the loss of which machine or process ends it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    bincode::Encode,
    bincode::Decode,
)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Level {
    /// Its node's memory keeps it: it survives its workers, and ends with its node.
    #[default]
    Memory,
    /// Its node's disk keeps it: it is accepted once its record is there, and survives a restart of its node.
    Disk,
    /// Three nodes keep it: it survives the loss of any one of them for ever.
    Mesh,
}

impl Level {
    /// The level of a job that names none: a detached one is kept better than one whose submitter waits for it.
    #[must_use]
    pub fn of_none(detached: bool) -> Self {
        if detached { Self::Disk } else { Self::Memory }
    }

    /// The level in one lower-case word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Mesh => "mesh",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            "mesh" => Ok(Self::Mesh),
            _ => Err(String::from("expected memory, disk or mesh")),
        }
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|expected| format!("level {text:?}: {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_survives_text_and_what_is_none_is_refused() {
        for level in [Level::Memory, Level::Disk, Level::Mesh] {
            assert_eq!(level.word().parse(), Ok(level));
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(serde_json::from_str::<Level>(&json).unwrap(), level);
        }
        assert!("trio".parse::<Level>().unwrap_err().contains("memory, disk or mesh"));
        assert!(serde_json::from_str::<Level>("\"Disk\"").is_err());
    }
}
