//! Known results: whose word a job takes instead of running a task, and whose word a result is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose word for the result of a pure task is taken, so that it need not run. JSON: one of the words, or `true` for
/// `own` and `false` for `off`.
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
#[serde(rename_all = "snake_case", from = "Said")]
pub enum Recall {
    /// Nobody's: the task runs.
    Off,
    /// What the node of this job computed itself or had brought home for an earlier job, and what the node that the
    /// task is given to computed itself.
    #[default]
    Own,
    /// Also what any member of the mesh says that it computed, though nobody here asked it to: whoever holds the mesh key
    /// can make such a result up.
    Mesh,
}

/// As JSON has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"own\", \"mesh\" or \"off\", or true or false")]
enum Said {
    Flag(bool),
    Word(Word),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Off,
    Own,
    Mesh,
}

impl From<Said> for Recall {
    fn from(said: Said) -> Self {
        match said {
            Said::Flag(false) | Said::Word(Word::Off) => Self::Off,
            Said::Flag(true) | Said::Word(Word::Own) => Self::Own,
            Said::Word(Word::Mesh) => Self::Mesh,
        }
    }
}

/// `true` is [`Recall::Own`], `false` is [`Recall::Off`].
impl From<bool> for Recall {
    fn from(takes: bool) -> Self {
        if takes { Self::Own } else { Self::Off }
    }
}

impl std::str::FromStr for Recall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "own" => Ok(Self::Own),
            "mesh" => Ok(Self::Mesh),
            _ => Err(String::from("expected own, mesh or off")),
        }
    }
}

/// Whose word a result is for which nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "snake_case")]
pub enum Recalled {
    /// The node of the job computed it itself.
    Here,
    /// Its worker brought it home for an earlier job of that node.
    Home,
    /// The worker that was given the task says that it had computed it before.
    Worker,
    /// A member of the mesh told everybody that it computed it; nobody here asked it to.
    Mesh,
}

/// Whose word it is, to follow `computed by` and the name of the node that did.
impl fmt::Display for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "itself",
            Self::Home => "for an earlier job of this node",
            Self::Worker => "before it was given this task",
            Self::Mesh => "by its own word, which nobody asked for",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_word_is_taken_is_a_word_or_a_flag() {
        let table = [
            ("\"off\"", Recall::Off),
            ("\"own\"", Recall::Own),
            ("\"mesh\"", Recall::Mesh),
            ("true", Recall::Own),
            ("false", Recall::Off),
        ];
        for (text, recall) in table {
            assert_eq!(serde_json::from_str::<Recall>(text).unwrap(), recall, "{text}");
        }
        let wrong = serde_json::from_str::<Recall>("\"all\"").unwrap_err().to_string();
        assert!(wrong.contains("\"own\", \"mesh\" or \"off\""), "{wrong}");
        assert_eq!(serde_json::to_string(&Recall::Mesh).unwrap(), "\"mesh\"");
        assert_eq!(
            ["own", "mesh", "off"].map(|word| word.parse()),
            [Ok(Recall::Own), Ok(Recall::Mesh), Ok(Recall::Off)]
        );
        assert!("yes".parse::<Recall>().is_err());
    }
}
