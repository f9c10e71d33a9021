//! What a call requires of a worker, and how much memory the texts of a call take at a node that keeps it. Every text
//! counts as what it takes in memory, not as its length alone: twenty thousand empty texts take memory, too.

use alloc::string::String;
use alloc::vec::Vec;

use crate::task::{Entry, Payload, Program};

/// Most labels that a node may carry or a task may need.
pub const LABELS_MAX: usize = 32;
/// Longest name and longest value of a label, in bytes each.
pub const LABEL_BYTES_MAX: usize = 64;
/// The label that every node carries: its own id in hexadecimal.
pub const NODE_LABEL: &str = "node";
/// What a text counts besides its length, in bytes: its entry in a list, and what the allocator adds.
pub const TEXT_BYTES: usize = 32;

/// What a worker must offer to be called.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Needs {
    /// Labels that the node must carry, with these values; at most [`LABELS_MAX`], each name and each value of at most
    /// [`LABEL_BYTES_MAX`] bytes.
    pub labels: Vec<(String, String)>,
    /// Slots of one node that a task holds while it runs, at most [`crate::TASK_SLOTS_MAX`]; 0 counts as 1.
    pub slots: u32,
}

impl Needs {
    /// Slots that one task holds: at least one.
    #[must_use]
    pub fn task_slots(&self) -> u32 {
        self.slots.max(1)
    }
}

impl Default for Needs {
    /// One slot of any node.
    fn default() -> Self {
        Self { labels: Vec::new(), slots: 1 }
    }
}

/// Memory of these labels, in bytes.
pub(crate) fn labels_bytes(labels: &[(String, String)]) -> usize {
    labels.iter().map(|(name, value)| text_bytes(name) + text_bytes(value)).sum()
}

/// Memory that the texts and inline files of a call take at a node that keeps it, in bytes.
pub(crate) fn kept_bytes(program: &Program, needs: &Needs) -> usize {
    let Program { entry, args, env, files, .. } = program;
    let entry = match entry {
        Entry::Command | Entry::Parcel => 0,
        Entry::Function(name) => text_bytes(name),
    };
    let files = match files {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Blob { .. } => 0,
    };
    let args: usize = args.iter().map(|arg| text_bytes(arg)).sum();
    entry + args + files + labels_bytes(env) + labels_bytes(&needs.labels)
}

fn text_bytes(text: &str) -> usize {
    TEXT_BYTES + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize, name: usize, value: usize) -> Vec<(String, String)> {
        alloc::vec![("n".repeat(name), "v".repeat(value)); count]
    }

    #[test]
    fn a_text_without_letters_counts() {
        assert_eq!(labels_bytes(&labels(20_000, 0, 0)), 20_000 * 2 * TEXT_BYTES);
    }
}
