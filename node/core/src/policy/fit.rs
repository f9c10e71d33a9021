//! Whether a node may run a task, in both directions: the task needs what the node has, and the node takes only the
//! classes that it accepts. Asked by the owner about what a peer told of itself, and by the worker for certain.
//!
//! What a processor can do is told as labels, `cpu.avx2=yes`; so are architecture, place and whatever people like.

use alloc::string::String;

use crate::message::{Class, Needs, Reason};
use crate::task::Program;

/// A node as far as it matters to a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) labels: &'a [(String, String)],
    pub(crate) memory_bytes: u64,
    /// The lowest class that it takes; `None` when that is not known.
    pub(crate) class_min: Option<Class>,
}

/// Why that node can't or won't run a task; `None` if it does.
pub(crate) fn unfit(node: Node<'_>, needs: &Needs, program: &Program, class: Class) -> Option<Reason> {
    let missing = needs.labels.iter().find(|wanted| !node.labels.contains(wanted));
    if let Some((name, wanted)) = missing {
        return Some(Reason::Label { name: name.clone(), wanted: wanted.clone() });
    }
    let wanted_bytes = program.limits.memory_bytes;
    if wanted_bytes > node.memory_bytes {
        return Some(Reason::Memory { wanted_bytes, limit_bytes: node.memory_bytes });
    }
    let least = node.class_min.filter(|least| class < *least)?;
    Some(Reason::Class { least })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::BlobId;
    use crate::task::{Entry, Limits, Payload, Profile};

    fn program(memory_bytes: u64) -> Program {
        Program {
            module: BlobId([0; 32]),
            module_bytes: 1,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits { memory_bytes, ..Limits::DEFAULT },
        }
    }

    fn labels(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect()
    }

    #[test]
    fn both_must_agree() {
        let has = labels(&[("cpu.avx2", "yes"), ("zone", "a")]);
        let node = Node { labels: &has, memory_bytes: 1 << 20, class_min: None };
        let picky = Node { class_min: Some(Class::Interactive), ..node };
        let (low, high) = (Class::Batch, Class::Realtime);
        // node, needed labels, memory, class -> first word of the reason
        type Row<'a> = (Node<'a>, &'a [(&'a str, &'a str)], u64, Class, Option<&'a str>);
        let table: [Row<'_>; 9] = [
            (node, &[], 0, low, None),
            (node, &[("cpu.avx2", "yes"), ("zone", "a")], 1 << 20, low, None),
            (node, &[("zone", "b")], 0, low, Some("label")),
            (node, &[("cpu.avx512f", "yes")], 0, low, Some("label")),
            (node, &[], (1 << 20) + 1, low, Some("memory:")),
            (picky, &[], 0, low, Some("class:")),
            (picky, &[], 0, Class::Interactive, None),
            (picky, &[], 0, high, None),
            (picky, &[("zone", "b")], 0, low, Some("label")),
        ];
        for (node, needed, memory, class, word) in table {
            let reason = unfit(node, &Needs { labels: labels(needed) }, &program(memory), class);
            let said = reason.map(|reason| alloc::format!("{reason}"));
            let first = said.as_deref().and_then(|text| text.split(' ').next());
            assert_eq!(first, word, "{needed:?} {memory} {class:?}");
        }
    }
}
