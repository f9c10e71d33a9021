//! Known results of pure tasks: which of them a job uses instead of running a task, and where a result was known.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which known results of a pure task are used, so that it need not run. JSON: one of the words, or `true` for `own` and
/// `false` for `off`.
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
    /// None: the task runs.
    Off,
    /// Results that the node of this job computed itself or received for an earlier job of its own, and results that
    /// the worker of the task says that it computed itself.
    #[default]
    Own,
    /// Also results that any member of the mesh reports by gossip: a holder of the mesh key can make such a result up.
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

/// Where a result was known for which nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "snake_case")]
pub enum Recalled {
    /// The node of the job computed it itself.
    Here,
    /// That node received it for an earlier job of its own.
    Home,
    /// The worker that was given the task says that it had computed it before.
    Worker,
    /// A member of the mesh gossiped it.
    Mesh,
}

/// A text that follows `computed by` and the name of the node.
impl fmt::Display for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "itself",
            Self::Home => "for an earlier job of this node",
            Self::Worker => "before it was given this task",
            Self::Mesh => "as it reported to the mesh, unproven",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_known_results_is_a_word_or_a_flag() {
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
