//! Tasks that no node ever takes: bounds of the protocol, which no setting and no further node lifts. A worker declines
//! such a call, and a submission of them is refused, because it would wait for ever.

use crate::message::{CALL_TEXT_BYTES_MAX, Needs, Reason, kept_bytes, label_excess};
use crate::task::{INLINE_BYTES_MAX, Program};

/// Why no node takes such tasks; `None` if a node may.
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
