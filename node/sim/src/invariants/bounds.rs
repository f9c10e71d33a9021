//! How much an engine may keep, and how long its messages may be.

use weft_core::message::{BATCH_MAX, GOSSIP_BYTES_MAX, MESSAGE_BYTES_MAX};

use super::{Scene, ensure};
use crate::reference::Fact;

/// Most calls that a node may keep, as owner and as worker together.
const CALLS_MAX: usize = 10_000;
/// Most undelivered outcomes that a node may keep.
const UNDELIVERED_MAX: usize = 200_000;

pub(super) fn state_is_bounded(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    let calls = audit.calls_open + audit.calls_heard;
    ensure(calls <= CALLS_MAX, || format!("{calls} calls are open"))?;
    let undelivered = audit.undelivered;
    ensure(undelivered <= UNDELIVERED_MAX, || format!("{undelivered} outcomes are undelivered"))?;
    let (open, most) = (audit.reservations_open, audit.reserved_max);
    ensure(open <= most as usize, || format!("{open} reservations are open for {most} slots"))
}

pub(super) fn words_fit(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        if let Fact::Sent { to, bytes, leases } = fact {
            ensure(*to != scene.host.peer, || "a node wrote to itself".into())?;
            ensure(*bytes <= MESSAGE_BYTES_MAX, || format!("a message of {bytes} bytes"))?;
            ensure(*leases <= BATCH_MAX, || format!("a message of {leases} leases"))?;
        } else if let Fact::Published { bytes } = fact {
            let fits = bytes.is_some_and(|bytes| bytes <= GOSSIP_BYTES_MAX);
            ensure(fits, || "a gossip is too long to be published".into())?;
        }
    }
    Ok(())
}
