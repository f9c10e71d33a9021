//! What no node ever takes, whoever owns it and whatever the node is: bounds of the protocol, which no change of a
//! setting and no further node lifts. A worker declines by it, and a submission is refused by it, so that nothing waits
//! for what can't come.

use crate::message::{CALL_TEXT_BYTES_MAX, Needs, Reason, kept_bytes, label_excess};
use crate::task::{INLINE_BYTES_MAX, Program};

/// Why no node takes such tasks; `None` if some node may.
pub(crate) fn never(program: &Program, needs: &Needs) -> Option<Reason> {
    if let Some((name, wanted, most)) = program.limits.beyond_max() {
        return Some(Reason::Limit { name: name.into(), wanted, most });
    }
    if let Some(excess) = label_excess(&needs.labels) {
        return Some(excess);
    }
    let too_long = |bytes: u64, most: usize| {
        let limit_bytes = most as u64;
        (bytes > limit_bytes).then_some(Reason::TooLong { bytes, limit_bytes })
    };
    too_long(program.files.inline_len(), INLINE_BYTES_MAX)
        .or_else(|| too_long(kept_bytes(program, needs) as u64, CALL_TEXT_BYTES_MAX))
}
