//! What the checks share: the ends of tasks that an engine reported in one step, or committed to its disk, and how a check
//! fails.

use super::Scene;
use crate::reference::{End, Fact};

pub(crate) fn ends<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = &'a End> {
    scene.facts.iter().filter_map(|fact| match fact {
        Fact::Ended(end) => Some(end),
        Fact::JobEnded(_)
        | Fact::GivenUp(_)
        | Fact::Named { .. }
        | Fact::Awarded(_)
        | Fact::Started { .. }
        | Fact::Printed { .. }
        | Fact::Sent { .. }
        | Fact::Parted { .. }
        | Fact::Excused { .. }
        | Fact::Restarted(_)
        | Fact::GivenBack { .. }
        | Fact::Lost { .. }
        | Fact::GaveUp { .. }
        | Fact::Published { .. } => None,
    })
}

pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}
