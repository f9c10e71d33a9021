//! Tasks that one node never takes, because what they need is longer than its settings let it keep; other nodes may take
//! them. What no node takes is in [`super::never`].

use crate::message::Reason;
use crate::task::Program;

/// What a node keeps at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Longest module, in bytes.
    pub(crate) module_bytes: u64,
    /// All blobs together, in bytes.
    pub(crate) store_bytes: u64,
}

impl Bounds {
    /// Why the node runs no task of that program; `None` if it may.
    pub(crate) fn excess(self, program: &Program) -> Option<Reason> {
        let Program { module_bytes, files, .. } = program;
        let blobs = files.blob().map_or(0, |_| files.bytes_len()).saturating_add(*module_bytes);
        let beyond = |name: &str, wanted: u64, most: u64| {
            (wanted > most).then(|| Reason::Limit { name: name.into(), wanted, most })
        };
        beyond("module_bytes", *module_bytes, self.module_bytes)
            .or_else(|| beyond("store_bytes", blobs, self.store_bytes))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::BlobId;
    use crate::task::{Entry, Limits, Payload, Profile};

    #[test]
    fn what_a_node_can_not_keep_is_told_with_its_bound() {
        let bounds = Bounds { module_bytes: 100, store_bytes: 150 };
        let blob = |bytes| Payload::Blob { id: BlobId([1; 32]), bytes };
        let limit = |name: &str, wanted, most| Some(Reason::Limit { name: name.into(), wanted, most });
        // module, files -> reason
        let table = [
            (100, Payload::empty(), None),
            (101, Payload::empty(), limit("module_bytes", 101, 100)),
            (100, blob(50), None),
            (100, blob(51), limit("store_bytes", 151, 150)),
            (100, Payload::inline(&[0; 51]), None),
            (1, blob(u64::MAX), limit("store_bytes", u64::MAX, 150)),
        ];
        for (module_bytes, files, reason) in table {
            let program = Program {
                module: BlobId([0; 32]),
                module_bytes,
                entry: Entry::Command,
                args: Vec::new(),
                env: Vec::new(),
                files,
                profile: Profile::Pure,
                limits: Limits::DEFAULT,
            };
            assert_eq!(bounds.excess(&program), reason, "{module_bytes}");
        }
    }
}
