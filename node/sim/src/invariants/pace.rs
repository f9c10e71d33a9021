//! How often an engine wants to be woken, and bids.

use super::{Scene, ensure};

/// Most wakes in a row after each of which the engine asks to be woken again at once.
const HASTY_MAX: u32 = 200;
/// Most bids that a node may send within a second without an award.
const VAIN_MAX: u32 = 1000;

pub(super) fn no_engine_spins(scene: &Scene<'_>) -> Result<(), String> {
    let hasty = scene.host.hasty;
    ensure(hasty <= HASTY_MAX, || {
        let reason = scene.host.engine.as_ref().and_then(|engine| engine.next_wakeup());
        format!("the engine asked {hasty} times in a row to be woken at once: {reason:?}")
    })
}

pub(super) fn nobody_bids_in_vain_for_ever(scene: &Scene<'_>) -> Result<(), String> {
    let vain = scene.host.vain;
    ensure(vain <= VAIN_MAX, || format!("{vain} bids within a second and no award"))
}
