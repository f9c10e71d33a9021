//! How a job is shown in lists: the columns that `weft jobs` pages through and filters by. No part of its log: a line
//! that is lost is listed anew from the log.

use weft_core::{JobId, PeerId};

use crate::error::Refused;

/// Letters of a name, in bytes; a longer one is refused.
pub const NAME_BYTES_MAX: usize = 256;
/// Labels of a job; more are refused.
pub const LABELS_MAX: usize = 32;
/// A label's name or value, in bytes; a longer one is refused.
pub const LABEL_BYTES_MAX: usize = 256;
/// Lines of one page; more are refused.
pub const PAGE_MAX: usize = 1000;

/// Before and behind each label, and between its name and its value.
const LABEL_END: char = '\u{1e}';
const LABEL_EQUALS: char = '\u{1f}';

/// How far a job is. The numbers are in the file and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// It comes after others that have not ended.
    Waiting = 1,
    /// Some of its tasks are open.
    Running = 2,
    /// All tasks have a result.
    Done = 3,
    /// It ended, and tasks failed.
    Failed = 4,
    /// It was cancelled.
    Cancelled = 5,
}

impl State {
    const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    pub(crate) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    pub(crate) fn number(self) -> i64 {
        i64::from(self as u8)
    }
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Who submitted it.
    pub owner: PeerId,
    /// Its name; may be empty.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// How far it is.
    pub state: State,
    /// When it was accepted, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Tasks; those that have a result; those that failed.
    pub tasks: u64,
    /// Tasks with a result.
    pub done: u64,
    /// Tasks that failed.
    pub failed: u64,
}

impl Listing {
    pub(crate) fn text_bytes(&self) -> usize {
        self.name.len() + self.labels.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>()
    }

    /// Whether its texts are within their bounds: one that is not is refused with all that is appended with it.
    ///
    /// # Errors
    /// [`Refused::Labels`], [`Refused::TooLong`] or [`Refused::Text`].
    pub fn check(&self) -> Result<(), Refused> {
        if self.labels.len() > LABELS_MAX {
            return Err(Refused::Labels { found: self.labels.len(), max: LABELS_MAX });
        }
        let texts = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let labels = texts.map(|text| ("a label", text, LABEL_BYTES_MAX));
        for (what, text, max) in labels.chain([("a job's name", &self.name, NAME_BYTES_MAX)]) {
            if text.len() > max {
                return Err(Refused::TooLong { what, bytes: text.len(), max });
            }
            if text.chars().any(char::is_control) {
                return Err(Refused::Text { what });
            }
        }
        Ok(())
    }

    /// All labels as one text in which [`label_text`] can be looked for.
    pub(crate) fn labels_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.labels {
            text.push_str(&label_text(name, value));
        }
        text
    }
}

/// A label as it is part of [`Listing::labels_text`].
pub(crate) fn label_text(name: &str, value: &str) -> String {
    format!("{LABEL_END}{name}{LABEL_EQUALS}{value}{LABEL_END}")
}

/// The labels of such a text.
pub(crate) fn labels_of(text: &str) -> Option<Vec<(String, String)>> {
    let labels = text.split(LABEL_END).filter(|part| !part.is_empty());
    labels
        .map(|label| label.split_once(LABEL_EQUALS).map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// Which jobs; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; empty for all.
    pub states: Vec<State>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// Accepted at that time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Submitted by that node.
    pub owner: Option<PeerId>,
    /// With that name.
    pub name: Option<String>,
}

/// Where a list goes on: behind a job that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(crate) since_ms: i64,
    pub(crate) no: i64,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The job.
    pub job: JobId,
    /// How it is shown.
    pub listing: Listing,
}

/// A part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Listed>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<Place>,
}
