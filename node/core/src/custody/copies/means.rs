//! What owners and copies have in common: the epoch in which they speak, and what they use of custody. Plain data.

use crate::ctx::Ctx;
use crate::custody::blobs::Blobs;
use crate::custody::position::Position;
use crate::custody::post::Post;
use crate::custody::writes::Writes;

/// The epoch of what owners and copies say to each other.
pub(in crate::custody) const EPOCH: u32 = 0;

/// The record behind which a copy is asked for where its log ends: no log has it.
pub(super) const PROBE: Position = Position { epoch: EPOCH, seq: u32::MAX };

/// What they need of custody.
pub(in crate::custody) struct Means<'a, 'b> {
    pub(in crate::custody) ctx: &'a mut Ctx<'b>,
    pub(in crate::custody) writes: &'a mut Writes,
    pub(in crate::custody) blobs: &'a mut Blobs,
    pub(in crate::custody) post: &'a mut Post,
}

pub(super) fn at(seq: u32) -> Position {
    if seq == 0 { Position::NONE } else { Position { epoch: EPOCH, seq } }
}
