//! Eligibility: whether a node may run a task. The node must offer what the task needs, and must accept its class and
//! its owner. The owner asks this with the capacity that a peer announced; the worker asks it again with its own.
//!
//! Features of a processor are labels, such as `cpu.avx2=yes`; so are architecture, place and anything that users add.

use alloc::string::String;

use crate::id::PeerId;
use crate::message::{Class, Needs, Reason};
use crate::policy::Owners;
use crate::task::Program;

/// The properties of a node that decide about a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: PeerId,
    pub(crate) labels: &'a [(String, String)],
    pub(crate) memory_bytes: u64,
    pub(crate) slots: u32,
    /// The lowest class that it takes, also of its own tasks.
    pub(crate) class_min: Class,
    /// Owners whose tasks it takes, besides its own.
    pub(crate) owners: &'a Owners,
}

/// The properties of a task that decide about a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) owner: PeerId,
    pub(crate) needs: &'a Needs,
    pub(crate) program: &'a Program,
    pub(crate) class: Class,
}

/// Why that node does not run a task; `None` if it does.
pub(crate) fn unfit(node: Node<'_>, task: Task<'_>) -> Option<Reason> {
    let Task { owner, needs, program, class } = task;
    let missing = needs.labels.iter().find(|wanted| !node.labels.contains(wanted));
    if let Some((name, wanted)) = missing {
        return Some(Reason::Label { name: name.clone(), wanted: wanted.clone() });
    }
    let wanted_bytes = program.limits.memory_bytes;
    if wanted_bytes > node.memory_bytes {
        return Some(Reason::Memory { wanted_bytes, limit_bytes: node.memory_bytes });
    }
    let wanted = needs.task_slots();
    // A node without slots counts as busy: it may have slots after a restart.
    if wanted > 1 && wanted > node.slots {
        return Some(Reason::Slots { wanted, slots: node.slots });
    }
    if class < node.class_min {
        return Some(Reason::Class { least: node.class_min });
    }
    let taken = owner == node.id || node.owners.takes(owner);
    (!taken).then_some(Reason::Owner)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::BlobId;
    use crate::task::{Entry, Limits, Payload, Profile};

    const ME: PeerId = PeerId([1; 32]);
    const OWNER: PeerId = PeerId([2; 32]);

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
        let (all, refuses) = (Owners::All, Owners::AllBut(alloc::vec![OWNER]));
        let (labels_of, class_min) = (&has, Class::Scavenger);
        let node =
            Node { id: ME, labels: labels_of, memory_bytes: 1 << 20, slots: 4, class_min, owners: &all };
        let picky = Node { class_min: Class::Interactive, ..node };
        let choosy = Node { owners: &refuses, ..node };
        let at_home = Node { id: OWNER, ..choosy };
        let (low, high) = (Class::Batch, Class::Realtime);
        // node, needed labels, memory, class -> first word of the reason
        type Row<'a> = (Node<'a>, &'a [(&'a str, &'a str)], u64, Class, Option<&'a str>);
        let table: [Row<'_>; 13] = [
            (node, &[], 0, low, None),
            (node, &[("cpu.avx2", "yes"), ("zone", "a")], 1 << 20, low, None),
            (node, &[("zone", "b")], 0, low, Some("label")),
            (node, &[("cpu.avx512f", "yes")], 0, low, Some("label")),
            (node, &[], (1 << 20) + 1, low, Some("memory:")),
            (picky, &[], 0, low, Some("class:")),
            (picky, &[], 0, Class::Interactive, None),
            (picky, &[], 0, high, None),
            (picky, &[("zone", "b")], 0, low, Some("label")),
            (choosy, &[], 0, high, Some("owner:")),
            (choosy, &[("zone", "b")], 0, high, Some("label")),
            (at_home, &[], 0, low, None),
            (at_home, &[], 1 << 21, low, Some("memory:")),
        ];
        for (node, needed, memory, class, word) in table {
            let (needs, program) = (Needs { labels: labels(needed), slots: 1 }, program(memory));
            let reason = unfit(node, Task { owner: OWNER, needs: &needs, program: &program, class });
            let said = reason.map(|reason| alloc::format!("{reason}"));
            let first = said.as_deref().and_then(|text| text.split(' ').next());
            assert_eq!(first, word, "{needed:?} {memory} {class:?}");
        }
    }
    #[test]
    fn a_task_fits_a_node_with_as_many_slots_as_it_needs() {
        let (labels, owners, program) = (Vec::new(), Owners::All, program(0));
        // slots of the node, slots wanted -> reason
        let too_few = |wanted, slots| Some(Reason::Slots { wanted, slots });
        let table = [
            (4, 1, None),
            (4, 4, None),
            (4, 5, too_few(5, 4)),
            (4, 0, None),
            (0, 1, None),
            (0, 2, too_few(2, 0)),
            (1, u32::MAX, too_few(u32::MAX, 1)),
        ];
        for (slots, wanted, reason) in table {
            let class_min = Class::Scavenger;
            let node = Node { id: ME, labels: &labels, memory_bytes: 0, slots, class_min, owners: &owners };
            let needs = Needs { slots: wanted, ..Needs::default() };
            let task = Task { owner: OWNER, needs: &needs, program: &program, class: Class::Batch };
            assert_eq!(unfit(node, task), reason, "{slots} {wanted}");
        }
    }
}
