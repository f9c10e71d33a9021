//! What decides the results of a step, as hashes, and how it is written on the step's job: as labels, which are kept with the job by the
//! nodes that keep it. There is no other record of a flow.

use weft_client::api;

/// The label with the flow's name.
pub(crate) const FLOW: &str = "flow";
/// The label with the step's name; a step that gathers several finds the results of each in a directory of that name.
pub(crate) const STEP: &str = "step";
/// The label with the hash of all that decides.
pub(crate) const CONTENT: &str = "flow-content";
/// The label with the beginnings of the hashes of its parts.
pub(crate) const PARTS: &str = "flow-parts";

/// Digits of the hash of a part in [`PARTS`].
const PART_DIGITS: usize = 10;
/// The parts, in their order there, and how a change of each is told.
const CHANGES: [&str; 6] = [
    "the module changed",
    "the arguments changed",
    "the limits changed",
    "the files of in changed",
    "the inputs changed",
    "it takes other results",
];

/// BLAKE3 hashes of what decides a step's results, besides the steps that it takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) module: [u8; 32],
    /// The function, the arguments, the environment and the profile.
    pub(crate) call: [u8; 32],
    pub(crate) limits: [u8; 32],
    /// What is under `/in`.
    pub(crate) files: [u8; 32],
    /// Of all inputs that are no results, in order.
    pub(crate) inputs: [u8; 32],
}

/// What the labels of a job say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    content: String,
    parts: String,
}

impl Content {
    /// A hash with texts of which each has its end.
    pub(crate) fn with_texts(hash: [u8; 32], texts: &[String]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&hash);
        for text in texts {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// With the jobs whose results it takes, in order, and how: `each` or `gather`.
    pub(crate) fn written(&self, how: &str, jobs: &[String]) -> Written {
        let Self { module, call, limits, files, inputs } = self;
        let mut texts = vec![how.to_owned()];
        texts.extend_from_slice(jobs);
        let edges = Self::with_texts([0; 32], &texts);
        let parts = [module, call, limits, files, inputs, &edges];
        let mut whole = blake3::Hasher::new();
        for part in parts {
            whole.update(part);
        }
        let digits = |hash: &[u8; 32]| {
            blake3::Hash::from_bytes(*hash).to_hex().get(..PART_DIGITS).unwrap_or_default().to_owned()
        };
        Written { content: whole.finalize().to_hex().to_string(), parts: parts.map(digits).concat() }
    }
}

impl Written {
    /// What an earlier job says; nothing that is equal to anything, where it is no step's.
    pub(crate) fn on(job: &api::Job) -> Self {
        let label = |name: &str| job.labels.get(name).cloned().unwrap_or_default();
        Self { content: label(CONTENT), parts: label(PARTS) }
    }

    /// Whether the results are the same.
    pub(crate) fn is_same(&self, earlier: &Self) -> bool {
        self.content == earlier.content
    }

    /// What is another now than it was in an earlier job, in words.
    pub(crate) fn changes(&self, earlier: &Self) -> Vec<&'static str> {
        let part = |written: &Self, at: usize| -> Option<String> {
            written.parts.get(at * PART_DIGITS..(at + 1) * PART_DIGITS).map(str::to_owned)
        };
        let changed = CHANGES.iter().enumerate().filter(|(at, _)| part(self, *at) != part(earlier, *at));
        changed.map(|(_, text)| *text).collect()
    }

    /// The labels of the job of a step.
    pub(crate) fn labels(self, flow: &str, step: &str) -> [(&'static str, String); 4] {
        [(FLOW, flow.to_owned()), (STEP, step.to_owned()), (CONTENT, self.content), (PARTS, self.parts)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_its_part() {
        let first =
            Content { module: [1; 32], call: [2; 32], limits: [3; 32], files: [4; 32], inputs: [5; 32] };
        let jobs = |id: &str| vec![String::from(id)];
        let before = first.written("each", &jobs("a"));
        assert!(before.is_same(&first.written("each", &jobs("a"))));
        let other = Content { call: [9; 32], inputs: [8; 32], ..first }.written("each", &jobs("a"));
        assert!(!other.is_same(&before));
        assert_eq!(other.changes(&before), ["the arguments changed", "the inputs changed"]);
        for edge in [first.written("gather", &jobs("a")), first.written("each", &jobs("b"))] {
            assert_eq!(edge.changes(&before), ["it takes other results"]);
        }
        for (_, value) in before.labels("f", "s") {
            assert!(value.len() <= 64, "{value}");
        }
    }

    #[test]
    fn where_a_text_ends_counts() {
        let texts = |texts: &[&str]| -> [u8; 32] {
            Content::with_texts([0; 32], &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert_ne!(texts(&["ab", "c"]), texts(&["a", "bc"]));
    }
}
